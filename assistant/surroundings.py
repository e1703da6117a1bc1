"""What lies next to a structure, or between two: "what is next to the larynx?", "what lies between the putamen and the
thalamus?".

Which structures come into question the coarse level tells (`Rivals.beside`, `Rivals.along`); whether they lie there,
their masks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assistant.findings import Finding
from assistant.glossary import side_of
from assistant.quantity import listed
from assistant.reference import Known, blanked, references
from assistant.rivals import Rivals

_WHAT = r"\W*(?:(?:and|so|but)\W+)?(?:what|which(?: \w+)?|show(?: me)? what|was)(?: else)?\W+"
_NAME = r"(?:(?:the|its|dem|der|den)\W+)?(?:(?:left|right)\W+)?\0"  # a NUL is what the text refers to
_LIES = r"(?:(?:is|are|lies?|sits?|liegt|ist)\W+)?(?:(?:right|directly|immediately|located|situated|direkt)\W+)*"
_BESIDE = (
    r"(?:next to|adjacent to|beside|near(?: to)?|close to|around|in contact with|touch(?:es|ing)?|surround(?:s|ing)?"
    r"|border(?:s|ing)?(?: on)?|neben|um)"
)
_NEXT = re.compile(
    rf"{_WHAT}{_LIES}{_BESIDE}\W+{_NAME}\W*|{_WHAT}(?:does|do)\W+{_NAME}\W+(?:touch|border(?: on)?|lie next to|abut)\W*"
    rf"|\W*(?:(?:what|which|show me|show|name|list)\W+)?(?:are\W+)?(?:the\W+)?neighbou?rs of\W+{_NAME}\W*",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    rf"{_WHAT}{_LIES}(?:in )?(?:between|zwischen)\W+{_NAME}\W+(?:and|und)\W+{_NAME}\W*", re.IGNORECASE
)


@dataclass(frozen=True)
class Asked:
    """first: the ids or phrases of what something lies next to; second: of the other end where it lies between two."""

    first: tuple[str, ...]
    second: tuple[str, ...] = ()


def read(text: str, known: Known) -> Asked | None:
    """What a question wants the surroundings of; None where it asks for none."""
    found = references(text, known, chosen=False)
    bare = blanked(text, found)
    if len(found) == 1 and _NEXT.fullmatch(bare):
        return Asked(found[0].names)
    if len(found) == 2 and _BETWEEN.fullmatch(bare) and not set(found[0].names) & set(found[1].names):
        return Asked(found[0].names, found[1].names)
    return None


def ends(first: Sequence[Finding], second: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    """Each of the one with each of the other end; of two sides with two sides, those of a side."""
    pairs = [(one, other) for one in first for other in second]
    same = [(one, other) for one, other in pairs if side_of(one.phrase) == side_of(other.phrase)]
    return same or pairs


def candidates(rivals: Rivals, first: Sequence[Finding], second: Sequence[Finding], shown: Sequence[str]) -> list[str]:
    """Names of the structures, of those that the scan shows, that may lie next to the first or between both."""
    names = rivals.segmenter.config.taught_names
    rows = {one.id: names.index(one.phrase) for one in (*first, *second) if one.phrase in names}
    if second:
        both = [(rows[a.id], rows[b.id]) for a, b in ends(first, second) if a.id in rows and b.id in rows]
        near = [rivals.along(one, other) for one, other in both]
    else:
        near = [rivals.beside(rows[one.id]) for one in first if one.id in rows]
    asked = {one.phrase for one in (*first, *second)}
    found = dict.fromkeys(names[row] for some in near for row in some)
    return [name for name in found if name in shown and name not in asked]


def on_the_way(first: np.ndarray, second: np.ndarray, masks: Sequence[np.ndarray]) -> list[int]:
    """Which of some masks (X, Y, Z) bool the straight line from the centre of one mask to that of another passes
    through, in order."""
    start, stop = (np.argwhere(mask).mean(0) for mask in (first, second))
    steps = 2 * int(np.abs(stop - start).max()) + 2
    line = np.rint(np.linspace(start, stop, steps)).astype(int)
    met = [np.flatnonzero(mask[tuple(line.T)]) for mask in masks]
    return sorted((n for n, at in enumerate(met) if len(at)), key=lambda n: int(met[n][0]))


def is_taught(rivals: Rivals | None, found: Sequence[Finding]) -> bool:
    """Whether each is a structure whose surroundings are known: not a mask made of others, or a word never taught."""
    names = () if rivals is None else rivals.segmenter.config.taught_names
    return all(one.phrase in names for one in found)


def beside(first: Sequence[Finding], touching: Sequence[Finding]) -> str:
    """The sentence about what lies next to something."""
    if not touching:
        return f"Of what I was taught to find, nothing else touches {listed(first)} on this scan."
    verb = "touches" if len(touching) == 1 else "touch"
    there = listed(touching)
    return f"{there[0].upper()}{there[1:]} {verb} {listed(first)}: there is no gap between their masks."


def between(one: Finding, other: Finding, there: Sequence[Finding]) -> str:
    """The sentence about what lies between two."""
    line = f"the straight line from the centre of {listed([one])} to that of {listed([other])}"
    if not there:
        return f"Of what I was taught to find, nothing else lies on {line}."
    verb, order = ("lies", "") if len(there) == 1 else ("lie", ", in this order")
    return f"On {line} {verb} {listed(there)}{order}."
