"""The scans that a server keeps for its clients: files, sessions, masks, and when they go.

A scan belongs to whoever knows its id, which cannot be guessed; there is no list of them. Its file lies in a folder of
its own, under a name the server chose the form of, and no text of a client is ever part of a path but that. The session
(voxels, what was encoded, the language model's cache) is dropped when memory is wanted elsewhere and opened again from
the file when the scan is next asked about; masks are kept packed, a few kilobytes each.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import logging
import re
import secrets
import shutil
import tempfile
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import DeixisError, ResourceError
from assistant.export import file_stem, finding_facts, scan_facts
from assistant.findings import Finding
from assistant.memory import give_back
from assistant.model import DeixisModel
from assistant.serving.refusal import BUSY, Refusal
from assistant.serving.talk import Talk
from assistant.volume import Volume, open_volume, save_mask

log = logging.getLogger("deixis.server")

MIB = 2**20
MOST_MASKS = 1000  # a scan; the oldest goes
_MAGIC = (
    (0, b"\x1f\x8b", ".nii.gz"), (0, b"PK\x03\x04", ".zip"), (0, b"NRRD", ".nrrd"), (0, b"ObjectType", ".mha"),
    (344, b"n+1\x00", ".nii"), (4, b"n+2\x00", ".nii"), (128, b"DICM", ".dcm"),
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """upload_bytes, inline_bytes: of a scan's file, alone and inside a chat request. scans: kept at a time.
    idle_seconds: without a request, after which a scan goes. memory_bytes: of all open sessions together (the one at
    work is never closed). answer_seconds: of computing one answer. waiting: questions in line."""

    upload_bytes: int = 1024 * MIB
    inline_bytes: int = 64 * MIB
    scans: int = 16
    idle_seconds: float = 1800.0
    memory_bytes: int = 4096 * MIB
    answer_seconds: float = 120.0
    waiting: int = 8


@dataclass(frozen=True)
class HowToRead:
    """As `open_volume` takes them."""

    series: str | None = None
    frame: int | None = None
    modality: str | None = None

    def read(self, file: Path) -> Volume:
        return open_volume(file, series=self.series, frame=self.frame, modality=self.modality)


@dataclass(frozen=True)
class KeptMask:
    """facts: the finding's, with the question that it was found for. packed: deflated bits in the file's order."""

    id: str
    facts: dict[str, Any]
    packed: bytes


@dataclass(eq=False)
class Scan:
    """One scan. frame: its volume without the voxels, which costs no memory. inline: the digest of a scan that came
    inside a request. users: requests at work on it; it is not put away while there are any."""

    id: str
    folder: Path
    frame: Volume
    talk: Talk
    inline: str | None
    facts: dict[str, Any]
    last_used: float
    masks: dict[str, KeptMask] = field(default_factory=dict)
    users: int = 0
    read_ahead: bool = False  # at this moment: its session cannot be closed, but it may go
    held: int = 0  # bytes of the session, as of the last answer
    deleted: bool = False

    def keep_mask(self, finding: Finding, question: str) -> str:
        """Keep a present finding's mask; returns its id, the same for the same mask under the same name."""
        assert finding.mask is not None
        packed = zlib.compress(np.packbits(finding.mask).tobytes(), 1)
        name = "mask-" + hashlib.sha256(f"{self.id} {finding.phrase} ".encode() + packed).hexdigest()[:32]
        if name not in self.masks:
            self.masks[name] = KeptMask(name, finding_facts(finding) | {"question": question}, packed)
            if len(self.masks) > MOST_MASKS:
                del self.masks[next(iter(self.masks))]
        return name

    def mask_file(self, mask: KeptMask) -> Path:
        """The mask as NIfTI on the scan's own grid, written when first asked for."""
        path = self.folder / "masks" / f"{mask.id}.nii.gz"
        if not path.is_file():
            shape = self.frame.native.shape
            bits = np.unpackbits(np.frombuffer(zlib.decompress(mask.packed), np.uint8), count=int(np.prod(shape)))
            save_mask(self.frame, self.frame.from_native(bits.reshape(shape)), path)
            if self.deleted:  # meanwhile: saving has made its folder again
                shutil.rmtree(self.folder, ignore_errors=True)
                raise no_mask(mask.id)
        return path


