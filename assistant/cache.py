"""The folder for files that are made once per user (the converted language model, the example scan)."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """$DEIXIS_CACHE, else $XDG_CACHE_HOME/deixis, else ~/.cache/deixis. Not created here."""
    own = os.environ.get("DEIXIS_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "deixis"
