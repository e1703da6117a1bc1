"""The tiles in which the fine level is read: where they lie, which one decides a voxel, which of them a mask needs."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

MARGIN = 8  # fine voxels that a tile sees beyond what it decides, on every side where it has a neighbour
FADE = 2  # fine voxels over which one tile gives way to the next


def cell_edges(n: int, tile: int) -> list[float]:
    """Where along an axis of n fine voxels one tile of side `tile` hands over to the next, 0 and n among them.

    The cells between them are of one size: the fewest whose tiles reach MARGIN voxels beyond them."""
    inner, outer = tile - 2 * MARGIN, tile - MARGIN  # a tile at an end needs one margin alone
    count = 1 if n <= tile else 2 if n <= 2 * outer else int(np.ceil(n / inner))
    return [n * i / count for i in range(count + 1)]


def tile_starts(n: int, tile: int) -> list[int]:
    """First voxels of the tiles of side `tile` that cover n fine voxels, each with its cell in its middle as far as the
    ends allow."""
    edges = cell_edges(n, tile)
    return [2 * round(min(max(0.0, (a + b - tile) / 2), max(0, n - tile)) / 2) for a, b in itertools.pairwise(edges)]


@lru_cache(maxsize=256)
def blend_weights(start: tuple[int, ...], size: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    """Weight of each voxel of the tile of `size` that begins at `start` of a level of `whole` voxels (X, Y, Z): 1 in
    its cell, 0 beyond, falling linearly over FADE voxels where it has a neighbour."""
    axes = []
    for s, n, end in zip(start, size, whole, strict=True):
        edges, at, line = cell_edges(end, n), s + torch.arange(n) + 0.5, torch.ones(n)
        own = tile_starts(end, n).index(s)
        if own > 0:
            line = line.minimum((at - edges[own]) / FADE + 0.5)
        if own + 2 < len(edges):
            line = line.minimum((edges[own + 1] - at) / FADE + 0.5)
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
