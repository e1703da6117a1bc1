"""Kinds of adapter on one model and one data set: the same stage Converse with each, and a table of what it costs.

    python -m training.compare training/configs/converse.yaml --out runs/compare steps=60 rows=1
    python -m training.compare training/configs/converse.yaml --out runs/compare --kinds lora dora full

Each kind begins anew on the plain base, with the projectors of the checkpoint that the config starts from, and sees the
same conversations in the same order. Each has the learning rate that is usual for it (RATES), not one for all: a vector
that scales and a full matrix do not learn at one rate. Each runs in a process of its own, so that its peak of memory is
its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from assistant import checkpoint
from assistant.adapter import KINDS
from assistant.model import Base
from training import converse, program, run
from training.converse import ConverseConfig

RATES = {
    "lora": 1e-3, "rslora": 5e-4, "dora": 1e-3, "adalora": 3e-3,
    "ia3": 1e-2, "prompt": 1e-2, "bias": 3e-3, "full": 5e-5,
}  # fmt: skip
LAST = 0.2  # share of the steps, the last ones, whose losses are averaged


@dataclass(frozen=True)
class Result:
    """trained: parameters of the adapter and the rows of added tokens; adapter_mb: of their file; peak_gb: the most
    memory the process held (of the GPU, where there is one); seconds: of a step; loss: of the last steps; first,
    targets, tokens: `converse.probe`, on held-out wordings."""

    kind: str
    rate: float
    trained: int
    adapter_mb: float
    peak_gb: float
    seconds: float
    loss: float
    first: float
    targets: float
    tokens: float


def measured(config: ConverseConfig, out: Path, threads: int, base: Base | None = None) -> Result:
    """Train with one kind of adapter, to the end, in this process."""
    torch.set_num_threads(threads)
    folder = converse.train(config, out, base)
    log = run.read_log(out)
    steps = [line for line in log if "loss" in line]
    probe = next(line for line in reversed(log) if "probe/first" in line)
    stored = checkpoint.read_tensors(folder, checkpoint.ADAPTER)
    kind = config.adapter or ""
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return Result(
        kind,
        config.learning_rate,
        sum(value.numel() for value in stored.values()),
        (folder / checkpoint.ADAPTER).stat().st_size / 1e6,
        peak,
        float(np.median([1 / line["steps_per_second"] for line in steps[1:]])),  # the first holds what is done once
        float(np.mean([line["loss"] for line in steps if line["step"] >= config.steps * (1 - LAST)])),
        probe["probe/first"],
        probe["probe/targets"],
        probe["probe/tokens"],
    )


def table(results: Sequence[Result]) -> str:
    """Markdown, one row a kind."""
    lines = [
        "| adapter | rate | trained | file | peak memory | s/step | loss "
        "| to the first `<SEG>` | all targets | tokens |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.kind} | {r.rate:g} | {r.trained / 1e6:.2f} M | {r.adapter_mb:.1f} MB | {r.peak_gb:.2f} GB "
            f"| {r.seconds:.2f} | {r.loss:.3f} | {r.first:.3f} | {r.targets:.3f} | {r.tokens:.3f} |"
        )
    return "\n".join(lines)


def compared(config: ConverseConfig, out: Path, kinds: Sequence[str]) -> Path:
    """Train with each kind of adapter; the file of the table, which is printed as well."""
    config = replace(config, log_every=max(1, min(config.log_every, config.steps // 10)), probe_every=config.steps)
    results, file = [], out / "table.md"
    for kind in kinds:
        one = replace(config, adapter=kind, learning_rate=RATES[kind])
        # spawned: a forked process would begin with this one's memory
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            results.append(alone.submit(measured, one, out / kind, torch.get_num_threads()).result())
        file.write_text(table(results) + "\n")
        (out / "results.json").write_text(json.dumps([vars(r) for r in results], indent=1) + "\n")
    print(table(results))
    return file


def main(argv: Sequence[str] | None = None) -> int:
    options = program.parser(__doc__)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))

    def work(config: ConverseConfig, given: argparse.Namespace) -> Path:
        return compared(config, given.out, given.kinds)

    return program.main(ConverseConfig, work, __doc__, argv, options)


if __name__ == "__main__":
    sys.exit(main())
