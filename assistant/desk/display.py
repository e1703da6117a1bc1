"""What of a scan and its masks goes to the viewer: no more voxels than a screen can show, on a grid that lies exactly.

A scan over `MAX_VIEWER_VOXELS` is averaged over blocks of voxels along its finest axes; masks follow it and are cut to
their box. The read-out stays true: the viewer reads single voxels of the whole scan from a file beside it.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assistant.volume import Volume

# A browser holds the scan three times over (file, array, texture). 512 x 512 x 600 goes as 256 x 256 x 600, 79 MB.
MAX_VIEWER_VOXELS = 40_000_000
MAX_SIDE = 2048  # the side of a 3D texture that WebGL 2 guarantees
MAX_SURFACE_VOXELS = 1_500_000  # a mask's box, for its surface: more triangles than pixels show nothing more


@dataclass(frozen=True)
class Grid:
    """Of the voxels shown: how many of the scan's are averaged along x, y, z; (X, Y, Z); index -> RAS+ mm, (4, 4)."""

    factors: tuple[int, int, int]
    shape: tuple[int, int, int]
    affine: np.ndarray


@dataclass(frozen=True)
class ExactFile:
    """Every voxel of a scan that is shown averaged: int16, C order (z fastest), value = stored * slope + inter."""

    path: Path
    slope: float
    inter: float


def display_grid(volume: Volume) -> Grid:
    """The grid of what the viewer shows of a volume: its own, or the first one of at most `MAX_VIEWER_VOXELS`.

    The finest axes are coarsened first, together where they are alike (within 10 %), so voxels become more even.
    """
    whole = np.asarray(volume.shape)
    factors = -(-whole // MAX_SIDE)
    while np.prod(-(-whole // factors), dtype=np.int64) > MAX_VIEWER_VOXELS:
        size = volume.spacing * factors
        size[factors >= whole] = np.inf  # nothing is left to average
        factors[size <= 1.1 * size.min()] += 1
    x, y, z = (int(n) for n in -(-whole // factors))
    return Grid((int(factors[0]), int(factors[1]), int(factors[2])), (x, y, z), _coarse(volume.affine, factors))


def _coarse(affine: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The affine of blocks of voxels: the centre of block 0 is the mean of its voxels' centres."""
    blocks = np.diag([*factors, 1.0])
    blocks[:3, 3] = (factors - 1) / 2
    return affine @ blocks


def averaged(array: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """The means of blocks of (X, Y, Z) voxels, float32; a last block that is not whole is the mean of what is there."""
    if factors == (1, 1, 1):
        return array.astype(np.float32, copy=False)
    shape = [-(-n // f) for n, f in zip(array.shape, factors, strict=True)]
    total = np.zeros(shape, np.float32)
    count = np.zeros(shape, np.uint8)
    for i, j, k in itertools.product(*(range(f) for f in factors)):
        part = array[i :: factors[0], j :: factors[1], k :: factors[2]]
        here = tuple(slice(n) for n in part.shape)
        total[here] += part
        count[here] += 1
    return total / count


def boxed(mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """A mask, bool (X, Y, Z) of the scan, on the display grid: uint8 0/1 cut to its box with a rim of zeros, and the
    affine of the cut. A block is in where half of its voxels are; a mask too thin for that is in wherever it is."""
    factors = np.asarray(grid.factors)
    spans = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(inside[0]), int(inside[-1])) if inside.size else (0, 0)
        spans.append((first // factors[axis], last // factors[axis] + 1))
    cut = mask[tuple(slice(lo * f, hi * f) for (lo, hi), f in zip(spans, factors, strict=True))]
    part = averaged(cut, grid.factors)
    half = part >= 0.5
    small = np.pad((half if half.any() else part > 0).astype(np.uint8), 1)
    return small, moved(grid.affine, [lo - 1 for lo, _ in spans])


def moved(affine: np.ndarray, voxels: list[int]) -> np.ndarray:
    """The affine of a grid that begins at another voxel."""
    shift = np.eye(4)
    shift[:3, 3] = voxels
    return affine @ shift


def steps_of(voxels: np.ndarray) -> tuple[float, float]:
    """slope and inter of 16-bit storage: whole numbers within 16 bits (CT) are kept exactly, anything else is spread
    over 65,000 steps of its range."""
    low, high = float(voxels.min()), float(voxels.max())
    if low >= -32768 and high <= 32767 and all(np.array_equal(plane, np.rint(plane)) for plane in voxels):
        return 1.0, 0.0
    return (high - low) / 65000 or 1.0, (high + low) / 2


def write_exact(volume: Volume, folder: Path) -> ExactFile | None:
    """The whole scan for the read-out, where the viewer's is averaged; None where it is not.

    One voxel is two bytes at 2 * (z + Z * (y + Y * x)), which a browser can ask for alone.
    """
    if display_grid(volume).factors == (1, 1, 1):
        return None
    slope, inter = steps_of(volume.voxels)
    path = folder / f"{secrets.token_hex(8)}.bin"
    with path.open("wb") as file:
        for plane in volume.voxels:
            file.write(np.rint((plane - inter) / slope).astype("<i2").tobytes())
    return ExactFile(path, slope, inter)


def surface(mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a mask with a rim of zeros: corners (V, 3) float32 RAS+ mm and triangles (T, 3) int32 that turn
    counter-clockwise seen from outside. By marching cubes (Lewiner et al. 2003) on the mask, smoothed by a voxel."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    factors = np.ones(3, int)
    while np.prod(-(-np.asarray(mask.shape) // factors), dtype=np.int64) > MAX_SURFACE_VOXELS:
        factors += 1
    part = averaged(mask, (int(factors[0]), int(factors[1]), int(factors[2])))
    part = np.pad(part, 1)
    smooth = gaussian_filter(part, 0.7)
    if smooth.max() <= 0.5:  # a voxel or two
        smooth = part
    corners, triangles, _, _ = marching_cubes(smooth, min(0.5, 0.5 * float(smooth.max())))
    triangles = triangles[:, ::-1]  # scikit-image turns them clockwise
    place = moved(_coarse(affine, factors), [-1, -1, -1])
    return (corners @ place[:3, :3].T + place[:3, 3]).astype(np.float32), triangles.astype(np.int32)


def write_mz3(corners: np.ndarray, triangles: np.ndarray, path: Path) -> Path:
    """A mesh as NiiVue reads it (Surf Ice's mz3: 16 bytes of header, triangles, corners; little endian)."""
    head = np.array([0x5A4D, 3], "<u2").tobytes() + np.array([len(triangles), len(corners), 0], "<u4").tobytes()
    path.write_bytes(head + triangles.astype("<i4").tobytes() + corners.astype("<f4").tobytes())
    return path
