"""The same scan, stored, cut or worn otherwise: is it the same mask, in patient space?

Storage order and a quarter turn that the header tells are the same scan: their masks must be equal to the voxel. The
others may cost a little. A scan of larger voxels cannot hold the same mask, whatever drew it: the ceiling is the Dice
of the unchanged scan's mask with itself once it has been stored on the changed scan's grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from assistant.volume import Volume
from data_recipes.synthesis.contrast import bias_field
from training import metrics
from training.answers import Asked, mask_for, voxels
from training.scans import Scan

EXACT = ("storage order", "header rotation")


@dataclass(frozen=True)
class Perturbed:
    """One target on one changed scan. dice: with the mask of the unchanged one, where both see; ceiling: what that mask
    itself would get from the changed scan's grid."""

    family: str
    case: str
    phrase: str
    change: str
    found: bool
    dice: float
    ceiling: float = 1.0


def reordered(volume: Volume, axes: Sequence[int], flips: Sequence[bool]) -> Volume:
    """The same voxels at the same places of the patient, stored with other axes first and other directions."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        change[old, new] = -1 if flip else 1
        change[old, 3] = volume.shape[old] - 1 if flip else 0
    array = volume.voxels.transpose(*axes)[tuple(slice(None, None, -1) if f else slice(None) for f in flips)]
    return _like(volume, array, volume.affine @ change)


def _like(volume: Volume, array: np.ndarray, affine: np.ndarray) -> Volume:
    return Volume.from_array(np.ascontiguousarray(array), affine, volume.modality, volume.name)


def cropped(volume: Volume, rng: np.random.Generator) -> Volume:
    """A tenth cut off one end of each axis."""
    cuts = [(n // 10 * int(side), n - n // 10 * int(not side)) for n, side in zip(
        volume.shape, rng.integers(0, 2, 3), strict=True)]  # fmt: skip
    return part_of(volume, cuts)


def part_of(volume: Volume, cuts: Sequence[tuple[int, int]]) -> Volume:
    """The voxels from start to stop along each axis, where they are in the patient."""
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_world(np.array([[float(low) for low, _ in cuts]]))[0]
    return _like(volume, volume.voxels[tuple(slice(*cut) for cut in cuts)], affine)


def halved(volume: Volume) -> Volume:
    """Voxels of twice the size: the mean of each 2 x 2 x 2, a rest at the ends left out."""
    x, y, z = (n // 2 for n in volume.shape)
    blocks = volume.voxels[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2)
    grow = np.diag([2.0, 2.0, 2.0, 1.0])
    grow[:3, 3] = 0.5  # the centre of the first block
    return _like(volume, blocks.mean((1, 3, 5)), volume.affine @ grow)


def noisy(volume: Volume, rng: np.random.Generator) -> Volume:
    """Gaussian noise: 20 HU on CT, 3 % of the 99th percentile elsewhere."""
    level = 20.0 if volume.modality == "CT" else 0.03 * float(np.percentile(volume.voxels, 99))
    values = volume.voxels + rng.normal(0, level, volume.shape).astype(np.float32)
    return _like(volume, values if volume.modality == "CT" else values.clip(0), volume.affine)


def biased(volume: Volume, rng: np.random.Generator) -> Volume:
    """A smooth field over an MR image, exp of normal knots of 0.2."""
    field = bias_field(rng, torch.Size(volume.shape), 0.2).numpy()
    return _like(volume, volume.voxels * field, volume.affine)


def changes(volume: Volume, rng: np.random.Generator) -> dict[str, Volume]:
    """The scan, changed in each way that makes sense for it."""
    changed = {
        "storage order": reordered(volume, (2, 0, 1), (True, False, True)),
        "header rotation": reordered(volume, (1, 0, 2), (True, False, False)),
        "cropped": cropped(volume, rng),
        "half resolution": halved(volume),
        "noisy": noisy(volume, rng),
    }
    if volume.modality == "MR":
        changed["bias field"] = biased(volume, rng)
    return changed


def carried(mask: np.ndarray, origin: Volume, to: Volume) -> tuple[np.ndarray, np.ndarray]:
    """A mask on the RAS grid of one volume, on the RAS grid of another (nearest voxel), and where both see."""
    step = np.linalg.inv(origin.affine) @ to.affine
    ones = np.ones(origin.shape, np.uint8)
    moved, seen = (
        ndimage.affine_transform(values, step[:3, :3], step[:3, 3], to.shape, order=0, mode="grid-constant", cval=0)
        for values in (mask.astype(np.uint8), ones)
    )
    return moved > 0, seen > 0


def stored(mask: np.ndarray, origin: Volume, on: Volume) -> np.ndarray:
    """A mask of one volume as well as another volume's grid can hold it: the voxels that it fills by half or more, by
    eight looks into each."""
    step = np.linalg.inv(origin.affine) @ on.affine
    looks = [np.array(at) / 4 for at in itertools.product((-1, 1), repeat=3)]
    filled = sum(
        ndimage.affine_transform(
            mask.astype(np.uint8), step[:3, :3], step[:3, 3] + step[:3, :3] @ look, on.shape, order=0,
            mode="grid-constant", cval=0,
        ).astype(np.uint8)
        for look in looks
    )  # fmt: skip
    return np.asarray(filled) >= 4


def ask_of_changed_scans(
    open_session: Callable[[Volume], Asked], scan: Scan, volume: Volume, group: str, seed: int, targets: int
) -> Iterator[Perturbed]:
    """Up to ``targets`` structures, in the scan as it is and in each changed one."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    phrases = list(scan.truths)
    asked = [phrases[i] for i in sorted(rng.permutation(len(phrases))[:targets])]
    plain = {}
    session = open_session(volume)
    for phrase in asked:
        plain[phrase] = _ras_mask(session, volume, phrase)
    for name, changed in changes(volume, rng).items():
        session = open_session(changed)
        for phrase in asked:
            if not plain[phrase].any():
                continue  # there is no mask to compare with
            mask = _ras_mask(session, changed, phrase)
            back, seen = carried(mask, changed, volume)
            best, _ = carried(stored(plain[phrase], volume, changed), changed, volume)
            same = plain[phrase] & seen
            yield Perturbed(
                group, scan.case, phrase, name, bool(mask.any()), metrics.dice(back & seen, same),
                metrics.dice(best & seen, same),
            )  # fmt: skip


def _ras_mask(session: Asked, volume: Volume, phrase: str) -> np.ndarray:
    finding = mask_for(session.ask(f"Segment the {phrase}."), phrase)
    session.undo()
    return volume.from_native(voxels(finding, volume.native.shape))


def summarise(rows: Sequence[Perturbed]) -> dict[str, Any]:
    """By change: how many, mean Dice with the unchanged scan's mask and its interval, mean ceiling."""
    return {
        change: {
            "n": len(group),
            "dice": metrics.mean(r.dice for r in group),
            "dice_interval95": list(metrics.mean_interval(r.dice for r in group)),
            "ceiling": metrics.mean(r.ceiling for r in group),
        }
        for change in dict.fromkeys(r.change for r in rows)
        if (group := [r for r in rows if r.change == change])
    }
