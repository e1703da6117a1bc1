"""DICOM series that the tests write themselves: geometry, values, choice of series, and what is amiss with them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from assistant.dicom import list_series
from assistant.errors import ScanError
from assistant.suv import suv_scale
from assistant.volume import open_volume, save_mask

ROWS, COLUMNS = 6, 8
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
UID = "1.2.826.0.1.3680043.8.498.1"
CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4", "PT": "1.2.840.10008.5.1.4.1.1.128"}


def stored_values(slices: int, seed: int = 0) -> np.ndarray:
    """uint16 (slices, rows, columns)."""
    return np.random.default_rng(seed).integers(0, 2000, (slices, ROWS, COLUMNS)).astype(np.uint16)


def image(pixels: np.ndarray, position: Any = (0.0, 0.0, 0.0), number: int = 1, **tags: Any) -> FileDataset:
    """A data set with one image, (rows, columns) or (frames, rows, columns). A tag given as None is left out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    modality = tags.get("Modality", "CT")
    meta.MediaStorageSOPClassUID = CLASSES.get(modality, "1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": UID + ".1", "StudyInstanceUID": UID, "PatientID": "test", "Modality": "CT",
        "InstanceNumber": number, "SeriesNumber": 1, "SeriesDescription": "plain",
        "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "SamplesPerPixel": 1, "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": [1.5, 0.5], "SliceThickness": 3.0, "ImageOrientationPatient": list(AXIAL),
        "ImagePositionPatient": list(position), "RescaleSlope": 1, "RescaleIntercept": -1024,
    }  # fmt: skip
    for tag, value in {**values, **tags}.items():
        if value is not None:
            setattr(header, tag, value)
    header.PixelData = pixels.astype(np.uint16).tobytes()
    return header


def write_series(folder: Path, slices: int = 5, step: Any = (0.0, 0.0, 3.0), places: Any = None, seed: int = 0,
                 **tags: Any) -> np.ndarray:  # fmt: skip
    """A series at ``places`` times ``step``, in files named in no order. Returns the stored values."""
    folder.mkdir(parents=True, exist_ok=True)
    values = stored_values(slices, seed)
    for index in range(slices):
        place = index if places is None else places[index]
        position = np.array([-10.0, 20.0, 30.0]) + place * np.asarray(step)
        name = f"{(index * 7) % 11:02d}-{tags.get('SeriesDescription', 'plain')}-{seed}.dcm"
        image(values[index], position, index + 1, **tags).save_as(folder / name)
    return values


def test_geometry_and_values_agree_with_simpleitk(tmp_path: Path) -> None:
    a = np.radians(20)
    oblique = (np.cos(a), np.sin(a), 0.0, 0.0, 0.0, -1.0)  # near coronal
    normal = np.cross(oblique[:3], oblique[3:])
    write_series(tmp_path / "s", step=2.5 * normal, ImageOrientationPatient=list(oblique), RescaleSlope=2)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    sitk.WriteImage(reader.Execute(), str(tmp_path / "itk.nii.gz"))
    ours, theirs = open_volume(tmp_path / "s"), open_volume(tmp_path / "itk.nii.gz")
    assert np.allclose(ours.affine, theirs.affine, atol=1e-4)
    assert np.array_equal(ours.voxels, theirs.voxels)
    assert (ours.modality, ours.modality_source, ours.intensity_unit) == ("CT", "header", "HU")


def test_one_voxel_is_where_the_standard_puts_it(tmp_path: Path) -> None:
    values = write_series(tmp_path / "s")
    volume = open_volume(tmp_path / "s")
    # Column 3, row 2, slice 4: 3 * 0.5 mm to the patient's left, 2 * 1.5 mm to the back, 4 * 3 mm up; world is RAS.
    lps = np.array([-10 + 3 * 0.5, 20 + 2 * 1.5, 30 + 4 * 3.0])
    x, y, z = np.rint(volume.to_index(lps * (-1, -1, 1))).astype(int)
    assert volume.voxels[x, y, z] == values[4, 2, 3] - 1024.0
    saved = nibabel.load(save_mask(volume, volume.voxels > 0, tmp_path / "m.nii.gz"))
    assert saved.shape == (COLUMNS, ROWS, 5)
    assert np.allclose(saved.affine, volume.native.affine)


