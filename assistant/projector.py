"""Images into the language model's space: the scan's visual tokens, and one region's feature for `<REG>`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projector(nn.Module):
    """Visual tokens (N, T, visual_dim) -> (N, T, lm_dim). T is fixed: each token has its own learned position."""

    def __init__(self, visual_dim: int, lm_dim: int, tokens: int) -> None:
        super().__init__()
        self.project = _project(visual_dim, lm_dim)
        self.position = nn.Parameter(torch.zeros(tokens, lm_dim))
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, visual: Tensor) -> Tensor:
        if visual.shape[-2] != len(self.position):
            raise ValueError(f"{visual.shape[-2]} visual tokens were given, the projector has {len(self.position)}")
        return self.gain * (self.project(visual.float()) + self.position)


class RegionProjector(nn.Module):
    """A region's pooled feature (N, region_dim) -> (N, lm_dim)."""

    def __init__(self, region_dim: int, lm_dim: int) -> None:
        super().__init__()
        self.project = _project(region_dim, lm_dim)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, region: Tensor) -> Tensor:
        return self.gain * self.project(region.float())


def _project(width: int, lm_dim: int) -> nn.Sequential:
    # The LayerNorm at the end with `gain` (set to the word embeddings' size by DeixisModel.new) makes a projected token
    # as large as a word from the first step on: LMs with small embeddings are otherwise drowned by it.
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, lm_dim),
        nn.GELU(),
        nn.Linear(lm_dim, lm_dim),
        nn.LayerNorm(lm_dim, elementwise_affine=False),
    )
