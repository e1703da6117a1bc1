"""A checkpoint as a model on a device that is there."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from assistant.errors import ResourceError
from assistant.model import DeixisModel, default_checkpoint
from assistant.prepacked import can_prepack, prepack


def load_model(
    model: str | Path | DeixisModel | None = None,
    base: str | Path | None = None,
    device: str = "cpu",
    quantize: str | None = None,
) -> DeixisModel:
    """A checkpoint folder as a model on a device; the embedded default for None; a loaded model as it is.

    base: the folder of the language model, where it is not found by the name that the checkpoint gives.
    """
    if isinstance(model, DeixisModel):
        return model
    folder = default_checkpoint() if model is None else Path(model)
    place = checked_device(device)
    # A pass takes as long as the weights take to be read: half of it in bfloat16, where the CPU computes in that
    fast = place == "cpu" and torch.cpu._is_avx512_bf16_supported() and not quantize
    loaded = DeixisModel.from_pretrained(folder, base, torch.bfloat16 if fast else None, place, quantize)
    if fast and can_prepack():
        prepack(cast(nn.Module, loaded.language_model))
    if fast:  # the layout in which oneDNN convolves bfloat16: a seventh less time for a tile
        loaded.segmenter.vision.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return loaded


def checked_device(name: str) -> str:
    """A device torch can use. "auto" takes CUDA where there is one. ResourceError names what is missing."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ResourceError(f"the device {name!r} is not known to torch; use cpu, cuda or auto") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ResourceError(f"the device {name!r} was asked for, but torch sees no CUDA device; use cpu or auto")
    return name
