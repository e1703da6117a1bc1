"""Left and right are told by pairs of structures, wherever the scan lies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from assistant.midline import Midline, midline
from assistant.preprocess import Grid
from assistant.rivals import Claims
from assistant.volume import Volume

NAMES = ("left eye", "right eye", "left ear", "liver")


def study(spots: dict[str, tuple[slice, slice, slice]]) -> Any:
    """A study of 40 x 40 x 40 voxels of 2 mm off the origin, its coarse level half as fine; spots: who claims what."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (100, -40, -40)
    volume = Volume.from_array(np.arange(64000.0).reshape(40, 40, 40), affine, "MR")
    best, owner = torch.full((20, 20, 20), -1.0), torch.zeros(20, 20, 20, dtype=torch.uint8)
    for name, place in spots.items():
        best[place], owner[place] = 1.0, NAMES.index(name)
    config = SimpleNamespace(taught_names=NAMES)
    rivals = SimpleNamespace(coarse=[Claims(best, owner, best), None], segmenter=SimpleNamespace(config=config))
    grid = Grid((20, 20, 20), 4.0, (0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
    view = SimpleNamespace(canonical=SimpleNamespace(coarse_grid=grid))
    return SimpleNamespace(volume=volume, rivals=rivals, view=view)


BOX = slice(4, 8)


def test_the_plane_lies_halfway_between_a_pair():
    found = midline(study({"left eye": (slice(2, 5), BOX, BOX), "right eye": (slice(10, 13), BOX, BOX)}))
    assert found is not None
    # coarse voxels 3 and 11 are the scan's 6.5 and 22.5: 113 and 145 mm
    assert found.point[0] == pytest.approx(129)
    assert np.allclose(found.right, (1, 0, 0))
    assert found.side((110.0, 0, 0)) == "left"
    assert found.side((150.0, 0, 0)) == "right"
    assert found.side((126.0, 0, 0)) is None
    assert found.offset_mm((110.0, 0, 0)) == pytest.approx(-19)


def test_a_turned_head_turns_the_plane():
    low, high = slice(2, 5), slice(8, 11)
    found = midline(study({"left eye": (low, low, BOX), "right eye": (high, high, BOX)}))
    assert found is not None
    assert np.allclose(found.right, np.array((1, 1, 0)) / np.sqrt(2))


@pytest.mark.parametrize(
    "spots",
    [
        {},
        {"left eye": (BOX, BOX, BOX), "liver": (slice(10, 14), BOX, BOX)},  # no pair
        {"left eye": (slice(12, 15), BOX, BOX), "right eye": (slice(2, 5), BOX, BOX)},  # the wrong way round
        {"left eye": (slice(2, 3), BOX, slice(4, 5)), "right eye": (slice(10, 14), BOX, BOX)},  # too little of one
    ],
)
def test_nothing_is_said_where_no_pair_tells(spots):
    assert midline(study(spots)) is None


def test_a_model_without_rivals_tells_no_side():
    assert midline(SimpleNamespace(rivals=None)) is None  # type: ignore[arg-type]
    assert Midline(np.zeros(3), np.array([1.0, 0, 0])).side((0.0, 90.0, 90.0)) is None
