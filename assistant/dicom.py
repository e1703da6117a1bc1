"""DICOM images to one 3D array: files, series, slices, geometry, values.

Geometry after PS3.3 C.7.6.2.1.1 (Image Plane): ImageOrientationPatient holds the direction of the row (along which the
column index grows) and of the column; ImagePositionPatient is the centre of the first voxel; both in LPS+ mm. The array
is indexed (column, row, slice), slices sorted along the normal. The step between slices is the one the positions have,
not the normal: a tilted gantry gives a sheared affine, and nothing is resampled. Only gaps are filled (missing slices,
varying spacing), by linear interpolation along the slice axis, and the notes say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from assistant.archive import members
from assistant.dicom_plane import Plane, decode, may_be_dicom, offset_mm, order_key, read_planes
from assistant.errors import ScanError
from assistant.formats import LPS_TO_RAS, StoredScan, check_affine, check_size, scan_name
from assistant.suv import suv_scale

MODALITIES = {"CT": "CT", "MR": "MR", "PT": "PET"}


@dataclass(frozen=True, eq=False)
class Series:
    """Slices of one series that share size and orientation: what can become one volume."""

    uid: str
    description: str
    modality: str  # the DICOM tag: "CT", "MR", "PT", ...
    rows: int
    columns: int
    planes: tuple[Plane, ...]
    localizer: bool

    @property
    def voxels(self) -> int:
        return self.rows * self.columns * len(self.planes)

    def __str__(self) -> str:
        title = self.description or "no description"
        kind = f"{self.modality} localizer" if self.localizer else self.modality
        return f"{title} ({kind}, {self.columns} x {self.rows} x {len(self.planes)})"


def list_series(path: Path) -> list[Series]:
    """The image series of a DICOM file, folder or zip, by series number and UID. ScanError when there is none."""
    return _series(path)[0]


def read_dicom(
    path: Path, *, series: str | None = None, frame: int | None = None, modality: str | None = None
) -> StoredScan:
    """Read one series as a 3D array.

    series: its number in the list (from 1), its UID, or words of its description; default: the one with most voxels,
    localizers and non-CT/MR/PET last. frame: which volume of a series that has several at each place (time points,
    echoes, b-values).
    modality: "CT", "MR" or "PET" lets a series of another DICOM modality be read. Raises ScanError.
    """
    found, notes = _series(path)
    chosen = _choose(found, series, path.name)
    if len(found) > 1:
        listed = "; ".join(f"{number}: {each}" for number, each in enumerate(found[:12], 1))
        more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
        why = "as asked" if series is not None else "the largest"
        notes.append(f"series {found.index(chosen) + 1} of {len(found)} taken, {why}: {chosen} [{listed}{more}]")
    if modality is None and chosen.modality not in MODALITIES:
        raise ScanError(
            f"{path.name}: the series {chosen} is {chosen.modality or 'of unknown modality'}; this program reads "
            "CT, MR and PET, give the modality (--modality) if it is one of them."
        )
    if "MOSAIC" in _image_type(chosen.planes[0].header):
        raise ScanError(
            f"{path.name}: the series {chosen} is a mosaic, all slices of a volume side by side in one image, which "
            "this program does not read; convert it with dcm2niix, or choose another series (--series)."
        )
    if chosen.localizer:
        notes.append("this is a localizer (scout): three-dimensional answers cannot be expected")
    planes = _one_volume(chosen, frame, path.name, notes)
    check_size((chosen.columns, chosen.rows, len(planes)), path.name)
    planes, affine, offsets = _geometry(planes, path.name, notes)
    voxels = _fill_gaps(_pixels(planes, chosen), offsets, path.name, notes)
    if offsets is not None and len(planes) > 1:
        affine[:3, 2] *= (offsets[-1] - offsets[0]) / (voxels.shape[2] - 1)
    affine = LPS_TO_RAS @ affine
    check_affine(affine, path.name)
    unit = _unit(chosen, planes, voxels, notes)
    return StoredScan(
        voxels=voxels,
        affine=affine,
        stored_shape=voxels.shape,
        name=f"{scan_name(path)} {chosen.description}".strip(),
        path=str(path),
        modality=MODALITIES.get(chosen.modality),
        unit=unit,
        notes=tuple(notes),
        patient=str(planes[0].header.get("PatientID") or "").strip(),
        date=_date(planes[0].header),
    )


def _date(header: Any) -> str:
    """The day of the scan, YYYY-MM-DD (a DICOM date is YYYYMMDD, PS3.5 6.2); "" where the header has none."""
    for name in ("AcquisitionDate", "SeriesDate", "ContentDate", "StudyDate"):
        digits = str(header.get(name) or "").replace(".", "").strip()
        try:
            return datetime.strptime(digits, "%Y%m%d").date().isoformat()
        except ValueError:
            continue
    return ""


def _series(path: Path) -> tuple[list[Series], list[str]]:
    """All image series of a file, folder or zip, and notes on what was left out."""
    files = [member for member in members(path) if Path(member.name).name.upper() != "DICOMDIR"]
    planes: dict[tuple[Any, ...], list[Plane]] = {}
    unreadable = 0
    seen: set[str] = set()
    repeated = 0
    patients: set[str] = set()
    for member in files:
        if not may_be_dicom(member):
            continue
        read = read_planes(member)
        if read is None:
            unreadable += 1
            continue
        if not read:
            continue
        header = read[0].header
        uid = str(header.get("SOPInstanceUID", member.name))
        if uid in seen:
            repeated += 1
            continue
        seen.add(uid)
        patients.add(str(header.get("PatientID", "")))
        for plane in read:
            planes.setdefault(_group(plane), []).append(plane)
    if not planes:
        kinds = Counter("".join(Path(member.name).suffixes[-2:]) or "no suffix" for member in files)
        held = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4)) or "nothing"
        broken = f" ({unreadable} damaged DICOM files)" if unreadable else ""
        raise ScanError(
            f"{path.name} holds no DICOM image{broken}; it holds {held}: give the folder of a CT, MR or PET series."
        )
    notes = []
    if unreadable:
        notes.append(f"{unreadable} damaged DICOM files left out")
    if repeated:
        notes.append(f"{repeated} files that repeat an image left out")
    if len(patients) > 1:
        notes.append(f"the images are of {len(patients)} different patients: check that the right series was taken")
    found = [_describe(stack) for group in planes.values() for stack in _split_by_orientation(group)]
    found.sort(key=lambda each: (each.planes[0].series_number, each.uid, -each.voxels))
    return found, notes


def _group(plane: Plane) -> tuple[Any, ...]:
    """Planes with the same key, and orientations within half a degree, can be stacked."""
    header = plane.header
    spacing = None if plane.pixel_spacing is None else tuple(np.round(plane.pixel_spacing, 4))
    uid = str(header.get("SeriesInstanceUID", ""))
    return uid, plane.rows, plane.columns, spacing, _is_localizer(header), plane.orientation is None


def _split_by_orientation(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes of one key in stacks of one orientation; compared, not rounded, so that noise cannot split a series."""
    stacks: list[list[Plane]] = []
    for plane in planes:
        for stack in stacks:
            known = stack[0].orientation
            if plane.orientation is known or (
                known is not None and plane.orientation is not None and np.abs(plane.orientation - known).max() < 0.01
            ):
                stack.append(plane)
                break
        else:
            stacks.append([plane])
    return stacks


