"""Operations on masks against what can be said of them without the code: brute force over all pairs of voxels, on grids
of every orientation, with unequal spacing, oblique and sheared."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from assistant import operations
from assistant.operations import Operation
from assistant.volume import Volume

SHAPE = (9, 8, 7)
SPACING = (1.0, 2.5, 1.7)
ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]  # all 48 ways to store a grid


def turned() -> np.ndarray:
    """SPACING, turned by 20 and 35 degrees about two axes."""
    a, b = np.deg2rad((20, 35))
    one = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    other = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return one @ other @ np.diag(SPACING)


def affine(axes: np.ndarray) -> np.ndarray:
    whole = np.eye(4)
    whole[:3, :3] = axes
    whole[:3, 3] = (-11.0, 4.0, 30.0)
    return whole


SHEARED = np.diag(SPACING) + np.array([[0, 0.6, 0], [0, 0, 0.9], [0, 0, 0]])
GRIDS = {"straight": affine(np.diag(SPACING)), "oblique": affine(turned()), "sheared": affine(SHEARED)}


def blobs(seed: int = 3) -> np.ndarray:
    mask = np.random.default_rng(seed).random(SHAPE) > 0.93
    mask[4:6, 3:5, 2:5] = True
    return mask


def distances(mask: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(X, Y, Z) mm from each voxel to the nearest of a mask, by looking at all of them."""
    every = np.argwhere(np.ones(mask.shape, bool)) @ grid[:3, :3].T
    within = np.argwhere(mask) @ grid[:3, :3].T
    return np.linalg.norm(every[:, None] - within[None], axis=2).min(1).reshape(mask.shape)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("mm", [1.0, 2.5, 5.0])
def test_growing_and_shrinking_are_in_millimetres_of_the_patient(grid, mm):
    mask = blobs()
    np.testing.assert_array_equal(operations.grow(mask, grid, mm), distances(mask, grid) <= mm + 1e-4)
    solid = np.ones(SHAPE, bool)
    solid[0, 0, 0] = solid[4, 4, 4] = False
    np.testing.assert_array_equal(operations.shrink(solid, grid, mm), distances(~solid, grid) > mm + 1e-4)


def test_the_scans_edge_is_not_outside():
    """A mask that fills the scan, or one slice of it whole, is not shrunk from where nobody has looked."""
    grid = GRIDS["oblique"]
    assert operations.shrink(np.ones(SHAPE, bool), grid, 50).all()
    half = np.zeros(SHAPE, bool)
    half[:5] = True
    np.testing.assert_array_equal(np.flatnonzero(operations.shrink(half, grid, 1.2).any((1, 2))), [0, 1, 2, 3])


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_every_way_of_storing_a_scan_gives_the_same_mask_in_the_patient(order, signs):
    """The operations work on the RAS grid of a volume; through the file's own axes the same voxels come out."""
    mask, other = blobs(), np.zeros(SHAPE, bool)
    other[3:5, 2:4, 3] = True
    grid = affine(np.diag(SPACING))
    stored_axes = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        stored_axes[world, axis] = sign * SPACING[world]
    start = [0 if stored_axes[world].sum() > 0 else SHAPE[world] - 1 for world in range(3)]
    stored = affine(stored_axes)
    stored[:3, 3] = grid[:3, :3] @ start + grid[:3, 3]

    def to_file(array: np.ndarray) -> np.ndarray:
        turned_to = array.transpose(order)
        return turned_to[tuple(slice(None, None, sign) for sign in signs)]

    volume = Volume.from_array(to_file(mask).astype(np.float32), stored, "MR")
    np.testing.assert_allclose(volume.affine, grid)
    for operation in (
        Operation("grow", (("a",),), 2.5), Operation("shrink", (("a",),), 1.0), Operation("smooth", (("a",),), 1.5),
        Operation("part", (("a",), ("b",)), direction="to the left of"), Operation("largest", (("a",),)),
        Operation("part", (("a",), ("b",)), direction="above"), Operation("near", (("a",), ("b",)), 3.0),
    ):  # fmt: skip
        masks = {"a": volume.from_native(to_file(mask)), "b": volume.from_native(to_file(other))}
        got = volume.to_native(operation.apply(masks, volume.affine))
        np.testing.assert_array_equal(got, to_file(operation.apply({"a": mask, "b": other}, grid)))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("direction", "place"), operations.DIRECTIONS.items())
def test_a_part_lies_beyond_the_other_in_the_patients_own_directions(grid, direction, place):
    mask, other = np.ones(SHAPE, bool), blobs(5) & blobs(6)
    axis, sign = place
    world = sign * (np.argwhere(mask) @ grid[:3, :3].T)[:, axis].reshape(SHAPE)
    wanted = world > world[other].max() + 1e-4
    np.testing.assert_array_equal(operations.beyond(mask, other, grid, direction), wanted)
    cut = Operation("cut", (("a",), ("b",)), direction=direction).apply({"a": mask, "b": other}, grid)
    np.testing.assert_array_equal(cut, ~wanted)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_half_nearest_to_another_is_no_farther_than_the_median(grid):
    mask, other = blobs(4), blobs(5) & blobs(6)
    away = distances(other, grid)
    got = Operation("nearest", (("a",), ("b",))).apply({"a": mask, "b": other}, grid)
    np.testing.assert_array_equal(got, mask & (away <= np.median(away[mask]) + 1e-4))
    assert 0.5 * mask.sum() <= got.sum() < mask.sum()
    assert not operations.nearest_half(mask, np.zeros(SHAPE, bool), grid).any()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("direction", "place"), operations.DIRECTIONS.items())
