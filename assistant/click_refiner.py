"""What clicks change in a mask that words have drawn.

Interactive segmenters (nnInteractive, Isensee et al. 2025) run the image through the network again with the clicks.
Here the pixels of a study are encoded once, before any click is known, so clicks act on the drawn logits: one after the
other, each around itself, and there as far as a small network says that an error like this one reaches. It sees what
was drawn, how far off each voxel is, where earlier clicks lie, and how much each voxel's embedding is like that under
the click, that of the mask and that of what is not in the mask: likenesses alone, so that it need not be learned anew
whenever the encoder is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.prompt_encoder import sample

FEATURES = 12
SURE = 2.5  # logits / 4 beyond which it makes no difference how sure a mask is
MARGIN = 1.0  # logit by which a mask heeds a click at its voxel
NEAREST, FARTHEST = 8.0, 24.0  # voxels that a click reaches at least and at most
BUMP = 4.0  # voxels, standard deviation of what an earlier click looks like


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

    def __getitem__(self, which: slice) -> Clicks:
        return Clicks(self.at[which], self.positive[which])


def ball_radius(voxels: Tensor) -> Tensor:
    """Radius of a ball of so many voxels."""
    return (0.75 / torch.pi * voxels).pow(1 / 3)


class ClickRefiner(nn.Module):
    """`forward` applies clicks to one mask's logits."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [FEATURES, width, width, width]
        # together they look 7 voxels far
        self.layers = nn.ModuleList(
            nn.Conv3d(a, b, 3, padding=1 << n, dilation=1 << n)
            for n, (a, b) in enumerate(pairwise(widths))
        )
        self.share = nn.Conv3d(width, 1, 1)
        assert self.share.bias is not None
        nn.init.constant_(self.share.bias, -1.5)

    def forward(
        self,
        logits: Tensor,
        pixel: Callable[[tuple[slice, ...]], Tensor],
        clicks: Clicks,
        applied: int = 0,
    ) -> Tensor:
        """logits (X, Y, Z) float32 of a box of a level, a mask where over 0; pixel: gives the embedding
        (P, x, y, z) of a part of that box; clicks: in the box's voxels, in the order in which they were made, of which
        the first `applied` have acted already -> logits (X, Y, Z). Clicks outside the box change nothing: there is no
        mask."""
        size = torch.tensor(logits.shape, device=logits.device)
        for number in range(applied, len(clicks.at)):
            at, positive = clicks.at[number], bool(clicks.positive[number])
            if not bool(((at > -0.5) & (at < size - 0.5)).all()):
                continue
            radius = ball_radius((logits > 0).sum().float()).clamp_min(2.0)
            reach = float(radius.clamp(NEAREST, FARTHEST))
            low = (at - reach).ceil().long().clamp_min(0)
            high = ((at + reach).floor().long() + 1).minimum(size)
            box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            earlier = clicks[:number].moved(low)
            part = self._around(logits[box], pixel(box).float(), at - low, positive, earlier, radius, reach)
            logits = logits.clone()
            logits[box] = part
        return logits

    def _around(
        self,
        logits: Tensor,
        pixel: Tensor,
        at: Tensor,
        positive: bool,
        earlier: Clicks,
        radius: Tensor,
        reach: float,
    ) -> Tensor:
        """One click on the box (X, Y, Z) of what it can reach."""
        sign = 1.0 if positive else -1.0
        offsets = _offsets(logits, at)
        distance = offsets.square().sum(0).sqrt()
        here = sample(pixel, at[None])[0]
        mask = logits.sigmoid()
        # what the click says this place is, and what it says it is not: of the mask, or of the rest of the box
        given, other = (mask, 1 - mask) if positive else (1 - mask, mask)
        said = (sign * logits / 4).clamp(-SURE, SURE)
        nearest = tuple(at.round().long().tolist())
        features = [
            distance / 4,
            distance / radius,
            radius.log().expand_as(said) / 3,
            said,
            said[nearest].expand_as(said),
            (sign * logits > 0).float(),
            _likeness(pixel, here),
            ((pixel - here[:, None, None, None]).norm(dim=0) / here.norm().clamp_min(1e-6)).clamp_max(3),
            *(_likeness(pixel, (pixel * w).flatten(1).sum(1) / w.sum().clamp_min(1e-3)) for w in (given, other)),
            *(_bumps(logits, earlier.at[earlier.positive == wanted]) for wanted in (positive, not positive)),
        ]
        values = torch.stack(features)[None]
        for n, layer in enumerate(self.layers):
            seen = F.gelu(layer(values))
            values = seen if n == 0 else values + seen
        reached = self.share(values)[0, 0].sigmoid()
        # what the mask lacks at the click is given there in full, and around it a share of that
        lacking = (MARGIN - sign * logits[nearest]).clamp_min(0)
        at_click = torch.exp(-distance.square() / 2)
        fading = (1 - (distance / reach).square()).clamp_min(0)
        moved = sign * logits + lacking * (at_click + (1 - at_click) * fading * reached)
        # whatever was learned, all voxels that the click's own place is interpolated from keep to it
        heeding = torch.where((offsets.abs() < 1).all(0), moved.clamp_min(MARGIN), moved)
        return sign * heeding


def _offsets(like: Tensor, at: Tensor) -> Tensor:
    """Voxels from a place (3,) to each of a box (X, Y, Z): (3, X, Y, Z)."""
    axes = [torch.arange(n, device=like.device) - a for n, a in zip(like.shape, at, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _likeness(pixel: Tensor, one: Tensor) -> Tensor:
    """Cosines (X, Y, Z) between embeddings (P, X, Y, Z) and one (P,)."""
    return F.cosine_similarity(pixel, one[:, None, None, None].expand_as(pixel), dim=0)


def _bumps(like: Tensor, places: Tensor) -> Tensor:
    """1 at each of some places (K, 3) of a box (X, Y, Z), falling to 0 around it."""
    out = torch.zeros_like(like)
    for at in places:
        out = torch.maximum(out, torch.exp(-_offsets(like, at).square().sum(0) / (2 * BUMP**2)))
    return out
