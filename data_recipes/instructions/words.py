"""How users say things: names in many spellings, lists, both sides at once, and the roughness of typed text."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from data_recipes import ontology
from data_recipes.anatomy import TAUGHT, UNTAUGHT, Group
from data_recipes.anatomy_row import Row
from data_recipes.ontology import GROUPS, Structure


@dataclass(frozen=True)
class Said:
    """Words for one or more structures, and the phrases they mean, in the order a reply grounds them."""

    words: str
    phrases: tuple[str, ...]

    @property
    def many(self) -> bool:
        return len(self.phrases) > 1

    @property
    def verb(self) -> str:
        return "are" if self.many else "is"


@cache
def row_of(base: str, family: str) -> Row:
    rows = [row for row in (*TAUGHT, *UNTAUGHT) if row.base == base]
    return next((r for r in rows if ontology.structure_family(family) in r.families.split("|")), rows[0])


def plural(base: str) -> str:
    """The usual plural of a structure's name without its side: "hippocampi", "kidneys"."""
    row = row_of(base, "brain")
    return row.plural.split("|")[0] or f"{base}s"


def _names(structure: Structure, rng: random.Random) -> str:
    """One of a structure's names: mostly the canonical one or a synonym."""
    kind = rng.choices(["name", "synonym", "short", "latin", "foreign"], [40, 32, 14, 5, 5])[0]
    if kind == "synonym":
        row = row_of(structure.base, structure.families[0])
        plain = [row.base, *row.en.split("|")]
        if structure.side is None:
            return rng.choice(plain[1:] or plain)
        return rng.choice(_SIDED).format(
            side=structure.side, S=structure.side[0].upper(), s=structure.side[0], x=rng.choice(plain)
        )
    if kind == "short" and structure.abbreviations:
        return rng.choice(structure.abbreviations)
    if kind == "latin" and structure.latin:
        return rng.choice(structure.latin)
    if kind == "foreign":
        names = structure.translations[rng.choice(ontology.LANGUAGES)]
        if names:
            return rng.choice(names)
    return structure.name


_SIDED = (
    "{side} {x}", "{side} {x}", "{side} {x}", "{side} {x}", "{S} {x}", "{s} {x}", "{side}-sided {x}",
    "{x} on the {side}", "{x} on the {side} side", "{side} side {x}", "{x} ({side})", "{x} {side}", "{x}, {side}",
    "{side}-hand {x}", "{S}. {x}", "{x} of the {side} hemisphere", "{side} hemisphere {x}", "{s}t {x}", "{x} {S}",
)  # fmt: skip

_BOTH = (
    "both {xs}", "both {xs}", "the {xs}", "{xs}", "left and right {x}", "left and right {xs}", "{x} left and right",
    "{x} on both sides", "{x} bilaterally", "bilateral {xs}", "the two {xs}", "the {x} on each side", "L and R {x}",
    "L/R {x}", "{x} (both sides)", "{x} (L+R)", "the left and the right {x}", "{xs} of both sides",
    "both left and right {x}",
)  # fmt: skip


def one(phrase: str, rng: random.Random, article: float = 0.75) -> Said:
    """Words for one phrase; phrases that the ontology does not know are said as they are."""
    structure = ontology.by_name().get(phrase)
    words = phrase if structure is None else _names(structure, rng)
    if rng.random() < article and not re.match(r"[^\x00-\x7f]|[A-Z]", words):
        words = f"{rng.choices(['the', 'my', 'this'], [90, 4, 6])[0]} {words}"
    return Said(words, (phrase,))


def both(base: str, rng: random.Random) -> Said:
    """Words for both sides of a structure: left first, unless the words say otherwise."""
    row = row_of(base, "brain")
    if rng.random() < 0.12:
        x = rng.choice([row.base, *row.en.split("|")])
        form = rng.choice(["right and left {x}", "{x} right and left", "the right and the left {x}", "R and L {x}"])
        return Said(form.format(x=x), (f"right {base}", f"left {base}"))
    x = rng.choice([row.base, row.base, row.base, *row.en.split("|")])
    plural = rng.choice(
        [row.base + "s" if not row.plural else row.plural.split("|")[0], *filter(None, row.plural.split("|"))]
    )
    words = rng.choice(_BOTH).format(x=x, xs=plural) if rng.random() < 0.8 else rng.choice([base, f"the {base}", x])
    return Said(words, (f"left {base}", f"right {base}"))


def group(family: str, rng: random.Random, most: int = 10) -> Said | None:
    """Words for a group ("basal ganglia on the left") and its members; None when no group is small enough."""
    able = [g for g in GROUPS if family in g.families]
    rng.shuffle(able)
    for g in able:
        said = _group(g, rng)
        if len(said.phrases) <= most:
            return said
    return None


