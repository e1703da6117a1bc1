"""What every request passes before the application sees it: the key, the size and pace of its body; and the last net
under errors. An ASGI middleware (https://asgi.readthedocs.io), because a body must be refused before it is read."""

from __future__ import annotations

import asyncio
import secrets

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assistant.serving.address import host_of, is_loopback
from assistant.serving.refusal import Refusal, error_json, refusal_of

OPEN_PATHS = ("/health", "/docs", "/openapi.json")  # need no key and tell nothing of a scan
OVERHEAD = 2**20  # bytes of a request around the scan in it


class BodyRefused(HTTPException):
    """A Refusal in the one form that FastAPI lets through when it comes in the middle of a body."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, str(refusal))
        self.refusal = refusal


class Gate:
    """key: None lets everybody in who is on this machine. most_bytes: of a body, by path; None is any other path.
    pace: seconds that may pass between two parts of a body."""

    def __init__(self, app: ASGIApp, key: str | None, most_bytes: dict[str | None, int], pace: float) -> None:
        self._app = app
        self._key = key
        self._most = most_bytes
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._check_caller(scope["path"], headers)
            most = self._most.get(scope["path"], self._most[None])
            length = headers.get("content-length", "")
            if length.isdigit() and int(length) > most:
                raise too_large(int(length), most)
            await self._app(scope, self._measured(receive, most), sending)
        except Exception as error:  # noqa: BLE001  the last frame: what is not a Refusal is logged under an id
            refusal = refusal_of(error)
            if not begun:
                await respond(refusal, send)
            # else the answer is under way and can only be broken off: the connection is closed by the server

    def _check_caller(self, path: str, headers: dict[str, str]) -> None:
        """Refusal without the right key; or, without any key, for a page of another site that reaches this machine
        through its visitor's browser (DNS rebinding: such a request names the site as its host)."""
        if self._key is None:
            host = host_of(headers.get("host", ""))
            if not is_loopback(host):
                raise Refusal(
                    403, f"this server has no key and answers to localhost alone, not to {host[:60]!r}: start it with "
                    "--api-key", "wrong_host",
                )  # fmt: skip
            return
        if path in OPEN_PATHS:
            return
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(sent.strip().encode(), self._key.encode()):
            raise Refusal(
                401, "the API key is missing or wrong: send the header Authorization: Bearer KEY", "invalid_api_key"
            )

    def _measured(self, receive: Receive, most: int) -> Receive:
        """`receive`, which counts what it brings and does not wait for ever."""
        count, whole = 0, False

        async def receiving() -> Message:
            nonlocal count, whole
            if whole:
                return await receive()  # waits for the client to leave, however long that takes
            try:
                message = await asyncio.wait_for(receive(), self._pace)
            except asyncio.TimeoutError as error:
                raise BodyRefused(
                    Refusal(408, f"nothing more of the request came for {self._pace:g} s: send it again", "too_slow")
                ) from error
            count += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if count > most:
                raise BodyRefused(too_large(count, most))
            return message

        return receiving


def too_large(count: int, most: int) -> Refusal:
    return Refusal(
        413,
        f"the request has {count:,} bytes or more and the limit is {most:,}: crop or compress the scan, "
        "or have --max-upload-mb raised",
        "request_too_large",
    )


async def respond(refusal: Refusal, send: Send) -> None:
    body = error_json(refusal)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
