"""What is asked of masks in words: by id, by name, as "it", "both" and "the other one"."""

from __future__ import annotations

import pytest

from assistant.errors import QuestionError
from assistant.operation_words import read
from assistant.operations import Operation
from assistant.reference import Known, recalled
from data_recipes import ontology

GLOSSARY = ontology.glossary()
MASKS = {"m1": "left hippocampus", "m2": "right hippocampus", "m3": "brainstem"}
TWO = Known({"m1": "left hippocampus", "m2": "right hippocampus"}, glossary=GLOSSARY)
THREE = Known(MASKS, glossary=GLOSSARY)
NECK = ["left parotid gland", "right parotid gland", "mandible", "hyoid bone"]
NONE = Known({}, glossary=GLOSSARY, shown=lambda: NECK)


def op(kind: str, *groups: str, mm: float = 0, direction: str = "") -> Operation:
    return Operation(kind, tuple(tuple(group.split("|")) for group in groups), mm, direction)


@pytest.mark.parametrize(
    ("question", "known", "wanted"),
    [
        ("Quel hippocampe est le plus grand ?", NONE, []),  # larger
        # one mask
        ("Grow it by 5 mm.", THREE, [op("grow", "m3", mm=5)]),
        ("Please grow m1 by 0.5 cm", THREE, [op("grow", "m1", mm=5)]),
        ("Could you dilate the left hippocampus by 2,5 mm?", THREE, [op("grow", "m1", mm=2.5)]),
        ("Add a 10 mm margin around the brainstem", THREE, [op("grow", "m3", mm=10)]),
        ("m2 with a 3 mm margin", THREE, [op("grow", "m2", mm=3)]),
        ("Now shrink both by 2 millimetres", TWO, [op("shrink", "m1", mm=2), op("shrink", "m2", mm=2)]),
        ("Smooth this mask", THREE, [op("smooth", "m3", mm=1.5)]),
        ("smooth m1 by 3 mm", THREE, [op("smooth", "m1", mm=3)]),
        ("Fill the holes in m2", THREE, [op("fill", "m2")]),
        ("Fill holes", THREE, [op("fill", "m3")]),
        ("Keep only the largest component of m1", THREE, [op("largest", "m1")]),
        ("Remove the small islands", THREE, [op("largest", "m3")]),
        ("Remove the small islands of the right hippocampus", THREE, [op("largest", "m2")]),
        # several
        ("Join both", TWO, [op("union", "m1|m2")]),
        ("Merge the hippocampi", THREE, [op("union", "m1|m2")]),
        ("m1 + m2 + m3", THREE, [op("union", "m1|m2|m3")]),
        ("Combine m1 with the mandible", THREE, [op("union", "m1|mandible")]),
        ("m2 minus m1", THREE, [op("minus", "m2", "m1")]),
        ("M2 - M1.", THREE, [op("minus", "m2", "m1")]),
        ("Subtract m1 from the brainstem", THREE, [op("minus", "m3", "m1")]),
        ("Take the other one out of it", TWO, [op("minus", "m2", "m1")]),
        ("the brainstem without the left hippocampus", THREE, [op("minus", "m3", "m1")]),
        ("Everything except the brainstem", THREE, [op("minus", "m1|m2", "m3")]),
        ("Show everything but m1", TWO, [op("minus", "m2", "m1")]),
        ("m1 + m2 - m3", THREE, [op("minus", "m1|m2", "m3")]),
        ("m1 - m2 - m3", THREE, [op("minus", "m1", "m2", "m3")]),
        ("Intersect m1 and m3", THREE, [op("intersect", "m1", "m3")]),
        ("the overlap of m1 and m2", THREE, [op("intersect", "m1", "m2")]),
        ("m1 & m2", THREE, [op("intersect", "m1", "m2")]),
        ("the part of m1 inside m3", THREE, [op("intersect", "m1", "m3")]),
        # places
        ("only the part above m1", THREE, [op("part", "m3", "m1", direction="above")]),
        ("Only the part of m3 that is to the left of m2", THREE, [op("part", "m3", "m2", direction="to the left of")]),
        ("Keep what is in front of the left hippocampus", THREE, [op("part", "m3", "m1", direction="in front of")]),
        ("Cut off the part of m3 below m1", THREE, [op("cut", "m3", "m1", direction="below")]),
        ("Remove the parts to the left of m2", THREE, [op("cut", "m3", "m2", direction="to the left of")]),
        ("Segment the half of the brainstem that is nearest to m1.", THREE, [op("nearest", "m3", "m1")]),
        ("Show the part of m1 closest to m3", THREE, [op("nearest", "m1", "m3")]),
        ("Show me the anterior half of it.", THREE, [op("half", "m3", direction="in front of")]),
        ("the left half of the mandible", NONE, [op("half", "mandible", direction="to the left of")]),
        ("Show half of the brainstem.", THREE, []),
        ("the part of m3 within 10 mm of m1", THREE, [op("near", "m3", "m1", mm=10)]),
        ("the part of the parotids behind the mandible", NONE,
         [op("part", "left parotid gland|right parotid gland", "mandible", direction="behind")]),
    ],
)  # fmt: skip
def test_what_is_asked_of_masks(question, known, wanted):
    assert read(question, known) == wanted


