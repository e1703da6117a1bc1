"""What `tests/test_distributed.py` starts in each process: a whole run, and one that is killed and goes on.

    accelerate launch --config_file training/configs/accelerate/ddp.yaml tests/distributed_run.py START OUT [fsdp2]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin

from tests.killed import dies
from tests.test_training_smoke import align_config, converse_config
from tests.tiny_language import tiny_base
from training import align, converse
from training.align import AlignConfig
from training.converse import ConverseConfig


def align_settings(folder: Path) -> AlignConfig:
    return replace(align_config(folder), accumulate=2, steps=4)


def settings(folder: Path) -> ConverseConfig:
    """Two batches a step, averaged weights, and a probe after the third and the last."""
    config = replace(converse_config(folder), accumulate=2, ema=0.9, probe_every=3, keep_best=True)
    return replace(config, start=folder / "align" / "checkpoint", checkpoint_minutes=0.0)


def runs(folder: Path, out: Path) -> None:
    align.train(align_settings(folder), out / "align", tiny_base())
    config = settings(folder)
    converse.train(config, out / "whole", tiny_base())
    with dies(at=5, saved=3):
        converse.train(config, out / "killed", tiny_base())
    converse.train(config, out / "killed", tiny_base())


def shard_on_cpu() -> None:
    """accelerate takes FSDP for GPUs alone and PyTorch does not: tell its state what a launch with GPUs would."""
    state = Accelerator().state
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="transformer_based_wrap")


def main() -> None:
    torch.set_num_threads(1)
    # it ends the processes' group as well, which several runs share here
    Accelerator.end_training = lambda self: None  # type: ignore[method-assign]
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    if "odd" in sys.argv:
        align.train(replace(align_settings(folder), accumulate=3), out / "align", tiny_base())
        return
    if "fsdp2" in sys.argv:
        shard_on_cpu()
    runs(folder, out)


if __name__ == "__main__":
    main()
