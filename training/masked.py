"""Masked-volume modelling (SimMIM, Xie et al. 2022): see a scan with most of it missing, and say what is missing.

The windows of whole patches are replaced by one learned value each; a single layer on the pixel embedding predicts
them, and the loss is the mean absolute error there alone. What tells the levels apart (voxel size, modality, place)
stays visible.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from assistant.vision import Encoder, Features
from training.samples import Sample

WINDOWS = 2  # the first channels of an encoder's input; see `preprocess.level_input`
INSIDE = 6  # the channel that says which voxels lie in the scan


def random_mask(shape: tuple[int, ...], patch: int, ratio: float, rng: np.random.Generator) -> Tensor:
    """Which voxels are hidden: (X, Y, Z) bool, whole patches of `patch` voxels, `ratio` of them, but never all or
    none."""
    grid = [n // patch for n in shape]
    count = int(np.prod(grid))
    hidden = np.zeros(count, bool)
    hidden[rng.permutation(count)[: min(max(1, round(ratio * count)), count - 1)]] = True
    return _enlarged(torch.from_numpy(hidden.reshape(grid)), patch)


def _enlarged(mask: Tensor, times: int) -> Tensor:
    for axis in range(3):
        mask = mask.repeat_interleave(times, axis)
    return mask


def masked_l1(predicted: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of the windows over the hidden voxels that lie in the scan: scalar, 0 where there are none.

    predicted (1, 2, X, Y, Z); image (1, 10, X, Y, Z) as `preprocess.level_input` makes it; mask (X, Y, Z) bool."""
    counts = (mask & (image[0, INSIDE] > 0.5)).to(predicted.dtype)
    errors = (predicted - image[:, :WINDOWS]).abs().mean(1)[0]
    return (errors * counts).sum() / counts.sum().clamp_min(1)


class MaskedModel(nn.Module):
    """An encoder with the value that stands for what is hidden, and the layer that predicts it."""

    def __init__(self, encoder: Encoder, pixel_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.hidden = nn.Parameter(torch.zeros(WINDOWS))
        self.predict = nn.Conv3d(pixel_dim, WINDOWS, 1)

    def forward(self, image: Tensor, mask: Tensor, context: Tensor | None = None) -> tuple[Tensor, Features]:
        """image (1, 10, X, Y, Z); mask (X, Y, Z) bool -> prediction (1, 2, X, Y, Z) float32, features."""
        hidden = self.hidden.view(1, -1, 1, 1, 1).to(image.dtype)
        shown = torch.cat([torch.where(mask, hidden, image[:, :WINDOWS]), image[:, WINDOWS:]], 1)
        features = self.encoder(shown, context)
        return self.predict(features.pixel).float(), features

    def loss(self, sample: Sample, patch: int, ratio: float, rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of a sample's levels. A fine tile has the same part of the body hidden as its context had, or it could
        look there; one with nothing hidden is left out."""
        mask = random_mask(tuple(sample.coarse_labels.shape), patch, ratio, rng).to(sample.coarse.device)
        predicted, coarse = self(sample.coarse, mask)
        losses = {"coarse": masked_l1(predicted, sample.coarse, mask)}
        finer = _enlarged(mask, 2)
        fine = []
        for tile, start in zip(sample.tiles, sample.tile_starts, strict=True):
            box = tuple(slice(s, s + n) for s, n in zip(start, tile.shape[2:], strict=True))
            here = finer[box]
            if here.any():
                half = tuple(slice(b.start // 2, b.stop // 2) for b in box)
                predicted, _ = self(tile, here, coarse.pixel[(slice(None), slice(None), *half)])
                fine.append(masked_l1(predicted, tile, here))
        if fine:
            losses["fine"] = torch.stack(fine).mean()
        return losses
