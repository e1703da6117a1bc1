"""Weights laid out beforehand: the same products, to the bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from assistant.prepacked import PrepackedLinear, can_prepack, prepack
from assistant.vision import ResidualBlock, VisionEncoder

pytestmark = pytest.mark.skipif(
    not (can_prepack() and torch.cpu._is_avx512_bf16_supported()), reason="this CPU does not compute in bfloat16"
)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 9, 100])
def test_products_are_the_same_to_the_bit(rows, bias):
    torch.manual_seed(0)
    linear = nn.Linear(96, 160, bias=bias).bfloat16()
    x = torch.randn(2, rows, 96).bfloat16()
    with torch.inference_mode():
        assert torch.equal(PrepackedLinear(linear)(x), linear(x))


def test_only_what_can_be_laid_out_is_replaced():
    """float32 layers stay as they are, at any depth, and an embedding keeps the table that it shares with a head."""
    model = nn.ModuleDict(
        {"table": nn.Embedding(32, 16), "head": nn.Linear(16, 32, bias=False),
         "deep": nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))}
    ).bfloat16()  # fmt: skip
    model["deep"][1].float()
    model["head"].weight = model["table"].weight
    before = model["table"].weight.clone()
    prepack(model)
    kinds = [type(model["head"]), *(type(layer) for layer in model["deep"])]
    assert kinds == [PrepackedLinear, PrepackedLinear, nn.Linear]
    assert torch.equal(model["table"].weight, before)


def test_a_laid_out_encoder_sees_the_same():
    """In the layout that loading gives it, to bfloat16's rounding; with and without the coarse level's context."""
    torch.manual_seed(0)
    plain = VisionEncoder((8, 16, 16, 16, 16), (1, 1, 1, 1, 1), pixel_dim=8, token_dim=16).eval()
    for block in plain.modules():
        if isinstance(block, ResidualBlock):
            nn.init.normal_(block.conv2.weight, std=0.05)  # at first each block is the identity
    laid_out = copy.deepcopy(plain).to(memory_format=torch.channels_last_3d)
    image, context = torch.randn(1, 10, 32, 16, 16), torch.randn(1, 8, 16, 8, 8)
    for around in (None, context):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            one, other = plain(image, around), laid_out(image, around)
        for name in ("pixel", "tokens", "deep"):
            a, b = getattr(one, name).float(), getattr(other, name).float()
            assert a.shape == b.shape
            assert float((a - b).abs().max()) < 0.03 * float(a.abs().max()), name
