"""The files the viewer loads: the scan and the masks as NIfTI, on the volume's RAS grid.

The viewer always gets files made here, never the reader's own: one format whatever was opened (DICOM, NRRD, ...), and
scan and masks on one grid (`assistant/desk/display.py`). They live in a folder with an unguessable name, and every file
is written under a new name, so neither the browser nor the viewer can show an old one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from assistant.desk.display import Grid, averaged, boxed, display_grid, steps_of, surface, write_mz3

if TYPE_CHECKING:
    from assistant.volume import Volume

# Window presets in HU (level ± width / 2), as radiology uses them.
CT_WINDOWS = (
    ("Soft tissue", 40, 400), ("Brain", 40, 80), ("Subdural", 75, 215), ("Bone", 400, 1800), ("Lung", -600, 1500),
    ("Mediastinum", 50, 350), ("Liver", 30, 150),
)  # fmt: skip


def _write(array: np.ndarray, affine: np.ndarray, path: Path, *, slope: float = 1.0, inter: float = 0.0) -> Path:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    image.set_sform(image.affine, code=2)
    image.set_qform(None, code=0)
    nib.save(image, path)
    return path


def write_scan(volume: Volume, folder: Path) -> Path:
    """Write `volume.voxels` (X, Y, Z) as 16-bit integers, uncompressed (on one machine gzip costs more than it saves).

    Whole numbers within 16 bits (CT) are kept exactly; anything else is spread over 65,000 steps of its range. A scan
    that is larger than a screen can show is averaged (`display_grid`).
    """
    grid = display_grid(volume)
    slope, inter = steps_of(volume.voxels)
    stored = np.rint((averaged(volume.voxels, grid.factors) - inter) / slope).astype(np.int16)
    return _write(stored, grid.affine, folder / f"{secrets.token_hex(8)}.nii", slope=slope, inter=inter)


def write_voxels(voxels: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    """Write (X, Y, Z) values of any range likewise. The file is there when it is whole."""
    slope, inter = steps_of(voxels)
    part = path.with_name(f"part-{path.name}")
    _write(np.rint((voxels - inter) / slope).astype(np.int16), affine, part, slope=slope, inter=inter)
    return part.replace(path)


def write_overlay(volume: Volume, mask: np.ndarray, folder: Path) -> Path:
    """Write `mask`, bool (X, Y, Z) on the volume's RAS grid, as 0/1 bytes cut to its box (gzip: masks shrink to almost
    nothing), and its surface beside it (`surface_file`)."""
    small, affine = boxed(mask, display_grid(volume))
    path = _write(small, affine, folder / f"{secrets.token_hex(8)}.nii.gz")
    write_mz3(*surface(small, affine), surface_file(path))
    return path


def surface_file(overlay: Path) -> Path:
    """Where the surface of an overlay's mask lies."""
    return overlay.with_name(overlay.name.removesuffix(".nii.gz") + ".mz3")


def write_heat(volume: Volume, heat: np.ndarray, folder: Path) -> Path:
    """Write a map of 0 to 1, float (X, Y, Z) on the volume's RAS grid, in 255 steps, cut to where it is over 0."""
    grid = display_grid(volume)
    levels = np.rint(averaged(heat, grid.factors) * 255).astype(np.uint8)
    box, affine = boxed(levels > 0, Grid((1, 1, 1), grid.shape, grid.affine))
    first = np.rint(np.linalg.solve(grid.affine, affine)[:3, 3]).astype(int) + 1  # within the rim that `boxed` adds
    inner = levels[tuple(slice(a, a + n - 2) for a, n in zip(first, box.shape, strict=True))]
    return _write(np.pad(inner, 1), affine, folder / f"{secrets.token_hex(8)}.nii.gz", slope=1 / 255)


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
    levels = (0.5, 5, 50, 95, 99.7)
    found = np.percentile(inside, levels) if inside.size > 100 else (low, low, low, high, high)
    least, fifth, middle, upper, most = (float(level) for level in found)
    auto = (low if volume.modality == "PET" else min(least, low + 0.25 * (high - low)), most)
    named = [("Auto", auto), ("Contrast (5 to 95 %)", (fifth, upper))]
    if volume.modality == "PET":
        named = [("Auto", auto), ("Hot spots (over 50 %)", (middle, high))]
    if volume.intensity_unit == "SUV":
        named += [(f"SUV 0 to {top}", (0.0, float(top))) for top in (5, 10, 20)]
    chosen: list[dict[str, object]] = [
        {"name": name, "range": [black, max(white, black + 1e-6)]} for name, (black, white) in named
    ]
    return [*chosen, full]
