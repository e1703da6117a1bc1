"""Bad scans: each gives one sentence that names the value and the way out, before anything large is allocated."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from assistant.errors import ScanError
from assistant.volume import Volume, open_volume

GOOD = np.random.default_rng(0).normal(100, 10, (8, 9, 10)).astype(np.float32)


def nifti(path: Path, voxels: np.ndarray = GOOD, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def patched(path: Path, **fields: object) -> Path:
    """A NIfTI whose header fields are overwritten without any check."""
    image = nibabel.Nifti1Image(GOOD, np.eye(4))
    nibabel.save(image, path)
    header = image.header.copy()
    for name, value in fields.items():
        header[name] = value
    content = path.read_bytes()
    path.write_bytes(header.binaryblock + content[348:])
    return path


def refused(path: Path | str, message: str, **options: object) -> None:
    with pytest.raises(ScanError, match=message) as caught:
        open_volume(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.nii.gz", r"nothing\.nii\.gz does not exist")


def test_no_path_and_a_path_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("", "path is empty")
    (tmp_path / "study" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "study" / "below")
    refused(".", "^below holds no DICOM image")
    refused("..", "^study holds no DICOM image")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.zip"])
def test_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, r"0 bytes")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mhd", "a.zip", "a.dcm"])
def test_text_named_as_a_scan(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Dear colleague, the scan is attached. " * 20)
    refused(tmp_path / name, r"a\.")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mhd", "a.zip"])
@pytest.mark.parametrize("content", [b"text " * 99, b"\x1f\x8b\x08\x00" + bytes(99), gzip.compress(b"a" * 999)[:-9]])
def test_the_folder_of_a_file_is_not_told(name: str, content: bytes, tmp_path: Path) -> None:
    """An uploaded file lies in a temporary folder, which means nothing to the person who uploaded it."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError) as caught:
        open_volume(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)
    assert name in str(caught.value)


def test_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "a.png", r"a\.png is not a scan this program reads")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_truncated(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if ".nii" in name:
        nifti(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(GOOD), str(path))
    content = path.read_bytes()
    for share in (0.6, 0.95):
        path.write_bytes(content[: int(len(content) * share)])
        refused(path, r"ends early|not a readable")


def test_metaimage_header_without_end(tmp_path: Path) -> None:
    fields = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL"
    (tmp_path / "a.mha").write_bytes(fields + b"\xb9" * 9000)
    refused(tmp_path / "a.mha", "text header is damaged")


def test_metaimage_header_with_names_from_other_formats(tmp_path: Path) -> None:
    """SimpleITK writes what it read of a NIfTI or DICOM header into the header of a .mha."""
    image = sitk.GetImageFromArray(GOOD)
    for name, value in {"dim[0]": "3", "0008|0060": "MR", "ITK_FileNotes": "a: b = c"}.items():
        image.SetMetaData(name, value)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    assert b"dim[0] = 3" in (tmp_path / "a.mha").read_bytes()
    assert open_volume(tmp_path / "a.mha").shape == (10, 9, 8)


@pytest.mark.parametrize("place", ["/etc/hostname", "../secret.raw"])
def test_voxels_outside_the_headers_folder(place: str, tmp_path: Path) -> None:
    fields = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
    (tmp_path / "a.mhd").write_text(f"{fields}ElementDataFile = {place}\n")
    refused(tmp_path / "a.mhd", f"keeps its voxels in '{place}', outside its folder")
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "a.nhdr").write_text(f"{head}data file: {place}\n")
    refused(tmp_path / "a.nhdr", "outside its folder")


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize(
    "end",
    [
        "ElementDataFile: {}",
        " ElementDataFile = {}",
        "ElementDataFile = LIST\na.raw\n{}",
        "elementdatafile = LOCAL\nElementDataFile = {}",
    ],
)
def test_no_spelling_of_a_metaimage_header_leads_outside_its_folder(end: str, suffix: str, tmp_path: Path) -> None:
    fields = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
    path = tmp_path / f"a{suffix}"
    path.write_text(fields + end.format("/etc/hostname") + "\n")
    refused(path, r"outside its folder|text header is damaged")


@pytest.mark.parametrize(
    "end", ["data file: LIST\n{}", "data file: LIST 2\nb.raw\n{}", "datafile: {}", "#" * 99_999 + "\ndata file: {}"]
)
def test_no_spelling_of_a_nrrd_header_leads_outside_its_folder(end: str, tmp_path: Path) -> None:
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "a.nrrd").write_text(head + end.format("/etc/hostname") + "\n")
    refused(tmp_path / "a.nrrd", "outside its folder")
    (tmp_path / "b.nrrd").write_text(head + ("#" * 99 + "\n") * 50_000 + "data file: /etc/hostname\n")
    refused(tmp_path / "b.nrrd", "header of more than 4,096,000 bytes")


def test_voxels_that_look_like_a_header_are_voxels(tmp_path: Path) -> None:
    voxels = np.frombuffer(b"\ndata file: /etc/hostname\n".ljust(64, b"."), np.uint8).reshape(4, 4, 4)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.nrrd"))
    assert open_volume(tmp_path / "a.nrrd").shape == (4, 4, 4)


def test_series_of_frames_are_offered(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", np.stack([GOOD] * 3, axis=3))
    refused(path, r"4D \(8 x 9 x 10 x 3\): a series of 3 frames; choose one of 0 to 2")
    refused(path, "frame 3 does not exist", frame=3)
    refused(nifti(tmp_path / "b.nii", GOOD), "one frame; frame 4 does not exist", frame=4)
    five = nifti(tmp_path / "c.nii.gz", np.stack([np.stack([GOOD] * 2, axis=3)] * 2, axis=4))
    refused(five, r"5D .* 4 frames")
    assert open_volume(five, frame=3).shape == GOOD.shape
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(GOOD)] * 2), str(tmp_path / "d.mha"))
    refused(tmp_path / "d.mha", "a series of 2 frames")
    assert open_volume(tmp_path / "d.mha", frame=1).shape == (10, 9, 8)


