"""The tiles in which the fine level is read: where they lie, how they are blended, which of them a mask needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

OVERLAP = 16  # fine voxels that neighbouring tiles share at least
MARGIN = 6  # of them, those at a tile's side that its neighbour alone decides


def tile_starts(n: int, tile: int) -> list[int]:
    """First voxels of the tiles of side `tile` that cover n fine voxels: even, about OVERLAP shared by neighbours."""
    if n <= tile:
        return [0]
    count = int(np.ceil((n - OVERLAP) / (tile - OVERLAP)))
    return [2 * round(s / 2) for s in np.linspace(0, n - tile, count)]


@lru_cache(maxsize=256)
def blend_weights(start: tuple[int, ...], size: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    """Weight of each voxel of the tile of `size` that begins at `start` of a level of `whole` voxels (X, Y, Z): towards
    a side where it has a neighbour it falls linearly, to 0 in the last MARGIN voxels."""
    axes = []
    for s, n, end in zip(start, size, whole, strict=True):
        at, line = torch.arange(n) + 0.5 - MARGIN, torch.ones(n)
        if s > 0:
            line = line.minimum(at / (OVERLAP - 2 * MARGIN))
        if s + n < end:
            line = line.minimum(at.flip(0) / (OVERLAP - 2 * MARGIN))
        axes.append(line.clamp_min(0))
    return torch.einsum("i,j,k->ijk", *axes)


def live_voxels(logits: Tensor) -> Tensor:
    """Where the fine level is worth a look: coarse logits (x, y, z) -> bool, one voxel wider than what they draw.

    Specks are left out: a connected part of less than a tenth of the largest one's mass costs a tile and is an error
    far more often than a find."""
    spread = logits.sigmoid()
    drawn = spread > min(0.2, 0.5 * float(spread.max()))
    live = torch.zeros_like(drawn)
    spots = drawn.nonzero()
    if not len(spots):
        return live
    # all that follows happens in the box of what is drawn, and one voxel around it
    box = tuple(
        slice(max(0, int(a) - 1), int(b) + 2) for a, b in zip(spots.amin(0), spots.amax(0), strict=True)
    )
    parts, _ = ndimage.label(drawn[box].numpy(), np.ones((3, 3, 3)))
    mass = np.bincount(parts.ravel(), spread[box].numpy().ravel())
    mass[0] = 0
    kept = torch.from_numpy((mass >= 0.1 * mass.max())[parts] & (parts > 0))
    live[box] = F.max_pool3d(kept[None, None].float(), 3, 1, 1)[0, 0] > 0
    return live
