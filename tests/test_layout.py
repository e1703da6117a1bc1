"""Where things lie to one another: exact on a scan whose boxes are known, however it is stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from data_recipes.instructions.layout import DIRECTIONS, OPPOSITE, Layout
from data_recipes.ontology import flip
from tests.labelled import AFFINES, BELLY, belly, layout, mirrored

LIES = (
    ("left adrenal gland", "above", "left kidney"), ("liver", "above", "right kidney"),
    ("gallbladder", "below", "liver"), ("liver", "in front of", "left kidney"), ("left kidney", "behind", "spleen"),
    ("right kidney", "behind", "gallbladder"), ("liver", "to the right of", "spleen"),
    ("spleen", "to the left of", "gallbladder"), ("left kidney", "to the left of", "right kidney"),
    ("left adrenal gland", "medial to", "spleen"), ("spleen", "lateral to", "left adrenal gland"),
)  # fmt: skip
NOT_PLAIN = (
    ("gallbladder", "in front of", "liver"),  # within its extent
    ("left adrenal gland", "lateral to", "liver"),  # on the other side
    ("left kidney", "above", "kidney tumour"),  # the tumour is part of it
)


@pytest.mark.parametrize("stored", AFFINES)
def test_directions_are_the_patients_however_the_scan_is_stored(stored):
    there = layout(stored)
    for one, along, other in LIES:
        assert there.direction(one, other, along) is True, (one, along, other)
        assert there.direction(one, other, OPPOSITE[along]) is False
        assert there.direction(other, one, along) is False
        assert there.direction(other, one, OPPOSITE[along]) is True
    for one, along, other in NOT_PLAIN:
        assert there.direction(one, other, along) is None, (one, along, other)


@pytest.mark.parametrize("stored", AFFINES)
def test_what_touches_shares_a_face_and_what_is_nearest_is_the_shortest_way(stored):
    there = layout(stored)
    touching = {frozenset(p) for p in itertools.combinations(BELLY, 2) if there.touch(*p)}
    assert touching == {
        frozenset({"left adrenal gland", "left kidney"}), frozenset({"gallbladder", "liver"}),
    }  # fmt: skip
    assert there.touch("left kidney", "kidney tumour") is None
    assert there.nearest("right kidney", ["liver", "spleen", "left kidney"]) == "liver"
    assert there.nearest("gallbladder", ["liver", "spleen"]) is None  # touches it: no distance to speak of


def test_distances_are_between_centres_of_voxels():
    there = layout()
    assert there.gap_mm("gallbladder", "liver") == pytest.approx(2.0)
    assert there.gap_mm("left kidney", "right kidney") == pytest.approx(72 + 2)  # -36 to 36, a voxel of 2 mm more
    assert there.gap_mm("right kidney", "left kidney") == there.gap_mm("left kidney", "right kidney")


def test_the_least_of_all_distances_is_found_though_few_are_worked_out():
    """Random blobs: the nearest by every distance is the one that the boxes' shortcut gives."""
    rng = np.random.default_rng(0)
    facts = belly()
    for _ in range(20):
        labels = np.zeros((24, 24, 24), np.int32)
        for value in range(1, 7):
            low = rng.integers(0, 18, 3)
            labels[tuple(slice(a, a + rng.integers(1, 6)) for a in low)] = value
        found = [v for v in range(1, 7) if (labels == v).any()]
        assert facts.layout is not None
        small = Layout(facts.layout.volume, labels, {f"s{v}": (v,) for v in found})
        names = [f"s{v}" for v in found[1:]]
        gaps = sorted((small.gap_mm(f"s{found[0]}", name), name) for name in names)
        clear = gaps[1][0] - gaps[0][0] > 2.0 and not small.touch(f"s{found[0]}", gaps[0][1])
        assert small.nearest(f"s{found[0]}", names) == (gaps[0][1] if clear else None)


def test_a_mirrored_scan_has_mirrored_relations():
    facts = belly("turned by 8 degrees")
    other = mirrored(facts)
    assert facts.layout is not None
    assert other.layout is not None
    told = 0
    for one, place in itertools.permutations(facts.found, 2):
        for along in (*DIRECTIONS, "medial to", "lateral to"):
            lies = facts.layout.direction(one, place, along)
            assert other.layout.direction(flip(one), flip(place), flip(along)) == lies, (one, along, place)
            told += lies is not None
        assert other.layout.touch(flip(one), flip(place)) == facts.layout.touch(one, place)
    assert told > 100


def test_masks_are_combined_voxel_by_voxel():
    there = layout()
    whole = there.combined("left kidney", "+", "kidney tumour")
    part = there.combined("left kidney", "&", "kidney tumour")
    rest = there.combined("left kidney", "-", "kidney tumour")
    assert whole is not None
    assert part is not None
    assert rest is not None
    assert whole.volume_ml == pytest.approx(24 * 24 * 44 / 1000)
    assert part.volume_ml == pytest.approx(8 * 8 * 12 / 1000)
    assert rest.voxels == whole.voxels - part.voxels
    assert there.combined("kidney tumour", "-", "left kidney") is None
    assert there.combined("liver", "&", "spleen") is None
