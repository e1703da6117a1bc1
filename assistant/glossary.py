"""The names that structures go by: which of them a question mentions.

A small language model hears names that it seldom read as others: "Kehlkopf" (larynx) was answered with the brainstem.
Names are a table, not a matter of judgement, so a checkpoint carries the table, and a reply that opens a name leans
towards what the question mentions. What the question is about stays the language model's to say.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

LONGEST = 7  # words of a name
NEAR = 3  # words between a name and the side that goes with it, at most
ALIKE = 0.87  # difflib's ratio from which a long word is a name's word mistyped: two letters swapped in eight.
# "carotid" is no mistyped "parotid"
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# "the structure that joins the brain to the spinal cord": what a description mentions is not what it is about
_DESCRIPTION = re.compile(
    r"\b(?:structure|part|region|organ|area|gland|space|chamber|nucleus|thing|bone|tube|bit|one|something)s?"
    r" (?:that|which|whose|where|in which)\b"
    r"|\b(?:what|which) (?:structure|part|region|organ|area|gland|nucleus|thing|bone|tube|bit)\b",
    re.IGNORECASE,
)


_AND = frozenset(("and", "und", "et", "y", "e"))
_ARTICLES = frozenset(("the", "der", "die", "das", "den", "le", "la", "el", "du", "del"))
_AT = frozenset(("on", "to", "at", "in", "auf", "a"))  # "on the left and the right ..." ends a name's side


def _joined(words: list[str], sides: list[str | None], place: int) -> bool:
    """Whether the side at a place is the second of "the left and the right ..."."""
    before = place - 1
    while before > 0 and words[before] in _ARTICLES:
        before -= 1
    if before < 1 or words[before] not in _AND or sides[before - 1] in (None, sides[place]):
        return False
    first = before - 2
    while first >= 0 and words[first] in _ARTICLES:
        first -= 1
    return first < 0 or words[first] not in _AT


def normalise(text: str) -> str:
    """Lower case, accents and punctuation dropped, single spaces: the key under which names are compared."""
    text = text.lower().replace("ß", "ss").replace("œ", "oe").replace("æ", "ae")
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = text.replace("'s", " s").replace("’s", " s")
    return " ".join(re.sub(r"[^\w]+|_", " ", text).split())


def side_of(phrase: str) -> str | None:
    """ "left" of "left hippocampus"; None of "liver"."""
    first = phrase.partition(" ")[0]
    return first if first in ("left", "right") else None


def other_side(phrase: str) -> str:
    """ "right hippocampus" of "left hippocampus"; "liver" of "liver"."""
    side = side_of(phrase)
    return phrase if side is None else f"{'right' if side == 'left' else 'left'}{phrase[len(side) :]}"

# "the hippocampal volume" is the hippocampus's; "hippocampal body" is a name of its own
_ADJECTIVES = {
    "hippocampal": "hippocampus", "amygdalar": "amygdala", "thalamic": "thalamus", "putaminal": "putamen",
    "pallidal": "pallidum", "ventricular": "ventricles", "cerebellar": "cerebellum", "cortical": "cerebral cortex",
    "mandibular": "mandible", "laryngeal": "larynx", "esophageal": "esophagus", "oesophageal": "esophagus",
    "tumoral": "tumour",
}  # fmt: skip
_MEASURED = re.compile(
    r"volumes?|sizes?|diameters?|lengths?|widths?|heights?|depths?|dimensions?|asymmetry|asymmetries|intensity|intensities"
    r"|signal|density|uptake|masks?|outlines?|contours?|segmentations?|position|location"
)


@dataclass(frozen=True)
class Mention:
    """A name in a text: its first character, the one behind its last, and the canonical phrases that it may mean."""

    start: int
    end: int
    meant: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """What a structure is for. name: its name in a glossary, which may be a group's; does: what follows "which ...";
    cues: words and runs of words, normalised, of questions about it; "*" ends a stem. See `assistant.roles`."""

    name: str
    does: str
    cues: tuple[str, ...]


@dataclass(frozen=True)
class Glossary:
    """names: a name as `normalise` has it -> the canonical phrases it may mean; abbreviations: likewise, spelled
    exactly; sides: a word -> "left" or "right". A phrase of one side begins with it. own: phrases that came after the
    language model was trained, so that it would rather write others. roles: what structures are for."""

    names: Mapping[str, tuple[str, ...]]
    abbreviations: Mapping[str, tuple[str, ...]]
    sides: Mapping[str, str]
    own: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()

    def mentioned(self, text: str) -> list[tuple[str, ...]]:
        """What a question names, in order of appearance: for each mention the canonical phrases that it may mean."""
        return [mention.meant for mention in self.named(text)]

    def named(self, text: str) -> list[Mention]:
        """`mentions` of a question, less those that only describe what is asked for."""
        described = _DESCRIPTION.search(text)
        return self.mentions(text[: described.start()] if described else text)

    def mentions(self, text: str) -> list[Mention]:
        """Every name in a text, with its place, in order of appearance."""
        found: list[Mention] = []
        for name in self._chinese:
            while (at := text.find(name)) >= 0:
                found.append(Mention(at, at + len(name), self.names[name]))
                text = text[:at] + " " * len(name) + text[at + len(name) :]
        words, places, spelled = [], [], []
        for match in re.finditer(r"[^\W_]+", text):
            for word in normalise(match.group()).split():
                words.append(self._spelled_right(word))
                places.append(match.span())
                spelled.append(match.group())
        # "L" is the left one; "l'hippocampe" and "lh" are not
        sides = [
            self.sides.get(word) if len(word) > 2 or said.isupper() else None
            for word, said in zip(words, spelled, strict=True)
        ]
        at = 0
        while at < len(words):
            length, meant = self._at(words, spelled, at)
            if meant:
                stop = at + length
                found.append(Mention(places[at][0], places[stop - 1][1], self._sided(meant, words, sides, at, stop)))
            at += length
        return sorted(found, key=lambda mention: (mention.start, mention.meant))

    def canonical(self, text: str, phrases: Collection[str]) -> str:
        """The text with those of `phrases` in place of other names that can mean nothing else: "medulla spinalis"."""
        for mention in reversed(self.mentions(text)):
            if len(mention.meant) == 1 and mention.meant[0] in phrases:
                text = text[: mention.start] + self._said(text, mention) + text[mention.end :]
        return text

    @staticmethod
    def _said(text: str, mention: Mention) -> str:
        """What stands for a mention: its phrase, without the side that the text has before the name."""
        phrase = mention.meant[0]
        side = side_of(phrase)
        before = text[: mention.start].lower().rstrip()
        return phrase[len(side) + 1 :] if side is not None and before.endswith(side) else phrase

    def side_words(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, "left" or "right") of every word for a side, in order of appearance."""
        found = []
        for match in re.finditer(r"[^\W_]+", text):
            side = self.sides.get(normalise(match.group()))
            if side and (len(match.group()) > 2 or match.group().isupper()):
                found.append((match.start(), match.end(), side))
        return found

    def without_sides(self, text: str) -> str:
        """A text without its words for sides."""
        for start, end, _ in reversed(self.side_words(text)):
            text = text[:start] + text[end:]
        return text

    def frame(self, text: str) -> str:
        """A text with a NUL for each structure that it names, and without its words for sides."""
        for mention in reversed(self.mentions(text)):
            text = f"{text[: mention.start]}\0{text[mention.end :]}"
        return self.without_sides(text)

    def _at(self, words: list[str], spelled: list[str], at: int) -> tuple[int, tuple[str, ...]]:
        """The longest name that begins at a word: (how many words, what it may mean); (1, ()) where none does."""
        adjective = _ADJECTIVES.get(words[at])
        if adjective and at + 1 < len(words) and _MEASURED.fullmatch(words[at + 1]):
            return 1, self.names.get(adjective, ())
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            name = " ".join(words[at : at + length])
            # "the ventricle" is one of the ventricles; "más" is no mass
            meant = self.names.get(name) or (None if name.endswith("s") else self.names.get(f"{name}s"))
            if meant:
                return length, meant
        return 1, self.abbreviations.get(spelled[at], ())

    @staticmethod
    def _sided(
        meant: tuple[str, ...], words: list[str], sides: list[str | None], start: int, stop: int
    ) -> tuple[str, ...]:
        """Only the phrases of the side that stands nearest to a name, before it rather than behind it; those of both
        where it is one of two ("the left and the right hippocampus")."""
        own = [n for n in range(start, stop) if sides[n]]
        near = [*own, *reversed(range(max(0, start - NEAR), start)), *range(stop, min(stop + NEAR, len(sides)))]
        place = next((n for n in near if sides[n]), None)
        if place is None:
            return meant
        kept = tuple(phrase for phrase in meant if phrase.startswith(f"{sides[place]} "))
        if kept and place < stop and _joined(words, sides, place):
            pairs = [(phrase, other_side(phrase)) for phrase in kept]
            return tuple(dict.fromkeys(phrase for pair in pairs for phrase in sorted(pair)))
        return kept or meant

    def _spelled_right(self, word: str) -> str:
        """A long word as the names have it, where it is nearly one of theirs."""
        if len(word) < 6 or word in self._words:
            return word
        return next(iter(difflib.get_close_matches(word, self._words, 1, ALIKE)), word)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word for name in self.names for word in name.split() if len(word) >= 6)

    @cached_property
    def _chinese(self) -> list[str]:
        return sorted((name for name in self.names if _CHINESE.search(name)), key=len, reverse=True)

    def to_json(self) -> str:
        parts = {
            "names": self.names, "abbreviations": self.abbreviations, "sides": self.sides, "own": self.own,
            "roles": [asdict(role) for role in self.roles],
        }  # fmt: skip
        return json.dumps(parts, ensure_ascii=False, indent=0, sort_keys=True) + "\n"

    @staticmethod
    def from_json(text: str) -> Glossary:
        parts = json.loads(text)
        names, abbreviations = ({k: tuple(v) for k, v in parts[p].items()} for p in ("names", "abbreviations"))
        roles = tuple(Role(role["name"], role["does"], tuple(role["cues"])) for role in parts.get("roles", ()))
        return Glossary(names, abbreviations, parts["sides"], tuple(parts.get("own", ())), roles)
