"""Weights laid out beforehand: the same products, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from assistant.prepacked import PrepackedLinear, can_prepack, prepack

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
