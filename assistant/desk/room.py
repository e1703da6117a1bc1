"""All seats of one desk: whose is which, where they are kept, and the limits of the machine.

A seat has a folder of its own on the shelf, and the folder's name is the one secret that leads to it: 128 random bits,
which the reader's browser keeps in its local storage. So a reload, or a desk that was killed and started again, finds
the seat as it was, and nobody else does. Where readers have names (`--auth`), a seat opens for its own reader alone.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.desk.seat import Seat
from assistant.desk.turnstile import Turnstile
from assistant.errors import ResourceError
from assistant.memory import give_back

if TYPE_CHECKING:
    from assistant.desk.turn import OpenScan
    from assistant.volume import Volume

log = logging.getLogger("deixis.desk")

GIB = 2**30
_TOKEN = re.compile(r"[0-9a-f]{32}")
_OWNER = "owner.txt"
INCOMING_SECONDS = 7200.0  # after which a file that a browser sent is no longer needed: seats keep their own


@dataclass(frozen=True)
class Limits:
    """upload_bytes: of the files opened at once. answer_seconds: of computing one answer. memory_bytes: of all open
    scans together, without the model; whoever asked longest ago is closed, and opened again by the next question.
    keep_seconds: after which a folder that nobody used goes; keep_bytes: of all folders together, the oldest go."""

    upload_bytes: int = 4 * GIB
    answer_seconds: float = 300.0
    memory_bytes: int = 8 * GIB
    keep_seconds: float = 7 * 86400.0
    keep_bytes: int = 20 * GIB


class Shelf:
    """The seats' folders on disk. incoming: where a browser's files lie first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"the desk cannot keep its sessions in {root} ({error.strerror or error}): give another folder (--keep)"
            ) from error
        self.incoming = root / "incoming"

    def new(self, owner: str) -> Path:
        folder = self.root / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        (folder / _OWNER).write_text(owner, encoding="utf-8")
        return folder

    def find(self, token: object, owner: str) -> Path | None:
        """The folder that a browser's token names, when it is there and this reader's."""
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            return None
        folder = self.root / token
        mark = folder / _OWNER
        return folder if mark.is_file() and mark.read_text(encoding="utf-8") == owner else None

    def folders(self) -> list[Path]:
        """All of them, the one that was used longest ago first."""
        own = [folder for folder in self.root.iterdir() if _TOKEN.fullmatch(folder.name)]
        return sorted(own, key=lambda folder: folder.stat().st_mtime)

    def sweep(self, limits: Limits, used: Callable[[Path], bool]) -> None:
        """Delete what is older or more than the limits allow, except what is `used` now."""
        folders = [folder for folder in self.folders() if not used(folder)]
        sizes = {folder: size_of(folder) for folder in self.folders()}
        total = sum(sizes.values())
        oldest = time.time() - limits.keep_seconds
        for folder in folders:
            if folder.stat().st_mtime < oldest or total > limits.keep_bytes:
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]
        for sent in self.incoming.glob("*"):
            if sent.stat().st_mtime < time.time() - INCOMING_SECONDS:
                shutil.rmtree(sent, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; those that go meanwhile count nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # it has just been replaced or deleted
            continue
    return total


class Room:
    """connect: how a scan gets its session."""

    def __init__(self, connect: Callable[[Volume], OpenScan], shelf: Shelf, limits: Limits) -> None:
        self.shelf = shelf
        self.limits = limits
        self.turnstile = Turnstile()
        self._connect = connect
        self._lock = threading.Lock()
        self._seats: dict[Path, Seat] = {}  # those with a page, the one that asked longest ago first
        self._pages: dict[Path, int] = {}

    def sit(self, token: object, owner: str) -> Seat:
        """The seat of a token, a new one where there is none. `leave` when its page goes.

        A seat that was saved is still to be restored (`Seat.restore`): its scan has to be read.
        """
        with self._lock:
            self.shelf.sweep(self.limits, self._seats.__contains__)
            folder = self.shelf.find(token, owner) or self.shelf.new(owner)
            seat = self._seats.get(folder)
            if seat is None:
                seat = Seat(self._connect, folder, self.turnstile)
                seat.answer_seconds = self.limits.answer_seconds
                seat.computed = self.fit
                self._seats[folder] = seat
            self._pages[folder] = self._pages.get(folder, 0) + 1
            return seat

    def leave(self, seat: Seat) -> None:
        """A page of this seat is gone. With the last one its memory is given back; what it was about stays on the shelf
        when anything was asked."""
        with self._lock:
            self._pages[seat.folder] -= 1
            if self._pages[seat.folder]:
                return
            del self._pages[seat.folder], self._seats[seat.folder]
        seat.close()
        give_back()
        if not seat.is_used:
            shutil.rmtree(seat.folder, ignore_errors=True)

    def fit(self, seat: Seat) -> None:
        """After work for a seat: close others' sessions, whoever asked longest ago first, until the limit is kept."""
        with self._lock:
            others = [other for other in self._seats.values() if other is not seat]
            if self._seats.pop(seat.folder, None) is not None:  # else its last page has gone meanwhile
                self._seats[seat.folder] = seat
        held = seat.nbytes + sum(other.nbytes for other in others)
        for other in others:
            if held <= self.limits.memory_bytes:
                return
            size = other.nbytes
            if other.rest():
                held -= size - other.nbytes
                give_back()
                log.info("a scan was closed to keep the memory under %d MiB", self.limits.memory_bytes // 2**20)
