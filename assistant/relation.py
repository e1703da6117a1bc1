"""Where structures lie to each other: "is the thalamus above the brainstem?", "how far is m1 from m2?", "do they
touch?", "which is further back?", "where is the larynx relative to the mandible?".

Read by rules over the names and references of a conversation, and told from the masks. Directions are the patient's and
are those of the two centres; a distance is that of the two voxels nearest to each other, centre to centre.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assistant.evidence import format_mm
from assistant.glossary import side_of
from assistant.operation_words import SIDES
from assistant.operations import DIRECTIONS, gap_mm, touch
from assistant.quantity import WHICH_SIDE, percent_of
from assistant.reference import Known, blanked, references

# in other languages, what `operation_words.SIDES` is in English
_ELSEWHERE = {
    "above": "oberhalb(?: von)?|über|au-dessus d[eu]|encima de",
    "below": "unterhalb(?: von)?|unter|(?:en dessous|sous)(?: d[eu])?|debajo de",
    "in front of": "vor|devant|delante de",
    "behind": "hinter|derrière|detrás de",
    "to the left of": "links von|à gauche d[eu]|a la izquierda de",
    "to the right of": "rechts von|à droite d[eu]|a la derecha de",
}
_WORDS = {direction: f"{words}|{_ELSEWHERE[direction]}" for direction, words in SIDES}
_ARTICLES = r"(?:the|its|der|die|das|dem|den|le|la|l['’]|du|el|del)"
_BETWEEN = re.compile(
    r"\W*(?:(?:that |it )?(?:lies?|lying|located|situated|is|found|placed|liegt|directly|just|immediately|more)\W+)*(?:"
    + "|".join(rf"(?P<d{n}>{words})" for n, words in enumerate(_WORDS.values()))
    + rf")(?:\W+{_ARTICLES})?(?:\W+(?:left|right))?\W*",
    re.IGNORECASE,
)
# between two names: "is there a tumour in the brain?"
_WITHIN = re.compile(
    rf"\W*(?:(?:lies?|lying|located|situated|is|are|found|visible|growing|anywhere|liegt|se trouve)\W+)*"
    rf"(?:in|inside|within|inside of|innerhalb|im|dans|dentro de|en)(?:\W+{_ARTICLES})?(?:\W+(?:left|right))?\W*",
    re.IGNORECASE,
)
# what is named after where it lies: "the brain tumour"
_LESION = re.compile(r"tumou?rs?|lesions?|mass(?:es)?|cysts?", re.IGNORECASE)
_ASKS = re.compile(
    r"\W*(?:(?:and|so|but|now)\W+)*(?:is|are|does|do|lies?|liegt|liegen|ist|sind|est|está)\b", re.IGNORECASE
)
_TOUCHES = re.compile(
    r"\b(?:touch(?:es|ing)?|adjacent|next to|in contact|abuts?|abutting|border(?:s|ing)?(?: on)?|adjoin\w*|berühr\w*"
    r"|touchent|se tocan)\b|接触|相邻",
    re.IGNORECASE,
)
_FAR = re.compile(
    r"\b(?:how (?:far|close|near)|distance|apart|wie weit|abstand|à quelle distance|distancia)\b|多远|距离",
    re.IGNORECASE,
)
_RELATIVE = re.compile(
    r"\b(?:relative to|in relation to|with respect to|im verhältnis zu|par rapport (?:à|aux?)|respecto a)\b",
    re.IGNORECASE,
)
# of one name, where the other is none that is known: "how far is it from the skin?"
_FROM = re.compile(
    r"\bhow (?:far|close|near) (?:is|are|away|from|to)\b|\bdistance (?:from|to|between)\b", re.IGNORECASE
)
_SIDE = re.compile(r"\b(?:left|right)\b[^?,;]{0,20}\bor\b[^?,;]{0,16}\b(?:left|right)\b", re.IGNORECASE)
# of several: which lies furthest that way?
_FURTHEST = {
    "behind": "back|backwards?|posterior|dorsal|behind",
    "in front of": "forwards?|anterior|ventral|in front|(?:to the )?front",
    "above": "up|high|high(?:er|est)|superior|cranial",
    "below": "down|low|low(?:er|est)|inferior|caudal",
    "to the left of": "(?:to the |on the )?left",
    "to the right of": "(?:to the |on the )?right",
}
_WHICH = re.compile(
    r"\W*(?:(?:and|so|but|now)\W+)*which\b[^,;:]*?\b(?:is|lies|sits|are|lie)\W+"
    r"(?:(?:the )?(?:further|farther|furthest|farthest|more|most|located)\W+)*(?:"
    + "|".join(rf"(?P<d{n}>{words})" for n, words in enumerate(_FURTHEST.values()))
    + r")(?:most)?\b",
    re.IGNORECASE,
)
# behind it: "of the two", ", the left or the right hippocampus"; a NUL is a name
_AMONG = re.compile(
    r"\W*(?:\bof\W+(?:them|these|those|both|(?:the\W+)?two)\b)?[^\w\0]*"
    r"(?:[,:]\W*(?:(?:the|or|and|left|right|one)\b|\W)*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Asked:
    """kind: a direction, "touch", "distance", "relative", "within" or "side" (of the scan); first, second: the ids or
    phrases on either side, the second () of a "side" and where it is nothing that is known. which: of all in `first`,
    the one that lies furthest in the direction is asked for; yes_or_no: of "within", whether that is the question, and
    not only how it calls the first."""

    kind: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    which: bool = False
    yes_or_no: bool = True


def read(text: str, known: Known) -> Asked | None:
    """What a question asks of the places of two structures; None where it asks nothing of the kind."""
    text = re.sub(r"\s", " ", text)
    found = references(text, known, chosen=False)
    groups = [one.names for one in found]
    bare = blanked(text, found)
    way = _furthest(bare)
    if way:
        among = tuple(dict.fromkeys(name for names in groups for name in names)) or known.several
        return Asked(way, among, (), which=True) if len(among) > 1 else None
    if len(found) == 1 and len(found[0].names) == 2 and (_TOUCHES.search(text) or _FAR.search(text)):
        groups = [(name,) for name in found[0].names]  # "do they touch?"
    if len(groups) == 1 and len(groups[0]) == 1:
        sided = side_of(known.masks.get(groups[0][0], groups[0][0]))  # "the left putamen" says itself on which it is
        if (_ASKS.match(text) and _SIDE.search(bare)) or (WHICH_SIDE.search(bare) and not sided):
            return Asked("side", groups[0], ())
    if len(groups) == 1 and (_FROM.search(text) or (_ASKS.match(text) and _TOUCHES.search(text))):
        return Asked("distance" if _FROM.search(text) else "touch", groups[0], ())
    if len(groups) != 2 or set(groups[0]) & set(groups[1]):
        return None
    if _FAR.search(text):
        return Asked("distance", groups[0], groups[1])
    if _RELATIVE.search(text):
        return Asked("relative", groups[0], groups[1])
    polar = _ASKS.match(text) is not None
    if len(found) == 2 and not re.search(r"[^\W\d_]{2}", text[found[1].end :]):
        joined = text[found[0].end : found[1].start]
        if polar and _WITHIN.fullmatch(joined):
            return Asked("within", groups[0], groups[1])
        if not joined.strip() and _LESION.fullmatch(text[found[1].start : found[1].end]):
            return Asked("within", groups[1], groups[0], yes_or_no=polar)
    if not polar:
        return None
    if _TOUCHES.search(text):
        return Asked("touch", groups[0], groups[1])
    between = _BETWEEN.fullmatch(text[found[0].end : found[1].start]) if len(found) == 2 else None
    if between is None or re.search(r"[^\W\d_]{2}", text[found[1].end :]):
        return None
    kind = next(name for n, name in enumerate(_WORDS) if between[f"d{n}"])
    return Asked(kind, groups[0], groups[1])


def _furthest(text: str) -> str:
    """The direction in which a question (`blanked`) asks for the furthest of several; "" where it does not."""
    asked = _WHICH.match(text)
    if asked is None or not _AMONG.fullmatch(text[asked.end() :]):
        return ""
    return next(name for n, name in enumerate(_FURTHEST) if asked[f"d{n}"])


def furthest(kind: str, names: Sequence[str], masks: Sequence[np.ndarray], affine: np.ndarray) -> str:
    """Which of several lies furthest in a direction, and by how much. As for `told`."""
    axis, sign = DIRECTIONS[kind]
    places = [sign * float(affine[axis, :3] @ np.argwhere(mask).mean(0)) for mask in masks]
    first, second = sorted(range(len(masks)), key=lambda n: -places[n])[:2]
    by = places[first] - places[second]
    if by < np.linalg.norm(affine[:3, :3], axis=0).min() / 2:
        return f"The centres of {names[first]} and of {names[second]} are level, as seen along that axis."
    patient = " (the patient's left and right)" if axis == 0 else ""
    return f"That is {names[first]}: its centre is {format_mm(by)} mm {kind} that of {names[second]}{patient}."


def _relative(one: str, other: str, first: np.ndarray, second: np.ndarray, affine: np.ndarray) -> str:
    """Along each of the patient's axes where the centre of one mask lies to that of another."""
    offset = affine[:3, :3] @ (np.argwhere(first).mean(0) - np.argwhere(second).mean(0))
    least = np.linalg.norm(affine[:3, :3], axis=0).min() / 2
    parts = [
        f"{format_mm(abs(offset[axis]))} mm {kind}"
        for kind, (axis, sign) in DIRECTIONS.items()
        if sign * offset[axis] >= least
    ]
    if not parts:
        return f"The centres of {one} and of {other} are at one place."
    where = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    patient = " (the patient's left and right)" if abs(offset[0]) >= least else ""
    return f"The centre of {one} is {where} that of {other}{patient}."


