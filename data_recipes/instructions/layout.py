"""Where the structures of a labelled scan lie to one another, computed from the masks in the patient's directions.

World coordinates are RAS+ millimetres (x to the patient's right, y to the front, z to the head), whatever the order or
the signs of the stored axes. A direction is stated only where it is plain: each one's centre of mass lies beyond the
whole of the other ("above": the one's centre above the other's highest voxel, the other's centre below the one's
lowest). Medial and lateral are counted from the plane halfway between the scan's pairs, within one side. Two structures
touch where a voxel of one shares a face with a voxel of the other. Distances are between the centres of voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from assistant.evidence import Measurement, measure
from assistant.glossary import other_side, side_of
from assistant.midline import Midline, between
from assistant.volume import Volume
from data_recipes.schema import mask_of

DIRECTIONS: Mapping[str, tuple[int, int]] = {
    "above": (2, 1), "below": (2, -1), "in front of": (1, 1), "behind": (1, -1),
    "to the right of": (0, 1), "to the left of": (0, -1),
}  # fmt: skip
OPPOSITE: Mapping[str, str] = {
    "above": "below", "below": "above", "in front of": "behind", "behind": "in front of",
    "to the right of": "to the left of", "to the left of": "to the right of",
    "medial to": "lateral to", "lateral to": "medial to",
}  # fmt: skip
Box = tuple[slice, slice, slice]
_T = TypeVar("_T")


class Layout:
    """The structures of one scan: labels (X, Y, Z) on the volume's grid, phrases with their label values.

    What is worked out is kept, for one case gives many conversations.
    """

    def __init__(self, volume: Volume, labels: np.ndarray, phrases: Mapping[str, tuple[int, ...]]) -> None:
        self.volume, self.labels, self.phrases = volume, labels, phrases
        self._kept: dict[tuple[str, str], object] = {}

    def _once(self, what: str, phrase: str, make: Callable[[], _T]) -> _T:
        key = (what, phrase)
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[return-value]

    def mask(self, phrase: str) -> np.ndarray:
        """(X, Y, Z) bool. KeyError for a phrase that was not found in the scan."""
        return mask_of(self.labels, self.phrases[phrase])

    @cached_property
    def _boxes(self) -> list[Box | None]:
        return ndimage.find_objects(self.labels)

    def _box(self, phrase: str, margin: int = 0) -> Box:
        """The block that holds a structure, and some voxels around it."""
        boxes = [self._boxes[value - 1] for value in self.phrases[phrase] if 0 < value <= len(self._boxes)]
        there = [box for box in boxes if box is not None]
        parts = [
            slice(
                max(0, min(box[axis].start for box in there) - margin),
                min(length, max(box[axis].stop for box in there) + margin),
            )
            for axis, length in enumerate(self.labels.shape)
        ]
        return parts[0], parts[1], parts[2]

    def surface(self, phrase: str) -> np.ndarray:
        """(N, 3) RAS+ mm: the centres of the voxels with a face that is not the structure's."""

        def make() -> np.ndarray:
            box = self._box(phrase)
            inside = mask_of(self.labels[box], self.phrases[phrase])
            outer = np.argwhere(inside & ~ndimage.binary_erosion(inside))
            return self.volume.to_world(outer + [part.start for part in box])

        return self._once("surface", phrase, make)

    def centre(self, phrase: str) -> np.ndarray:
        """(3,) RAS+ mm: the centre of mass."""

        def make() -> np.ndarray:
            box = self._box(phrase)
            index = np.argwhere(mask_of(self.labels[box], self.phrases[phrase])) + [part.start for part in box]
            return self.volume.to_world(index.mean(axis=0))

        return self._once("centre", phrase, make)

    def share(self, one: str, other: str) -> bool:
        """Whether some voxels belong to both: a part and its whole."""
        return bool(set(self.phrases[one]) & set(self.phrases[other]))

    # ---- relations

    def direction(self, one: str, other: str, along: str) -> bool | None:
        """Whether `one` lies in this direction of `other` (of DIRECTIONS, "medial to" or "lateral to"). False: it lies
        the opposite way. None: neither is plain, or one is part of the other."""
        if self.share(one, other):
            return None
        if along in ("medial to", "lateral to"):
            here, there = self._offsets(one), self._offsets(other)
            if here is None or there is None or here[0] != there[0]:
                return None
            sign = 1 if along == "lateral to" else -1
            _, a, a_centre = here
            _, b, b_centre = there
        else:
            axis, sign = DIRECTIONS[along]
            a, a_centre = self.surface(one)[:, axis], float(self.centre(one)[axis])
            b, b_centre = self.surface(other)[:, axis], float(self.centre(other)[axis])
        if _beyond(a, a_centre, b, b_centre):
            return sign == 1
        return sign == -1 if _beyond(b, b_centre, a, a_centre) else None

    def _offsets(self, phrase: str) -> tuple[str, np.ndarray, float] | None:
        """Side, distances (N,) of the surface and distance of the centre from the middle plane; None at the plane."""
        plane = self.midline
        if plane is None:
            return None
        x, y, z = (float(place) for place in self.centre(phrase))
        side = plane.side((x, y, z))
        if side is None:
            return None
        sign = 1.0 if side == "right" else -1.0
        return side, sign * ((self.surface(phrase) - plane.point) @ plane.right), sign * plane.offset_mm((x, y, z))

    @cached_property
    def midline(self) -> Midline | None:
        """The plane halfway between the pairs of the scan; None without one."""
        paired = [
            p
            for p in self.phrases
            if side_of(p) and other_side(p) in self.phrases and not self.share(p, other_side(p))
        ]
        return between({phrase: self.centre(phrase) for phrase in paired})

    def touch(self, one: str, other: str) -> bool | None:
        """Whether a voxel of one shares a face with a voxel of the other; None where one is part of the other."""
        if self.share(one, other):
            return None
        block = self.labels[self._box(one, margin=1)]
        grown = ndimage.binary_dilation(mask_of(block, self.phrases[one]))
        return bool((grown & mask_of(block, self.phrases[other])).any())

    def gap_mm(self, one: str, other: str) -> float:
        """The least distance between the centres of two structures' voxels."""
        tree = self._once("tree", one, lambda: cKDTree(self.surface(one)))
        return float(tree.query(self.surface(other))[0].min())

    def nearest(self, phrase: str, among: Iterable[str]) -> str | None:
        """Which of some structures lies nearest; None where two are equally near, give or take a voxel's longest edge,
        or where some touch it."""
        corner = self.surface(phrase).min(axis=0), self.surface(phrase).max(axis=0)
        least = sorted((self._least_mm(corner, other), other) for other in among if not self.share(phrase, other))
        found: list[tuple[float, str]] = []
        for bound, other in least:  # no closer than their boxes are: most need no exact distance
            if len(found) > 1 and bound > sorted(found)[1][0]:
                break
            found.append((self.gap_mm(phrase, other), other))
        found.sort()
        if len(found) < 2 or self.touch(phrase, found[0][1]):
            return None
        return found[0][1] if found[1][0] - found[0][0] > float(max(self.volume.spacing)) else None

    def _least_mm(self, corner: tuple[np.ndarray, np.ndarray], other: str) -> float:
        low, high = self.surface(other).min(axis=0), self.surface(other).max(axis=0)
        return float(np.linalg.norm(np.maximum(0, np.maximum(low - corner[1], corner[0] - high))))

    # ---- masks

    def combined(self, one: str, sign: str, other: str) -> Measurement | None:
        """Two masks together ("+"), the first without the second ("-") or what they share ("&"), measured; None when
        nothing is left."""
        a, b = self.mask(one), self.mask(other)
        made = {"+": lambda: a | b, "-": lambda: a & ~b, "&": lambda: a & b}[sign]()
        return measure(self.volume, made) if made.any() else None


def _beyond(a: np.ndarray, a_centre: float, b: np.ndarray, b_centre: float) -> bool:
    """Whether a lies plainly on the positive side of b, by their places along one axis and those of their centres."""
    return bool(a_centre > b.max() and b_centre < a.min())
