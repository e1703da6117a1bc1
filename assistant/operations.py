"""Operations on masks, exact in millimetres: union, minus, intersection, largest part, grow, shrink, smooth, fill, and
the part that lies above, beside or near another mask.

Masks are bool (X, Y, Z) on a volume's RAS grid, with its affine float64 (4, 4), index -> RAS+ mm. Distances are between
voxel centres, in patient space: right on anisotropic, oblique and sheared grids. Nothing here is predicted; what the
words of a question mean is read in `assistant.operation_words`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from assistant.evidence import bounding_box
from assistant.volume import is_rigid

SMOOTH_MM = 1.5  # where a question says no length: under the voxels of most scans, above their noise
TOLERANCE_MM = 1e-4  # headers store affines in 32 bits: a voxel 5.00001 mm away is 5 mm away
# words for a side of something -> (world axis, 1 towards its positive end)
DIRECTIONS = {
    "above": (2, 1), "below": (2, -1), "to the right of": (0, 1), "to the left of": (0, -1),
    "in front of": (1, 1), "behind": (1, -1),
}  # fmt: skip

# a direction -> what the half on that side is called
HALVES = {"above": "upper", "below": "lower", "to the right of": "right", "to the left of": "left",
          "in front of": "front", "behind": "back"}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """What to do with which masks.

    kind: "union", "minus", "intersect", "largest", "grow", "shrink", "smooth", "fill", "part" (the part of the first in
    a direction from the second), "cut" (all but that part), "near" (the part within mm of the second), "nearest"
    (the half that is nearest to the second), or "half" (the half in a direction).
    groups: what it works on, each the union of its members: ids ("m1") or phrases to look for.
    """

    kind: str
    groups: tuple[tuple[str, ...], ...]
    mm: float = 0.0
    direction: str = ""

    @property
    def members(self) -> list[str]:
        """Everything it works on, in order, each once."""
        return list(dict.fromkeys(name for group in self.groups for name in group))

    def described(self, names: Mapping[str, str]) -> str:
        """The result in words, such as "m1 grown by 5 mm". names: how each member is called."""
        parts = [self._grouped(group, names) for group in self.groups]
        first, length = parts[0], f"{self.mm:g} mm"
        if self.kind in _SIGNS:
            return f" {_SIGNS[self.kind]} ".join(parts)
        if self.kind in ("grow", "shrink", "smooth"):
            done = {"grow": "grown", "shrink": "shrunk", "smooth": "smoothed"}[self.kind]
            return f"{first} {done} by {length}"
        if self.kind == "largest":
            return f"largest part of {first}"
        if self.kind == "fill":
            return f"{first} with its holes filled"
        if self.kind == "nearest":
            return f"half of {first} nearest to {parts[1]}"
        if self.kind == "half":
            return f"{HALVES[self.direction]} half of {first}"
        if self.kind == "near":
            return f"part of {first} within {length} of {parts[1]}"
        which = f"part of {first} {self.direction}" if self.kind == "part" else f"{first} without the part"
        return f"{which} {parts[1]}" if self.kind == "part" else f"{which} {self.direction} {parts[1]}"

    def _grouped(self, group: Sequence[str], names: Mapping[str, str]) -> str:
        text = " + ".join(names[name] for name in group)
        alone = len(self.groups) == 1 and self.kind == "union"
        return text if alone or len(group) == 1 else f"({text})"

    def apply(self, masks: Mapping[str, np.ndarray], affine: np.ndarray) -> np.ndarray:
        """The result, (X, Y, Z) bool, a new array; it may be empty."""
        groups = [union([masks[name] for name in group]) for group in self.groups]
        first = groups[0]
        if self.kind in _SETS:
            return _SETS[self.kind](groups)
        if self.kind in _SHAPES:
            return _SHAPES[self.kind](first, affine, self.mm)
        if self.kind == "nearest":
            return nearest_half(first, groups[1], affine)
        if self.kind == "half":
            return half(first, affine, self.direction)
        if self.kind == "near":
            return first & grow(groups[1], affine, self.mm)
        part = beyond(first, groups[1], affine, self.direction)
        return part if self.kind == "part" else first & ~part


def union(masks: Sequence[np.ndarray]) -> np.ndarray:
    return reduce(np.logical_or, masks[1:], masks[0].copy())


def minus(masks: Sequence[np.ndarray]) -> np.ndarray:
    """The first without all others."""
    return reduce(lambda rest, other: rest & ~other, masks[1:], masks[0].copy())


def intersection(masks: Sequence[np.ndarray]) -> np.ndarray:
    return reduce(np.logical_and, masks[1:], masks[0].copy())


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The connected part (26 neighbours) with the most voxels; of equals the one that comes first."""
    from scipy import ndimage

    out = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is None:
        return out
    parts, _ = ndimage.label(mask[box], np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    out[box] = parts == sizes.argmax()
    return out


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with every cavity that no path of face neighbours leads out of."""
    from scipy import ndimage

    out = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is not None:
        out[box] = ndimage.binary_fill_holes(mask[box])
    return out


def grow(mask: np.ndarray, affine: np.ndarray, mm: float) -> np.ndarray:
    """Every voxel whose centre is at most `mm` from the centre of one of the mask's."""
    out = np.zeros(mask.shape, bool)
    box = _around(mask, affine, mm)
    if box is not None:
        out[box] = _distance(mask[box], affine, mm) <= mm + TOLERANCE_MM
    return out


def shrink(mask: np.ndarray, affine: np.ndarray, mm: float) -> np.ndarray:
    """The mask without every voxel whose centre is at most `mm` from the centre of one outside it: what `grow` does to
    the rest. What lies beyond the scan is not outside, since nobody knows."""
    out = np.zeros(mask.shape, bool)
    box = _around(mask, affine, mm)
    if box is not None:
        inside = mask[box]
        out[box] = inside & (_distance(~inside, affine, mm) > mm + TOLERANCE_MM) if not inside.all() else inside
    return out


def smooth(mask: np.ndarray, affine: np.ndarray, mm: float) -> np.ndarray:
    """A half and more of the mask blurred by a Gaussian of standard deviation `mm`; the scan's edge is continued."""
    from scipy import ndimage

    out = np.zeros(mask.shape, bool)
    box = _around(mask, affine, 4 * mm)
    if box is not None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        out[box] = ndimage.gaussian_filter(mask[box].astype(np.float32), mm / spacing, mode="nearest") >= 0.5
    return out


def beyond(mask: np.ndarray, other: np.ndarray, affine: np.ndarray, direction: str) -> np.ndarray:
    """The voxels of a mask that lie farther in a direction (a key of `DIRECTIONS`, in the patient's body) than every
    voxel of another."""
    axis, sign = DIRECTIONS[direction]
    row = sign * affine[axis, :3]
    index = np.argwhere(mask)
    edge = float((np.argwhere(other) @ row).max())
    out = np.zeros(mask.shape, bool)
    out[tuple(index[index @ row > edge + TOLERANCE_MM].T)] = True
    return out


def nearest_half(mask: np.ndarray, other: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The voxels of a mask that are no farther from another than half of its voxels are (the median distance)."""
    out = np.zeros(mask.shape, bool)
    box = bounding_box(mask | other)
    if box is not None and mask.any() and other.any():
        away = _distance(other[box], affine, np.inf)
        out[box] = mask[box] & (away <= np.median(away[mask[box]]) + TOLERANCE_MM)
    return out


def half(mask: np.ndarray, affine: np.ndarray, direction: str) -> np.ndarray:
    """The voxels of a mask that lie at least as far in a direction (a key of `DIRECTIONS`, in the patient's body) as
    half of its voxels do (the median)."""
    axis, sign = DIRECTIONS[direction]
    index = np.argwhere(mask)
    far = index @ (sign * affine[axis, :3])
    out = np.zeros(mask.shape, bool)
    if len(index):
        out[tuple(index[far >= np.median(far) - TOLERANCE_MM].T)] = True
    return out


def _around(mask: np.ndarray, affine: np.ndarray, mm: float) -> tuple[slice, slice, slice] | None:
    """The block that holds every voxel up to `mm` (and one voxel) from a mask; None where it is empty."""
    box = bounding_box(mask)
    if box is None:
        return None
    # how far an index may run within a ball of 1 mm: the length of the inverse's row, also where axes are sheared
    pad = np.ceil(mm * np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)).astype(int) + 1
    x, y, z = (
        slice(max(0, part.start - int(n)), min(size, part.stop + int(n)))
        for part, n, size in zip(box, pad, mask.shape, strict=True)
    )
    return x, y, z


def _distance(mask: np.ndarray, affine: np.ndarray, most: float) -> np.ndarray:
    """(X, Y, Z) mm from each voxel's centre to the nearest of a mask's that is not empty; beyond `most` it may be
    infinite."""
    from scipy import ndimage

    if is_rigid(affine):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        return ndimage.distance_transform_edt(~mask, sampling=spacing)
    from scipy.spatial import cKDTree

    # The transform knows right angles only. On a sheared grid the nearest centre is looked up.
    out = np.where(mask, 0.0, np.inf)
    outside = np.argwhere(~mask)
    tree = cKDTree(np.argwhere(mask) @ affine[:3, :3].T)
    out[~mask] = tree.query(outside @ affine[:3, :3].T, distance_upper_bound=most + 2 * TOLERANCE_MM)[0]
    return out


def gap_mm(first: np.ndarray, second: np.ndarray, affine: np.ndarray) -> float:
    """The distance of the two nearest voxels of two (X, Y, Z) bool masks that are not empty, centre to centre, mm; 0
    where they share one."""
    box = bounding_box(first | second)
    assert box is not None
    return float(_distance(second[box], affine, np.inf)[first[box]].min())


def touch(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether a voxel of one (X, Y, Z) bool mask is one of the other's, or has a side, an edge or a corner with one."""
    from scipy import ndimage

    box = bounding_box(first | second)
    return box is not None and bool((ndimage.binary_dilation(first[box], np.ones((3, 3, 3))) & second[box]).any())


_SIGNS = {"union": "+", "minus": "-", "intersect": "&"}
_SETS: dict[str, Callable[[Sequence[np.ndarray]], np.ndarray]] = {
    "union": union, "minus": minus, "intersect": intersection,
}  # fmt: skip
_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "grow": grow,
    "shrink": shrink,
    "smooth": smooth,
    "largest": lambda mask, _affine, _mm: largest_part(mask),
    "fill": lambda mask, _affine, _mm: fill_holes(mask),
}
