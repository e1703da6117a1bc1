"""A scan in patient space: voxels, where they are, and how to get back to the file's own grid.

Frames. World coordinates are RAS+ millimetres: x to the patient's right, y to the front, z to the head. Voxels are
indexed (x, y, z) by the axes nearest to right, front, head. A file stores its axes in any order and direction;
``Volume`` permutes and flips them, and never resamples: ``to_native`` is the exact inverse of ``from_native``. Oblique,
left-handed, sheared (gantry tilt), anisotropic and one-slice grids need no special case: lengths go through the affine.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ResourceError, ScanError
from assistant.formats import (
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    StoredScan,
    check_affine,
    check_size,
    is_dicom_file,
    read_itk,
    read_nifti,
)
from assistant.modality import STORED_CT_OFFSET, canonical_modality, estimate_modality, looks_like_stored_ct


@dataclass(frozen=True, eq=False)
class NativeGrid:
    """The grid the file stores, and the way to it.

    shape: (I, J, K). stored_shape: the same with the file's own number of axes, e.g. (I, J) or (I, J, K, 1); written
    masks have it. affine: float64 (4, 4), stored index -> RAS+ mm. order: for each of x, y, z the stored axis it
    comes from. flips: for each of x, y, z whether that axis runs the other way. nifti_header: a nibabel header to copy
    qform, sform and their codes from when the source was NIfTI, else None.
    """

    shape: tuple[int, int, int]
    stored_shape: tuple[int, ...]
    affine: np.ndarray
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    nifti_header: Any = None

    @staticmethod
    def of(shape: tuple[int, int, int], affine: np.ndarray, stored_shape: tuple[int, ...] | None = None,
           nifti_header: Any = None) -> NativeGrid:  # fmt: skip
        """The grid with the permutation and flips that bring it closest to RAS."""
        order, flips = closest_ras(affine)
        return NativeGrid(shape, stored_shape or shape, np.array(affine, np.float64), order, flips, nifti_header)

    def to_ras(self, array: np.ndarray) -> np.ndarray:
        """(I, J, K, ...) stored order -> (X, Y, Z, ...) closest RAS; a view."""
        array = array.transpose(*self.order, *range(3, array.ndim))
        return array[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def from_ras(self, array: np.ndarray) -> np.ndarray:
        """(X, Y, Z, ...) closest RAS -> (I, J, K, ...) stored order; a view. The inverse of ``to_ras``."""
        array = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]
        return array.transpose(*np.argsort(self.order).tolist(), *range(3, array.ndim))

    def ras_affine(self) -> np.ndarray:
        """float64 (4, 4) of the reordered grid: index (x, y, z) -> RAS+ mm."""
        change = np.zeros((4, 4))  # (x, y, z, 1) -> (i, j, k, 1)
        change[3, 3] = 1.0
        for axis, (stored, flip) in enumerate(zip(self.order, self.flips, strict=True)):
            change[stored, axis] = -1.0 if flip else 1.0
            change[stored, 3] = self.shape[stored] - 1 if flip else 0.0
        return self.affine @ change


def closest_ras(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """(order, flips) of ``NativeGrid`` for a (4, 4) index -> RAS+ mm affine.

    Of the six pairings of stored with world axes the one with the largest sum of |cosines| is taken (the first at a
    tie), so the result is a permutation even where two axes are nearest to the same direction.
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)  # rows: world axes; columns: stored axes
    scores = {p: sum(abs(cosines[world, p[world]]) for world in range(3)) for p in permutations(range(3))}
    order = max(scores, key=lambda p: round(scores[p], 9))
    flips = tuple(bool(cosines[world, order[world]] < 0) for world in range(3))
    return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3D scan.

    voxels: float32 (X, Y, Z), C-contiguous, closest-RAS order, finite; HU for CT where the file allows.
    affine: float64 (4, 4), index (x, y, z) -> RAS+ mm.
    modality: "CT", "MR" or "PET". modality_source: "header", "estimated" or "given".
    name: for people; path: None for arrays. sha256: hash of shape, affine and voxels before any shift of intensities.
    native: the file's own grid. notes: what a user should be told, one phrase each.
    intensity_unit: "HU", "SUV", or "" when the values have no known unit.
    patient, date: the patient's id and the day of the scan (YYYY-MM-DD) as the headers have them, else "". They are
    compared with a prior's and written nowhere.
    """

    voxels: np.ndarray
    affine: np.ndarray
    modality: str
    modality_source: str
    name: str
    path: str | None
    sha256: str
    native: NativeGrid
    notes: tuple[str, ...] = ()
    intensity_unit: str = ""
    patient: str = ""
    date: str = ""

    @staticmethod
    def open(path: str | os.PathLike[str], *, series: str | None = None, frame: int | None = None,
             modality: str | None = None) -> Volume:  # fmt: skip
        """Same as ``open_volume``."""
        return open_volume(path, series=series, frame=frame, modality=modality)

    @staticmethod
    def from_array(voxels: np.ndarray, affine: np.ndarray, modality: str | None = None, name: str = "array") -> Volume:
        """A volume from an array in memory, in any orientation.

        voxels: (I, J, K) or (I, J), any real type. affine: (4, 4), index -> RAS+ mm. Raises ScanError as
        ``open_volume``.
        """
        voxels = np.asarray(voxels)
        if voxels.ndim not in (2, 3) or voxels.dtype.kind not in "biuf":
            raise ScanError(
                f"{name} has shape {voxels.shape} and type {voxels.dtype}; give a 2D or 3D array of real numbers."
            )
        check_size(voxels.shape, name)
        check_affine(affine, name)
        stored = np.array(voxels, dtype=np.float32).reshape((*voxels.shape, 1)[:3])
        return _volume_of(StoredScan(stored, np.asarray(affine, np.float64), voxels.shape, name, None), modality)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) in voxels."""
        x, y, z = self.voxels.shape
        return x, y, z

    @property
    def spacing(self) -> np.ndarray:
        """(3,) float64, mm between voxel centres along x, y, z."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def extent_mm(self) -> np.ndarray:
        """(3,) float64, edge lengths of the scanned block in mm."""
        return self.spacing * np.asarray(self.shape)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres; right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def centre_mm(self) -> np.ndarray:
        """(3,) RAS+ mm of the middle of the block."""
        return self.to_world((np.asarray(self.shape) - 1) / 2.0)

    def to_world(self, ijk: np.ndarray) -> np.ndarray:
        """(..., 3) index (x, y, z), fractions allowed -> (..., 3) RAS+ mm."""
        return np.asarray(ijk, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, mm: np.ndarray) -> np.ndarray:
        """(..., 3) RAS+ mm -> (..., 3) float index (x, y, z); a voxel's centre has a whole index."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return (np.asarray(mm, np.float64) - self.affine[:3, 3]) @ inverse.T

    def inside(self, mm: np.ndarray) -> np.ndarray:
        """Which of (..., 3) RAS+ mm lie in the block of voxels, edges included: (...) bool."""
        index = self.to_index(mm)
        edge = 0.5 + 1e-6
        return np.asarray(np.all((index >= -edge) & (index <= np.asarray(self.shape) - 1 + edge), axis=-1))

    def contains(self, mm: np.ndarray) -> bool:
        """Whether all of (..., 3) RAS+ mm lie in the block of voxels, edges included."""
        return bool(self.inside(mm).all())

    def to_native(self, mask: np.ndarray) -> np.ndarray:
        """(X, Y, Z) -> (I, J, K) in the file's order: the exact inverse of ``from_native``. Always a copy."""
        self.check_mask(mask)
        return np.array(self.native.from_ras(np.asarray(mask)), order="C")

    def from_native(self, array: np.ndarray) -> np.ndarray:
        """(I, J, K), or the file's own number of axes -> (X, Y, Z). Always a copy."""
        array = np.asarray(array)
        if array.shape not in (self.native.shape, self.native.stored_shape):
            raise ScanError(f"An array of shape {array.shape} does not fit {self.name}, which is {self.native.shape}.")
        return np.array(self.native.to_ras(array.reshape(self.native.shape)), order="C")

    def check_mask(self, mask: np.ndarray) -> None:
        """Raise ScanError unless the mask is (X, Y, Z) of this volume."""
        if np.shape(mask) != self.shape:
            raise ScanError(f"A mask of shape {np.shape(mask)} does not fit {self.name}, which is {self.shape}.")


