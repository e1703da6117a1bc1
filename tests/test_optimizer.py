"""Muon on convolution kernels, through 2-D views of them, and AdamW on the rest."""

import copy

import torch
from torch import nn

from training.optimizer import MuonWithAdamW, is_matrix


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Conv3d(8, 2, 1))


def step(module: nn.Module, optimizer: MuonWithAdamW, seed: int) -> None:
    image = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    module(image).square().mean().backward()
    optimizer.step(1.0)


def test_a_kernel_moves_alike_along_all_its_directions() -> None:
    """What Muon is for: the step of a kernel, as a matrix (out, in * 27), has all singular values near one another,
    however unequal the gradient's are."""
    module = small()
    before = module[0].weight.detach().clone()
    optimizer = MuonWithAdamW(module, lr=1e-3, matrix_lr=0.1, weight_decay=0.0)
    step(module, optimizer, 0)
    moved = (module[0].weight.detach() - before).flatten(1)
    values = torch.linalg.svdvals(moved)
    gradient = torch.linalg.svdvals(module[0].weight.grad.flatten(1))
    assert gradient[0] / gradient[-1] > 4  # else this shows nothing
    assert values[-1] > 0.05  # torch's five iterations leave values between about 0.7 and 1.2 times the rate
    assert values[0] < 0.13


def test_norms_and_biases_go_to_adamw() -> None:
    module = small()
    before = copy.deepcopy(module.state_dict())
    step(module, MuonWithAdamW(module, lr=1e-3, matrix_lr=0.0, weight_decay=0.0), 0)
    changed = {n for n, v in module.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {n for n, p in module.named_parameters() if p.ndim == 1}


def test_first_layer_and_transposed_kernels_are_no_matrices() -> None:
    kernel = torch.zeros(4, 4, 3, 3, 3)
    assert is_matrix("vision.stages.0.0.conv1.weight", kernel)
    assert not is_matrix("vision.stem.weight", kernel)
    assert not is_matrix("vision.up.0.2.weight", kernel)
    assert not is_matrix("mask_decoder.presence_query", torch.zeros(4))


def test_goes_on_from_its_state_as_if_never_stopped() -> None:
    one = small()
    optimizer = MuonWithAdamW(one, 1e-3, 0.01, 0.01)
    for seed in range(3):
        step(one, optimizer, seed)
    two = small()
    two.load_state_dict(one.state_dict())
    again = MuonWithAdamW(two, 1e-3, 0.01, 0.01)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(one, optimizer, 3)
    step(two, again, 3)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
