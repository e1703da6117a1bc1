"""What a browser sends, as one path to open. Nothing is read here: sizes and names are looked at first."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from assistant.archive import MAX_FILES
from assistant.errors import ResourceError, ScanError
from assistant.keeping import link_or_copy


def gathered(files: Sequence[str], folder: Path, most_bytes: int) -> Path:
    """Keep uploaded files in `folder`/upload and say what to open of them: the one file, or a folder of all (a DICOM
    series), or its .mhd header.

    Raises ScanError for more than `most_bytes` or too many files, ResourceError when the disk has no room.
    """
    total = sum(Path(file).stat().st_size for file in files)
    if total > most_bytes:
        what = Path(files[0]).name + ("" if len(files) == 1 else f" and {len(files) - 1} more")
        raise ScanError(
            f"{what}: {total / 2**20:,.1f} MiB are over the limit of {most_bytes / 2**20:,.1f} MiB; "
            "crop or compress the scan, or open it with the command line."
        )
    if len(files) > MAX_FILES:
        raise ScanError(f"{len(files):,} files are over the limit of {MAX_FILES:,}; choose one series.")
    place = folder / "upload" / secrets.token_hex(4)
    together = place if len(files) == 1 else place / "upload"  # the last part is the name a reader is told
    kept: list[Path] = []
    try:
        for n, file in enumerate(files):
            name = Path(file).name
            target = together / name
            kept.append(link_or_copy(Path(file), target if target not in kept else together / f"{n}-{name}"))
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise ResourceError(f"The upload cannot be kept ({error.strerror or error}); free some space.") from error
    if len(kept) == 1:
        return kept[0]
    headers = sorted(together.glob("*.mhd"))
    return headers[0] if headers else together
