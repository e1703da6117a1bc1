"""Memory that is free inside the process, given back to the machine.

A closed session frees hundreds of arrays of some 10 MB, which the C library keeps for the next ones; a server that was
busy once would hold that memory for good.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path


def give_back() -> None:
    """Ask the C library to return what it holds free (glibc's malloc_trim; other libraries do so themselves)."""
    if not sys.platform.startswith("linux"):
        return
    try:
        trim = ctypes.CDLL(None)["malloc_trim"]
    except AttributeError:  # musl
        return
    trim(0)


def resident(process: int | str = "self") -> int:
    """Bytes of memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
