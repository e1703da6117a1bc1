"""The line before the model: whose turn it is, who is turned away, how it ends."""

from __future__ import annotations

import threading
import time

import pytest

from assistant.errors import ResourceError
from assistant.serving.address import check_binding, host_of, is_loopback
from assistant.serving.refusal import Refusal
from assistant.serving.worker import Worker


class Job:
    """Notes that it was done; one with a gate waits for it first."""

    def __init__(self, client: str, done: list[str], gate: threading.Event | None = None) -> None:
        self.client, self._done, self._gate = client, done, gate
        self.reason: Refusal | None = None

    def run(self) -> None:
        if self._gate is not None:
            assert self._gate.wait(30)
        self._done.append(self.client)

    def stop(self, reason: Refusal) -> None:
        self.reason = reason
        if self._gate is not None:
            self._gate.set()


def nothing() -> bool:
    return False


def busy(worker: Worker, done: list[str]) -> threading.Event:
    """Holds the worker until the event is set."""
    gate = threading.Event()
    worker.submit(Job("first", done, gate))
    while not worker.computing:
        time.sleep(0.001)
    return gate


def test_clients_take_turns_and_their_places_are_those_in_which_they_are_served():
    done: list[str] = []
    worker = Worker(10, nothing)
    gate = busy(worker, done)
    jobs = [Job(client, done) for client in "aaabbc"]
    for job in jobs:
        worker.submit(job)
    places = [worker.position(job) for job in jobs]
    assert places == [1, 4, 6, 2, 5, 3]
    gate.set()
    while worker.waiting or worker.computing:
        time.sleep(0.001)
    worker.close()
    assert done == ["first", "a", "b", "c", "a", "b", "a"]
    assert worker.position(jobs[0]) == 0


def test_a_full_line_turns_away_and_one_client_cannot_fill_it():
    worker, done = Worker(4, nothing), []
    gate = busy(worker, done)
    for client in "aa":
        worker.submit(Job(client, done))
    with pytest.raises(Refusal, match="2 questions about this scan") as refusal:
        worker.submit(Job("a", done))
    assert (refusal.value.status, refusal.value.position) == (429, 4)
    assert refusal.value.headers["Retry-After"] == str(refusal.value.retry_after)
    for client in "bc":
        worker.submit(Job(client, done))
    with pytest.raises(Refusal, match="4 questions are waiting already and yours would be number 6"):
        worker.submit(Job("d", done))
    gate.set()
    worker.close()


def test_a_job_leaves_the_line_but_not_once_it_is_begun():
    worker, done = Worker(4, nothing), []
    gate = busy(worker, done)
    one, two = Job("a", done), Job("a", done)
    worker.submit(one)
    worker.submit(two)
    assert worker.drop(one)
    assert not worker.drop(one)
    assert worker.position(two) == 1
    gate.set()
    while worker.waiting or worker.computing:
        time.sleep(0.001)
    assert done == ["first", "a"]
    assert not worker.drop(two)
    worker.close()


def test_the_end_stops_what_is_under_way_and_what_waits():
    worker, done = Worker(4, nothing), []
    busy(worker, done)
    waiting = Job("a", done)
    worker.submit(waiting)
    worker.close()
    assert waiting.reason is not None
    assert done == ["first", "a"]  # each is run still: its client waits for a word
    assert not worker.alive
    with pytest.raises(Refusal, match="being stopped"):
        worker.submit(Job("b", done))


def test_idle_work_is_done_a_step_at_a_time_and_its_failure_costs_no_answer():
    steps: list[int] = []

    def step() -> bool:
        steps.append(len(steps))
        if len(steps) == 3:
            raise RuntimeError("broken")
        return True

    worker, done = Worker(4, step), []
    while len(steps) < 3:
        time.sleep(0.001)
    worker.submit(Job("a", done))
    while len(steps) < 4:  # after an answer there may be something to do again
        time.sleep(0.001)
    worker.close()
    assert done == ["a"]


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.2", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_only_the_loopback_addresses_need_no_key(host, alone):
    assert is_loopback(host) == alone
    if not alone:
        with pytest.raises(ResourceError, match="DEIXIS_API_KEY"):
            check_binding(host, 0, None)


def test_an_empty_key_is_no_key():
    with pytest.raises(ResourceError, match="empty"):
        check_binding("127.0.0.1", 0, "  ")


@pytest.mark.parametrize(
    ("header", "host"), [("localhost:80", "localhost"), ("[::1]:80", "::1"), ("a.example", "a.example"), ("", "")]
)
def test_the_host_of_a_header(header, host):
    assert host_of(header) == host