class Tenancy:
    """All scans of one server. Safe for several threads; sessions are opened in the worker's alone.

    on_work: called when there is something to do ahead (`read_on`).
    """

    def __init__(self, model: DeixisModel, limits: Limits, on_work: Callable[[], None] = lambda: None) -> None:
        self.model = model
        self.limits = limits
        self.store = Path(tempfile.mkdtemp(prefix="deixis-serve-"))
        atexit.register(shutil.rmtree, self.store, ignore_errors=True)
        self._on_work = on_work
        self._lock = threading.RLock()
        self._reading = threading.Lock()  # one file is read at a time: reading holds a scan twice
        self._scans: OrderedDict[str, Scan] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._scans)

    @property
    def held(self) -> int:
        """Bytes of the sessions that are open."""
        with self._lock:
            return sum(scan.held for scan in self._scans.values())

    # ---- scans ---------------------------------------------------------------------------------------------------

    def keep(
        self, write: Callable[[Path], object], filename: str | None, how: HowToRead, inline: str | None = None
    ) -> Scan:
        """A new scan from the file that `write` makes. Raises ScanError, ResourceError, Refusal; nothing is left then.

        filename: as the client calls it; its end says what the file is, and its words may say the modality.
        """
        self._make_room()
        folder = Path(tempfile.mkdtemp(dir=self.store))
        file = folder / "upload" / safe_name(filename)
        try:
            with self.without_paths():
                try:
                    file.parent.mkdir()
                    write(file)
                    if "." not in file.name:
                        file = file.rename(f"{file}{suffix_of(file)}")
                except OSError as error:
                    raise ResourceError(
                        f"the server cannot store the scan ({error.strerror or error}): free some space there"
                    ) from error
                with self._reading:
                    volume = how.read(file)
            return self._kept(folder, file, volume, how, inline)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _kept(self, folder: Path, file: Path, volume: Volume, how: HowToRead, inline: str | None) -> Scan:
        frame = dataclasses.replace(volume, voxels=np.broadcast_to(np.float32(0), volume.shape))
        facts = {key: value for key, value in scan_facts(volume).items() if key != "path"}
        scan = Scan(
            id=f"scan-{secrets.token_urlsafe(16)}",
            folder=folder,
            frame=frame,
            talk=Talk(self.model, lambda: how.read(file), volume),
            inline=inline,
            facts=facts | {"bytes": file.stat().st_size, "created_at": int(time.time())},
            last_used=time.monotonic(),
            held=volume.voxels.nbytes,
        )
        with self._lock:
            self._make_room()
            self._scans[scan.id] = scan
            self._fit(scan)
        self._on_work()
        return scan

    def inline_scan(self, content: bytes, filename: str | None) -> Scan:
        """The scan that came inside a request: the same bytes under the same name are the same scan."""
        digest = hashlib.sha256(repr(filename).encode() + content).hexdigest()
        with self._lock:
            for scan in self._scans.values():
                if scan.inline == digest:
                    return self.get(scan.id)
        return self.keep(lambda path: path.write_bytes(content), filename, HowToRead(), inline=digest)

    def get(self, scan_id: str) -> Scan:
        """Refusal (404) when there is none."""
        with self._lock:
            scan = self._scans.get(scan_id)
            if scan is None:
                raise Refusal(
                    404,
                    f"there is no scan {scan_id[:60]!r} here: upload it (again) with POST /v1/scans; "
                    f"one goes when it is deleted or after {self.limits.idle_seconds:g} s without a request",
                    "scan_not_found",
                )
            scan.last_used = time.monotonic()
            self._scans.move_to_end(scan_id)
            return scan

    def hold(self, scan: Scan) -> None:
        """Until `release` the scan is not put away nor its session closed, whoever else wants the place."""
        with self._lock:
            scan.users += 1

    def release(self, scan: Scan) -> None:
        with self._lock:
            scan.users -= 1
            scan.last_used = time.monotonic()

    def delete(self, scan_id: str) -> None:
        with self._lock:
            self._put_away(self.get(scan_id))

    def mask(self, mask_id: str) -> tuple[Scan, KeptMask]:
        with self._lock:
            for scan in self._scans.values():
                if mask_id in scan.masks:
                    return self.get(scan.id), scan.masks[mask_id]
        raise no_mask(mask_id)

    def mask_name(self, mask: KeptMask) -> str:
        """What the file is called when it is saved."""
        return f"{mask.facts['id']}_{file_stem(mask.facts['phrase'])}.nii.gz"

    # ---- limits --------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Put away what nobody asked about for long."""
        with self._lock:
            oldest = time.monotonic() - self.limits.idle_seconds
            for scan in [s for s in self._scans.values() if s.users == 0 and s.last_used < oldest]:
                self._put_away(scan)

    def _make_room(self) -> None:
        """Refusal (429) when no further scan may be kept. Those that came inside requests make room for others: their
        clients send them again."""
        self.expire()
        with self._lock:
            if len(self._scans) < self.limits.scans:
                return
            for scan in self._scans.values():
                if scan.inline is not None and scan.users == 0:
                    return self._put_away(scan)
            first = min(scan.last_used for scan in self._scans.values())
            seconds = max(1, round(first + self.limits.idle_seconds - time.monotonic()))
            raise Refusal(
                BUSY,
                f"{len(self._scans)} scans are kept, the limit: delete one with DELETE /v1/scans/ID, or try again in "
                f"{seconds} s",
                "too_many_scans",
                retry_after=seconds,
            )

    def _put_away(self, scan: Scan) -> None:
        scan.deleted = True
        self._scans.pop(scan.id, None)
        shutil.rmtree(scan.folder, ignore_errors=True)
        if scan.users == 0 and not scan.read_ahead:  # else whoever is at work on it gives its memory back: `settle`
            scan.talk.close()
            give_back()

    def settle(self, scan: Scan) -> None:
        """After work on a scan, by who holds it: count its memory, and close other sessions when it is too much."""
        with self._lock:
            if scan.deleted:
                scan.talk.close()
                give_back()
            scan.held = scan.talk.nbytes
            self._fit(scan)

    def _fit(self, scan: Scan) -> None:
        """Close sessions, the least recently used first and never the scan's own, until the limit is kept."""
        for other in self._scans.values():
            if self.held <= self.limits.memory_bytes:
                return
            if other is not scan and other.users == 0 and not other.read_ahead:
                other.talk.close()
                other.held = 0
                give_back()

    def read_on(self) -> bool:
        """Do one part of what answers will need, of the scan last used that has one left; False when none has. In the
        worker's thread."""
        with self._lock:
            open_ones = [scan for scan in reversed(self._scans.values()) if scan.held and not scan.talk.is_read]
            if not open_ones or self.held >= self.limits.memory_bytes:
                return False
            scan = open_ones[0]
            scan.read_ahead = True
        try:
            scan.talk.read_on()
            self.settle(scan)
        finally:
            scan.read_ahead = False
        return True

    @contextlib.contextmanager
    def without_paths(self) -> Iterator[None]:
        """Errors of files say nothing of where this server keeps them."""
        try:
            yield
        except DeixisError as error:
            said = re.sub(rf"{re.escape(str(self.store))}/?(?:\w+/)*", "", str(error))
            if said == str(error):
                raise
            raise type(error)(said) from error

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            for scan in list(self._scans.values()):
                self._put_away(scan)
        shutil.rmtree(self.store, ignore_errors=True)


def no_mask(mask_id: str) -> Refusal:
    return Refusal(
        404,
        f"there is no mask {mask_id[:60]!r} here: take the mask_url of an answer, while its scan is kept",
        "mask_not_found",
    )


def safe_name(filename: str | None) -> str:
    """A client's file name as one that can do no harm: its last part, of plain characters, 100 at most."""
    last = re.split(r"[/\\]", filename or "scan")[-1]
    return re.sub(r"[^\w.\- ]", "_", last).lstrip(". ")[-100:] or "scan"


def suffix_of(file: Path) -> str:
    """What a nameless file is, by its first bytes; "" when they say nothing."""
    with file.open("rb") as stream:
        head = stream.read(400)
    return next((suffix for at, magic, suffix in _MAGIC if head[at:].startswith(magic)), "")
