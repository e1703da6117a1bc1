"""Which kind of scan a volume is, when its file does not say, from its name and its intensities.

The rule, in this order; the first that applies decides:

1. **Air.** Minimum <= -500 and at least 0.1 % of the voxels <= -200, and a 99.9th percentile of at least 30: CT. Only
   Hounsfield units reach that low.
2. **Name.** The file's name has the word ``ct``/``cta``/``cbct``/``hu``: CT; ``pet``/``suv``/``fdg``: PET; ``mr``,
   ``mri``, ``t1``, ``t1w``, ``t2``, ``flair``, ``dwi``, ``adc``, ``swi``, ``bold``, ...: MR. Words end at anything that
   is not a letter or digit. Names that point to two kinds are not used.
3. **Stored CT.** Whole numbers, minimum 0, and, of the voxels over 200, at least half between 850 and 1150, at most
   30 % under 800, between 0.1 % and 40 % over 1150, with a 99.9th percentile of at least 1300 and a 99th of at most
   4096: CT stored as HU + 1024.
4. **Windowed CT.** Minimum in -500...-100, at least 2 % of the voxels in -150...-50 (fat) and 20 % in 0...100 (soft
   tissue): CT cut to a soft-tissue window.
5. **PET.** No negative voxels, voxels of at least 2 mm on every axis, not whole numbers, and a sharply skewed
   histogram: median < 0.25 and 95th percentile < 0.55 of the 99.9th.
6. Otherwise MR.

A CT (given, named or estimated) that shows pattern 3 has 1024 subtracted, so that the voxels are Hounsfield units. CT
that the header of a DICOM file describes is rescaled by its own slope and intercept and never shifted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from assistant.errors import ScanError

MODALITIES = ("CT", "MR", "PET")

STORED_CT_OFFSET = 1024.0

_ALIASES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PET", "PT": "PET"}

_WORDS = {
    "CT": {"ct", "cta", "cbct", "cect", "ncct", "hu"},
    "PET": {"pet", "suv", "suvbw", "fdg"},
    "MR": {
        "mr", "mri", "mra", "t1", "t1w", "t1c", "t1ce", "t1gd", "t2", "t2w", "pd", "pdw", "flair", "dwi", "adc", "swi",
        "bold", "mprage", "mp2rage", "space", "dixon", "epi", "dti", "tof",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A modality and why: ``reason`` completes "modality estimated ..."."""

    modality: str
    reason: str


def canonical_modality(text: str) -> str:
    """Return "CT", "MR" or "PET" for what a user or a header calls it; ScanError for anything else."""
    modality = _ALIASES.get(text.strip().upper())
    if modality is None:
        raise ScanError(f"The modality {text!r} is not one of CT, MR, PET; give one of these.")
    return modality


def name_hint(name: str) -> str | None:
    """The modality a file name speaks of; None when it names none, or two."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    hits = [modality for modality, hints in _WORDS.items() if words & hints]
    return hits[0] if len(hits) == 1 else None


def looks_like_stored_ct(voxels: np.ndarray) -> bool:
    """Pattern 3 above. voxels: (X, Y, Z) float32."""
    sample = _sample(voxels)
    if sample.min() < 0 or float(voxels.min()) != 0.0 or not _whole(sample):
        return False
    tissue = sample[sample > 200]
    if tissue.size < 100:
        return False
    soft = float(np.mean((tissue >= 850) & (tissue <= 1150)))
    dark = float(np.mean(tissue < 800))
    dense = float(np.mean(tissue > 1150))
    p99, top = (float(value) for value in np.percentile(tissue, [99, 99.9]))  # metal may reach any value above that
    return soft >= 0.5 and dark <= 0.3 and 0.001 <= dense <= 0.4 and p99 <= 4096 and top >= 1300


def estimate_modality(voxels: np.ndarray, spacing: np.ndarray, name: str) -> Estimate:
    """Apply the rule of this file's head. voxels: (X, Y, Z) finite float32; spacing: (3,) mm; name: file name."""
    sample = _sample(voxels)
    low = float(voxels.min())
    median, p95, top = (float(value) for value in np.percentile(sample, [50, 95, 99.9]))
    if low <= -500 and top >= 30 and np.mean(sample <= -200) >= 0.001:
        return Estimate("CT", "from intensities")
    hint = name_hint(name)
    if hint is not None:
        return Estimate(hint, "from the file name")
    if looks_like_stored_ct(voxels):
        return Estimate("CT", "from intensities")
    fat = float(np.mean((sample >= -150) & (sample <= -50)))
    soft = float(np.mean((sample >= 0) & (sample <= 100)))
    if -500 < low <= -100 and fat >= 0.02 and soft >= 0.2:
        return Estimate("CT", "from intensities")
    skewed = median < 0.25 * top and p95 < 0.55 * top
    if low >= 0 and float(np.min(spacing)) >= 2.0 and skewed and not _whole(sample):
        return Estimate("PET", "from intensities")
    return Estimate("MR", "from intensities")


def _sample(voxels: np.ndarray, most: int = 2_000_000) -> np.ndarray:
    """About ``most`` voxels, evenly spaced in memory; the odd stride does not keep to one plane of an even grid."""
    flat = voxels.reshape(-1)
    stride = max(1, flat.size // most)
    return flat[:: stride | 1]


def _whole(sample: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(sample == np.rint(sample)))
