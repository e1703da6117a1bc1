"""Where a scan is looked at again: the box of what the first look found.

The levels have a number of voxels, not a voxel size. Half of a head-and-neck CT is shoulders, half of a head MR neck
and air, so what is asked about gets few of them. The first look sees the whole scan; where it finds the structures of a
group that the segmenter has also learned from close by (`SegmenterConfig.focus`), the second sees the box around them,
and what lies there is drawn from it. The same zooming out and in as between the levels, one step earlier (SegVol, Du et
al. 2024).
"""

from __future__ import annotations

import numpy as np

from assistant.preprocess import Box, Canonical
from assistant.rivals import Rivals
from assistant.volume import Volume

MARGIN_MM = 15.0  # around what was found: coarse masks end a voxel or two too early, and 6 to 9 mm are a voxel
LEAST_SHARE = 0.5  # of a group that must be found: the brainstem of a neck is no brain
RIM = 1.0  # per cent of a structure's voxels that the box may leave out at an end: specks lie there
WORTH = 0.85  # of the whole scan's longest side: a box that is hardly smaller shows nothing new


def focus_box(volume: Volume, seen: Canonical, rivals: Rivals | None) -> Box | None:
    """The part of a volume to look at again, or None. seen: the levels of the first look, rivals: what it found."""
    if rivals is None:
        return None
    config = rivals.segmenter.config
    spots: list[np.ndarray] = []
    best = 0.0
    for group in config.focus:
        rows = {config.taught_names.index(name) for name in group}
        found = rows & rivals.there
        if len(found) / len(group) > max(best, LEAST_SHARE - 1e-9):
            best, spots = len(found) / len(group), [rivals.where(row, group) for row in sorted(found)]
    ends = np.array([np.percentile(at, (RIM, 100 - RIM), axis=0) for at in spots if len(at)])
    if not len(ends):
        return None
    grid, spacing = seen.coarse_grid, np.asarray(volume.spacing, float)
    low = grid.to_index(ends[:, 0].min(0) - 0.5) + 0.5 - MARGIN_MM / spacing
    high = grid.to_index(ends[:, 1].max(0) + 0.5) + 0.5 + MARGIN_MM / spacing
    first, last = np.floor(low).astype(int).clip(0), np.minimum(np.ceil(high).astype(int), volume.shape)
    # the first look sees what the scan holds; of a small scan its grid has voxels outside
    seen_mm = min(grid.spacing * max(grid.shape), float((np.array(volume.shape) * spacing).max()))
    return None if float(((last - first) * spacing).max()) > WORTH * seen_mm else (first, last)
