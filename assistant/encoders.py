"""Other encoders than the default: MONAI's Swin transformer and MONAI's plain vision transformer.

    SegmenterConfig(encoder="swin", encoder_settings={"width": 48})

Each has a transformer of MONAI's on the way down and the default's way up (`vision.Encoder`). Full resolution, which
neither transformer keeps, comes from convolutions of the image, as in UNETR (Hatamizadeh et al. 2022). Axis order
(B, C, X, Y, Z), as everywhere. MONAI is imported when such an encoder is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import ModelError
from assistant.vision import IMAGE_CHANNELS, Encoder, ResidualBlock, VisionEncoder, keep_variance


@dataclass(frozen=True)
class SwinSettings:
    """width: SwinUNETR's feature size, the transformer's width at stride 2; it doubles at each of the four stages.
    depths, heads: of each stage; window: its side, in voxels of the stage."""

    width: int = 24
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window: int = 7


@dataclass(frozen=True)
class ViTSettings:
    """patch: voxels of a token along X, Y, Z, each 2, 4, 8 or 16. grid: tokens along X, Y, Z that positions are kept
    for; they are interpolated to an input of another size. `m3d_clip.SETTINGS` are a published one's."""

    width: int = 384
    depth: int = 8
    heads: int = 6
    mlp: int = 1536
    patch: tuple[int, int, int] = (16, 16, 16)
    grid: tuple[int, int, int] = (4, 4, 4)


