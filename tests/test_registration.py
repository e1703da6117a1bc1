"""Rigid registration on a phantom whose right answer is known, whatever the grids are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assistant.errors import ScanError
from assistant.registration import align, carry, correlation_ratio
from assistant.volume import Volume

# centre (RAS+ mm), half axes (mm), value added: a head without a mirror plane
PARTS = (
    ((0, 0, 0), (62, 76, 58), 100.0),
    ((-24, 18, 12), (14, 20, 12), 60.0),
    ((26, -14, 18), (18, 12, 16), -50.0),
    ((10, 34, -22), (16, 10, 12), 80.0),
    ((-18, -36, -14), (12, 16, 20), 40.0),
    ((30, 24, -8), (9, 9, 22), -40.0),
)
BALL = (np.array((-24.0, 18.0, 12.0)), 12.0)


def head(places: np.ndarray) -> np.ndarray:
    """The phantom's value at (..., 3) RAS+ mm."""
    value = np.zeros(places.shape[:-1])
    for centre, axes, added in PARTS:
        radius = np.linalg.norm((places - np.array(centre)) / np.array(axes), axis=-1)
        value += added / (1 + np.exp((radius - 1) * 20))
    return value


def grid(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """(I, J, K, 3) RAS+ mm of every voxel."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def centred(axes: np.ndarray, shape: tuple[int, int, int], middle: tuple[float, float, float]) -> np.ndarray:
    """Affine whose columns are `axes`, with the block's middle at a place."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.array(middle) - axes @ ((np.array(shape) - 1) / 2)
    return affine


def rigid(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def scan(shape: tuple[int, int, int], affine: np.ndarray, to_head: np.ndarray, seed: int = 0) -> Volume:
    """The head as a scan sees it; to_head: (4, 4), mm of the scan -> mm of the phantom."""
    places = grid(shape, affine) @ to_head[:3, :3].T + to_head[:3, 3]
    noise = np.random.default_rng(seed).normal(0, 2, shape)
    return Volume.from_array((head(places) + noise).astype(np.float32), affine, "MR", name=f"scan{seed}")


NOW_SHAPE = (52, 62, 48)
NOW = centred(np.diag([3.0, 3.0, 3.0]), NOW_SHAPE, (4.0, -3.0, 2.0))
TILTED = Rotation.from_euler("zyx", (10, -8, 6), degrees=True).as_matrix()


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((50, 60, 46), np.diag([3.0, 3.0, 3.0])),
        ((76, 60, 26), np.diag([2.0, 3.0, 6.0])),  # thick slices
        ((54, 64, 50), TILTED @ np.diag([3.0, 3.0, 3.0])),  # oblique
        ((60, 52, 48), np.array([[0.0, -3, 0], [-3, 0, 0], [0, 0, -3.5]])),  # P, L, I: left-handed, axes swapped
    ],
    ids=["same grid", "anisotropic", "oblique", "left-handed"],
)
def test_a_known_movement_is_found_within_a_voxel(shape, axes):
    moved = rigid((8, -6, 12), (14, -9, 7))  # mm of the prior -> mm of the phantom
    now = scan(NOW_SHAPE, NOW, np.eye(4))
    prior = scan(shape, centred(np.asarray(axes), shape, (-10.0, 8.0, -4.0)), moved, seed=1)
    found = align(now, prior)
    truth = np.linalg.inv(moved)
    corners = np.array([[x, y, z] for x in (-45, 45) for y in (-55, 55) for z in (-40, 40)], float)
    miss = np.linalg.norm(found.to_prior(corners) - (corners @ truth[:3, :3].T + truth[:3, 3]), axis=1)
    assert miss.max() < min(np.linalg.norm(axes, axis=0))  # a voxel, at the edge of the head
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1)
    assert found.angle_degrees == pytest.approx(Rotation.from_matrix(moved[:3, :3]).magnitude() * 180 / np.pi, abs=0.5)
    assert found.verdict == "good"


def test_the_same_scans_give_the_same_transform():
    now, prior = scan(NOW_SHAPE, NOW, np.eye(4)), scan(NOW_SHAPE, NOW, rigid((4, 0, 0), (5, 0, 0)), seed=1)
    assert np.array_equal(align(now, prior).matrix, align(now, prior).matrix)


def test_scans_of_different_things_are_poor():
    """Noise in a box holds nothing of the head."""
    other = np.zeros((40, 40, 40), np.float32)
    other[8:32, 12:20, 16:30] = np.random.default_rng(3).uniform(50, 200, (24, 8, 14))
    volume = Volume.from_array(other, centred(np.diag([4.0, 4.0, 4.0]), other.shape, (0, 0, 0)), "MR", name="box")
    assert align(scan(NOW_SHAPE, NOW, np.eye(4)), volume).verdict == "poor"


def test_a_scan_with_nothing_in_it_is_said():
    spots = np.zeros((30, 30, 30), np.float32)
    spots[::29, ::29, ::29] = 1
    volume = Volume.from_array(spots, np.eye(4), "MR", name="spots")
    with pytest.raises(ScanError, match="spots holds too little"):
        align(scan(NOW_SHAPE, NOW, np.eye(4)), volume)


@pytest.mark.parametrize("axes", [np.diag([3.0, 3.0, 3.0]), np.array([[0.0, -2.5, 0], [-2.5, 0, 0], [0, 0, -4.0]])])
def test_a_mask_is_carried_to_where_it_belongs(axes):
    """A ball of the prior lands on the same ball of the current scan: Dice over 0.9, centre within half a voxel."""
    moved = rigid((8, -6, 12), (14, -9, 7))
    shape = (70, 76, 60)
    prior_affine = centred(np.asarray(axes), shape, (-10.0, 8.0, -4.0))
    prior = scan(shape, prior_affine, moved, seed=1)
    now = scan(NOW_SHAPE, NOW, np.eye(4))
    centre, radius = BALL
    stored = np.linalg.norm(grid(shape, prior_affine) @ moved[:3, :3].T + moved[:3, 3] - centre, axis=-1) <= radius
    carried = carry(prior.from_native(stored), prior, now, np.linalg.inv(moved))
    wanted = np.linalg.norm(grid(NOW_SHAPE, NOW) - centre, axis=-1) <= radius
    assert 2 * (carried & wanted).sum() / (carried.sum() + wanted.sum()) > 0.9
    assert np.abs(now.to_world(np.argwhere(carried).mean(axis=0)) - centre).max() < 1.5
    assert not carry(np.zeros(prior.shape, bool), prior, now, np.eye(4)).any()
    far = np.eye(4)
    far[:3, 3] = 5000
    assert not carry(prior.from_native(stored), prior, now, far).any()


def test_the_correlation_ratio_is_one_for_any_function_and_small_for_none():
    values = np.random.default_rng(0).uniform(0, 1, 20_000)
    assert correlation_ratio(values, (values - 0.5) ** 2) > 0.99  # no line
    assert correlation_ratio(values, np.random.default_rng(1).uniform(0, 1, 20_000)) < 0.1
    assert correlation_ratio(values, np.ones(20_000)) == 0
