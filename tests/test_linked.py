"""The earlier scan beside the present one: on its grid, at the place that the registration says, in its greys."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assistant.desk.linked import carried
from assistant.volume import Volume


@pytest.fixture
def block() -> Volume:
    """CT of -1000 with one voxel of 500 at the index (6, 4, 3), that is at (12, 8, 6) mm."""
    voxels = np.full((12, 10, 8), -1000.0)
    voxels[6, 4, 3] = 500
    return Volume.from_array(voxels, np.diag([2.0, 2, 2, 1]), modality="CT")


def test_a_moved_earlier_scan_lies_where_the_registration_says(block: Volume) -> None:
    """The earlier scan's coordinates are 4 mm higher in x: two voxels; what comes from outside of it is its darkest."""
    matrix = np.eye(4)
    matrix[0, 3] = 4.0
    seen = carried(block, block, matrix)
    assert seen.shape == block.shape
    assert np.argwhere(seen > 0).tolist() == [[4, 4, 3]]
    assert seen[4, 4, 3] == 500  # HU are not changed
    assert (seen[-2:] == -1000).all()


def test_another_grid_is_followed(block: Volume) -> None:
    """The current scan has voxels of 1 mm: the earlier voxel's middle is at the index (12, 8, 6)."""
    now = Volume.from_array(np.arange(24 * 20 * 16).reshape(24, 20, 16) % 100, np.eye(4), modality="CT")
    seen = carried(block, now, np.eye(4))
    assert seen.shape == (24, 20, 16)
    assert np.unravel_index(seen.argmax(), seen.shape) == (12, 8, 6)
    assert seen[13, 8, 6] == pytest.approx((500 - 1000) / 2)  # halfway to the next voxel


def test_mr_of_another_scale_looks_alike() -> None:
    """Ten times the values and 40 more: one window shows both."""
    rng = np.random.default_rng(0)
    now = Volume.from_array(rng.uniform(0, 100, (20, 20, 20)), np.eye(4), modality="MR")
    before = dataclasses.replace(now, voxels=now.voxels * 10 + 40)
    assert np.abs(carried(before, now, np.eye(4)) - now.voxels).max() < 0.5
