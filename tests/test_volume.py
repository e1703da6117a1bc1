"""Geometry: every stored orientation ends in the same world, and masks go back to the file's own grid."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from assistant.errors import ResourceError, ScanError
from assistant.formats import read_itk
from assistant.modality import estimate_modality, looks_like_stored_ct, name_hint
from assistant.volume import Volume, open_volume, save_label_map, save_mask

SHAPE = (3, 4, 5)
RAS_AFFINE = np.array([[2.0, 0, 0, -7], [0, 3.0, 0, 11], [0, 0, 5.0, -13], [0, 0, 0, 1]])
ORIENTATIONS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]


def stored_as(order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same volume twice, in RAS and stored with axes ``order`` and ``flips``: (ras, stored, stored affine)."""
    ras = np.arange(60, dtype=np.float32).reshape(SHAPE)
    change = np.zeros((4, 4))  # stored index -> RAS index
    change[3, 3] = 1
    stored = ras.transpose(order)
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        change[source, axis] = -1 if flip else 1
        change[source, 3] = SHAPE[source] - 1 if flip else 0
        stored = np.flip(stored, axis) if flip else stored
    return ras, np.ascontiguousarray(stored), RAS_AFFINE @ change


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_all_48_orientations_are_the_same_volume(
    order: tuple[int, ...], flips: tuple[bool, ...], tmp_path: Path
) -> None:
    ras, stored, affine = stored_as(order, flips)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    volume = open_volume(path, modality="MR")
    assert np.array_equal(volume.voxels, ras)
    assert volume.voxels.flags.c_contiguous
    assert np.allclose(volume.affine, RAS_AFFINE)
    assert np.array_equal(volume.to_native(volume.voxels), stored)
    assert np.array_equal(volume.from_native(stored), ras)
    mask = ras > 40
    saved = nibabel.load(save_mask(volume, mask, tmp_path / "mask.nii.gz"))
    assert np.array_equal(np.asarray(saved.dataobj), (stored > 40).astype(np.uint8))
    assert np.array_equal(saved.affine, nibabel.load(path).affine)


def oblique(angle: float = 25.0) -> np.ndarray:
    """Anisotropic, rotated about two axes, left-handed (its determinant is negative)."""
    a = np.radians(angle)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-0.7, 0.9, 4.0])
    affine[:3, 3] = (31.5, -20.25, 7.0)
    return affine


def test_oblique_left_handed_header_is_copied_bit_for_bit(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(6, 7, 4)).astype(np.float32), None)
    image.set_sform(oblique(), 1)
    image.set_qform(oblique(10.0), 2)  # a different qform: both must survive
    nibabel.save(image, tmp_path / "in.nii")
    volume = open_volume(tmp_path / "in.nii")
    assert np.linalg.det(volume.affine[:3, :3]) > 0  # closest RAS is right-handed here
    saved = nibabel.load(save_mask(volume, volume.voxels > 0, tmp_path / "new folder" / "out.nii.gz"))
    before = nibabel.load(tmp_path / "in.nii").header
    for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d",
                  "qoffset_x", "qoffset_y", "qoffset_z", "pixdim", "dim", "xyzt_units"):  # fmt: skip
        assert saved.header[field].tobytes() == before[field].tobytes(), field
    assert np.array_equal(np.asarray(saved.dataobj) > 0, np.asarray(nibabel.load(tmp_path / "in.nii").dataobj) > 0)


def test_world_and_index_are_inverse_and_contains_knows_the_edges() -> None:
    volume = Volume.from_array(np.arange(168.0).reshape(6, 7, 4), oblique())
    index = np.array([[0, 0, 0], [1.5, 2.25, 3], [5, 6, 3]])
    assert np.allclose(volume.to_index(volume.to_world(index)), index)
    assert volume.contains(volume.to_world(np.array([-0.5, 0, 0])))
    assert not volume.contains(volume.to_world(np.array([-0.6, 0, 0])))
    assert volume.inside(volume.to_world(np.array([[-0.5, 0, 0], [-0.6, 0, 0], [1, 1, 1]]))).tolist() == [1, 0, 1]
    assert sorted(volume.spacing) == pytest.approx([0.7, 0.9, 4.0])
    assert volume.voxel_ml == pytest.approx(0.7 * 0.9 * 4.0 / 1000)