def _image_type(header: Any) -> set[str]:
    words = header.get("ImageType") or []
    return {str(word).upper() for word in ([words] if isinstance(words, str) else words)}


def _is_localizer(header: Any) -> bool:
    return not _image_type(header).isdisjoint(("LOCALIZER", "SCOUT", "TOPOGRAM"))


def _describe(planes: Sequence[Plane]) -> Series:
    header = planes[0].header
    return Series(
        uid=str(header.get("SeriesInstanceUID", "")),
        description=str(header.get("SeriesDescription") or header.get("ProtocolName") or "").strip(),
        modality=str(header.get("Modality") or "").upper(),
        rows=planes[0].rows,
        columns=planes[0].columns,
        planes=tuple(planes),
        localizer=_is_localizer(header),
    )


def _choose(found: Sequence[Series], wanted: str | None, name: str) -> Series:
    if wanted is None:
        return max(found, key=lambda each: (each.modality in MODALITIES, not each.localizer, each.voxels))
    wanted = wanted.strip()
    if wanted.isdigit() and 1 <= int(wanted) <= len(found):
        return found[int(wanted) - 1]
    hits = [each for each in found if each.uid == wanted]
    hits = hits or [each for each in found if wanted and wanted.lower() in each.description.lower()]
    if hits and len({each.uid for each in hits}) == 1:
        return max(hits, key=lambda each: each.voxels)
    listed = "; ".join(f"{number}: {each}" for number, each in enumerate(found[:20], 1))
    problem = "fits several" if hits else "fits none"
    raise ScanError(f"{name}: series {wanted!r} {problem} of {len(found)}; choose a number: {listed}.")


