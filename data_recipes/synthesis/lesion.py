"""Implanted lesions: lumpy ellipsoids inside given tissue."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def blob(rng: np.random.Generator, shape: tuple[int, ...], centre: np.ndarray, radius: np.ndarray) -> Tensor:
    """A lumpy ellipsoid: radius (3,) voxels about centre (3,) -> bool (X, Y, Z)."""
    axes = [((torch.arange(n) - float(c)) / float(r)) ** 2 for n, c, r in zip(shape, centre, radius, strict=True)]
    distance = (axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]).sqrt()
    knots = torch.from_numpy(rng.normal(0, 0.35, (1, 1, 10, 10, 10)).astype(np.float32))
    return distance + F.interpolate(knots, size=shape, mode="trilinear", align_corners=True)[0, 0] < 1


def implant(rng: np.random.Generator, image: Tensor, tissue: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
    """Put one to three lesions (radius 4 to 20 mm) where `tissue` (X, Y, Z bool) is, in an image (X, Y, Z).

    Returns the image and the lesion mask, both (X, Y, Z). The contrast is drawn at either side of the tissue's own;
    a third have a rim or a core of their own. No tissue: the image unchanged and an empty mask."""
    where = tissue.nonzero()
    mask = torch.zeros_like(tissue)
    if not len(where):
        return image, mask
    inside = image[tissue]
    low, mean, high = float(inside.min()), float(inside.mean()), float(inside.max())
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        centre = where[int(rng.integers(len(where)))].numpy()
        radius = np.exp(rng.uniform(np.log(4), np.log(20))) * rng.uniform(0.7, 1.3, 3) / spacing
        lesion = blob(rng, tuple(image.shape), centre, radius) & tissue
        away = rng.uniform(0.35, 1.0)
        value = mean + away * (high * 1.2 - mean) if rng.random() < 0.6 else mean - away * (mean - low)
        texture = 1 + rng.uniform(0, 0.12) * torch.randn(
            image.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62)))
        )
        blend = rng.uniform(0.7, 1.0)
        image = torch.where(lesion, blend * value * texture + (1 - blend) * image, image)
        if rng.random() < 0.33:
            core = blob(rng, tuple(image.shape), centre, radius * rng.uniform(0.4, 0.8)) & lesion
            image = torch.where(core, float(rng.uniform(low, high)) * texture, image)
        mask |= lesion
    return image, mask
