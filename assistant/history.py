"""What was asked, as a tree: going back, forward again, and on from an earlier place without losing the other way.

A step is one state of a conversation. States are held by reference: what two steps have in common exists once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from assistant.errors import QuestionError

State = TypeVar("State")


@dataclass
class _Step(Generic[State]):
    """before: the step it was made from, -1 for the first; after: the one last gone on to, -1 for none."""

    state: State
    before: int
    after: int = -1


class History(Generic[State]):
    """Steps are numbered as they are made and keep their numbers; 0 is the start."""

    def __init__(self, start: State) -> None:
        self._steps: dict[int, _Step[State]] = {0: _Step(start, -1)}
        self._count = 1
        self.step = 0

    @property
    def state(self) -> State:
        """Of the present step."""
        return self._steps[self.step].state

    @property
    def states(self) -> list[State]:
        """Of every step, on any way."""
        return [one.state for one in self._steps.values()]

    def add(self, state: State) -> int:
        """Go on from the present step to a new one; returns its number."""
        number, self._count = self._count, self._count + 1
        self._steps[number] = _Step(state, self.step)
        self._steps[self.step].after = number
        self.step = number
        return number

    def update(self, state: State) -> None:
        """Put another state in place of the present step's."""
        self._steps[self.step].state = state

    def path(self, step: int | None = None) -> list[int]:
        """The steps from the start to a step (the present one), both included."""
        number = self.step if step is None else step
        way: list[int] = []
        while number >= 0:
            way.append(number)
            number = self._steps[number].before
        return way[::-1]

    @property
    def next(self) -> int | None:
        """The step that `forward` goes to: the one last gone on to from here."""
        after = self._steps[self.step].after
        return after if after >= 0 else None

    def siblings(self, step: int) -> list[int]:
        """The steps made from the same one, this one included, oldest first."""
        before = self._steps[step].before
        return [number for number, one in self._steps.items() if one.before == before]

    def tip(self, step: int) -> int:
        """The end of the way last gone on from a step."""
        while self._steps[step].after >= 0:
            step = self._steps[step].after
        return step

    def back(self) -> State:
        """One step back. QuestionError at the start."""
        before = self._steps[self.step].before
        if before < 0:
            raise QuestionError("there is nothing to undo: no question has been asked")
        return self.go(before)

    def forward(self) -> State:
        """One step forward again. QuestionError where nothing was taken back."""
        if self.next is None:
            raise QuestionError("there is nothing to redo: nothing was taken back")
        return self.go(self.next)

    def go(self, step: int) -> State:
        """To any step. From there `forward` leads the way that was last gone. QuestionError where there is none."""
        if step not in self._steps:
            raise QuestionError(f"there is no step {step} of this conversation: it was forgotten, or never made")
        self.step = step
        way = self.path()
        for one, after in pairwise(way):
            self._steps[one].after = after
        return self.state

    def forget(self, too_much: Callable[[list[State]], bool]) -> None:
        """Drop ends of other ways, the oldest first, while `too_much` (given the states off the present way) says so.

        The step last taken back stays, so that it can be brought again.
        """
        way = set(self.path())
        while True:
            off = [number for number in self._steps if number not in way]
            ends = [n for n in off if n != self.next and all(one.before != n for one in self._steps.values())]
            if not ends or not too_much([self._steps[number].state for number in off]):
                return
            gone = self._steps.pop(ends[0])
            if self._steps[gone.before].after == ends[0]:
                rest = [number for number, one in self._steps.items() if one.before == gone.before]
                self._steps[gone.before].after = rest[-1] if rest else -1
