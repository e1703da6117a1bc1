"""A segmenter and a feature bank small enough to train on in a test, made from seeds alone."""

from __future__ import annotations

import torch

from assistant.model import DeixisModel, LoraSettings
from assistant.segmenter import Segmenter, SegmenterConfig
from tests.tiny_language import IMAGE_TOKENS, WIDTH, tiny_base
from training.data import CaseFeatures, FeatureBank
from training.stage import fingerprint

SEGMENTER = SegmenterConfig(
    lm_dim=WIDTH,
    channels=(8, 8, 8, 8, 16),
    blocks=(1, 1, 1, 1, 1),
    pixel_dim=8,
    dim=16,
    decoder_depth=1,
    coarse_size=32,
)


def tiny_segmenter() -> Segmenter:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        segmenter = Segmenter(SEGMENTER).eval()
        segmenter.fit_states(torch.randn(70, WIDTH))
        return segmenter


def moved_model(*, tied: bool = True) -> DeixisModel:
    """An untrained model whose LoRA and added rows are not at their start, or they would not show in anything."""
    model = DeixisModel.new(
        tiny_base(tied=tied), tiny_segmenter(), LoraSettings(r=4, alpha=8, dropout=0.0), image_tokens=IMAGE_TOKENS
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in model.language_model.parameters():
            if value.requires_grad:
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
    return model


def tiny_bank(segmenter: Segmenter, cases: int = 2, ways: int = 2) -> FeatureBank:
    """Random features for a brain and a head-and-neck family, signed by the segmenter."""
    generator = torch.Generator().manual_seed(2)
    config = segmenter.config

    def case(family: str, number: int, phrases: tuple[str, ...]) -> CaseFeatures:
        return CaseFeatures(
            f"{family} {number}",
            torch.randn(IMAGE_TOKENS, config.visual_dim, generator=generator),
            {p: torch.randn(ways, config.region_dim, generator=generator) for p in phrases},
        )

    return FeatureBank(
        {
            "brain": [case("brain", i, ("left hippocampus", "right hippocampus", "brainstem")) for i in range(cases)],
            "head_neck": [case("head_neck", i, ("left parotid gland", "spinal cord")) for i in range(cases)],
        },
        fingerprint(segmenter),
    )
