"""What the server does not let itself be brought to: keys, limits, bugs, clients that leave."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from assistant import Session
from assistant.generate import Delta
from assistant.server import create_app
from assistant.serving.refusal import Refusal
from assistant.serving.talk import Talk
from assistant.serving.tenancy import HowToRead, Limits, Tenancy
from tests.clients import SHOW, WHERE, ask, client_of, events, messages, refused, upload


class Blocker:
    """A job that holds the worker until it is let go."""

    client = "blocker"

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def run(self) -> None:
        self.begun.set()
        assert self.go.wait(30)

    def stop(self, reason: Refusal) -> None:
        self.go.set()


def test_a_full_line_says_where_one_would_stand_and_when_to_come_again(tiny_model, tiny_scan):
    with client_of(tiny_model, Limits(waiting=2), patience=0.05) as client:
        scan = upload(client, tiny_scan).json()["id"]
        worker, blocker = client.app.state.worker, Blocker()
        worker.submit(blocker)
        assert blocker.begun.wait(10)
        answers: list[Any] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(client, scan, SHOW, stream=True)))
        waiting.start()
        while not worker.waiting:
            time.sleep(0.01)
        assert client.get("/health").json()["queue"] == {"computing": True, "waiting": 1, "limit": 2}
        response = ask(client, scan, WHERE)  # a scan may fill half of the line
        error = refused(response, 429, "number 3 in line", "about this scan")
        assert error["position"] == 3
        assert int(response.headers["retry-after"]) >= 1
        time.sleep(0.2)
        blocker.go.set()
        waiting.join(30)
        assert ": waiting, 1 before this one" in answers[0].text  # a comment, which clients skip
        assert events(answers[0])[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_key_opens_everything_and_nothing_opens_without_it(tiny_model, tiny_scan):
    with client_of(tiny_model, key="right") as client:
        for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}, {"Authorization": "Bearer "}):
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/scans"), ("POST", "/v1/chat/completions"),
                                 ("GET", "/v1/masks/x"), ("DELETE", "/v1/scans/x")):  # fmt: skip
                response = client.request(method, path, headers=sent)
                refused(response, 401, "Authorization: Bearer KEY")
                assert response.headers["www-authenticate"] == "Bearer"
        assert client.get("/health").status_code == 200
        client.headers["Authorization"] = "Bearer right"
        assert client.get("/v1/models").status_code == 200
        assert upload(client, tiny_scan).status_code == 201
        assert client.get("/v1/models", headers={"Host": "scans.example"}).status_code == 200
        assert "HTTPBearer" in client.get("/openapi.json").json()["components"]["securitySchemes"]


def test_without_a_key_only_this_machine_is_answered(client):
    """A page of another site that made its own name lead here cannot read scans through its visitor's browser."""
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert client.get("/v1/models", headers={"Host": host}).status_code == 200
    refused(client.get("/v1/models", headers={"Host": "evil.example:8000"}), 403, "evil.example")


def test_no_more_scans_than_the_limit_and_those_of_requests_make_room(tiny_model, tiny_scan):
    with client_of(tiny_model, Limits(scans=2)) as client:
        first = upload(client, tiny_scan).json()["id"]
        url = "data:;base64," + base64.b64encode(tiny_scan.read_bytes()).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": SHOW}]
        body = {"messages": [{"role": "user", "content": content}]}
        inside = client.post("/v1/chat/completions", json=body).json()["deixis"]["scan"]
        second = upload(client, tiny_scan).json()["id"]
        refused(client.get(f"/v1/scans/{inside}"), 404)
        response = upload(client, tiny_scan)
        refused(response, 429, "2 scans are kept")
        assert 1700 < int(response.headers["retry-after"]) <= 1800
        client.delete(f"/v1/scans/{second}")
        assert upload(client, tiny_scan).status_code == 201
        assert client.get(f"/v1/scans/{first}").status_code == 200


