"""The server on a real socket: whatever its description allows gets an answer that is no 5xx, and it ends cleanly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings

from assistant.server import create_app
from assistant.serving.tenancy import Limits

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as one:
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def url(tiny_model) -> Iterator[str]:
    """A server with the small model, and room for what a few hundred requests leave."""
    port = free_port()
    app = create_app(tiny_model, Limits(scans=100, waiting=50))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def scan(url, tiny_scan) -> str:
    return requests.post(f"{url}/v1/scans", files={"file": tiny_scan.open("rb")}, timeout=30).json()["id"]


def test_no_request_that_the_description_allows_ends_in_a_server_error(url, scan):
    """Ids cannot be guessed, so that of a scan is put in: what is asked about it then reaches the model.

    schemathesis makes the requests. Its own pytest plugin reads what this pytest no longer has: it is not used.
    """
    operations = [result.ok() for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()]
    assert len(operations) == 8
    seen: Counter[str] = Counter()
    for operation in operations:

        @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            if case.method != "DELETE" and "scan_id" in case.path_parameters:
                case.path_parameters["scan_id"] = scan
            if isinstance(case.body, dict) and "messages" in case.body:
                case.body["deixis"] = {**(case.body.get("deixis") or {}), "scan": scan}
            response = case.call()
            assert response.status_code < 500, response.text
            seen[f"{case.method} {case.path} {response.status_code}"] += 1

        ask()
    assert {"GET /v1/scans/{scan_id} 200", "POST /v1/chat/completions 400"} <= {*seen}


def test_a_client_that_hangs_up_frees_the_worker(url, scan):
    """The socket is closed after the first bytes of the stream; the server is idle soon after."""
    question = {"role": "user", "content": "Where is it?"}
    body = json.dumps({"messages": [question], "stream": True, "deixis": {"scan": scan}})
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert b"200 OK" in client.recv(100)
    deadline = time.monotonic() + 10
    while requests.get(f"{url}/health", timeout=10).json()["queue"]["computing"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_command_serves_and_leaves_nothing_behind(tiny_base, tiny_checkpoint, tiny_scan, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "assistant", "serve", "--port", str(port), "--model", str(tiny_checkpoint),
               "--base", str(tiny_base), "--device", "cpu", "--max-waiting", "3"]  # fmt: skip
    environment = os.environ | {"TMPDIR": str(tmp_path), "DEIXIS_API_KEY": "right"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, process.communicate()
            with contextlib.suppress(requests.ConnectionError):
                health = requests.get(f"http://127.0.0.1:{port}/health", timeout=5).json()
                break
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert (health["ready"], health["queue"]["limit"]) == (True, 3)
        session = requests.Session()
        session.headers["Authorization"] = "Bearer right"
        scan = session.post(f"http://127.0.0.1:{port}/v1/scans", files={"file": tiny_scan.open("rb")}, timeout=30)
        assert scan.status_code == 201
        assert list(tmp_path.glob("deixis-serve-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in err
    assert not list(tmp_path.glob("deixis-serve-*"))
