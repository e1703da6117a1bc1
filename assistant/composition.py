"""Questions that compose structures: "everything except the parotids", "both, but not the left one", "the larger of the
two". What they ask for is looked for in order, and the choice among masks is made on what was measured.

Read by rules over the glossary's names; a question that they do not understand is the language model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistant.errors import QuestionError
from assistant.evidence import Note, format_ml
from assistant.glossary import Glossary

MAX_TARGETS = 16  # structures that one reply looks for
_EXCEPT = re.compile(
    r"\b(?:except(?:ing)?(?: for)?|excluding|apart from|other than|leaving out|(?:but|and) not|without)\b|,\s*not\b",
    re.IGNORECASE,
)
_EVERYTHING = re.compile(
    r"\b(?:everything|(?:every|all(?: of)?(?: the)?) (?:structure|organ|region)s?)\b", re.IGNORECASE
)
_CHOICE = re.compile(
    r"\b(?:(?P<least>smallest)|largest|biggest|(?:(?P<less>smaller)|larger|bigger)(?: one)? of)\b", re.IGNORECASE
)
_POLAR = re.compile(r"\W*(?:is|are|was|were|does|do|has|have|can)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """targets: what to look for, in order. choose: "largest" or "smallest" of them, or ""."""

    targets: tuple[str, ...]
    choose: str = ""

    def chosen(self, notes: Sequence[Note]) -> Note | None:
        """The one of the measured targets that is asked for. None where one was not found, or volumes are equal as
        shown."""
        if not self.choose or len(notes) < 2 or any(note.measurement is None for note in notes):
            return None
        sign = 1 if self.choose == "largest" else -1
        first, second = sorted(notes, key=lambda n: -sign * (n.measurement.volume_ml if n.measurement else 0))[:2]
        assert first.measurement is not None
        assert second.measurement is not None
        equal = format_ml(first.measurement.volume_ml) == format_ml(second.measurement.volume_ml)
        return None if equal else first

    def verdict(self, note: Note) -> str:
        """The sentence about what was chosen."""
        word = {2: {"largest": "larger", "smallest": "smaller"}[self.choose]}.get(len(self.targets), self.choose)
        return f"The {word} of them is the {note.phrase} ({note.id})."


def read(question: str, glossary: Glossary, shown: Callable[[], Sequence[str]]) -> Plan | None:
    """What a question composes; None where it composes nothing, or asks yes or no. shown: the structures, each
    excluding the others, that the scan shows; asked for only where it matters. QuestionError for more than
    MAX_TARGETS."""
    if _POLAR.match(question):
        return None
    plan = _all_but(question, glossary, shown) or _choice(question, glossary, shown)
    if plan is None or not plan.targets:
        return None
    if len(plan.targets) > MAX_TARGETS:
        raise QuestionError(
            f"that is {len(plan.targets)} structures, and a reply shows {MAX_TARGETS} at most: name those that you want"
        )
    return plan


def _all_but(question: str, glossary: Glossary, shown: Callable[[], Sequence[str]]) -> Plan | None:
    parted = _EXCEPT.search(question)
    if parted is None:
        return None
    head, tail = question[: parted.start()], question[parted.end() :]
    here = shown()
    included = list(here) if _EVERYTHING.search(head) else _phrases(head, glossary, here)
    left_out = set(_phrases(tail, glossary, here))
    if not left_out:  # "not the left one"
        sides = {side for _, _, side in glossary.side_words(tail)}
        left_out = {phrase for phrase in included if phrase.split(" ", 1)[0] in sides}
    return Plan(tuple(p for p in included if p not in left_out)) if left_out else None


def _choice(question: str, glossary: Glossary, shown: Callable[[], Sequence[str]]) -> Plan | None:
    asked = _CHOICE.search(question)
    if asked is None:
        return None
    among = _phrases(question, glossary, shown())
    return Plan(tuple(among), "smallest" if asked["least"] or asked["less"] else "largest") if len(among) > 1 else None


def _phrases(text: str, glossary: Glossary, shown: Sequence[str]) -> list[str]:
    """What a text names, each once; where a name may mean several, those that the scan shows, and no whole beside its
    two sides."""
    named: dict[str, None] = {}
    for meant in glossary.mentioned(text):
        here = [phrase for phrase in meant if phrase in shown] or list(meant)
        sided = [phrase for phrase in here if not any(other.endswith(f" {phrase}") for other in here)]
        named.update(dict.fromkeys(sided))
    return list(named)
