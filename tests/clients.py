"""Clients of the server in the tests, and what they expect of its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from assistant.server import create_app
from assistant.serving import objects
from assistant.serving.tenancy import Limits

CLICK = [-9.0, -7.0, -2.0]  # RAS+ mm, inside the bright block on the patient's left
SHOW, WHERE, NOW = "Show me the left block.", "Where is it?", "And now?"


def client_of(model: Any, limits: Limits | None = None, key: str | None = None, patience: float = 10.0) -> TestClient:
    app = create_app(model, limits, key, patience)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def upload(client: TestClient, path: Path, **fields: str) -> Any:
    return client.post("/v1/scans", files={"file": (path.name, path.read_bytes())}, data=fields)


def messages(*texts: str) -> list[dict[str, Any]]:
    """User and assistant in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def ask(client: TestClient, scan: str | None, *texts: str, deixis: dict[str, Any] | None = None, **more: Any) -> Any:
    """The response to the last of the texts, the others being the conversation before."""
    extra = ({} if scan is None else {"scan": scan}) | (deixis or {})
    body = {"model": "deixis", "messages": messages(*texts), "deixis": extra} | more
    return client.post("/v1/chat/completions", content=json.dumps(body), headers={"Content-Type": "application/json"})


def events(response: Any) -> list[dict[str, Any]]:
    """The objects of a stream, which must end as OpenAI's do."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def refused(response: Any, status: int, *words: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object, with one sentence and nothing of the server's inside."""
    assert response.status_code == status, response.text
    error = objects.ErrorBody.model_validate(response.json()).error
    for word in words:
        assert word in error.message
    assert "\n" not in error.message
    assert "deixis-serve-" not in response.text
    assert "Traceback" not in response.text
    if param is not None:
        assert error.param == param
    return response.json()["error"]
