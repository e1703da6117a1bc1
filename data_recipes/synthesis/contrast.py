"""Brain MR of any contrast from a label map (the idea of SynthSeg, Billot et al. 2023: every label draws its own
Gaussian), with priors towards T1, T2 and FLAIR for part of the images, and the wear of real scans: bias field,
blur, thick slices, noise, gamma.

Label values are FreeSurfer's (brain) and >= 500 (extra-cerebral tissue); 0 is air.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: FreeSurfer value -> tissue class; left and right share one
TISSUE = {
    2: "white", 41: "white", 3: "cortex", 42: "cortex", 4: "csf", 43: "csf", 5: "csf", 44: "csf", 14: "csf", 15: "csf",
    24: "csf", 7: "cerebellum white", 46: "cerebellum white", 8: "cerebellum cortex", 47: "cerebellum cortex",
    10: "thalamus", 49: "thalamus", 11: "caudate", 50: "caudate", 12: "putamen", 51: "putamen", 13: "pallidum",
    52: "pallidum", 16: "brainstem", 17: "hippocampus", 53: "hippocampus", 18: "amygdala", 54: "amygdala",
    26: "accumbens", 58: "accumbens", 28: "ventral dc", 60: "ventral dc", 30: "csf", 62: "csf", 72: "csf",
}  # fmt: skip

#: class -> (low, high) mean intensity, white matter or fluid near 1; from how the sequences weight tissue
PRIORS = {
    "T1": {
        "white": (0.78, 0.9), "cortex": (0.5, 0.64), "csf": (0.08, 0.25), "cerebellum white": (0.72, 0.88),
        "cerebellum cortex": (0.48, 0.62), "thalamus": (0.62, 0.76), "caudate": (0.53, 0.66), "putamen": (0.57, 0.7),
        "pallidum": (0.7, 0.84), "brainstem": (0.7, 0.84), "hippocampus": (0.5, 0.63), "amygdala": (0.5, 0.63),
        "accumbens": (0.52, 0.65), "ventral dc": (0.66, 0.8),
    },
    "T2": {
        "white": (0.25, 0.4), "cortex": (0.42, 0.6), "csf": (0.85, 1.0), "cerebellum white": (0.25, 0.4),
        "cerebellum cortex": (0.42, 0.58), "thalamus": (0.33, 0.46), "caudate": (0.38, 0.52), "putamen": (0.33, 0.48),
        "pallidum": (0.2, 0.35), "brainstem": (0.28, 0.42), "hippocampus": (0.45, 0.62), "amygdala": (0.45, 0.6),
        "accumbens": (0.4, 0.55), "ventral dc": (0.27, 0.4),
    },
    "FLAIR": {
        "white": (0.45, 0.6), "cortex": (0.6, 0.78), "csf": (0.05, 0.2), "cerebellum white": (0.45, 0.6),
        "cerebellum cortex": (0.55, 0.72), "thalamus": (0.5, 0.66), "caudate": (0.56, 0.72), "putamen": (0.52, 0.68),
        "pallidum": (0.4, 0.55), "brainstem": (0.45, 0.62), "hippocampus": (0.62, 0.8), "amygdala": (0.62, 0.8),
        "accumbens": (0.56, 0.72), "ventral dc": (0.45, 0.6),
    },
}  # fmt: skip


#: How often each kind of contrast is drawn; "free": any mean for any tissue
SHARES = {"T1": 0.4, "T2": 0.15, "FLAIR": 0.1, "free": 0.35}


def draw_means(rng: np.random.Generator, values: np.ndarray, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every label value -> (len(values),) twice. kind: a key of PRIORS or None
    (free)."""
    classes: dict[str, tuple[float, float]] = {}
    means, stds = np.zeros(len(values)), np.zeros(len(values))
    for i, value in enumerate(values):
        name = TISSUE.get(int(value), f"other {value}")
        if value == 0:
            means[i], stds[i] = (rng.uniform(0, 0.3), 0.02) if kind is None and rng.random() < 0.2 else (0.0, 0.01)
            continue
        if name not in classes:
            low, high = PRIORS[kind].get(name, (0.0, 1.0)) if kind else (0.0, 1.0)
            classes[name] = (rng.uniform(low, high), rng.uniform(0.01, 0.06 if kind else 0.09))
        means[i], stds[i] = classes[name]
    return means, stds


def gaussian_blur(image: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """Separable blur; sigma in voxels for each axis. (X, Y, Z) -> same."""
    out = image[None, None]
    for axis, s in enumerate(sigma):
        if s < 0.2:
            continue
        radius = max(1, int(np.ceil(2.5 * s)))
        taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / s) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = -1
        padding = [0, 0, 0]
        padding[axis] = radius
        out = F.conv3d(out, (taps / taps.sum()).view(shape), padding=padding)
    return out[0, 0]


def bias_field(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Tensor:
    """Smooth multiplicative field exp(N(0, strength)) from 4 x 4 x 4 knots -> (X, Y, Z)."""
    knots = torch.from_numpy(rng.normal(0, strength, (1, 1, 4, 4, 4)).astype(np.float32))
    return F.interpolate(knots, size=shape, mode="trilinear", align_corners=True)[0, 0].exp()


def thick_slices(rng: np.random.Generator, image: Tensor, spacing: float) -> Tensor:
    """Average along one axis to slices of up to 6 mm and interpolate back, as a clinical 2D acquisition does. Voxels of
    more than 6 mm (``spacing``) are thick already and stay."""
    axis = int(rng.integers(3))
    n = image.shape[axis]
    thinnest = max(2.0, spacing)
    slices = max(4, round(n * spacing / rng.uniform(thinnest, max(thinnest, 6.0))))
    if slices >= n:
        return image
    x, y, z = (slices if a == axis else size for a, size in enumerate(image.shape))
    small = F.adaptive_avg_pool3d(image[None, None], (x, y, z))
    return F.interpolate(small, size=tuple(image.shape), mode="trilinear", align_corners=False)[0, 0]


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise (X, Y, Z), from the generator's own stream so that a seed says all."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return torch.randn(*shape, generator=generator)


def synthesise(
    rng: np.random.Generator,
    labels: Tensor,
    values: np.ndarray,
    spacing: float,
    shares: Mapping[str, float] = MappingProxyType(SHARES),
) -> Tensor:
    """labels (X, Y, Z) long, indices into `values` (FreeSurfer numbers), on a grid of `spacing` mm -> image (X, Y, Z),
    non-negative, arbitrary units. shares: see SHARES; they add up to 1."""
    kind = rng.choice(np.array(list(shares)), p=list(shares.values()))
    means, stds = draw_means(rng, values, None if kind == "free" else str(kind))
    mean = torch.from_numpy(means.astype(np.float32))[labels]
    std = torch.from_numpy(stds.astype(np.float32))[labels]
    image = mean + std * noise(rng, tuple(labels.shape))
    sigma = rng.uniform(0.3, 0.9)
    image = gaussian_blur(image, (sigma, sigma, sigma))
    image = image * bias_field(rng, tuple(labels.shape), rng.uniform(0, 0.3))
    if rng.random() < 0.3:
        image = thick_slices(rng, image, spacing)
    if rng.random() < 0.5:
        image = image + rng.uniform(0, 0.04) * noise(rng, tuple(labels.shape))
    image = image.clamp_min(0)
    return image ** float(np.exp(rng.normal(0, 0.2)))
