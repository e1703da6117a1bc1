"""The desk in a real headless Chromium: open, ask, overlays, click, download, bad files, no other host.

A scripted session answers (it says what the real one would, in the same events), so what is tested is the desk: the
page, the viewer, the wiring. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest

from assistant.history import History

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium") or not shutil.which("chromedriver"), reason="no Chromium here"),
]

GPU = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL2 in software
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1500,900", "--force-color-profile=srgb",
)  # fmt: skip


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.indices(shape).astype(np.float32)
    return sum((grid[k] - centre[k]) ** 2 for k in range(3)) <= radius**2


class ScriptedSession:
    """Two balls for most questions, an absent liver, a ball at the point for "What is this?"."""

    def __init__(self, volume: Any, *, slow: float = 0.0) -> None:
        self.go_on = threading.Event()  # a question with "wait" in it is answered in halves; this lets the second out
        self.volume = volume
        self.slow = slow
        self.asked: list[tuple[str, Any]] = []
        self.kept: list[Any] = []
        self.history: Any = History(((), ()))

    def _finding(self, phrase: str, mask: np.ndarray | None, quality: float = 0.87) -> Any:
        from assistant.evidence import measure
        from assistant.generate import Finding

        turn = len(self.asked) - 1
        if mask is None:
            return Finding("", phrase, False, 0.03, None, None, None, None, "", None, None, turn)
        m = measure(self.volume, mask)
        finding = Finding(
            f"m{len(self.kept) + 1}", phrase, True, 0.98, quality, m.volume_ml, m.longest_diameter_mm,
            m.mean_intensity, m.intensity_unit, self.volume.to_native(mask), m.centroid_mm, turn,
        )  # fmt: skip
        self.kept.append(finding)
        return finding

    def stream(
        self, text: str, points: Any = None, box: Any = None, *, selected: str = "",
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        from assistant.errors import QuestionError
        from assistant.generate import Delta, Done, Grounded

        if "broken" in text:
            raise KeyError("a bug")
        if "refuse" in text:
            raise QuestionError("The question was refused; ask another one.")
        self.asked.append((text, points))
        shape = self.volume.shape
        radius = min(shape) / 10
        said = ""

        def say(words: str) -> Iterator[Any]:
            nonlocal said
            for word in words.split(" "):
                time.sleep(self.slow)
                said += word + " "
                yield Delta(word + " ")

        if "liver" in text:
            yield Grounded(self._finding("liver", None))
            yield from say("liver (not found) No, there is no liver in this scan.")
        elif points and "What is this" in text:
            centre = self.volume.to_index(np.asarray([points[0][:3]]))[0]
            yield Grounded(self._finding("this structure", ball(shape, tuple(centre), radius), quality=0.41))
            yield from say(f"this structure ({self.kept[-1].id}) This is a ball.")
        else:
            for side, part in (("left", 0.36), ("right", 0.64)):
                centre = (shape[0] * part, shape[1] * 0.45, shape[2] * 0.42)
                finding = self._finding(f"{side} hippocampus", ball(shape, centre, radius))
                yield Grounded(finding)
                yield from say(f"{side} hippocampus ({finding.id})")
                if "wait" in text:
                    self.go_on.wait(timeout=120)
            yield from say("Both have the <b>same</b> size: * 2.9 mL and 2.9 mL.")
        self.done()
        yield Done(content=said, visible=said, stopped=should_stop is not None and should_stop())

    def done(self) -> None:
        self.history.add((tuple(self.asked), tuple(self.kept)))

    @property
    def step(self) -> int:
        return self.history.step

    def go(self, step: int) -> None:
        self.asked[:], self.kept[:] = self.history.go(step)

    nbytes = 0

    def read_on(self) -> bool:
        return False

    def save(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "asked.json").write_text(json.dumps(self.asked))

    def recall(self, folder: str | Path) -> None:
        """Ask the same again."""
        for text, points in json.loads((Path(folder) / "asked.json").read_text()):
            list(self.stream(text, points))

    def export(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True)
        for finding in self.kept:
            image = nib.Nifti1Image(finding.mask.astype(np.uint8), self.volume.affine)
            nib.save(image, Path(folder) / f"{finding.id}.nii.gz")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dim block with a bright corner, stored left-handed (LAS) with unequal voxels, centred near the origin."""
    voxels = np.full((40, 48, 36), 60, np.int16)
    voxels[:4] = voxels[-4:] = voxels[:, :4] = voxels[:, -4:] = voxels[:, :, :4] = voxels[:, :, -4:] = 0
    voxels[24:32, 30:40, 20:30] = 120
    affine = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -48], [0, 0, 2.5, -45], [0, 0, 0, 1]])
    path = tmp_path_factory.mktemp("scan") / "block.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture(scope="module")
def desk(scan: Path) -> Iterator[tuple[str, list[ScriptedSession]]]:
    """The served page's address, and the sessions it has made, newest last."""
    import app
    import assistant.generate  # noqa: F401  here, and not while the first question waits: it imports torch

    made: list[ScriptedSession] = []

    def open_session(volume: Any) -> ScriptedSession:
        made.append(ScriptedSession(volume))
        return made[-1]

    blocks = app.build_desk(scan=scan, open_session=open_session)
    yield app.launch(blocks, wait=False), made
    blocks.close()


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
        assert not errors
        own = urlsplit(self.address).netloc
        assert {url.geturl() for url in asked if url.scheme not in ("data", "blob") and url.netloc != own} == set()


@pytest.fixture(scope="module")
def browser(desk: tuple[str, list[ScriptedSession]]) -> Iterator[Page]:
    opened = Page(desk[0])
    yield opened
    opened.driver.quit()


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Iterator[Page]:
    browser.open(tmp_path)
    yield browser
    browser.check()


def tinted(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """Where a mask's colour lies over the grey: pixels whose colour, without its grey part, points the same way."""
    colour = picture.astype(float) - picture.mean(axis=2, keepdims=True)
    target = np.asarray(rgb, float) - np.mean(rgb)
    size = np.linalg.norm(colour, axis=2)
    return (size > 25) & ((colour @ target) > 0.97 * size * np.linalg.norm(target))


ORANGE, SKY = (230, 159, 0), (86, 180, 233)  # m1, m2


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
