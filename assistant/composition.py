"""Questions that compose structures: "everything", "everything except the parotids", "both, but not the left one", "the
larger of the two". What they ask for is looked for in order, and the choice among masks is made on what was measured.

Read by rules over the glossary's names; a question that they do not understand is the language model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistant import claims
from assistant.claims import side_question
from assistant.errors import QuestionError
from assistant.evidence import Note, format_ml
from assistant.glossary import Glossary, normalise, other_side, side_of

#: the structures, each excluding the others, that a scan shows; of a kind of scan that shows the given ones where there
#: are several
Shown = Callable[[Sequence[str]], Sequence[str]]
MAX_TARGETS = 40  # structures that one reply looks for
_EXCEPT = re.compile(
    r"\b(?:except(?:ing)?(?: for)?|excluding|apart from|other than|leaving out|(?:but|and) not|without)\b|,\s*not\b"
    r"|(?<=\beverything) but\b|(?<=\ball) but\b|(?<=\bstructures) but\b",
    re.IGNORECASE,
)
_AND = re.compile(r"\b(?:and|plus|also|as well as)\b", re.IGNORECASE)
_EVERYTHING = re.compile(
    r"\b(?:everything|(?:every|all(?: of)?(?: the)?) (?:structure|organ|region)s?|(?:organs at risk|OARs))\b",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"\W*(?:please |can you |could you |now )*"
    r"(?:show|segment|outline|find|list|measure|mark|label|name|contour|delineate)(?: me)?(?: all of)?"
    r" (?:everything|(?:every|all(?: of)?(?: the)?) (?:structure|organ|region)s?"
    r"|(?:all )?(?:the )?(?:organs at risk|oars))"
    r"(?:(?: that)? (?:you (?:can |could )?(?:see|find|know|segment)|there is|(?:is|are) (?:there|visible)"
    r"|in (?:this|the) (?:scan|image|volume)|here|of it|please))*\W*$"
    r"|\W*(?:what|which) (?:structures|organs)"
    r" (?:can you (?:see|find|show|segment|outline)|are (?:there|visible|shown|here)|do you (?:see|find))"
    r"(?: (?:here|in (?:this|the) (?:scan|image|volume)))?\W*$"
    r"|\W*what (?:can|do) you see(?: here)?\W*$",
    re.IGNORECASE,
)
# "everything on the right side", "all left structures"
_ON_SIDE = re.compile(
    r"\s+(?:on|at|of|in) the (?P<behind>left|right)(?:[- ]hand)?(?: side| half| hemisphere)?(?: only)?(?=\W*$)"
    r"|(?<=\ball )(?:the )?(?P<before>left|right)(?:[- ](?:sided?|hand))? (?=structures|organs|regions)",
    re.IGNORECASE,
)
# What shows or measures, and neither compares nor explains
_LOOK = re.compile(
    r"\b(?:show|see|display|segment|outline|find|locate|where|mark|label|contour|delineate|measure"
    r"|zeige?n?|segmentieren?|markieren?|finden?|wo|miss|messen|montrez?|montre-moi|segmentez?|trouvez?|marquez?|où"
    r"|mesurez?|muestra|muéstrame|segmenta|encuentra|marca|mide|dónde)\b|显示|分割|标出|找出|在哪",
    re.IGNORECASE,
)
_SIZE = re.compile(
    r"\b(?:how (?:big|large)|volumes?|sizes?|total|together|wie groß|volumen|größe|quelle (?:est la )?taille|taille"
    r"|qué tamaño|tamaño)\b|多大|体积",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:compare|than|which|difference|differ|ratio|do(?:es)?|function|why|normal|als|vergleich\w*|warum|welche\w*"
    r"|unterschied|comparer|comparez|pourquoi|lequel|laquelle|différence|por qué|cuál|diferencia|compara)\b"
    r"|为什么|比较|相比",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\b(?:(?P<least>smallest)|largest|biggest|(?:(?P<less>smaller)|larger|bigger)(?: one)? of)\b", re.IGNORECASE
)
# of all that the scan shows: "what is the largest structure?", "which organ is the smallest here?"
_EXTREME = re.compile(
    r"\W*(?:what(?:'s)?|which|show(?: me)?|find|segment|outline)(?: is| one is)?(?: the)?"
    r" (?:(?:(?P<small>smallest)|largest|biggest) (?:structure|organ|region)"
    r"|(?:structure|organ|region) is (?:the )?(?:(?P<least>smallest)|largest|biggest))"
    r"(?: here)?(?: (?:that )?you (?:can )?(?:see|find))?(?: in (?:this|the) (?:scan|image|volume))?\W*$",
    re.IGNORECASE,
)
_POLAR = re.compile(r"\W*(?:is|are|was|were|does|do|has|have|can)\b", re.IGNORECASE)
# What joins two names of which both are asked for, and what says that a name only tells where another is
_JOINS = re.compile(
    r"\b(?:and|or|plus|also|then|than|und|oder|als|et|ou|que|y|sowie)\b|[,;.?!&、，；。？和与及比]", re.IGNORECASE
)
_LANDMARK = re.compile(
    r"\b(?:not?|except|without|from|to|with|between|near|next|beside|behind|above|below|under|over|inside|outside"
    r"|touch\w*|relative|nicht|ohne|von|zu[rm]?|mit|zwischen|neben|sans|entre|con|sin)\b|不",
    re.IGNORECASE,
)
# "the right" of "is the left thalamus larger than the right?"
_SIDE_ALONE = re.compile(r"\bthe (?P<side>left|right)(?: one)?(?=\s*(?:[,;.?!]|and\b|$))", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """targets: what to look for, in order. choose: "largest" or "smallest" of them, "together" for all as one mask, or
    "". saying: what the reply says before what was measured, or all that it says where there are no targets."""

    targets: tuple[str, ...]
    choose: str = ""
    saying: str = ""

    def next(self, notes: Sequence[Note]) -> str:
        """What is looked at after what was, in the words of a reply; "" when nothing more is."""
        if len(notes) < len(self.targets):
            return self.targets[len(notes)]
        return self.last(notes) if len(notes) == len(self.targets) else ""

    def words(self, notes: Sequence[Note], said: str) -> str:
        """What a reply says when all was looked at. said: the question."""
        measured = notes[: len(self.targets)]
        told = f"{claims.statement(measured, said)} {self.verdict(notes)}".strip()
        sayable = self.saying and (not measured or any(note.present for note in measured))
        return f"{self.saying} {told}".rstrip() if sayable else told

    def chosen(self, notes: Sequence[Note]) -> Note | None:
        """The one of the measured targets that is asked for. None where one was not found, or volumes are equal as
        shown."""
        if self.choose not in ("largest", "smallest") or len(notes) < 2 or any(n.measurement is None for n in notes):
            return None
        sign = 1 if self.choose == "largest" else -1
        first, second = sorted(notes, key=lambda n: -sign * (n.measurement.volume_ml if n.measurement else 0))[:2]
        assert first.measurement is not None
        assert second.measurement is not None
        equal = format_ml(first.measurement.volume_ml) == format_ml(second.measurement.volume_ml)
        return None if equal else first

    def last(self, notes: Sequence[Note]) -> str:
        """What is looked at after the targets, in the words of a reply: the id of the chosen mask, or the sum of all
        that were found; "" for nothing."""
        if self.choose == "together":
            found = list(dict.fromkeys(note.id for note in notes if note.measurement is not None))
            return " + ".join(found) if len(found) > 1 else ""
        note = self.chosen(notes)
        return "" if note is None else note.id

    def verdict(self, notes: Sequence[Note]) -> str:
        """The sentence about what was looked at last, one note more than there are targets; "" without it."""
        if len(notes) <= len(self.targets):
            return ""
        note = notes[-1]
        if self.choose == "together" and note.measurement is not None:
            return f"Together they are {format_ml(note.measurement.volume_ml)} mL ({note.id})."
        word = {2: {"largest": "larger", "smallest": "smaller"}[self.choose]}.get(len(self.targets), self.choose)
        return f"The {word} of them is the {note.phrase} ({note.id})."


def read(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """What a question composes; None where it composes nothing, or asks yes or no of anything but a side. shown: the
    structures, each excluding the others, that the scan shows; asked for only where it matters. QuestionError for more
    than MAX_TARGETS."""
    side = side_question(question)
    if side is not None:  # which is not the name's: "is the left hippocampus on the right?"
        named = _phrases(question[: side.start()], glossary, ())
        return Plan(tuple(named)) if len(named) == 1 else None
    if _POLAR.match(question):
        return None
    plan: Plan | None
    asked_side = _ON_SIDE.search(question)
    if _ALL.match(question if asked_side is None else _ON_SIDE.sub("", question)):
        side_of_all = "" if asked_side is None else (asked_side["before"] or asked_side["behind"]).lower()
        plan = Plan(tuple(phrase for phrase in shown(()) if not side_of_all or side_of(phrase) == side_of_all))
    elif (extreme := _EXTREME.match(question)) is not None:
        plan = Plan(tuple(shown(())), "smallest" if extreme["small"] or extreme["least"] else "largest")
    else:
        plan = (
            _all_but(question, glossary, shown) or _choice(question, glossary, shown)
            or _group(question, glossary, shown)
        )  # fmt: skip
    if plan is None or not plan.targets:
        return None
    if len(plan.targets) > MAX_TARGETS:
        raise QuestionError(
            f"that is {len(plan.targets)} structures, and a reply shows {MAX_TARGETS} at most: name those that you want"
        )
    return plan


def _all_but(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    parted = _EXCEPT.search(question)
    if parted is None:
        return None
    head, tail = question[: parted.start()], question[parted.end() :]
    here = shown([phrase for meant in glossary.mentioned(tail) for phrase in meant])
    everything = _EVERYTHING.search(head)
    included = list(here) if everything else _phrases(head, glossary, here)
    # what was not asked for cannot be left out: "the parotids, but not the left one, and the mandible" asks for it
    joined = None if everything or _EXCEPT.search(tail) else _AND.search(tail)
    if joined is not None:
        added = _phrases(tail[joined.end() :], glossary, here)
        left_out = _left_out(tail[: joined.start()], included, glossary, here) & set(included)
        if left_out and added and not set(added) & set(included):
            return Plan((*(p for p in included if p not in left_out), *added))
    left_out = set().union(*(_left_out(part, included, glossary, here) for part in _EXCEPT.split(tail)))
    return Plan(tuple(p for p in included if p not in left_out)) if left_out else None


def _left_out(tail: str, included: Sequence[str], glossary: Glossary, here: Sequence[str]) -> set[str]:
    """What the words behind an "except" name, or which of what is included they tell by its side or part: "the left
    one", "the anterior part"."""
    named = set(_phrases(tail, glossary, here))
    if named:
        return named
    first = {side for _, _, side in glossary.side_words(tail)} | set(normalise(tail).split())
    return {phrase for phrase in included if " " in phrase and phrase.split(" ", 1)[0] in first}


