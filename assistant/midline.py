"""Where a scan's left and right part: the plane halfway between paired structures.

The middle of the scanned block says little (a thigh may fill it, a head may lie off it), so a side is told only where
the segmenter sees both of a pair. It draws all its structures coarsely for every scan anyway; no mask is made for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assistant.study import Study

LEAST = 8  # coarse voxels that each of a pair must hold
TOLERANCE_MM = 5.0  # nearer to the plane than this is neither left nor right


@dataclass(frozen=True)
class Midline:
    """point (3,): RAS+ mm, on the plane. right (3,): unit vector to the patient's right."""

    point: np.ndarray
    right: np.ndarray

    def offset_mm(self, place: tuple[float, float, float]) -> float:
        """How far to the right of the plane a place (RAS+ mm) lies; negative: to the left."""
        return float((np.asarray(place) - self.point) @ self.right)

    def side(self, place: tuple[float, float, float]) -> str | None:
        """ "left", "right", or None near the plane."""
        offset = self.offset_mm(place)
        return None if abs(offset) < TOLERANCE_MM else "right" if offset > 0 else "left"


def midline(study: Study) -> Midline | None:
    """The plane between the paired structures that a study shows; None where it shows no pair."""
    rivals = study.rivals
    if rivals is None:
        return None
    places: dict[str, np.ndarray] = {}
    names = rivals.segmenter.config.taught_names
    for claims in rivals.coarse:
        if claims is None:
            continue
        best, owner = claims.best.cpu().numpy(), claims.owner.cpu().numpy()
        for index in np.unique(owner[best > 0]):
            spots = np.argwhere((best > 0) & (owner == index))
            if len(spots) >= LEAST:
                at = study.view.canonical.coarse_grid.to_index(spots.mean(axis=0))
                places[names[int(index)]] = study.volume.to_world(at)
    return between(places)


def between(places: Mapping[str, np.ndarray]) -> Midline | None:
    """The plane halfway between pairs: the centres (3,) RAS+ mm of "left X" and "right X" by name; None without a
    pair, or where the pairs do not agree on a direction."""
    left = {name.removeprefix("left "): place for name, place in places.items() if name.startswith("left ")}
    pairs = [(place, places[f"right {base}"]) for base, place in left.items() if f"right {base}" in places]
    if not pairs:
        return None
    across = np.mean([(b - a) / np.linalg.norm(b - a) for a, b in pairs], axis=0)
    length = float(np.linalg.norm(across))
    if length < 0.7 or across[0] < 0:  # the pairs do not agree on a direction: something is misread
        return None
    return Midline(np.mean([(a + b) / 2 for a, b in pairs], axis=0), across / length)