def _one_volume(chosen: Series, frame: int | None, name: str, notes: list[str]) -> list[Plane]:
    """The planes of one volume, sorted by place: several images at one place are frames, or duplicates."""
    planes = sorted(chosen.planes, key=order_key)
    if any(plane.position is None or plane.orientation is None for plane in planes):
        if frame not in (None, 0):
            raise ScanError(
                f"{name}: its slices have no position, so frame {frame} cannot be told; leave the frame out."
            )
        return planes
    places: dict[float, list[Plane]] = {}
    for plane in planes:
        places.setdefault(round(offset_mm(plane), 2), []).append(plane)
    counts = {len(group) for group in places.values()}
    if counts == {1}:
        if frame not in (None, 0):
            raise ScanError(f"{name} has one frame; frame {frame} does not exist, leave the frame out.")
        return [places[key][0] for key in sorted(places)]
    if len(counts) == 1:
        frames = counts.pop()
        if frame is None:
            raise ScanError(
                f"{name}: the series {chosen} has {frames} images at each of {len(places)} places (time points, echoes "
                f"or b-values); choose one of 0 to {frames - 1} with frame=N (--frame N)."
            )
        if not 0 <= frame < frames:
            raise ScanError(
                f"{name} has {frames} frames; frame {frame} does not exist, choose one of 0 to {frames - 1}."
            )
        notes.append(f"frame {frame} of {frames} taken")
        return [places[key][frame] for key in sorted(places)]
    extra = len(planes) - len(places)
    notes.append(f"{extra} duplicate slices left out (the first at each place is kept)")
    return [places[key][0] for key in sorted(places)]


def _geometry(planes: list[Plane], name: str, notes: list[str]) -> tuple[list[Plane], np.ndarray, np.ndarray | None]:
    """Return (planes, affine, offsets).

    offsets: places of the slices along the slice axis, mm, or None when they have none. affine: (4, 4), index (column,
    row, slice) -> LPS+ mm; with offsets its slice axis is a unit vector, and the caller sets the step.
    """
    first = planes[0]
    if first.pixel_spacing is None or np.any(first.pixel_spacing <= 0):
        raise ScanError(
            f"{name}: its images have no PixelSpacing, so nothing in them can be measured; convert it with the size."
        )
    affine = np.eye(4)
    if first.orientation is None or any(plane.position is None for plane in planes):
        notes.append("the headers hold no orientation: left and right are assumed, check them before use")
        affine[[0, 1], [0, 1]] = first.pixel_spacing[1], first.pixel_spacing[0]
        affine[2, 2] = _step(first, len(planes), name, notes)
        return planes, affine, None
    row, column = (axis / np.linalg.norm(axis) for axis in (first.orientation[:3], first.orientation[3:]))
    affine[:3, 0] = row * first.pixel_spacing[1]
    affine[:3, 1] = column * first.pixel_spacing[0]
    affine[:3, 2] = normal = np.cross(row, column)
    affine[:3, 3] = first.position
    if len(planes) == 1:
        affine[:3, 2] = normal * _step(first, 1, name, notes)
        return planes, affine, None
    positions = np.array([plane.position for plane in planes])
    path = positions[-1] - positions[0]
    direction = path / np.linalg.norm(path)
    offsets = (positions - positions[0]) @ direction
    aside = np.linalg.norm(positions - positions[0] - offsets[:, None] * direction, axis=1).max()
    if aside > 0.1 * float(first.pixel_spacing.min()) + 0.01:
        raise ScanError(
            f"{name}: its slices do not lie on one line ({aside:.1f} mm aside); choose a series with parallel slices."
        )
    tilt = float(np.degrees(np.arccos(min(1.0, float(direction @ normal)))))
    if tilt > 0.1:
        notes.append(f"the gantry was tilted by {tilt:.1f} degrees: kept in the geometry, nothing was resampled")
    affine[:3, 2] = direction
    return planes, affine, offsets


