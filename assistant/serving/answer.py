"""A question on its way: from the request into the line, computed by the worker, back to the request piece by piece."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from assistant.export import finding_facts
from assistant.findings import Finding
from assistant.generate import Delta, Grounded
from assistant.serving.ask import Usage
from assistant.serving.refusal import Refusal, refusal_of
from assistant.serving.tenancy import Scan, Tenancy
from assistant.serving.wire import Request
from assistant.serving.worker import Worker

GONE = Refusal(499, "the client left before the answer was made", "client_left")


@dataclass(frozen=True)
class Words:
    """More of the text."""

    text: str


@dataclass(frozen=True)
class Found:
    """A target was looked for; facts as in `finding_object`."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """Nothing new for a while. position: answers that are made before this one."""

    position: int


@dataclass(frozen=True)
class Whole:
    """The end. finish: "stop", or "length" when the request's limit of tokens ended it. deixis: what goes beside the
    text."""

    text: str
    finish: str
    usage: Usage
    deixis: dict[str, Any]


Item = Words | Found | Waiting | Whole


class Answer:
    """A job of the worker's; made in the event loop that `items` is read in."""

    def __init__(self, tenancy: Tenancy, scan: Scan, request: Request) -> None:
        self.client = scan.id
        self._tenancy = tenancy
        self._scan = scan
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item | Refusal] = asyncio.Queue()
        self._asked = time.monotonic()
        self._deadline = float("inf")
        self._reason: Refusal | None = None

    # ---- in the worker's thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        self._deadline = time.monotonic() + self._tenancy.limits.answer_seconds
        last: Whole | Refusal
        try:
            with self._tenancy.without_paths():
                last = self._compute()
        except Exception as error:  # noqa: BLE001  the end of this job's line: logged where it is a bug, and told
            last = refusal_of(error)
        self._tenancy.settle(self._scan)
        self._tenancy.release(self._scan)
        self._send(last)  # when all is in order: the client may ask for the scan's place at once

    def _compute(self) -> Whole:
        request, scan, talk = self._request, self._scan, self._scan.talk
        waited = time.monotonic() - self._asked
        notes = list(request.notes)
        findings: list[dict[str, Any]] = []
        for event in talk.answer(request.past, request.ask, self._check, notes):
            if isinstance(event, Delta):
                self._send(Words(event.text))
            elif isinstance(event, Grounded):
                findings.append(finding_object(scan, event.finding, request.ask.text))
                self._send(Found(findings[-1]))
        reply = talk.session.turns[-1].reply
        deixis = {
            "scan": scan.id,
            "findings": findings,
            "corrections": list(reply.corrections),
            "notes": notes,
            "timings": {**reply.timings, "waited": waited},
        }
        return Whole(reply.text, "length" if talk.was_cut else "stop", talk.usage(), deixis)

    def _check(self) -> None:
        """Raise when there is no reason to go on."""
        if self._reason is not None:
            raise self._reason
        if self._scan.deleted:
            raise Refusal(404, "the scan was deleted while its question was answered", "scan_not_found")
        if time.monotonic() > self._deadline:
            raise Refusal(
                400,
                f"the answer took more than {self._tenancy.limits.answer_seconds:g} s, the limit: ask for less at once",
                "answer_too_long",
            )

    def _send(self, item: Item | Refusal) -> None:
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    # ---- from the event loop -----------------------------------------------------------------------------------------

    def stop(self, reason: Refusal) -> None:
        """End soon. From any thread; the first reason is the one that is told."""
        self._reason = self._reason or reason

    async def items(
        self, worker: Worker, left: Callable[[], Coroutine[Any, Any, None]], patience: float
    ) -> AsyncGenerator[Item, None]:
        """Get in line and pass on what comes, until `Whole`; raises the Refusal that comes instead.

        left: returns when the client has left; the answer is stopped then, as when this iterator is closed. patience:
        seconds after which `Waiting` comes when nothing else does.
        """
        self._tenancy.hold(self._scan)
        try:
            worker.submit(self)
        except Refusal:
            self._tenancy.release(self._scan)
            raise
        leaving = asyncio.create_task(left())
        coming = asyncio.create_task(self._items.get())
        try:
            while True:
                await asyncio.wait((coming, leaving), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    item, coming = coming.result(), asyncio.create_task(self._items.get())
                    if isinstance(item, Refusal):
                        raise item
                    yield item
                    if isinstance(item, Whole):
                        return
                elif leaving.done():
                    raise GONE
                else:
                    yield Waiting(worker.position(self))
        finally:
            leaving.cancel()
            coming.cancel()
            self.stop(GONE)
            if worker.drop(self):
                self._tenancy.release(self._scan)


def finding_object(scan: Scan, finding: Finding, question: str) -> dict[str, Any]:
    """A finding as clients get it, its mask as an address; a mask is kept from here on."""
    if finding.mask is None or not finding.present:
        return finding_facts(finding) | {"mask_url": None}
    return finding_facts(finding) | {"mask_url": f"/v1/masks/{scan.keep_mask(finding, question)}"}
