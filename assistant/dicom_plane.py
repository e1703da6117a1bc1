"""One DICOM slice: where it lies, how its values are scaled, and its pixels.

A plane is a single-frame file or one frame of a multi-frame file; what is stacked into a volume (``dicom.py``) knows no
difference.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException
from pydicom.uid import UID, ImplicitVRLittleEndian

from assistant.archive import Member
from assistant.errors import ScanError
from assistant.formats import first_line

# What pydicom raises on damaged files, by experience: the parser has no error of its own for most of it.
UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError, struct.error,
    BytesLengthException,
)  # fmt: skip


_NO_IMAGE = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"}

_USED = (
    "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ProtocolName", "PatientID", "ImageType", "RescaleType",
    "TemporalPositionIdentifier", "EchoNumbers", "AcquisitionNumber", "InstanceNumber", "Units", "CorrectedImage",
    "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
    "StudyDate", "ContentDate",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice: a single-frame file, or one frame of a multi-frame file.

    frame: index in the file, None when it has one. position: (3,) LPS mm or None. orientation: (6,) or None.
    pixel_spacing: (2,) mm between rows, between columns, or None. thickness: mm between slices as the header says, or
    None.
    """

    member: Member
    header: Any
    rows: int
    columns: int
    series_number: int
    frame: int | None
    position: np.ndarray | None
    orientation: np.ndarray | None
    pixel_spacing: np.ndarray | None
    thickness: float | None
    slope: float
    intercept: float


def may_be_dicom(member: Member) -> bool:
    """The preamble, or the bare data set that old files start with (group 0002 or 0008, little endian)."""
    head = member.read(132)
    return head[128:] == b"DICM" or head[:2] in (b"\x02\x00", b"\x08\x00")


def read_planes(member: Member) -> list[Plane] | None:
    """The planes of a file, without their pixels; [] when it holds no image; None when it cannot be parsed."""
    # Values that break a VR's rules are common and harmless here; pydicom would print a warning for each.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        header = pydicom.dcmread(member.stream(), stop_before_pixels=True, force=True)
        for tag in _USED:  # pydicom parses a value when it is first asked for: damage is to show here, not later
            header.get(tag)
        if not header.get("Rows") or not header.get("Columns") or str(header.get("Modality")) in _NO_IMAGE:
            return []
        return planes_of(member, header)
    except UNREADABLE:
        return None  # counted by the caller, which says so


def planes_of(member: Member, header: Any) -> list[Plane]:
    """One plane of a single-frame file; one a frame of a multi-frame file (enhanced, or stacked along the normal)."""
    spacing = header.get("PixelSpacing")
    plane = Plane(
        member=member,
        header=header,
        rows=int(header.Rows),
        columns=int(header.Columns),
        series_number=int(_number(header.get("SeriesNumber"))),
        frame=None,
        position=_vector(header.get("ImagePositionPatient"), 3),
        orientation=_directions(header.get("ImageOrientationPatient")),
        pixel_spacing=_vector(spacing, 2),
        thickness=_positive(header.get("SpacingBetweenSlices")) or _positive(header.get("SliceThickness")),
        slope=float(header.get("RescaleSlope") or 1.0),
        intercept=float(header.get("RescaleIntercept") or 0.0),
    )
    count = int(header.get("NumberOfFrames") or 1)
    shared = header.get("SharedFunctionalGroupsSequence") or [None]
    each = header.get("PerFrameFunctionalGroupsSequence")
    if each is not None:
        return [_enhanced(plane, index, shared[0], each[index]) for index in range(min(count, len(each)))]
    if count == 1:
        return [plane]
    step = plane.thickness
    if plane.position is None or plane.orientation is None or step is None:
        return [replace(plane, frame=index, position=None) for index in range(count)]
    normal = np.cross(plane.orientation[:3], plane.orientation[3:])
    return [replace(plane, frame=index, position=plane.position + index * step * normal) for index in range(count)]


