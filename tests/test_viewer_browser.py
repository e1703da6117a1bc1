"""The desk's viewer in a real headless Chromium: wheel, keys, window, looks of masks, read-out, uncertainty, picture.
And that axe finds no serious fault on any tab.

The session is scripted as in `tests/scripted.py`. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.chromium import GPU, MARKS, ORANGE, SKY, Page, browsing, served, tinted
from tests.scripted import ScriptedSession

pytestmark = MARKS

AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
STAGE = ".dx-stage canvas"
GREEN = (0, 160, 64)
SMALL = ("--window-size=1280,800",)


class Scripted(ScriptedSession):
    """With an uncertainty: one bit in a shell around the middle of the left ball, when it is let out."""

    may_answer = threading.Event()

    def uncertainty(self, mask_id: str) -> Any:
        from assistant.errors import QuestionError
        from assistant.uncertainty import Uncertainty

        if mask_id != "m1":
            raise QuestionError(f"there is no uncertainty of {mask_id!r}: the model was never taught it")
        self.may_answer.wait(timeout=120)
        shape = self.volume.shape
        grid = np.indices(shape).astype(np.float32)
        centre = (shape[0] * 0.36, shape[1] * 0.45, shape[2] * 0.42)
        distance = np.sqrt(sum((grid[k] - centre[k]) ** 2 for k in range(3)))
        entropy = (np.abs(distance - min(shape) / 10) < 1.5).astype(np.float32)
        return Uncertainty(entropy, self.volume.to_native(entropy))


def write_ct(path: Path) -> Path:
    """Air around a block of 41 HU with a corner of 700 HU, every voxel a little different; LAS, 2 x 2 x 2.5 mm."""
    voxels = np.full((40, 48, 36), -1000, np.int16)
    voxels[4:36, 4:44, 4:32] = 41
    voxels[24:32, 30:40, 20:30] = 700
    voxels += np.random.default_rng(0).integers(-3, 4, voxels.shape).astype(np.int16)
    affine = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -48], [0, 0, 2.5, -45], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ct(tmp_path_factory.mktemp("scan") / "block.nii.gz")


@pytest.fixture(scope="module")
def address(scan: Path) -> Iterator[str]:
    with served(scan, Scripted) as address:
        yield address


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    with browsing(address, (*GPU, *SMALL)) as page:
        yield page


def mm(page: Page) -> list[float]:
    return [float(v) for v in page.viewer("mm").split(",")]


def press(page: Page, *keys: str, shift: bool = False) -> None:
    """Keys on the focused stage, one after the other."""
    from selenium.webdriver import ActionChains, Keys

    page.driver.execute_script("arguments[0].focus()", page.find(STAGE))
    chain = ActionChains(page.driver)
    if shift:
        chain.key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()
    else:
        chain.send_keys(*keys).perform()


def moves(page: Page, by: tuple[float, float, float], *keys: str, shift: bool = False) -> None:
    before = mm(page)
    press(page, *keys, shift=shift)
    page.until(lambda: np.allclose(np.subtract(mm(page), before), by, atol=0.02), f"{keys} move by {by} mm")


def wheel(page: Page, across: float, down: float, clicks: int) -> None:
    """Turn the wheel towards the reader (clicks over 0) at fractions of the stage."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    stage = page.find(STAGE)
    place = (round((across - 0.5) * stage.size["width"]), round((down - 0.5) * stage.size["height"]))
    ActionChains(page.driver).scroll_from_origin(ScrollOrigin.from_element(stage, *place), 0, 120 * clicks).perform()


def set_value(page: Page, selector: str, value: str, event: str) -> None:
    page.driver.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event(arguments[2], { bubbles: true }))",
        page.find(selector), value, event,
    )  # fmt: skip


