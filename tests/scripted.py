"""What stands for a session behind the desk: it says what the real one would, in the same events, and computes nothing.
So what is tested is the desk: the page, the viewer, the wiring."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from assistant.history import History


def write_block(path: Path, corner: int) -> Path:
    """A dim block with a corner of another value, left-handed (LAS) with unequal voxels, centred near the origin."""
    voxels = np.full((40, 48, 36), 60, np.int16)
    voxels[:4] = voxels[-4:] = voxels[:, :4] = voxels[:, -4:] = voxels[:, :, :4] = voxels[:, :, -4:] = 0
    voxels[24:32, 30:40, 20:30] = corner
    affine = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -48], [0, 0, 2.5, -45], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


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
