"""The scan that is open at a seat: its session, the threads that work on it, and the folder that keeps both."""

from __future__ import annotations

import atexit
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.desk import diary, texts
from assistant.desk.display import write_exact
from assistant.desk.files import windows, write_scan
from assistant.desk.shown import Shown
from assistant.desk.turn import OpenPrior, OpenScan, Turn
from assistant.desk.turnstile import Turnstile
from assistant.errors import DeixisError, QuestionError, ResourceError

if TYPE_CHECKING:
    from assistant.volume import Volume

log = logging.getLogger("deixis.desk")


_seats: weakref.WeakSet[Opened] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """Stop and wait for what is being computed: torch aborts a program that ends in the middle of it."""
    for seat in list(_seats):
        seat.leave()


class Opened(Shown):
    """What a seat shows, with the session of its scan. Methods raise DeixisError before they change anything."""

    def __init__(
        self, open_session: Callable[[Volume], OpenScan], folder: Path, turnstile: Turnstile
    ) -> None:
        """folder: this seat's own, where it is kept. turnstile: one model at work at a time on this machine."""
        super().__init__(folder)
        self.computed: Callable[[Any], None] = lambda seat: None  # called after work that took memory
        self._open_session = open_session
        self._turnstile = turnstile
        self._busy = threading.Lock()
        self._doing = ""
        self._stop = threading.Event()
        self._closed = False
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        _seats.add(self)
        self._session: OpenScan | None = None
        self._prior: OpenPrior | None = None
        self._saved = True  # nothing is lost when the session is closed

    @contextmanager
    def _only_one(self, doing: str) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise QuestionError(f"The desk is still {self._doing}; wait for it or press Stop. Nothing was lost.")
        self._doing = doing
        try:
            yield
        finally:
            self._busy.release()

    # ---- a scan comes and is put back --------------------------------------------------------------------------

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
            self._clear()
            self.volume, self.scan_file, self.windows, self.exact = volume, scan_file, presets, exact
            self._session = self._prior = None
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

    # ---- its session -------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes held for the scan and the session, without the model."""
        if self._session is not None:
            return self._session.nbytes
        return 0 if self.volume is None else self.volume.voxels.nbytes

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

    def _wake(self) -> None:
        """Open the session again that was closed to give its memory back, or was kept from an earlier time."""
        if self.volume is not None and self._session is None and (self.folder / diary.SESSION).is_dir():
            with self._turnstile:
                self._connected(self.volume)

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
