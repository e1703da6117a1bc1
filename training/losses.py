"""Losses of the See stage: masks that compete where they exclude each other, presence, and predicted quality."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_dice(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice of each mask. logits, targets (N, V) -> (N,)."""
    p = logits.sigmoid()
    overlap = (p * targets).sum(1)
    return 1 - (2 * overlap + smooth) / (p.sum(1) + targets.sum(1) + smooth)


def competing_cross_entropy(logits: Tensor, owner: Tensor, balance: float = 0.0) -> Tensor:
    """Softmax over N mutually exclusive masks and a background whose logit is 0: scalar. logits (N, V); owner (V,): 0
    for background, i + 1 for mask i.

    A mask's logit means the same alone (sigmoid against 0) and in company, but in company the gradient goes to the
    voxels that two structures dispute, which starts several times faster than independent sigmoids. balance: each
    class weighs count ** -balance; a structure of 100 voxels in 250,000 is not heard otherwise, and its Dice term has
    no gradient while its probability is near 0."""
    every = torch.cat([logits.new_zeros(1, logits.shape[1]), logits])
    weight = torch.bincount(owner, minlength=len(every)).clamp_min(1).to(logits.dtype) ** -balance
    return F.cross_entropy(every[None], owner[None], weight=weight)


def mask_loss(
    logits: Tensor, targets: Tensor, exclusive: Tensor, owner: Tensor, balance: float = 0.0
) -> tuple[Tensor, Tensor]:
    """logits (N, V); targets (N, V) bool; exclusive (N,) bool; owner (V,) over the exclusive masks in their order
    -> (cross-entropy part, Dice part), scalars.

    Dice counts masks that have voxels; empty ones are held down by the cross-entropy."""
    cross = logits.new_zeros(())
    if exclusive.any():
        cross = cross + competing_cross_entropy(logits[exclusive], owner, balance)
    if (~exclusive).any():
        cross = cross + F.binary_cross_entropy_with_logits(logits[~exclusive], targets[~exclusive].float())
    present = targets.any(1)
    dice = soft_dice(logits[present], targets[present].float()).mean() if present.any() else logits.new_zeros(())
    return cross, dice


@torch.no_grad()
def hard_overlap(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(Dice, IoU) of the masks at logit 0, (N,) each; an empty mask against an empty target counts 1."""
    p = logits > 0
    both = (p & targets).sum(1).float()
    a, b = p.sum(1).float(), targets.sum(1).float()
    empty = (a + b) == 0
    dice = torch.where(empty, 1.0, 2 * both / (a + b).clamp_min(1))
    iou = torch.where(empty, 1.0, both / (a + b - both).clamp_min(1))
    return dice, iou