def test_gantry_tilt_stays_in_the_affine(tmp_path: Path) -> None:
    write_series(tmp_path / "s", step=(0.0, 0.8, 3.0))
    volume = open_volume(tmp_path / "s")
    assert any("tilted by 14.9 degrees" in note for note in volume.notes)
    assert volume.voxel_ml == pytest.approx(0.5 * 1.5 * 3.0 / 1000)  # shear does not change the volume
    assert volume.spacing[2] == pytest.approx(np.hypot(0.8, 3.0))


def test_missing_slice_is_filled_and_said(tmp_path: Path) -> None:
    values = write_series(tmp_path / "s", slices=6, places=[0, 1, 2, 4, 5, 6])
    volume = open_volume(tmp_path / "s")
    assert any("1 of 7 slices are missing" in note for note in volume.notes)
    assert volume.spacing[2] == pytest.approx(3.0)
    stack = volume.to_native(volume.voxels)  # (column, row, slice)
    assert np.allclose(stack[:, :, 3], (values[2].T + values[3].T) / 2.0 - 1024)
    assert np.allclose(stack[:, :, 4], values[3].T - 1024.0)


def test_varying_spacing_is_interpolated_and_said(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=6, places=[0, 1, 2, 3, 4.5, 6])
    volume = open_volume(tmp_path / "s")
    assert volume.shape[2] == 7
    assert any("3.00 to 4.50 mm apart" in note for note in volume.notes)


def test_most_slices_missing_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=4, places=[0, 1, 2, 30])
    with pytest.raises(ScanError, match="only 4 of about 31 slices are there"):
        open_volume(tmp_path / "s")


def test_duplicates_are_left_out_and_said(tmp_path: Path) -> None:
    values = write_series(tmp_path / "s")
    copy = next(iter(sorted((tmp_path / "s").iterdir())))
    (tmp_path / "s" / "copy.dcm").write_bytes(copy.read_bytes())  # the same image twice
    image(values[0], (-10.0, 20.0, 33.0), 99).save_as(tmp_path / "s" / "again.dcm")  # another one at a place taken
    volume = open_volume(tmp_path / "s")
    assert volume.shape[2] == 5
    assert any("1 files that repeat an image" in note for note in volume.notes)
    assert any("1 duplicate slices" in note for note in volume.notes)
    assert np.array_equal(volume.to_native(volume.voxels)[:, :, 1], values[1].T - 1024.0)


def test_several_images_at_each_place_are_frames(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=4, seed=1, AcquisitionNumber=1)
    later = write_series(tmp_path / "s", slices=4, seed=2, AcquisitionNumber=2)
    with pytest.raises(ScanError, match="2 images at each of 4 places"):
        open_volume(tmp_path / "s")
    volume = open_volume(tmp_path / "s", frame=1)
    assert np.array_equal(volume.to_native(volume.voxels)[:, :, 0], later[0].T - 1024.0)
    with pytest.raises(ScanError, match="frame 2 does not exist"):
        open_volume(tmp_path / "s", frame=2)