@pytest.mark.parametrize(
    "question",
    [
        "Has the left hippocampus grown by 5 mm?",
        "Where is the brainstem?",
        "Is m1 above m2?",
        "What is the largest part of the brain?",
        "Do m1 and m2 overlap?",
        "Show the left hippocampus.",
        "Show both hippocampi, but not the left one.",
        "Show the hippocampi without the left hippocampus",
        "Segment everything except the parotids.",  # none of which was found: what the scan shows is meant
        "Outline the mandible and the larynx, not the spinal cord.",
        "A CT without contrast",
        "Show me the larger of the two parotids.",
        "Show the left hippocampus but also the brainstem.",
        "Show the left hippocampus but not the brainstem.",  # read by assistant.composition
        "Find the structure above the brainstem",
        "Add a note",
    ],
)
def test_what_is_left_to_others(question):
    assert read(question, THREE) == []


def test_it_is_the_selected_mask_and_the_other_one_is_its_counterpart():
    chosen = Known(MASKS, selected="m1", glossary=GLOSSARY)
    assert read("Grow it by 5 mm", chosen) == [op("grow", "m1", mm=5)]
    assert read("Smooth the other one", chosen) == [op("smooth", "m2", mm=1.5)]
    alone = Known({"m1": "left hippocampus"}, glossary=GLOSSARY)
    assert read("Smooth the other one", alone) == [op("smooth", "right hippocampus", mm=1.5)]
    assert Known({"m1": "liver"}).other == ""
    assert Known({}).other == ""


def test_what_was_made_is_no_part_of_everything():
    known = Known({**MASKS, "m4": "brainstem grown by 5 mm"}, made={"m4": "m3 grown by 5 mm"}, glossary=GLOSSARY)
    assert read("everything except m1", known) == [op("minus", "m2|m3", "m1")]


@pytest.mark.parametrize(
    ("question", "known", "words"),
    [
        ("grow m9 by 5 mm", TWO, "there is no mask 'm9'; the masks of this session are: m1, m2"),
        ("grow it", TWO, "by how many millimetres"),
        ("grow it by 5 mm", NONE, "no mask yet to grow"),
        ("grow it by 900 mm", TWO, "900 mm is no length"),
        ("shrink it by 0 mm", TWO, "0 mm is no length"),
        ("m1 - m2 + m3", THREE, "that is two operations"),
        ("only the part of m1 below the flux capacitor", TWO, '"the flux capacitor" is no structure that I know'),
        ("subtract the flux capacitor from m1", TWO, '"the flux capacitor" is no structure that I know'),
    ],
)
def test_what_cannot_be_done_is_said(question, known, words):
    with pytest.raises(QuestionError, match=words):
        read(question, known)


def test_masks_are_recalled_by_id_and_by_words():
    assert recalled("Is m1 larger than m2?", THREE) == ("m1", "m2")
    assert recalled("How large are both?", TWO) == ("m1", "m2")
    assert recalled("And the other one?", TWO) == ("m1",)
    assert recalled("And the other one?", Known({"m1": "left hippocampus"}, glossary=GLOSSARY)) == (
        "right hippocampus",
    )
    assert recalled("Show both hippocampi", TWO) == ()
    assert recalled("Where is it?", TWO) == ()
    assert recalled("<obs>m7 liver: 3 mL</obs> Show the liver.", TWO) == ()
