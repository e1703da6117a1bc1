"""Reports against measurements: masks are balls whose size and place are known; the words are read by the rules."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ModelError, QuestionError
from assistant.evidence import measure
from assistant.findings import Finding
from assistant.glossary import Glossary
from assistant.midline import Midline
from assistant.report import Line, Report, ground, read_report
from assistant.session import Session
from assistant.volume import Volume

AFFINE = np.array([[-2.0, 0, 0, 80], [0, 2.0, 0, -80], [0, 0, 2.0, -60], [0, 0, 0, 1]])  # stored right to left
SHAPE = (80, 80, 60)
VOLUME = Volume.from_array(np.random.default_rng(0).normal(100, 5, SHAPE).astype(np.float32), AFFINE, "MR")
MIDDLE = Midline(np.zeros(3), np.array([1.0, 0, 0]))
GLOSSARY = Glossary(
    {
        "hippocampus": ("left hippocampus", "right hippocampus", "hippocampus"),
        "hippocampi": ("left hippocampus", "right hippocampus"),
        "thalamus": ("left thalamus", "right thalamus"), "thalami": ("left thalamus", "right thalamus"),
        "tumour": ("tumour",), "mass": ("tumour",), "tumor": ("tumour",), "brainstem": ("brainstem",),
        "liver": ("liver",), "larynx": ("larynx",),
    },
    {},
    {"left": "left", "right": "right", "linke": "left"},
)  # fmt: skip
# phrase -> centre (RAS+ mm), radius (mm), presence, quality. Balls of 9, 10.2 and 14 mm have 3.1, 4.7 and 11.4 mL.
BALLS = {
    "left hippocampus": ((-30, 0, 0), 9, 0.98, 0.85),
    "right hippocampus": ((30, 0, 0), 10.2, 0.98, 0.85),
    "right thalamus": ((14, 10, 10), 8, 0.97, 0.85),
    "tumour": ((36, 20, 10), 14, 0.97, 0.8),
    "brainstem": ((0, -20, -30), 12, 0.6, 0.85),  # its presence is doubtful
}
UNTAUGHT = {"liver"}


def finding(phrase: str, number: int) -> Finding:
    if phrase not in BALLS:
        taught = phrase not in UNTAUGHT
        return Finding("", phrase, False, 0.03, None, None, None, None, "", None, None, 0, taught)
    centre, radius, presence, quality = BALLS[phrase]
    places = VOLUME.to_world(np.moveaxis(np.indices(VOLUME.shape), 0, -1))
    mask = np.linalg.norm(places - np.array(centre), axis=-1) <= radius
    m = measure(VOLUME, mask)
    return Finding(
        f"m{number}", phrase, True, presence, quality, m.volume_ml, m.longest_diameter_mm, m.mean_intensity, "",
        VOLUME.to_native(mask), m.centroid_mm, 0,
    )  # fmt: skip


def grounded(text: str, middle: Midline | None = MIDDLE) -> Report:
    known: list[Finding] = []

    def find(phrase: str) -> Finding:
        known.append(finding(phrase, 1 + sum(one.present for one in known)))
        return known[-1]

    return ground(text, find, GLOSSARY, VOLUME, lambda: middle)


def only(text: str, middle: Midline | None = MIDDLE) -> Line:
    (line,) = grounded(text, middle).lines
    return line


def said(line: Line, verdict: str) -> str:
    return " | ".join(check.text for check in line.checks if check.verdict == verdict)


def test_a_right_statement_agrees_and_has_its_mask():
    line = only("The left hippocampus measures 3.0 mL.")
    assert (line.status, line.masks) == ("agrees", ("m1",))
    assert "the report says 3.0 mL; measured 3.1 mL (2.6 to 3.7 by its quality of 0.85)" in said(line, "agrees")


def test_a_wrong_size_is_flagged_with_both_numbers():
    line = only("The left hippocampus measures 4.9 mL.")
    assert line.status == "contradicted"
    assert "the report says 4.9 mL; measured 3.1 mL (2.6 to 3.7" in said(line, "contradicted")
    assert "it fits the right hippocampus (m2), which measures 4.7 mL" in said(line, "contradicted")
    assert line.masks == ("m1", "m2")


def test_the_estimated_quality_is_the_margin():
    """3.1 mL with a quality of 0.85 may be anything from 2.6 to 3.7 mL: nothing in between is held against a report."""
    assert only("The left hippocampus is 2.7 mL.").status == "agrees"
    assert only("The left hippocampus is 3.6 mL.").status == "agrees"
    assert only("The left hippocampus is 2.4 mL.").status == "contradicted"
    assert only("The left hippocampus is less than 4 mL.").status == "agrees"
    assert only("The left hippocampus is more than 4 mL.").status == "contradicted"


def test_lengths_are_checked_against_what_a_mask_can_measure():
    """A ball of 28 mm: no length can be 60 mm, nor 5 mm; the longest of three must be the longest diameter."""
    assert only("There is a 28 mm mass.").status == "agrees"
    assert "the report says 60 mm; measured longest diameter 28" in said(only("There is a 60 mm mass."), "contradicted")
    assert only("There is a 5 mm mass.").status == "contradicted"
    assert only("A 2.8 x 2.6 x 2.7 cm mass.").status == "agrees"
    assert only("A 1.3 x 0.9 x 1.0 cm mass.").status == "contradicted"


def test_several_sizes_go_to_several_structures():
    line = only("The left and right hippocampus measure 3.0 and 3.0 mL.")
    assert line.status == "contradicted"
    assert said(line, "contradicted").startswith("the report says 3.0 mL; measured 4.7 mL")
    assert only("The hippocampi together measure 7.8 mL.").status == "agrees"
    assert only("The hippocampi together measure 3.0 mL.").status == "contradicted"


def test_what_is_denied_and_found_is_contradicted():
    line = only("No evidence of tumour.")
    assert (line.status, line.masks) == ("contradicted", ("m1",))
    assert said(line, "contradicted") == "the report says no tumour; one was found (m1), presence 0.97"
    line = only("No larynx.")
    assert (line.status, line.masks) == ("agrees", ())
    assert said(line, "agrees") == "no larynx was found either, presence 0.03"


def test_what_is_denied_in_one_place_may_be_in_another():
    """The tumour lies beside the right hippocampus and far from the left one."""
    line = only("No mass in the left hippocampus.")
    assert line.status == "agrees"
    assert "tumour (m1) was found, but not in the left hippocampus (m2)" in said(line, "agrees")
    assert only("No mass in the right hippocampus.").status == "contradicted"
    assert only("No mass in the liver.").status == "unsure"


def test_what_is_stated_and_absent_is_contradicted():
    line = only("The larynx is seen.")
    assert said(line, "contradicted") == "the report says that there is a larynx; none was found, presence 0.03"
    assert only("Possible larynx.").status == "unsure"


def test_a_name_without_a_side_may_be_either():
    """Only the right thalamus is found: that is a thalamus, and not both of them."""
    line = only("The thalamus is bright.")
    assert (line.status, line.masks) == ("agrees", ("m1",))
    assert only("Both thalami are bright.").status == "contradicted"


def test_the_wrong_side_is_flagged_with_both_sides():
    line = only("The left thalamus is bright.")
    expected = "the report says left; found on the right (m1), none on the left, presence 0.03"
    assert (line.status, said(line, "contradicted")) == ("contradicted", expected)
    assert line.masks == ("m1",)
    line = only("There is a mass on the left.")
    assert "the report says left; found on the right, 36.0 mm from the middle" in said(line, "contradicted")
    assert "it lies on the right, 36.0 mm from the middle" in said(only("There is a mass on the right."), "agrees")


def test_a_place_without_a_side_is_looked_at_too():
    line = only("There is a mass in the brainstem.")
    assert line.status == "unsure"
    assert re.fullmatch(r"it lies \d\d\.\d mm from the brainstem \(m2\)", said(line, "unsure"))
    line = only("There is a mass in the right hippocampus.")
    assert "it lies in the right hippocampus or next to it (m2)" in said(line, "agrees")


def test_a_side_that_cannot_be_told_is_no_contradiction():
    line = only("There is a mass on the left.", middle=None)
    assert line.status == "unsure"
    assert "no paired structures" in said(line, "unsure")


def test_comparisons_are_checked_on_measurements():
    assert only("The left hippocampus is smaller than the right.").status == "agrees"
    line = only("The left hippocampus is larger than the right.")
    assert line.status == "contradicted"
    measured = "measured left hippocampus (m1) 3.1 mL, right hippocampus (m2) 4.7 mL"
    assert said(line, "contradicted") == f"the report says larger; {measured}: it is smaller"
    assert only("The left hippocampus is not smaller than the right.").status == "contradicted"
    assert only("The hippocampi have the same size.").status == "contradicted"


def test_volumes_too_close_to_tell_apart_are_unsure(monkeypatch):
    monkeypatch.setitem(BALLS, "right hippocampus", ((30, 0, 0), 9.1, 0.98, 0.85))
    line = only("The left hippocampus is larger than the right.")
    assert line.status == "unsure"
    assert "too close to tell apart" in said(line, "unsure")
    assert only("The hippocampi have the same size.").status == "agrees"


def test_what_was_never_taught_is_said_and_never_contradicted():
    line = only("The liver measures 1200 mL.")
    assert (line.status, line.masks) == ("unsure", ())
    assert said(line, "unsure") == "liver: I was not taught this, so I cannot say"
    assert only("There is no liver.").status == "unsure"


def test_a_doubtful_mask_contradicts_nothing(monkeypatch):
    line = only("There is no brainstem.")
    assert line.status == "unsure"
    assert "one was found (m1), presence 0.60; but its presence is only 0.60" in said(line, "unsure")
    monkeypatch.setitem(BALLS, "tumour", ((36, 20, 10), 14, 0.97, 0.3))
    assert "its mask has a quality of only 0.30" in said(only("A mass of 60 mL."), "unsure")


def test_the_rest_has_nothing_to_show_and_says_why():
    report = grounded(
        "TECHNIQUE: T1 of 1 mm.\nFINDINGS: The brainstem is unremarkable. The liver is normal. Good weather.\n"
        "Follow-up is recommended. History of tumour."
    )
    assert {line.status for line in report.lines} == {"nothing"}
    assert [line.checks[0].text for line in report.lines] == [
        "a heading", "how the scan was made", "a heading", "a normal statement", "a normal statement",
        "names no structure that I know by name", "a recommendation", "the patient's history",
    ]  # fmt: skip
    assert report.findings == ()
    assert report.summary == "8 sentences: 8 with nothing to show."


def test_one_name_is_one_mask_through_the_whole_report():
    report = grounded("The tumour is 3 cm. The left hippocampus is 3 mL. The mass is right. No larynx. No tumour.")
    assert [line.masks for line in report.lines] == [("m1",), ("m2",), ("m1",), (), ("m1",)]
    assert [finding.phrase for finding in report.findings] == ["tumour", "left hippocampus", "larynx"]
    assert report.count("contradicted") == 1


def test_a_change_since_a_prior_cannot_be_told_from_one_scan():
    line = only("The tumour is unchanged since the prior scan.")
    assert (line.status, line.masks) == ("unsure", ("m1",))
    assert "compare with a prior" in said(line, "unsure")


def test_reports_are_read_from_text_files_only(tmp_path: Path):
    path = tmp_path / "report.txt"
    path.write_bytes("\ufeffKein Tumor.\r\n".encode())
    assert read_report(path) == "Kein Tumor.\n"
    path.write_bytes("Größe".encode("cp1252"))
    assert read_report(path) == "Größe"
    for content, words in ((b"\0\1\2", "no.*text file|not a text file"), (b"  \n", "empty"), (b"a" * 60_000, "60,000")):
        path.write_bytes(content)
        with pytest.raises(QuestionError, match=words):
            read_report(path)
    with pytest.raises(QuestionError, match="cannot be read"):
        read_report(tmp_path / "none.txt")
    with pytest.raises(QuestionError, match="no words"):
        grounded("- ... -")


@pytest.fixture
def session(tiny_scan, tiny_model, monkeypatch) -> Session:
    monkeypatch.setattr(tiny_model, "glossary", Glossary({"left block": ("left block",)}, {}, {"left": "left"}))
    return Session.open(tiny_scan, model=tiny_model)


def test_a_report_is_a_turn_of_the_session_with_masks_of_its_own_ids(session):
    """A real small model: what the report finds has the id, the mask and the numbers that a question would give it."""
    first = session.ground_report("The left block is seen. No left block.")
    (finding,) = first.findings
    assert (finding.id, finding.phrase, finding.present) == ("m1", "left block", True)
    assert [line.masks for line in first.lines] == [("m1",), ("m1",)]
    (asked,) = session.ask("Show me the left block.").findings
    assert asked.id == "m1"
    assert np.array_equal(asked.mask, finding.mask)
    assert session.ground_report("The left block.").findings[0].id == "m1"
    assert len(session.turns) == 3
    session.undo()
    session.undo()
    assert [finding.id for finding in session.findings] == ["m1"]
    session.undo()
    assert session.findings == ()
    assert session.ask("Show me the left block.").findings[0].id == "m1"


def test_a_report_that_fails_leaves_nothing_behind(session, monkeypatch):
    monkeypatch.setattr(session.study, "decode", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(Exception, match="not enough memory"):
        session.ground_report("The left block is seen.")
    monkeypatch.undo()
    assert session.turns == []
    assert session.findings == ()
    with pytest.raises(QuestionError, match="the report is empty"):
        session.ground_report(" \n")


def test_a_model_without_names_says_so(tiny_scan, tiny_model):
    with pytest.raises(ModelError, match="no glossary"):
        Session.open(tiny_scan, model=tiny_model).ground_report("The left block is seen.")
