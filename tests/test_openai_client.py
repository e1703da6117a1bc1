"""The server through the `openai` package, as the README shows it."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import CLICK, SHOW, WHERE


@pytest.fixture(scope="module")
def address(tiny_model: Any) -> Iterator[str]:
    """A real server with a key, on a free port of this machine."""
    import uvicorn

    from assistant.server import create_app

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(tiny_model, api_key="secret"), host="127.0.0.1", port=port, log_config=None)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
        yield client


@pytest.fixture
def scan_id(address: str, tiny_scan: Path) -> str:
    with tiny_scan.open("rb") as file:
        response = httpx.post(
            f"{address}/v1/scans", files={"file": (tiny_scan.name, file)}, headers={"Authorization": "Bearer secret"}
        )
    identity: str = response.json()["id"]
    return identity


def test_a_conversation_with_findings_and_points(client: Any, scan_id: str) -> None:
    messages: list[Any] = [{"role": "user", "content": SHOW}]
    reply = client.chat.completions.create(model="deixis", messages=messages, extra_body={"deixis": {"scan": scan_id}})
    assert reply.choices[0].message.content.startswith("left block (m1)")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.deixis["findings"][0]["volume_ml"] > 0
    messages += [reply.choices[0].message, {"role": "user", "content": WHERE}]
    pointing = {"scan": scan_id, "points": [CLICK]}
    again = client.chat.completions.create(model="deixis", messages=messages, extra_body={"deixis": pointing})
    assert again.deixis["findings"][0]["id"] == "m2"


def test_the_stream_adds_up_to_the_whole(client: Any, scan_id: str) -> None:
    given: dict[str, Any] = {
        "model": "deixis", "messages": [{"role": "user", "content": SHOW}], "extra_body": {"deixis": {"scan": scan_id}},
    }  # fmt: skip
    whole = client.chat.completions.create(**given).choices[0].message.content
    chunks = list(client.chat.completions.create(**given, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_scan_inside_of_a_message(client: Any, tiny_scan: Path) -> None:
    data = f"data:application/gzip;base64,{base64.b64encode(tiny_scan.read_bytes()).decode()}"
    parts = [{"type": "text", "text": SHOW}, {"type": "file", "file": {"filename": "t1.nii.gz", "file_data": data}}]
    reply = client.chat.completions.create(model="deixis", messages=[{"role": "user", "content": parts}])
    assert reply.deixis["findings"][0]["phrase"] == "left block"


def test_models_and_errors_are_what_the_package_expects(client: Any, address: str, scan_id: str) -> None:
    import openai

    assert [model.id for model in client.models.list()] == ["deixis"]
    with pytest.raises(openai.NotFoundError, match="there is no scan 'scan-gone'"):
        client.chat.completions.create(
            model="deixis", messages=[{"role": "user", "content": SHOW}], extra_body={"deixis": {"scan": "scan-gone"}}
        )
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.chat.completions.create(
            model="deixis", messages=[{"role": "user", "content": " "}], extra_body={"deixis": {"scan": scan_id}}
        )
    with pytest.raises(openai.AuthenticationError, match="the API key is missing or wrong"):
        openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0).models.list()
