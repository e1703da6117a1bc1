"""What is drawn of one mask, and its way to the volume's own voxels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant import preprocess
from assistant.preprocess import Box, Grid

NOWHERE = -10.0  # logit where nothing was drawn
SLACK = 3.0  # margin, in logits, by which a mask may be under another on the grid and over it between two voxels

Slices = tuple[slice, ...]


def overlap(one: Slices, other: Slices) -> tuple[Slices, Slices] | None:
    """What two boxes have in common, counted from the first voxel of each; None where that is nothing."""
    spans = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    if any(a >= b for a, b in spans):
        return None
    mine, its = (
        tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(spans, box, strict=True)) for box in (one, other)
    )
    return mine, its


def box_at(low: tuple[int, ...] | np.ndarray, shape: tuple[int, ...]) -> Slices:
    """The box of `shape` voxels that begins at voxel `low`."""
    return tuple(slice(int(a), int(a) + n) for a, n in zip(low, shape, strict=True))


@dataclass(frozen=True)
class Layer:
    """What of one mask is drawn before any click acts: logits (X, Y, Z), over 0 in the mask, of the box of a level's
    grid that begins at its voxel low (3,). They are the least of margins (1 + K, X, Y, Z): over the empty background,
    over each of its near rivals and over all far ones. fine: whether that level is the fine one."""

    margins: Tensor
    grid: Grid
    low: np.ndarray
    fine: bool = False

    @cached_property
    def logits(self) -> Tensor:
        return self.margins.amin(0)

    @property
    def box(self) -> Slices:
        """The layer's voxels within its level."""
        return box_at(self.low, tuple(self.margins.shape[1:]))

    @property
    def part(self) -> Grid:
        """The grid of the layer's own voxels."""
        return self.grid.part(self.low, tuple(self.margins.shape[1:]))

    def mean(self, other: Layer) -> Layer:
        """This layer with the mean of its margins and another's, on its own grid; itself where the other draws
        nothing."""
        if not self.margins.numel() or not bool((other.margins > NOWHERE).any()):
            return self
        own, its = (layer.margins.clamp(NOWHERE, -NOWHERE) for layer in (self, other))
        return replace(self, margins=(own + preprocess.regrid(its, other.part, self.part, NOWHERE)) / 2)

    def over_all(self, extent: Box, least: float, most: float) -> Iterator[tuple[Slices, Tensor]]:
        """The least margin on the volume's own voxels, as `on_volume` gives it: of the part in which it is over
        `least`, right as far as it is under `most`.

        Each margin is brought to the volume before the least is taken: between a grid voxel that goes to one rival and
        one that goes to another, this mask may be the strongest."""
        reach = _reach(self.grid)
        near = self.logits > least - SLACK
        around = F.max_pool3d(near[None].float(), 2 * reach + 1, 1, reach)[0] > 0 if near.numel() else near
        own = self.margins[0].masked_fill(~around, NOWHERE)
        for where, values in on_volume(own, self.part, extent, near):
            for margin in self.margins[1:]:
                for there, other in _inner(margin, self.part, extent, (margin <= most) & around):
                    common = overlap(where, there)
                    if common is not None:
                        mine, its = common
                        values[mine] = torch.minimum(values[mine], other[its])
            yield where, values


def on_volume(
    logits: Tensor, grid: Grid, extent: Box, near: Tensor, outside: float = NOWHERE
) -> Iterator[tuple[Slices, Tensor]]:
    """Logits on a grid on the volume's own voxels, of which `extent` is wanted: the part of the volume (none, or one)
    around the grid's voxels `near` (X, Y, Z) bool, and the logits there."""
    spots = near.nonzero()
    if not len(spots):
        return
    a = np.maximum(spots.amin(0).numpy() - 2, 0)
    b = np.minimum(spots.amax(0).numpy() + 3, np.array(logits.shape))
    values = logits[tuple(slice(i, j) for i, j in zip(a, b, strict=True))].clamp(NOWHERE, -NOWHERE)
    yield from _sampled(values, grid.part(a, tuple(values.shape)), extent, 0, outside)


def _inner(logits: Tensor, grid: Grid, extent: Box, near: Tensor) -> Iterator[tuple[Slices, Tensor]]:
    """`on_volume` as far as what is interpolated from the voxels `near` reaches, and no farther."""
    spots = near.nonzero()
    if not len(spots):
        return
    reach = _reach(grid)
    wide = F.pad(logits, (2 * reach,) * 6, value=NOWHERE)
    a, b = spots.amin(0).numpy(), spots.amax(0).numpy() + 1 + 4 * reach
    values = wide[tuple(slice(i, j) for i, j in zip(a, b, strict=True))].clamp(NOWHERE, -NOWHERE)
    yield from _sampled(values, grid.part(a - 2 * reach, tuple(values.shape)), extent, reach, NOWHERE)


def _sampled(values: Tensor, grid: Grid, extent: Box, rim: int, outside: float) -> Iterator[tuple[Slices, Tensor]]:
    """Values (X, Y, Z) of a grid on the volume's own voxels, less `rim` voxels of the grid at each side: where they
    lie, and they; nothing where `extent` has no voxel there."""
    first, last = extent
    low = np.floor(grid.to_index(np.full(3, rim - 1.0))).astype(int).clip(first)
    high = (np.ceil(grid.to_index(np.array(values.shape, float) - rim)).astype(int) + 1).clip(max=last)
    if (high > low).all():
        where = tuple(slice(i, j) for i, j in zip(low, high, strict=True))
        yield where, preprocess.from_grid(values[None], grid, low, high, outside)[0]


def _reach(grid: Grid) -> int:
    """Voxels of a grid beyond which one has no say in the volume's: linear interpolation, or the mean over larger
    voxels."""
    return 1 + math.ceil(1 / min(grid.step))
