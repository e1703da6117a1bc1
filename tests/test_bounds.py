"""Bounds that a question asks whether a mask keeps, and the answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assistant.bounds import read
from assistant.errors import QuestionError
from assistant.quantity import across, told
from tests.test_quantity import finding
from tests.test_reference import BOTH, GLOSSARY, LEFT, ONE, Known


@pytest.mark.parametrize(
    ("question", "there", "kind", "members", "span", "unit"),
    [
        ("Is it wider than 7 mm?", ONE, "width", ("m1",), (7, np.inf), ""),
        ("is m2 narrower than 2 cm?", BOTH, "width", ("m2",), (0, 20), "cm"),
        ("Is the left putamen taller than 3 cm?", ONE, "height", ("left putamen",), (30, np.inf), "cm"),
        ("Is its longest diameter under 3 cm?", ONE, "length", ("m1",), (0, 30), "cm"),
        ("is it larger than 4 cm?", ONE, "length", ("m1",), (40, np.inf), "cm"),
        ("Is its volume above 5 mL?", ONE, "volume", ("m1",), (5, np.inf), ""),
        ("does m1 exceed 3 cm3?", BOTH, "volume", ("m1",), (3, np.inf), ""),
        ("Are both of them at least 2 mL?", BOTH, "volume", ("m1", "m2"), (2, np.inf), ""),
        ("Ist es breiter als 7 mm?", ONE, "width", ("m1",), (7, np.inf), ""),
    ],
)
def test_what_is_asked_of_which_mask(question, there, kind, members, span, unit):
    asked = read(question, there)
    assert asked is not None
    assert asked.bound is not None
    assert (asked.kind, asked.members, asked.unit) == (kind, members, unit)
    assert asked.bound.spans[0] == pytest.approx(span)


@pytest.mark.parametrize(
    "question",
    [
        "How wide is it?",
        "Is it 7 mm wide?",  # no bound
        "Is it not wider than 7 mm?",  # yes would say either
        "Is it wider than 7 mL?",
        "Is its volume above 3 cm?",
        "Is the left putamen larger than 5 mL?",  # of a structure: `assistant.comparison`
        "Is it wider than 7 mm and enhancing?",
        "Why is it wider than 7 mm?",
    ],
)
def test_what_is_left_to_others(question):
    assert read(question, ONE) is None


def test_nothing_is_asked_where_there_is_nothing():
    assert read("Is it wider than 7 mm?", Known({}, glossary=GLOSSARY)) is None
    with pytest.raises(QuestionError, match="m7"):
        read("Is m7 wider than 7 mm?", BOTH)


def test_the_answer_is_yes_or_no_with_what_was_measured():
    """A mask of 5 x 4 x 3 voxels of 2 mm, centre to centre 8 x 6 x 4 mm; the bound itself is not kept by 8 mm."""
    mask = np.zeros((9, 9, 9), bool)
    mask[1:6, 2:6, 3:6] = True
    one = dataclasses.replace(finding("m1", LEFT, 0.48, 10.8), mask=mask)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])

    def answer(question: str) -> str:
        asked = read(question, ONE)
        assert asked is not None
        by_extent = asked.kind in ("width", "depth", "height")
        return across(asked, {"m1": one}, grid) if by_extent else told(asked, {"m1": one}, ("", 0.0))

    assert answer("Is it wider than 7 mm?") == f"Yes. The {LEFT} (m1) is 8.0 mm wide (from left to right)."
    assert answer("Is it wider than 8 mm?").startswith("No. ")
    assert answer("Is it less than 5 mm high?") == f"Yes. The {LEFT} (m1) is 4.0 mm high (from foot to head)."
    assert answer("Is it longer than 1 cm?") == f"Yes. The {LEFT} (m1) is 1.08 cm at its longest."
    assert answer("Is it over 1 mL?") == f"No. The {LEFT} (m1) is 0.48 mL."
