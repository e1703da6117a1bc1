"""What lies next to a structure or between two: what is asked, which ones come into question, which ones are there."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assistant.rivals import Claims, Rivals
from assistant.surroundings import Asked, beside, between, candidates, ends, is_taught, on_the_way, read
from tests.test_quantity import FOUND
from tests.test_reference import BOTH, GLOSSARY, LEFT, RIGHT, STEM, Known, known

ALL = known(LEFT, RIGHT, STEM)
NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("question", "there", "wanted"),
    [
        ("What is next to the left hippocampus?", Known({}, glossary=GLOSSARY), Asked((LEFT,))),
        ("Which structures touch m3?", ALL, Asked(("m3",))),
        ("what does it touch?", ALL, Asked(("m3",))),
        ("And what lies directly beside the brainstem?", ALL, Asked(("m3",))),
        ("Name the neighbours of the brainstem.", ALL, Asked(("m3",))),
        ("Was liegt neben dem Hirnstamm?", ALL, Asked(("m3",))),
        ("What lies between the left hippocampus and the brainstem?", ALL, Asked(("m1",), ("m3",))),
        ("Which structure is between m1 and m2?", BOTH, Asked(("m1",), ("m2",))),
        ("Is m1 next to m2?", BOTH, None),  # yes or no
        ("What is next to the left hippocampus and larger?", ALL, None),
        ("What is the left hippocampus?", ALL, None),
        ("What is the distance between m1 and m2?", BOTH, None),
    ],
)
def test_what_wants_the_surroundings(question, there, wanted):
    assert read(question, there) == wanted


@pytest.fixture
def rivals() -> Rivals:
    """Along x: two voxels of a, two of b, one of nobody, two of c; d lies over b alone, along y."""
    owner = torch.zeros((7, 6, 1), dtype=torch.uint8)
    best = torch.ones((7, 6, 1))
    owner[2:4], owner[5:] = 1, 2
    best[4] = -1
    owner[2:4, 5] = 3
    made = object.__new__(Rivals)
    made.groups, made.coarse = [[0, 1, 2, 3]], [Claims(best, owner)]
    made.segmenter = SimpleNamespace(config=SimpleNamespace(taught_names=NAMES))
    return made


def test_neighbours_are_those_whose_claims_meet(rivals):
    """a meets five voxels of b and one of d, c nobody: a gap of one voxel is a gap."""
    assert rivals.beside(0) == [1, 3]
    assert rivals.beside(2) == []
    assert rivals.along(0, 2) == [1]
    assert rivals.along(0, 1) == []


def finding(mask_id: str, phrase: str):
    return dataclasses.replace(FOUND["m1"], id=mask_id, phrase=phrase)


def test_candidates_are_shown_and_not_what_is_asked_about(rivals):
    a, b, c = (finding(f"m{n}", name) for n, name in enumerate("abc", 1))
    assert candidates(rivals, [a], [], NAMES) == ["b", "d"]
    assert candidates(rivals, [a, b], [], NAMES) == ["d"]
    assert candidates(rivals, [a], [], ["a", "d"]) == ["d"]
    assert candidates(rivals, [a], [c], NAMES) == ["b"]
    grown = finding("m4", "m1 grown by 3 mm")
    assert [is_taught(rivals, found) for found in ([a, b], [a, grown])] == [True, False]
    assert not is_taught(None, [a])


def test_two_sides_are_taken_side_by_side():
    one, two = finding("m1", LEFT), finding("m2", RIGHT)
    left, right, stem = finding("m3", "left thalamus"), finding("m4", "right thalamus"), finding("m5", STEM)
    assert ends([one, two], [left, right]) == [(one, left), (two, right)]
    assert ends([one, two], [stem]) == [(one, stem), (two, stem)]


def test_what_the_line_between_two_centres_meets_in_order():
    masks = np.zeros((5, 12, 5, 5), bool)
    for mask, x in zip(masks, (1, 10, 7, 3, 5), strict=True):
        mask[x, 2, 2] = True
    masks[4] = np.roll(masks[4], 2, axis=1)  # beside the line
    assert on_the_way(masks[0], masks[1], masks[2:]) == [1, 0]
    assert on_the_way(masks[1], masks[0], masks[2:]) == [0, 1]


def test_what_is_said():
    one, two, three = finding("m1", "a"), finding("m2", "b"), finding("m3", "c")
    assert beside([one], [two, three]).startswith("The b (m2) and the c (m3) touch the a (m1): there is no gap ")
    assert beside([one], []) == "Of what I was taught to find, nothing else touches the a (m1) on this scan."
    line = "the straight line from the centre of the a (m1) to that of the b (m2)"
    assert between(one, two, [three]) == f"On {line} lies the c (m3)."
    assert between(one, two, []) == f"Of what I was taught to find, nothing else lies on {line}."
