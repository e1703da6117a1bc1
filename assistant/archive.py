"""The files of a folder or zip, read without ever unpacking to disk.

An archive is refused as a whole, before any of it is decompressed, when a member's name would leave the folder it is
unpacked in, when it is a link, is encrypted, or when the sizes are those of a zip bomb. Members are read into memory
one at a time, and no more of a member is decompressed than its listing promises.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from assistant.errors import ScanError
from assistant.formats import first_line

MAX_FILES = 50_000
MAX_UNPACKED_BYTES = 8 * 2**30
MAX_RATIO = 200  # unpacked / packed, for archives of more than SMALL_BYTES unpacked; real scans stay under 20
SMALL_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Member:
    """One file: its name inside the folder or archive, its size in bytes, and how to read the first ``count`` bytes."""

    name: str
    size: int
    read: Callable[[int], bytes]

    def bytes(self) -> bytes:
        """The whole file."""
        return self.read(self.size)

    def stream(self) -> io.BytesIO:
        """The whole file as a seekable stream."""
        return io.BytesIO(self.bytes())


def members(path: Path) -> list[Member]:
    """The files of a folder (with sub-folders), a zip, or one file; sorted by name, hidden files left out.

    Raises ScanError for a damaged or dangerous archive, or more than MAX_FILES files.
    """
    if path.is_dir():
        files = []
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                files.append(_file_member(file, str(file.relative_to(path))))
            if len(files) > MAX_FILES:
                raise ScanError(f"{path.name} holds more than {MAX_FILES:,} files; give the folder of one study.")
        return files
    if path.suffix.lower() == ".zip":
        return _zip_members(path)
    return [_file_member(path, path.name)]


def _file_member(path: Path, name: str) -> Member:
    def read(count: int) -> bytes:
        with path.open("rb") as stream:
            return stream.read(count)

    return Member(name, path.stat().st_size, read)


def _zip_members(path: Path) -> list[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ScanError(
            f"{path.name} ({path.stat().st_size} bytes) is not a readable zip ({first_line(error, path)}); "
            "make it again."
        ) from error
    if len(entries) > MAX_FILES:
        raise ScanError(f"{path.name} holds {len(entries):,} files, over the limit of {MAX_FILES:,}; zip one study.")
    for entry in entries:
        _refuse_dangerous(path.name, entry)
    files = [entry for entry in entries if not entry.is_dir()]
    unpacked = sum(entry.file_size for entry in files)
    packed = max(1, min(path.stat().st_size, sum(entry.compress_size for entry in files)))
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed):
        raise ScanError(
            f"{path.name} would unpack from {packed / 2**20:.1f} to {unpacked / 2**20:,.0f} MiB, like a zip bomb "
            f"(over {MAX_UNPACKED_BYTES / 2**20:,.0f} MiB or {MAX_RATIO} times); unpack it and open the folder."
        )
    files = [entry for entry in files if not _is_hidden(entry.filename)]
    return [_zip_member(path, entry) for entry in sorted(files, key=lambda entry: entry.filename)]


def _zip_member(path: Path, entry: zipfile.ZipInfo) -> Member:
    def read(count: int) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
                return stream.read(min(count, entry.file_size))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise ScanError(
                f"{entry.filename} in {path.name} is damaged ({first_line(error, path)}); zip it again."
            ) from error

    return Member(entry.filename, entry.file_size, read)


def _refuse_dangerous(archive: str, entry: zipfile.ZipInfo) -> None:
    name = entry.filename.replace("\\", "/")
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if name.startswith("/") or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts or is_link:
        raise ScanError(
            f"{archive} holds {entry.filename!r}, which points outside the archive; it was refused, "
            "zip the scan folder again."
        )
    if entry.flag_bits & 0x1:
        raise ScanError(f"{archive} is encrypted; unpack it yourself and open the folder.")


def _is_hidden(name: str) -> bool:
    """Dot files, and the resource forks that macOS adds to a zip."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
