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

import torch
from torch import Tensor

from assistant import checkpoint
from assistant.session import Session
from assistant.study import Study

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
    from assistant import examples

    clock = time.perf_counter
    t0 = clock()
    session = Session.open(examples.example_scan(), model=folder, device=device)
    t1 = clock()
    session.ask(FIRST)
    t2 = clock()
    cold = time.time() - process_started
    session.ask(SECOND)
    t3 = clock()
    for _ in (FIRST, SECOND):  # what was found would be recalled, not looked for again
        session.undo()
    # the desk and `deixis chat` read on while nobody asks, as here between the two questions
    reader = Session.open(session.volume, model=session.model)
    reader.ask(FIRST)
    t4 = clock()
    while reader.read_on():
        pass
    t5 = clock()
    reader.ask(SECOND)
    t6 = clock()
    states = torch.cat([_state(session, name) for name in EIGHT])
    unseen = [[_decode(Study(session.volume, session.model.segmenter), states[:n]) for n in (1, 8)] for _ in range(3)]
    first_one, first_eight = map(min, zip(*unseen, strict=True))
    study = session.study
    study.decode(states)
    one, eight = (min(_decode(study, states[:n]) for _ in range(3)) for n in (1, 8))
    return {
        "scan": "the MNI152 T1 template (nilearn)",
        "threads": torch.get_num_threads(),
        "cold_start_s": cold,
        "open_s": t1 - t0,
        "first_answer_s": t2 - t1,
        "second_answer_s": t3 - t2,
        "reading_on_s": t5 - t4,
        "second_answer_after_reading_on_s": t6 - t5,
        "first_decode_1_s": first_one,
        "first_decode_8_s": first_eight,
        "decode_1_s": one,
        "decode_8_s": eight,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,  # Linux counts KiB
    }


def _state(session: Session, name: str) -> Tensor:
    """The `<SEG>` state that a question about a structure leads to (1, lm_dim)."""
    seen: list[Tensor] = []
    decode = session.study.decode
    session.study.decode = lambda states, *more: seen.append(states) or decode(states, *more)  # type: ignore
    try:
        session.ask(f"Show the {name}.")
    finally:
        session.study.decode = decode  # type: ignore[method-assign]
        session.undo()
    if not seen:
        raise RuntimeError(f"the model did not look for the {name} when it was asked to show it")
    return seen[0][:1].clone()


def _decode(study: Study, states: Tensor) -> float:
    """Seconds that the masks of N states take."""
    began = time.perf_counter()
    study.decode(states)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))))
