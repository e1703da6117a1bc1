"""The readout is a ridge regression written as a mean and axes."""

from __future__ import annotations

import torch

from training.readout import fit, nearest


def test_an_affine_relation_is_found_exactly():
    """Codes that are an affine map of the states come back through (states - mean) @ axes, intercept included."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(400, 20, generator=generator) * torch.linspace(0.5, 30, 20) + 7
    codes = states @ torch.randn(20, 6, generator=generator) + torch.tensor([5.0, -3, 0, 1, 2, 9])
    mean, axes = fit(states, codes, 1e-9, torch.zeros(20), torch.zeros(20, 6))
    assert torch.allclose((states - mean) @ axes, codes, atol=1e-2)


def test_phrases_are_told_apart_under_what_the_conversation_adds():
    """States = phrase + a large part that has nothing to do with it: the fit reads the phrase and ignores the rest."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.eye(8)
    rows = torch.arange(800) % 8
    states = codes[rows] @ torch.randn(8, 64, generator=generator)
    states = states + 20 * torch.randn(800, 10, generator=generator) @ torch.randn(10, 64, generator=generator)
    plain = torch.randn(64, 8, generator=generator)
    assert nearest(states, rows, states.mean(0), plain, codes) < 0.5
    assert nearest(states, rows, *fit(states, codes[rows], 1e-6, torch.zeros(64), plain), codes) == 1.0


def test_a_heavy_penalty_leaves_the_reading_as_it_was():
    generator = torch.Generator().manual_seed(2)
    states, axes, mean = (torch.randn(*n, generator=generator) for n in ((50, 12), (12, 4), (12,)))
    codes = (states - mean) @ axes
    new_mean, new_axes = fit(states, codes + 0.1 * torch.randn(50, 4, generator=generator), 1e9, mean, axes)
    assert torch.allclose(new_axes, axes, atol=1e-5)
    assert torch.allclose((states - new_mean) @ new_axes, codes, atol=0.1)
