"""The README's pictures of the desk: real answers of the embedded model, photographed in headless Chromium.

    python -m tests.readme_pictures tests/pictures

Not a test: it takes a minute and needs the embedded model, chromium, chromedriver and node_modules. The earlier scan of
the comparison is the template itself, turned by two degrees and its values bent: nothing in it has changed.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from scipy import ndimage

from assistant.examples import EXAMPLE_REPORT, example_scan
from tests.chromium import Page
from tests.test_workspaces_browser import attach, choose

PATIENCE = 600  # seconds: this machine may have other work
QUALITY = 88  # a picture stays below 300 kB


def earlier(path: Path) -> Path:
    image = nib.load(example_scan())
    voxels = np.asarray(image.dataobj, np.float32)
    turn = np.deg2rad(2)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    middle = (np.array(voxels.shape) - 1) / 2
    turned = ndimage.affine_transform(voxels, matrix, middle - matrix @ middle, order=1)
    nib.save(nib.Nifti1Image((turned**0.9).astype(np.float32), image.affine), path)
    return path


def photograph(page: Page, path: Path) -> None:
    time.sleep(1.5)  # the viewer's last frame
    picture = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB")
    picture.save(path, quality=QUALITY, optimize=True)
    print(path, picture.size, path.stat().st_size // 1024, "kB", flush=True)


def ask(page: Page, text: str) -> None:
    answers = page.count(".dx-foot")
    page.type(text)
    page.until(lambda: page.count(".dx-foot") > answers, f"an answer to {text!r}", PATIENCE)


def main(folder: Path) -> None:
    import app

    scratch = Path(tempfile.mkdtemp())
    desk = app.build_desk()
    page = Page(app.launch(desk, wait=False))
    try:
        page.driver.set_window_size(1280, 860)
        page.open(scratch)
        ask(page, "Is the left hippocampus smaller than the right?")
        ask(page, "Show me both lateral ventricles. How large are they together?")
        photograph(page, folder / "ask.jpg")
        choose(page, "Ground a report")
        page.press("#dx-report-example")
        box = "#dx-report-text textarea"
        page.until(lambda: EXAMPLE_REPORT[:9] in page.find(box).get_attribute("value"), "the report is in the box")
        page.press("#dx-report-go")
        page.until(lambda: page.count("#dx-report .dx-line") > 5, "every sentence has its line", PATIENCE)
        photograph(page, folder / "report.jpg")
        choose(page, "Compare with a prior")
        attach(page, "Open the earlier scan", earlier(scratch / "earlier_t1.nii.gz"))
        page.until(lambda: "earlier_t1" in page.find("#dx-prior-name").text, "the prior is open", PATIENCE)
        page.find("#dx-prior-box textarea").send_keys("Left thalamus\n")
        page.until(lambda: "Registration" in page.find("#dx-prior").text, "the scans are compared", PATIENCE)
        photograph(page, folder / "compare.jpg")
    finally:
        page.driver.quit()
        desk.close()
        print(scratch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
