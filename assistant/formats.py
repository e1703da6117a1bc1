"""Scan files that hold one array: NIfTI (.nii, .nii.gz) and the ITK formats (.nrrd, .nhdr, .mha, .mhd).

Each reader returns a ``StoredScan``: the voxels in the order the file stores them, and the matrix that takes a
stored index (i, j, k) to RAS+ millimetres. Turning that to the closest RAS order is ``volume.py``'s business.
ITK geometry is LPS+ millimetres (x to the patient's left, y to the back); the first two world axes are negated.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ScanError

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")

DEFAULT_MAX_VOXELS = 2**30
"""4 GiB as float32; the environment variable DEIXIS_MAX_VOXELS replaces it."""

MAX_HEADER = 4096 * 1000
"""Bytes of a text header: as many lines, and as long ones, as `_check_metaimage_header` reads."""

log = logging.getLogger("deixis.formats")
_STDERR = threading.Lock()

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: how headers call a unit of length -> mm
UNITS = {
    name: mm
    for mm, names in {
        1.0: ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
        10.0: ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
        1000.0: ("m", "meter", "meters", "metre", "metres"),
        0.001: ("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometers", "micrometre",
                "micrometres"),
        1e-6: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    }.items()
    for name in names
}


@dataclass(frozen=True, eq=False)
class StoredScan:
    """One 3D image as a file stores it.

    voxels: float32 (I, J, K), stored order, rescaled to the file's real-world values.
    affine: float64 (4, 4), stored index -> RAS+ mm.
    stored_shape: the shape a mask must have to match the file: (I, J, K), (I, J) for a 2D file, (I, J, K, 1) for a
        file with a singleton fourth axis.
    modality: "CT", "MR" or "PET" when the file says so, else None. unit: "HU", "SUV" or "" when the file does not say.
    nifti_header: a copy of the nibabel header when the file is NIfTI. patient, date: the patient's id and the day of
        the scan (YYYY-MM-DD), "" when the file does not say.
    """

    voxels: np.ndarray
    affine: np.ndarray
    stored_shape: tuple[int, ...]
    name: str
    path: str | None
    modality: str | None = None
    unit: str = ""
    nifti_header: Any = None
    notes: tuple[str, ...] = ()
    patient: str = ""
    date: str = ""


def max_voxels() -> int:
    """The largest volume that is read, in voxels."""
    text = os.environ.get("DEIXIS_MAX_VOXELS")
    if text is None:
        return DEFAULT_MAX_VOXELS
    if not text.isdigit() or int(text) < 1:
        raise ScanError(f"DEIXIS_MAX_VOXELS is {text!r}; set it to a whole number of voxels, 1 or more.")
    return int(text)


def check_size(shape: Sequence[int], name: str) -> None:
    """Refuse a shape over the limit. To be called before anything of that shape is allocated."""
    count = 1
    for length in shape:
        count *= int(length)  # Python integers: a header that lies cannot overflow them
    size = " x ".join(str(int(length)) for length in shape)
    if count < 1:
        raise ScanError(f"{name} holds no voxels ({size}); check that the file was written completely.")
    if count > max_voxels():
        raise ScanError(
            f"{name} is {size} = {count:,} voxels ({count * 4 / 2**30:.1f} GiB), over the limit of {max_voxels():,}; "
            "crop or resample it, or raise DEIXIS_MAX_VOXELS."
        )


def pick_frame(shape: Sequence[int], frame: int | None, name: str) -> tuple[tuple[int, ...], int | None]:
    """Which 3D frame of a file of any number of axes to read.

    shape: the file's shape, 1 to 7 axes. Returns (stored_shape, frame): ``stored_shape`` as in ``StoredScan``; the
    frame index into all the further axes flattened in Fortran order, or None when the file holds one frame only.
    """
    shape = tuple(int(length) for length in shape)
    if len(shape) < 2:
        raise ScanError(f"{name} has {len(shape)} axis; a scan needs two or three.")
    frames = 1
    for length in shape[3:]:
        frames *= length
    if frames == 1:
        if frame not in (None, 0):
            raise ScanError(f"{name} has one frame; frame {frame} does not exist, leave the frame out.")
        return shape, None
    size = " x ".join(str(length) for length in shape)
    if frame is None:
        raise ScanError(
            f"{name} is {len(shape)}D ({size}): a series of {frames} frames; choose one of 0 to {frames - 1} with "
            "frame=N (--frame N)."
        )
    if not 0 <= frame < frames:
        raise ScanError(f"{name} has {frames} frames; frame {frame} does not exist, choose one of 0 to {frames - 1}.")
    return shape[:3], frame


def scan_name(path: Path) -> str:
    """The file's name without the suffixes this program knows."""
    lowered = path.name.lower()
    for suffix in (*NIFTI_SUFFIXES, *ITK_SUFFIXES, ".zip", ".dcm"):
        if lowered.endswith(suffix) and len(lowered) > len(suffix):
            return path.name[: -len(suffix)]
    return path.name