def test_colour_and_complex(tmp_path: Path) -> None:
    colour = np.zeros((4, 4, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    refused(nifti(tmp_path / "a.nii", colour), "colour")
    refused(nifti(tmp_path / "b.nii", GOOD.astype(np.complex64)), "complex")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.uint8), isVector=True), str(tmp_path / "c.nrrd"))
    refused(tmp_path / "c.nrrd", "3 values a voxel")


def test_non_finite_voxels(tmp_path: Path) -> None:
    some = GOOD.copy()
    some[0, 0, :5] = np.nan
    some[1, 1, 1] = np.inf
    volume = open_volume(nifti(tmp_path / "a.nii", some))
    assert volume.voxels[0, 0, 0] == volume.voxels[1, 1, 1] == np.nanmin(some)
    assert "6 voxels were NaN or infinite: set to the scan's minimum" in volume.notes
    most = GOOD.copy()
    most[:6] = np.nan
    refused(nifti(tmp_path / "b.nii", most), "540 of 720 voxels are NaN or infinite")


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_constant(value: float, tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii", np.full((5, 5, 5), value, np.float32)), f"all 125 voxels are {value:g}")


def test_one_voxel_is_constant() -> None:
    with pytest.raises(ScanError, match="all 1 voxels are 7"):
        Volume.from_array(np.full((1, 1, 1), 7.0), np.eye(4))


def test_singular_and_broken_affines(tmp_path: Path) -> None:
    refused(
        patched(tmp_path / "a.nii", srow_y=[2.0, 0, 0, 0], srow_x=[1.0, 0, 0, 0], qform_code=0), "affine is singular"
    )
    refused(patched(tmp_path / "b.nii", srow_x=[np.nan, 0, 0, 0], qform_code=0), "not finite")
    refused(patched(tmp_path / "c.nii", srow_x=[0.0, 0, 0, 0], qform_code=0), "affine is singular")
    repaired = open_volume(patched(tmp_path / "d.nii", srow_x=[0.0, 0, 0, 0], qform_code=1))
    assert any("the qform was used" in note for note in repaired.notes)
    with pytest.raises(ScanError, match="must be 4 x 4"):
        Volume.from_array(GOOD, np.eye(3))


def test_missing_orientation_is_said(tmp_path: Path) -> None:
    volume = open_volume(patched(tmp_path / "a.nii", sform_code=0, qform_code=0))
    assert any("left and right are assumed" in note for note in volume.notes)


@pytest.mark.parametrize("size", [1e6, 1e-6])
def test_impossible_voxel_sizes(size: float, tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii", GOOD, np.diag([1.0, 1.0, size, 1.0])), "which no scanner makes")
    with pytest.raises(ScanError, match="singular or not finite"):
        Volume.from_array(GOOD, np.diag([1.0, 0.0, 1.0, 1.0]))


def test_header_that_promises_2000_cubed_is_refused_unread(tmp_path: Path) -> None:
    path = patched(tmp_path / "a.nii", dim=[3, 2000, 2000, 2000, 1, 1, 1, 1])
    refused(path, r"2000 x 2000 x 2000 = 8,000,000,000 voxels .* over the limit of 1,073,741,824")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    refused(tmp_path / "a.nii.gz", "over the limit")
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2000 2000 2000\nencoding: raw\nendian: little\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + b"\0" * 100)
    refused(tmp_path / "a.nrrd", "over the limit")


def test_the_limit_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path / "a.nii")
    monkeypatch.setenv("DEIXIS_MAX_VOXELS", "700")
    refused(path, "8 x 9 x 10 = 720 voxels .* over the limit of 700")
    monkeypatch.setenv("DEIXIS_MAX_VOXELS", "many")
    refused(path, "DEIXIS_MAX_VOXELS is 'many'")


def test_one_axis(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii", np.arange(9, dtype=np.float32)), "1 axis")


def test_series_asked_of_a_file_that_has_none(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii"), "not DICOM and has no series '2'", series="2")


def test_unknown_modality(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii"), "'ultrasound' is not one of CT, MR, PET", modality="ultrasound")


# Folders and archives.


def test_empty_and_foreign_folders(tmp_path: Path) -> None:
    refused(tmp_path, "holds no DICOM image; it holds nothing")
    nifti(tmp_path / "a.nii.gz")
    (tmp_path / "b.txt").write_text("x")
    refused(tmp_path, r"holds no DICOM image; it holds 1 \.nii\.gz, 1 \.txt")


@pytest.mark.parametrize(
    "name", ["../../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "..\\evil.dcm", "C:\\evil.dcm"]
)
def test_archive_that_points_outside(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    refused(tmp_path / "a.zip", "points outside the archive")


def test_archive_with_a_link(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link.dcm")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    refused(tmp_path / "a.zip", "points outside the archive")


def test_zip_bomb_is_refused_by_its_listing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a.dcm", bytes(80 * 2**20))
    refused(tmp_path / "a.zip", "to 80 MiB, like a zip bomb")


def test_zip_whose_listing_lies_about_its_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * 128 + b"DICM" + bytes(2**20))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    listing = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, listing + 24, 1000)  # the unpacked size in the central directory
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", "damaged|no DICOM image")


def test_damaged_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.dcm", bytes(5000))
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-60])
    refused(tmp_path / "a.zip", "not a readable zip")


def test_encrypted_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.dcm", bytes(500))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", "encrypted")
