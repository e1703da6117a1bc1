"""An untrained segmenter whose masks are not empty: enough to tell where things are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from assistant.segmenter import Segmenter, SegmenterConfig


def drawing_segmenter(states: Tensor | None = None, **settings: Any) -> Segmenter:
    """States of 24 values, levels of 48 voxels, every presence accepted; states (N, 24) to whiten on, random ones when
    None."""
    torch.manual_seed(0)
    config = SegmenterConfig(
        lm_dim=24, state_dim=8, channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1, 1), pixel_dim=8, dim=16,
        presence_threshold=0.0, coarse_size=48, **settings,
    )  # fmt: skip
    model = Segmenter(config)
    model.fit_states(torch.randn(12, 24) if states is None else states)
    with torch.no_grad():
        for head in (model.mask_decoder.direct_coarse, model.mask_decoder.direct_fine):
            head.bias[-1] = 0
            head.weight.mul_(4)
    return model
