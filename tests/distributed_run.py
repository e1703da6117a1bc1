"""What `tests/test_distributed.py` starts in each process: a whole run, and one that is killed and goes on.

    accelerate launch --config_file training/configs/accelerate/ddp.yaml tests/distributed_run.py START OUT [fsdp2|see]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin

from assistant.language import phrase_states
from data_recipes import ontology
from tests.killed import Killed, dies
from tests.test_pretrain import finer_head
from tests.test_training_smoke import align_config, converse_config, head
from tests.tiny_language import tiny_base
from tests.tiny_training import SEGMENTER
from training import align, converse, see
from training.align import AlignConfig
from training.converse import ConverseConfig
from training.pack import save_packed
from training.phrases import PhraseBank
from training.see import SeeConfig


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


def see_inputs(folder: Path) -> SeeConfig:
    """Two label maps, of which the coarser one gives no fine tile: not every sample has a gradient for every weight."""
    save_packed(replace(head(), id="coarse"), folder / "pack")
    save_packed(replace(finer_head(), id="fine"), folder / "pack")
    lm, tokenizer, _ = tiny_base()
    names = [structure.name for structure in ontology.all_structures()]
    bank = PhraseBank(phrase_states(lm, tokenizer, names), {name: [i] for i, name in enumerate(names)})
    bank.save(folder / "phrases.pt")
    return see_settings(folder)


def see_settings(folder: Path) -> SeeConfig:
    """Four steps of two samples; saved after the second."""
    return SeeConfig(
        packed=str(folder / "pack"), phrases=str(folder / "phrases.pt"), steps=4, decay_steps=2, warmup=2, batch=2,
        workers=0, bf16=False, save_every=2, log_every=1, mixture={"brain": 1.0},
        segmenter={k: v for k, v in SEGMENTER.to_dict().items() if k != "lm_dim"},
    )  # fmt: skip


def killed_see(folder: Path, out: Path) -> None:
    """Killed in its fourth step; it goes on from after the second."""
    config = see_settings(folder)
    ending = see.ending

    def dying(config: SeeConfig, step: int) -> float:
        if step == 3:
            raise Killed
        return ending(config, step)

    see.ending = dying
    try:
        see.train(config, out)
    except Killed:
        see.ending = ending
        see.train(config, out)


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
    if "see" in sys.argv:
        killed_see(folder, out)
        return
    runs(folder, out)


if __name__ == "__main__":
    main()