def is_dicom_file(path: Path) -> bool:
    """Whether a file has the DICOM preamble (PS3.10 7.1) or is named .dcm."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"


def read_nifti(path: Path, frame: int | None = None) -> StoredScan:
    """Read a NIfTI-1 or NIfTI-2 file (https://nifti.nimh.nih.gov). Orientation: sform, else qform, as nibabel does."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError

    damaged = (ImageFileError, HeaderDataError, HeaderTypeError, OSError, EOFError, zlib.error, ValueError)
    try:
        image: Any = nibabel.load(path)
    except damaged as error:
        raise ScanError(
            f"{path.name} ({path.stat().st_size} bytes) is not a readable NIfTI file ({first_line(error, path)}); "
            "check that it was written or downloaded completely."
        ) from error
    header = image.header.copy()
    kind = header.get_data_dtype()
    if kind.fields is not None:
        raise ScanError(f"{path.name} is a colour (RGB) image; convert it to one grey value a voxel.")
    if kind.kind == "c":
        raise ScanError(f"{path.name} holds complex numbers ({kind}); save the magnitude.")
    check_size(image.shape[:3], path.name)
    stored_shape, index = pick_frame(image.shape, frame, path.name)
    notes: list[str] = []
    affine = _nifti_affine(image, path.name, notes)
    try:
        if index is None:
            voxels = np.asanyarray(image.dataobj)
        else:
            where = np.unravel_index(index, image.shape[3:], order="F")
            voxels = np.asanyarray(image.dataobj[(slice(None), slice(None), slice(None), *where)])
            notes.append(f"frame {index} of {int(np.prod(image.shape[3:]))} taken")
    except damaged as error:
        raise _damaged(path, first_line(error, path), image.shape) from error
    return StoredScan(
        voxels=_as_3d(voxels),
        affine=affine,
        stored_shape=stored_shape,
        name=scan_name(path),
        path=str(path),
        nifti_header=header,
        notes=tuple(notes),
    )


def _damaged(path: Path, reason: str, promised: Sequence[int]) -> ScanError:
    size = " x ".join(map(str, promised))
    return ScanError(
        f"{path.name} ends early or is damaged ({reason}): its header promises {size} voxels; copy or download it "
        "again."
    )


def _nifti_affine(image: Any, name: str, notes: list[str]) -> np.ndarray:
    """Stored index -> RAS+ mm of a nibabel image, with the header's units applied."""
    header = image.header
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    qform, qcode = header.get_qform(coded=True) if int(header["qform_code"]) > 0 else (None, 0)
    if int(header["sform_code"]) > 0 and not is_invertible(affine) and qcode > 0 and is_invertible(qform):
        affine = np.asarray(qform, dtype=np.float64)
        notes.append("the sform matrix in the header is singular: the qform was used")
    elif int(header["sform_code"]) == 0 and qcode == 0:
        notes.append("the header holds no orientation: left and right are assumed, check them before use")
    # a code that means nothing is taken as mm
    affine = _in_mm(affine, {1: "meter", 3: "micron"}.get(int(header["xyzt_units"]) & 7, "mm"), notes)
    check_affine(affine, name)
    return affine


def _in_mm(affine: np.ndarray, unit: str, notes: list[str]) -> np.ndarray:
    """An affine (4, 4) whose lengths are in a unit of a header, in mm."""
    factor = UNITS.get(unit.lower())
    if factor is None:
        notes.append(f"the header's lengths are in {unit!r}, which is not known here: read as millimetres")
    if factor in (None, 1.0) or not is_invertible(affine):
        return affine
    largest = np.linalg.norm(affine[:3, :3], axis=0).max()
    if factor == 1000.0 and largest > 0.2:  # voxels of more than 20 cm: the unit is wrong, not the numbers
        notes.append(f"the header says metres, but voxels of {largest:g} m cannot be: read as millimetres")
        return affine
    notes.append(f"the header's lengths are in {unit}: converted to millimetres")
    scaled = affine.copy()
    scaled[:3] *= factor
    return scaled


def read_itk(path: Path, frame: int | None = None) -> StoredScan:
    """Read NRRD or MetaImage through SimpleITK; geometry turned from LPS+ to RAS+."""
    import SimpleITK as sitk

    oriented = path.suffix.lower() not in (".mha", ".mhd") or _check_metaimage_header(path)
    _refuse_foreign_data_file(path)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK prints to stderr what we raise ourselves
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    said: list[str] = []
    try:
        with _printed_by_itk(said):
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise ScanError(
            f"{path.name} ({path.stat().st_size} bytes) is not a readable NRRD or MetaImage file "
            f"({_itk_reason(error, said, path)}); check that it was written or downloaded completely."
        ) from error
    components = reader.GetNumberOfComponents()
    if components > 1:
        raise ScanError(
            f"{path.name} holds {components} values a voxel (colour or vector); convert it to one grey value a voxel."
        )
    size = reader.GetSize()
    check_size(size[:3], path.name)
    stored_shape, index = pick_frame(size, frame, path.name)
    dimension = len(size)
    if dimension > 4:
        raise ScanError(f"{path.name} has {dimension} axes; save one 3D frame of it.")
    notes: list[str] = []
    if index is not None:
        reader.SetExtractIndex([0, 0, 0, index])
        reader.SetExtractSize([*size[:3], 1])
        notes.append(f"frame {index} of {size[3]} taken")
    _check_metaimage_length(path, reader.GetMetaDataKeys(), size, reader.GetPixelID())
    try:
        with _printed_by_itk(said):
            image = reader.Execute()
    except RuntimeError as error:
        raise _damaged(path, _itk_reason(error, said, path), size) from error
    voxels = sitk.GetArrayViewFromImage(image).transpose()
    if np.iscomplexobj(voxels):
        raise ScanError(f"{path.name} holds complex numbers; save the magnitude.")
    affine = _itk_affine(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin())
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        affine = _in_mm(affine, _nrrd_unit(path), notes)
        oriented = "NRRD_space" in reader.GetMetaDataKeys()
    if not oriented:
        notes.append("the header holds no orientation: left and right are assumed, check them before use")
    check_affine(affine, path.name)
    modality = None
    if "Modality" in reader.GetMetaDataKeys():
        modality = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR"}.get(reader.GetMetaData("Modality").strip().upper())
    return StoredScan(
        voxels=_as_3d(voxels, copy=True),  # a view would outlive the image, whose memory is freed when this ends
        affine=affine,
        stored_shape=stored_shape,
        name=scan_name(path),
        path=str(path),
        modality=modality,
        notes=tuple(notes),
    )


@contextlib.contextmanager
def _printed_by_itk(lines: list[str]) -> Iterator[None]:
    """What ITK's MetaImage code prints goes into ``lines``: it writes to the process's stderr whatever ITK is told.

    One reader at a time; what another thread prints meanwhile is logged with it.
    """
    with _STDERR, tempfile.TemporaryFile() as caught:
        try:
            stderr = os.dup(2)
        except OSError:  # a process without stderr: nothing can be printed to it
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            found = [line.strip() for line in caught.read().decode("utf-8", "replace").splitlines() if line.strip()]
            lines += found
            for line in found:
                log.debug("ITK: %s", line)


def _itk_reason(error: BaseException, printed: Sequence[str], path: Path) -> str:
    """What ITK printed says more than what it raises ("Reason: No such file or directory" for a truncated file)."""
    for line in printed:
        if line.startswith("MetaImage: "):
            return line.removeprefix("MetaImage: ")[:160]
    return first_line(error, path)


def _itk_affine(spacing: Sequence[float], direction: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """(4, 4) index -> RAS+ mm from ITK's LPS+ geometry of 2 to 4 axes."""
    axes = len(spacing)
    matrix = np.asarray(direction, dtype=np.float64).reshape(axes, axes) * np.asarray(spacing, dtype=np.float64)
    affine = np.eye(4)
    kept = min(axes, 3)
    affine[:kept, :kept] = matrix[:kept, :kept]
    affine[:kept, 3] = np.asarray(origin, dtype=np.float64)[:kept]
    return LPS_TO_RAS @ affine


def _check_metaimage_header(path: Path) -> bool:
    """ITK's MetaImage parser overruns its buffers on a broken header and takes the process with it: look first.

    Returns whether the header holds the directions of its axes, under one of the names that MetaImage has for them."""
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        while len(fields) < 1000 and "elementdatafile" not in fields:
            line = stream.readline(4096)
            # names as ITK writes them: "DimSize", and what came from elsewhere, "dim[0]" (NIfTI) or "0008|0060" (DICOM)
            match = re.fullmatch(rb"\s*([\w\[\]|.-]{1,99})\s*[=:]([\x20-\x7e\x80-\xff\t]*)\r?\n?", line)
            if match is None or len(line) == 4096:
                break
            fields[match[1].decode().lower()] = match[2].decode("latin-1").strip()
    axes = fields.get("ndims", "")
    sizes = fields.get("dimsize", "").split()
    whole = axes in ("1", "2", "3", "4", "5") and len(sizes) == int(axes) and all(size.isdigit() for size in sizes)
    numbers = fields.get("elementnumberofchannels", "1").isdigit()
    if "elementdatafile" not in fields or not whole or not numbers:
        raise ScanError(
            f"{path.name} ({path.stat().st_size} bytes) is not a readable MetaImage file: its text header is damaged; "
            "copy or download it again."
        )
    return not fields.keys().isdisjoint(("transformmatrix", "rotation", "orientation"))


def _text_header(path: Path) -> tuple[bytes, bytes]:
    """The header of a NRRD or MetaImage, and what of the file was read behind it."""
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER)
    # What ends a header: in NRRD an empty line, in MetaImage this field, in this spelling
    is_nrrd = head.startswith(b"NRRD")
    end = re.search(rb"\n\r?\n" if is_nrrd else rb"^[ \t]*ElementDataFile[ \t]*[=:].*$", head, re.MULTILINE)
    if end is None and len(head) == MAX_HEADER:
        raise ScanError(f"{path.name} has a header of more than {MAX_HEADER:,} bytes; write it again.")
    return (head, b"") if end is None else (head[: end.end()], head[end.end() :])


def _refuse_foreign_data_file(path: Path) -> None:
    """A header may name the files that hold its voxels, one or (LIST) one a line: only those in the header's own
    folder are opened."""
    head, rest = _text_header(path)
    field = rb"^[ \t]*(?:ElementDataFile[ \t]*[=:]|data ?file:)(.*)$"
    for match in re.finditer(field, head, re.IGNORECASE | re.MULTILINE):
        names = [match[1].decode("utf-8", "replace").strip()]
        if names[0].upper().startswith("LOCAL"):
            continue
        if names[0].upper().startswith("LIST"):
            names = (head[match.end() :] + rest).decode("utf-8", "replace").split()
            if path.stat().st_size > MAX_HEADER:
                raise ScanError(f"{path.name} lists files over more than {MAX_HEADER:,} bytes; write them as one.")
        for name in names:
            if "/" in name.removeprefix("./") or "\\" in name:
                raise ScanError(
                    f"{path.name} keeps its voxels in {name!r}, outside its folder; put both in one folder."
                )


def _nrrd_unit(path: Path) -> str:
    """The unit of a NRRD header's lengths ("space units", or "units" where its axes have no directions), which ITK
    passes over; "mm" where it names none."""
    head = _text_header(path)[0].decode("utf-8", "replace")
    named = re.findall(r"^[ \t]*(?:space )?units:(.*)$", head, re.IGNORECASE | re.MULTILINE)
    units = {unit.strip() for line in named for unit in re.findall(r'"([^"]*)"', line)} - {"", "???", "none"}
    if len(units) > 1:
        raise ScanError(f"{path.name} has lengths in {' and '.join(sorted(units))}; write it with one unit.")
    return units.pop() if units else "mm"


def _check_metaimage_length(path: Path, keys: Sequence[str], size: Sequence[int], pixel_id: int) -> None:
    """ITK fills a truncated uncompressed .mha with zeros and only prints a warning: compare the lengths ourselves."""
    import SimpleITK as sitk

    if path.suffix.lower() != ".mha":
        return
    with path.open("rb") as stream:
        head = stream.read(65536).lower()
    if b"compresseddata = true" in head:
        return
    width = sitk.GetArrayFromImage(sitk.Image([1, 1], pixel_id)).itemsize
    promised = int(np.prod([int(length) for length in size], dtype=object)) * width
    if path.stat().st_size < promised:
        raise ScanError(
            f"{path.name} ends early: its header promises {promised} bytes of voxels and the file has "
            f"{path.stat().st_size}; copy or download it again."
        )


def is_invertible(affine: np.ndarray | None) -> bool:
    """Whether a (4, 4) affine is finite and its axes span space (relative to their lengths)."""
    if affine is None or not np.all(np.isfinite(affine)):
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.any(lengths <= 0):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-4)