def _step(plane: Plane, count: int, name: str, notes: list[str]) -> float:
    """Distance between slices from the header when positions cannot tell."""
    if plane.thickness is not None:
        return plane.thickness
    if count > 1:
        raise ScanError(f"{name}: its slices have neither positions nor a thickness; convert it with the geometry.")
    notes.append("the slice thickness is not given: 1 mm assumed, volumes cannot be trusted")
    return 1.0


def _pixels(planes: Sequence[Plane], chosen: Series) -> np.ndarray:
    """float32 (columns, rows, slices), rescaled (Modality LUT: slope and intercept, of each slice its own)."""
    voxels = np.empty((len(planes), chosen.rows, chosen.columns), np.float32)
    decoded: dict[int, np.ndarray] = {}  # one multi-frame file is decoded once
    for index, plane in enumerate(planes):
        key = id(plane.member)
        if key not in decoded:
            decoded.clear()
            decoded[key] = decode(plane.member, chosen.rows, chosen.columns)
        stored = decoded[key] if plane.frame is None else decoded[key][plane.frame]
        voxels[index] = stored.astype(np.float32) * np.float32(plane.slope) + np.float32(plane.intercept)
    return voxels.transpose(2, 1, 0)


def _fill_gaps(voxels: np.ndarray, offsets: np.ndarray | None, name: str, notes: list[str]) -> np.ndarray:
    """(I, J, K) at ``offsets`` mm along the slice axis -> (I, J, K') on even steps; unchanged when they are even
    already.

    The step is the median one. Steps that differ by less than 2 % of it (and 0.05 mm) are even.
    """
    if offsets is None or len(offsets) < 3:
        return voxels
    steps = np.diff(offsets)
    step = float(np.median(steps))
    even = np.linspace(offsets[0], offsets[-1], len(offsets))
    if np.abs(offsets - even).max() <= max(0.05, 0.02 * step):
        return voxels
    count = round((offsets[-1] - offsets[0]) / step) + 1
    if count > 2 * len(offsets):
        raise ScanError(
            f"{name}: only {len(offsets)} of about {count} slices are there (steps of {steps.min():.1f} to "
            f"{steps.max():.1f} mm); export the whole series."
        )
    check_size((*voxels.shape[:2], count), name)
    places = np.linspace(offsets[0], offsets[-1], count)
    after = np.clip(np.searchsorted(offsets, places), 1, len(offsets) - 1)
    share = ((places - offsets[after - 1]) / (offsets[after] - offsets[after - 1])).astype(np.float32)
    filled = np.empty((*voxels.shape[:2], count), np.float32)
    for index in range(count):
        below, above = voxels[:, :, after[index] - 1], voxels[:, :, after[index]]
        filled[:, :, index] = below + share[index] * (above - below)
    whole = np.rint(steps / step)
    if np.all(np.abs(steps - whole * step) <= max(0.05, 0.05 * step)) and np.all(whole >= 1):
        notes.append(f"{count - len(offsets)} of {count} slices are missing: filled by interpolation")
    else:
        notes.append(
            f"slices are {steps.min():.2f} to {steps.max():.2f} mm apart: interpolated to even steps of "
            f"{(offsets[-1] - offsets[0]) / (count - 1):.2f} mm"
        )
    return filled


def _unit(chosen: Series, planes: Sequence[Plane], voxels: np.ndarray, notes: list[str]) -> str:
    """ "HU", "SUV" or ""; PET voxels are turned to SUV in place when the header allows."""
    header = planes[0].header
    if chosen.modality == "CT":
        kind = str(header.get("RescaleType") or "HU").upper()
        rescaled = any(plane.intercept != 0 or plane.slope != 1 for plane in planes)
        return "HU" if kind in ("HU", "US") and (rescaled or float(voxels.min()) < -100) else ""
    if chosen.modality == "PT":
        scale = suv_scale([plane.header for plane in planes])
        if scale.factor is None:
            notes.append(f"PET values could not be turned into SUV: {scale.reason}")
            return ""
        voxels *= np.float32(scale.factor)
        return "SUV"
    return ""
