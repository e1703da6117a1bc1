"""How the viewer bears a large CT: time until it is seen, bytes sent, slices a second. Not a test; run it by hand:

    python -m tests.bench_viewer [--shape 512 512 600] [--engine niivue slices]

A headless Chromium without a graphics card draws WebGL in software, so the figures of NiiVue are lower bounds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tests.chromium import GPU, Page
from tests.scripted import ScriptedSession

# Scrolls one slice a frame for some seconds, as a wheel does; answers with the slices seen in a second.
SCROLL = """
const [seconds, done] = arguments;
const canvas = document.querySelector('.dx-stage canvas');
const box = canvas.getBoundingClientRect();
const seen = new Set();
const start = performance.now();
let turn = 0;
function frame(now) {
  seen.add(document.querySelector('.dx-viewer').dataset.mm);
  if (now - start > 1000 * seconds) { done((seen.size - 1) / ((now - start) / 1000)); return; }
  canvas.dispatchEvent(new WheelEvent('wheel', {
    bubbles: true, cancelable: true, deltaY: ++turn % 400 < 200 ? 100 : -100,
    clientX: box.left + box.width * 0.4, clientY: box.top + box.height * 0.4,
  }));
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
"""


class Silent(ScriptedSession):
    def read_on(self) -> bool:
        return False


def write_large_ct(path: Path, shape: tuple[int, int, int]) -> Path:
    """A body of soft tissue with noise and a spine, 0.7 x 0.7 x 1 mm, int16."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape[:2]), indexing="ij")
    plane = np.where((x / 0.85) ** 2 + (y / 0.6) ** 2 < 1, 40, -1000)
    plane[(x**2 + (y + 0.3) ** 2) < 0.02] = 600
    voxels = np.empty(shape, np.int16)
    for k in range(shape[2]):
        voxels[:, :, k] = plane + rng.integers(-20, 21, shape[:2])
    nib.save(nib.Nifti1Image(voxels, np.diag([-0.7, -0.7, 1.0, 1.0])), path)
    return path


def received(page: Page) -> int:
    """Bytes that came over the network since the last call."""
    total = 0
    for line in page.driver.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.loadingFinished":
            total += int(message["params"]["encodedDataLength"])
    return total


def measure(address: str, engine: str) -> dict[str, Any]:
    page = Page(address, GPU if engine == "niivue" else ("--disable-3d-apis",))
    page.driver.set_script_timeout(120)
    page.driver.set_page_load_timeout(300)
    try:
        start = time.perf_counter()
        page.driver.get(f"{address}?__theme=light")
        page.until(lambda: page.viewer("scan"), "the scan is shown", 600)
        figures: dict[str, Any] = {"engine": page.viewer("engine"), "seconds until seen": time.perf_counter() - start}
        figures["megabytes"] = received(page) / 1e6
        for layout in ("axial", "all"):
            page.driver.execute_script(f"document.querySelector(\"[data-layout='{layout}']\").click()")
            time.sleep(1)
            figures[f"slices a second, {layout}"] = page.driver.execute_async_script(SCROLL, 5)
        return figures
    finally:
        page.driver.quit()


def main() -> None:
    import app
    from assistant.volume import open_volume

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 600))
    parser.add_argument("--engine", nargs="+", default=["niivue", "slices"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_large_ct(Path(folder) / "large.nii", tuple(args.shape))
        start = time.perf_counter()
        open_volume(path)
        print(f"reading the file: {time.perf_counter() - start:.1f} s")
        blocks = app.build_desk(scan=path, open_session=Silent)
        address = app.launch(blocks, wait=False)
        for engine in args.engine:
            figures = measure(address, engine)
            print(", ".join(f"{name} {v if isinstance(v, str) else round(v, 1)}" for name, v in figures.items()))
        blocks.close()


if __name__ == "__main__":
    main()
