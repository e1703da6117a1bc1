"""The desk in a real headless Chromium: it is loaded anew and killed, several readers use it, and bad files are sent.

Sessions are scripted as in `tests/scripted.py`. Needs chromium, chromedriver and node_modules (`npm ci`).
"""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest

from tests.chromium import MARKS, Page, browsing, served
from tests.scripted import ScriptedSession, write_block

pytestmark = MARKS

ROOT = Path(__file__).resolve().parent.parent
SMALL = 2 * 2**20  # bytes an upload may have here


class KeptSession(ScriptedSession):
    made: ClassVar[list[KeptSession]] = []

    def __init__(self, volume: Any) -> None:
        super().__init__(volume)
        self.made.append(self)

    @classmethod
    def let_go_on(cls) -> None:
        """Let out the second half of the answers that wait."""
        for session in cls.made:
            session.go_on.set()


def serve(folder: Path, scan: Path) -> None:
    """A desk in a process of its own: prints its address and serves until it is killed."""
    import app

    desk = app.build_desk(scan=scan, open_session=KeptSession, keep=folder)
    print(app.launch(desk, wait=False, port=int(sys.argv[3])), flush=True)
    time.sleep(600)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block(tmp_path_factory.mktemp("scan") / "block.nii.gz", 120)


@pytest.fixture(scope="module")
def address(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from assistant.desk.room import Limits

    kept, limits = tmp_path_factory.mktemp("kept"), Limits(upload_bytes=SMALL)
    with served(scan, KeptSession, SMALL, keep=kept, limits=limits) as address:
        yield address


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    with browsing(address) as page:
        yield page


def test_a_page_that_is_loaded_anew_is_as_it_was(page: Page, tmp_path: Path) -> None:
    page.ask("Both hippocampi, please.")
    page.press("[data-toggle=m1]")
    page.until(lambda: page.viewer("overlays") == "m2", "m1 is hidden")
    page.ask("Is the liver there?")
    page.open(tmp_path, same_seat=True)
    page.driver.get_log("browser")  # the page that was left may note that its stream was cut
    page.until(lambda: page.viewer("overlays") == "m2", "the masks are back, one hidden")
    text = page.find("#dx-chat").text
    assert "Both hippocampi, please." in text
    assert "there is no liver in this scan" in text
    assert "right hippocampus" in page.find(".dx-findings").text
    page.press("#dx-undo")
    page.until(lambda: not page.count(".dx-absent"), "what was asked before can be taken back")


def test_an_answer_goes_on_while_its_page_is_loaded_anew(page: Page, tmp_path: Path) -> None:
    page.type("wait with both hippocampi")
    page.until(lambda: "m1" in page.viewer("overlays"), "the answer has begun")
    page.open(tmp_path, same_seat=True)
    page.driver.get_log("browser")  # the page that was left notes that its stream was cut
    page.until(lambda: page.viewer("overlays") == "m1", "it is still at it")
    KeptSession.let_go_on()
    page.until(lambda: page.viewer("overlays") == "m1 m2", "the new page sees how it goes on")
    page.until(lambda: page.count(".dx-foot"), "and ends")


def test_an_uploaded_scan_and_its_masks_are_there_after_a_kill(scan: Path, tmp_path: Path) -> None:
    """The process gets SIGKILL, which nothing can prepare for; another one on the same folder takes its place."""
    port = free_port()
    command = [sys.executable, "-m", "tests.test_keeping_browser", str(tmp_path / "kept"), str(scan), str(port)]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http")
        return process

    page, process = None, start()
    try:
        page = Page(f"http://127.0.0.1:{port}/")
        page.open(tmp_path)
        other = write_block(tmp_path / "other.nii.gz", 90)
        page.upload(other)
        page.until(lambda: "other" in page.find("#dx-scan").text, "the upload is open")
        page.ask("Both hippocampi, please.")
        other.unlink()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start()
        page.open(tmp_path, same_seat=True)
        page.until(lambda: page.viewer("overlays") == "m1 m2", "the masks are back")
        assert "other" in page.find("#dx-scan").text
        assert "Both hippocampi, please." in page.find("#dx-chat").text
        page.ask("What else? Both hippocampi.")
        page.until(lambda: page.viewer("overlays") == "m1 m2 m3 m4", "and it goes on")
    finally:
        if page is not None:
            page.driver.quit()
        process.kill()
        process.wait()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_two_readers_with_two_scans_wait_for_each_other_and_see_nothing_of_each_other(
    page: Page, address: str, tmp_path: Path
) -> None:
    other = Page(address)  # a browser of its own: no shared local storage
    try:
        other.open(tmp_path)
        other.upload(write_block(tmp_path / "theirs.nii.gz", 90))
        other.until(lambda: "theirs" in other.find("#dx-scan").text, "the second reader's scan is open")
        page.type("wait with both hippocampi")
        page.until(lambda: "m1" in page.viewer("overlays"), "the first answer has begun")
        other.type("Is the liver there?")
        other.until(lambda: "1 ahead of you" in other.find("#dx-chat").text, "the second reader sees the line")
        assert other.viewer("overlays") == ""
        KeptSession.let_go_on()
        other.until(lambda: other.count(".dx-absent"), "it is the second reader's turn")
        page.until(lambda: page.viewer("overlays") == "m1 m2", "the first answer is whole")
        assert "theirs" not in page.find("body").text
        assert "liver" not in page.find("body").text
        assert "hippocamp" not in other.find("#dx-chat").text
        assert other.viewer("overlays") == ""
        other.check()
    finally:
        other.driver.quit()


# ---- bad files (DESIGN, section 9) -----------------------------------------------------------------------------------


def truncated(folder: Path, scan: Path) -> Path:
    path = folder / "short.nii.gz"
    path.write_bytes(scan.read_bytes()[:400])
    return path


def text_file(folder: Path, scan: Path) -> Path:
    path = folder / "letter.nii.gz"
    path.write_text("Dear colleague, thank you for referring this patient.")
    return path


def empty_file(folder: Path, scan: Path) -> Path:
    path = folder / "empty.nii"
    path.write_bytes(b"")
    return path


def constant(folder: Path, scan: Path) -> Path:
    path = folder / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.full((8, 8, 8), 7, np.int16), np.eye(4)), path)
    return path


