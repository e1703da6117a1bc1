"""Where one structure lies to another: "is the thalamus above the brainstem?", "how far is m1 from m2?", "do they
touch?".

Read by rules over the names and references of a conversation, and told from the masks. Directions are the patient's and
are those of the two centres; a distance is that of the two voxels nearest to each other, centre to centre.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from assistant.evidence import format_mm
from assistant.reference import Known, references

# direction -> the words, the RAS axis, which way along it, the opposite
_DIRECTIONS = {
    "above": (r"above|over|superior to|higher than|oberhalb(?: von)?|über|au-dessus d[eu]|encima de", 2, 1, "below"),
    "below": (
        r"below|under(?:neath)?|beneath|inferior to|lower than|unterhalb(?: von)?|unter|(?:en dessous|sous)(?: d[eu])?"
        r"|debajo de", 2, -1, "above",
    ),
    "in front of": (r"in front of|anterior to|ahead of|vor|devant|delante de", 1, 1, "behind"),
    "behind": (r"behind|posterior to|in back of|hinter|derrière|detrás de", 1, -1, "in front of"),
    "to the left of": (
        r"(?:(?:to|on) the )?left of|links von|à gauche d[eu]|a la izquierda de", 0, -1, "to the right of",
    ),
    "to the right of": (
        r"(?:(?:to|on) the )?right of|rechts von|à droite d[eu]|a la derecha de", 0, 1, "to the left of",
    ),
}  # fmt: skip
_ARTICLES = r"(?:the|its|der|die|das|dem|den|le|la|l['’]|du|el|del)"
_BETWEEN = re.compile(
    r"\W*(?:(?:that |it )?(?:lies?|lying|located|situated|is|found|placed|liegt|directly|just|immediately|more)\W+)*(?:"
    + "|".join(rf"(?P<d{n}>{words})" for n, (words, *_) in enumerate(_DIRECTIONS.values()))
    + rf")(?:\W+{_ARTICLES})?(?:\W+(?:left|right))?\W*",
    re.IGNORECASE,
)
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


@dataclass(frozen=True)
class Asked:
    """kind: a direction, "touch" or "distance"; first, second: the ids or phrases on either side."""

    kind: str
    first: tuple[str, ...]
    second: tuple[str, ...]


def read(text: str, known: Known) -> Asked | None:
    """What a question asks of the places of two structures; None where it asks nothing of the kind."""
    text = re.sub(r"\s", " ", text)
    found = references(text, known, chosen=False)
    groups = [one.names for one in found]
    if len(found) == 1 and len(found[0].names) == 2 and (_TOUCHES.search(text) or _FAR.search(text)):
        groups = [(name,) for name in found[0].names]  # "do they touch?"
    if len(groups) != 2 or set(groups[0]) & set(groups[1]):
        return None
    if _FAR.search(text):
        return Asked("distance", groups[0], groups[1])
    if not _ASKS.match(text):
        return None
    if _TOUCHES.search(text):
        return Asked("touch", groups[0], groups[1])
    between = _BETWEEN.fullmatch(text[found[0].end : found[1].start]) if len(found) == 2 else None
    if between is None or re.search(r"[^\W\d_]{2}", text[found[1].end :]):
        return None
    kind = next(name for n, name in enumerate(_DIRECTIONS) if between[f"d{n}"])
    return Asked(kind, groups[0], groups[1])


def gap_mm(first: np.ndarray, second: np.ndarray, spacing: np.ndarray) -> float:
    """The distance of the two nearest voxels of two (X, Y, Z) bool masks that are not empty, centre to centre, mm; 0
    where they share one."""
    both = np.argwhere(first | second)
    box = tuple(slice(low, high + 1) for low, high in zip(both.min(0), both.max(0), strict=True))
    return float(ndimage.distance_transform_edt(~second[box], sampling=spacing)[first[box]].min())


def told(asked: Asked, names: Sequence[str], masks: Sequence[np.ndarray], affine: np.ndarray) -> str:
    """The answer. names: how either side is called; masks: (X, Y, Z) bool, of either side, none empty; affine (4, 4):
    voxels to RAS+ millimetres."""
    (one, other), (first, second) = names, masks
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if asked.kind in _DIRECTIONS:
        _, axis, way, opposite = _DIRECTIONS[asked.kind]
        centres = [affine[:3, :3] @ np.argwhere(mask).mean(0) for mask in (first, second)]
        ahead = float(way * (centres[0] - centres[1])[axis])
        if abs(ahead) < float(spacing.min()) / 2:
            return f"No. The centres of {one} and of {other} are level, as seen along that axis."
        where = asked.kind if ahead > 0 else opposite
        patient = " (the patient's left and right)" if axis == 0 else ""
        verdict = "Yes" if ahead > 0 else "No"
        return f"{verdict}. The centre of {one} is {format_mm(abs(ahead))} mm {where} that of {other}{patient}."
    gap = gap_mm(first, second, spacing)
    touching = gap <= float(np.linalg.norm(spacing)) + 1e-3
    if asked.kind == "touch":
        how = "their masks share voxels" if gap == 0 else "voxels of theirs lie side by side" if touching else (
            f"they are {format_mm(gap)} mm apart at the closest")  # fmt: skip
        return f"{'Yes' if touching else 'No'}. Of {one} and {other}, {how}."
    if touching:
        return f"{one[0].upper()}{one[1:]} and {other} touch: there is no gap between their masks."
    return f"{one[0].upper()}{one[1:]} and {other} are {format_mm(gap)} mm apart where they are closest."
