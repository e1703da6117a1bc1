"""Quantities of masks: which are asked for, and the sentences that tell them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assistant.errors import QuestionError
from assistant.findings import Finding
from assistant.quantity import (
    EXTENTS,
    Asked,
    across,
    asks_of_unknown,
    measures_only,
    pieces,
    read,
    slices,
    told,
    unread,
    values,
)
from tests.test_reference import BOTH, GLOSSARY, LEFT, ONE, RIGHT, STEM, Known, known

THREE = known(LEFT, RIGHT, STEM)
GROWN = Known({"m1": LEFT, "m2": f"{LEFT} grown by 3 mm"}, made={"m2": "m1 grown by 3 mm"}, glossary=GLOSSARY,
              focus=("m2",))  # fmt: skip


@pytest.mark.parametrize(
    ("question", "there", "wanted"),
    [
        ("volume?", ONE, Asked("volume", ("m1",))),
        ("and its diameter?", ONE, Asked("length", ("m1",))),
        ("how long?", ONE, Asked("length", ("m1",))),
        ("in cm?", ONE, Asked("length", ("m1",), unit="cm")),
        ("in mm3?", ONE, Asked("volume", ("m1",), unit="mm\u00b3")),
        ("How big is the larger one?", BOTH, Asked("size", ("m2",))),
        ("the second one", BOTH, Asked("size", ("m2",))),
        ("percent of the brain?", ONE, Asked("share", ("m1",), ("brain",))),
        ("what percentage of the brainstem is m1?", THREE, Asked("share", ("m1",), ("m3",))),
        ("what is the ratio?", BOTH, Asked("ratio", ("m1", "m2"))),
        ("What is the maximum SUV?", ONE, Asked("values", ("m1",), unit="SUV")),
        ("SUVmax of m1?", BOTH, Asked("values", ("m1",))),
        ("What is the median intensity of the tumour?", Known({}, glossary=GLOSSARY), Asked("values", ("tumour",))),
        ("Which one has the higher density?", BOTH, Asked("brightest", ("m1", "m2"))),
        ("What is the highest uptake of m1?", BOTH, Asked("values", ("m1",))),
        ("Which of them lies highest?", BOTH, None),  # a place
        ("Which has the lowest uptake?", BOTH, Asked("darkest", ("m1", "m2"))),
        ("the maximum diameter?", ONE, Asked("length", ("m1",))),
        ("How many mL is that in litres?", ONE, Asked("volume", ("m1",), unit="L")),
        ("what is the asymmetry index?", BOTH, Asked("asymmetry", ("m1", "m2"))),
        ("asymmetry of the hippocampi", Known({}, glossary=GLOSSARY), Asked("asymmetry", (LEFT, RIGHT))),
        ("What is the asymmetry of m1 and m3?", THREE, None),  # of two sides alone
        ("what percentage of the scan is m1?", BOTH, Asked("share", ("m1",), of_scan=True)),
        ("How much of the scan do the hippocampi take up?", BOTH, Asked("share", ("m1", "m2"), of_scan=True)),
        ("share of the whole scan's volume?", ONE, Asked("share", ("m1",), of_scan=True)),
        ("ratio of the hippocampi to the brainstem", Known({}, glossary=GLOSSARY),
         Asked("share", (LEFT, RIGHT), (STEM,))),
        ("by how much?", BOTH, Asked("difference", ("m1", "m2"))),
        ("how big is m2 compared to m1?", BOTH, Asked("difference", ("m2", "m1"))),
        ("how much did it grow?", GROWN, Asked("change", ("m2", "m1"))),
        ("Which of them is the largest?", BOTH, Asked("largest", ("m1", "m2"))),
        ("Which is longer?", BOTH, Asked("longest", ("m1", "m2"))),
        ("both of them together in cm3?", BOTH, Asked("together", ("m1", "m2"), unit="cm\u00b3")),
        ("mean HU of m1?", BOTH, Asked("intensity", ("m1",), unit="HU")),
        ("How wide is it?", ONE, Asked("width", ("m1",))),
        ("how tall is the left putamen in cm?", ONE, Asked("height", ("left putamen",), unit="cm")),
        ("what is the AP diameter of the left putamen?", ONE, Asked("depth", ("left putamen",))),
        ("its dimensions?", ONE, Asked("dimensions", ("m1",))),
        ("How many slices contain it?", ONE, Asked("slices", ("m1",))),
        ("On which axial slice is the left putamen largest?", ONE, Asked("slices", ("left putamen",))),
        ("In welchen Schichten liegt es?", ONE, None),  # "welchen" is not read
        ("How many slices does the scan have?", ONE, None),  # of the scan
        ("What is the slice thickness?", ONE, None),
        ("wie breit ist es?", ONE, Asked("width", ("m1",))),
        ("where is it?", ONE, Asked("place", ("m1",))),
        ("How long is the left putamen in cm?", ONE, Asked("length", ("left putamen",), unit="cm")),
        ("Is it larger than the putamen?", ONE, Asked("largest", ("m1", "left putamen"), yes_or_no=True)),
        ("is the left one smaller?", BOTH, Asked("smallest", ("m1", "m2"), yes_or_no=True)),
        ("how big is it?", Known({"m1": LEFT}, glossary=GLOSSARY, absent=("tumour",)), Asked("size", ("tumour",))),
        ("does m1 overlap with m2?", BOTH, Asked("overlap", ("m1", "m2"))),
        ("which is denser?", BOTH, Asked("brightest", ("m1", "m2"))),
        ("percent of m1?", BOTH, Asked("share", ("m2",), ("m1",))),  # of itself says nothing
        ("Show me the larger of the left and the right hippocampus.", Known({}, glossary=GLOSSARY), None),
        ("Which hippocampus is larger?", Known({}, glossary=GLOSSARY), Asked("largest", (LEFT, RIGHT))),
        ("Find both hippocampi, then tell me which is brighter", Known({}, glossary=GLOSSARY),
         Asked("brightest", (LEFT, RIGHT))),
        ("which is larger, the left hippocampus or the brainstem?", Known({}, glossary=GLOSSARY), None),
        # other languages
        ("Quel hippocampe est le plus grand ?", BOTH, Asked("largest", ("m1", "m2"))),
        ("\u54ea\u4e00\u4fa7\u66f4\u5927\uff1f", BOTH, Asked("largest", ("m1", "m2"))),
        ("\u5927\u591a\u5c11\uff1f", BOTH, Asked("difference", ("m1", "m2"))),
        ("combien de ml ?", ONE, Asked("volume", ("m1",), unit="mL")),
        ("Welcher ist gr\u00f6\u00dfer?", BOTH, Asked("largest", ("m1", "m2"))),
        ("wie gro\u00df zusammen?", BOTH, Asked("together", ("m1", "m2"))),
        ("\u5de6\u4fa7\u6d77\u9a6c\u6709\u591a\u5927\uff1f", ONE, Asked("size", ("m1",))),
        # what is not understood to the last word, or has no mask yet, is the language model's
        ("why is it so big?", ONE, None),
        ("is that normal?", ONE, None),
        ("What does that mean?", ONE, None),
        ("How heavy is it?", ONE, None),
        ("how high is its uptake?", ONE, None),
        ("How big is the left putamen?", ONE, None),
        ("How big are the ventricles?", ONE, None),
        ("volume?", Known({}, glossary=GLOSSARY), None),
        ("what is the difference between CT and MR?", BOTH, None),
        ("by how much?", ONE, None),
    ],
)
def test_what_is_asked_for(question, there, wanted):
    assert read(question, there) == wanted


def test_an_id_that_there_is_not_is_said():
    with pytest.raises(QuestionError, match="there is no mask 'm9'"):
        read("volume of m9?", BOTH)


def finding(mask_id: str, phrase: str, ml: float, mm: float) -> Finding:
    return Finding(mask_id, phrase, True, 0.98, 0.8, ml, mm, 112.4, "HU", None, (-25.0, 3.0, 8.0), 0)


FOUND = {"m1": finding("m1", LEFT, 5.379, 49.8), "m2": finding("m2", RIGHT, 5.11, 51.0)}
THE_LEFT, THE_RIGHT = f"The {LEFT} (m1)", f"the {RIGHT} (m2)"


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Asked("volume", ("m1",)), f"{THE_LEFT} is 5.4 mL."),
        (Asked("volume", ("m1",), unit="mm\u00b3"), f"{THE_LEFT} is 5379 mm\u00b3."),
        (Asked("volume", ("m1",), unit="L"), f"{THE_LEFT} is 0.00538 L."),
        (Asked("size", ("m1",)), f"{THE_LEFT} is 5.4 mL and 49.8 mm at its longest."),
        (Asked("length", ("m1",), unit="cm"), f"{THE_LEFT} is 4.98 cm at its longest."),
        (Asked("intensity", ("m1",)), f"{THE_LEFT} has a mean intensity of 112 HU."),
        (Asked("place", ("m1",)), f"{THE_LEFT} is on the patient's left and has its centre at x -25.0, y 3.0, z 8.0 mm "
         "(x to the patient's right, y to the front, z up)."),
        (Asked("difference", ("m2", "m1")), f"The {RIGHT} (m2) is smaller than the {LEFT} (m1) by 0.3 mL (6 %): "
         "5.1 mL against 5.4 mL."),
        (Asked("largest", ("m1", "m2")),
         f"The larger of them is the {LEFT} (m1): 5.4 mL, against 5.1 mL of {THE_RIGHT}."),
        (Asked("longest", ("m1", "m2")),
         f"The longer of them is {THE_RIGHT}: 51.0 mm, against 49.8 mm of the {LEFT} (m1)."),
        (Asked("longest", ("m1", "m2"), yes_or_no=True), f"No. {THE_LEFT} has 49.8 mm, {THE_RIGHT} 51.0 mm."),
        (Asked("overlap", ("m1", "m2")), f"They share 10.4 mL: 193 % of the {LEFT} (m1) and 204 % of {THE_RIGHT}."),
        (Asked("largest", ("m2", "m1"), yes_or_no=True), f"No. The {RIGHT} (m2) is smaller than the {LEFT} (m1) by "
         "0.3 mL (6 %): 5.1 mL against 5.4 mL."),
        (Asked("ratio", ("m1", "m2")), f"{THE_LEFT} is 5.4 mL and {THE_RIGHT} 5.1 mL: a ratio of 1.06 to 1."),
        (Asked("asymmetry", ("m1", "m2")), f"{THE_LEFT} is larger than the {RIGHT} (m2) by 0.3 mL (6 %): 5.4 mL "
         "against 5.1 mL. That is 5.7 % of their mean, an asymmetry index of 5.7 %."),
        (Asked("share", ("m1",), of_scan=True),
         f"Of the volume of the scan, air and all, 10.4 mL, the {LEFT} (m1) is 52 % (5.4 mL)."),
        (Asked("together", ("m1", "m2")), f"Together, the {LEFT} (m1) and {THE_RIGHT} are 10.4 mL (m3)."),
        (Asked("share", ("m1",), ("m2",)), f"Of the volume of {THE_RIGHT}, 10.4 mL, the {LEFT} (m1) is 52 % (5.4 mL)."),
    ],
)  # fmt: skip
def test_quantities_are_told_from_the_measurements(asked, wanted):
    assert told(asked, FOUND, ("m3", 10.4)) == wanted


@pytest.mark.parametrize(
    ("question", "there", "wanted"),
    [
        ("How many tumours are there?", known("tumour"), ("m1",)),
        ("Is there a second tumour?", known("tumour"), ("m1",)),
        ("Is there another one?", ONE, None),  # of what?
        ("How many lesions are there?", Known({}, glossary=GLOSSARY), ("tumour",)),
        ("Is it in one piece?", ONE, ("m1",)),
        ("How many cerebellums are there?", Known({}, glossary=GLOSSARY), None),  # a name of several structures
        ("How many mL is the tumour?", known("tumour"), None),
    ],
)
def test_pieces_are_counted_of_what_is_one_structure(question, there, wanted):
    asked = read(question, there)
    assert (asked.members if asked is not None and asked.kind == "pieces" else None) == wanted


def test_how_many_pieces_a_mask_is():
    """Voxels of 0.5 mL: five in a corner-to-corner chain, and one apart."""
    mask = np.zeros((6, 6, 6), bool)
    mask[range(5), range(5), range(5)] = True
    apart = mask.copy()
    apart[0, 5, 5] = True
    one, two = (dataclasses.replace(FOUND["m1"], mask=m) for m in (mask, apart))
    drawn = " Pieces of under a twentieth of the largest are not drawn."
    assert pieces(Asked("pieces", ("m1",)), {"m1": one}, 0.5) == (
        f"The mask of the {LEFT} (m1) is one connected piece.{drawn}"
    )
    assert pieces(Asked("pieces", ("m1",)), {"m1": two}, 0.5) == (
        f"The mask of the {LEFT} (m1) is 2 separate pieces: 2.5 mL and 0.50 mL.{drawn}"
    )
    made = dataclasses.replace(one, made="m2 grown by 3 mm")
    assert pieces(Asked("pieces", ("m1",)), {"m1": made}, 0.5).endswith("piece.")


def test_the_values_in_a_mask_are_told_of_its_own_voxels():
    """1, 2, 3 and 10 in the mask, 99 outside: median 2.5, standard deviation the root of 12.5."""
    voxels = np.array([1, 2, 3, 10, 99], np.float32).reshape(5, 1, 1)
    mask = voxels < 50
    one = dataclasses.replace(FOUND["m1"], mask=mask, mean_intensity=4.0, intensity_unit="SUV")
    assert values(Asked("values", ("m1",)), {"m1": one}, voxels) == (
        f"The voxels of the {LEFT} (m1) are from 1.0 to 10 SUV, with a median of 2.5 SUV, a mean of 4.0 SUV and a "
        "standard deviation of 3.5 SUV."
    )


def test_shares_of_several_are_summed():
    """ "What percentage of the brain is the cerebellum?" has one answer, whatever the parts that it is made of."""
    words = told(Asked("share", ("m1", "m2"), ("m3",)), {**FOUND, "m3": FOUND["m1"]}, ("", 100.0), 10.0)
    assert words.endswith(f"is 5.4 % (5.4 mL) and {THE_RIGHT} is 5.1 % (5.1 mL); together 10 % (10.0 mL).")


@pytest.mark.parametrize(
    ("question", "alone"),
    [
        ("Where is the left putamen and how big is it?", True),
        ("Wo liegt die rechte Ohrspeicheldr\u00fcse und wie gro\u00df ist sie?", True),
        ("O\u00f9 est l'hippocampe gauche et quelle est sa taille ?", True),
        ("How long is the left putamen?", True),
        ("Is the left putamen small?", False),
        ("How much smaller is the left putamen?", False),
        ("Why is the left putamen there?", False),
    ],
)
def test_places_and_sizes_of_what_is_named_are_told_from_other_questions(question, alone):
    assert measures_only(question, GLOSSARY) is alone


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("How big is the zygoma?", True),
        ("Where is the nodulus vermis?", True),
        ("Where is the left putamen?", False),
        ("Where is the part that stores memories?", False),
        ("Is the zygoma big?", True),
        ("Why is the zygoma big?", False),
        ("How big is it?", False),
    ],
)
def test_questions_of_one_thing_that_has_no_name(question, unknown):
    assert asks_of_unknown(question, GLOSSARY) is unknown


@pytest.mark.parametrize("there", [Known({}, glossary=GLOSSARY), BOTH])
def test_a_ratio_of_two_sides_of_one_name_is_of_both(there):
    one, other = ("m1", "m2") if there is BOTH else (LEFT, RIGHT)
    asked = read("What is the ratio of left to right hippocampus volume?", there)
    assert asked == Asked("ratio", (one, other))


def test_how_far_a_mask_reaches_is_along_the_patients_axes():
    """5 x 3 x 4 voxels, whose grid runs to the left, to the foot and to the front, 2, 1 and 3 mm a voxel: 8 mm to the
    left, 2 to the foot, 9 to the front between the outermost centres."""
    mask = np.zeros((9, 9, 9), bool)
    mask[1:6, 2:5, 3:7] = True
    affine = np.array([[-2.0, 0, 0, 50], [0, 0, 3, -7], [0, -1, 0, 0], [0, 0, 0, 1]])
    found = {"m1": dataclasses.replace(FOUND["m1"], mask=mask)}
    said = {kind: across(Asked(kind, ("m1",)), found, affine) for kind in EXTENTS}
    assert said["width"] == f"{THE_LEFT} is 8.0 mm wide (from left to right)."
    assert said["depth"] == f"{THE_LEFT} is 9.0 mm deep (from front to back)."
    assert said["height"] == f"{THE_LEFT} is 2.0 mm high (from foot to head)."
    assert said["dimensions"] == (
        f"{THE_LEFT} is 8.0 mm wide (from left to right), 9.0 mm deep (from front to back) and 2.0 mm high "
        "(from foot to head)."
    )
    assert across(Asked("width", ("m1",), unit="cm"), found, affine).endswith("is 0.80 cm wide (from left to right).")


def test_slices_are_counted_along_the_axes_of_the_scan():
    """A mask of 2 x 3 x 1 voxels, and one of whose three axial slices the middle one is the fullest."""
    flat, full = np.zeros((2, 8, 9, 10), bool)
    flat[2:4, 5:8, 9] = True
    full[1, 1, 3:6] = True
    full[2, 1, 4] = True
    one = dataclasses.replace(finding("m1", LEFT, 6, 3), mask=flat)
    other = dataclasses.replace(finding("m2", RIGHT, 6, 3), mask=full)
    assert slices(Asked("slices", ("m1",)), {"m1": one}) == (
        f"The {LEFT} (m1) is in 1 axial slice (number 10 from the feet), 3 coronal slices (6 to 8 from the back, the "
        "largest cut in 6) and 2 sagittal slices (3 to 4 from the patient's left, the largest cut in 3). Slices are "
        "counted from 1."
    )
    assert "3 axial slices (4 to 6 from the feet, the largest cut in 5)" in slices(
        Asked("slices", ("m2",)), {"m2": other}
    )


def test_what_is_equal_as_shown_is_neither_larger_nor_smaller():
    same = {"m1": FOUND["m1"], "m2": dataclasses.replace(FOUND["m2"], volume_ml=5.41)}
    assert "are equal as measured: 5.4 mL." in told(Asked("largest", ("m1", "m2")), same, ("", 0.0))
    assert told(Asked("largest", ("m1", "m2"), yes_or_no=True), same, ("", 0.0)).startswith("No. ")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Wie groß ist der Balken?", "Balken"),
        ("Where is the corpus callosum?", "corpus callosum"),
        ("¿Dónde está el cuerpo calloso?", "cuerpo calloso"),
        ("Zeig mir den Balken", "Balken"),
        ("how much?", ""),
    ],
)
def test_what_a_question_names_is_what_neither_asks_nor_joins(question, words):
    assert unread(question) == words
