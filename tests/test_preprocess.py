"""Forward and inverse grids: what a mask on the model's grid means on the scan, for every orientation."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import torch

from assistant import preprocess
from assistant.volume import Volume, open_volume

ORIENTATIONS = [
    tuple(zip(order, signs, strict=True)) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def rotation(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    one = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return one @ np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])


def ball(volume: Volume, centre_mm: np.ndarray, radius: float) -> np.ndarray:
    """The voxels of a volume within `radius` mm of a world point."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.shape), indexing="ij"), -1).reshape(-1, 3)
    return (np.linalg.norm(volume.to_world(index) - centre_mm, axis=1) < radius).reshape(volume.shape)


def bright_block() -> np.ndarray:
    """An asymmetric object of 60 x 50 x 40 mm at 2 x 2 x 2.5 mm in some air, float32."""
    voxels = np.zeros((36, 31, 22), np.float32)
    voxels[3:33, 3:28, 3:19] = 500
    voxels[5:12, 5:9, 4:8] = 1000
    return voxels


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_on_the_grid_lands_on_the_same_patient_in_every_storage_order(orientation, tmp_path):
    """One object stored in all 48 orientations (and a 20 degree oblique frame): a ball drawn on the canonical grid
    comes
    back as the same voxels of the file, because the grid knows the volume only by its axes and spacing."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(20) @ np.diag([2, 2, 2.5])
    affine[:3, 3] = [-30, 12, 40]
    image = nib.Nifti1Image(bright_block(), affine)
    wanted = nib.orientations.axcodes2ornt("RAS")
    wanted[:, 0] = [axis for axis, _ in orientation]
    wanted[:, 1] = [sign for _, sign in orientation]
    turned = image.as_reoriented(wanted)
    nib.save(turned, tmp_path / "scan.nii.gz")

    masks = []
    for one in (
        Volume.from_array(bright_block(), affine, modality="MR"),
        open_volume(tmp_path / "scan.nii.gz", modality="MR"),
    ):
        seen = preprocess.canonical(one)
        grid = seen.coarse_grid
        centre = one.to_index(np.array([[-5.0, 25.0, 60.0]]))
        where = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1).reshape(-1, 3)
        apart = (grid.to_index(where) - centre) * np.asarray(one.spacing)
        logits = torch.from_numpy(9 - np.linalg.norm(apart, axis=1)).float().reshape(1, *grid.shape)
        back = preprocess.from_grid(logits, grid, np.zeros(3, int), np.array(one.shape), -10.0)[0] > 0
        masks.append((one, back.numpy()))
    (first, a), (second, b) = masks
    truth = ball(first, np.array([-5.0, 25.0, 60.0]), 9)
    assert (a == truth).mean() > 0.999
    assert truth.sum() > 100
    # the reoriented file gives the very same voxels once put back into one order
    points = np.sort(np.round(first.to_world(np.argwhere(a)), 2), axis=0)
    assert np.allclose(points, np.sort(np.round(second.to_world(np.argwhere(b)), 2), axis=0), atol=0.02)


def test_grid_indices_and_their_inverse_are_exact():
    grid = preprocess.coarse_grid(np.array([0.7, 0.9, 3.0]), np.array([4.0, 0, 1]), np.array([300.0, 220, 60]))
    index = np.random.default_rng(0).uniform(0, 200, (50, 3))
    assert np.allclose(grid.to_index(grid.from_index(index)), index, atol=1e-9)


def test_a_coarse_voxel_is_its_eight_fine_ones():
    """The middle of coarse voxel i is the middle of fine voxels 2i and 2i + 1: no half-voxel shift between levels."""
    grid = preprocess.coarse_grid(np.array([1.0, 1.2, 2.0]), np.zeros(3), np.array([180.0, 150, 80]))
    fine = grid.finer()
    coarse_index = grid.to_index(np.array([[3, 5, 7]]))
    eight = np.array(list(product((6, 7), (10, 11), (14, 15))))
    assert np.allclose(fine.to_index(eight).mean(0), coarse_index)


def test_resampling_keeps_a_constant_and_a_ramp():
    """Rows of weights sum to one inside the scan, and linear interpolation reproduces a linear function."""
    ramp = torch.arange(40.0)[None, :, None, None].expand(1, 40, 30, 20)
    grid = preprocess.coarse_grid(np.array([1.0, 1.0, 1.0]), np.array([8.0, 8, 4]), np.array([30.0, 24, 16]), size=64)
    values, inside = preprocess.to_grid(ramp, grid)
    expected = torch.from_numpy(
        grid.to_index(np.stack([np.arange(grid.shape[0]), *2 * [np.zeros(grid.shape[0])]], 1))[:, 0]
    )
    middle = inside[:, grid.shape[1] // 2, grid.shape[2] // 2] > 0.999
    got = values[0, :, grid.shape[1] // 2, grid.shape[2] // 2]
    assert torch.allclose(got[middle], expected[middle].float(), atol=1e-3)
    assert int(middle.sum()) > 20


def test_windows_follow_the_written_rule():
    hu = torch.tensor([-2000.0, -1000, -150, 0, 50, 250, 1000, 3000]).view(8, 1, 1)
    wide, soft = preprocess.windows(hu, "CT").flatten(1)
    assert torch.allclose(wide, torch.tensor([0, 0, 0.425, 0.5, 0.525, 0.625, 1, 1]))
    assert torch.allclose(soft, torch.tensor([0, 0, 0, 0.375, 0.5, 1, 1, 1]))
    suv = torch.tensor([0.0, 2.5, 5, 20, 40]).view(5, 1, 1)
    assert torch.allclose(preprocess.windows(suv, "PET")[0].flatten(), torch.tensor([0, 0.125, 0.25, 1, 1]))
    with pytest.raises(ValueError, match="US"):
        preprocess.windows(hu, "US")


def test_mr_window_does_not_depend_on_units():
    """MR has no units: a scan times 37 plus nothing else looks the same."""
    image = torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(0)) * 800
    assert torch.allclose(preprocess.windows(image, "MR"), preprocess.windows(image * 37, "MR"), atol=1e-4)


def test_a_single_slice_and_a_needle_have_a_grid():
    for shape, spacing in (((256, 200, 1), (0.8, 0.8, 5.0)), ((5, 300, 4), (10, 0.3, 10))):
        voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        volume = Volume.from_array(voxels, np.diag([*spacing, 1.0]), modality="MR")
        seen = preprocess.canonical(volume)
        assert all(n % 16 == 0 and 16 <= n <= 64 for n in seen.coarse_grid.shape)
        assert torch.isfinite(seen.coarse).all()


def test_what_takes_up_little_is_still_in_the_box_of_a_pet():
    """Muscle at 0.9 SUV about a tumour of 8 with an empty middle; noise of 0.1 in the air. At 0.08 of the window (1.6
    SUV) the box was the tumour's, and cut off what of it was faint."""
    suv = torch.full((40, 40, 40), 0.1)
    suv[5:35, 8:32, 2:38] = 0.9
    suv[15:22, 15:22, 15:22] = 8.0
    suv[17:20, 17:20, 17:20] = 0.2
    first = preprocess.windows(suv, "PET")[0]
    low, high = preprocess.foreground_box(first, "PET", np.full(3, 5.0))
    assert low.tolist() == [4, 7, 1]
    assert high.tolist() == [36, 33, 39]
