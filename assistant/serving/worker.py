"""One thread that computes. Questions wait in line for it; those of different scans take turns.

There is one model and one machine: two answers at once would each take twice as long, and hold twice the memory.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from assistant.serving.refusal import BUSY, Refusal

log = logging.getLogger("deixis.server")

PAUSE = 0.005  # seconds between two steps of idle work: whoever asks meanwhile goes first


class Job(Protocol):
    """What is done in the worker's thread. client: whose turn it is; run: does it and never raises; stop: makes a
    running one end soon, and says why."""

    client: str

    def run(self) -> None: ...
    def stop(self, reason: Refusal) -> None: ...


class Worker:
    """idle: does one small step while nobody waits; False when there is none left to do."""

    def __init__(self, most_waiting: int, idle: Callable[[], bool]) -> None:
        self._most = most_waiting
        self._idle = idle
        self._lines: OrderedDict[str, deque[Job]] = OrderedDict()  # by client, the next one to be served first
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._closed = False
        self._seconds = 5.0  # a guess, until jobs have told how long they take
        self._thread = threading.Thread(target=self._work, name="deixis-worker", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closed

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def computing(self) -> bool:
        return self._running is not None

    def submit(self, job: Job) -> None:
        """Put a job in line. Refusal (429) when the line is full, or half of it is this client's already."""
        with self._changed:
            if self._closed:
                raise Refusal(503, "the server is being stopped: ask again when it is back", "stopping")
            mine = len(self._lines.get(job.client, ()))
            waiting = self.waiting
            if waiting >= self._most or mine >= max(1, self._most // 2):
                position = waiting + 1 + (self._running is not None)
                whose = f"{waiting} questions are" if waiting >= self._most else f"{mine} questions about this scan are"
                seconds = max(1, math.ceil(self._seconds * position))
                raise Refusal(
                    BUSY,
                    f"{whose} waiting already and yours would be number {position} in line: try again in {seconds} s",
                    "queue_full",
                    retry_after=seconds,
                    position=position,
                )
            self._lines.setdefault(job.client, deque()).append(job)
            self._changed.notify()

    def drop(self, job: Job) -> bool:
        """Take a job out of the line. False when it is not in it: it has been begun."""
        with self._changed:
            line = self._lines.get(job.client)
            if line is None or job not in line:
                return False
            line.remove(job)
            if not line:
                del self._lines[job.client]
            return True

    def position(self, job: Job) -> int:
        """How many jobs are done before this one; 0 while it is being done, or done."""
        with self._changed:
            line = self._lines.get(job.client)
            if line is None or job not in line:
                return 0
            own, clients = line.index(job), list(self._lines)
            before = clients[: clients.index(job.client)]
            ahead = sum(min(len(other), own + (name in before)) for name, other in self._lines.items())
            return ahead + (self._running is not None)

    def wake(self) -> None:
        """There may be idle work again."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End the job under way and those in line, and wait until the thread has ended."""
        reason = Refusal(503, "the server is being stopped: ask again when it is back", "stopping")
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.stop(reason)
            for line in self._lines.values():
                for job in line:
                    job.stop(reason)  # each is run still, and ends at once
            self._changed.notify()
        self._thread.join()

    def _next(self) -> Job | None:
        """The first job of the client who waits for its turn the longest."""
        if not self._lines:
            return None
        client, line = next(iter(self._lines.items()))
        job = line.popleft()
        if line:
            self._lines.move_to_end(client)
        else:
            del self._lines[client]
        return job

    def _work(self) -> None:
        more = True  # idle work may be left
        while True:
            with self._changed:
                self._running = job = self._next()
                if job is None:
                    if self._closed:
                        return
                    self._changed.wait(PAUSE if more else None)
            if job is None:
                more = not self._lines and self._step()
                continue
            began = time.monotonic()
            job.run()
            self._seconds += 0.3 * (time.monotonic() - began - self._seconds)
            more = True
            self._running = None

    def _step(self) -> bool:
        try:
            return self._idle()
        except Exception:  # nobody asked for this step: it is logged, and questions go on being answered
            log.exception("what would be done ahead failed")
            return False
