"""The mask decoder: prompt tokens meet image tokens; out come a mask, a presence logit and a quality estimate.

SAM's decoder (Kirillov et al. 2023, appendix A) in 3D, with one difference: the image side of the two-way attention is
not upsampled again. The `<SEG>` token becomes a hypernetwork vector, and the mask is its dot product with a pixel
embedding that no prompt has touched. So a study's pixels are encoded once, and one more mask costs a few tokens and a
dot product. The transformer itself is the `segment-anything` package's.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import types
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _two_way_transformer() -> type[nn.Module]:
    """`TwoWayTransformer` from the segment-anything package.

    The package's `__init__` imports torchvision for its image predictor, which a 3D program does not need. Where
    torchvision is missing the submodule is imported under a bare parent package, which is taken away again.
    """
    if importlib.util.find_spec("torchvision") is not None or "segment_anything" in sys.modules:
        return importlib.import_module("segment_anything.modeling.transformer").TwoWayTransformer
    spec = importlib.util.find_spec("segment_anything")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("the package segment-anything is missing: pip install segment-anything")
    parent = types.ModuleType("segment_anything")
    parent.__path__ = list(spec.submodule_search_locations)
    sys.modules["segment_anything"] = parent
    try:
        return importlib.import_module("segment_anything.modeling.transformer").TwoWayTransformer
    finally:
        del sys.modules["segment_anything"]


@dataclass(frozen=True)
class Heads:
    """What N decoded `<SEG>` queries yield, before any mask is drawn. (N, ...)

    coarse, fine: (N, P + 1) hypernetwork vector and bias for either level; presence_token, quality_token: (N, dim)
    """

    coarse: Tensor
    fine: Tensor
    presence_token: Tensor
    quality_token: Tensor

    def shifted(self, by: Tensor) -> Heads:
        """With logits by (N,) more in every voxel that is drawn."""
        added = F.pad(by[:, None], (self.coarse.shape[1] - 1, 0))
        return replace(self, coarse=self.coarse + added, fine=self.fine + added)

    @staticmethod
    def gather(parts: list[Heads], order: list[int]) -> Heads:
        """Join parts whose rows belong at positions `order`, and put the rows there."""
        back = torch.tensor(order, device=parts[0].coarse.device).argsort()
        return Heads(
            torch.cat([p.coarse for p in parts])[back],
            torch.cat([p.fine for p in parts])[back],
            torch.cat([p.presence_token for p in parts])[back],
            torch.cat([p.quality_token for p in parts])[back],
        )


class MLP(nn.Sequential):
    """Linear layers with GELU between. dims: sizes from input to output."""

    def __init__(self, *dims: int) -> None:
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(dims):
            layers += [nn.Linear(a, b), nn.GELU()]
        super().__init__(*layers[:-1])


class MaskDecoder(nn.Module):
    """dim: width of tokens; pixel_dim: width of the pixel embedding."""

    def __init__(self, dim: int = 128, pixel_dim: int = 32, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.presence_query = nn.Parameter(torch.randn(dim) * 0.02)
        self.quality_query = nn.Parameter(torch.randn(dim) * 0.02)
        self.transformer = _two_way_transformer()(
            depth=depth, embedding_dim=dim, num_heads=heads, mlp_dim=2 * dim, attention_downsample_rate=2
        )
        # a mask's vector is linear in its query, plus what the image tokens had to say (nothing at first): different
        # phrases then draw different masks from the first step on
        self.direct_coarse, self.direct_fine = nn.Linear(dim, pixel_dim + 1), nn.Linear(dim, pixel_dim + 1)
        self.to_coarse = MLP(dim, dim, pixel_dim + 1)
        self.to_fine = MLP(dim, dim, pixel_dim + 1)
        self.presence = MLP(2 * dim + 2, dim, 1)
        self.quality = MLP(2 * dim + 2, dim, 1)
        for head in (self.to_coarse, self.to_fine):
            last = head[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        for direct in (self.direct_coarse, self.direct_fine):
            nn.init.normal_(direct.weight, std=0.1)
            nn.init.constant_(direct.bias[-1:], -4.0)  # masks start empty: nearly every voxel is background

    def forward(self, query: Tensor, extra: Tensor, image: Tensor, image_position: Tensor) -> Heads:
        """query (N, dim) `<SEG>` queries; extra (N, T, dim) further prompt tokens (the same number T each), positions
        already added; image (dim, x, y, z) image tokens; image_position (x*y*z, dim)."""
        n = query.shape[0]
        tokens = torch.cat(
            [query[:, None], self.presence_query.expand(n, 1, -1), self.quality_query.expand(n, 1, -1), extra], 1
        ).to(image.dtype)
        # the package's transformer is written for (B, C, H, W): the three axes are folded into one
        flat = image.flatten(1)[None, :, :, None].expand(n, -1, -1, -1)
        place = image_position.T[None, :, :, None].to(image.dtype).expand(n, -1, -1, -1)
        out, _ = self.transformer(flat, place, tokens)
        seg = out[:, 0]
        return Heads(
            (self.direct_coarse(query) + self.to_coarse(seg)).float(),
            (self.direct_fine(query) + self.to_fine(seg)).float(),
            torch.cat([out[:, 1], out[:, 0]], 1),
            torch.cat([out[:, 2], out[:, 0]], 1),
        )

    @staticmethod
    def draw(hyper: Tensor, pixel: Tensor) -> Tensor:
        """Hypernetwork vectors (N, P + 1) on a pixel embedding (P, X, Y, Z) -> mask logits (N, X, Y, Z)."""
        flat = hyper[:, :-1].to(pixel.dtype) @ pixel.flatten(1)
        return flat.float().view(-1, *pixel.shape[1:]) + hyper[:, -1, None, None, None]

    def judge(self, heads: Heads, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Presence logit and quality (IoU estimate, 0..1) of each mask, from its tokens and from the mask itself:
        so that a confident mask and a claim of absence cannot go together. logits (N, X, Y, Z) coarse -> (N,), (N,)."""
        flat = logits.detach().flatten(1)
        peak = flat.topk(min(16, flat.shape[1]), dim=1).values.mean(1)
        size = flat.sigmoid().sum(1).log1p()
        facts = torch.stack([peak / 4, size / 4], 1)
        presence = self.presence(torch.cat([heads.presence_token.float(), facts], 1))[:, 0]
        quality = self.quality(torch.cat([heads.quality_token.float(), facts], 1))[:, 0].sigmoid()
        return presence, quality
