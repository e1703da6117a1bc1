"""A stage as a program: its command line, and how it ends.

Every stage is started alike, in either way of writing:

    python -m training.converse training/configs/converse.yaml --out runs/converse steps=100
    python -m training.see --config training/configs/see.yaml --out runs/see --set steps=100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from assistant.errors import DeixisError
from data_recipes.schema import RecipeError
from training import run

C = TypeVar("C")


def parser(description: str | None) -> argparse.ArgumentParser:
    """``CONFIG.yaml --out DIR [key=value ...]``, the command line of each stage; one may have options of its own."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "words", nargs="*", metavar=("CONFIG.yaml", "key=value"),
        help="YAML file, e.g. training/configs/converse.yaml, and settings in place of the file's",
    )  # fmt: skip
    made.add_argument("--config", type=Path, metavar="CONFIG.yaml", help="the file, as an option")
    made.add_argument("--set", nargs="*", action="extend", default=[], metavar="key=value", help="as after the file")
    made.add_argument("--out", type=Path, required=True, help="the run's folder; a run in it goes on where it stands")
    return made


def parsed(options: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """What was typed, with the file as ``config`` and all settings to change as ``overrides``."""
    given = options.parse_intermixed_args(argv)
    words = list(given.words)
    if given.config is None:
        if not words or "=" in words[0]:
            options.error("which settings? name a YAML file, e.g. training/configs/converse.yaml")
        given.config = Path(words.pop(0))
    given.overrides = [*words, *given.set]
    return given


def main(
    kind: type[C],
    work: Callable[[C, argparse.Namespace], object],
    description: str | None,
    argv: Sequence[str] | None,
    options: argparse.ArgumentParser | None = None,
) -> int:
    """Read the settings, do the work, and say what it wrote; the exit code. options: `parser` with more in it."""
    given = parsed(options or parser(description), argv)

    def all_of_it() -> object:
        return work(run.read_config(kind, given.config, given.overrides), given)

    return ended(vars(kind)["SECTION"], all_of_it, vars(kind).get("LESS_MEMORY", ""))


def ended(stage: str, work: Callable[[], Any], less_memory: str = "") -> int:
    """0, and what the work wrote where it says so; or 2 with one line for what its user can put right.

    less_memory: settings that make a step smaller, for a GPU that is full."""
    try:
        wrote = work()
    except (DeixisError, RecipeError, FileNotFoundError, FloatingPointError) as error:
        print(f"{stage}: {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError as error:
        advice = f": try {less_memory}" if less_memory else ""
        print(f"{stage}: the GPU's memory is full{advice} ({str(error).splitlines()[0]})", file=sys.stderr)
        return 2
    if wrote is not None:
        print(f"wrote {wrote}")
    return 0
