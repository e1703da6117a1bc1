"""What of a scan goes to the viewer: how much, where it lies, and what is kept of masks, surfaces and maps."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from assistant.desk import display
from assistant.desk.display import averaged, boxed, display_grid, surface, write_exact
from assistant.desk.files import surface_file, windows, write_heat, write_overlay, write_scan
from assistant.volume import Volume

OBLIQUE = np.array([[0.9, 0.1, 0, -20], [-0.1, 0.9, 0, 10], [0, 0.05, 2.0, -30], [0, 0, 0, 1]])


def ramp(shape: tuple[int, int, int], affine: np.ndarray = OBLIQUE, modality: str = "CT") -> Volume:
    """Every voxel is three times its x, five times its y and seven times its z: a mean is the value in the middle."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    return Volume.from_array((mm @ (3, 5, 7)).astype(np.float32), affine, modality)


def test_a_512_x_512_x_600_ct_goes_at_half_its_fineness_in_the_plane() -> None:
    class Large:  # a real one would take 630 MB
        shape, spacing, affine = (512, 512, 600), np.array([0.7, 0.7, 1.0]), np.diag([0.7, 0.7, 1.0, 1.0])

    grid = display_grid(Large())  # type: ignore[arg-type]
    assert (grid.factors, grid.shape) == ((2, 2, 1), (256, 256, 600))
    np.testing.assert_allclose(grid.affine @ (0, 0, 0, 1), (0.35, 0.35, 0, 1))  # the middle of voxels 0 and 1

    class Long(Large):
        shape = (100, 100, 3000)

    assert display_grid(Long()).factors == (1, 1, 2)  # type: ignore[arg-type]  # WebGL 2 guarantees 2,048 a side


def test_an_averaged_scan_lies_where_the_whole_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = ramp((20, 24, 10))
    assert write_exact(volume, tmp_path) is None
    monkeypatch.setattr(display, "MAX_VIEWER_VOXELS", 1500)
    assert display_grid(volume).factors == (2, 2, 1)
    image = nib.load(write_scan(volume, tmp_path))
    assert image.shape == (10, 12, 10)
    expected = ramp(image.shape, image.affine)  # the same ramp in space, sampled on the coarse grid
    np.testing.assert_allclose(image.get_fdata(), expected.voxels, atol=0.01)


def test_a_last_block_that_is_not_whole_is_the_mean_of_what_is_there() -> None:
    np.testing.assert_array_equal(averaged(np.arange(5.0).reshape(5, 1, 1), (2, 1, 1)).ravel(), [0.5, 2.5, 4])


def test_the_whole_scan_is_read_voxel_by_voxel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "MAX_VIEWER_VOXELS", 1000)
    voxels = np.random.default_rng(0).integers(-1000, 3000, (12, 14, 16))
    exact = write_exact(Volume.from_array(voxels, np.eye(4), "CT"), tmp_path)
    assert exact is not None
    assert (exact.slope, exact.inter) == (1.0, 0.0)
    place = 2 * (5 + 16 * (4 + 14 * 3))  # as viewer.js asks for voxel 3, 4, 5
    assert int.from_bytes(exact.path.read_bytes()[place : place + 2], "little", signed=True) == voxels[3, 4, 5]


def test_a_mask_is_cut_to_its_box_and_stays_in_place(tmp_path: Path) -> None:
    volume = ramp((20, 24, 10))
    mask = np.zeros(volume.shape, bool)
    mask[3:9, 20:24, 0:2] = True
    image = nib.load(write_overlay(volume, mask, tmp_path))
    assert image.shape == (8, 6, 4)  # a rim of zeros, beyond the scan too
    inside = np.argwhere(np.asarray(image.dataobj))
    np.testing.assert_allclose(
        nib.affines.apply_affine(image.affine, inside), volume.to_world(np.argwhere(mask)), atol=1e-4
    )


def test_a_mask_that_is_thinner_than_a_block_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "MAX_VIEWER_VOXELS", 700)
    volume = ramp((20, 24, 10))
    grid = display_grid(volume)
    assert grid.factors == (3, 3, 1)
    mask = np.zeros(volume.shape, bool)
    mask[4, 5, 6] = True  # a ninth of its block
    small, affine = boxed(mask, grid)
    (only,) = np.argwhere(small)
    np.testing.assert_allclose(affine @ (*only, 1), grid.affine @ (1, 1, 6, 1))


def test_a_surface_is_closed_outward_and_in_place(tmp_path: Path) -> None:
    volume = ramp((40, 40, 30))
    index = np.indices(volume.shape)
    middle = np.array([18, 22, 14])
    mask = sum((index[k] - middle[k]) ** 2 for k in range(3)) <= 64
    path = surface_file(write_overlay(volume, mask, tmp_path))
    raw = path.read_bytes()
    _, triangle_count, corner_count, _ = np.frombuffer(raw[:16], "<u4")
    triangles = np.frombuffer(raw[16:], "<i4", 3 * triangle_count).reshape(-1, 3)
    corners = np.frombuffer(raw[16 + 12 * triangle_count :], "<f4", 3 * corner_count).reshape(-1, 3)
    np.testing.assert_allclose(corners.mean(axis=0), volume.to_world(middle), atol=0.3)
    a, b, c = (corners[triangles[:, k]].astype(float) for k in range(3))
    enclosed = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # negative if the triangles turned inward
    assert enclosed == pytest.approx(mask.sum() * volume.voxel_ml * 1000, rel=0.05)
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # every edge has two sides: no hole


def test_a_mask_of_one_voxel_has_a_surface() -> None:
    one = np.zeros((3, 3, 3), np.uint8)
    one[1, 1, 1] = 1
    corners, triangles = surface(one, np.eye(4))
    assert len(triangles) == 8
    np.testing.assert_allclose(corners.mean(axis=0), (1, 1, 1))


def test_a_map_keeps_its_values_and_its_place(tmp_path: Path) -> None:
    volume = ramp((20, 24, 10))
    heat = np.zeros(volume.shape, np.float32)
    heat[0, 5, 9], heat[4, 9, 2] = 0.25, 1.0
    image = nib.load(write_heat(volume, heat, tmp_path))
    values = image.get_fdata()
    assert sorted(values[values > 0].round(2)) == [0.25, 1.0]
    np.testing.assert_allclose(
        image.affine @ (*np.unravel_index(values.argmax(), values.shape), 1), volume.affine @ (4, 9, 2, 1), atol=1e-4
    )


def test_windows_by_modality() -> None:
    kinds = ("CT", "MR", "PET")
    named = {kind: [str(w["name"]) for w in windows(ramp((12, 12, 12), modality=kind))] for kind in kinds}
    assert {"Soft tissue", "Brain", "Bone", "Lung", "Full range"} <= set(named["CT"])
    assert named["MR"] == ["Auto", "Contrast (5 to 95 %)", "Full range"]
    assert named["PET"][0] == "Auto"