def _group(g: Group, rng: random.Random) -> Said:
    name = rng.choice([g.name, g.name, *g.synonyms])
    side = rng.choice(["left", "right", None]) if _has_sides(g) else None
    if side is None:
        form = rng.choice(["{x}", "the {x}", "all {x}", "all the {x}", "all of the {x}", "every part of the {x}"])
        return Said(form.format(x=name), tuple(s.name for s in ontology.resolve(g.name, g.families[0])))
    form = rng.choice(_GROUP_SIDED)
    return Said(
        form.format(x=name, side=side), tuple(s.name for s in ontology.resolve(f"{side} {g.name}", g.families[0]))
    )


_GROUP_SIDED = (
    "{side} {x}", "the {side} {x}", "all {side} {x}", "{x} on the {side}", "all {x} on the {side}", "{x} ({side})",
    "all the {x} on the {side} side", "the {x} on the {side} side",
    "all of the {side} {x}", "every {side} part of the {x}",
)  # fmt: skip


def _has_sides(g: Group) -> bool:
    return f"left {g.bases[0]}" in ontology.by_name()


def several(sayings: Sequence[Said], rng: random.Random) -> Said:
    """Some wordings as one list: "a, b and c", "a b c", "a + b", "a; b", "1) a 2) b"."""
    words = [s.words for s in sayings]
    phrases = tuple(dict.fromkeys(p for s in sayings for p in s.phrases))
    style = rng.choices(
        ["and", "commas", "plus", "slash", "lines", "ampersand", "semicolon", "as well as"], [45, 14, 8, 5, 7, 8, 6, 7]
    )[0]
    if style == "and" and len(words) > 1:
        text = ", ".join(words[:-1]) + rng.choice([" and ", ", and "]) + words[-1]
    elif style == "ampersand" and len(words) > 1:
        text = ", ".join(words[:-1]) + " & " + words[-1]
    elif style == "as well as" and len(words) > 1:
        text = ", ".join(words[:-1]) + " as well as " + words[-1]
    else:
        text = {"commas": ", ", "plus": " + ", "slash": " / ", "lines": "\n- ", "semicolon": "; "}.get(
            style, ", "
        ).join(words)
    return Said(text, phrases)


_BEFORE = (
    "", "", "", "", "", "", "", "", "please ", "Please ", "pls ", "hi, ", "Hello, ", "hey deixis, ", "ok, ", "Okay, ",
    "so ", "um, ", "Could you tell me: ", "Question: ", "quick question - ", "Doctor asks: ", "For my notes: ",
    "hi there! ", "Now ", "Next: ", "Good morning. ", "Dear Deixis, ", "I was wondering, ", "just curious: ",
)  # fmt: skip
_AFTER = (
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    " please",
    " pls",
    ", please",
    " thanks",
    " Thank you.",
    " thx",
    " :)",
    " asap",
    "!",
    " ok?",
    " ...",
)


def rough(text: str, rng: random.Random) -> str:
    """Typed text as people type it: small letters, no punctuation, typos, capitals, pleasantries; often untouched."""
    text = text.strip()
    if rng.random() < 0.3:
        text = rng.choice(_BEFORE) + text
    if rng.random() < 0.3:
        end = rng.choice(_AFTER)
        text = text + end if not text.endswith(("?", ".", "!")) or end.startswith((" ", ",")) else text
    style = rng.random()
    if style < 0.36:
        text = text.lower()
    elif style < 0.40:
        text = text.upper()
    elif style < 0.75:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.28:
        text = text.rstrip("?.! ")
    if rng.random() < 0.04:
        text = text.replace(" ", "  ", 1)
    if rng.random() < 0.12:
        text = _typo(text, rng)
    return text or "?"


def _typo(text: str, rng: random.Random) -> str:
    """One slip of the finger in a word of five letters or more; sides stay readable ("lfet" is, "eft" may not be)."""
    places = [m for m in re.finditer(r"[A-Za-z]{5,}", text) if m.group().lower() != "right"]
    if not places:
        return text
    word = rng.choice(places)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    kind = rng.choice(["swap", "drop", "double", "slip"])
    if kind == "swap":
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == "drop":
        return text[:at] + text[at + 1 :]
    if kind == "double":
        return text[:at] + text[at] + text[at:]
    return text[:at] + rng.choice("aeiourstn") + text[at + 1 :]


def ask(templates: Sequence[str], rng: random.Random, x: Said | None = None, **more: str) -> str:
    """A template filled in and roughened. {x} is the saying, {is} and {it} agree with it in number."""
    words = {"x": x.words, "is": x.verb, "it": "they" if x.many else "it", "Is": x.verb.capitalize()} if x else {}
    return rough(rng.choice(templates).format(**words, **more), rng)
