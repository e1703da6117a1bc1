"""Seconds and memory of a checkpoint, as a user meets them: in a fresh process, nothing cached but the base model.

The scan is nilearn's MNI152 T1 template, which comes with a package, so the figures can be had anywhere.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from assistant import checkpoint

FIRST = "Where is the left hippocampus?"
SECOND = "And the right hippocampus?"
EIGHT = tuple(
    f"{side} {name}" for name in ("hippocampus", "amygdala", "caudate nucleus", "putamen") for side in ("left", "right")
)


def checkpoint_identity(folder: Path) -> dict[str, Any]:
    """Name of a checkpoint, the hash its manifest gives the whole model, and the base it names."""
    _, manifest = checkpoint.read(folder)
    return {
        "name": folder.name,
        "sha256": manifest.sha256,
        "base": manifest.base.name,
        "base_sha256": manifest.base.sha256,
    }


def measure_timings(folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Start a fresh process, open the template, ask twice, decode one and eight masks; its figures (seconds, GB)."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "training.timing", str(folder), device, repr(started)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the timing process ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(folder: Path, device: str, process_started: float) -> dict[str, Any]:
    import torch

    from assistant import examples
    from assistant.language import phrase_states
    from assistant.session import Session

    clock = time.perf_counter
    t0 = clock()
    session = Session.open(examples.example_scan(), model=folder, device=device)
    t1 = clock()
    session.ask(FIRST)
    t2 = clock()
    cold = time.time() - process_started
    session.ask(SECOND)
    t3 = clock()
    lm = session.model.language_model
    states = phrase_states(lm, session.model.tokenizer, EIGHT)  # type: ignore[arg-type]  # PEFT's wrapper will do
    one, eight = [], []
    for _ in range(3):  # what is cached on first use is then cached for both
        a = clock()
        session.study.decode(states[:1])
        b = clock()
        session.study.decode(states)
        one.append(b - a)
        eight.append(clock() - b)
    return {
        "scan": "the MNI152 T1 template (nilearn)",
        "threads": torch.get_num_threads(),
        "cold_start_s": cold,
        "open_s": t1 - t0,
        "first_answer_s": t2 - t1,
        "second_answer_s": t3 - t2,
        "decode_1_s": min(one),
        "decode_8_s": min(eight),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,  # Linux counts KiB
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))))