def mixed_folder(folder: Path) -> None:
    """A localizer with many slices, a small MR, a larger MR, a report and a text file."""
    write_series(folder, 9, seed=1, SeriesInstanceUID=UID + ".7", SeriesNumber=1, Modality="MR",
                 SeriesDescription="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    write_series(folder, 3, seed=2, SeriesInstanceUID=UID + ".8", SeriesNumber=2, Modality="MR", SeriesDescription="T2")
    write_series(folder, 5, seed=3, SeriesInstanceUID=UID + ".9", SeriesNumber=3, Modality="MR", SeriesDescription="T1")
    report = image(np.zeros((1, 1)), Modality="SR", SeriesInstanceUID=UID + ".6", Rows=None, Columns=None)
    report.save_as(folder / "report.dcm")
    (folder / "readme.txt").write_text("nothing")


def test_the_largest_series_is_taken_and_said(tmp_path: Path) -> None:
    mixed_folder(tmp_path)
    assert [each.description for each in list_series(tmp_path)] == ["scout", "T2", "T1"]
    volume = open_volume(tmp_path)
    assert volume.shape[2] == 5
    assert volume.notes[0].startswith("series 3 of 3 taken, the largest: T1 (MR, 8 x 6 x 5)")
    assert "1: scout (MR localizer, 8 x 6 x 9)" in volume.notes[0]


@pytest.mark.parametrize(("wanted", "slices"), [("2", 3), (UID + ".8", 3), ("t2", 3), ("scout", 9)])
def test_a_series_can_be_chosen(wanted: str, slices: int, tmp_path: Path) -> None:
    mixed_folder(tmp_path)
    assert open_volume(tmp_path, series=wanted).shape[2] == slices
    with pytest.raises(ScanError, match="series 'T9' fits none of 3; choose a number: 1: scout"):
        open_volume(tmp_path, series="T9")


def test_a_zip_is_the_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (tmp_path / "s").iterdir():
            archive.write(file, f"study/series/{file.name}")
    zipped, folder = open_volume(tmp_path / "s.zip"), open_volume(tmp_path / "s")
    assert np.array_equal(zipped.voxels, folder.voxels)
    assert zipped.sha256 == folder.sha256


def test_classic_multiframe_without_frame_geometry_stacks_along_the_normal(tmp_path: Path) -> None:
    values = stored_values(4)
    image(values, (1.0, 2.0, 3.0), NumberOfFrames=4, SpacingBetweenSlices=2.0).save_as(tmp_path / "multi.dcm")
    volume = open_volume(tmp_path / "multi.dcm")
    assert volume.shape == (COLUMNS, ROWS, 4)
    assert volume.spacing[2] == pytest.approx(2.0)
    assert np.array_equal(volume.to_native(volume.voxels), values.transpose(2, 1, 0) - 1024.0)


def test_enhanced_multiframe_takes_each_frames_own_place_and_scale(tmp_path: Path) -> None:
    values = stored_values(3)
    nothing = dict.fromkeys(("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope",
                             "RescaleIntercept", "SliceThickness"))  # fmt: skip
    header = image(values, NumberOfFrames=3, Modality="MR", **nothing)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.5, 0.5], 4.0
    orientation.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place, slope in ((8.0, 1.0), (0.0, 2.0), (4.0, 3.0)):  # stored out of order
        position, scale, frame = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, place]
        scale.RescaleSlope, scale.RescaleIntercept = slope, 5.0
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [scale]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    header.save_as(tmp_path / "enhanced.dcm")
    volume = open_volume(tmp_path / "enhanced.dcm")
    expected = np.stack([values[1].T * 2.0 + 5, values[2].T * 3.0 + 5, values[0].T * 1.0 + 5], axis=2)
    assert np.array_equal(volume.to_native(volume.voxels), expected)
    assert volume.spacing[2] == pytest.approx(4.0)


@pytest.mark.parametrize("syntax", [pydicom.uid.RLELossless, pydicom.uid.JPEG2000Lossless])
def test_compressed_series(syntax: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (2, 64, 64))  # JPEG 2000 wants images of some size
    (tmp_path / "s").mkdir()
    for index in range(2):
        header = image(values[index], (0.0, 0.0, 3.0 * index), index + 1)
        header.compress(syntax)
        header.save_as(tmp_path / "s" / f"{index}.dcm")
    volume = open_volume(tmp_path / "s")
    assert np.array_equal(volume.to_native(volume.voxels), values.transpose(2, 1, 0) - 1024.0)


def test_a_compression_nobody_here_decodes_is_named(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=2)
    for file in (tmp_path / "s").iterdir():
        header = pydicom.dcmread(file)
        header.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
        header.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
        header.save_as(file)
    with pytest.raises(ScanError, match="MPEG2 Main Profile"):
        open_volume(tmp_path / "s")


PET = {
    "Modality": "PT", "Units": "BQML", "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START",
    "PatientWeight": 70.0, "SeriesDate": "20240101", "SeriesTime": "100000", "AcquisitionDate": "20240101",
    "AcquisitionTime": "100000", "RescaleSlope": 0.5, "RescaleIntercept": 0,
}  # fmt: skip


def isotope(**tags: Any) -> list[Dataset]:
    item = Dataset()
    values = {"RadionuclideTotalDose": 3.5e8, "RadionuclideHalfLife": 6586.2, "RadiopharmaceuticalStartTime": "090000"}
    for tag, value in {**values, **tags}.items():
        setattr(item, tag, value)
    return [item]


def test_pet_becomes_suv_by_body_weight(tmp_path: Path) -> None:
    values = write_series(tmp_path / "s", **PET, RadiopharmaceuticalInformationSequence=isotope())
    volume = open_volume(tmp_path / "s")
    dose = 3.5e8 * 0.5 ** (3600 / 6586.2)  # one hour after the injection
    assert volume.intensity_unit == "SUV"
    assert np.allclose(volume.to_native(volume.voxels), values.transpose(2, 1, 0) * 0.5 * 70000 / dose, rtol=1e-5)