class FullResolution(nn.Module):
    """The image's own features at strides 1 and 2; a fine tile's context joins at stride 2, voxel on voxel."""

    def __init__(self, channels: tuple[int, ...], pixel_dim: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(IMAGE_CHANNELS, channels[0], 3, padding=1)
        self.at_one = ResidualBlock(channels[0])
        self.down = nn.Conv3d(channels[0], channels[1], 2, stride=2)
        self.from_context = nn.Conv3d(pixel_dim, channels[1], 1)
        self.at_two = ResidualBlock(channels[1])

    def forward(self, image: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        whole = self.at_one(self.stem(image))
        half = self.down(whole)
        if context is not None:
            half = half + self.from_context(context)
        return whole, self.at_two(half)


class SwinEncoder(Encoder):
    """SwinUNETR's encoder (Hatamizadeh et al. 2022, Swin UNETR): windows of attention at strides 2 to 16, merged to
    stride 32, which is brought back to stride 16 here."""

    TRUNK = ("swin.",)

    swin: Any

    def __init__(self, settings: SwinSettings, channels: tuple[int, ...], pixel_dim: int, token_dim: int) -> None:
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinTransformer

        widths = [settings.width * 2**i for i in range(5)]
        self.full = FullResolution(channels, pixel_dim)
        self.across = nn.ModuleList(nn.Conv3d(a, b, 1) for a, b in zip(widths, channels[1:], strict=False))
        self.from_deepest = nn.Conv3d(widths[4], channels[4], 1)
        self.make_way_up(channels, token_dim)
        keep_variance(self)
        self.make_pixel(channels, pixel_dim)
        self.from_context = nn.Conv3d(pixel_dim, settings.width, 1)
        self.swin = SwinTransformer(
            IMAGE_CHANNELS, settings.width, (settings.window,) * 3, (2, 2, 2), settings.depths, settings.heads
        )
        for module in self.swin.modules():  # follows from the window: no part of a checkpoint, nor of an average
            for name, table in module.named_buffers(recurse=False):
                module.register_buffer(name, table, persistent=False)

    def descend(self, image: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        whole, half = self.full(image, context)
        x = self.swin.patch_embed(image)
        if context is not None:
            x = x + self.from_context(context)
        levels = [self.swin.proj_out(x, True)]
        for stage in (self.swin.layers1, self.swin.layers2, self.swin.layers3, self.swin.layers4):
            x = stage[0](x.contiguous())
            levels.append(self.swin.proj_out(x, True))
        two, four, eight, deep = (layer(level) for layer, level in zip(self.across, levels, strict=False))
        deepest = F.interpolate(self.from_deepest(levels[4]), size=deep.shape[2:])
        return deep + deepest, [whole, half + two, four, eight]


class ViTEncoder(Encoder):
    """A plain vision transformer (Dosovitskiy et al. 2021) with UNETR's way to pixels: what it holds after a quarter,
    half and three quarters of its blocks is brought up to strides 2, 4 and 8."""

    TRUNK = ("vit.", "cls_token")

    vit: Any

    def __init__(self, settings: ViTSettings, channels: tuple[int, ...], pixel_dim: int, token_dim: int) -> None:
        super().__init__()
        from monai.networks.nets.vit import ViT

        if settings.depth < 4 or any(n not in (2, 4, 8, 16) for n in settings.patch):
            raise ModelError(
                f"a ViT encoder of depth {settings.depth} with patches of {settings.patch}: "
                "give it at least 4 blocks, and patches with sides of 2, 4, 8 or 16 voxels"
            )
        self.settings = settings
        self.full = FullResolution(channels, pixel_dim)
        self.across = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(settings.width, c, 1), *(nn.ConvTranspose3d(c, c, 2, stride=2) for _ in range(doublings))
            )
            for c, doublings in zip(channels[1:4], (3, 2, 1), strict=True)
        )
        self.to_deep = nn.Conv3d(settings.width, channels[4], 1)
        self.make_way_up(channels, token_dim)
        keep_variance(self)
        self.make_pixel(channels, pixel_dim)
        self.from_context = nn.Conv3d(pixel_dim, settings.width, 1)
        size = [n * p for n, p in zip(settings.grid, settings.patch, strict=True)]
        self.vit = ViT(
            IMAGE_CHANNELS, size, settings.patch, settings.width, settings.mlp, settings.depth, settings.heads
        )
        for block in self.vit.blocks:  # MONAI makes them although nothing is attended to but the tokens
            block.norm_cross_attn, block.cross_attn = nn.Identity(), nn.Identity()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, settings.width))

    def positions(self, grid: tuple[int, ...]) -> Tensor:
        """Position embeddings of a grid of tokens (1, width, *grid)."""
        kept = self.vit.patch_embedding.position_embeddings.transpose(1, 2)
        kept = kept.view(1, -1, *self.settings.grid)
        return kept if grid == self.settings.grid else F.interpolate(kept, size=grid, mode="trilinear")

    def hidden(self, image: Tensor, context: Tensor | None = None) -> tuple[list[Tensor], tuple[int, ...]]:
        """Tokens (B, 1 + N, width) after each block, the last normalised, and the N tokens' grid."""
        x = self.vit.patch_embedding.patch_embeddings(image)
        grid = tuple(x.shape[2:])
        x = x + self.positions(grid)
        if context is not None:
            x = x + F.avg_pool3d(self.from_context(context), [n // 2 for n in self.settings.patch])
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1).to(x), x.flatten(2).transpose(1, 2)], 1)
        states = []
        for block in self.vit.blocks:
            tokens = block(tokens)
            states.append(tokens)
        return [*states[:-1], self.vit.norm(tokens)], grid

    def descend(self, image: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        whole, half = self.full(image, context)
        states, grid = self.hidden(image, context)
        depth = len(states)
        maps = []
        for at in (depth // 4, depth // 2, 3 * depth // 4, depth):
            tokens = states[at - 1][:, 1:].transpose(1, 2).reshape(len(image), -1, *grid)
            maps.append(F.avg_pool3d(tokens, [16 // n for n in self.settings.patch]))
        two, four, eight = (layer(tokens) for layer, tokens in zip(self.across, maps, strict=False))
        return self.to_deep(maps[3]), [whole, half + two, four, eight]


KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "swin": (SwinEncoder, SwinSettings),
    "vit": (ViTEncoder, ViTSettings),
}


def make_encoder(
    kind: str,
    settings: Mapping[str, Any],
    channels: tuple[int, ...],
    blocks: tuple[int, ...],
    pixel_dim: int,
    token_dim: int,
) -> Encoder:
    """The encoder that a configuration names. channels: widths of the way up at strides 1, 2, 4, 8, 16; blocks: of the
    residual one. ModelError for a kind or a setting that there is not."""
    if kind == "residual" and not settings:
        return VisionEncoder(channels, blocks, pixel_dim, token_dim)
    if kind not in KINDS:
        wrong = "has no encoder_settings" if kind == "residual" else "is none there is"
        raise ModelError(f"the encoder {kind!r} {wrong}: choose residual, or {' or '.join(KINDS)} with their settings")
    encoder, described = KINDS[kind]
    names = [f.name for f in fields(described)]
    if unknown := sorted(settings.keys() - set(names)):
        raise ModelError(f"the encoder {kind!r} has no setting {unknown[0]!r}: it has {', '.join(names)}")
    return encoder(described(**settings), channels, pixel_dim, token_dim)