def test_idle_scans_go_and_nothing_is_left_at_the_end(tiny_model, tiny_scan):
    with client_of(tiny_model, Limits(idle_seconds=0.2)) as client:
        store = client.app.state.tenancy.store
        scan = upload(client, tiny_scan).json()["id"]
        deadline = time.monotonic() + 10
        while list(store.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        refused(client.get(f"/v1/scans/{scan}"), 404, "after 0.2 s without a request")
    with client_of(tiny_model) as client:
        store = client.app.state.tenancy.store
        upload(client, tiny_scan)
        assert list(store.iterdir())
    assert not store.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "deixis-worker"]


def test_an_answer_that_takes_too_long_is_broken_off_and_leaves_nothing(tiny_model, tiny_scan):
    with client_of(tiny_model, Limits(answer_seconds=1e-9)) as client:
        scan = upload(client, tiny_scan).json()["id"]
        refused(ask(client, scan, SHOW), 400, "the limit")
        talk = client.app.state.tenancy.get(scan).talk
        assert talk.session.turns == []


def test_a_full_disk_is_told_without_where_the_files_are(client, tiny_scan, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(client.app.state.tenancy.store / "x"))

    monkeypatch.setattr("assistant.server.shutil.copyfileobj", full)
    refused(upload(client, tiny_scan), 413, "No space left on device")
    assert not list(client.app.state.tenancy.store.iterdir())


@pytest.mark.parametrize("place", [(Talk, "answer"), (Tenancy, "get")])
def test_a_bug_is_an_id_for_the_client_and_a_trace_in_the_log(client, tiny_scan, monkeypatch, caplog, place):
    scan = upload(client, tiny_scan).json()["id"]

    def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(*place, broken)
    response = ask(client, scan, SHOW)
    error = refused(response, 500, "error id")
    assert "secret" not in response.text
    name = error["message"].split("error id ")[1].split()[0]
    assert any(name in record.message and record.exc_info for record in caplog.records)
    monkeypatch.undo()
    assert ask(client, scan, SHOW).status_code == 200


def test_an_error_in_mid_stream_comes_as_an_event(client, tiny_scan, monkeypatch):
    scan = upload(client, tiny_scan).json()["id"]

    def broken(*_: object, **__: object) -> Iterator[Delta]:
        yield Delta("left ")
        raise RuntimeError("secret inside")

    monkeypatch.setattr(Session, "stream", broken)
    response = ask(client, scan, SHOW, stream=True)
    assert response.status_code == 200
    assert "error id" in events(response)[-1]["error"]["message"]
    assert "secret" not in response.text


async def left_early(app: Any, body: dict[str, Any], leave: asyncio.Event) -> list[Any]:
    """What the application sends to a client that posts a question and leaves when `leave` is set."""
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")], "server": ("localhost", 80),
        "client": ("127.0.0.1", 9), "root_path": "",
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 20)
    return sent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves_ends_its_answer_in_line_and_under_way(
    tiny_model, tiny_scan, monkeypatch, stream, begun
):
    """Endless words stand for a long answer; the token at which the session is asked to stop ends them."""
    speaking = threading.Event()

    def endless(self: Session, *_: object, should_stop: Any, **__: object) -> Iterator[Delta]:
        while True:
            speaking.set()
            time.sleep(0.001)
            should_stop()
            yield Delta("and ")

    monkeypatch.setattr(Session, "stream", endless)

    async def run() -> None:
        app = create_app(tiny_model, patience=0.05)
        async with app.router.lifespan_context(app):
            tenancy, worker, blocker = app.state.tenancy, app.state.worker, Blocker()
            scan = tenancy.keep(lambda file: file.write_bytes(tiny_scan.read_bytes()), tiny_scan.name, HowToRead())
            if not begun:
                worker.submit(blocker)
            leave = asyncio.Event()
            body = {"messages": messages(SHOW), "deixis": {"scan": scan.id}, "stream": stream}
            asking = asyncio.create_task(left_early(app, body, leave))
            deadline = time.monotonic() + 15
            while not (speaking.is_set() if begun else worker.waiting):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            leave.set()
            await asking
            blocker.go.set()
            while worker.computing or worker.waiting or scan.users:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert speaking.is_set() == begun

    asyncio.run(run())
