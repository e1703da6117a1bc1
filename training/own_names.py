"""What a user's label values are called: `names.json`, and its rows in a checkpoint's glossary.

    {"1": "spinal cord", "2": {"name": "kidney", "side": "left", "synonyms": ["kidneys", "Niere"]}}

A name's canonical phrase has its side first ("left kidney") and no capitals of its own, as everywhere. A synonym needs
no side: with two sides of one name it stands for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assistant.glossary import LONGEST, Glossary, normalise

SIDES = ("left", "right")
MOST = 100  # names of one label map; label grids are uint8, and codes must stay apart in 128 dimensions
_FORM = re.compile(r"[^\W_](?:[\w' -]*[^\W_])?")


@dataclass(frozen=True)
class Problem:
    """Something to put right before training: which file, what is wrong with it, and the way out."""

    where: Path
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


@dataclass(frozen=True)
class OwnName:
    """A label value and its names. phrase: canonical, with its side; base: without; synonyms: without a side."""

    value: int
    base: str
    side: str | None = None
    synonyms: tuple[str, ...] = ()

    @property
    def phrase(self) -> str:
        return f"{self.side} {self.base}" if self.side else self.base


def read_names(path: Path) -> tuple[list[OwnName], list[Problem]]:
    """The names of a file, in order of their values, and everything that is wrong with it."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return [], [Problem(path, f"cannot be read ({error.strerror})", "give the file that names the label values")]
    except ValueError as error:
        return [], [Problem(path, f"is no JSON ({error})", 'write for example {"1": "spinal cord"}')]
    if not isinstance(rows, dict) or not rows:
        return [], [Problem(path, "names no label value", 'write for example {"1": "spinal cord"}')]
    names, problems = [], []
    for value, row in rows.items():
        name = _name(value, row)
        if isinstance(name, str):
            problems.append(Problem(path, f"{json.dumps(value)}: {json.dumps(row, ensure_ascii=False)} {name}",
                                    'write a value from 1 to 65535 with a name, or with {"name": ..., "side": "left" '
                                    'or "right", "synonyms": [...]}'))  # fmt: skip
        else:
            names.append(name)
    names.sort(key=lambda name: name.value)
    for kind in ("value", "phrase"):
        seen = [vars(n).get(kind, n.phrase) for n in names]
        for twice in sorted({str(v) for v in seen if seen.count(v) > 1}):
            problems.append(Problem(path, f"{twice!r} stands there twice", "give each value a name of its own"))
    if len(names) > MOST:
        problems.append(Problem(path, f"{len(names)} names", f"give {MOST} at most"))
    return names, problems


def _name(value: str, row: object) -> OwnName | str:
    """One row as a name, or what is wrong with it."""
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        return "has no label value"
    fields = {"name": row} if isinstance(row, str) else row
    if not isinstance(fields, dict) or set(fields) - {"name", "side", "synonyms"} or "name" not in fields:
        return "is not in that form"
    base, side, synonyms = fields["name"], fields.get("side"), fields.get("synonyms", [])
    if not isinstance(synonyms, list) or not all(isinstance(s, str) for s in (base, *synonyms)):
        return "is not in that form"
    if side not in (None, *SIDES):
        return f"has the side {side!r}"
    words = [" ".join(s.split()) for s in (base, *synonyms)]
    bad = [s for s in words if not _FORM.fullmatch(s) or len(s.split()) > LONGEST - 1]
    if bad:
        return f"has the name {bad[0]!r}: a name is up to {LONGEST - 1} words of letters, digits and hyphens"
    base = " ".join(word.lower() if word.isalpha() and word.istitle() else word for word in words[0].split())
    first, _, rest = base.partition(" ")
    if side is None and first in SIDES and rest:
        side, base = first, rest
    return OwnName(int(value), base, side, tuple(dict.fromkeys(words[1:])))


def clashes(path: Path, names: Sequence[OwnName], glossary: Glossary, taught: Sequence[str]) -> list[Problem]:
    """Names that already mean another structure that the start model was taught."""
    problems = []
    for name in names:
        for word in (name.phrase, name.base, *name.synonyms):
            meant = glossary.names.get(normalise(word), ())
            other = next((p for p in meant if p in taught and p != name.phrase), None)
            if other is not None and name.phrase not in meant and other not in {n.phrase for n in names}:
                fix = f'call it "{other}" to teach that further, or give it another name'
                problems.append(Problem(path, f"{word!r} is a name of the {other}, which the model knows", fix))
                break
    return problems


def with_names(glossary: Glossary, names: Sequence[OwnName]) -> Glossary:
    """The glossary with these names. What a word already means besides stays where that has the new phrase among it."""
    rows = dict(glossary.names)

    def enter(word: str, phrases: Sequence[str]) -> None:
        known = rows.get(normalise(word), ())
        rows[normalise(word)] = tuple(dict.fromkeys([*phrases, *(known if set(known) & set(phrases) else ())]))

    for name in names:
        sides = [n.phrase for n in names if n.base == name.base]
        synonyms = {s for n in names if n.base == name.base for s in n.synonyms}
        for word in (name.base, *sorted(synonyms)):
            enter(word, sides)
            if name.side:
                enter(f"{name.side} {word}", [name.phrase])
    own = tuple(dict.fromkeys([*glossary.own, *(name.phrase for name in names)]))
    return replace(glossary, names=rows, own=own)
