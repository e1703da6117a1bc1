"""What is said at a desk: a question with its answer as it grows, a line of the desk itself; and what it takes of a
session to get there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from assistant.errors import DeixisError

if TYPE_CHECKING:
    from assistant.generate import Event, Finding
    from assistant.prior import Comparison
    from assistant.report import Report
    from assistant.uncertainty import Uncertainty

log = logging.getLogger("deixis.desk")


class OpenScan(Protocol):
    """What the desk needs of `assistant.session.Session`."""

    def stream(
        self,
        text: str,
        points: Sequence[tuple[float, ...]] | None = None,
        box: Sequence[float] | None = None,
        *,
        selected: str = "",
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]: ...
    @property
    def nbytes(self) -> int: ...
    def refining(
        self, mask_id: str, points: Sequence[tuple[float, ...]] | None = None, box: Sequence[float] | None = None
    ) -> Iterator[Event]: ...
    def retry(self, *, should_stop: Callable[[], bool] | None = None) -> Iterator[Event]: ...
    def read_on(self) -> bool: ...
    @property
    def step(self) -> int: ...
    def go(self, step: int) -> None: ...
    def save(self, folder: str | Path) -> object: ...
    def recall(self, folder: str | Path) -> None: ...
    def export(self, folder: str | Path) -> object: ...
    def ground_report(self, text: str) -> Report: ...
    def open_prior(self, path: str | Path) -> OpenPrior: ...
    def uncertainty(self, mask_id: str) -> Uncertainty: ...


class OpenPrior(Protocol):
    """What the desk needs of `assistant.prior.Prior`."""

    def compare(self, question: str) -> Comparison: ...


@dataclass(frozen=True)
class Point:
    """A click to go with the next question: RAS+ mm, and 1 (inside the target) or 0 (outside)."""

    mm: tuple[float, float, float]
    label: int


@dataclass
class Turn:
    """A question and what came back. `answer` grows while it streams; `error` is the sentence why there is none.

    found: the new masks and the absent targets, in order, without their voxels. kept: the session remembers the turn.
    step: where it stands in the seat's history. selected: the mask that was "it"; refines: the one that it changes.
    files: what the viewer shows of its masks, by id; before: likewise of a prior's, with their phrases.
    ahead: how many others are answered before it.
    A grounded report and a comparison are turns too: result is what the other workspaces show of them.
    """

    question: str
    points: tuple[Point, ...] = ()
    answer: str = ""
    footnote: list[str] = field(default_factory=list)
    error: str = ""
    done: bool = False
    kept: bool = False
    found: list[Finding] = field(default_factory=list)
    step: int = 0
    box: tuple[float, ...] | None = None
    selected: str = ""
    refines: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    before: dict[str, tuple[str, Path]] = field(default_factory=dict)
    ahead: int = 0
    result: Report | Comparison | None = None


#: what was said, and the session's step
Said = tuple[tuple["Turn | Notice", ...], int]


@dataclass(frozen=True)
class Notice:
    """A line of the desk itself in the chat: a scan that could not be opened, and why."""

    text: str


def as_sentence(error: BaseException) -> str:
    """What the reader is told about `error`. Bugs get a line here and their trace in the terminal."""
    if isinstance(error, DeixisError):
        return str(error)
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    if isinstance(error, OSError) and error.strerror:
        return f"The machine refused ({error.strerror}); free some space or check the folder's rights, then try again."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close other programs or open a smaller scan."
    return (
        f"Something went wrong inside Deixis ({type(error).__name__}); the scan and the masks are kept, "
        "and the details are in the terminal that runs it."
    )
