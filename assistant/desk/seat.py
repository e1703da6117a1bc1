"""One reader's seat at the desk: what is asked there, and how it is answered.

A seat belongs to one browser page. An answer is made in a thread of its own that writes into the seat, and the page
looks at the seat: a page that is closed or reloaded in mid-answer holds no lock, and a slow browser does not slow the
model down. What the page sees is `shown.py`'s, the scan and its session are `opened.py`'s.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.desk import texts
from assistant.desk.files import write_overlay
from assistant.desk.opened import Opened
from assistant.desk.turn import OpenScan, Point, Said, Turn, as_sentence
from assistant.desk.turnstile import Left, Turnstile
from assistant.errors import QuestionError, ResourceError

if TYPE_CHECKING:
    from assistant.generate import Event, Finding
    from assistant.uncertainty import Uncertainty
    from assistant.volume import Volume


class Seat(Opened):
    """One page's state. Methods raise DeixisError before they change anything; `ask` keeps its error in the turn."""

    def __init__(
        self, open_session: Callable[[Volume], OpenScan], folder: Path, turnstile: Turnstile
    ) -> None:
        """As `Opened`."""
        super().__init__(open_session, folder, turnstile)
        self.answer_seconds = float("inf")  # of computing one answer
        self._deadline = float("inf")
        self._changed = threading.Event()

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

    # ---- back and forth ----------------------------------------------------------------------------------------

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

    def _add(self, turn: Turn, findings: Sequence[Finding]) -> None:
        """A turn that is whole at once."""
        for finding in findings:
            self._show(turn, finding)
        turn.done = turn.kept = True
        self.log.append(turn)
        self._keep(turn)

    # ---- what leaves -------------------------------------------------------------------------------------------

    def export(self, folder: Path) -> Path:
        """Write `session.export` as one zip file into `folder`; returns its path."""
        if self.volume is None or not self.overlay_files:
            raise QuestionError("There is no mask to download yet; ask about a structure first.")
        with self._only_one("at work"), self._turnstile:
            self._connected(self.volume).export(folder / "files")
            return self._zipped(folder)

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
