"""Where a run's figures go besides ``log.jsonl``: TensorBoard unless told otherwise, or one of the others by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from assistant.errors import DeixisError

#: name in a stage's config -> the package that must be installed, which is also what is imported
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


class TrackerError(DeixisError):
    """A tracker that there is not, or whose package is not installed."""


def checked(names: str) -> list[str]:
    """``"tensorboard,wandb"`` as a list; TrackerError for a name that is none, or a package that is missing.

    accelerate itself leaves out what is not installed, and a night's figures with it.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in TRACKERS:
            raise TrackerError(f"there is no tracker {name!r}: choose of {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise TrackerError(f"the tracker {name} is not installed: pip install {name}, or set track=tensorboard")
    return wanted


def plain(config: Mapping[str, Any]) -> dict[str, int | float | str | bool]:
    """A config as all trackers take it: nested settings by dotted names, anything but numbers as text."""
    found: dict[str, int | float | str | bool] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in plain(value).items()}
        else:
            found[name] = value if isinstance(value, int | float | str | bool) else str(value)
    return found
