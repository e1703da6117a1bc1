"""Sizes in a report's words: the interval that they leave open, exactly."""

from __future__ import annotations

import math

import pytest

from assistant.sizes import sizes_in


@pytest.mark.parametrize(
    ("text", "unit", "spans"),
    [
        ("It measures 4.1 mL.", "mL", [(4.05, 4.15)]),
        ("Es misst 2,9 ml.", "mL", [(2.85, 2.95)]),
        ("12 cc", "mL", [(11.5, 12.5)]),
        ("1,423 mm3", "mL", [(1.4225, 1.4235)]),
        ("1.200,5 cm³", "mL", [(1200.45, 1200.55)]),
        ("0.5 cm^3", "mL", [(0.45, 0.55)]),
        ("体积3.1毫升", "mL", [(3.05, 3.15)]),
        ("a 23-mm nodule", "mm", [(22.5, 23.5)]),
        ("a 2.3 x 1.9 x 2.0 cm mass", "mm", [(22.5, 23.5), (19.5, 20.5), (18.5, 19.5)]),
        ("2.3 cm × 19 mm", "mm", [(22.5, 23.5), (18.5, 19.5)]),
        ("3-4 cm", "mm", [(25, 45)]),
        ("between 3.0 and 4.0 cm", "mm", [(29.5, 40.5)]),
        ("less than 5 mm", "mm", [(0, 5)]),
        ("mehr als 3 cm", "mm", [(30, math.inf)]),
    ],
)
def test_a_size_is_read_with_its_unit_and_its_last_digit(text, unit, spans):
    (size,) = sizes_in(text)
    assert size.unit == unit
    assert size.spans == tuple(pytest.approx(span) for span in spans)
    assert text[size.start : size.end] == size.text


def test_the_first_of_two_listed_numbers_has_the_seconds_unit():
    one, other = sizes_in("They measure 2.9 and 3.1 mL, respectively.")
    assert (one.text, other.text) == ("2.9 mL", "3.1 mL")
    assert one.unit == other.unit == "mL"


@pytest.mark.parametrize(
    "text",
    [
        "T1 in 3D, L3-L4, m1, 2024",
        "3 mm from the midline",
        "a midline shift of 4 mm",
        "5 mm slices",
        "a distance of 12 mm",
        "a normal value of 3 mL",
        "1.5 T",
        "6 months",
    ],
)
def test_what_is_no_size_of_a_structure_is_left_out(text):
    assert sizes_in(text) == []


def test_a_bound_holds_what_is_beyond_its_number():
    (least,), (most,) = sizes_in("over 5 mL"), sizes_in("under 2 cm")
    assert [least.holds(ml) for ml in (4.9, 5.0, 5.1)] == [False, False, True]
    assert [most.holds(mm) for mm in (19.9, 20.0, 20.1)] == [True, False, False]
