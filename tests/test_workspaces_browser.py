"""The desk's other workspaces in a real headless Chromium: ground a report, compare with a prior.

The session is scripted as in `tests/scripted.py`; the report is read and checked, and the change put in words, by the
real code. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.chromium import MARKS, ORANGE, Page, browsing, served, tinted
from tests.scripted import ScriptedSession, ball, write_block

pytestmark = MARKS

BEFORE = (255, 95, 210)  # masks of the prior
REPORT = """FINDINGS:
The left hippocampus measures 900 mL.
The right hippocampus is seen.
There is no left hippocampus.
The liver is large.
The brain is unremarkable.
"""


class Scripted(ScriptedSession):
    """Two balls by name; an untaught liver; a prior that is registered already, its ball half as wide."""

    def find(self, phrase: str) -> Any:
        from assistant.findings import Finding

        known = [finding for finding in self.kept if finding.phrase == phrase]
        if known:
            return known[0]
        if "hippocampus" not in phrase or not phrase.startswith(("left", "right")):
            return Finding("", phrase, False, 0.0, None, None, None, None, "", None, None, 0, False)
        shape = self.volume.shape
        part = 0.36 if phrase.startswith("left") else 0.64
        return self._finding(phrase, ball(shape, (shape[0] * part, shape[1] * 0.45, shape[2] * 0.42), min(shape) / 10))

    def ground_report(self, text: str) -> Any:
        from assistant.glossary import Glossary
        from assistant.report import ground

        names = {"hippocampus": ("left hippocampus", "right hippocampus"), "liver": ("liver",), "brain": ("brain",)}
        self.asked.append((text, None))
        glossary = Glossary(names, {}, {"left": "left", "right": "right"})
        report = ground(text, self.find, glossary, self.volume, lambda: None)
        self.done()
        return report

    def open_prior(self, path: Path) -> ScriptedPrior:
        from assistant.prior import check_pair
        from assistant.volume import open_volume

        check_pair(self.volume, open_volume(path))
        return ScriptedPrior(self)


class ScriptedPrior:
    def __init__(self, now: Scripted) -> None:
        self.now = now

    def compare(self, question: str) -> Any:
        import dataclasses

        from assistant.prior import Change, Comparison
        from assistant.registration import Alignment

        self.now.asked.append((question, None))
        now = self.now.find(question.lower())
        self.now.done()
        shape = self.now.volume.shape
        smaller = ball(shape, (shape[0] * 0.36, shape[1] * 0.45, shape[2] * 0.62), min(shape) / 14)
        before = dataclasses.replace(now, volume_ml=now.volume_ml / 2)
        change = Change(
            now.phrase, now, before, now.volume_ml / 2, 100.0, 0.4, self.now.volume.to_native(smaller)
        )  # fmt: skip
        return Comparison(question, Alignment(np.eye(4), 0.7, 0.93, 0.95), 91, (change,))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    scan = write_block(tmp_path_factory.mktemp("scan") / "block.nii.gz", 120)
    with served(scan, Scripted) as address, browsing(address) as page:
        yield page


def choose(page: Page, name: str) -> None:
    (tab,) = (one for one in page.driver.find_elements("css selector", "#dx-tabs [role=tab]") if one.text == name)
    tab.click()


def photo(element: Any) -> np.ndarray:
    """(rows, columns, 3) uint8 of what is seen of an element."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))


def attach(page: Page, label: str, path: Path) -> None:
    chosen = page.find(f"input[type=file][data-testid^='{label}']")
    page.driver.execute_script("arguments[0].value = null", chosen)
    chosen.send_keys(str(path))


def test_a_report_is_grounded_and_its_masks_are_shown(page: Page, tmp_path: Path) -> None:
    choose(page, "Ground a report")
    path = tmp_path / "report.txt"
    path.write_text(REPORT)
    attach(page, "Open .txt", path)
    box = "#dx-report-text textarea"
    page.until(lambda: "900 mL" in page.find(box).get_attribute("value"), "the file is in the box")
    page.press("#dx-report-go")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    page.until(lambda: page.count("#dx-report .dx-line") == 6, "every sentence has its line")
    text = page.find("#dx-report").get_attribute("textContent")  # what is scrolled out of sight too
    assert "6 sentences: 2 contradicted, 1 unsure, 1 agreeing, 2 with nothing to show." in text
    assert "the report says 900 mL; measured" in text
    assert "the report says no left hippocampus; one was found (m1)" in text
    assert "liver: I was not taught this" in text
    assert page.count("#dx-report .dx-line.dx-contradicted") == 2
    assert tinted(page.picture(), ORANGE).any()
    lines = page.find("#dx-report")
    assert lines.size["height"] > 100  # the list scrolls inside the page, which does not
    assert lines.location["y"] + lines.size["height"] <= page.find("#dx-foot").location["y"] + 1
    before = page.viewer("mm")
    page.press("#dx-report [data-look=m1]")
    page.until(lambda: page.viewer("mm") != before, "the crosshair goes to the mask")
    # its masks are the session's: in the table of Ask, and taken back there
    choose(page, "Ask")
    page.until(lambda: "left hippocampus" in page.find(".dx-findings").text, "the masks are in the table")
    page.press("#dx-undo")
    page.until(lambda: page.viewer("overlays") == "", "the masks are taken back")
    choose(page, "Ground a report")
    page.until(lambda: not page.count("#dx-report .dx-line"), "and so is the report")


