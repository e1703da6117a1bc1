"""Words of a reply and what they are tied to: names to masks, numbers to how they were measured."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from assistant.desk import chips
from assistant.desk.chips import Told
from assistant.desk.page import _rich
from assistant.findings import Finding
from assistant.volume import Volume

VOLUME = Volume.from_array(np.arange(1000, dtype=np.float32).reshape(10, 10, 10), np.diag([1.0, 2, 2.5, 1]), "CT")
LEFT = Finding("m1", "left hippocampus", True, 0.98, 0.87, 2.9, 38.1, 112.0, "HU", None, (0, 0, 0), 0)
RIGHT = Finding("m2", "right hippocampus", True, 0.97, 0.41, 3.1, 40.2, 110.0, "HU", None, (0, 0, 0), 0)
LIVER = Finding("", "liver", False, 0.03, None, None, None, None, "", None, None, 0)
TUMOUR = Finding("", "tumour", False, 0.0, None, None, None, None, "", None, None, 0, False)
TOLD = Told({"m1": LEFT, "m2": RIGHT}, {"liver": LIVER, "tumour": TUMOUR}, ["m1", "m2"])


def buttons(text: str, told: Told = TOLD) -> list[tuple[str, str, str]]:
    """(name, value or title, words) of each button of a marked text."""
    page = chips.marked(text, told, VOLUME, _rich)
    found = re.findall(r'<button type="button" name="(\w+)" (?:value="(\w+)" )?class="[^"]*" (?:style="[^"]*" )?'
                       r'title="([^"]*)">([^<]*)</button>', page)  # fmt: skip
    return [(name, value or title, words) for name, value, title, words in found]


def test_names_and_ids_lead_to_their_masks():
    text = "left hippocampus (m1), m2 (right hippocampus)\nThe Left Hippocampus is small, m2 is not, m22 is none."
    assert [(value, words) for _, value, words in buttons(text)] == [
        ("m1", "left hippocampus (m1)"), ("m2", "m2 (right hippocampus)"), ("m1", "Left Hippocampus"), ("m2", "m2"),
    ]  # fmt: skip
    page = chips.marked(text, TOLD, VOLUME, _rich)
    assert page.count('<span class="dx-said">') == 2
    assert "<br>" in page


def test_the_id_that_stands_behind_a_name_decides():
    """Two masks of one structure: each name goes with its own id."""
    clicked = dataclasses.replace(LEFT, id="m3", volume_ml=1.2)
    told = Told({"m1": LEFT, "m3": clicked}, {}, ["m3"])
    text = "left hippocampus (m1) and left hippocampus (m3); the left hippocampus is 1.2 mL."
    assert [value for name, value, _ in buttons(text, told) if name == "mask"] == ["m1", "m3", "m3"]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("The left hippocampus is 2.9 mL.",
         "2.9 mL: 580 voxels of 1.0 x 2.0 x 2.5 mm, mask m1, presence 0.98, quality 0.87"),
        ("The right hippocampus (m2) is 3.1 mL.",
         "3.1 mL: 620 voxels of 1.0 x 2.0 x 2.5 mm, mask m2, presence 0.97, quality 0.41"),
        ("It is 38.1 mm long.", "38.1 mm: the largest distance between two voxel centres of mask m1"),
        ("Its mean is 110 HU.", "110 HU: the mean of 620 voxels of mask m2"),
        ("The left is smaller by 0.2 mL (6 %).", "0.2 mL: the difference of 2.9 mL (m1) and 3.1 mL (m2)"),
        ("Together they are 6.0 mL.", "6.0 mL: the sum of 2.9 mL (m1) and 3.1 mL (m2)"),
    ],
)  # fmt: skip
def test_a_number_says_how_it_was_made(text, how):
    assert [value for name, value, _ in buttons(text) if name == "how"] == [how]


def test_a_number_of_no_mask_is_plain():
    assert [name for name, *_ in buttons("Masses over 30 mm, 2.9 mm or 12.9 mL are large; the year 2.9.")] == []


def test_what_is_uncertain_not_found_or_not_taught_looks_different():
    page = chips.marked("left hippocampus (m1), right hippocampus (m2), liver (not found), tumour (never taught)", TOLD,
                        VOLUME, _rich)  # fmt: skip
    assert page.count("dx-doubt-chip") == 1
    absent, untaught = (re.search(rf'<span class="{kind}" title="([^"]*)" tabindex="0">([^<]*)<', page)
                        for kind in ("dx-absent-chip", "dx-untaught-chip"))  # fmt: skip
    assert absent is not None
    assert untaught is not None
    assert absent.groups() == ("liver: looked for and not found, presence 0.03", "liver (not found)")
    assert untaught.groups() == ("tumour: never taught: it may be there", "tumour (never taught)")
    assert "quality 0.41 (low: look at the mask)" in page


def test_how_a_mask_was_made_is_told():
    grown = dataclasses.replace(LEFT, id="m3", phrase="left hippocampus grown by 5 mm", made="m1 grown by 5 mm")
    told = Told({"m1": LEFT, "m3": grown}, {}, ["m3"])
    assert chips.provenance(grown) == "m3 = m1 grown by 5 mm; presence 0.98, quality 0.87 of its parts"
    assert [(v, w) for _, v, w in buttons("The left hippocampus grown by 5 mm (m3) is 99 mL.", told)] == [
        ("m3", "left hippocampus grown by 5 mm (m3)")
    ]
    again = dataclasses.replace(LEFT, version=2, made="refined with a box")
    assert chips.provenance(again).startswith("m1 left hippocampus, version 2: refined with a box; ")


def test_no_markup_comes_through():
    bad = dataclasses.replace(LEFT, phrase='x"><script>')
    page = chips.marked('The x"><script> (m1) <img> **2.9 mL**', Told({"m1": bad}, {}), VOLUME, _rich)
    assert "<script" not in page
    assert "<img" not in page
    assert 'title="m1 x&quot;&gt;&lt;script&gt;' in page
