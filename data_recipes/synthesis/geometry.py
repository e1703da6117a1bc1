"""Random geometry: where each voxel of a new grid comes from in a stored array.

A sample is drawn on its own isotropic grid; its coordinates in the source array are an affine (rotation, scale, shear
about the middle of the field of view) plus a smooth random displacement. A left-right mirror is part of the affine and
reported, so that the caller can swap the names of sided structures: never one without the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Warp:
    """coordinates (3, X, Y, Z) float: source voxel index of each voxel; mirrored: left and right have changed
    places."""

    coordinates: Tensor
    mirrored: bool


def random_matrix(rng: np.random.Generator, degrees: float, scale: float, shear: float) -> np.ndarray:
    """Rotation by at most `degrees` about each axis, log-scale within +-scale, shear within +-shear -> (3, 3)."""
    a, b, c = np.deg2rad(rng.uniform(-degrees, degrees, 3))
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    stretch = np.diag(np.exp(rng.uniform(-scale, scale, 3)))
    slant = np.eye(3) + np.triu(rng.uniform(-shear, shear, (3, 3)), 1)
    return rx @ ry @ rz @ stretch @ slant


def random_warp(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing: float,
    middle: np.ndarray,
    source_spacing: np.ndarray,
    *,
    degrees: float = 12,
    scale: float = 0.12,
    shear: float = 0.05,
    elastic_mm: float = 3.0,
    mirrors: tuple[bool, bool, bool] = (False, False, False),
) -> Warp:
    """shape, spacing (mm): the new grid; middle (3,): the source index its middle falls on; source_spacing (3,) mm;
    mirrors: which axes are mirrored, left to right the first."""
    matrix = random_matrix(rng, degrees, scale, shear)
    matrix = matrix @ np.diag([-1.0 if mirrored else 1.0 for mirrored in mirrors])
    axes = [(torch.arange(n) - (n - 1) / 2) * spacing for n in shape]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    if elastic_mm > 0:
        knots = torch.from_numpy(rng.normal(0, rng.uniform(0, elastic_mm), (1, 3, 6, 6, 6)).astype(np.float32))
        bend = F.interpolate(knots, size=shape, mode="trilinear", align_corners=True)[0]
    else:
        bend = torch.zeros(3, *shape)
    m = matrix / source_spacing[:, None]
    rows = [
        float(m[i, 0]) * x
        + float(m[i, 1]) * y
        + float(m[i, 2]) * z
        + bend[i] / float(source_spacing[i])
        + float(middle[i])
        for i in range(3)
    ]
    return Warp(torch.stack(rows).float(), mirrors[0])


def pool_coordinates(coordinates: Tensor) -> Tensor:
    """Coordinates of a grid -> of the grid of half the resolution, whose voxels are the middles of 2 x 2 x 2."""
    return F.avg_pool3d(coordinates[None], 2)[0]


def nearest(source: Tensor, coordinates: Tensor, outside: int = 0) -> Tensor:
    """Label at the nearest source voxel; `outside` beyond the array. source (A, B, C) integer -> (X, Y, Z)."""
    index = coordinates.round().long()
    size = torch.tensor(source.shape)[:, None, None, None]
    valid = ((index >= 0) & (index < size)).all(0)
    index = index.clamp_min(0).minimum(size - 1)
    flat = (index[0] * source.shape[1] + index[1]) * source.shape[2] + index[2]
    out = source.reshape(-1)[flat]
    return torch.where(valid, out, torch.full_like(out, outside))


def linear(source: Tensor, coordinates: Tensor, outside: float) -> Tensor:
    """Trilinear value; `outside` beyond the array. source (A, B, C) float -> (X, Y, Z)."""
    size = torch.tensor(source.shape, dtype=torch.float32)[:, None, None, None]
    where = ((coordinates + 0.5) / size * 2 - 1).flip(0).permute(1, 2, 3, 0)[None]
    return F.grid_sample((source - outside)[None, None], where, align_corners=False)[0, 0] + outside


def inside(source_shape: tuple[int, ...], coordinates: Tensor) -> Tensor:
    """1 where a coordinate lies in the source array, else 0. (X, Y, Z) float."""
    size = torch.tensor(source_shape, dtype=torch.float32)[:, None, None, None]
    return ((coordinates > -0.5) & (coordinates < size - 0.5)).all(0).float()
