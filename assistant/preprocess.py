"""From a scan to what the encoder sees, and exactly back.

Intensity rule (also in the README):
  CT   HU. Window 1: -1000..1000 -> 0..1. Window 2 (soft tissue): -150..250 -> 0..1.
  MR   lo = 0.5th percentile of the volume, hi = 99.5th percentile of the voxels above the volume's mean.
       Window 1: lo..hi -> 0..1. Window 2: its square root (lifts the dark end).
  PET  SUV where the file gives it; a volume whose 99.9th percentile lies outside 1..200 is scaled so that this is 10.
       Window 1: 0..20 -> 0..1. Window 2: 0..5 -> 0..1.
Values outside a window are clipped; outside the scan is 0.

Grid rule: the box of the scan that holds something (per axis, the slabs in which at least 0.5 % of the voxels are above
-500 HU, 0.8 SUV, or in MR 0.08 of window 1), plus 5 mm. Coarse level: isotropic, longest side of the box / 64, never
finer than the scan's finest voxel side. Fine level: half of that, on the same box; left out when the coarse level is
already within 1.3 x the scan's finest voxel side. Grids follow the volume's own axes (an oblique scan stays oblique),
so going there and back is separable, axis by axis: a triangle kernel as wide as the coarser of the two spacings, which
is linear interpolation on the way up and area-like averaging on the way down. A coarse voxel is the mean of its 2 x 2 x
2 fine ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from assistant.volume import Volume

MODALITIES = ("CT", "MR", "PET")
#: first voxels (3,) of a part of a volume, and those after the last (3,)
Box = tuple[np.ndarray, np.ndarray]

MARGIN_MM = 5.0
#: of window 1, from where on a voxel is something. In PET what takes up little is still body, and so may a tumour's
#: middle be; but with a wide rim of it the masks spread (training/LOG.md).
SOMETHING = {"CT": 0.25, "MR": 0.08, "PET": 0.04}
FINE_FROM = 1.3


def windows(voxels: Tensor, modality: str) -> Tensor:
    """Raw values (X, Y, Z) -> two windows in 0..1 (2, X, Y, Z). See the module's rule."""
    if modality == "CT":
        return torch.stack([((voxels + 1000) / 2000).clamp(0, 1), ((voxels + 150) / 400).clamp(0, 1)])
    if modality == "MR":
        low, high = mr_range(voxels)
        first = ((voxels - low) / max(high - low, 1e-6)).clamp(0, 1)
        return torch.stack([first, first.sqrt()])
    if modality == "PET":
        top = quantile(voxels, 0.999)
        suv = voxels if 1 <= top <= 200 else voxels * (10 / max(top, 1e-12))
        return torch.stack([(suv / 20).clamp(0, 1), (suv / 5).clamp(0, 1)])
    raise ValueError(f"modality {modality!r}: must be one of {', '.join(MODALITIES)}")


def mr_range(voxels: Tensor) -> tuple[float, float]:
    """The two ends of the MR window, in the volume's own units."""
    body = voxels[voxels > voxels.mean()]
    return quantile(voxels, 0.005), quantile(body if len(body) else voxels, 0.995)


