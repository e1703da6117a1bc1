"""One question and its answer, as a session keeps them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from assistant.findings import Finding
from assistant.question import Question


@dataclass(frozen=True)
class Reply:
    """text: what a user is shown. findings: this reply's, in order, absent ones included (`present` False, `id` "").

    timings, seconds: "open" (reading the scan and loading the model), "first_token", "first_mask" (None when the reply
    has none) and "total", the last three counted from the question. corrections: what was changed in the model's
    words because the measurements said otherwise.
    """

    text: str
    findings: tuple[Finding, ...]
    timings: Mapping[str, float | None]
    corrections: tuple[str, ...] = ()
    stopped: bool = False


@dataclass(frozen=True)
class Turn:
    question: Question
    reply: Reply


class Clock:
    """A reply in the making: its findings, and what came when since the clock was made.

    open_seconds: what opening the scan took, which a reply tells along."""

    def __init__(self, open_seconds: float) -> None:
        self._started = time.perf_counter()
        self._times: dict[str, float | None] = {"open": open_seconds, "first_token": None, "first_mask": None}
        self.findings: list[Finding] = []

    def wrote(self) -> None:
        """A text came."""
        if self._times["first_token"] is None:
            self._times["first_token"] = time.perf_counter() - self._started

    def found(self, finding: Finding) -> None:
        """A finding came."""
        self.findings.append(finding)
        if finding.present and self._times["first_mask"] is None:
            self._times["first_mask"] = time.perf_counter() - self._started

    def reply(self, text: str, corrections: tuple[str, ...] = (), stopped: bool = False) -> Reply:
        """The reply, whole now."""
        times = self._times | {"total": time.perf_counter() - self._started}
        return Reply(text, tuple(self.findings), times, corrections, stopped)
