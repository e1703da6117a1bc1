"""What clicks change in a mask that words have drawn.

Interactive segmenters (nnInteractive, Isensee et al. 2025) run the image through the network again with the clicks.
Here the pixels of a study are encoded once, before any click is known, so clicks act on the drawn logits: one after the
other, each around itself, and there as far as a small network says that an error like this one reaches. It is told how
far off a voxel is, how much its embedding is like that under the click, and how sure the mask was of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.mask_decoder import MLP
from assistant.prompt_encoder import sample

FEATURES = 7
SURE = 2.5  # logits / 4 beyond which it makes no difference how sure a mask is
MARGIN = 1.0  # logit by which a mask heeds a click at its voxel
NEAREST, FARTHEST = 8.0, 24.0  # voxels that a click reaches at least and at most


@dataclass(frozen=True)
class Clicks:
    """at (K, 3): voxel coordinates on a level or a box of it; positive (K,) bool: part of it or not."""

    at: Tensor
    positive: Tensor

    def on_finer(self) -> Clicks:
        """The same places on the level of half the spacing, whose voxels 2i and 2i + 1 make up voxel i."""
        return Clicks(2 * self.at + 0.5, self.positive)

    def moved(self, origin: Tensor) -> Clicks:
        """The same places counted from another voxel (3,)."""
        return Clicks(self.at - origin, self.positive)


def ball_radius(voxels: Tensor) -> Tensor:
    """Radius of a ball of so many voxels."""
    return (0.75 / torch.pi * voxels).pow(1 / 3)


class ClickRefiner(nn.Module):
    """`forward` applies clicks to one mask's logits."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.share = MLP(FEATURES, width, width, 1)
        last = self.share[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, -1.0)

    def forward(
        self, logits: Tensor, pixel: Callable[[tuple[slice, ...]], Tensor], clicks: Clicks
    ) -> Tensor:
        """logits (X, Y, Z) float32 of a box of a level, a mask where over 0; pixel: gives the embedding
        (P, x, y, z) of a part of that box; clicks: in the box's voxels, in the order in which they were made -> logits
        (X, Y, Z). Clicks outside the box change nothing: there is no mask."""
        size = torch.tensor(logits.shape, device=logits.device)
        for at, positive in zip(clicks.at, clicks.positive, strict=True):
            if not bool(((at > -0.5) & (at < size - 0.5)).all()):
                continue
            radius = ball_radius((logits > 0).sum().float()).clamp_min(2.0)
            reach = float(radius.clamp(NEAREST, FARTHEST))
            low = (at - reach).ceil().long().clamp_min(0)
            high = ((at + reach).floor().long() + 1).minimum(size)
            box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            part = self._around(logits[box], pixel(box), at - low, bool(positive), radius, reach)
            logits = logits.clone()
            logits[box] = part
        return logits

    def _around(
        self, logits: Tensor, pixel: Tensor, at: Tensor, positive: bool, radius: Tensor, reach: float
    ) -> Tensor:
        """One click on the box (X, Y, Z) of what it can reach."""
        sign = 1.0 if positive else -1.0
        axes = [torch.arange(n, device=logits.device) - a for n, a in zip(logits.shape, at, strict=True)]
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        distance = offsets.square().sum(0).sqrt()
        field = pixel.float()
        here = sample(field, at[None])[0]
        alike = F.cosine_similarity(field, here[:, None, None, None].expand_as(field), dim=0)
        unlike = (field - here[:, None, None, None]).norm(dim=0) / here.norm().clamp_min(1e-6)
        said = (sign * logits / 4).clamp(-SURE, SURE)
        said_here = said[tuple(at.round().long().tolist())].expand_as(said)
        features = [
            distance / 4, distance / radius, alike, unlike.clamp_max(3), said, said_here,
            radius.log().expand_as(said) / 3,
        ]  # fmt: skip
        # what the mask lacks at the click is given there in full, and around it a share of that
        lacking = (MARGIN - sign * logits[tuple(at.round().long().tolist())]).clamp_min(0)
        at_click = torch.exp(-distance.square() / 2)
        fading = (1 - (distance / reach).square()).clamp_min(0)
        share = at_click + (1 - at_click) * fading * self.share(torch.stack(features, -1))[..., 0].sigmoid()
        moved = sign * logits + lacking * share
        # whatever was learned, all voxels that the click's own place is interpolated from keep to it
        heeding = torch.where((offsets.abs() < 1).all(0), moved.clamp_min(MARGIN), moved)
        return sign * heeding