def colours(page: Page, rgb: tuple[int, int, int]) -> int:
    """How many pixels have a mask's colour, below where the list of masks may lie over the stage."""
    picture = page.picture()
    return int(tinted(picture[len(picture) // 3 :], rgb).sum())


def check_moves_and_window(page: Page) -> None:
    """Wheel, keys, presets and the drag; the same for both engines. The layout is one axial plane."""
    from selenium.webdriver import ActionChains, Keys

    page.press("[data-layout=axial]")
    page.until(lambda: page.viewer("plane") == "axial", "the keys are about the axial plane")
    press(page, Keys.HOME, Keys.ARROW_LEFT, Keys.ARROW_UP)  # from the middle, between two voxels, onto one
    page.until(lambda: np.allclose(mm(page)[:2], (4, 2), atol=0.02), "the crosshair is on a voxel")
    start = mm(page)
    wheel(page, 0.5, 0.5, 1)
    page.until(lambda: np.allclose(mm(page), np.add(start, (0, 0, -2.5)), atol=1.3), "the wheel goes a slice down")
    assert page.find(".dx-slice").text == f"axial {round((mm(page)[2] + 45) / 2.5) + 1} / 36"
    moves(page, (0, 0, 5), Keys.PAGE_UP, Keys.PAGE_UP)
    moves(page, (0, -2, 0), Keys.ARROW_DOWN)
    moves(page, (-2, 0, 0), Keys.ARROW_RIGHT)  # radiological: the patient's left is on the right
    moves(page, (-20, 0, 0), Keys.ARROW_RIGHT, shift=True)
    press(page, "r")
    assert page.find("[data-act=radiological]").text == "Neurological"
    moves(page, (2, 0, 0), Keys.ARROW_RIGHT)
    press(page, "r")
    press(page, Keys.HOME)
    # the window: a preset makes the block (41 HU) as dark as lung windows do, dragging down darkens further
    page.until(lambda: page.viewer("window") == "-160,240", "the first preset is soft tissue")
    soft = page.picture().max(axis=2)
    press(page, "w")
    page.until(lambda: page.viewer("window") == "0,80", "the next one is brain")
    select = page.find("[data-act=window]")
    select.find_element("xpath", "option[.='Lung']").click()
    assert page.viewer("window") == "-1350,150"
    lung = page.picture().max(axis=2)
    place = (soft.shape[0] // 2 + 60, soft.shape[1] // 2 + 60)  # beside the crosshair, in the block
    assert lung[place] > soft[place] + 60
    stage = page.find(STAGE)
    drag = ActionChains(page.driver).move_to_element_with_offset(stage, 20, 20)
    drag.w3c_actions.pointer_action.pointer_down(button=2)
    drag.move_by_offset(50, 40)
    drag.w3c_actions.pointer_action.pointer_up(button=2)
    before = mm(page)
    drag.perform()
    # a pixel is 1/250 of the width: 50 to the right widen 1500 by a fifth, 40 down raise the level by 240
    page.until(lambda: page.viewer("window") == "-1260,540", "the drag has widened and darkened")
    assert page.find("[data-act=window] option:checked").text == "Custom"
    assert mm(page) == before  # it is no click
    assert page.picture().max(axis=2)[place] < lung[place] - 20
    set_value(page, "[data-act=width]", "80", "change")
    assert page.viewer("window") == "-400,-320"
    set_value(page, "[data-act=width]", "-5", "change")
    assert page.viewer("window") == "-400,-320"  # nonsense is put back


def check_picture(page: Page, downloads: Path) -> None:
    """The saved PNG is the stage, with a foot that names place, masks and purpose. After `check_looks`: m1 is green."""
    from PIL import Image

    page.press("[data-act=picture]")
    page.until(lambda: list(downloads.glob("deixis_*.png")), "the picture is there")
    (path,) = downloads.glob("deixis_*.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        saved = np.asarray(image.convert("RGB"))
    height, width = page.picture().shape[:2]
    assert abs(saved.shape[1] - width) <= 2
    assert saved.shape[0] >= height + 40
    assert tinted(saved[:height], GREEN).any()
    assert tinted(saved[height:], GREEN).any()  # in the legend
    amber = (saved[height:].astype(int) - (251, 191, 36)).__abs__().sum(axis=2) < 60
    assert amber.sum() > 100  # the line on what it is for


def check_looks(page: Page) -> None:
    """Hide, outline, colour and opacity of the masks m1 and m2, shown in one axial plane through both."""
    filled = colours(page, ORANGE)
    assert filled > 300
    picture = page.picture()
    top = len(picture) // 3
    row_of, column_of = np.argwhere(tinted(picture[top:], ORANGE)).mean(axis=0).round().astype(int)
    row_of += top

    def hollow() -> bool:
        seen = tinted(page.picture(), ORANGE)
        return bool(seen[top:].any()) and not seen[row_of - 3 : row_of + 4, column_of - 3 : column_of + 4].any()

    assert not hollow()
    page.press("[data-act=outline]")
    page.until(hollow, "only the rims are left")
    page.press("[data-act=outline]")
    page.until(lambda: colours(page, ORANGE) > 0.9 * filled, "they are filled again")
    page.press("[data-panel=masks] summary")
    row = "[data-mask=m1]"
    set_value(page, f"{row} select", "outline", "input")
    page.until(hollow, "m1 alone is an outline")
    assert page.find("[data-mask=m2] select").get_attribute("value") == "fill"
    set_value(page, f"{row} select", "fill", "input")
    set_value(page, f"{row} [type=range]", "10", "input")
    page.until(lambda: colours(page, ORANGE) == 0, "m1 is too faint to be seen as orange")
    set_value(page, f"{row} [type=range]", "70", "input")
    set_value(page, f"{row} [type=color]", "#00a040", "input")
    page.until(lambda: colours(page, GREEN) > 0.8 * filled, "m1 is green")
    chip = page.find("#dx-table tr[data-id=m1] .dx-chip")
    shown = page.driver.execute_script("return getComputedStyle(arguments[0], '::before').backgroundColor", chip)
    assert shown == "rgb(0, 160, 64)"  # the table follows
    page.press(f"{row} [type=checkbox]")
    page.until(lambda: page.viewer("overlays") == "m2", "m1 is hidden")
    assert colours(page, GREEN) == 0
    page.press(f"{row} [type=checkbox]")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "m1 is shown again")


def on_the_masks(page: Page) -> None:
    """One axial plane through both masks, the crosshair in m1."""
    page.ask("Both hippocampi, please.")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    page.press("[data-layout=axial]")
    page.press(".dx-findings [data-look=m1]")
    page.until(lambda: "m1 left hippocampus" in page.find(".dx-under").text, "the crosshair is in m1")


def check_read_out(page: Page) -> None:
    value = page.find(".dx-value").text
    number, unit = value.split()[:2]
    assert unit == "HU"
    assert 38 <= int(number) <= 44
    assert float(page.viewer("mm").split(",")[0]) < 0  # the left one
    press(page, "3")
    assert page.find("[data-layout=coronal]").get_attribute("aria-pressed") == "true"
    press(page, "2")


def check_doubt(page: Page) -> None:
    """The map is computed once it is asked for, lies over the mask, is named in the read-out, and goes away again."""
    Scripted.may_answer.clear()
    button = "[data-mask=m1] button"
    if page.find("[data-panel=masks]").get_attribute("open") is None:
        page.press("[data-panel=masks] summary")
    before = page.picture()
    page.press(button)
    page.until(lambda: "Computing the uncertainty of m1" in page.find(".dx-say").text, "what is going on is told")
    Scripted.may_answer.set()
    page.until(lambda: page.viewer("doubt") == "m1", "the map is shown")
    assert "Uncertainty of m1" in page.find(".dx-heat").text
    pale = (252, 255, 164)  # one bit
    now = page.picture().astype(int)
    assert (np.abs(now - pale).sum(axis=2) < 60).sum() > (np.abs(before.astype(int) - pale).sum(axis=2) < 60).sum() + 50
    page.press(button)
    page.until(lambda: page.viewer("doubt") == "", "the map is gone")
    page.press("[data-mask=m2] button")
    page.until(lambda: "the model was never taught it" in page.find("body").text, "a refusal is told")
    assert page.viewer("doubt") == ""


def test_wheel_keys_and_window(page: Page) -> None:
    check_moves_and_window(page)


def test_masks_and_their_looks(page: Page, tmp_path: Path) -> None:
    on_the_masks(page)
    check_read_out(page)
    check_looks(page)
    check_picture(page, tmp_path)


def test_uncertainty_and_surfaces(page: Page) -> None:
    on_the_masks(page)
    check_doubt(page)
    page.press("[data-act=scan3d]")
    page.press("[data-layout='3d']")  # the surfaces alone, each in its mask's colour
    page.until(lambda: min(colours(page, ORANGE), colours(page, SKY)) > 200, "both surfaces are seen")


def test_radiological_moves_the_marks(page: Page) -> None:
    """R is at the left of the axial plane first, and L after the switch: R has ink in its upper right, L has none."""
    page.press("[data-layout=axial]")
    page.click_at(0.45, 0.3)  # the crosshair away from the marks

    def mark(at_left: bool) -> str:
        picture = page.picture().max(axis=2)
        rows = picture[picture.shape[0] // 2 - 14 : picture.shape[0] // 2 + 14] > 150
        third = rows.shape[1] // 3
        ink = np.argwhere(rows[:, :third] if at_left else rows[:, -third:])
        if not len(ink):
            return ""
        (top, first), (bottom, last) = ink.min(0), ink.max(0)
        corner = (ink[:, 0] <= top + 0.3 * (bottom - top)) & (ink[:, 1] >= first + 0.6 * (last - first))
        return "R" if corner.any() else "L"

    assert (mark(True), mark(False)) == ("R", "L")
    page.press("[data-act=radiological]")
    page.until(lambda: (mark(True), mark(False)) == ("L", "R"), "L is on the left now")


def test_a_large_scan_is_sent_averaged_and_read_exactly(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not truly large: the limit is low. The true value comes from the server, for one voxel at a time."""
    from assistant.desk import display

    monkeypatch.setattr(display, "MAX_VIEWER_VOXELS", 20_000)
    path = write_ct(tmp_path / "large.nii.gz")
    voxels = nib.as_closest_canonical(nib.load(path)).get_fdata()
    before = page.viewer("scan")
    page.upload(path)
    page.until(lambda: page.viewer("scan") not in ("", before), "the scan is shown")
    page.click_at(0.2, 0.2)
    page.until(lambda: page.find(".dx-value").text and "≈" not in page.find(".dx-value").text, "the true value")
    at = np.rint((np.array(mm(page)) - (-38.0, -48, -45)) / (2, 2, 2.5)).astype(int)
    assert page.find(".dx-value").text.replace("−", "-") == f"{voxels[tuple(at)]:.0f} HU"
    sizes = page.driver.execute_script(
        "const all = performance.getEntriesByType('resource');"
        " return all.filter(r => r.name.endsWith('.bin')).map(r => r.decodedBodySize)"
    )
    assert sizes
    assert set(sizes) == {2}


def test_all_of_it_without_webgl(address: str, tmp_path: Path) -> None:
    page = Page(address, ("--disable-3d-apis", *SMALL))
    try:
        page.open(tmp_path)
        assert page.viewer("engine") == "slices"
        check_moves_and_window(page)
        page.open(tmp_path)
        on_the_masks(page)
        check_read_out(page)
        check_looks(page)
        check_picture(page, tmp_path)
        check_doubt(page)
        page.check()
    finally:
        page.driver.quit()


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed (npm ci)")
def test_axe_finds_no_serious_fault(page: Page) -> None:
    """Each tab with something in it, light and dark."""
    page.ask("Both hippocampi, please.")
    page.press("[data-panel=masks] summary")
    faults = []
    for theme in ("light", "dark"):
        page.driver.execute_script("document.body.classList.toggle('dark', arguments[0])", theme == "dark")
        time.sleep(0.8)  # the change is animated
        for tab in page.driver.find_elements("css selector", "#dx-tabs [role=tab]"):
            tab.click()
            page.driver.execute_script(AXE.read_text(encoding="utf-8"))
            found = page.driver.execute_async_script("axe.run(document).then(arguments[0])")
            faults += [
                f"{theme}, {tab.text}: {fault['impact']} {fault['id']}: {fault['help']}: {node['html'][:160]} "
                f"{node['failureSummary'][:300]}"
                for fault in found["violations"] if fault["impact"] in ("serious", "critical")
                for node in fault["nodes"]
            ]  # fmt: skip
    assert not faults, "\n".join(faults)
