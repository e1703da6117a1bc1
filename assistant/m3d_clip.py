"""The image side of M3D-CLIP (Bai et al. 2024, arXiv:2404.00578) as a ViT encoder: its state dict, mapped by name.

Published layout (`pretrained_ViT.bin`; `model.safetensors` has the same under `vision_encoder.`, and a text side): a
MONAI ViT of 12 blocks, 768 wide, for one channel of 32 x 256 x 256 voxels in 0..1 and patches of 4 x 16 x 16, axes
slices, rows, columns.

    cls_token                                      (1, 1, 768)
    patch_embedding.position_embeddings            (1, 8 * 16 * 16, 768)     slices slowest
    patch_embedding.patch_embeddings.1.weight/bias (768, 4 * 16 * 16), (768,)
    blocks.0..11.norm1/norm2.weight/bias           (768,)
    blocks.0..11.attn.qkv.weight                   (2304, 768)
    blocks.0..11.attn.out_proj.weight/bias         (768, 768), (768,)
    blocks.0..11.mlp.linear1.weight/bias           (3072, 768), (3072,)
    blocks.0..11.mlp.linear2.weight/bias           (768, 3072), (768,)
    norm.weight/bias                               (768,)

Columns of an axial picture run to the patient's left and its rows to the back: both are turned round for RAS+. Slices
are taken to run upwards; the pictures it was made from are in the order of their file names, which does not say. The
linear patch embedding becomes a convolution of the first window (`preprocess.windows`); the other channels, which it
never saw, begin with weights of 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from assistant.checkpoint import check_keys, load_module
from assistant.encoders import ViTEncoder, ViTSettings
from assistant.errors import ModelError

#: `SegmenterConfig(encoder="vit", encoder_settings=asdict(SETTINGS))` is what the published weights fit
SETTINGS = ViTSettings(width=768, depth=12, heads=12, mlp=3072, patch=(16, 16, 4), grid=(16, 16, 8))
PREFIX = "vision_encoder."
#: how the names begin of what else a whole M3D-CLIP holds: its text side
TEXT_SIDE = ("language_encoder.", "mm_language_proj.", "mm_vision_proj.", "logit_scale")
PATCH, PLACES = "patch_embedding.patch_embeddings.1.", "patch_embedding.position_embeddings"


def image_side(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's keys of a state dict without their prefix; of a bare encoder's all of them."""
    if not any(name.startswith(PREFIX) for name in state):
        return dict(state)
    # what belongs to neither side keeps its whole name and is then surplus
    return {name.removeprefix(PREFIX): value for name, value in state.items() if not name.startswith(TEXT_SIDE)}


def layout(settings: ViTSettings) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the published layout at a ViT's sizes."""
    w, m = settings.width, settings.mlp
    voxels, places = math.prod(settings.patch), math.prod(settings.grid)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, w), PLACES: (1, places, w), f"{PATCH}weight": (w, voxels), f"{PATCH}bias": (w,),
        "norm.weight": (w,), "norm.bias": (w,),
    }  # fmt: skip
    block: dict[str, tuple[int, ...]] = {
        "norm1.weight": (w,), "norm1.bias": (w,), "norm2.weight": (w,), "norm2.bias": (w,),
        "attn.qkv.weight": (3 * w, w), "attn.out_proj.weight": (w, w), "attn.out_proj.bias": (w,),
        "mlp.linear1.weight": (m, w), "mlp.linear1.bias": (m,), "mlp.linear2.weight": (w, m), "mlp.linear2.bias": (w,),
    }  # fmt: skip
    return shapes | {f"blocks.{i}.{name}": shape for i in range(settings.depth) for name, shape in block.items()}


def load(state: Mapping[str, Tensor], encoder: ViTEncoder, what: str = "the state dict") -> None:
    """Set an encoder's transformer from a state dict of the published layout, each key used once.

    ModelError that names what is missing, unexpected or of another shape."""
    found, settings = image_side(state), encoder.settings
    check_keys({name: torch.empty(shape, device="meta") for name, shape in layout(settings).items()}, found, what)
    px, py, pz = settings.patch
    gx, gy, gz = settings.grid
    kernel = encoder.vit.patch_embedding.patch_embeddings.weight.detach().clone().zero_()
    seen = found.pop(f"{PATCH}weight").view(-1, pz, py, px)
    kernel[:, 0] = seen.permute(0, 3, 2, 1).flip(1, 2)
    places = found.pop(PLACES).view(gz, gy, gx, -1).permute(2, 1, 0, 3).flip(0, 1)
    with torch.no_grad():
        encoder.cls_token.copy_(found.pop("cls_token"))
    mapped = {
        "patch_embedding.patch_embeddings.weight": kernel,
        "patch_embedding.patch_embeddings.bias": found.pop(f"{PATCH}bias"),
        PLACES: places.reshape(1, gx * gy * gz, -1),
    }
    load_module(encoder.vit, mapped | found, what)


def fits(encoder: object) -> ViTEncoder:
    """The encoder itself; ModelError where it is no ViT."""
    if not isinstance(encoder, ViTEncoder):
        raise ModelError("an M3D-CLIP fits a ViT alone: configure encoder: vit with the settings of m3d_clip.SETTINGS")
    return encoder
