"""A page of the desk in a real headless Chromium, for the tests of the `browser` tier.

Needs chromium, chromedriver and node_modules (`npm ci`). `conftest.py` has the fixture `page`, which loads a
module's own `browser` anew for each test.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

#: of a module whose tests need it: `pytestmark = chromium.MARKS`
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium") or not shutil.which("chromedriver"), reason="no Chromium here"),
]
GPU = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL2 in software
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1500,900", "--force-color-profile=srgb",
)  # fmt: skip
ORANGE, SKY = (230, 159, 0), (86, 180, 233)  # m1, m2


@contextmanager
def served(
    scan: Path, open_session: Callable[[Any], Any], upload_bytes: int | None = None, **more: Any
) -> Iterator[str]:
    """A desk at work, and its address. more: of `app.build_desk`."""
    import app
    import assistant.generate  # noqa: F401  here, and not while the first question waits: it imports torch

    blocks = app.build_desk(scan=scan, open_session=open_session, **more)
    limit = {} if upload_bytes is None else {"upload_bytes": upload_bytes}
    try:
        yield app.launch(blocks, wait=False, **limit)
    finally:
        blocks.close()


@contextmanager
def browsing(address: str, flags: tuple[str, ...] = GPU) -> Iterator[Page]:
    """A browser that has not opened anything yet."""
    page = Page(address, flags)
    try:
        yield page
    finally:
        page.driver.quit()


class Page:
    """A page of the desk in a browser."""

    def __init__(self, address: str, flags: tuple[str, ...] = GPU) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, *flags):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.address = address
        self.driver = webdriver.Chrome(options=options, service=service)

    def open(self, downloads: Path, *, same_seat: bool = False) -> None:
        """Load the page anew: a seat and a session of its own, or the one that the browser remembers."""
        if not same_seat:
            self.driver.execute_cdp_cmd(
                "Storage.clearDataForOrigin", {"origin": self.address.rstrip("/"), "storageTypes": "local_storage"}
            )
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        self.driver.get(f"{self.address}?__theme=light")
        self.until(lambda: self.viewer("scan"), "the scan is shown")
        self.until(lambda: "loading" not in self.find("#dx-scan").text, "the session is ready")

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def count(self, selector: str) -> int:
        return len(self.driver.find_elements("css selector", selector))

    def viewer(self, name: str) -> str:
        return self.find(".dx-viewer").get_attribute(f"data-{name}") or ""

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 90) -> None:
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (NoSuchElementException, StaleElementReferenceException):
                pass  # the page is being rendered
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}; the page says: {self.find('body').text[:2000]}")

    def type(self, text: str) -> None:
        self.find("#dx-box textarea").send_keys(text + "\n")

    def ask(self, text: str) -> None:
        answers = self.count(".dx-foot")
        self.type(text)
        self.until(lambda: self.count(".dx-foot") > answers, f"an answer to {text!r}")

    def click_at(self, across: float, down: float) -> None:
        """Click in the stage, at fractions of its width and height."""
        from selenium.webdriver import ActionChains

        stage = self.find(".dx-stage canvas")
        place = ((across - 0.5) * stage.size["width"], (down - 0.5) * stage.size["height"])
        ActionChains(self.driver).move_to_element_with_offset(stage, *place).click().perform()

    def press(self, selector: str) -> None:
        from selenium.common.exceptions import ElementClickInterceptedException

        def pressed() -> bool:
            try:
                self.find(selector).click()
            except ElementClickInterceptedException:  # a message lies over it until it goes away
                return False
            return True

        self.until(lambda: self.find(selector).is_enabled(), f"{selector} can be pressed")
        self.until(pressed, f"{selector} is not covered")

    def upload(self, path: Path) -> None:
        chosen = self.find("input[type=file][data-testid^='Open scan']")
        self.driver.execute_script("arguments[0].value = null", chosen)  # the driver would add to the last choice
        chosen.send_keys(str(path))

    def picture(self) -> np.ndarray:
        """The stage as shown, (rows, columns, 3) uint8."""
        from PIL import Image

        time.sleep(0.3)
        return np.asarray(Image.open(io.BytesIO(self.find(".dx-stage canvas").screenshot_as_png)).convert("RGB"))

    def check(self) -> None:
        """Every test ends with this: no error in the console, no request to another host."""
        errors = [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        asked = set()
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                asked.add(urlsplit(message["params"].get("request", message["params"])["url"]))
        assert not errors, errors
        own = urlsplit(self.address).netloc
        assert {url.geturl() for url in asked if url.scheme not in ("data", "blob") and url.netloc != own} == set()


def tinted(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """Where a mask's colour lies over the grey: pixels whose colour, without its grey part, points the same way."""
    colour = picture.astype(float) - picture.mean(axis=2, keepdims=True)
    target = np.asarray(rgb, float) - np.mean(rgb)
    size = np.linalg.norm(colour, axis=2)
    return (size > 25) & ((colour @ target) > 0.97 * size * np.linalg.norm(target))
