"""Where structures lie to each other: what is asked, and what two blocks of voxels answer."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.operations import gap_mm
from assistant.relation import Asked, furthest, read, told
from tests.test_reference import BOTH, GLOSSARY, LEFT, RIGHT, STEM, Known, known

ALL = known(LEFT, RIGHT, STEM)


@pytest.mark.parametrize(
    ("question", "there", "wanted"),
    [
        ("Is m1 above m3?", ALL, Asked("above", ("m1",), ("m3",))),
        ("Is the left hippocampus above the brainstem?", ALL, Asked("above", ("m1",), ("m3",))),
        ("Does the brainstem lie behind m1?", ALL, Asked("behind", ("m3",), ("m1",))),
        ("Is m1 located to the left of m2?", BOTH, Asked("to the left of", ("m1",), ("m2",))),
        ("is the brainstem below the left hippocampus", Known({}, glossary=GLOSSARY),
         Asked("below", ("brainstem",), ("left hippocampus",))),  # neither has a mask yet
        ("How far is m1 from m2?", BOTH, Asked("distance", ("m1",), ("m2",))),
        ("what is the distance between m1 and the brainstem?", ALL, Asked("distance", ("m1",), ("m3",))),
        ("do they touch?", BOTH, Asked("touch", ("m1",), ("m2",))),
        ("Is m1 next to m3?", ALL, Asked("touch", ("m1",), ("m3",))),
        ("Show the part of m1 above m3.", ALL, None),  # an operation
        ("Is m1 larger than m3?", ALL, None),
        ("Is m1 above m3 or below it?", ALL, None),  # more than one relation
        ("Is m1 above m1?", ALL, None),
        ("Is it far?", BOTH, None),
        ("Is it in the left or the right leg?", known("tumour"), Asked("side", ("m1",), ())),
        ("Which leg is it in?", known("tumour"), Asked("side", ("m1",), ())),
        ("On which side is the tumour?", Known({}, glossary=GLOSSARY), Asked("side", ("tumour",), ())),
        ("Which side is it on?", known(LEFT), None),  # its name says it
        ("Is the left or the right hippocampus larger?", BOTH, None),
        ("How far is it from the skin?", known("tumour"), Asked("distance", ("m1",), ())),
        ("Does it touch the bone?", known("tumour"), Asked("touch", ("m1",), ())),
        ("How far does it reach?", known("tumour"), None),
        ("Which one is further back?", BOTH, Asked("behind", ("m1", "m2"), (), which=True)),
        ("Which of them is highest?", BOTH, Asked("above", ("m1", "m2"), (), which=True)),
        ("Which of the two is higher?", BOTH, Asked("above", ("m1", "m2"), (), which=True)),
        ("Which is more anterior, the brainstem or the left hippocampus?", ALL,
         Asked("in front of", ("m3", "m1"), (), which=True)),
        ("Which hippocampus is furthest to the left?", Known({}, glossary=GLOSSARY),
         Asked("to the left of", (LEFT, RIGHT), (), which=True)),
        ("Which is larger?", BOTH, None),
        ("What is left?", BOTH, None),
        ("Which structure is left of the brainstem?", ALL, None),  # neither a choice nor a place of two
        ("Which is higher in intensity?", BOTH, None),
        ("Is m1 inside the brainstem?", ALL, Asked("within", ("m1",), ("m3",))),
        ("Is there a tumour in the left hippocampus?", ALL, Asked("within", ("tumour",), ("m1",))),
        ("Is there a brainstem lesion?", known("tumour"), Asked("within", ("m1",), ("brainstem",))),
        ("How big is the brainstem tumour?", known("tumour"),
         Asked("within", ("m1",), ("brainstem",), yes_or_no=False)),
        ("Is there a tumour in the brainstem or beside it?", ALL, None),
        ("Is there a tumour and a brainstem?", ALL, None),
        ("Show the tumour in the brainstem.", ALL, None),  # `assistant.composition` or the model
        ("Where is m1 relative to the brainstem?", ALL, Asked("relative", ("m1",), ("m3",))),
    ],
)  # fmt: skip
def test_what_is_asked_of_two_places(question, there, wanted):
    assert read(question, there) == wanted


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("above", "Yes. The centre of A is 8.0 mm above that of B."),
        ("below", "No. The centre of A is 8.0 mm above that of B."),
        ("to the left of", "Yes. The centre of A is 2.0 mm to the left of that of B (the patient's left and right)."),
        ("to the right of", "No. The centre of A is 2.0 mm to the left of that of B (the patient's left and right)."),
        ("behind", "No. The centres of A and of B are level, as seen along that axis."),
        ("distance", "A and B are 6.3 mm apart where they are closest."),
        ("relative",
         "The centre of A is 8.0 mm above and 2.0 mm to the left of that of B (the patient's left and right)."),
        ("touch", "No. Of A and B, they are 6.3 mm apart at the closest."),
    ],
)  # fmt: skip
def test_directions_are_the_patient_s_and_distances_millimetres(kind, said):
    """Voxels of 2 x 1 x 2 mm, stored from right to left: index 5 along x lies to the patient's left of index 4."""
    one, other = np.zeros((2, 8, 8, 8), bool)
    one[5, 2:4, 5:7] = True
    other[4, 2:4, 1:3] = True
    affine = np.diag([-2.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = (7, -30, 12)
    assert told(Asked(kind, ("m1",), ("m2",)), ["A", "B"], [one, other], affine) == said


def test_how_much_of_one_lies_in_another():
    """Of 4 voxels 4, 2, 1 and none in another mask; beside it, they touch."""
    inner, outer, affine = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool), np.eye(4)
    inner[0, 0] = True
    said = []
    for count in (4, 2, 1, 0):
        outer[:] = False
        outer[0, 0, :count] = True
        outer[3, 3] = True
        said.append(told(Asked("within", (), ()), ("A", "B"), (inner, outer), affine))
    assert said == [
        "Yes. Of A, 100 % lies in B.",
        "Yes. Of A, 50 % lies in B.",
        "In part. Of A, 25 % lies in B.",
        "No. No voxel of A lies in B.",
    ]
    outer[1, 0] = True
    assert told(Asked("within", (), ()), ("A", "B"), (inner, outer), affine).endswith("lies in B, but they touch.")


def test_the_furthest_of_several_is_the_furthest_in_the_patient():
    """Centres at index 1, 3 and 4 along an x axis that is stored from right to left, 2 mm apart; all at one height."""
    masks = np.zeros((3, 6, 4, 4), bool)
    for mask, x in zip(masks, (3, 1, 4), strict=True):
        mask[x, 1:3, 1:3] = True
    affine = np.diag([-2.0, 1.0, 1.0, 1.0])
    right, left = (furthest(f"to the {side} of", "ABC", masks, affine) for side in ("right", "left"))
    assert right == "That is B: its centre is 4.0 mm to the right of that of A (the patient's left and right)."
    assert left == "That is C: its centre is 2.0 mm to the left of that of A (the patient's left and right)."
    assert furthest("above", "ABC", masks, affine).startswith("The centres of A and of B are level")


def test_masks_side_by_side_touch():
    one, other = np.zeros((2, 6, 6, 6), bool)
    one[1, 1, 1] = other[2, 2, 2] = True
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    assert gap_mm(one, other, affine) == pytest.approx(14**0.5)
    assert told(Asked("touch", (), ()), ["a", "b"], [one, other], affine).startswith("Yes.")
    assert told(Asked("distance", (), ()), ["a", "b"], [one, other], affine).startswith("A and b touch")
    assert gap_mm(one, one | other, affine) == 0


def test_a_tilted_gantry_s_slices_are_as_far_apart_as_they_are():
    """Each slice 4 mm above the last and 3 mm to the front: straight up in the file is 5 mm in the patient."""
    one, other = np.zeros((2, 4, 4, 4), bool)
    one[1, 1, 0] = other[1, 1, 2] = True
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[1, 2] = 3
    assert gap_mm(one, other, affine) == pytest.approx(10)
    assert "10.0 mm apart" in told(Asked("distance", (), ()), ["a", "b"], [one, other], affine)
    assert "is 8.0 mm below" in told(Asked("below", (), ()), ["a", "b"], [one, other], affine)
    assert "is 6.0 mm behind" in told(Asked("behind", (), ()), ["a", "b"], [one, other], affine)
