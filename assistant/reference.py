"""What the words of a question refer to: masks by id, structures by name, "it", "both", "the other one", "the larger
one", "the second one".

Read by rules over what a conversation has found and the glossary's names; words that they do not understand refer to
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from assistant.errors import QuestionError
from assistant.glossary import Glossary, other_side, side_of

_ID = re.compile(r"\bm\d+\b", re.IGNORECASE)
_OTHER = re.compile(
    r"\bthe other(?: (?:one|mask|side)\b|(?=\W*$|\W+(?:from|with|and|is|was|by|out|to|minus|than|in)\b))", re.IGNORECASE
)
_SIDED = re.compile(r"\bthe (?P<side>left|right) (?:one|mask)\b", re.IGNORECASE)
_OF_THEM = r"of (?:them|those|these|both|all|the (?:two|masks))"
_CHOSEN = re.compile(
    r"\bthe (?:(?P<most>larger|bigger|largest|biggest)|smaller|smallest)"
    rf"(?:(?: one| mask)(?: {_OF_THEM})?\b| {_OF_THEM}\b|(?=\W*$))",
    re.IGNORECASE,
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NTH = re.compile(
    rf"\bthe (?:(?P<nth>{'|'.join(_ORDINALS)})|last)(?:(?: one| mask)(?: {_OF_THEM})?\b|(?=\W*$))", re.IGNORECASE
)
_BOTH = re.compile(
    r"\b(?:both(?: of them| masks| structures)?|the two(?: of them| masks)?|these two|them|they|their"
    r"|beiden?|les deux|los dos|las dos|amb[oa]s)\b|两个|两者|它们",
    re.IGNORECASE,
)
_ALL = re.compile(r"\b(?:all(?: of)? (?:them|(?:the )?masks)|every mask|everything)\b", re.IGNORECASE)
_IT = re.compile(
    r"\b(?:its?|this|that(?! (?:is|are|lies?)\b)|(?:this|that|the)(?: selected| current| last)? "
    r"(?:mask|selection|outline|segmentation|structure|one))\b",
    re.IGNORECASE,
)
# in a question: "how big is it?", not "it's", "is it larger than that?"
_REFERENCE = re.compile(r"\bit\b(?!')|\b(?:that|this) one\b|(?<=than )(?:that|this)\b", re.IGNORECASE)
# what asks for masks put together
_COMBINES = re.compile(
    r"\b(?:together|total|sum|both|and|all|them|combin\w*|join\w*|merg\w*|union|add\w*|plus|minus|subtract\w*|without|"
    r"except|rest|remain\w*|overlap\w*|intersect\w*|outside|inside|differ\w*)\b|[+&-]",
    re.IGNORECASE,
)
_PRESENCE = re.compile(
    r"(?:(?:and |so )?(?:(?:is|are) there|(?:do|can) you (?:see|find)|gibt es|siehst du)\s+"
    r"(?:(?:an?|any|some|the|eine?n?)\s+)?|(?:and|or|und|oder)\s+(?:an?|any|eine?n?)\s+)"
    r"(?P<what>[^\W\d_]+(?:[ -][^\W\d_]+){0,2}?)"
    r"(?:\s+(?:here|visible|hier|(?:in|inside|within|near|im)(?:\s+(?:this|the|der|den|dem))?(?:\s+[^\W\d_]+){1,4}))?\s*\?*",
    re.IGNORECASE,
)
# what a first look is to find, not a name of it
_NAMELESS = re.compile(
    r"\b(?:\w*thing|abnormal\w*|unusual|suspicious|wrong|problems?|findings?|changes?|structures?|parts?|organs?|more|else"
    r"|others?|ones?|masks?|second|another|it|that|this|them|two|both|difference|asymmetry|etwas|was)\b",
    re.IGNORECASE,
)
#: references by place in the conversation
PLACES = (_ID, _OTHER, _CHOSEN, _NTH)


@dataclass(frozen=True)
class Known:
    """What words may refer to. masks: id -> phrase, oldest first; made: id -> how, of those that were computed of
    others; selected: an id or ""; shown: the structures that the scan shows. told: ids as replies spoke of them, each
    once, the last one last; focus: those that the last reply about any structure spoke of; absent: the phrases that it
    did not find where it found none; volumes: id -> mL."""

    masks: Mapping[str, str]
    made: Mapping[str, str] = field(default_factory=dict)
    selected: str = ""
    glossary: Glossary | None = None
    shown: Callable[[], Sequence[str]] = field(default=lambda: ())
    told: tuple[str, ...] = ()
    focus: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    volumes: Mapping[str, float] = field(default_factory=dict)

    @property
    def meant(self) -> str:
        """What "it" is: the selected mask, else what was last spoken of, found (its id) or not (its phrase); "" where
        that was nothing."""
        return self.selected or next(iter((*self.focus[::-1], *self.absent[::-1], *tuple(self.masks)[::-1])), "")

    @property
    def two(self) -> tuple[str, ...]:
        """The masks that "both" are: the two last spoken of, in the order of their ids; () where there is but one."""
        last = (self.told or tuple(self.masks))[-2:]
        return tuple(mask_id for mask_id in self.masks if mask_id in last) if len(last) > 1 else ()

    @property
    def several(self) -> tuple[str, ...]:
        """The masks that "they" are: all that the last reply spoke of, or the two last spoken of."""
        return tuple(mask_id for mask_id in self.masks if mask_id in self.focus) if len(self.focus) > 1 else self.two

    @property
    def other(self) -> str:
        """What "the other one" is: the structure of the other side, else of two masks the one that "it" is not, else
        the structure of the other side that is not found yet; "" where none is clear."""
        rest = [mask_id for mask_id in self.masks if mask_id != self.meant]
        mirrored = other_side(self.masks.get(self.meant, ""))
        known = next((mask_id for mask_id in reversed(rest) if self.masks[mask_id] == mirrored), "")
        if known:
            return known
        for pair in (self.focus, tuple(self.masks)):
            if len(pair) == 2 and self.meant in pair:
                return pair[1 - pair.index(self.meant)]
        return mirrored if side_of(mirrored) is not None and self.meant not in self.made else ""

    def base(self, mask_id: str) -> str:
        """The mask that a computed one was first made of; "" of any other."""
        first = _ID.match(self.made.get(mask_id, ""))
        return first[0] if first is not None and first[0] in self.masks else ""

    def sided(self, side: str) -> str:
        """What "the left one" is: the mask of that side last spoken of, else the structure that "it" is, there."""
        order = (*(m for m in self.masks if m not in self.told), *self.told)
        known = [mask_id for mask_id in order if side_of(self.masks[mask_id]) == side]
        if known:
            return known[-1]
        mirrored = other_side(self.masks.get(self.meant, ""))
        return mirrored if side_of(mirrored) == side and self.meant not in self.made else ""

    def largest(self, among: Sequence[str]) -> str:
        """The mask with the largest volume; "" of none, or where a volume is not known."""
        return max(among, key=lambda m: self.volumes[m]) if among and set(among) <= set(self.volumes) else ""

    def smallest(self, among: Sequence[str]) -> str:
        """The mask with the smallest volume; "" of none, or where a volume is not known."""
        return min(among, key=lambda m: self.volumes[m]) if among and set(among) <= set(self.volumes) else ""


@dataclass(frozen=True)
class Reference:
    """Words that refer to something: their first character, the one behind the last, and the ids or phrases."""

    start: int
    end: int
    names: tuple[str, ...]


def references(text: str, known: Known, *, chosen: bool = True) -> list[Reference]:
    """What a text refers to, in order; with `chosen` also as "the larger one". An id that there is not refers to
    nothing."""
    found: list[Reference] = []

    def take(match: re.Match[str], *names: str) -> None:
        add(match.start(), match.end(), tuple(name for name in names if name))

    def add(start: int, end: int, names: tuple[str, ...]) -> None:
        if names and not any(start < one.end and one.start < end for one in found):
            found.append(Reference(start, end, names))

    for match in _ID.finditer(text):
        take(match, match[0].lower() if match[0].lower() in known.masks else "")
    newest = {phrase: mask_id for mask_id, phrase in known.masks.items()}
    for phrase in sorted(newest, key=len, reverse=True):
        for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE):
            take(match, newest[phrase])
    if known.glossary is not None:
        for mention in known.glossary.mentions(text):
            add(mention.start, mention.end, _meant(mention.meant, newest, known))
    for match in _OTHER.finditer(text):
        take(match, known.other)
    for match in _SIDED.finditer(text):
        take(match, known.sided(match["side"].lower()))
    for match in _CHOSEN.finditer(text) if chosen else ():
        take(match, known.largest(known.several) if match["most"] else known.smallest(known.several))
    for match in _NTH.finditer(text):
        take(match, _nth(match, known))
    for match in _BOTH.finditer(text):
        take(match, *(known.several if match[0].lower() in ("them", "they", "their") else known.two))
    for match in _ALL.finditer(text):
        take(match, *(mask_id for mask_id in known.masks if mask_id not in known.made))
    for match in _IT.finditer(text):
        take(match, known.meant)
    return sorted(found, key=lambda one: one.start)


def blanked(text: str, found: Sequence[Reference]) -> str:
    """A text with a NUL for each thing that it refers to."""
    for one in reversed(found):
        text = f"{text[: one.start]}\0{text[one.end :]}"
    return text


def sought(text: str) -> str:
    """What a question asks the presence of, in its own words: "lymph node" of "is there any lymph node?"; "" where it
    asks for more, or for nothing that has a name."""
    asked = _PRESENCE.fullmatch(text.strip())
    return "" if asked is None or _NAMELESS.search(asked["what"]) else asked["what"].lower()


def operands(text: str, known: Known) -> list[tuple[str, ...]]:
    """What a text refers to, in order: each the ids or phrases that are meant together. QuestionError for a mask that
    there is not."""
    check_ids(text, known)
    return [one.names for one in references(text, known)]


def check_ids(text: str, known: Known) -> None:
    """QuestionError where a text names a mask that there is not."""
    for match in _ID.finditer(text):
        name = match[0].lower()
        if name not in known.masks:
            there = ", ".join(known.masks) or "none yet"
            raise QuestionError(f"there is no mask {name!r}; the masks of this session are: {there}")


def recalled(question: str, known: Known) -> tuple[str, ...]:
    """The masks (or the structure of the other side) that a question refers to by id or by place in the conversation
    ("both", "the other one", "the larger one", "the second one") alone, without naming any structure. () where it does
    not."""
    ids = tuple(dict.fromkeys(match[0].lower() for match in _ID.finditer(question)))
    if ids and set(ids) <= set(known.masks):
        return ids
    if ids or known.glossary is None or known.glossary.mentioned(question):
        return ()
    if re.search(r"\bboth\b", question, re.IGNORECASE):
        return known.two
    found = [one for one in references(question, known) if any(p.match(question, one.start) for p in PLACES)]
    return tuple(dict.fromkeys(name for one in found for name in one.names))


def with_names(question: str, known: Known) -> str:
    """The question with the name of what was spoken of last in place of "it", unless that may be something that the
    question itself names before."""
    glossary, last = known.glossary, known.masks.get(known.meant, known.meant)
    if not last or glossary is None:
        return question

    def named(match: re.Match[str]) -> str:
        before = question[: match.start()]
        compared = re.search(r"\b(?:than|with|to) $", before)
        return match[0] if glossary.mentioned(before) and not compared else f"the {last}"

    return _REFERENCE.sub(named, question)


def meant_by(phrase: str, said: str, known: Known) -> str:
    """What a phrase that the language model wrote means. Ids of masks that there are not, and masks put together where
    the question (said) asks for nothing of the kind, are of its own making: what was spoken of last is meant."""
    ids = re.findall(r"m\d+", phrase)
    if not ids or re.fullmatch(r"[m\d\s+&-]+", phrase) is None:
        return phrase
    if set(ids) <= set(known.masks) and (len(ids) == 1 or _COMBINES.search(said)):
        return phrase
    return known.meant or phrase


def _nth(match: re.Match[str], known: Known) -> str:
    """The mask of "the second one": of those that the last reply spoke of where it spoke of several, else of all."""
    among = known.several if len(known.focus) > 1 else tuple(known.masks)
    at = len(among) - 1 if match["nth"] is None else _ORDINALS.index(match["nth"].lower())
    return among[at] if 0 <= at < len(among) else ""


def _meant(meant: Sequence[str], newest: Mapping[str, str], known: Known) -> tuple[str, ...]:
    """A name's masks; where there are none the phrases to look for: those that the scan shows, and no whole beside its
    two sides. Of a name of several structures ("the cerebellum") those that have no mask yet as well."""
    masks = tuple(newest[phrase] for phrase in meant if phrase in newest)
    if masks and len({phrase.removeprefix(f"{side_of(phrase)} ") for phrase in meant}) == 1:
        return masks
    here = [phrase for phrase in meant if phrase in newest or phrase in known.shown()] or list(meant)
    return tuple(newest.get(p, p) for p in here if not any(other.endswith(f" {p}") for other in here))