def test_a_bad_report_is_one_sentence(page: Page, tmp_path: Path) -> None:
    choose(page, "Ground a report")
    page.press("#dx-report-go")
    page.until(lambda: "the report is empty" in page.find("body").text, "an empty report is told")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\0\1\2\3")
    attach(page, "Open .txt", bad)
    page.until(lambda: "bad.txt is not a text file" in page.find("body").text, "a file that is no text is told")
    page.press("#dx-report-save")
    page.until(lambda: "no grounded report to save" in page.find("body").text, "nothing to save is told")
    assert "Traceback" not in page.find("body").text


def test_a_prior_is_compared_and_lies_over_the_scan(page: Page, tmp_path: Path) -> None:
    choose(page, "Compare with a prior")
    question = "#dx-prior-box textarea"
    page.find(question).send_keys("Left hippocampus\n")
    page.until(lambda: "No earlier scan is open" in page.find(".toast-wrap").text, "a prior is asked for")
    attach(page, "Open the earlier scan", write_block(tmp_path / "before.nii.gz", 110))
    page.until(lambda: "before.nii.gz" in page.find("#dx-prior-name").text, "the prior is open")
    page.find(question).send_keys("\n")
    page.until(lambda: page.viewer("overlays") == "m1 p1", "both masks are shown")
    text = page.find("#dx-prior").text
    assert "The left hippocampus has grown by" in text
    assert "Interval: 91 days. Registration: good (correlation 0.93, overlap 0.95" in text
    assert re.search(r"\+[\d.]+ mL \(\d+ %\)", text)
    picture = page.picture()
    assert tinted(picture, ORANGE).any()
    assert tinted(picture, BEFORE).any()


def test_the_earlier_scan_is_beside_the_present_one_at_the_same_place(page: Page, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    choose(page, "Compare with a prior")
    attach(page, "Open the earlier scan", write_block(tmp_path / "before.nii.gz", 110))
    page.until(lambda: "before.nii.gz" in page.find("#dx-prior-name").text, "the prior is open")
    assert not page.find(".dx-earlier").is_displayed()
    page.find("#dx-prior-box textarea").send_keys("Left hippocampus\n")
    page.until(lambda: page.viewer("earlier") != "", "the earlier scan is shown")
    assert page.find(".dx-earlier .dx-caption").text == "before: before.nii.gz"
    now, before = page.find(".dx-stage"), page.find(".dx-earlier")
    assert abs(now.size["width"] - before.size["width"]) < 4
    assert before.location["x"] > now.location["x"] + now.size["width"] - 2
    assert tinted(photo(before), BEFORE).any()
    assert not tinted(photo(before), ORANGE).any()  # what was found now is not there
    # a click there moves the crosshair of both: in the corner cell of the coronal plane y stays
    _, y, z = (float(v) for v in page.viewer("mm").split(","))
    at = (before.size["width"] // 8, -before.size["height"] // 4)
    ActionChains(page.driver).move_to_element_with_offset(before, -at[0], at[1]).click().perform()
    page.until(lambda: float(page.viewer("mm").split(",")[2]) != z, "the present scan follows")
    assert float(page.viewer("mm").split(",")[1]) == pytest.approx(y, abs=1.1)
    button = page.find("[data-act=earlier]")
    button.click()
    page.until(lambda: page.viewer("earlier") == "" and not before.is_displayed(), "it is put away")
    assert button.get_attribute("aria-pressed") == "false"


def test_what_is_no_prior_is_refused_and_loses_nothing(page: Page, tmp_path: Path) -> None:
    choose(page, "Compare with a prior")
    attach(page, "Open the earlier scan", write_block(tmp_path / "same.nii.gz", 120))
    page.until(lambda: "are the same scan" in page.find("body").text, "the same scan is refused")
    assert "No earlier scan is open" in page.find("#dx-prior-name").text
    assert "Traceback" not in page.find("body").text
    choose(page, "Ask")
    page.ask("Both hippocampi, please.")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "the desk lives on")


def on_top(page: Page, selector: str) -> bool:
    """Whether nothing lies over the middle of an element, which is inside the window."""
    script = (
        "const e = document.querySelector(arguments[0]), b = e.getBoundingClientRect();"
        "return e.contains(document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2));"
    )
    return bool(page.driver.execute_script(script, selector))


def test_a_long_list_of_findings_scrolls_and_covers_nothing(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1024, "height": 600, "deviceScaleFactor": 1, "mobile": False}
    )
    for n in range(1, 6):
        page.ask("Both hippocampi, please.")
        page.until(lambda n=n: page.count(".dx-findings tr[data-id]") == 2 * n, "the masks are listed")
    script = "const t = document.querySelector('#dx-table'); return [t.scrollHeight, t.clientHeight]"
    whole, seen = page.driver.execute_script(script)
    assert whole > seen + 50
    assert on_top(page, "#dx-box textarea")
    assert on_top(page, "#dx-undo")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_phone_the_page_scrolls_to_the_question(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    )
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    assert on_top(page, ".dx-stage canvas")
    page.driver.execute_script("document.querySelector('#dx-box').scrollIntoView({block: 'center'})")
    page.until(lambda: on_top(page, "#dx-box textarea"), "the box is reached")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
