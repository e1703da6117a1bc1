"""Does a server's memory stay flat, and how many questions does it answer? The embedded model, on scans of the example.

    python -m tests.soak                         200 questions by 4 users, memory after every 20, and after DELETE
    python -m tests.soak --speed 1 2 4 8         questions a minute by so many users at once

Not a test: it takes minutes, and a busy machine's figures say little. Every user has a scan of his own.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np

from assistant.examples import example_scan
from assistant.memory import resident

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = (
    "Is the left hippocampus smaller than the right?",
    "How large is the brainstem?",
    "Where is the left thalamus?",
    "Show me both lateral ventricles.",
    "Is there a tumour?",
)
LONGEST = 6  # questions of a conversation, which then begins anew


class Server:
    """`deixis serve` in a process of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "-m", "assistant", "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=300)
        while True:
            try:
                self.client.get("/health")
                return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise
                time.sleep(0.2)

    @property
    def gigabytes(self) -> float:
        return resident(self.process.pid) / 1e9

    def upload(self, user: int, folder: Path) -> str:
        """The template with one voxel of its own."""
        image = nib.load(example_scan())
        voxels = np.array(image.dataobj, np.float32)
        voxels[0, 0, 0] += user
        path = folder / f"t1_{user}.nii"
        nib.save(nib.Nifti1Image(voxels, image.affine), path)
        with path.open("rb") as file:
            response = self.client.post("/v1/scans", files={"file": (path.name, file)})
        identity: str = response.raise_for_status().json()["id"]
        return identity

    def ask(self, scan: str, messages: list[dict[str, str]]) -> str:
        """One answer; waits and asks again where the line is full."""
        while True:
            response = self.client.post(
                "/v1/chat/completions", json={"messages": messages, "deixis": {"scan": scan}}
            )  # fmt: skip
            if response.status_code != 429:
                break
            time.sleep(float(response.headers["Retry-After"]))
        answer: str = response.raise_for_status().json()["choices"][0]["message"]["content"]
        return answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def talk(server: Server, scan: str, count: int, done: threading.Semaphore) -> None:
    """One user's questions, in conversations of at most LONGEST."""
    messages: list[dict[str, str]] = []
    for question in itertools.islice(itertools.cycle(QUESTIONS), count):
        if len(messages) >= 2 * LONGEST:
            messages = []
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": server.ask(scan, messages)})
        done.release()


def run(server: Server, scans: list[str], questions: int) -> float:
    """Seconds for all of them; memory is told after every 20."""
    done = threading.Semaphore(0)
    each = questions // len(scans)
    users = [threading.Thread(target=talk, args=(server, scan, each, done)) for scan in scans]
    began = time.monotonic()
    for user in users:
        user.start()
    for n in range(1, each * len(scans) + 1):
        done.acquire()
        if n % 20 == 0:
            print(f"{n:4} questions, {time.monotonic() - began:6.1f} s, {server.gigabytes:.2f} GB", flush=True)
    for user in users:
        user.join()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--speed", type=int, nargs="*", help="numbers of users")
    options = parser.parse_args()
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(f"started: {server.gigabytes:.2f} GB")
            scans = [server.upload(user, Path(folder)) for user in range(max(options.speed or [options.users]))]
            for users in options.speed or []:
                run(server, scans[:users], 2 * users)  # every scan is read
                seconds = run(server, scans[:users], 10 * users)
                print(f"{users} users: {600 * users / seconds:.0f} questions a minute")
            if not options.speed:
                run(server, scans, options.questions)
            for scan in scans:
                server.client.delete(f"/v1/scans/{scan}")
            print(f"all scans deleted: {server.gigabytes:.2f} GB")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