def open_volume(path: str | os.PathLike[str], *, series: str | None = None, frame: int | None = None,
                modality: str | None = None) -> Volume:  # fmt: skip
    """Read a scan: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM file, folder or zip.

    series: which DICOM series, by number in the list, UID or description, when there are several (default: the
    largest). frame: which frame of a 4D file. modality: "CT", "MR" or "PET" instead of what the header says or the
    estimate.
    Raises ScanError, one sentence, for anything that cannot be read as one 3D scan.
    """
    if not str(path):
        raise ScanError("The scan's path is empty; give the path of a file or of a DICOM folder.")
    path = Path(path).expanduser()
    if path.name in ("", ".."):  # "." and ".." have no name to speak of the scan by
        path = path.resolve()
    given = None if modality is None else canonical_modality(modality)
    if not path.exists():
        raise ScanError(f"{path} does not exist; check the path.")
    try:
        return _volume_of(_read(path, series, frame, given), given)
    except MemoryError as error:
        raise ResourceError(f"{path.name} does not fit into this machine's memory; crop or resample it.") from error
    except PermissionError as error:
        raise ScanError(f"{path.name} may not be read ({error.strerror}); change its permissions.") from error


def _read(path: Path, series: str | None, frame: int | None, given: str | None) -> StoredScan:
    """The reader for the kind of file."""
    lowered = path.name.lower()
    if path.is_dir() or lowered.endswith(".zip") or is_dicom_file(path):
        from assistant.dicom import read_dicom  # slow: pydicom

        return read_dicom(path, series=series, frame=frame, modality=given)
    if series is not None:
        raise ScanError(f"{path.name} is not DICOM and has no series {series!r}; leave the series out.")
    if path.stat().st_size == 0:
        raise ScanError(f"{path.name} is empty (0 bytes); copy or download it again.")
    if lowered.endswith(NIFTI_SUFFIXES):
        return read_nifti(path, frame)
    if lowered.endswith(ITK_SUFFIXES):
        return read_itk(path, frame)
    raise ScanError(
        f"{path.name} is not a scan this program reads; give .nii, .nii.gz, .nrrd, .mha, .mhd, a DICOM folder or a zip "
        "of one."
    )


