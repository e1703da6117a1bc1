"""A request that the server does not carry out: one sentence, with the HTTP status and headers that say the same."""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from assistant.errors import DeixisError, ResourceError

log = logging.getLogger("deixis.server")

BUSY = 429


class Refusal(DeixisError):
    """status: of the HTTP answer. code: for programs (OpenAI's where it has one). param: the field that is wrong.
    retry_after: seconds. position: the place in the line that a refused question would have had."""

    def __init__(
        self,
        status: int,
        sentence: str,
        code: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.position = position

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def refusal_of(error: Exception) -> Refusal:
    """What a client is told about any error. Bugs get an id here, and their trace in the log under that id."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ResourceError):
        return Refusal(413, str(error), "not_enough_resources")
    if isinstance(error, DeixisError):
        return Refusal(400, str(error), type(error).__name__)
    name = secrets.token_hex(4)
    log.error("error %s: unexpected %s", name, type(error).__name__, exc_info=error)
    return Refusal(
        500,
        f"something went wrong inside the server: report the error id {name} to whoever runs it, the log has the rest",
        "internal_error",
    )


def error_body(refusal: Refusal) -> dict[str, Any]:
    """OpenAI's error object, ready for JSON."""
    kinds = {401: "authentication_error", BUSY: "rate_limit_error"}
    error: dict[str, Any] = {
        "message": str(refusal),
        "type": kinds.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error"),
        "param": refusal.param,
        "code": refusal.code,
    }
    if refusal.position is not None:
        error["position"] = refusal.position
    return {"error": error}


def error_json(refusal: Refusal) -> bytes:
    """The same as ASCII: a sentence may quote half a character (a lone surrogate), which UTF-8 cannot hold."""
    return json.dumps(error_body(refusal)).encode("ascii")
