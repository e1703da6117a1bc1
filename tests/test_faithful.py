"""A reply against its own masks: every fault in a text that was put there is found, and nothing in an honest one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assistant.evidence import measure
from assistant.generate import Finding
from assistant.session import Reply
from assistant.volume import Volume
from tests.test_evaluate import Answers, finding
from training import faithful
from training.faithful import Checked, Checking, check, clauses

SHAPE = (20, 12, 12)
VOLUME = Volume.from_array(np.random.default_rng(0).normal(100, 5, SHAPE), np.diag([10.0, 10, 10, 1]), modality="MR")


def box(stop: int) -> np.ndarray:
    """So many mL: voxels of 1 mL in one row after another."""
    mask = np.zeros(SHAPE, bool)
    mask.reshape(-1)[:stop] = True
    return mask


def found(id: str, phrase: str, ml: int) -> Finding:
    return replace(finding(phrase, box(ml)), id=id, volume_ml=float(ml), presence=0.93, quality=0.81)


def checked(text: str, *findings: Finding, absent: tuple[str, ...] = (), question: str = "?") -> Checked:
    return check(question, [Reply(text, findings, {})], VOLUME, "case", "brain", absent)


LEFT, RIGHT = found("m1", "left hippocampus", 30), found("m2", "right hippocampus", 40)
HONEST = (
    "left hippocampus (m1), right hippocampus (m2), liver (not found)\n"
    "The left hippocampus (m1, 30.0 mL) is smaller than the right hippocampus (40.0 mL), by 10.0 mL, together 70.0 mL. "
    "The liver was not found in this scan, so it cannot be compared with the left hippocampus (m1)."
)
GONE = finding("liver", None)


def test_an_honest_reply_has_nothing_wrong():
    row = checked(HONEST, LEFT, RIGHT, GONE, absent=("liver",))
    assert row.wrong == ""
    assert (row.numbers, row.supported) == (4, 4)
    assert row.statements == row.agreeing > 8
    assert (row.named, row.unfound, row.untrue) == (2, 0, 0)


def test_the_first_line_says_one_thing_for_each_name():
    assert list(clauses(HONEST))[:3] == ["left hippocampus (m1)", "right hippocampus (m2)", "liver (not found)"]
    assert list(clauses("No scan is open. Open one.")) == ["No scan is open.", "Open one."]


@pytest.mark.parametrize(
    ("honest", "false", "complaint"),
    [
        ("by 10.0 mL", "by 11.0 mL", "11.0 is no measurement"),
        ("together 70.0", "together 80.0", "80.0 is no measurement"),
        ("is smaller than", "is larger than", "left hippocampus 30.0 mL, right hippocampus 40.0 mL"),
        ("is smaller than", "is not smaller than", "left hippocampus 30.0 mL, right hippocampus 40.0 mL"),
        ("The liver was not found", "The liver was found", "liver has no mask"),
        ("liver (not found)", "liver (m3)", "there is no m3"),
        ("The left hippocampus (m1,", "The left hippocampus was not found. It (m1,", "left hippocampus has a mask"),
        ("with the left hippocampus (m1)", "with the left hippocampus (m2)", "m2 is not the left hippocampus"),
        ("with the left hippocampus (m1)", "with the spleen", "spleen has no mask"),
    ],
)
def test_each_fault_is_found(honest, false, complaint):
    assert honest in HONEST
    row = checked(HONEST.replace(honest, false), LEFT, RIGHT, GONE)
    assert complaint in row.wrong
    assert row.supported < row.numbers or row.agreeing < row.statements


def test_numbers_are_of_the_voxels_not_of_what_the_finding_says():
    """A finding that claims 35 mL over a mask of 30: a text that copies the claim is caught."""
    claim = replace(LEFT, volume_ml=35.0)
    assert checked("The left hippocampus is 35.0 mL.", claim).supported == 0
    assert checked("The left hippocampus is 30.0 mL.", claim).supported == 1
    assert checked("You said 35 mL.", claim, question="Is it 35 mL?").supported == 1
    x, y, z = measure(VOLUME, box(30)).centroid_mm
    place = "The centre of m1 is at x {:.1f}, y {:.1f}, z {:.1f} mm."
    assert checked(place.format(x, y, z), LEFT).supported == 3
    assert checked(place.format(x, y, z + 3.3), LEFT).supported == 2
    assert checked("It was found with presence 0.93 and quality 0.81.", LEFT).supported == 2


def test_a_mask_of_what_is_not_there_is_a_hallucination_by_truth_alone():
    text = "liver (m1)\nYes, the liver (m1, 30.0 mL) is in this scan."
    row = checked(text, found("m1", "liver", 30), absent=("liver",))
    assert (row.named, row.unfound, row.untrue) == (1, 0, 1)
    assert row.agreeing == row.statements
    summary = faithful.summarise([row, checked(HONEST, LEFT, RIGHT, GONE)])
    assert summary["statements_agree"]["value"] == summary["numbers_supported"]["value"] == 1
    assert (summary["named_not_there"]["hits"], summary["named_not_there"]["total"]) == (1, 3)
    assert summary["named_without_mask"]["hits"] == 0
    assert (summary["replies_hallucinating"]["hits"], summary["replies_hallucinating"]["total"]) == (1, 2)
    assert summary["wrong"][0]["wrong"] == "liver is not there"


def test_a_session_is_checked_as_it_answers_and_may_speak_of_earlier_masks():
    says = {"left": ("left hippocampus", box(30)), "liver": ("liver", None)}

    class Numbered(Answers):
        def ask(self, text: str, points=None) -> Reply:
            return replace(super().ask(text), text="The left hippocampus (m1) is 30.0 mL.")

    session = Checking(Numbered(says), VOLUME, "case", "brain", ["liver"])
    session.ask("left?")
    session.ask("liver?")
    session.undo()
    session.undo()
    session.ask("liver?")  # the left hippocampus was taken back: nobody has looked for it now
    assert [row.wrong == "" for row in session.rows] == [True, True, False]
    assert session.rows[2].unfound == 1
