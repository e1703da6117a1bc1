"""What a seat shows: the open scan, what was asked and found, what is pointed at, what is hidden.

Nothing is computed here and nothing waits: the page reads it while an answer is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.desk.display import ExactFile
from assistant.desk.turn import Notice, Point, Said, Turn
from assistant.errors import QuestionError
from assistant.history import History

if TYPE_CHECKING:
    from assistant.desk.doubt import Doubt
    from assistant.generate import Finding
    from assistant.volume import Volume


class Shown:
    """What the page shows of a seat, and what the diary keeps of it. Methods raise QuestionError before they change
    anything."""

    def __init__(self, folder: Path) -> None:
        """folder: where the files lie that the viewer loads."""
        self.folder = folder
        self.volume: Volume | None = None
        self.scan_file: Path | None = None
        self.exact: ExactFile | None = None
        self.windows: list[dict[str, object]] = []
        self._clear()

    def _clear(self) -> None:
        """Nothing was said, found or pointed at yet: so it is with every newly opened scan."""
        self.doubt: Doubt | None = None
        self.log: list[Turn | Notice] = []
        self.history: History[Said] = History(((), 0))
        self.points: list[Point] = []
        self.box: tuple[float, ...] | None = None
        self.selected = ""
        self.hidden: set[str] = set()
        self.overlay_files: dict[str, Path] = {}
        self.focus: tuple[int, tuple[float, float, float]] | None = None
        self.prior_name = ""
        self.prior_path: Path | None = None
        #: masks of the prior, carried to this scan: id -> (phrase, file); those of the last comparison
        self.prior_overlays: dict[str, tuple[str, Path]] = {}

    # ---- what was said and found -------------------------------------------------------------------------------

    def notice(self, text: str) -> None:
        self.log.append(Notice(text))

    @property
    def findings(self) -> list[Finding]:
        """Every mask of this scan, oldest first, then what was looked for and not found, each phrase once."""
        found = [finding for turn in self.log if isinstance(turn, Turn) for finding in turn.found]
        masks = {finding.id: finding for finding in found if finding.id in self.overlay_files}
        absent = {finding.phrase: finding for finding in found if finding.id not in self.overlay_files}
        return [*masks.values(), *absent.values()]

    def last(self, kind: type[Any]) -> Any:
        """The newest result of a kind (`Report`, `Comparison`); None where there is none, or it was taken back."""
        results = [entry.result for entry in self.log if isinstance(entry, Turn)]
        return next((result for result in reversed(results) if isinstance(result, kind)), None)

    def _last_turn(self) -> Turn:
        turn = next((entry for entry in reversed(self.log) if isinstance(entry, Turn)), None)
        if turn is None:
            raise QuestionError("There is no question to take back; ask one first.")
        return turn

    @property
    def is_used(self) -> bool:
        """Whether there is anything that a reader would miss."""
        return (self.folder / "upload").is_dir() or any(isinstance(entry, Turn) for entry in self.log)

    def one_way(self) -> None:
        """Make the history what was said here and nothing else: a session comes back from its folder without the ways
        that were left."""
        self.history, step = History(((), 0)), 0
        for n, entry in enumerate(self.log):
            if isinstance(entry, Turn) and entry.done:
                step += entry.kept
                entry.step = self.history.add((tuple(self.log[: n + 1]), step))

    def show_again(self, entries: Sequence[Turn | Notice]) -> None:
        """Show what was said at another time, with the masks of then."""
        self.log = list(entries)
        turns = [entry for entry in self.log if isinstance(entry, Turn)]
        self.overlay_files = {mask_id: file for turn in turns for mask_id, file in turn.files.items()}
        self.prior_overlays = next((dict(turn.before) for turn in reversed(turns) if turn.before), {})
        self.hidden &= set(self.overlay_files)
        if self.selected not in self.overlay_files:
            self.selected = ""

    def _shown_files(self) -> list[Path]:
        """Every file that the viewer was given of masks, on any way."""
        turns = {id(t): t for said, _ in self.history.states for t in said if isinstance(t, Turn)}.values()
        return [file for t in turns for file in [*t.files.values(), *(path for _, path in t.before.values())]]

    # ---- what is pointed at ------------------------------------------------------------------------------------

    def _open_volume(self, doing: str) -> Volume:
        if self.volume is None:
            raise QuestionError(f"No scan is open; open one before {doing}.")
        return self.volume

    def add_point(self, mm: Sequence[float], label: int) -> None:
        """Keep a click for the next question. Raises QuestionError outside the scan."""
        if self.volume is None:
            raise QuestionError("No scan is open; open one before placing points.")
        point = (float(mm[0]), float(mm[1]), float(mm[2]))
        if not self.volume.contains(np.asarray(point)):
            place = ", ".join(f"{v:.1f}" for v in point)
            raise QuestionError(f"The point ({place}) mm lies outside the scan; click inside it.")
        self.points.append(Point(point, int(label)))

    def set_box(self, box: Sequence[float]) -> None:
        """Keep a box (two opposite corners, RAS+ mm) for the next question, in place of the last one."""
        if self.volume is None:
            raise QuestionError("No scan is open; open one before drawing a box.")
        low, high = np.sort(np.asarray(box, float).reshape(2, 3), axis=0)
        self.box = (*(float(v) for v in low), *(float(v) for v in high))

    def drop_point(self, n: int) -> None:
        """Take back a point; -1 is the box."""
        if n == -1:
            self.box = None
        if 0 <= n < len(self.points):
            del self.points[n]

    # ---- what is looked at -------------------------------------------------------------------------------------

    def select(self, mask_id: str) -> None:
        """Make a mask "it": clicks refine it and words work on it. The selected one again: none."""
        if mask_id in self.overlay_files:
            self.selected = "" if mask_id == self.selected else mask_id

    def toggle(self, mask_id: str) -> None:
        """Show a hidden mask, hide a shown one; "*" shows all when any is hidden, else hides all."""
        every = set(self.overlay_files)
        if mask_id == "*":
            self.hidden = set() if self.hidden else every
        elif mask_id in every:
            self.hidden ^= {mask_id}

    def look_at(self, mm: Sequence[float]) -> None:
        """Ask the viewer to move its crosshair there (RAS+ mm)."""
        n = self.focus[0] + 1 if self.focus else 1
        self.focus = (n, (float(mm[0]), float(mm[1]), float(mm[2])))
