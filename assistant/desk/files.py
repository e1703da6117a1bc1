"""The files the viewer loads: the scan and the masks as NIfTI, on the volume's RAS grid.

The viewer always gets files made here, never the reader's own: one format whatever was opened (DICOM, NRRD, ...), and
scan and masks on one grid. They live in a folder with an unguessable name, and every file is written under a new name,
so neither the browser nor the viewer can show an old one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    from assistant.volume import Volume

# A browser holds the scan three times over (file, array, texture) and WebGL guarantees textures of 2,048 a side only.
MAX_VIEWER_VOXELS = 2**27


# Window presets in HU (level ± width / 2), as radiology uses them.
CT_WINDOWS = (
    ("Soft tissue", 40, 400), ("Brain", 40, 80), ("Bone", 400, 1800), ("Lung", -600, 1500),
)  # fmt: skip


def viewer_step(shape: tuple[int, ...]) -> int:
    """Every how manieth voxel the viewer shows, so that the scan stays within `MAX_VIEWER_VOXELS`; 1 for almost all."""
    step = 1
    while np.prod([-(-n // step) for n in shape], dtype=np.int64) > MAX_VIEWER_VOXELS:
        step += 1
    return step


def _write(array: np.ndarray, affine: np.ndarray, path: Path, *, slope: float = 1.0, inter: float = 0.0) -> Path:
    step = viewer_step(array.shape)
    # Taking every n-th voxel keeps voxel 0 where it is; the columns grow.
    image = nib.Nifti1Image(array[::step, ::step, ::step], affine @ np.diag([step, step, step, 1.0]))
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    image.set_sform(image.affine, code=2)
    image.set_qform(None, code=0)
    nib.save(image, path)
    return path


def write_scan(volume: Volume, folder: Path) -> Path:
    """Write `volume.voxels` (X, Y, Z) as 16-bit integers, uncompressed (on one machine gzip costs more than it saves).

    Whole numbers within 16 bits (CT) are kept exactly; anything else is spread over 65,000 steps of its range.
    """
    voxels = volume.voxels
    low, high = float(voxels.min()), float(voxels.max())
    whole = low >= -32768 and high <= 32767 and bool(np.all(voxels == np.rint(voxels)))
    slope, inter = (1.0, 0.0) if whole else ((high - low) / 65000 or 1.0, (high + low) / 2)
    stored = np.rint((voxels - inter) / slope).astype(np.int16)
    return _write(stored, volume.affine, folder / f"{secrets.token_hex(8)}.nii", slope=slope, inter=inter)


def write_overlay(volume: Volume, mask: np.ndarray, folder: Path) -> Path:
    """Write `mask`, bool (X, Y, Z) on the volume's RAS grid, as 0/1 bytes (gzip: masks shrink to almost nothing)."""
    return _write(mask.astype(np.uint8), volume.affine, folder / f"{secrets.token_hex(8)}.nii.gz")


def windows(volume: Volume) -> list[dict[str, object]]:
    """The grey windows to choose from, as name and (black, white) in the volume's unit; the first is the default."""
    sample = volume.voxels.reshape(-1)[:: max(1, volume.voxels.size // 500_000)]
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    full: dict[str, object] = {"name": "Full range", "range": [low, high]}
    if volume.modality == "CT":
        presets: list[dict[str, object]] = [
            {"name": name, "range": [level - width / 2, level + width / 2]} for name, level, width in CT_WINDOWS
        ]
        return [*presets, full]
    # MR and PET: the air around the patient is left out of the percentiles, or it would take most of the greys.
    inside = sample[sample > low + 0.02 * (high - low)]
    black, white = np.percentile(inside, (0.5, 99.7)) if inside.size > 100 else (low, high)
    black = low if volume.modality == "PET" else min(float(black), low + 0.25 * (high - low))
    return [{"name": "Auto", "range": [float(black), float(max(white, black + 1e-6))]}, full]