def _volume_of(stored: StoredScan, given: str | None) -> Volume:
    """Reorder, check the values, settle the modality."""
    notes = list(stored.notes)
    shape = stored.voxels.shape
    native = NativeGrid.of((shape[0], shape[1], shape[2]), stored.affine, stored.stored_shape, stored.nifti_header)
    voxels = _repaired(_contiguous(native.to_ras(stored.voxels)), stored.name, notes)
    affine = native.ras_affine()
    digest = hashlib.sha256(repr(voxels.shape).encode())
    digest.update(np.ascontiguousarray(affine).data)
    digest.update(voxels.data)
    given = None if given is None else canonical_modality(given)
    if given is not None:
        modality, source = given, "given"
        if stored.modality not in (None, given):
            notes.append(f"the header says {stored.modality}; {given} was given and is used")
    elif stored.modality is not None:
        modality, source = stored.modality, "header"
    else:
        estimate = estimate_modality(voxels, np.linalg.norm(affine[:3, :3], axis=0), stored.name)
        modality, source = estimate.modality, "estimated"
        notes.append(f"modality estimated {estimate.reason}: {modality}")
    unit = stored.unit if stored.modality == modality else ""
    if modality == "CT" and not unit:
        unit = "HU"
        if looks_like_stored_ct(voxels):
            voxels -= STORED_CT_OFFSET
            notes.append("values are stored as HU + 1024: 1024 subtracted")
        elif float(voxels.min()) > -100:
            unit = ""
            notes.append("CT values do not look like Hounsfield units: densities are shown without a unit")
    return Volume(
        voxels=voxels, affine=affine, modality=modality, modality_source=source, name=stored.name, path=stored.path,
        sha256=digest.hexdigest(), native=native, notes=tuple(notes), intensity_unit=unit,
        patient=stored.patient, date=stored.date,
    )  # fmt: skip


