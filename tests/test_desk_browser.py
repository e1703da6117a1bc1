"""The desk in a real headless Chromium: open, ask, overlays, click, download, bad files, no other host.

A scripted session answers (it says what the real one would, in the same events), so what is tested is the desk: the
page, the viewer, the wiring. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.chromium import MARKS, ORANGE, SKY, Page, browsing, served, tinted
from tests.scripted import ScriptedSession, write_block

pytestmark = MARKS


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block(tmp_path_factory.mktemp("scan") / "block.nii.gz", 120)


@pytest.fixture(scope="module")
def desk(scan: Path) -> Iterator[tuple[str, list[ScriptedSession]]]:
    """The served page's address, and the sessions it has made, newest last."""
    made: list[ScriptedSession] = []

    def open_session(volume: Any) -> ScriptedSession:
        made.append(ScriptedSession(volume))
        return made[-1]

    with served(scan, open_session) as address:
        yield address, made


@pytest.fixture(scope="module")
def browser(desk: tuple[str, list[ScriptedSession]]) -> Iterator[Page]:
    with browsing(desk[0]) as page:
        yield page


def test_ask_shows_masks_findings_and_text(page: Page) -> None:
    assert page.viewer("engine") == "niivue"
    assert "Research use only. Not a medical device." in page.find("#dx-foot").text
    assert "block" in page.find("#dx-scan").text
    assert not tinted(page.picture(), ORANGE).any()
    page.ask("Is the left hippocampus smaller than the right?")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    table = page.find(".dx-findings").text
    assert "left hippocampus" in table
    assert "right hippocampus" in table
    # What a model writes is text: neither HTML nor Markdown.
    assert "Both have the <b>same</b> size: * 2.9 mL" in page.find("#dx-chat").text
    # The pixels: the left one (orange) lies to the right of the right one in the coronal plane, the first of the grid.
    picture = page.picture()
    coronal = picture[: picture.shape[0] // 2, : picture.shape[1] // 2]
    left, right = (np.argwhere(tinted(coronal, rgb)) for rgb in (ORANGE, SKY))
    assert min(len(left), len(right)) > 50
    assert left[:, 1].mean() > right[:, 1].mean() + 10
    page.press("[data-act=radiological]")
    coronal = page.picture()[: coronal.shape[0], : coronal.shape[1]]
    left, right = (np.argwhere(tinted(coronal, rgb)) for rgb in (ORANGE, SKY))
    assert left[:, 1].mean() < right[:, 1].mean() - 10


def test_hide_show_undo(page: Page) -> None:
    page.ask("Both hippocampi, please.")
    page.press("[data-toggle=m1]")
    page.until(lambda: page.viewer("overlays") == "m2", "m1 is hidden")
    assert not tinted(page.picture(), ORANGE).any()
    page.press("[data-toggle='*']")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "all are shown again")
    page.ask("Is the liver there?")
    assert "not found" in page.find(".dx-findings .dx-absent").text
    page.press("#dx-edit")
    page.until(lambda: not page.count(".dx-absent"), "the liver's row is gone")
    assert page.find("#dx-box textarea").get_attribute("value") == "Is the liver there?"
    page.press("#dx-undo")
    page.until(lambda: page.viewer("overlays") == "", "the masks are gone")
    page.press("#dx-redo")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "the masks are back")


def test_click_gives_points_in_ras_mm(page: Page, desk: tuple[str, list[ScriptedSession]]) -> None:
    session = desk[1][-1]
    before = page.viewer("mm")
    page.click_at(0.3, 0.3)
    page.until(lambda: page.viewer("mm") != before, "the crosshair moved")
    first = [float(v) for v in page.viewer("mm").split(",")]
    page.press("[data-act=plus]")
    page.until(lambda: page.count("#dx-points .dx-plus") == 1, "the first point is listed")
    page.click_at(0.28, 0.2)
    page.press("[data-act=minus]")
    page.until(lambda: page.count("#dx-points .dx-minus") == 1, "the second point is listed")
    page.ask("Both hippocampi, but here.")
    (_, points) = session.asked[-1]
    assert [point[3] for point in points] == [1, 0]
    np.testing.assert_allclose(points[0][:3], first, atol=0.01)
    assert session.volume.contains(np.asarray(points[1][:3]))
    assert not page.count("#dx-points .dx-point")
    page.press("[data-act=what]")
    page.until(lambda: page.viewer("overlays") == "m1 m2 m3", "the answer to the click is shown")
    assert session.asked[-1][0] == "What is this?"
    assert len(session.asked[-1][1]) == 1


