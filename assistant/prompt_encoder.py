"""Prompts: a `<SEG>` state, positive and negative points, a 3D box, an earlier mask. They combine.

The 3D counterpart of SAM's prompt encoder (Kirillov et al. 2023, section 3). A box or a mask becomes *tokens* that meet
the image in the two-way transformer, and a *dense* term: something added to the mask logits where it lies. Points act
later, on what the rest has drawn (`click_refiner`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Prompt:
    """What a person gave besides words. World coordinates, RAS+ millimetres.

    points_mm (K, 3); labels (K,) 1 = part of it, 0 = not part of it; box_mm (2, 3) lower and upper corner or None;
    mask (X, Y, Z) bool on the volume's RAS grid or None.
    """

    points_mm: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros((0,), dtype=int))
    box_mm: np.ndarray | None = None
    mask: np.ndarray | None = None

    @staticmethod
    def empty() -> Prompt:
        return Prompt()

    @property
    def is_empty(self) -> bool:
        return len(self.points_mm) == 0 and self.box_mm is None and self.mask is None


@dataclass(frozen=True)
class GridPrompt:
    """A `Prompt` in the voxel coordinates of the coarse grid (voxel centres at integers); tensors on the model's
    device.

    box (2, 3) or None; mask (x, y, z) float 0..1 on the coarse grid or None. Points are `click_refiner.Clicks`.
    """

    box: Tensor | None = None
    mask: Tensor | None = None


class PositionEncoding(nn.Module):
    """Random Fourier features of 3D positions (Tancik et al. 2020; the 3D form of SAM's)."""

    frequencies: Tensor

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("frequencies", scale * torch.randn(3, dim // 2, generator=generator))

    def forward(self, position: Tensor) -> Tensor:
        """(..., 3) in units of 64 coarse voxels, 0..1 over a full grid -> (..., dim)."""
        angle = 2 * math.pi * (2 * position - 1) @ self.frequencies.to(position.dtype)
        return torch.cat([angle.sin(), angle.cos()], -1)

    def grid(self, size: tuple[int, int, int], stride: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Encodings of the centres of a (x, y, z) token grid of the given stride -> (x*y*z, dim)."""
        axes = [((torch.arange(n, device=device, dtype=dtype) + 0.5) * stride - 0.5) / 64 for n in size]
        return self(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, 3))


class PromptEncoder(nn.Module):
    """Prompt tokens (T, dim) for one `<SEG>`, and the dense terms."""

    def __init__(self, dim: int, pixel_dim: int) -> None:
        super().__init__()
        self.position = PositionEncoding(dim)
        self.kind = nn.Embedding(3, dim)  # lower corner, upper corner, mask
        self.local = nn.Linear(pixel_dim, dim)  # what the image looks like where a mask lies
        self.box_gain = nn.Parameter(torch.tensor(6.0))
        self.mask_gain = nn.Parameter(torch.tensor(2.0))

    def tokens(self, prompt: GridPrompt, pixel: Tensor) -> Tensor:
        """pixel (P, x, y, z) coarse pixel embedding -> (T, dim); T = 2 for a box + 1 for a mask, maybe 0."""
        out = []
        if prompt.box is not None:
            out.append(self.position(prompt.box / 64).to(pixel) + self.kind.weight[:2])
        if prompt.mask is not None:
            weight = prompt.mask.to(pixel)
            pooled = (pixel * weight).flatten(1).sum(1) / weight.sum().clamp_min(1e-3)
            out.append((self.local(pooled) + self.kind.weight[2])[None])
        return torch.cat(out) if out else pixel.new_zeros(0, self.kind.embedding_dim)

    def dense(self, prompt: GridPrompt, coordinates: Tensor, mask: Tensor | None) -> Tensor:
        """What the prompt adds to the mask logits of a level.

        coordinates (3, X, Y, Z): each voxel's position in coarse voxels; mask (X, Y, Z) earlier mask on this level,
        0..1, or None -> (X, Y, Z).
        """
        total = torch.zeros(coordinates.shape[1:], dtype=torch.float32, device=coordinates.device)
        if prompt.box is not None:
            low, high = prompt.box[0][:, None, None, None], prompt.box[1][:, None, None, None]
            outside = torch.maximum(low - coordinates, coordinates - high).amax(0).clamp(0, 1)
            total = total - F.softplus(self.box_gain) * outside
        if mask is not None:
            total = total + self.mask_gain * (2 * mask - 1)
        return total


def sample(pixel: Tensor, points: Tensor) -> Tensor:
    """Trilinear samples of (P, X, Y, Z) at (K, 3) voxel coordinates, clamped to the grid -> (K, P)."""
    size = torch.tensor(pixel.shape[1:], device=pixel.device, dtype=torch.float32)
    # grid_sample wants the last axis first, and -1..1 over voxel edges
    where = ((points.float() + 0.5) / size * 2 - 1).flip(-1).view(1, -1, 1, 1, 3)
    out = F.grid_sample(pixel[None].float(), where, align_corners=False, padding_mode="border")
    return out[0, :, :, 0, 0].T.to(pixel.dtype)
