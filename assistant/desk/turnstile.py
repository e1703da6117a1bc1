"""Who may compute: one at a time on this machine, in the order in which they came, and each knows its place in line."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK = 0.2  # seconds after which a waiting one looks whether it was given up


class Left(Exception):
    """Whoever waited does not want to go in any more."""


class Turnstile:
    """A lock that is fair. `with turnstile:` waits; `with turnstile.waiting(...):` says how many are ahead."""

    def __init__(self) -> None:
        self._line: deque[object] = deque()  # the first one is in
        self._changed = threading.Condition()
        self._inside = threading.local()

    @contextmanager
    def waiting(
        self, ahead: Callable[[int], None] = lambda count: None, given_up: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Go in when it is this one's turn.

        ahead: told how many are before it whenever that changes, 0 at last. given_up: asked while it waits; True ends
        the wait with `Left`.
        """
        place, told = object(), -1
        with self._changed:
            self._line.append(place)
        try:
            while True:
                with self._changed:
                    count = self._line.index(place)
                    if count and count == told:
                        self._changed.wait(LOOK)
                        count = self._line.index(place)
                if count != told:
                    told = count
                    ahead(count)
                if count == 0:
                    break
                if given_up():
                    raise Left
            yield
        finally:
            with self._changed:
                self._line.remove(place)
                self._changed.notify_all()

    def __enter__(self) -> None:
        guard = self.waiting()
        guard.__enter__()
        self._inside.guard = guard

    def __exit__(self, *error: object) -> None:
        self._inside.guard.__exit__(None, None, None)

    @property
    def count(self) -> int:
        """How many are in or wait."""
        return len(self._line)
