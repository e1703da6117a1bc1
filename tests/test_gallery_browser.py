"""The desk's examples, tour and saved comparison in a real headless Chromium, with a scripted session.

Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.desk import texts
from tests.chromium import MARKS, Page, browsing, served
from tests.scripted import write_block
from tests.test_workspaces_browser import Scripted, choose

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEIXIS_CACHE", str(tmp_path_factory.mktemp("cache")))
        scan = write_block(tmp_path_factory.mktemp("scan") / "block.nii.gz", 120)
        with served(scan, Scripted) as address, browsing(address) as page:
            yield page


def test_the_drawn_examples_open_with_the_questions_of_their_modality(page: Page) -> None:
    for key, modality in (("neck", "CT"), ("tumour", "PET")):
        shown = page.viewer("scan")
        page.press(f"#dx-example-{key}")
        page.until(lambda: page.viewer("scan") not in ("", shown), f"{key} is shown")  # noqa: B023
        page.until(lambda: modality in page.find("#dx-scan").text, "its modality is said")  # noqa: B023
        page.until(lambda: texts.QUESTIONS[modality][0] in page.find("#dx-chat").text, "so are questions")  # noqa: B023


def test_the_tour_is_taken_and_left_by_keyboard(page: Page) -> None:
    from selenium.webdriver import ActionChains, Keys

    def typed(key: str) -> None:
        ActionChains(page.driver).send_keys(key).perform()

    def heading() -> str:
        return str(page.find("dialog.dx-tour h2").text)

    start = page.find(".dx-tour-start")
    start.send_keys(Keys.ENTER)
    for n, (at, title, text) in enumerate(texts.TOUR_STEPS):
        page.until(lambda: heading() == title, f"step {n}")  # noqa: B023
        assert page.find("dialog.dx-tour p").text == text
        assert page.count(f"{at}.dx-tour-here") == 1, f"{at} is not on the page"
        box = page.find("dialog.dx-tour").rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.driver.execute_script("return innerWidth")
        assert box["y"] + box["height"] <= page.driver.execute_script("return innerHeight")
        typed(Keys.ENTER)
    page.until(lambda: not page.count("dialog.dx-tour"), "the last step ends it")
    assert page.driver.switch_to.active_element == start
    start.send_keys(Keys.ENTER)
    typed(Keys.ENTER)
    typed(Keys.ESCAPE)
    page.until(lambda: not page.count("dialog.dx-tour"), "Escape leaves it")
    assert not page.count(".dx-tour-here")


def test_a_comparison_that_is_not_there_cannot_be_saved(page: Page) -> None:
    choose(page, texts.COMPARE_TAB)
    page.press("#dx-prior-save")
    page.until(lambda: "There is no comparison to save yet" in page.find("body").text, "it is told")