def quantile(values: Tensor, q: float) -> float:
    """Quantile of at most a million evenly spaced values. NumPy's partition is ten times faster than torch's sort."""
    flat = values.reshape(-1)
    step = max(1, flat.numel() // 1_000_000)
    return float(np.quantile(flat[::step].numpy(), q))


@dataclass(frozen=True)
class Grid:
    """An isotropic grid on a volume's own axes.

    shape (3,) voxels; spacing mm; start (3,): position of voxel (0, 0, 0)'s centre in the volume's voxel indices;
    step (3,): grid spacing in the volume's voxels along each axis.
    """

    shape: tuple[int, int, int]
    spacing: float
    start: tuple[float, float, float]
    step: tuple[float, float, float]

    def from_index(self, index: np.ndarray) -> np.ndarray:
        """Volume voxel indices (N, 3) -> grid voxel coordinates (N, 3)."""
        return (np.asarray(index, float) - np.array(self.start)) / np.array(self.step)

    def to_index(self, coordinates: np.ndarray) -> np.ndarray:
        """The inverse of `from_index`."""
        return np.asarray(coordinates, float) * np.array(self.step) + np.array(self.start)

    def moved(self, voxels: np.ndarray) -> Grid:
        """The grid of a part of a volume, on the volume itself: the part begins at `voxels` (3,)."""
        x, y, z = (float(s + v) for s, v in zip(self.start, voxels, strict=True))
        return replace(self, start=(x, y, z))

    def part(self, first: Sequence[int] | np.ndarray, shape: Sequence[int]) -> Grid:
        """The part of `shape` voxels that begins at this grid's voxel `first` (3,)."""
        x, y, z = (float(s + f * d) for s, f, d in zip(self.start, first, self.step, strict=True))
        a, b, c = (int(n) for n in shape)
        return replace(self, shape=(a, b, c), start=(x, y, z))

    def finer(self) -> Grid:
        """The same box at half the spacing: fine voxels 2i and 2i + 1 make up coarse voxel i."""
        a, b, c = self.shape
        start = tuple(s - d / 4 for s, d in zip(self.start, self.step, strict=True))
        step = tuple(d / 2 for d in self.step)
        return Grid((2 * a, 2 * b, 2 * c), self.spacing / 2, start, step)  # type: ignore[arg-type]


def foreground_box(
    first: Tensor, modality: str, spacing: np.ndarray, something: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """First window (X, Y, Z) -> (low, high) voxel edges (3,), (3,) of the part that holds something: what is above
    `something`, the modality's own threshold when None."""
    body = (first > (SOMETHING[modality] if something is None else something)).float()
    low, high = np.zeros(3), np.array(first.shape, float)
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        full = np.flatnonzero((body.mean(others) > 0.005).numpy())
        if len(full):
            margin = MARGIN_MM / spacing[axis]
            low[axis], high[axis] = max(0.0, full[0] - margin), min(high[axis], full[-1] + 1 + margin)
    return low, high


def level_shape(extent: np.ndarray, spacing: float, size: int = 64) -> tuple[int, int, int]:
    """Voxels of a coarse level over `extent` (3,) mm: multiples of 16, 48 at least (the coarsest features are a
    sixteenth of that), `size` at most."""
    shape = [max(min(48, size), min(size, 16 * int(np.ceil(e / spacing / 16 - 1e-6)))) for e in extent]
    return (shape[0], shape[1], shape[2])


def coarse_grid(spacing: np.ndarray, low: np.ndarray, high: np.ndarray, size: int = 64) -> Grid:
    """The coarse level over the voxel box low..high (edges) of a volume with `spacing` (3,) mm."""
    extent = (high - low) * spacing
    s = max(float(extent.max()) / size, float(spacing.min()))
    shape = level_shape(extent, s, size)
    step = s / spacing
    middle = (low + high) / 2 - 0.5
    start = middle - (np.array(shape) - 1) / 2 * step
    return Grid(shape, s, tuple(start), tuple(step))


def needs_fine(grid: Grid, spacing: np.ndarray) -> bool:
    """Does the scan hold more than the coarse level shows?"""
    return grid.spacing > FINE_FROM * float(np.min(spacing))


def axis_weights(n_in: int, positions: np.ndarray, width: float) -> Tensor:
    """Rows of triangle-kernel weights (len(positions), n_in): each output at a position in input voxels, the kernel's
    half-width `width` >= 1 input voxels. Rows sum to 1 inside and fall to 0 within one kernel outside the input."""
    width = max(1.0, width)
    reach = int(np.ceil(width))
    taps = np.arange(-reach, n_in + reach)
    weights = np.clip(1 - np.abs(positions[:, None] - taps[None]) / width, 0, None)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
    return torch.from_numpy(weights[:, reach : reach + n_in].astype(np.float32))


def apply_axes(values: Tensor, matrices: list[Tensor]) -> Tensor:
    """(C, X, Y, Z) with one (out, in) matrix an axis -> (C, X', Y', Z'). The axis that shrinks most goes first."""
    order = sorted(range(3), key=lambda a: matrices[a].shape[0] / matrices[a].shape[1])
    for axis in order:
        values = torch.movedim(torch.movedim(values, axis + 1, -1) @ matrices[axis].T, -1, axis + 1)
    return values


def to_grid(values: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Values on the volume (C, X, Y, Z) -> on the grid (C, *shape), and how much of each grid voxel lies in the scan
    (*shape), 0..1."""
    matrices = []
    for axis in range(3):
        positions = grid.start[axis] + np.arange(grid.shape[axis]) * grid.step[axis]
        matrices.append(axis_weights(values.shape[axis + 1], positions, grid.step[axis]))
    inside = torch.einsum("i,j,k->ijk", *(m.sum(1) for m in matrices))
    return apply_axes(values, matrices), inside


def from_grid(values: Tensor, grid: Grid, low: np.ndarray, high: np.ndarray, outside: float) -> Tensor:
    """The way back: values on the grid (C, *shape) -> on the volume's voxels low..high (index box, high exclusive).

    Linear interpolation between grid centres (averaging where the volume is the coarser one); voxels beyond the grid
    get `outside`."""
    a, b, c = (int(n) for n in np.asarray(high) - np.asarray(low))
    x, y, z = (float(v) for v in low)
    return regrid(values, grid, Grid((a, b, c), 0.0, (x, y, z), (1.0, 1.0, 1.0)), outside)


def regrid(values: Tensor, grid: Grid, other: Grid, outside: float) -> Tensor:
    """Values on one grid of a volume (C, *grid.shape) -> on another (C, *other.shape), as `from_grid` does."""
    matrices = []
    for axis in range(3):
        places = other.start[axis] + np.arange(other.shape[axis]) * other.step[axis]
        positions = (places - grid.start[axis]) / grid.step[axis]
        matrices.append(axis_weights(grid.shape[axis], positions, other.step[axis] / grid.step[axis]))
    return apply_axes(values - outside, matrices) + outside


def level_input(
    pair: Tensor, inside: Tensor, spacing: float, modality: str, start: Sequence[int], whole: Sequence[int]
) -> Tensor:
    """What the encoder sees of a level or of a tile of it: (1, 10, X, Y, Z).

    pair (2, X, Y, Z) windows; inside (X, Y, Z); start: the tile's first voxel in the level, `whole` the level's shape
    (zeros and the own shape for a whole level). Channels: the two windows; log2(spacing) / 3; modality one-hot;
    inside-the-scan; where each voxel lies in the level's field of view, -1..1 along x, y, z."""
    shape = pair.shape[1:]
    constant = [np.log2(spacing) / 3] + [float(modality == m) for m in MODALITIES]
    planes = torch.tensor(constant, dtype=pair.dtype)[:, None, None, None].expand(-1, *shape)
    places = []
    for axis in range(3):
        line = (torch.arange(shape[axis], dtype=pair.dtype) + start[axis] + 0.5) / whole[axis] * 2 - 1
        places.append(line.view([-1 if a == axis else 1 for a in range(3)]).expand(*shape))
    return torch.cat([pair, planes, inside[None].to(pair.dtype), torch.stack(places)])[None]


def pool(values: Tensor) -> Tensor:
    """Fine (C, 2x, 2y, 2z) -> coarse (C, x, y, z): the mean of each 2 x 2 x 2."""
    return F.avg_pool3d(values[None], 2)[0]


@dataclass(frozen=True)
class Canonical:
    """A volume as the encoder sees it. `fine` is None where the coarse level already shows all there is.

    coarse, fine: (2, *shape) windows; *_inside: (*shape)."""

    modality: str
    coarse_grid: Grid
    coarse: Tensor
    coarse_inside: Tensor
    fine_grid: Grid | None
    fine: Tensor | None
    fine_inside: Tensor | None


def canonical(volume: Volume, size: int = 64, box: Box | None = None) -> Canonical:
    """Both levels of a volume. Spacing and axes come from the volume; nothing is guessed here.

    box: a part of it, which is then seen as a scan of that part alone would be: its own windows, and nothing inside the
    scan beyond it. The grids are on the volume all the same."""
    first, last = (np.zeros(3, int), np.array(volume.shape)) if box is None else box
    part = volume.voxels[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))]
    pair = windows(torch.from_numpy(np.ascontiguousarray(part)), volume.modality)
    spacing = np.asarray(volume.spacing, float)
    low, high = np.zeros(3), np.array(part.shape, float)
    if box is None:
        low, high = foreground_box(pair[0], volume.modality, spacing)
    grid = coarse_grid(spacing, low, high, size)
    if not needs_fine(grid, spacing):
        values, inside = to_grid(pair, grid)
        return Canonical(volume.modality, grid.moved(first), values, inside, None, None, None)
    fine, fine_inside = to_grid(pair, grid.finer())
    coarse, inside, grid = pool(fine), pool(fine_inside[None])[0], grid.moved(first)
    return Canonical(volume.modality, grid, coarse, inside, grid.finer(), fine, fine_inside)
