"""How far a mask depends on what should not matter: test-time augmentation.

The scan is seen again mirrored left to right and with its intensities bent, and the same structure is drawn each time.
A mirrored scan is asked for the other side by its name ("right hippocampus" for the left one): sides never change
places without their words. The entropy of the mean probability says where the looks disagree or are all unsure (Wang et
al. 2019, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assistant.errors import QuestionError
from assistant.glossary import other_side
from assistant.preprocess import mr_range
from assistant.study import Study
from assistant.volume import Volume

BEND = 0.15  # of an MR image's exponent and a PET image's scale
BEND_HU = 15.0


@dataclass(frozen=True)
class Uncertainty:
    """Both (X, Y, Z) float32 on the volume's RAS grid: the mean probability, and its entropy in bits, 0 to 1."""

    probability: np.ndarray
    entropy: np.ndarray


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


def other_looks(volume: Volume) -> Iterator[tuple[Volume, bool]]:
    """The volumes to look at beside the scan itself, each with whether it is mirrored."""
    yield mirrored(volume), True
    yield bent(volume, -1.0), False
    yield mirrored(bent(volume, 1.0)), True


def uncertainties(study: Study, names: Sequence[str]) -> list[Uncertainty]:
    """Of taught structures, by their names alone (clicks are not repeated): the study itself, and three more looks
    that are encoded where the structures lie. A structure whose other side was never taught is not looked for in
    mirrored ones. QuestionError for a name that was never taught."""
    taught = study.segmenter.config.taught_names
    for name in names:
        if name not in taught:
            raise QuestionError(f"there is no uncertainty of {name!r}: the model was never taught it")
    totals = [study.view.drawing.probability(name) for name in names]
    counts = [1] * len(names)
    for volume, flipped in other_looks(study.volume):
        look = Study(volume, study.segmenter)
        for i, name in enumerate(names):
            asked = other_side(name) if flipped else name
            if asked in taught:
                own = look.view.drawing.probability(asked)
                totals[i] += own[::-1] if flipped else own
                counts[i] += 1
    return [_of_mean(np.clip(total / count, 0, 1)) for total, count in zip(totals, counts, strict=True)]


def _of_mean(mean: np.ndarray) -> Uncertainty:
    safe = np.clip(mean, 1e-7, 1 - 1e-7)
    entropy = -(safe * np.log2(safe) + (1 - safe) * np.log2(1 - safe))
    return Uncertainty(mean, np.where(mean > 0, entropy, 0).astype(np.float32))
