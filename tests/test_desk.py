"""The desk without a browser: a seat around a real session, and what the page makes of text it must not trust."""

from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from assistant.desk import page
from assistant.desk.compare_tab import result_html
from assistant.desk.files import windows, write_scan
from assistant.desk.report_tab import report_html
from assistant.desk.seat import Seat
from assistant.desk.turn import Notice, Point, Turn
from assistant.desk.turnstile import Turnstile
from assistant.errors import QuestionError, ScanError
from assistant.findings import Finding
from assistant.glossary import Glossary
from assistant.volume import Volume
from tests.test_registration import centred, rigid, scan


@pytest.fixture
def seat(tiny_model: Any, tmp_path: Path) -> Seat:
    from assistant.session import Session

    folder = tmp_path / "seat"
    folder.mkdir()
    return Seat(lambda volume: Session.open(volume, model=tiny_model), folder, Turnstile())


def test_a_seat_around_a_real_session(seat: Seat, tiny_scan: Path, tmp_path: Path) -> None:
    with pytest.raises(QuestionError, match="No scan is open"):
        next(seat.ask("Where?"))
    seat.open(tiny_scan)
    seat.prepare()
    for thread in threading.enumerate():  # the rest of the scan is encoded while the reader looks at it
        if thread.name == "deixis-reader":
            thread.join()
    assert seat._session is not None
    assert not seat._session.read_on()
    (*_, turn) = seat.ask("Show me the left hippocampus")
    assert turn.done
    assert not turn.error
    assert turn.answer
    assert seat.volume is not None
    (*_, turn) = seat.ask("What is this?", [Point(tuple(seat.volume.centre_mm.tolist()), 1)])
    assert not turn.error
    state = json.loads(page.viewer_state(seat))
    assert [overlay["id"] for overlay in state["overlays"]] == list(seat.overlay_files)
    if seat.overlay_files:  # the model is untrained: whether it finds something is not the point here
        names = zipfile.ZipFile(seat.export(tmp_path)).namelist()
        assert "manifest.json" in names
    assert seat.undo() == "What is this?"
    assert seat.undo() == "Show me the left hippocampus"
    assert not seat.overlay_files
    with pytest.raises(QuestionError, match="no question to take back"):
        seat.undo()


def test_a_seat_goes_back_forward_and_another_way(seat: Seat, tiny_scan: Path) -> None:
    """Its log, its masks and the session's are those of one and the same place."""
    seat.open(tiny_scan)
    for _ in seat.ask("Show me the left block."):
        pass
    (*_, turn) = seat.ask("Shrink it by 4 mm")
    first = turn.step

    def state() -> tuple[list[str], list[str], list[str]]:
        assert seat._session is not None
        asked = [entry.question for entry in seat.log if isinstance(entry, Turn)]
        return asked, list(seat.overlay_files), [f.id for f in seat._session.findings]  # type: ignore[attr-defined]

    both = (["Show me the left block.", "Shrink it by 4 mm"], ["m1", "m2"], ["m1", "m2"])
    one = (["Show me the left block."], ["m1"], ["m1"])
    assert state() == both
    seat.undo()
    assert state() == one
    seat.redo()
    assert state() == both
    with pytest.raises(QuestionError, match="nothing was taken back"):
        seat.redo()
    (*_, turn) = seat.retry()
    assert state() == both
    assert seat.history.siblings(turn.step) == [first, turn.step]
    assert "1/2" not in page.chat(seat.log, seat.history)[2]["content"]
    assert "2/2" in page.chat(seat.log, seat.history)[2]["content"]
    seat.select("m1")
    assert seat.edit() == "Shrink it by 4 mm"
    (*_, turn) = seat.ask("Grow it by 1 mm")
    assert (turn.selected, turn.found[0].made) == ("m1", "m1 grown by 1 mm")
    seat.way(first)
    assert state() == both
    seat.set_box((5, 5, 5, -12, -10, -8))
    before = seat.overlay_files["m1"]
    (*_, turn) = seat.refine()
    assert (turn.error, turn.found[0].id, turn.found[0].version, seat.box) == ("", "m1", 2, None)
    assert seat.overlay_files["m1"] != before
    seat.undo()
    assert (seat.overlay_files["m1"], seat.selected) == (before, "m1")
    with pytest.raises(QuestionError, match="nothing to refine m1 with"):
        next(seat.refine())
    seat.select("m1")
    with pytest.raises(QuestionError, match="No mask is selected"):
        next(seat.refine())
    seat.open(tiny_scan)
    assert not list(seat.folder.glob("*.nii.gz"))


def test_a_seat_that_is_left_computes_no_more(seat: Seat, tiny_scan: Path) -> None:
    """At the program's end nothing may be in the middle of a computation: torch would abort."""
    seat.open(tiny_scan)
    seat.prepare()
    seat.leave()
    assert not [t for t in threading.enumerate() if t.name.startswith("deixis-")]


