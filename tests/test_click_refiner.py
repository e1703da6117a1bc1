"""Clicks on drawn logits: where they lie, how far they reach, what they always do whatever was learned."""

from __future__ import annotations

import pytest
import torch

from assistant.click_refiner import FARTHEST, NEAREST, ClickRefiner, Clicks, ball_radius


@pytest.fixture(scope="module")
def refiner() -> ClickRefiner:
    torch.manual_seed(0)
    return ClickRefiner().eval()


def like_everywhere(box: tuple[slice, ...]) -> torch.Tensor:
    return torch.ones(4, *(s.stop - s.start for s in box))


def click(*at: float, positive: bool = True) -> Clicks:
    return Clicks(torch.tensor([at]), torch.tensor([positive]))


@torch.no_grad()
def test_a_click_is_always_heeded(refiner):
    """Its voxel is in (out of) the mask after it, however sure the mask was of the opposite."""
    for at, sure in [((10.0, 20, 8), 30.0), ((0.2, 0.4, 23.0), 8.0)]:
        nearest = tuple(round(a) for a in at)
        added = refiner(torch.full((32, 48, 24), -sure), like_everywhere, click(*at))
        assert added[nearest] > 0
        taken = refiner(torch.full((32, 48, 24), sure), like_everywhere, click(*at, positive=False))
        assert taken[nearest] < 0


@torch.no_grad()
def test_nothing_changes_beyond_its_reach_or_against_its_sign(refiner):
    logits = torch.randn(40, 40, 40, generator=torch.Generator().manual_seed(1)) - 3  # next to nothing drawn
    change = refiner(logits, like_everywhere, click(20, 20, 20)) - logits
    axes = torch.meshgrid(*(torch.arange(40) - 20,) * 3, indexing="ij")
    distance = torch.stack(axes).square().sum(0).sqrt()
    assert (change[distance > NEAREST] == 0).all()
    assert (change >= -1e-5).all()
    assert change[20, 20, 20] > 0
    assert (refiner(logits, like_everywhere, click(20, 20, 20, positive=False)) - logits <= 1e-5).all()


@torch.no_grad()
def test_a_click_on_a_large_mask_reaches_farther_up_to_a_limit(refiner):
    """The reach is the radius of a ball of the mask's volume: 24^3 voxels are a ball of radius 14.9."""
    logits = torch.full((80, 80, 80), -2.0)
    logits[28:52, 28:52, 28:52] = 2.0
    assert torch.equal(refiner(logits, like_everywhere, click(40, 40, 40)), logits)  # it is part of it already
    change = refiner(logits, like_everywhere, click(40, 40, 40, positive=False)) - logits
    moved = change.nonzero()
    radius = float(ball_radius(torch.tensor(24.0**3)))
    assert NEAREST < radius < FARTHEST
    assert radius - 1 <= (moved - 40).abs().max() <= radius


@torch.no_grad()
def test_what_looks_otherwise_is_told_apart(refiner):
    """The network sees the embedding: the change on the side that is unlike the click's differs from the like one."""

    def halves(box: tuple[slice, ...]) -> torch.Tensor:
        pixel = like_everywhere(box)
        pixel[:, :, :, max(0, 16 - box[2].start) :] *= -1
        return pixel

    change = refiner(torch.zeros(32, 32, 32), halves, click(16, 16, 15))
    assert not torch.allclose(change[16, 16, 18], change[16, 16, 12], atol=1e-3)


@torch.no_grad()
def test_clicks_add_up_in_their_order_and_outside_is_nowhere(refiner):
    logits = torch.zeros(32, 32, 32)
    both = Clicks(torch.tensor([[8.0, 8, 8], [20.0, 20, 20]]), torch.tensor([True, False]))
    first = refiner(logits, like_everywhere, both[:1])
    assert torch.equal(refiner(logits, like_everywhere, both), refiner(first, like_everywhere, both, 1))
    # a click knows of the ones before it
    assert not torch.equal(refiner(first, like_everywhere, both[1:]), refiner(first, like_everywhere, both, 1))
    assert torch.equal(refiner(logits, like_everywhere, click(8, 8, 40)), logits)


def test_places_on_the_finer_level_and_in_a_box():
    """Coarse voxel 3 is the middle of fine 6 and 7."""
    fine = click(3, 0, 1.25).on_finer()
    assert fine.at.tolist() == [[6.5, 0.5, 3.0]]
    assert fine.moved(torch.tensor([6.0, 0, 1])).at.tolist() == [[0.5, 0.5, 2.0]]
