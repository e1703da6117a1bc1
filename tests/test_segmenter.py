"""Encoder, prompts and mask decoder on a tiny random model: shapes, independence of queries, what prompts do."""

from __future__ import annotations

import sys

import pytest
import torch

from assistant.click_refiner import Clicks
from assistant.prompt_encoder import GridPrompt
from assistant.segmenter import Segmenter, SegmenterConfig

TINY = SegmenterConfig(lm_dim=24, state_dim=8, channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1, 1), pixel_dim=8, dim=16)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    segmenter = Segmenter(TINY).eval()
    segmenter.fit_states(torch.randn(12, 24))
    return segmenter


@pytest.fixture(scope="module")
def features(model):
    with torch.no_grad():
        return model.encode(torch.randn(1, 10, 32, 48, 16, generator=torch.Generator().manual_seed(1)))


def decode(model, features, states, prompts):
    with torch.no_grad():
        heads = model.heads(model.seg_query(states), features, prompts)
        logits = model.coarse_logits(heads, features, prompts)
        return logits, *model.mask_decoder.judge(heads, logits)


def box(*corners: float) -> GridPrompt:
    return GridPrompt(torch.tensor(corners).view(2, 3))


def test_levels_have_the_strides_they_claim(features):
    assert features.pixel.shape == (1, 8, 32, 48, 16)
    assert features.tokens.shape == (1, 16, 4, 6, 2)
    assert features.deep.shape == (1, 16, 2, 3, 1)


def test_a_side_that_is_no_multiple_of_16_is_refused(model):
    with pytest.raises(ValueError, match="multiple of 16"):
        model.encode(torch.zeros(1, 10, 32, 40, 16))


def test_many_queries_in_one_call_equal_one_at_a_time(model, features):
    """Queries are the batch axis: a reply with eight <SEG>s gets the masks that eight replies would get, whatever
    mix of
    prompts they carry."""
    states = torch.randn(6, 24, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(32, 48, 16)
    mask[4:9, 5:20, 2:9] = 1
    prompts = [
        None,
        box(1.0, 2, 3, 20, 20, 10),
        None,
        box(2.0, 2, 2, 20, 20, 10),
        GridPrompt(mask=mask),
        GridPrompt(torch.tensor([[2.0, 2, 2], [20, 20, 10]]), mask),
    ]
    together = decode(model, features, states, prompts)
    for i, prompt in enumerate(prompts):
        alone = decode(model, features, states[i : i + 1], [prompt])
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[i], b[0], atol=1e-5)


def test_a_box_empties_what_lies_outside_it(model, features):
    states = torch.randn(1, 24, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        heads = model.heads(model.seg_query(states), features, [None])
        boxed = model.coarse_logits(heads, features, [box(5.0, 5, 5, 15, 25, 10)])[0]
        change = boxed - model.coarse_logits(heads, features, [None])[0]
    assert (change[6:15, 6:25, 6:10] == 0).all()
    assert (change[20:, :, :] < -5).all()


def test_fine_prompts_lie_where_coarse_ones_do(model):
    """Coarse voxel c is the middle of fine voxels 2c and 2c + 1: a box from coarse 6.75 on leaves fine 14 alone."""
    pixel = torch.ones(8, 16, 16, 16)
    given = [box(6.75, 2.75, 4.75, 9.25, 6.25, 8.25)]
    with torch.no_grad():
        plain = model.fine_logits(torch.zeros(1, 9), pixel, (8, 0, 4), [None])[0]
        change = model.fine_logits(torch.zeros(1, 9), pixel, (8, 0, 4), given)[0] - plain
    # fine voxels 14 to 19 / 6 to 13 / 10 to 17, less the tile's start
    kept = torch.zeros(16, 16, 16, dtype=torch.bool)
    kept[6:12, 6:14, 6:14] = True
    assert torch.equal(change == 0, kept)


def test_whitened_phrases_are_nearly_orthogonal(model):
    """Phrases that share almost everything (a large common part) come out far apart."""
    generator = torch.Generator().manual_seed(5)
    bank = 10 + torch.randn(1, 24, generator=generator) + 0.01 * torch.randn(8, 24, generator=generator)
    fresh = Segmenter(TINY)
    fresh.fit_states(bank)
    white = (bank - fresh.state_mean) @ fresh.state_axes
    unit = torch.nn.functional.normalize(white, dim=1)
    assert float((unit @ unit.T - torch.eye(8)).abs().max()) < 0.3


def test_every_weight_learns(model):
    """A loss on masks (both levels), presence and quality reaches every parameter: nothing is left over in the
    model."""
    torch.manual_seed(0)
    fresh = Segmenter(TINY)
    fresh.fit_states(torch.randn(12, 24))
    for module in fresh.modules():  # some branches start at zero: open them
        if isinstance(module, torch.nn.Conv3d | torch.nn.Linear) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.05)
    coarse = fresh.encode(torch.randn(1, 10, 32, 32, 32))
    prompt = GridPrompt(torch.tensor([[1.0, 1, 1], [9, 9, 9]]), torch.rand(32, 32, 32))
    heads = fresh.heads(fresh.seg_query(torch.randn(1, 24)), coarse, [prompt])
    logits = fresh.coarse_logits(heads, coarse, [prompt])
    tile = fresh.encode(torch.randn(1, 10, 32, 32, 32), coarse.pixel[:, :, :16, :16, :16])
    fine = fresh.fine_logits(heads.fine, tile.pixel[0], (0, 0, 0), [prompt], [torch.rand(32, 32, 32)])
    presence, quality = fresh.mask_decoder.judge(heads, logits)
    clicks = Clicks(torch.tensor([[3.0, 4, 5], [9, 9, 9]]), torch.tensor([True, False]))
    clicked = fresh.click_refiner(logits[0], lambda part: coarse.pixel[0][(slice(None), *part)], clicks)
    (logits.square().mean() + fine.square().mean() + presence.sum() + quality.sum() + clicked.mean()).backward()
    idle = [n for n, p in fresh.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # the key bias of an attention shifts all its scores alike and has no gradient by construction
    assert [n for n in idle if "k_proj.bias" not in n] == []


def test_the_transformer_is_the_packages_own_and_leaves_no_stub_behind():
    assert "segment_anything" not in sys.modules or sys.modules["segment_anything"].__spec__ is not None


def test_config_survives_json():
    import json

    assert SegmenterConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
