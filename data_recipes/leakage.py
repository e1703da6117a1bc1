"""The same patient or the same volume in two splits: found before anything is trained on it, and refused by name.

Public sets are made of one another (AbdomenAtlas of BTCV and AMOS, M3D-RefSeg of TotalSegmentator), so a scan that one
set trains on may be another's development case. Patients are compared by name where sets share their numbering
(`DataSet.patients`); volumes by their voxels, whatever the file, its compression, its data type or the order of its
axes. A volume that was resampled or cropped is another one: that is not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_recipes.schema import RecipeError

SHOWN = 10  # leaks named in an error


class LeakError(RecipeError):
    """A patient or a volume is in two splits; the message names them."""


@dataclass(frozen=True)
class Scan:
    """One scan of a data set. `space` is where the patient's name is unique, `volume` a `voxel_hash` or ""."""

    dataset: str
    space: str
    patient: str
    id: str
    split: str
    volume: str = ""

    def __str__(self) -> str:
        return f"{self.dataset}/{self.id} ({self.split})"


def voxel_hash(voxels: np.ndarray) -> str:
    """Hash of (X, Y, Z) voxels in RAS order as `Volume` holds them; affine and file play no part."""
    digest = hashlib.sha256(repr(voxels.shape).encode())
    digest.update(np.ascontiguousarray(voxels, np.float32).data)
    return digest.hexdigest()


def leaks(scans: Iterable[Scan]) -> list[str]:
    """One sentence for each patient and each volume that two splits share."""
    scans = list(scans)
    found = _crossing("the patient", ((f"{s.patient} of {s.space}", s) for s in scans))
    return found + _crossing("the volume", ((s.volume[:12], s) for s in scans if s.volume))


def duplicates(scans: Iterable[Scan]) -> list[str]:
    """One sentence for each volume that two data sets have in the same split: trained on twice, but no leak."""
    first: dict[tuple[str, str], Scan] = {}
    found = []
    for scan in scans:
        other = first.setdefault((scan.volume, scan.split), scan) if scan.volume else scan
        if other.dataset != scan.dataset:
            found.append(f"{other} and {scan} are one volume")
    return found


def check(scans: Iterable[Scan]) -> None:
    """LeakError when two splits share a patient or a volume."""
    found = leaks(scans)
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise LeakError("; ".join(found[:SHOWN]) + more + ": leave one set out, or these scans of one (--leave-out)")


def _crossing(what: str, keyed: Iterable[tuple[str, Scan]]) -> list[str]:
    first: dict[str, dict[str, Scan]] = {}
    found = []
    for key, scan in keyed:
        splits = first.setdefault(key, {})
        if scan.split not in splits:
            splits[scan.split] = scan
            if len(splits) == 2:
                one, other = splits.values()
                found.append(f"{what} {key} is in both splits: {one} and {other}")
    return found
