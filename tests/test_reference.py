"""What words refer to, and questions that only go on from the one before."""

from __future__ import annotations

import pytest

from assistant.ellipsis import made_whole
from assistant.errors import QuestionError
from assistant.quantity import asks_alone
from assistant.reference import Known, operands
from data_recipes import ontology

GLOSSARY = ontology.glossary()
SHOWN = [f"{side} {name}" for name in ("hippocampus", "putamen", "thalamus") for side in ("left", "right")]
LEFT, RIGHT, STEM = "left hippocampus", "right hippocampus", "brainstem"


def known(*phrases: str, focus: tuple[str, ...] = (), **more: object) -> Known:
    """Masks m1, m2, .. of 1, 2, .. mL, spoken of in that order; the last reply spoke of the last one, or of `focus`."""
    masks = {f"m{n}": phrase for n, phrase in enumerate(phrases, 1)}
    rest = tuple(mask_id for mask_id in masks if mask_id not in focus)
    return Known(
        masks, glossary=GLOSSARY, shown=lambda: SHOWN, told=(*rest, *focus), focus=focus or tuple(masks)[-1:],
        volumes={mask_id: float(n) for n, mask_id in enumerate(masks, 1)}, **more,
    )  # fmt: skip


BOTH = known(LEFT, RIGHT, focus=("m1", "m2"))
BACK = known(LEFT, RIGHT, STEM, focus=("m1",))  # the last reply spoke of the first mask again


@pytest.mark.parametrize(
    ("words", "there", "wanted"),
    [
        ("it", BACK, [("m1",)]),  # what was spoken of last, not what was found last
        ("both", BACK, [("m1", "m3")]),
        ("them", known(LEFT, RIGHT, STEM, focus=("m1", "m2", "m3")), [("m1", "m2", "m3")]),
        ("the larger one", BOTH, [("m2",)]),
        ("the smaller of them", BOTH, [("m1",)]),
        ("the largest part", BOTH, []),  # an operation
        ("the first one", known(LEFT, RIGHT, STEM), [("m1",)]),
        ("the last one", BOTH, [("m2",)]),
        ("the second", BOTH, [("m2",)]),
        ("the left one", BACK, [("m1",)]),
        ("the right one", known("left putamen"), [("right putamen",)]),
        ("the other one", BOTH, [("m1",)]),
        ("it", known(LEFT, selected="m1", absent=("tumour",)), [("m1",)]),
        ("it", Known({"m1": LEFT}, told=("m1",), absent=("tumour",)), [("tumour",)]),  # asked for last, and not found
    ],
)
def test_words_refer_to_what_was_spoken_of(words, there, wanted):
    assert operands(words, there) == wanted


def test_a_name_of_several_structures_is_all_of_them_whichever_have_masks():
    """With a mask of one of its parts "the cerebellum" is still the whole; "the hippocampus" is the one spoken of."""
    parts = [f"{side} cerebellar {what}" for what in ("white matter", "cortex") for side in ("left", "right")]
    there = Known({"m1": parts[3], "m2": LEFT}, glossary=GLOSSARY, shown=lambda: [*SHOWN, *parts], told=("m1", "m2"))
    assert operands("the cerebellum", there) == [(*parts[:3], "m1")]
    assert operands("the hippocampus", there) == [("m2",)]


def test_an_id_that_there_is_not_is_said():
    with pytest.raises(QuestionError, match="there is no mask 'm9'; the masks of this session are: m1, m2"):
        operands("m9", BOTH)


ONE = known(LEFT)


@pytest.mark.parametrize(
    ("question", "before", "there", "wanted"),
    [
        ("and the right?", "How long is the left hippocampus?", ONE, "How long is the right hippocampus?"),
        ("no, the left one", "Show the right hippocampus", known(RIGHT), "Show the left hippocampus"),
        ("I meant the putamen", "Show the left hippocampus", ONE, "Show the left putamen"),  # of the same side
        ("what about the brainstem", "How big is it?", ONE, "How big is the brainstem?"),
        ("and m2?", "grow m1 by 3 mm", BOTH, "grow m2 by 3 mm"),
        ("and the other one?", "grow it by 3 mm", BOTH, "grow the other one by 3 mm"),
        ("and the right?", "volume?", ONE, "volume of the right hippocampus?"),
        ("and the right?", "Thanks!", ONE, "Show the right hippocampus"),
        ("und rechts?", "Zeige den linken Hippocampus", ONE, "Zeige the right hippocampus"),
        ("\u00bfy el derecho?", "Show the left hippocampus", ONE, "Show the right hippocampus"),
        ("\u53f3\u4fa7\u5462\uff1f", "Show the left hippocampus", ONE, "Show the right hippocampus"),
        ("left", "Is the left one bigger?", BOTH, "Show the left hippocampus"),
        # of two sides, of which one is named
        ("Is the left hippocampus smaller?", "", ONE, "Is the left hippocampus smaller than the right hippocampus?"),
        ("is the right putamen the larger one?", "", ONE,
         "is the right putamen the larger one than the left putamen?"),
        # whole questions
        ("Is the brainstem larger?", "", ONE, "Is the brainstem larger?"),
        ("Is the left hippocampus smaller than normal?", "", ONE, "Is the left hippocampus smaller than normal?"),
        ("left hippocampus", "How big is m1?", ONE, "left hippocampus"),
        ("and why is that?", "How big is m1?", ONE, "and why is that?"),
        ("and its diameter?", "How big is m1?", ONE, "and its diameter?"),
        ("no", "How big is m1?", ONE, "no"),
    ],
)
def test_what_only_goes_on_is_made_whole(question, before, there, wanted):
    assert made_whole(question, [before], there, asks_alone) == wanted


def test_fragments_go_on_from_the_last_whole_question():
    before = ["How long is the left putamen?", "and the right?"]
    assert made_whole("and the thalamus?", before, known("left putamen", "right putamen"), asks_alone) == (
        "How long is the right thalamus?"
    )