def check_affine(affine: np.ndarray, name: str) -> None:
    """Refuse an affine that is not finite, is singular, or has voxels under 1 micrometre or over 200 mm."""
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4):
        raise ScanError(f"{name}: the affine has shape {affine.shape}; it must be 4 x 4.")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = " x ".join(f"{length:g}" for length in lengths)
    if not np.all(np.isfinite(affine)) or not is_invertible(affine):
        raise ScanError(
            f"{name}: its affine is singular or not finite (voxel {sizes} mm); write a valid sform or qform into it."
        )
    if lengths.min() < 1e-3 or lengths.max() > 200.0:
        raise ScanError(
            f"{name}: its voxels are {sizes} mm, which no scanner makes; correct the spacing in its header."
        )


def _as_3d(voxels: np.ndarray, copy: bool | None = None) -> np.ndarray:
    """float32 (I, J, K); missing axes are added at the end, singleton further ones dropped. copy: as of `np.array`."""
    shape = (*voxels.shape, 1)[:3] if voxels.ndim < 3 else voxels.shape[:3]
    with np.errstate(over="ignore"):  # a double too large for float32 becomes infinite, and is then reported as such
        return np.array(voxels, dtype=np.float32, copy=copy).reshape(shape)


def first_line(error: BaseException, path: Path | None = None) -> str:
    """The last non-empty line of an exception's text, short: libraries put their point there.

    path: the file that was read. Its folder is left out: an uploaded file lies in a temporary one.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else type(error).__name__
    if path is not None:
        for folder in (path.parent, path.parent.absolute(), path.parent.resolve()):
            if folder.name:
                line = line.replace(f"{folder}{os.sep}", "")
    return line[:160]
