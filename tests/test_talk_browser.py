"""The conversation in a real headless Chromium: chips, numbers, selecting, refining, operations, back, forward and
branches. A real session answers, with a small model whose masks are balls at known places: what is looked at are the
words and measurements that the program itself makes. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.chromium import MARKS, ORANGE, SKY, Page, browsing, served, tinted
from tests.scripted import ball, write_block

pytestmark = MARKS

BOTH = "Show me the larger of the left block and the right block."
PLACES = {"left block": (0.36, 0.12), "right block": (0.64, 0.16)}  # part of the width, radius by the shortest side


class Balls:
    """Stands for `Study.decode`: a ball for each of `PLACES`, one more at a positive point, one less at a negative."""

    def __init__(self, volume: Any) -> None:
        self.volume = volume

    def __call__(self, states: Any, prompts: Sequence[Any] | None = None, names: Any = None) -> list[Any]:
        from assistant.drawing import Decoded

        shape = self.volume.shape
        found = []
        for index, name in enumerate(names):
            if name not in PLACES:
                found.append(Decoded(np.zeros(shape, bool), 0.03, 0.2, False, name != "pancreas"))
                continue
            part, size = PLACES[name]
            mask = ball(shape, (shape[0] * part, shape[1] * 0.45, shape[2] * 0.42), min(shape) * size)
            prompt = None if prompts is None else prompts[index]
            if prompt is not None:
                for mm, label in zip(prompt.points_mm, prompt.labels, strict=True):
                    spot = ball(shape, tuple(self.volume.to_index(mm)), 3)
                    mask = mask | spot if label else mask & ~spot
            found.append(Decoded(mask, 0.98, 0.41 if name.startswith("right") else 0.87, True))
        return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any) -> Iterator[Page]:
    from assistant.glossary import Glossary
    from assistant.session import Session

    names = {name: (name,) for name in (*PLACES, "liver", "pancreas")}
    glossary, tiny_model.glossary = tiny_model.glossary, Glossary(names, {}, {"left": "left", "right": "right"})

    def open_session(volume: Any) -> Session:
        session = Session(volume, tiny_model)
        session.study.decode = Balls(volume)  # type: ignore[method-assign]
        return session

    scan = write_block(tmp_path_factory.mktemp("scan") / "block.nii.gz", 120)
    with served(scan, open_session) as address, browsing(address) as page:
        yield page
    tiny_model.glossary = glossary


def chip(mask_id: str) -> str:
    return f"#dx-chat button[name='mask'][value='{mask_id}']"


def told(page: Page, element: Any) -> str:
    return str(element.get_attribute("title") or element.get_attribute("aria-description") or "")


def hover(page: Page, element: Any) -> None:
    from selenium.webdriver import ActionChains

    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(page.driver).move_to_element(element).perform()


def answers(page: Page) -> list[str]:
    return [one.text for one in page.driver.find_elements("css selector", "#dx-chat .bot-row")]


def test_names_are_chips_and_numbers_say_how_they_were_made(page: Page) -> None:
    page.ask(BOTH)
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    chips = page.driver.find_elements("css selector", "#dx-chat button[name='mask']")
    assert {one.get_attribute("value") for one in chips} == {"m1", "m2"}
    assert any(one.text.startswith("left block (m1)") for one in chips)
    numbers = [told(page, one) for one in page.driver.find_elements("css selector", "#dx-chat button[name='how']")]
    assert any("voxels of 2.0 x 2.0 x 2.5 mm, mask m1, presence 0.98, quality 0.87" in how for how in numbers)
    assert any("the difference of" in how for how in numbers)
    # low quality and what was not found look different from certainty
    assert "dx-doubt-chip" in page.find(chip("m2")).get_attribute("class")
    assert "dx-doubt-chip" not in page.find(chip("m1")).get_attribute("class")
    page.ask("Show me the larger of the liver and the left block.")
    assert "looked for and not found" in told(page, page.find("#dx-chat .dx-absent-chip"))
    page.ask("Show me the larger of the pancreas and the left block.")
    assert "never taught" in told(page, page.find("#dx-chat .dx-untaught-chip"))


def test_a_chip_lights_its_mask_and_takes_the_viewer_there(page: Page) -> None:
    page.ask(BOTH)
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    plain = tinted(page.picture(), SKY).sum()
    hover(page, page.find(chip("m1")))
    page.until(lambda: page.viewer("lit") == "m1", "m1 is lit")
    assert "mask m1" in page.find("#dx-tip").text or "m1 left block" in page.find("#dx-tip").text
    x = float(page.viewer("mm").split(",")[0])
    assert x < -5  # the left one, in the patient
    picture = page.picture()
    assert tinted(picture, SKY).sum() < plain / 2  # the other one is dimmed
    assert tinted(picture, ORANGE).any()
    hover(page, page.find("#dx-box textarea"))
    page.until(lambda: page.viewer("lit") == "", "it is as it was")
    # by keyboard: focus lights it and shows the tip, Enter selects
    page.driver.execute_script("arguments[0].focus()", page.find(chip("m2")))
    page.until(lambda: page.viewer("lit") == "m2", "m2 is lit")
    assert "presence 0.98, quality 0.41 (low: look at the mask)" in page.find("#dx-tip").text
    assert float(page.viewer("mm").split(",")[0]) > 5
    page.find(chip("m2")).send_keys("\n")
    page.until(lambda: page.count(".dx-findings tr.dx-chosen[data-id=m2]"), "m2 is selected")


def test_a_click_on_a_mask_marks_its_sentence_and_its_row(page: Page) -> None:
    page.ask(BOTH)
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    picture = page.picture()
    half = picture[: picture.shape[0] // 2, : picture.shape[1] // 2]
    row, column = np.argwhere(tinted(half, ORANGE)).mean(axis=0)
    page.click_at(column / picture.shape[1], row / picture.shape[0])
    page.until(lambda: page.count(".dx-findings tr.dx-marked[data-id=m1]"), "its row is marked")
    assert "left block" in page.find("#dx-chat .dx-said.dx-marked").text
    page.click_at(column / picture.shape[1], 0.45 * row / picture.shape[0])
    page.until(lambda: not page.count(".dx-marked"), "nothing is marked off the masks")


def test_operations_in_words_undo_and_redo(page: Page) -> None:
    page.ask(BOTH)
    page.ask("Grow m1 by 6 mm")
    page.until(lambda: page.viewer("overlays") == "m1 m2 m3", "the grown mask is shown")
    assert "m1 grown by 6 mm" in page.find(".dx-findings tr[data-id=m3]").text
    assert "m3 = m1 grown by 6 mm" in told(page, page.find(chip("m3")))
    assert "That is" in answers(page)[-1]
    page.ask("m3 minus m1")
    page.until(lambda: page.viewer("overlays") == "m1 m2 m3 m4", "the difference is shown")
    for wanted in ("m1 m2 m3", "m1 m2"):
        page.press("#dx-undo")
        page.until(lambda wanted=wanted: page.viewer("overlays") == wanted, f"back to {wanted}")
    for wanted in ("m1 m2 m3", "m1 m2 m3 m4"):
        page.press("#dx-redo")
        page.until(lambda wanted=wanted: page.viewer("overlays") == wanted, f"forward to {wanted}")
    page.press("#dx-redo")
    page.until(lambda: "nothing to bring back" in page.find("body").text.lower(), "a message why not")


def test_points_and_a_box_refine_the_selected_mask(page: Page) -> None:
    page.ask(BOTH)
    page.until(lambda: page.viewer("overlays") == "m1 m2", "both masks are shown")
    before = page.find(".dx-findings tr[data-id=m1]").text
    page.press("[data-select=m1]")
    page.until(lambda: "Selected" in page.find("#dx-points").text, "m1 is selected")
    page.click_at(0.3, 0.3)
    page.press("[data-act=plus]")
    page.until(lambda: page.count("[data-refine=m1]"), "there is something to refine it with")
    done = page.count(".dx-foot")
    page.press("[data-refine=m1]")
    page.until(lambda: page.count(".dx-foot") > done, "it is refined")
    page.until(lambda: "v2: refined with 1 point inside" in page.find(".dx-findings tr[data-id=m1]").text, "its row")
    assert page.viewer("overlays") == "m1 m2"
    assert "With 1 point inside the left block (m1)" in answers(page)[-1]
    page.press("#dx-undo")
    page.until(lambda: page.find(".dx-findings tr[data-id=m1]").text == before, "the first version is back")


def test_a_box_is_drawn_on_a_slice(page: Page) -> None:
    from selenium.webdriver import ActionChains

    page.ask(BOTH)
    stage = page.find(".dx-stage canvas")
    width, height = stage.size["width"], stage.size["height"]

    def clicked(across: float, down: float) -> np.ndarray:
        page.click_at(across, down)
        time.sleep(0.3)
        return np.array([float(v) for v in page.viewer("mm").split(",")])

    end, start = clicked(0.26, 0.3), clicked(0.2, 0.2)
    page.click_at(0.3, 0.34)  # elsewhere: where the drag begins must be found out anew
    page.press("#dx-box-tool")
    drag = ActionChains(page.driver).move_to_element_with_offset(stage, -0.3 * width, -0.3 * height).click_and_hold()
    drag.move_by_offset(round(0.03 * width), round(0.05 * height))
    drag.move_by_offset(round(0.03 * width), round(0.05 * height)).release().perform()
    page.until(lambda: "□" in page.find("#dx-points").text, "the box goes with the next question")
    sides = [float(side) for side in re.findall(r"\d+", page.find("#dx-points .dx-point").text)]
    wide = np.sort(np.abs(end - start))[1:]
    np.testing.assert_allclose(np.sort(sides), np.sort([*wide, wide.mean()]), atol=2)  # as deep as wide on the mean
    assert page.find("#dx-box-tool").get_attribute("aria-pressed") == "false"
    page.press("#dx-points [data-drop='-1']")
    page.until(lambda: not page.count("#dx-points .dx-point"), "the box is dropped")


def test_retry_edit_and_branches(page: Page) -> None:
    page.ask(BOTH)
    page.ask("Grow m1 by 6 mm")
    page.press("#dx-retry")
    page.until(lambda: "2/2" in page.find("#dx-chat").text and page.count(".dx-foot") == 2, "it was asked again")
    page.press("#dx-edit")
    page.until(lambda: page.find("#dx-box textarea").get_attribute("value") == "Grow m1 by 6 mm", "the text is back")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "the turn was taken back")
    page.find("#dx-box textarea").clear()
    page.ask("Shrink m2 by 3 mm")
    page.until(lambda: page.viewer("overlays") == "m1 m2 m3", "the new mask is shown")
    assert "m2 shrunk by 3 mm" in page.find(".dx-findings tr[data-id=m3]").text
    page.until(lambda: "3/3" in page.find("#dx-chat").text, "three ways")
    page.press("#dx-chat button[name=way][title='earlier branch']")
    page.until(lambda: "m1 grown by 6 mm" in page.find(".dx-findings tr[data-id=m3]").text, "the other way's mask")
    page.press("#dx-chat button[name=way][title='later branch']")
    page.until(lambda: "m2 shrunk by 3 mm" in page.find(".dx-findings tr[data-id=m3]").text, "and back again")
    page.press("#dx-chat button[name=go]")
    page.until(lambda: page.viewer("overlays") == "m1 m2", "back to after the first question")
    page.ask("m1 + m2")
    page.until(lambda: "4/4" in page.find("#dx-chat").text, "one more way from there")