def _choice(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    asked = _CHOICE.search(question)
    if asked is None:
        return None
    among = _phrases(question, glossary, shown(()))
    return Plan(tuple(among), "smallest" if asked["least"] or asked["less"] else "largest") if len(among) > 1 else None


def _group(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where a name stands for several structures ("the basal ganglia"), all of them; and their sum where a size is
    asked for."""
    if not (_LOOK.search(question) or _SIZE.search(question)) or _OTHERWISE.search(question):
        return None
    kinds = [{phrase.removeprefix(f"{side_of(phrase)} ") for phrase in meant} for meant in glossary.mentioned(question)]
    if not any(len(bases) > 1 for bases in kinds):
        return None
    here = shown(())
    among = _phrases(question, glossary, here)
    among = [phrase for phrase in among if phrase in here] or among
    return Plan(tuple(among), "together" if _SIZE.search(question) else "") if len(among) > 1 else None


def coordinated(question: str, glossary: Glossary, shown: Shown) -> list[str]:
    """The structures that a question asks for side by side: "where is the mandible, and how big are the parotids?".
    Empty where it names one, or where one of its names only says where another is ("and what is next to the larynx?").
    """
    named = glossary.named(question)
    if len(named) < 2:
        return []
    here, stop = shown([]), 0
    asked: list[tuple[int, list[str]]] = []
    for mention in named:
        before = question[stop : mention.start]
        joined = [match.end() for match in _JOINS.finditer(before)]
        if _LANDMARK.search(before, joined[-1] if joined else 0) or (asked and not joined):
            return []
        asked.append((mention.start, on_scan(mention.meant, here)))
        stop = mention.end
    for match in _SIDE_ALONE.finditer(question):
        last = next((phrases for start, phrases in reversed(asked) if start < match.start()), [])
        if len(last) == 1 and side_of(last[0]) not in (None, match["side"].lower()):
            asked.append((match.start(), [other_side(last[0])]))
    return list(dict.fromkeys(phrase for _, phrases in sorted(asked) for phrase in phrases))


def _phrases(text: str, glossary: Glossary, shown: Sequence[str]) -> list[str]:
    """What a text names, each once; where a name may mean several, those that the scan shows, and no whole beside its
    two sides."""
    named: dict[str, None] = {}
    for meant in glossary.mentioned(text):
        named.update(dict.fromkeys(on_scan(meant, shown)))
    return list(named)


def on_scan(meant: Sequence[str], shown: Sequence[str]) -> list[str]:
    """What one name stands for: what of it the scan shows, else all; no whole beside its two sides."""
    here = visible(meant, shown) or list(meant)
    return [phrase for phrase in here if not any(other.endswith(f" {phrase}") for other in here)]


def visible(meant: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Of what one name may mean, what the scan shows; a whole where it shows the parts ("anterior hippocampus")."""
    parts = [phrase for phrase in shown if side_of(phrase) is None]
    wholes = [phrase for phrase in meant if any(part.endswith(f" {phrase}") for part in parts)]
    return [phrase for phrase in meant if phrase in shown] or wholes
