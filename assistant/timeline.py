"""The turns of a conversation and the ways it has taken: back, forward again, and on from an earlier place.

What changes a conversation is done one thing at a time, and a whole turn is remembered with the masks as they were.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assistant.errors import QuestionError
from assistant.generate import Chat, ChatState
from assistant.history import History
from assistant.turn import Turn

KEPT_BYTES = 2**28  # masks of turns that were taken back, kept so that they can be brought again
KEPT_TURNS = 64


@dataclass(frozen=True, eq=False)
class _State:
    """A session after a turn."""

    turns: tuple[Turn, ...]
    chat: ChatState


class Timeline:
    """Whole turns about one study, and what was said and found before and after each of them."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.turns: list[Turn] = []
        self._history = History(_State((), chat.state))
        self._busy = threading.Lock()
        self._computing = threading.Lock()

    def undo(self) -> Turn:
        """Take back the last question, its answer and what it did to the masks; returns that turn. QuestionError if
        none. `redo` brings it back."""
        with self._alone():
            taken = self.turns[-1:]
            self._become(self._history.back())
            return taken[0]

    def redo(self) -> Turn:
        """Bring back the turn that was taken back last, with its masks under their ids; returns it. QuestionError where
        nothing was, or something else was asked since: `go` leads there."""
        with self._alone():
            self._become(self._history.forward())
            return self.turns[-1]

    def rewind(self, count: int) -> None:
        """Go back to where `count` questions had been asked, to go on from there another way. What came after is kept:
        `redo` and `go` lead back. QuestionError where fewer were asked."""
        if not 0 <= count <= len(self.turns):
            raise QuestionError(f"there are {len(self.turns)} questions to go back over, not {count}")
        self.go(self._history.path()[count])

    @property
    def step(self) -> int:
        """The number of the present place in the conversation, for `go`; 0 before any question. It stays the same when
        one goes back and on another way."""
        return self._history.step

    def go(self, step: int) -> None:
        """Go to another place of the conversation, on whatever way it lies, with the masks as they were there.
        QuestionError where there is none, or it was forgotten for want of room."""
        with self._alone():
            self._become(self._history.go(step))

    def ways(self, count: int) -> list[int]:
        """The steps at which the question number `count` (from 1) was asked in one way or another, oldest first; the
        present one is among them."""
        return self._history.siblings(self._history.path()[count])

    def way(self, step: int) -> None:
        """Go on another way: to the end of the one that leads through a step, as `ways` gives them."""
        self.go(self._history.tip(step))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nothing else is asked or changed in the block. QuestionError where something already is."""
        if not self._busy.acquire(blocking=False):
            raise QuestionError("the last question is still being answered: wait for it or stop it first")
        try:
            with self._computing:  # at most one tile: see `Session.read_on`
                yield
        finally:
            self._busy.release()

    def _keep(self) -> None:
        """Remember the session as it is after a turn; of other ways no more than there is room for."""
        self._history.add(_State(tuple(self.turns), self.chat.state))
        self._history.forget(lambda states: len(states) > KEPT_TURNS or self._bytes_of(states) > KEPT_BYTES)

    def _become(self, state: _State) -> None:
        self.chat.restore(state.chat)
        self.turns[:] = state.turns

    def _bytes_of(self, states: Sequence[_State]) -> int:
        """Bytes of the masks that these states hold and the present one does not."""
        here = {id(finding.mask) for finding in self.chat.findings}
        found = [f for s in states if s.chat.findings is not None for f in s.chat.findings.found]
        return sum({id(f.mask): f.mask.nbytes for f in found if f.mask is not None and id(f.mask) not in here}.values())

    def take_up(self, turns: Sequence[Turn], states: Sequence[ChatState]) -> None:
        """Be a conversation of another time: its turns, and the chat before the first and after each of them. No way
        but this one is left."""
        self._history = History(_State((), states[0]))
        for count, state in enumerate(states[1:], 1):
            self._history.add(_State(tuple(turns[:count]), state))
        self.chat.restore(states[-1])
        self.turns[:] = turns
