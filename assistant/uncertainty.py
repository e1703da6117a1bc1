"""How far a mask depends on what should not matter: test-time augmentation.

The scan is seen again mirrored left to right and with its intensities bent, and the same structure is drawn each time.
A mirrored scan is asked for the other side by its name ("right hippocampus" for the left one): sides never change
places without their words. The entropy of the mean probability says where the looks disagree or are all unsure (Wang et
al. 2019, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from assistant.errors import QuestionError
from assistant.preprocess import mr_range
from assistant.segmenter import Segmenter
from assistant.study import Study
from assistant.volume import Volume

BEND = 0.15  # of an MR image's exponent and a PET image's scale
BEND_HU = 15.0


@dataclass(frozen=True)
class Uncertainty:
    """Both (X, Y, Z) float32 on the volume's RAS grid: the mean probability, and its entropy in bits, 0 to 1."""

    probability: np.ndarray
    entropy: np.ndarray


def other_side(name: str) -> str:
    """The name of what a mirrored scan shows there: left and right in it change places.

    >>> other_side("left hippocampus"), other_side("brainstem")
    ('right hippocampus', 'brainstem')
    """
    swap = {"left": "right", "right": "left"}
    return " ".join(swap.get(word, word) for word in name.split(" "))


def bent(volume: Volume, amount: float) -> Volume:
    """The volume with darker (amount -1) or brighter (1) intensities."""
    voxels = volume.voxels
    if volume.modality == "CT":
        changed = voxels + amount * BEND_HU
    elif volume.modality == "PET":
        changed = voxels * np.exp(amount * BEND)
    else:
        import torch

        low, high = mr_range(torch.from_numpy(voxels))
        inside = np.clip((voxels - low) / max(high - low, 1e-6), 0, None)
        changed = low + (high - low) * inside ** np.exp(-amount * BEND)
    return replace(volume, voxels=np.ascontiguousarray(changed, dtype=np.float32))


def mirrored(volume: Volume) -> Volume:
    """The volume's voxels in reverse along the axis from left to right, on the same grid."""
    return replace(volume, voxels=np.ascontiguousarray(volume.voxels[::-1]))


def ways(volume: Volume) -> Iterator[tuple[Volume, bool]]:
    """The volumes to look at, each with whether it is mirrored. The first is the volume itself."""
    yield volume, False
    yield mirrored(volume), True
    yield bent(volume, -1.0), False
    yield mirrored(bent(volume, 1.0)), True


def uncertainty(volume: Volume, segmenter: Segmenter, name: str) -> Uncertainty:
    """Of a taught structure; a scan is encoded four times, where the structure lies. QuestionError where it, or the
    other side that a mirrored scan shows, was never taught."""
    taught = segmenter.config.taught_names
    for asked in (name, other_side(name)):
        if asked not in taught:
            raise QuestionError(f"there is no uncertainty of {name!r}: the model was never taught {asked!r}")
    total = np.zeros(volume.shape, np.float32)
    count = 0
    for seen, flipped in ways(volume):
        own = Study(seen, segmenter).drawing.probability(other_side(name) if flipped else name)
        total += own[::-1] if flipped else own
        count += 1
    mean = np.clip(total / count, 0, 1)
    safe = np.clip(mean, 1e-7, 1 - 1e-7)
    entropy = -(safe * np.log2(safe) + (1 - safe) * np.log2(1 - safe))
    return Uncertainty(mean, np.where(mean > 0, entropy, 0).astype(np.float32))