def test_a_bad_scan_leaves_the_open_one(seat: Seat, tiny_scan: Path, tmp_path: Path) -> None:
    seat.open(tiny_scan)
    before = (seat.volume, seat.scan_file)
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    with pytest.raises(ScanError, match=r"bad\.nii\.gz"):
        seat.open(bad)
    assert (seat.volume, seat.scan_file) == before
    with pytest.raises(QuestionError, match="outside the scan"):
        seat.add_point((1e4, 0, 0), 1)


def test_what_a_model_or_a_user_writes_is_text() -> None:
    found = [Finding(i, "<b>", True, 1, 1, 1, 1, 1, "", None, (0, 0, 0), 0) for i in ("m1", "m2")]
    turn = Turn("<script>alert(1)</script>", answer="<img src=x> **m1** # m2 <b>", done=True, found=found)
    user, answer = (message["content"] for message in page.chat([turn]))
    assert "<script" not in user
    assert "<img" not in answer
    assert r"\*\*" in answer
    assert answer.count('class="dx-chip') == 3
    assert "<b>" not in answer
    assert "<b>" not in page.chat([Notice("<b>")])[0]["content"]


def test_the_viewer_file_keeps_hounsfield_units_and_place(tmp_path: Path) -> None:
    voxels = np.arange(-1000, -1000 + 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    affine = np.array([[1.0, 0.2, 0, 3], [-0.2, 2, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1]])
    volume = Volume.from_array(voxels, affine, "CT")
    image = nib.load(write_scan(volume, tmp_path))
    np.testing.assert_array_equal(image.get_fdata(), volume.voxels)
    np.testing.assert_allclose(image.affine, volume.affine, atol=1e-6)
    assert windows(volume)[0] == {"name": "Soft tissue", "range": [-160.0, 240.0]}
    # Not whole numbers: 65,000 steps of the range, so at most half a step off.
    volume = Volume.from_array(voxels / 7, affine, "MR")
    stored = nib.load(write_scan(volume, tmp_path)).get_fdata()
    assert np.abs(stored - volume.voxels).max() <= float(np.ptp(volume.voxels)) / 65000


def test_a_report_and_a_prior_are_turns_of_the_seat(
    seat: Seat, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a real session: masks join the chat's, the page is saved, and a new scan forgets it all."""
    from assistant.prior import Comparison
    from assistant.report import Report

    monkeypatch.setattr(tiny_model, "glossary", Glossary({"left block": ("left block",)}, {}, {"left": "left"}))
    with pytest.raises(QuestionError, match="No scan is open"):
        seat.ground_report("The left block.")
    now, before = tmp_path / "now.nii.gz", tmp_path / "before.nii.gz"
    save_phantom(now, np.eye(4), 0)
    save_phantom(before, rigid((3, 0, 2), (4, -3, 2)), 1)
    seat.open(now)
    with pytest.raises(QuestionError, match="No earlier scan is open"):
        seat.compare("left block")
    with pytest.raises(QuestionError, match="no grounded report"):
        seat.export_report(tmp_path)
    seat.ground_report("The left block is seen. It is well.")
    assert list(seat.overlay_files) == ["m1"]
    assert [line.status for line in seat.last(Report).lines] == ["agrees", "nothing"]
    assert "The left block is seen." in report_html(seat)
    assert {"report.html", "report.json", "manifest.json"} <= set(
        zipfile.ZipFile(seat.export_report(tmp_path)).namelist()
    )
    seat.open_prior(before)
    seat.compare("left block")
    assert list(seat.prior_overlays) == ["p1"]
    assert [overlay["id"] for overlay in json.loads(page.viewer_state(seat))["overlays"]] == ["m1", "p1"]
    assert "Registration: " in result_html(seat)
    assert {"comparison.html", "changes.csv", "m1_left_block.nii.gz"} <= set(
        zipfile.ZipFile(seat.export_comparison(tmp_path / "zip")).namelist()
    )
    assert seat.undo() == "Compare with the prior: left block"
    assert (seat.last(Comparison), seat.prior_overlays, list(seat.overlay_files)) == (None, {}, ["m1"])
    seat.compare("left block")
    file = seat.prior_overlays["p1"][1]
    seat.open(before)
    assert (seat.prior_overlays, seat.prior_name, file.exists(), seat.last(Report)) == ({}, "", False, None)


def save_phantom(path: Path, to_head: np.ndarray, seed: int) -> None:
    volume = scan((44, 52, 40), centred(np.diag([3.5, 3.5, 3.5]), (44, 52, 40), (0, 0, 0)), to_head, seed)
    nib.save(nib.Nifti1Image(volume.voxels, volume.affine), path)