def test_a_half_lies_on_its_side_of_the_median(grid, direction, place):
    mask = blobs(4)
    axis, sign = place
    world = sign * (np.argwhere(np.ones(SHAPE, bool)) @ grid[:3, :3].T)[:, axis].reshape(SHAPE)
    got = Operation("half", (("a",),), direction=direction).apply({"a": mask}, grid)
    np.testing.assert_array_equal(got, mask & (world >= np.median(world[mask]) - 1e-4))


def test_sets_are_sets_and_leave_their_parts_alone():
    a, b, c = blobs(1), blobs(2), blobs(3)
    kept = [mask.copy() for mask in (a, b, c)]
    masks = {"m1": a, "m2": b, "m3": c}
    grid = GRIDS["straight"]
    np.testing.assert_array_equal(Operation("union", (("m1", "m2", "m3"),)).apply(masks, grid), a | b | c)
    minus = Operation("minus", (("m1", "m2"), ("m3",)))
    np.testing.assert_array_equal(minus.apply(masks, grid), (a | b) & ~c)
    np.testing.assert_array_equal(Operation("intersect", (("m1",), ("m2",))).apply(masks, grid), a & b)
    for operation in ("grow", "shrink", "smooth", "fill", "largest"):
        Operation(operation, (("m1",),), 2.0).apply(masks, grid)
    for mask, before in zip((a, b, c), kept, strict=True):
        np.testing.assert_array_equal(mask, before)


def test_the_largest_part_touches_by_corners_and_holes_are_closed_rooms():
    mask = np.zeros((12, 12, 12), bool)
    mask[1:3, 1:3, 1:3] = mask[3, 3, 3] = True  # by a corner: one part of 9
    mask[8:10, 8:10, 8:10] = True  # 8
    np.testing.assert_array_equal(np.argwhere(operations.largest_part(mask)).max(0), [3, 3, 3])
    box = np.zeros((9, 9, 9), bool)
    box[1:6, 1:6, 1:6] = True
    box[3, 3, 3] = False  # a room
    box[3, 3, 1:3] = False  # with a way out
    np.testing.assert_array_equal(operations.fill_holes(box), box)
    box[3, 3, 1] = True
    filled = np.zeros_like(box)
    filled[1:6, 1:6, 1:6] = True
    np.testing.assert_array_equal(operations.fill_holes(box), filled)


def test_smoothing_takes_a_spike_off_and_leaves_a_slab():
    """The blur is in mm: a spike 1.7 mm wide goes, a slab that fills the scan's width stays as it is."""
    grid = GRIDS["straight"]
    slab = np.zeros((9, 8, 30), bool)
    slab[:, :, 5:20] = True
    spiked = slab.copy()
    spiked[4, 4, 20:26] = True
    np.testing.assert_array_equal(operations.smooth(spiked, grid, 1.5), slab)


def test_an_operation_names_itself():
    names = {"m1": "m1", "m2": "left hippocampus", "m3": "m3"}
    said = {
        "m1 + left hippocampus": Operation("union", (("m1", "m2"),)),
        "(m1 + left hippocampus) - m3": Operation("minus", (("m1", "m2"), ("m3",))),
        "m1 & m3": Operation("intersect", (("m1",), ("m3",))),
        "left hippocampus grown by 2.5 mm": Operation("grow", (("m2",),), 2.5),
        "m1 shrunk by 10 mm": Operation("shrink", (("m1",),), 10.0),
        "m1 smoothed by 1.5 mm": Operation("smooth", (("m1",),), 1.5),
        "largest part of m1": Operation("largest", (("m1",),)),
        "m1 with its holes filled": Operation("fill", (("m1",),)),
        "part of m1 above m3": Operation("part", (("m1",), ("m3",)), direction="above"),
        "m1 without the part behind m3": Operation("cut", (("m1",), ("m3",)), direction="behind"),
        "half of m1 nearest to m3": Operation("nearest", (("m1",), ("m3",))),
        "front half of m1": Operation("half", (("m1",),), direction="in front of"),
        "part of m1 within 5 mm of m3": Operation("near", (("m1",), ("m3",)), 5.0),
    }
    assert [operation.described(names) for operation in said.values()] == list(said)


def test_an_empty_mask_gives_an_empty_one():
    none, grid = np.zeros(SHAPE, bool), GRIDS["oblique"]
    for kind in ("grow", "shrink", "smooth", "fill", "largest"):
        assert not Operation(kind, (("a",),), 3.0).apply({"a": none}, grid).any()