def test_pet_without_weight_stays_and_says_so(tmp_path: Path) -> None:
    write_series(tmp_path / "s", **{**PET, "PatientWeight": None}, RadiopharmaceuticalInformationSequence=isotope())
    volume = open_volume(tmp_path / "s")
    assert volume.intensity_unit == ""
    assert "PET values could not be turned into SUV: PatientWeight is missing" in volume.notes


def test_suv_over_midnight_admin_decay_and_grams() -> None:
    late = isotope(RadiopharmaceuticalStartTime="233000")
    injected_late = {**PET, "SeriesTime": "003000", "AcquisitionTime": "003000"}
    injected_late["RadiopharmaceuticalInformationSequence"] = late
    factor = suv_scale([image(np.zeros((2, 2)), **injected_late)]).factor
    assert factor == pytest.approx(70000 / (3.5e8 * 0.5 ** (3600 / 6586.2)))
    at_injection = {**PET, "DecayCorrection": "ADMIN", "RadiopharmaceuticalInformationSequence": isotope()}
    assert suv_scale([image(np.zeros((2, 2)), **at_injection)]).factor == pytest.approx(70000 / 3.5e8)
    assert suv_scale([image(np.zeros((2, 2)), Units="GML")]).factor == 1.0


def test_single_slice_takes_the_thickness(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=1)
    volume = open_volume(tmp_path / "s")
    assert volume.shape == (COLUMNS, ROWS, 1)
    assert volume.spacing[2] == pytest.approx(3.0)


def test_slices_without_places_are_taken_in_order_with_a_warning(tmp_path: Path) -> None:
    values = write_series(tmp_path / "s", ImagePositionPatient=None, ImageOrientationPatient=None)
    volume = open_volume(tmp_path / "s")
    assert any("left and right are assumed" in note for note in volume.notes)
    assert np.array_equal(volume.to_native(volume.voxels), values.transpose(2, 1, 0) - 1024.0)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"Modality": "US"}, "is US; this program reads CT, MR and PET"),
        ({"SliceThickness": None, "ImagePositionPatient": None}, "neither positions nor a thickness"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a colour image"),
    ],
)
def test_what_cannot_be_used_says_why(tags: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_series(tmp_path / "s", **tags)
    with pytest.raises(ScanError, match=message):
        open_volume(tmp_path / "s")


def test_a_mosaic_is_not_taken_for_a_slice(tmp_path: Path) -> None:
    write_series(tmp_path / "s", slices=1, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(ScanError, match=r"is a mosaic, .* convert it with dcm2niix"):
        open_volume(tmp_path / "s")


@pytest.mark.parametrize("directions", [(0.0,) * 6, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)])
def test_directions_that_span_no_plane_are_none(directions: tuple[float, ...], tmp_path: Path) -> None:
    """Their normal is 0, and along it all slices lie at one place."""
    values = write_series(tmp_path / "s", ImageOrientationPatient=list(directions))
    volume = open_volume(tmp_path / "s")
    assert any("hold no orientation" in note for note in volume.notes)
    assert np.array_equal(volume.to_native(volume.voxels), values.transpose(2, 1, 0) - 1024.0)


@pytest.mark.filterwarnings("ignore:Expected explicit VR:UserWarning")  # pydicom, of the damage
def test_damaged_files_are_left_out_or_named(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    (tmp_path / "s" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x10\x00garbage" * 9)
    assert open_volume(tmp_path / "s").shape[2] == 5
    file = sorted((tmp_path / "s").glob("0*.dcm"))[0]
    file.write_bytes(file.read_bytes()[:-40])  # half the pixels of one slice
    with pytest.raises(ScanError, match=r"00-plain-0\.dcm: its pixels .* cannot be read"):
        open_volume(tmp_path / "s")


def test_the_patient_and_the_day_of_the_scan_come_along(tmp_path: Path) -> None:
    """The acquisition's day before the study's; a day that is none is left out."""
    for folder, tags, day in (
        ("acquired", {"AcquisitionDate": "20240229", "StudyDate": "20240301"}, "2024-02-29"),
        ("study", {"AcquisitionDate": "", "StudyDate": "20240301"}, "2024-03-01"),
        ("none", {"StudyDate": "20241399"}, ""),
    ):
        write_series(tmp_path / folder, **tags)
        volume = open_volume(tmp_path / folder)
        assert (volume.patient, volume.date) == ("test", day)