def _enhanced(plane: Plane, index: int, shared: Any, own: Any) -> Plane:
    """A frame of an enhanced multi-frame image: functional groups (PS3.3 C.7.6.16), its own before the shared."""

    def find(group: str) -> Any:
        for place in (own, shared):
            if place is not None and place.get(group):
                return place.get(group)[0]
        return {}

    measures, values = find("PixelMeasuresSequence"), find("PixelValueTransformationSequence")
    position = _vector(find("PlanePositionSequence").get("ImagePositionPatient"), 3)
    orientation = _directions(find("PlaneOrientationSequence").get("ImageOrientationPatient"))
    spacing = _vector(measures.get("PixelSpacing"), 2)
    thickness = _positive(measures.get("SpacingBetweenSlices")) or _positive(measures.get("SliceThickness"))
    return replace(
        plane,
        frame=index,
        position=plane.position if position is None else position,
        orientation=plane.orientation if orientation is None else orientation,
        pixel_spacing=plane.pixel_spacing if spacing is None else spacing,
        thickness=plane.thickness if thickness is None else thickness,
        slope=float(values.get("RescaleSlope") or plane.slope),
        intercept=float(values.get("RescaleIntercept") or plane.intercept),
    )


def order_key(plane: Plane) -> tuple[float, ...]:
    """Order of images at one place: time point, echo, acquisition, instance, frame."""
    header = plane.header
    tags = ("TemporalPositionIdentifier", "EchoNumbers", "AcquisitionNumber", "InstanceNumber")
    return (*(_number(header.get(tag)) for tag in tags), float(plane.frame or 0))


def offset_mm(plane: Plane) -> float:
    """Distance of a plane along its normal, mm."""
    assert plane.position is not None
    assert plane.orientation is not None
    return float(np.cross(plane.orientation[:3], plane.orientation[3:]) @ plane.position)


def decode(member: Member, rows: int, columns: int) -> np.ndarray:
    """Stored pixel values of a file: (rows, columns), or (frames, rows, columns)."""
    dataset = pydicom.dcmread(member.stream(), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # the default of PS3.5 10.1
    syntax = dataset.file_meta.TransferSyntaxUID
    name = syntax.name if isinstance(syntax, UID) else str(syntax)
    try:
        colour = int(dataset.get("SamplesPerPixel") or 1) > 1
        colour |= dataset.get("PhotometricInterpretation") == "PALETTE COLOR"  # numbers of colours, not values
        pixels = None if colour else np.asarray(dataset.pixel_array)
    except (RuntimeError, *UNREADABLE) as error:
        if isinstance(syntax, UID) and syntax.is_transfer_syntax and syntax.is_compressed:
            way = "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg, or convert it to an uncompressed series"
        else:
            way = "copy or export it again"
        raise ScanError(f"{member.name}: its pixels ({name}) cannot be read ({first_line(error)}); {way}.") from error
    if pixels is None:
        raise ScanError(f"{member.name} is a colour image; choose a series of grey images.")
    if pixels.shape[-2:] != (rows, columns):
        raise ScanError(f"{member.name}: its pixels are {pixels.shape}, its header says {rows} x {columns}.")
    return pixels


def _vector(value: Any, length: int) -> np.ndarray | None:
    """A DICOM value of ``length`` finite numbers, or None."""
    if value is None or isinstance(value, str) or len(value) != length:
        return None
    numbers = np.array([float(number) for number in value])
    return numbers if np.all(np.isfinite(numbers)) else None


def _directions(value: Any) -> np.ndarray | None:
    """Of a row and of a column, (6,); None where they span no plane (the standard wants them at right angles)."""
    numbers = _vector(value, 6)
    return None if numbers is None or np.linalg.norm(np.cross(numbers[:3], numbers[3:])) < 0.5 else numbers


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number > 0 else None


def _number(value: Any) -> float:
    """A DICOM number, 0 when it is missing or multiple."""
    return float(value) if isinstance(value, (int, float)) else 0.0