def _contiguous(voxels: np.ndarray) -> np.ndarray:
    """Return a C-ordered float32 copy of (X, Y, Z), made in tiles of 32 lines.

    Files mostly run along x first; a plain copy across that order misses the cache at every voxel (three times slower
    on 512 x 512 x 200).
    """
    copy = np.empty(voxels.shape, np.float32)
    for y in range(voxels.shape[1]):
        for x in range(0, voxels.shape[0], 32):
            copy[x : x + 32, y] = voxels[x : x + 32, y]
    return copy


def _repaired(voxels: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Non-finite voxels set to the smallest finite one, in place; ScanError when half or more are, or all are equal."""
    finite = np.isfinite(voxels)
    bad = int(voxels.size - np.count_nonzero(finite))
    if 2 * bad >= voxels.size:
        raise ScanError(
            f"{name}: {bad:,} of {voxels.size:,} voxels are NaN or infinite; export the scan again without them."
        )
    if bad:
        voxels[~finite] = voxels[finite].min()
        notes.append(f"{bad:,} voxels were NaN or infinite: set to the scan's minimum")
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise ScanError(f"{name}: all {voxels.size:,} voxels are {low:g}; there is nothing to see, check the export.")
    return voxels


def save_mask(volume: Volume, mask: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write a mask as NIfTI on the scan's own grid.

    mask: (X, Y, Z) bool or 0/1, on ``volume.voxels``'s grid. path ends in .nii or .nii.gz; its folder is made. Shape
    and affine equal the scan's; when the scan was NIfTI, qform, sform and their codes are copied bit for bit. Written
    beside the target and renamed, so that a full disk leaves no half file. Raises ScanError (wrong shape, wrong
    suffix), ResourceError (cannot write).
    """
    volume.check_mask(mask)
    return _save(volume, (np.asarray(mask) != 0).astype(np.uint8), path)


def save_label_map(volume: Volume, masks: Mapping[int, np.ndarray], path: str | os.PathLike[str]) -> Path:
    """Write masks, {value 1...65535: (X, Y, Z) mask}, as one label map. Where they overlap the later one wins."""
    labels = np.zeros(volume.shape, np.uint16)
    for value, mask in masks.items():
        if not 1 <= value <= 65535:
            raise ScanError(f"Label value {value} is outside 1 to 65535; number the masks from 1.")
        volume.check_mask(mask)
        labels[np.asarray(mask) != 0] = value
    return _save(volume, labels if labels.max() > 255 else labels.astype(np.uint8), path)


def save_map(volume: Volume, values: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write one number a voxel, (X, Y, Z), as float32 NIfTI on the scan's own grid, as `save_mask` does."""
    volume.check_mask(values)
    return _save(volume, np.asarray(values, np.float32), path)


def _save(volume: Volume, labels: np.ndarray, path: str | os.PathLike[str]) -> Path:
    import nibabel

    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise ScanError(f"{path.name} cannot hold a mask; name it .nii or .nii.gz.")
    native = volume.native
    array = volume.to_native(labels).reshape(native.stored_shape)
    if native.nifti_header is not None:
        header = native.nifti_header.copy()
        header["scl_slope"], header["scl_inter"] = np.nan, np.nan
        header["cal_min"], header["cal_max"] = 0, 0
        header.set_data_dtype(array.dtype)
        kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
        image = kind(array, None, header)  # no affine: nibabel then leaves qform and sform as they are
    else:
        image = nibabel.Nifti1Image(array, native.affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(native.affine, 1) if is_rigid(native.affine) else image.set_qform(None, 0)
        image.set_sform(native.affine, 1)
    part = path.parent / f".{uuid.uuid4().hex}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            nibabel.save(image, part)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ResourceError(
            f"Cannot write {path}: {error.strerror or error}; free some space or choose another folder."
        ) from error
    return path


def is_rigid(affine: np.ndarray) -> bool:
    """Whether the axes are at right angles: a qform cannot store shear."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=1e-5))
