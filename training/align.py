"""Align: the projectors, with the language model frozen, on what a scan is and what a pointed-at region is.

    python -m training.align training/configs/align.yaml --out runs/align

The language model stays as it is: the scan's visual tokens and `<REG>` learn to be words that it already understands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from assistant.language import DEFAULT_BASE
from assistant.model import AdapterSettings, Base, DeixisModel
from training import footprint, program, run
from training.data import FeatureBank, collate
from training.learner import Learner, accelerator_for, gradients, prepared, share
from training.packed import PackedModel
from training.stage import LESS_MEMORY, Start, compute_type, finish, load_segmenter, made_how, new_start, swapped_start
from training.talks import Talks

SAID = "loss {loss:.3f} {tokens_per_second:.0f} tokens/s"


@dataclass(frozen=True)
class AlignConfig:
    """segmenter: See's last.pt or a checkpoint folder; features: the bank made with it. model: a checkpoint whose
    language side (with its LoRA, frozen here) is put around that segmenter; None: a new one around the base, which is
    the one whose phrase states See read.

    adapter (one of assistant.adapter.KINDS), lora_*: what Converse will train; untouched here. quantize: "4bit" or
    "8bit", the frozen LM's weights. recompute: keep no activations, see PackedModel. accumulate, track: as in Converse.
    """

    SECTION: ClassVar[str] = "align"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "checkpoint_minutes", "log_every", "track", "recompute")
    LESS_MEMORY: ClassVar[str] = LESS_MEMORY

    segmenter: Path
    features: Path
    model: Path | None = None
    base: str = DEFAULT_BASE
    seed: int = 0
    steps: int = 300
    minutes: float | None = None
    rows: int = 2
    accumulate: int = 1
    pack_length: int = 512
    chunk: int = 1000
    learning_rate: float = 1e-3
    warmup: int = 20
    floor: float = 0.05
    clip: float = 1.0
    adapter: str = "lora"
    lora_r: int = 16
    lora_alpha: int = 32
    quantize: str | None = None
    recompute: bool = False
    bf16: bool = True
    compiled: bool = False
    track: str = "tensorboard"
    checkpoint_minutes: float = 5.0
    log_every: int = 10


def train(config: AlignConfig, out: Path, base: Base | None = None) -> Path:
    """Run the stage to its end (or its minutes); the checkpoint folder. ``base``: the LM in place of the config's."""
    run.seed_everything(config.seed)
    accelerator = accelerator_for(out, config.track)
    bank = FeatureBank.load(config.features)
    adapted = AdapterSettings(config.lora_r, config.lora_alpha, dropout=0.0, kind=config.adapter)
    device = accelerator.device

    def begun() -> Start:
        segmenter = load_segmenter(config.segmenter)
        if config.model is None:
            start = new_start(
                segmenter, base or config.base, adapted, bank, config.seed, bf16=config.bf16, device=device,
                quantize=config.quantize,
            )  # fmt: skip
        else:
            start = swapped_start(
                config.model, segmenter, base, bank, bf16=config.bf16, device=device, quantize=config.quantize
            )
        freeze(start.model)
        return replace(start, training={**start.training, "see": made_how(config.segmenter)})

    start = begun()
    model = start.model
    talks = Talks(
        model.tokenizer, bank, config.pack_length, config.rows, config.chunk, captions=1.0, known=start.phrases.index
    )
    optimizer = torch.optim.AdamW(run.trainable(model).values(), lr=config.learning_rate, weight_decay=0.0)
    learner = Learner(PackedModel(model, compiled=config.compiled, recompute=config.recompute))
    module, optimizer = prepared(accelerator, learner, optimizer, config.clip)
    parameters = run.trainable(learner)
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step = first = this.resume(parameters, optimizer)
    stream = talks.batches(config.seed, skip=step * config.accumulate)
    autocast = compute_type(config.bf16, accelerator.device)
    meter = run.Meter()
    print(footprint.table(model), flush=True)
    while step < config.steps and not this.over(config.minutes):
        rate = run.learning_rate(step, config.steps, config.learning_rate, config.warmup, config.floor)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng([config.seed, step])
        batches = [collate(next(stream), bank, rng) for _ in range(config.accumulate)]
        meter.add(**gradients(accelerator, module, batches, autocast))
        for batch in share(batches, accelerator):
            meter.count(tokens=batch.tokens, talks=batch.talks)
        norm = this.clip(parameters, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        meter.steps += 1
        this.progress(step, meter, SAID.format_map, gradient=norm, rate=rate)
        this.save_when_due(step, parameters, optimizer)
    if step > first:
        this.save(step, parameters, optimizer)
    folder = finish(start, "align", config, step, this, bank=bank, weights=this.weights(parameters), again=begun)
    accelerator.end_training()
    return folder


def freeze(model: DeixisModel) -> None:
    """Only the projectors are trained."""
    model.eval().requires_grad_(False)
    model.projector.requires_grad_(True)
    model.region_projector.requires_grad_(True)


def main(argv: Sequence[str] | None = None) -> int:
    return program.main(AlignConfig, lambda config, given: train(config, given.out), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
