"""One reader's seat at the desk: the open scan, what was asked and found, what is shown.

A seat belongs to one browser page. An answer is made in a thread of its own that writes into the seat, and the page
looks at the seat: a page that is closed or reloaded in mid-answer holds no lock, and a slow browser does not slow the
model down.
"""

from __future__ import annotations

import atexit
import dataclasses
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.desk import diary, texts
from assistant.desk.display import ExactFile, write_exact
from assistant.desk.files import windows, write_overlay, write_scan
from assistant.desk.turn import Notice, OpenPrior, OpenScan, Point, Said, Turn, as_sentence
from assistant.desk.turnstile import Left, Turnstile
from assistant.errors import DeixisError, QuestionError, ResourceError
from assistant.history import History

if TYPE_CHECKING:
    from assistant.desk.doubt import Doubt
    from assistant.generate import Event, Finding
    from assistant.uncertainty import Uncertainty
    from assistant.volume import Volume

log = logging.getLogger("deixis.desk")


_seats: weakref.WeakSet[Seat] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """Stop and wait for what is being computed: torch aborts a program that ends in the middle of it."""
    for seat in list(_seats):
        seat.leave()


class Seat:
    """One page's state. Methods raise DeixisError before they change anything; `ask` keeps its error in the turn."""

    def __init__(
        self, open_session: Callable[[Volume], OpenScan], folder: Path, turnstile: Turnstile
    ) -> None:
        """folder: this seat's own, where it is kept. turnstile: one model at work at a time on this machine."""
        self.folder = folder
        self.answer_seconds = float("inf")  # of computing one answer
        self.computed: Callable[[Seat], None] = lambda seat: None  # called after work that took memory
        self._open_session = open_session
        self._turnstile = turnstile
        self._busy = threading.Lock()
        self._doing = ""
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._closed = False
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        _seats.add(self)
        self._changed = threading.Event()
        self._session: OpenScan | None = None
        self._saved = True  # nothing is lost when the session is closed
        self.volume: Volume | None = None
        self.scan_file: Path | None = None
        self.exact: ExactFile | None = None
        self.doubt: Doubt | None = None
        self.windows: list[dict[str, object]] = []
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
        self._prior: OpenPrior | None = None
        #: masks of the prior, carried to this scan: id -> (phrase, file); those of the last comparison
        self.prior_overlays: dict[str, tuple[str, Path]] = {}

    @contextmanager
    def _only_one(self, doing: str) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise QuestionError(f"The desk is still {self._doing}; wait for it or press Stop. Nothing was lost.")
        self._doing = doing
        try:
            yield
        finally:
            self._busy.release()

    # ---- the scan ----------------------------------------------------------------------------------------------

    def open(self, path: str | Path) -> None:
        """Read a scan and put it in place of the present one. When that fails the present one stays as it is."""
        from assistant.volume import open_volume

        with self._only_one("opening a scan"), self._uploads_swept():
            volume = open_volume(path)
            scan_file, presets = write_scan(volume, self.folder), windows(volume)
            exact = write_exact(volume, self.folder)
            for file in [self.scan_file, self.exact.path if self.exact else None, *self._shown_files()]:
                if file is not None:
                    file.unlink(missing_ok=True)
            self.exact, self.doubt = exact, None
            self.volume, self.scan_file, self.windows, self._session = volume, scan_file, presets, None
            self.log, self.points, self.hidden, self.overlay_files, self.focus = [], [], set(), {}, None
            self.history, self.box, self.selected, self.prior_overlays = History(((), 0)), None, "", {}
            self._prior, self.prior_name, self.prior_path = None, "", None
            shutil.rmtree(self.folder / diary.SESSION, ignore_errors=True)
            self._save()

    @contextmanager
    def _uploads_swept(self) -> Iterator[None]:
        """At the end of the block, what was uploaded and is not open goes."""
        try:
            yield
        finally:
            opened = [self.volume.path if self.volume is not None else None, self.prior_path]
            for upload in (self.folder / "upload").glob("*"):
                if not any(path is not None and Path(path).is_relative_to(upload) for path in opened):
                    shutil.rmtree(upload, ignore_errors=True)

    def restore(self) -> bool:
        """Put back what the folder holds of an earlier time; False when it holds nothing. Raises ScanError when the
        scan is gone or has changed since."""
        if self.volume is not None or not diary.is_kept(self.folder):
            return False
        with self._only_one("opening the last session"):
            volume = diary.read(self)
            self.volume, self.windows, self.exact = volume, windows(volume), write_exact(volume, self.folder)
        return True

    def begin(self, first: Callable[[], Path]) -> None:
        """Put back what was open here, or open the first scan."""
        if not self.restore():
            self.open(first())

    def _save(self, turn: Turn | None = None) -> None:
        """Save everything. What cannot be saved stays in memory, and the reader is told."""
        try:
            if self._session is not None and (turn is None or turn.done or turn.kept or turn.error):
                self._saved = False
                self._session.save(self.folder / diary.SESSION)
                self._saved = True
            diary.write(self)
        except DeixisError as error:
            said = texts.NOT_SAVED.format(error=error)
            if turn is None:
                self.notice(said)
            else:
                turn.footnote.append(said)

    @property
    def nbytes(self) -> int:
        """Bytes held for the scan and the session, without the model."""
        if self._session is not None:
            return self._session.nbytes
        return 0 if self.volume is None else self.volume.voxels.nbytes

    def rest(self) -> bool:
        """Close the session to give its memory back; the next question opens it again. False while it is at work, or
        could not be saved."""
        if self._session is None or not self._saved or not self._busy.acquire(blocking=False):
            return False
        try:
            self._session = self._prior = None
            return True
        finally:
            self._busy.release()

    def prepare(self) -> None:
        """Load the model and encode the scan ahead of the first question (which does it itself when asked sooner)."""
        volume = self.volume
        if volume is not None:
            with self._turnstile:
                self._connected(volume)
                self.computed(self)

    def _connected(self, volume: Volume) -> OpenScan:
        """The session of `volume`; the caller holds the turnstile."""
        if volume is not self.volume:  # another scan was opened meanwhile
            return self._open_session(volume)
        if self._session is None:
            session = self._open_session(volume)
            if (self.folder / diary.SESSION).is_dir():
                session.recall(self.folder / diary.SESSION)
                self.one_way()
            self._session = session
            self._work(self._read_on, (self._session,), "deixis-reader")
        return self._session

    def _work(self, what: Callable[..., None], arguments: tuple[Any, ...], name: str) -> None:
        """Do something in a thread that does not keep the program alive, but is waited for when it ends (`_leave`)."""
        thread = threading.Thread(target=what, args=arguments, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _read_on(self, session: OpenScan) -> None:
        """Encode the rest of the scan, a part at a time, while no reader of this machine waits for an answer."""
        try:
            while session is self._session and not self._closed:
                if self._turnstile.count == 0:
                    with self._turnstile:
                        if not session.read_on():
                            return
                time.sleep(0.005)  # whoever waits at the turnstile goes first
        except ResourceError as error:
            log.warning("the scan is not read ahead: %s", error)  # a question may still find the memory

    def notice(self, text: str) -> None:
        self.log.append(Notice(text))

    def leave(self) -> None:
        """Stop what is being computed, and wait until it has stopped."""
        self._closed = True
        self._stop.set()
        for thread in list(self._threads):
            thread.join()

    def close(self) -> None:
        """Stop a running answer and give the memory back; the folder stays, for `restore`."""
        self._closed = True
        self._stop.set()
        self.rest()  # where an answer is under way, its thread ends it, saves it and lets the session go

    @property
    def is_used(self) -> bool:
        """Whether there is anything that a reader would miss."""
        return (self.folder / "upload").is_dir() or any(isinstance(entry, Turn) for entry in self.log)

    # ---- questions ---------------------------------------------------------------------------------------------

    def ask(self, text: str, points: Sequence[Point] | None = None) -> Iterator[Turn]:
        """Ask, and yield the growing turn whenever there is something new, at most ~16 times a second.

        points: for this question alone; None takes (and empties) the seat's own. Raises QuestionError before
        anything is changed when no scan is open or an answer is being made.
        """
        if self.volume is None:
            raise QuestionError("No scan is open; open one, drop one on the viewer, or take the example.")
        if not text.strip():
            raise QuestionError("The question is empty; type what you want to know about the scan.")
        turn = Turn(text.strip(), tuple(self.points if points is None else points), selected=self.selected)
        if points is None:
            turn.box = self.box
        yield from self._begin(turn, self._ask_session, points is None)

    def refine(self) -> Iterator[Turn]:
        """Change the selected mask with the points and the box that were given; yields as `ask`."""
        finding = next((f for f in self.findings if f.id and f.id == self.selected), None)
        if finding is None:
            raise QuestionError("No mask is selected; choose one by its chip in the table or in the text.")
        if not self.points and self.box is None:
            raise QuestionError(f"There is nothing to refine {finding.id} with; place points or draw a box first.")
        turn = Turn(f"Refine {finding.id} ({finding.phrase}).", tuple(self.points), box=self.box, refines=finding.id)
        yield from self._begin(turn, self._ask_session, True)

    def retry(self) -> Iterator[Turn]:
        """Take the last question back and ask it again; its first answer can be returned to. Yields as `ask`."""
        last = self._last_turn()
        if last.result is not None:
            raise QuestionError("The last turn is no question; repeat it in its own tab.")
        with self._only_one("at work"):
            self._wake()
            turn = Turn(last.question, last.points, box=last.box, selected=last.selected, refines=last.refines)
            said, _ = self.history.back()
            self.show_again(said)
        ask = (lambda session, turn: session.retry(should_stop=self._enough)) if last.kept else self._ask_session
        yield from self._begin(turn, ask, False)

    def _ask_session(self, session: OpenScan, turn: Turn) -> Iterator[Event]:
        points = [(*point.mm, point.label) for point in turn.points] or None
        if turn.refines:
            return session.refining(turn.refines, points, turn.box)
        more: dict[str, Any] = {} if turn.box is None else {"box": turn.box}
        if turn.selected:
            more["selected"] = turn.selected
        return session.stream(turn.question, points=points, should_stop=self._enough, **more)

    def _enough(self) -> bool:
        """Whether the answer that is being made ends where it is."""
        return self._stop.is_set() or self._is_late()

    def _is_late(self) -> bool:
        return time.perf_counter() > self._deadline

    def _begin(
        self, turn: Turn, ask: Callable[[OpenScan, Turn], Iterator[Event]], takes_points: bool
    ) -> Iterator[Turn]:
        assert self.volume is not None
        guard = self._only_one("answering the last question")
        guard.__enter__()
        if takes_points:
            self.points, self.box = [], None
        self.log.append(turn)
        self._save(turn)
        self._stop.clear()
        # The guard goes over to the thread that answers: it is released when the answer ends, whoever is watching.
        self._work(self._answer, (self.volume, turn, guard, ask), "deixis-answer")
        yield from self.watch(turn)

    def watch(self, turn: Turn) -> Iterator[Turn]:
        """A turn that is being answered, as `ask` yields it."""
        while not turn.done:
            yield turn
            self._changed.wait(timeout=1.0)
            self._changed.clear()
            time.sleep(0.06)
        yield turn

    def _answer(
        self, volume: Volume, turn: Turn, guard: AbstractContextManager[None],
        ask: Callable[[OpenScan, Turn], Iterator[Event]],
    ) -> None:  # fmt: skip
        try:
            with self._turnstile.waiting(lambda count: self._waits(turn, count), self._stop.is_set):
                started = time.perf_counter()
                session = self._connected(volume)
                self._deadline = started + self.answer_seconds
                for event in ask(session, turn):
                    self._take(turn, event)
                    self._changed.set()
                if self._is_late():
                    turn.footnote.append(texts.TOO_LONG.format(seconds=self.answer_seconds))
                turn.footnote.append(f"{time.perf_counter() - started:.1f} s")
                self._save(turn)
                self.computed(self)
        except Left:
            turn.footnote.append(texts.STOPPED_IN_LINE)
        except Exception as error:  # noqa: BLE001  the end of this thread's line: logged, and told in the chat
            turn.error = as_sentence(error)
            self._save(turn)
        finally:
            self._keep(turn)
            guard.__exit__(None, None, None)
            turn.done = True
            self._changed.set()

    def _waits(self, turn: Turn, ahead: int) -> None:
        turn.ahead = ahead
        self._changed.set()

    def _take(self, turn: Turn, event: Event) -> None:
        from assistant.generate import Delta, Done, Grounded

        if isinstance(event, Delta):
            turn.answer += event.text
        elif isinstance(event, Grounded):
            self._show(turn, event.finding)
        elif isinstance(event, Done):
            if event.stopped and self._stop.is_set():
                turn.footnote.append(texts.STOPPED)
            turn.footnote.extend(f"corrected: {correction}" for correction in event.corrections)
            turn.answer, turn.kept = event.visible, True

    def _show(self, turn: Turn, finding: Finding) -> None:
        bare = dataclasses.replace(finding, mask=None)
        if finding.mask is None or not finding.present:
            turn.found.append(bare)
        elif self.volume is not None and not any(
            f.id == finding.id and f.version == finding.version for f in self.findings
        ):
            file = write_overlay(self.volume, self.volume.from_native(finding.mask), self.folder)
            self.overlay_files[finding.id] = turn.files[finding.id] = file
            turn.found.append(bare)
            if finding.centroid_mm is not None:
                self.look_at(finding.centroid_mm)

    def stop(self) -> None:
        self._stop.set()

    def undo(self) -> str:
        """Take back the last question with its masks; returns its text. `redo` brings it back."""
        with self._only_one("at work"):
            self._wake()
            turn = self._last_turn()
            self._become(self.history.back)
            return turn.question

    def redo(self) -> None:
        """Bring back the turn that was taken back last, with its masks."""
        with self._only_one("at work"):
            self._wake()
            if self.history.next is None:
                raise QuestionError("There is nothing to bring back; nothing was taken back here.")
            self._become(self.history.forward)

    def edit(self) -> str:
        """Take back the last question, to be asked differently: its points come back too; returns its text."""
        turn = self._last_turn()
        text = self.undo()
        self.points, self.box = list(turn.points), turn.box
        return text

    def go(self, step: int) -> None:
        """Go back to where a turn had just been answered, to go on from there another way."""
        with self._only_one("at work"):
            self._wake()
            self._become(lambda: self.history.go(step))

    def way(self, step: int) -> None:
        """Go to the end of the way that leads through a step."""
        self.go(self.history.tip(step))

    def _last_turn(self) -> Turn:
        turn = next((entry for entry in reversed(self.log) if isinstance(entry, Turn)), None)
        if turn is None:
            raise QuestionError("There is no question to take back; ask one first.")
        return turn

    def _keep(self, turn: Turn) -> None:
        """A turn is whole: the history goes on from it."""
        turn.step = self.history.add(((), 0))
        step = 0 if self._session is None else self._session.step
        self.history.update((tuple(self.log), step))

    def _become(self, move: Callable[[], Said]) -> None:
        """Move in the history, and be as it was there. Nothing changes where the session has forgotten it."""
        here = self.history.step
        entries, step = move()
        if self._session is not None and self._session.step != step:
            try:
                self._session.go(step)
            except QuestionError:
                self.history.go(here)
                raise
        self.show_again(entries)
        self._save()

    def _wake(self) -> None:
        """Open the session again that was closed to give its memory back, or was kept from an earlier time."""
        if self.volume is not None and self._session is None and (self.folder / diary.SESSION).is_dir():
            with self._turnstile:
                self._connected(self.volume)

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

    def export(self, folder: Path) -> Path:
        """Write `session.export` as one zip file into `folder`; returns its path."""
        if self.volume is None or not self.overlay_files:
            raise QuestionError("There is no mask to download yet; ask about a structure first.")
        with self._only_one("at work"), self._turnstile:
            self._connected(self.volume).export(folder / "files")
            return self._zipped(folder)

    def _zipped(self, folder: Path, what: str = "") -> Path:
        """`folder`/files as a zip file beside it, named after the scan."""
        assert self.volume is not None
        name = Path(self.volume.name).name.split(".")[0] or "scan"
        try:
            return Path(shutil.make_archive(str(folder / f"deixis-{name}{what}"), "zip", folder / "files"))
        except OSError as error:
            raise ResourceError(
                f"The zip file could not be written to {folder} ({error.strerror}); free some space and try again."
            ) from error

    # ---- reports and priors ------------------------------------------------------------------------------------

    def ground_report(self, text: str) -> None:
        """Check a report; its masks join those of the chat, and its turn can be taken back there."""
        from assistant.report import checked_report

        volume = self._open_volume("checking a report")
        checked_report(text)
        with self._only_one("checking the report"), self._turnstile:
            report = self._connected(volume).ground_report(text)
            turn = Turn(f"Ground a report of {len(report.lines)} sentences.", answer=report.summary, result=report)
            self._add(turn, report.findings)
            self._save(turn)
            self.computed(self)

    def open_prior(self, path: Path) -> None:
        """Open an earlier scan and register it. When it is refused the present one stays."""
        volume = self._open_volume("comparing it with a prior")
        with self._only_one("registering the earlier scan"), self._uploads_swept(), self._turnstile:
            self._prior = self._connected(volume).open_prior(path)
            self.prior_name, self.prior_path = path.name, path
            self._save()

    def compare(self, question: str) -> None:
        """Find a structure in both scans; the mask of now joins those of the chat, the earlier one is shown over it."""
        volume = self._open_volume("comparing it with a prior")
        if self.prior_path is None:
            raise QuestionError("No earlier scan is open; open one of the same patient first.")
        with self._only_one("comparing the scans"), self._turnstile:
            if self._prior is None:  # the session was restored
                self._prior = self._connected(volume).open_prior(self.prior_path)
            comparison = self._prior.compare(question)
            turn = Turn(f"Compare with the prior: {question.strip()}", answer=comparison.text, result=comparison)
            self._add(turn, [change.now for change in comparison.changes])
            self.prior_overlays = {}
            places = [change.now.centroid_mm for change in comparison.changes if change.now.centroid_mm is not None]
            if places:
                self.look_at(places[0])
            for n, change in enumerate(comparison.changes, 1):
                if change.carried is not None and self.volume is not None:
                    mask = self.volume.from_native(change.carried)
                    turn.before[f"p{n}"] = (change.phrase, write_overlay(self.volume, mask, self.folder))
            self.prior_overlays = dict(turn.before)
            self._save(turn)
            self.computed(self)

    def uncertainty(self, mask_id: str) -> Uncertainty:
        """`Session.uncertainty` of a mask; what is shown of it is `assistant/desk/doubt.py`."""
        volume = self._open_volume("asking how sure a mask is")
        with self._only_one("computing an uncertainty"), self._turnstile:
            return self._connected(volume).uncertainty(mask_id)

    def _open_volume(self, doing: str) -> Volume:
        if self.volume is None:
            raise QuestionError(f"No scan is open; open one before {doing}.")
        return self.volume

    def _add(self, turn: Turn, findings: Sequence[Finding]) -> None:
        """A turn that is whole at once."""
        for finding in findings:
            self._show(turn, finding)
        turn.done = turn.kept = True
        self.log.append(turn)
        self._keep(turn)

    def last(self, kind: type[Any]) -> Any:
        """The newest result of a kind (`Report`, `Comparison`); None where there is none, or it was taken back."""
        results = [entry.result for entry in self.log if isinstance(entry, Turn)]
        return next((result for result in reversed(results) if isinstance(result, kind)), None)

    def export_report(self, folder: Path) -> Path:
        """Write the last grounded report (page, JSON, masks) as one zip file into `folder`; returns its path."""
        from assistant.report import Report
        from assistant.report_page import export_report

        report = self.last(Report)
        if report is None or self.volume is None:
            raise QuestionError("There is no grounded report to save yet; ground one first.")
        with self._only_one("at work"), self._turnstile:
            export_report(self._connected(self.volume), report, folder / "files")  # type: ignore[arg-type]
            return self._zipped(folder, "-report")

    def export_comparison(self, folder: Path) -> Path:
        """Write the last comparison (page, JSON, table, masks) as one zip file into `folder`; returns its path."""
        from assistant.prior import Comparison
        from assistant.prior_page import export_comparison

        comparison = self.last(Comparison)
        if comparison is None or self.volume is None:
            raise QuestionError("There is no comparison to save yet; compare a structure first.")
        with self._only_one("at work"), self._turnstile:
            export_comparison(self._connected(self.volume), comparison, folder / "files")  # type: ignore[arg-type]
            return self._zipped(folder, "-comparison")

    # ---- what is shown -----------------------------------------------------------------------------------------

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

    def select(self, mask_id: str) -> None:
        """Make a mask "it": clicks refine it and words work on it. The selected one again: none."""
        if mask_id in self.overlay_files:
            self.selected = "" if mask_id == self.selected else mask_id

    def drop_point(self, n: int) -> None:
        """Take back a point; -1 is the box."""
        if n == -1:
            self.box = None
        if 0 <= n < len(self.points):
            del self.points[n]

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

    @property
    def findings(self) -> list[Finding]:
        """Every mask of this scan, oldest first, then what was looked for and not found, each phrase once."""
        found = [finding for turn in self.log if isinstance(turn, Turn) for finding in turn.found]
        masks = {finding.id: finding for finding in found if finding.id in self.overlay_files}
        absent = {finding.phrase: finding for finding in found if finding.id not in self.overlay_files}
        return [*masks.values(), *absent.values()]