def told(asked: Asked, names: Sequence[str], masks: Sequence[np.ndarray], affine: np.ndarray) -> str:
    """The answer. names: how either side is called; masks: (X, Y, Z) bool, of either side, none empty; affine (4, 4):
    voxels to RAS+ millimetres."""
    (one, other), (first, second) = names, masks
    if asked.kind in DIRECTIONS:
        axis, sign = DIRECTIONS[asked.kind]
        here, there = (float(affine[axis, :3] @ np.argwhere(mask).mean(0)) for mask in (first, second))
        ahead = sign * (here - there)
        if abs(ahead) < np.linalg.norm(affine[:3, :3], axis=0).min() / 2:
            return f"No. The centres of {one} and of {other} are level, as seen along that axis."
        opposite = next(name for name, way in DIRECTIONS.items() if way == (axis, -sign))
        where = asked.kind if ahead > 0 else opposite
        patient = " (the patient's left and right)" if axis == 0 else ""
        verdict = "Yes" if ahead > 0 else "No"
        return f"{verdict}. The centre of {one} is {format_mm(abs(ahead))} mm {where} that of {other}{patient}."
    if asked.kind == "within":
        shared, whole = int((first & second).sum()), int(first.sum())
        if not shared:
            beside = ", but they touch" if touch(first, second) else ""
            return f"No. No voxel of {one} lies in {other}{beside}."
        verdict = "Yes" if 2 * shared >= whole else "In part"
        return f"{verdict}. Of {one}, {percent_of(shared, whole)} % lies in {other}."
    if asked.kind == "relative":
        return _relative(one, other, first, second, affine)
    gap, touching = gap_mm(first, second, affine), touch(first, second)
    if asked.kind == "touch":
        how = "their masks share voxels" if gap == 0 else "voxels of theirs lie side by side" if touching else (
            f"they are {format_mm(gap)} mm apart at the closest")  # fmt: skip
        return f"{'Yes' if touching else 'No'}. Of {one} and {other}, {how}."
    if touching:
        return f"{one[0].upper()}{one[1:]} and {other} touch: there is no gap between their masks."
    return f"{one[0].upper()}{one[1:]} and {other} are {format_mm(gap)} mm apart where they are closest."