def test_download_gives_a_zip_of_the_masks(page: Page, tmp_path: Path) -> None:
    page.press("#dx-download")
    page.until(lambda: "no mask to download" in page.find("body").text, "a message why there is nothing")
    page.ask("Both hippocampi, please.")
    page.press("#dx-download")
    page.until(lambda: list(tmp_path.glob("*.zip")), "the zip file is there")
    assert sorted(zipfile.ZipFile(next(tmp_path.glob("*.zip"))).namelist()) == ["m1.nii.gz", "m2.nii.gz"]


def test_bad_file_gives_a_message_and_loses_nothing(page: Page, tmp_path: Path, scan: Path) -> None:
    page.ask("Both hippocampi, please.")
    shown = page.viewer("scan")
    bad = tmp_path / "notes.nii.gz"
    bad.write_text("not a scan")
    page.upload(bad)
    page.until(lambda: "notes.nii.gz" in page.find("#dx-chat").text, "a message names the file")
    assert "Traceback" not in page.find("body").text
    assert page.viewer("scan") == shown
    assert page.viewer("overlays") == "m1 m2"
    good = tmp_path / "other.nii.gz"
    shutil.copyfile(scan, good)
    page.upload(good)
    page.until(lambda: page.viewer("scan") not in ("", shown), "the good file is shown")
    assert page.viewer("overlays") == ""
    assert "other" in page.find("#dx-scan").text


def test_errors_and_a_second_question_meanwhile_are_told(page: Page, desk: tuple[str, list[ScriptedSession]]) -> None:
    page.type("wait with both hippocampi")
    page.until(lambda: "m1" in page.viewer("overlays"), "the first answer has begun")
    page.type("And now?")
    page.until(lambda: "still answering" in page.find("body").text, "the second question is refused")
    assert page.find("#dx-box textarea").get_attribute("value").strip() == "And now?"
    desk[1][-1].go_on.set()
    page.until(lambda: page.count(".dx-foot"), "the first answer is whole")
    assert len(desk[1][-1].asked) == 1
    page.find("#dx-box textarea").clear()
    page.type("please refuse this")
    page.until(lambda: "The question was refused; ask another one." in page.find("#dx-chat").text, "a DeixisError")
    page.find("#dx-box textarea").clear()
    page.type("this is broken")
    page.until(lambda: "inside Deixis (KeyError)" in page.find("#dx-chat").text, "a bug in one line")
    assert "Traceback" not in page.find("body").text
    page.find("#dx-box textarea").clear()
    page.ask("Is the liver there?")


def test_plain_slices_where_there_is_no_webgl(desk: tuple[str, list[ScriptedSession]], tmp_path: Path) -> None:
    page = Page(desk[0], ("--disable-3d-apis",))
    try:
        page.open(tmp_path)
        assert page.viewer("engine") == "slices"
        page.ask("Both hippocampi, please.")
        page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
        picture = page.picture()
        axial = picture[: picture.shape[0] // 2, : picture.shape[1] // 2]
        left, right = (np.argwhere(tinted(axial, rgb)) for rgb in (ORANGE, SKY))
        assert left[:, 1].mean() > right[:, 1].mean() + 10
        # A click on the middle of the left mask says so.
        row, column = left.mean(axis=0)
        page.click_at(column / picture.shape[1], row / picture.shape[0])
        page.until(lambda: "m1 left hippocampus" in page.find(".dx-under").text, "the mask under the click is named")
        assert float(page.viewer("mm").split(",")[0]) < 0
        page.check()
    finally:
        page.driver.quit()