def test_axes_near_45_degrees_still_give_a_permutation() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.6, 0.7, 0.38], [0.55, -0.71, 0.44], [0.58, 0.05, -0.81]])
    volume = Volume.from_array(np.arange(60.0).reshape(3, 4, 5), affine)
    assert sorted(volume.native.order) == [0, 1, 2]
    assert np.array_equal(volume.to_native(volume.voxels), np.arange(60.0).reshape(3, 4, 5))


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 4, 1), (1, 6, 5)])
def test_masks_keep_the_number_of_axes_of_the_file(shape: tuple[int, ...], tmp_path: Path) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, 1, 3, 1])), tmp_path / "in.nii")
    volume = open_volume(tmp_path / "in.nii")
    saved = nibabel.load(save_mask(volume, volume.voxels > 7, tmp_path / "out.nii"))
    assert saved.shape == shape
    assert np.array_equal(np.asarray(saved.dataobj), voxels > 7)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_itk_formats_agree_with_nifti(suffix: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(1).integers(0, 900, (4, 6, 5)).astype(np.int16))
    image.SetSpacing((0.8, 1.1, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    one, other = open_volume(tmp_path / f"scan{suffix}"), open_volume(tmp_path / "scan.nii.gz")
    assert np.array_equal(one.voxels, other.voxels)
    assert np.allclose(one.affine, other.affine, atol=1e-4)  # NIfTI keeps float32
    saved = nibabel.load(save_mask(one, one.voxels > 500, tmp_path / "mask.nii.gz"))
    assert saved.shape == (5, 6, 4)
    assert np.allclose(saved.affine, nibabel.load(tmp_path / "scan.nii.gz").affine, atol=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_voxels_of_an_itk_file_are_still_there_when_itk_has_let_go_of_them(suffix: str, tmp_path: Path) -> None:
    """float32 needs no conversion, so a view of ITK's memory would come through: freed, and soon somebody else's."""
    voxels = np.random.default_rng(0).normal(100, 10, (96, 96, 96)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / f"a{suffix}"))
    stored = read_itk(tmp_path / f"a{suffix}")
    taken = [np.full(voxels.shape, 7, np.float32) for _ in range(3)]
    assert np.array_equal(stored.voxels, voxels.transpose())
    assert all(array.max() == 7 for array in taken)
    volume = open_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(volume.to_native(volume.voxels), voxels.transpose())


def test_a_metaimage_without_orientation_says_so(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    assert not any("left and right are assumed" in note for note in open_volume(tmp_path / "a.mha").notes)
    lines = (tmp_path / "a.mha").read_bytes().split(b"\n")
    (tmp_path / "a.mha").write_bytes(b"\n".join(line for line in lines if not line.startswith(b"TransformMatrix")))
    assert any("left and right are assumed" in note for note in open_volume(tmp_path / "a.mha").notes)


def test_a_frame_of_a_series_and_its_mask(tmp_path: Path) -> None:
    voxels = np.random.default_rng(2).normal(size=(4, 5, 6, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "series.nii.gz")
    volume = open_volume(tmp_path / "series.nii.gz", frame=2)
    assert np.array_equal(volume.voxels, voxels[..., 2])
    assert nibabel.load(save_mask(volume, volume.voxels > 0, tmp_path / "m.nii.gz")).shape == (4, 5, 6)


def test_lengths_in_metres_and_micrometres_become_millimetres(tmp_path: Path) -> None:
    for unit, size in (("meter", 0.002), ("micron", 2000.0)):
        image = nibabel.Nifti1Image(np.arange(60.0, dtype=np.float32).reshape(SHAPE), np.diag([size, size, size, 1]))
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "scan.nii")
        volume = open_volume(tmp_path / "scan.nii")
        assert volume.spacing == pytest.approx([2.0, 2.0, 2.0])
        assert any(unit in note for note in volume.notes)
        saved = nibabel.load(save_mask(volume, volume.voxels > 3, tmp_path / "m.nii"))
        assert np.array_equal(saved.affine, nibabel.load(tmp_path / "scan.nii").affine)


def test_lengths_of_a_nrrd_in_other_units_become_millimetres(tmp_path: Path) -> None:
    """ITK reads the numbers and passes over their unit: 100 um are a tenth of a millimetre, the origin with them."""
    directed = "space: left-posterior-superior\nspace directions: (100,0,0) (0,100,0) (0,0,100)\n"
    directed += "space origin: (1000,0,-2000)\n"

    def opened(fields: str) -> Volume:
        head = f"NRRD0004\ntype: float\ndimension: 3\nsizes: 4 4 4\nendian: little\nencoding: raw\n{fields}\n"
        (tmp_path / "a.nrrd").write_bytes(head.encode() + np.arange(64, dtype="<f4").tobytes())
        return open_volume(tmp_path / "a.nrrd")

    for unit in ("um", "\u00b5m", "micron"):
        volume = opened(f'{directed}space units: "{unit}" "{unit}" "{unit}"\n')
        assert volume.spacing == pytest.approx([0.1, 0.1, 0.1])
        corner = volume.native.affine[:3, 3]
        assert corner == pytest.approx([-1.0, 0.0, -2.0])  # LPS+ in the file
        assert any("converted to millimetres" in note for note in volume.notes)
    plain = opened('spacings: 2 2 2\nunits: "cm" "cm" "cm"\n')
    assert plain.spacing == pytest.approx([20.0, 20.0, 20.0])
    assert opened(f'{directed}space units: "mm" "mm" "mm"\n').notes == opened(directed).notes
    strange = opened(f'{directed}space units: "furlong" "furlong" "furlong"\n')
    assert strange.spacing == pytest.approx([100.0] * 3)
    assert any("'furlong', which is not known here" in note for note in strange.notes)
    with pytest.raises(ScanError, match="lengths in mm and um; write it with one unit"):
        opened(f'{directed}space units: "mm" "um" "mm"\n')


def test_hash_is_of_content_not_of_place(tmp_path: Path) -> None:
    voxels = np.arange(60.0).reshape(SHAPE)
    one, same = Volume.from_array(voxels, RAS_AFFINE, name="a"), Volume.from_array(voxels, RAS_AFFINE, name="b")
    assert one.sha256 == same.sha256
    assert one.sha256 != Volume.from_array(voxels, RAS_AFFINE * 1.01, name="a").sha256
    assert one.sha256 != Volume.from_array(voxels + 1, RAS_AFFINE, name="a").sha256


def test_label_map_holds_the_values_and_the_later_mask_wins(tmp_path: Path) -> None:
    volume = Volume.from_array(np.arange(60.0).reshape(SHAPE), np.diag([-1.0, 1, 1, 1]))
    low, high = volume.voxels < 40, volume.voxels > 30
    saved = np.asarray(nibabel.load(save_label_map(volume, {1: low, 300: high}, tmp_path / "map.nii.gz")).dataobj)
    expected = np.where(np.arange(60).reshape(SHAPE) > 30, 300, 1)
    assert np.array_equal(saved, expected)


def test_saving_says_what_is_wrong(tmp_path: Path) -> None:
    volume = Volume.from_array(np.arange(60.0).reshape(SHAPE), np.eye(4))
    with pytest.raises(ScanError, match=r"\(2, 2, 2\) does not fit"):
        save_mask(volume, np.ones((2, 2, 2)), tmp_path / "m.nii")
    with pytest.raises(ScanError, match=r"m\.png"):
        save_mask(volume, np.ones(SHAPE), tmp_path / "m.png")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="Cannot write"):
        save_mask(volume, np.ones(SHAPE), tmp_path / "file" / "m.nii")


# Modality: made-up intensity patterns of each kind.


def head_ct(rng: np.random.Generator) -> np.ndarray:
    """HU: air, a block of soft tissue, a little bone."""
    voxels = rng.normal(-1000, 10, (20, 20, 20))
    voxels[4:16, 4:16, 4:16] = rng.normal(40, 15, (12, 12, 12))
    voxels[4:6, 4:16, 4:16] = rng.normal(700, 200, (2, 12, 12))
    return np.rint(voxels).astype(np.float32)


def test_ct_is_told_by_air_and_stored_ct_is_shifted() -> None:
    hu = head_ct(np.random.default_rng(3))
    volume = Volume.from_array(hu, np.eye(4))
    assert (volume.modality, volume.modality_source, volume.intensity_unit) == ("CT", "estimated", "HU")
    assert np.array_equal(volume.voxels, hu)
    stored = np.where(hu < -500, 0, hu + 1024)  # 0 outside the body
    shifted = Volume.from_array(stored, np.eye(4))
    assert shifted.modality == "CT"
    assert np.array_equal(shifted.voxels, stored - 1024)
    assert any("1024" in note for note in shifted.notes)
    assert np.array_equal(Volume.from_array(stored, np.eye(4), modality="CT").voxels, stored - 1024)


def test_mr_with_bright_fat_near_1000_is_not_stored_ct() -> None:
    rng = np.random.default_rng(4)
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[3:17, 3:17, 3:17] = np.rint(rng.normal(320, 60, (14, 14, 14)))
    voxels[3:8, 3:17, 3:17] = np.rint(rng.normal(990, 40, (5, 14, 14)))
    voxels = np.clip(voxels, 0, None)
    assert not looks_like_stored_ct(voxels)
    assert Volume.from_array(voxels, np.eye(4)).modality == "MR"


def test_pet_is_coarse_and_skewed_and_has_no_unit_without_a_header() -> None:
    rng = np.random.default_rng(5)
    voxels = rng.gamma(1.0, 0.4, (20, 20, 20)).astype(np.float32)
    voxels[8:10, 8:10, 8:10] = 12.0
    assert estimate_modality(voxels, np.array([4.0, 4.0, 3.0]), "image").modality == "PET"
    assert estimate_modality(voxels, np.array([1.0, 1.0, 1.0]), "image").modality == "MR"
    assert Volume.from_array(voxels, np.diag([4.0, 4, 4, 1])).intensity_unit == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sub-01_T1w", "MR"), ("head_ct", "CT"), ("suv_body", "PET"), ("pt_286", None), ("ct_on_t1", None), ("act", None)],
)
def test_names_hint(name: str, expected: str | None) -> None:
    assert name_hint(name) == expected


def test_a_given_modality_wins_and_uncalibrated_ct_has_no_unit() -> None:
    voxels = np.arange(60.0).reshape(SHAPE)
    volume = Volume.from_array(voxels, np.eye(4), modality="ct")
    assert (volume.modality, volume.modality_source, volume.intensity_unit) == ("CT", "given", "")
    with pytest.raises(ScanError, match="'US' is not one of CT, MR, PET"):
        Volume.from_array(voxels, np.eye(4), modality="US")
