"""The native-3D vision encoder: one scan level in, a feature pyramid and a pixel embedding out.

`Encoder` is what every kind of encoder shares (others are in `encoders.py`), `VisionEncoder` the default.

The same weights see every level of a study (the coarse whole field of view and each fine tile). What tells the levels
apart is in the input: the voxel size, and for a fine tile the coarse level's own pixel embedding around it (`context`).
No prompt enters here, so everything this file computes is computed once a study and cached.

Axis order of every tensor: (B, C, X, Y, Z), the indices of a RAS+ volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: image windows (2), log voxel size (1), modality one-hot (3), inside-the-scan (1), position (3):
#: `preprocess.level_input`
IMAGE_CHANNELS = 10


@dataclass(frozen=True)
class Features:
    """What one encoded level offers.

    pixel:  (B, P, X, Y, Z) pixel embedding at stride 1, the thing a mask is a dot product with
    tokens: (B, T, X/8, Y/8, Z/8) image tokens that prompts attend to
    deep:   (B, D, X/16, Y/16, Z/16) coarsest features, pooled into the language model's visual tokens
    """

    pixel: Tensor
    tokens: Tensor
    deep: Tensor


def _norm(channels: int) -> nn.GroupNorm:
    # Group normalisation: batches are one volume, so batch statistics would mean nothing.
    return nn.GroupNorm(8, channels)


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al. 2016), two 3x3x3 convolutions. (B, C, X, Y, Z) -> same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(channels), _norm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # each block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.norm1(x), 0.01))
        return x + self.conv2(F.leaky_relu(self.norm2(h), 0.01))


class GlobalAttention(nn.Module):
    """Self-attention over all positions of the coarsest map: what lets it tell left from right at a distance."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.position = nn.Linear(3, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c, *size = x.shape
        axes = [torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) if n > 1 else x.new_zeros(1) for n in size]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(1, -1, 3)
        t = x.flatten(2).transpose(1, 2)
        h = self.norm(t) + self.position(grid)
        q, k, v = self.qkv(h).view(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        t = t + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c))
        t = t + self.mlp(self.norm2(t))
        return t.transpose(1, 2).reshape(x.shape)


class Encoder(nn.Module):
    """A way down, which each kind has of its own (`descend`), and the way up, which they share.

    TRUNK: how the names of the parameters begin that `training.see` can hold frozen; the rest always learns.
    """

    TRUNK: tuple[str, ...] = ()

    up: nn.ModuleList
    merge: nn.ModuleList
    to_tokens: nn.Conv3d
    to_pixel: nn.ModuleList

    def make_way_up(self, channels: Sequence[int], token_dim: int) -> None:
        """channels: widths at strides 1, 2, 4, 8, 16."""
        # normalised before it joins the skip: what comes from the deep must not be drowned by what comes across
        self.up = nn.ModuleList(
            nn.Sequential(_norm(b), nn.LeakyReLU(0.01), nn.ConvTranspose3d(b, a, 2, stride=2))
            for a, b in itertools.pairwise(channels)
        )
        self.merge = nn.ModuleList(ResidualBlock(c) for c in channels[:-1])
        self.to_tokens = nn.Conv3d(channels[3], token_dim, 1)

    def make_pixel(self, channels: Sequence[int], pixel_dim: int) -> None:
        """The pixel embedding is read off two strides: the full-resolution map is too narrow to tell forty structures
        apart."""
        self.to_pixel = nn.ModuleList(
            nn.Sequential(_norm(c), nn.LeakyReLU(0.01), nn.Conv3d(c, pixel_dim, 1)) for c in channels[:2]
        )

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """What `TRUNK` names."""
        return (p for name, p in self.named_parameters() if name.startswith(self.TRUNK))

    def descend(self, image: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """As `forward` -> features at stride 16, and those at strides 1, 2, 4, 8 (each with its own width)."""
        raise NotImplementedError

    def climb(self, deep: Tensor, skips: list[Tensor]) -> Features:
        """What `descend` gives -> Features."""
        x = deep
        tokens = half = None
        for i in reversed(range(len(self.up))):
            x = self.merge[i](self.up[i](x) + skips[i])
            if i == 3:
                tokens = self.to_tokens(x)
            if i == 1:
                half = self.to_pixel[1](x)
        assert tokens is not None
        assert half is not None
        return Features(self.to_pixel[0](x) + F.interpolate(half, scale_factor=2), tokens, deep)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Features:
        """image (B, 10, X, Y, Z), sides multiples of 16; context: None for the coarse level, for a fine tile the coarse
        pixel embedding over the same box (B, P, X/2, Y/2, Z/2) -> Features."""
        if any(n % 16 for n in image.shape[2:]):
            raise ValueError(
                f"an encoder input of {tuple(image.shape[2:])} voxels: every side must be a multiple of 16"
            )
        return self.climb(*self.descend(image, context))


def keep_variance(module: nn.Module) -> None:
    """Variance kept from layer to layer (He et al. 2015), or learning starts slowly. What is 0 stays 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d) and part.weight.any():
            nn.init.kaiming_normal_(part.weight, a=0.01)
        if isinstance(part, nn.ConvTranspose3d):  # stride 2, kernel 2: each output voxel has one tap an input
            nn.init.normal_(part.weight, std=(2 / part.in_channels) ** 0.5)


class VisionEncoder(Encoder):
    """Residual convolutional encoder-decoder with attention at stride 16.

    channels: widths at strides 1, 2, 4, 8, 16. A fine tile at stride 2 has the coarse level's resolution: that is where
    the coarse pixel embedding joins, voxel on voxel.
    """

    TRUNK = ("stem.", "stages.", "down.", "attention.")

    def __init__(
        self,
        channels: tuple[int, ...] = (16, 32, 64, 128, 160),
        blocks: tuple[int, ...] = (1, 2, 2, 2, 1),
        pixel_dim: int = 32,
        token_dim: int = 128,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv3d(IMAGE_CHANNELS, channels[0], 3, padding=1)
        self.from_context = nn.Conv3d(pixel_dim, channels[1], 1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(c) for _ in range(n))) for c, n in zip(channels, blocks, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv3d(a, b, 2, stride=2) for a, b in itertools.pairwise(channels)
        )
        self.attention = GlobalAttention(channels[-1])
        self.make_way_up(channels, token_dim)
        keep_variance(self)
        self.make_pixel(channels, pixel_dim)

    def descend(self, image: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        x = self.stem(image)
        skips = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i < len(self.down):
                skips.append(x)
                x = self.down[i](x)
                if i == 0 and context is not None:
                    x = x + self.from_context(context)
        return self.attention(x), skips