def photograph(folder: Path, scan: Path) -> Path:
    from PIL import Image

    path = folder / "photo.png"
    Image.new("RGB", (32, 32), (90, 20, 20)).save(path)
    return path


def bomb(folder: Path, scan: Path) -> Path:
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("series/1.dcm", bytes(100 * 2**20))
    return path


def escaping(folder: Path, scan: Path) -> Path:
    path = folder / "escape.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../1.dcm", b"DICM")
    return path


def no_series(folder: Path, scan: Path) -> Path:
    path = folder / "papers.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing to see")
    return path


def huge_header(folder: Path, scan: Path) -> Path:
    path = folder / "huge.nii"
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    header.set_data_dtype(np.int16)
    path.write_bytes(header.binaryblock + bytes(4 + 1000))
    return path


BAD = {
    truncated: ("short.nii.gz",),
    text_file: ("letter.nii.gz",),
    empty_file: ("empty.nii is empty (0 bytes)",),
    constant: ("all 512 voxels are 7",),
    photograph: ("photo.png is not a scan this program reads",),
    bomb: ("bomb.zip", "zip bomb"),
    escaping: ("escape.zip", "points outside the archive"),
    no_series: ("papers.zip",),
    huge_header: ("huge.nii", "2000"),
}


def test_bad_files_of_every_kind_get_a_sentence_and_the_desk_lives_on(
    page: Page, scan: Path, tmp_path: Path
) -> None:
    page.ask("Both hippocampi, please.")
    shown = page.viewer("scan")
    for make, words in BAD.items():
        page.upload(make(tmp_path, scan))
        page.until(lambda: all(word in chat_text(page) for word in words), f"a sentence about {make.__name__}")  # noqa: B023
        assert "Traceback" not in page.find("body").text
        assert str(ROOT) not in page.find("body").text
        assert page.viewer("scan") == shown
    assert page.viewer("overlays") == "m1 m2"
    page.ask("Is the liver there?")


def chat_text(page: Page) -> str:
    return str(page.find("#dx-chat").get_attribute("textContent"))


def test_what_is_over_the_limit_is_refused_while_it_comes(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.nii"
    large.write_bytes(bytes(SMALL + 2**20))
    page.upload(large)
    page.until(lambda: "maximum allowed size" in page.find("body").text, "the size is told")
    page.ask("Both hippocampi, please.")
    page.driver.get_log("browser")  # the browser itself notes the refused request


def series_zip(folder: Path) -> Path:
    """Twelve slices of a CT as DICOM, zipped."""
    from tests.test_dicom import write_series

    write_series(folder / "series")
    return Path(shutil.make_archive(str(folder / "series"), "zip", folder / "series"))


def test_a_zipped_series_is_opened_and_a_dropped_file_too(page: Page, tmp_path: Path) -> None:
    shown = page.viewer("scan")
    page.upload(series_zip(tmp_path))
    page.until(lambda: page.viewer("scan") not in ("", shown), "the series is shown")
    assert "CT" in page.find("#dx-scan").text
    shown = page.viewer("scan")
    drop(page, write_block(tmp_path / "dropped.nii.gz", 90))
    page.until(lambda: page.viewer("scan") not in ("", shown), "the dropped scan is shown")
    assert "dropped" in page.find("#dx-scan").text
    drop(page, text_file(tmp_path, tmp_path))
    page.until(lambda: "letter.nii.gz" in chat_text(page), "a bad one is told")
    assert "dropped" in page.find("#dx-scan").text


def drop(page: Page, path: Path) -> None:
    """As a mouse drops a file on the viewer."""
    page.driver.execute_script(
        """
        const bytes = Uint8Array.from(atob(arguments[1]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], arguments[0]));
        const stage = document.querySelector('.dx-stage');
        for (const kind of ['dragenter', 'dragover', 'drop'])
          stage.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        """,
        path.name,
        base64.b64encode(path.read_bytes()).decode(),
    )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
