"""What was found so far, listed; and doubts, which change no measurement."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assistant import recap
from assistant.recap import all_found, asks_for_all, asks_to_undo, doubted, stood_by
from assistant.volume import Volume
from tests.test_quantity import FOUND, THREE
from tests.test_reference import GLOSSARY, LEFT, ONE, Known

ABSENT = dataclasses.replace(FOUND["m1"], id="", phrase="tumour", present=False, presence=0.27, volume_ml=None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("what did you find so far?", True),
        ("Summarise", True),
        ("summarize the findings please", True),
        ("list all masks", True),
        ("Fasse zusammen", True),
        ("\u603b\u7ed3", True),
        ("list all structures", False),  # of the scan, which are looked for
        ("what did you find in the liver?", False),
        ("Summarise the literature", False),
    ],
)
def test_what_asks_for_all_that_was_found(text, wanted):
    assert asks_for_all(text) is wanted


def test_the_list_has_each_mask_once_with_its_numbers_and_what_is_missing():
    refined = dataclasses.replace(FOUND["m1"], volume_ml=6.0, version=2)
    untaught = dataclasses.replace(ABSENT, phrase="spleen", taught=False)
    assert all_found([FOUND["m1"], FOUND["m2"], ABSENT, untaught, ABSENT, refined]) == (
        "2 masks so far:\n"
        "- m1 left hippocampus: 6.0 mL, 49.8 mm at its longest\n"
        "- m2 right hippocampus: 5.1 mL, 51.0 mm at its longest\n"
        "Looked for and not found: tumour.\n"
        "Never taught, so that nothing can be said of them: spleen."
    )
    assert all_found([]).startswith("Nothing has been looked for yet")


@pytest.mark.parametrize(
    ("text", "there", "wanted"),
    [
        ("That's wrong, it is bigger", ONE, ("m1",)),
        ("It must be at least 10 mL", ONE, ("m1",)),
        ("Are you sure?", ONE, ("m1",)),
        ("I think it is on the left", ONE, ("m1",)),
        ("Are you sure?", Known({"m1": LEFT}, glossary=GLOSSARY, absent=("tumour",)), ("tumour",)),
        ("Is it bigger?", ONE, ()),  # a question
        ("no, the right one", ONE, ()),  # a correction of what was asked for
        ("that's wrong, I meant the brainstem", ONE, ()),
        ("are you sure that the left hippocampus is there?", THREE, ()),  # not what was spoken of last
    ],
)
def test_what_is_doubted(text, there, wanted):
    assert doubted(text, there) == wanted


def test_a_doubt_changes_no_number():
    words = stood_by([FOUND["m1"]])
    assert words.startswith("The left hippocampus (m1) measures 5.4 mL, 49.8 mm at its longest. Its presence is 0.98, ")
    assert "saying otherwise does not change them" in words
    assert stood_by([ABSENT]).startswith("The tumour was looked for and not found: its presence is 0.27.")


def test_words_that_undo_are_known():
    assert [text for text in ("undo that", "Take it back!", "undo the left one", "redo") if asks_to_undo(text)] == [
        "undo that", "Take it back!", "redo"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Describe this scan.", True),
        ("What's in this image?", True),
        ("What am I looking at?", True),
        ("Was zeigt dieser Scan?", True),
        ("How many structures can you find in this scan?", True),
        ("How many structures are larger than the brainstem?", False),
        ("Describe the tumour.", False),
        ("What is this?", False),
    ],
)
def test_a_description_is_of_the_scan(text, asked):
    assert recap.asks_to_describe(text) is asked


def test_a_description_has_kind_grid_and_what_a_first_look_shows():
    volume = Volume.from_array(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4), np.diag([1, 2, 0.5, 1.0]), "MR")
    words = recap.described(volume, ["left amygdala", "right amygdala", "brainstem", "left putamen"])
    assert "This is MR of 2 x 3 x 4 voxels, 1.0 x 2.0 x 0.5 mm each" in words
    assert "shows 4: amygdala (left and right), brainstem, left putamen." in words
    assert "by its name" in recap.described(volume, [])
