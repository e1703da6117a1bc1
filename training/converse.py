"""Converse: LoRA on the language model, with the projectors, on conversations whose images are cached features.

    python -m training.converse training/configs/converse.yaml --out runs/converse
    python -m training.converse training/configs/converse.yaml --out runs/converse --probe     # look, do not train

loss = cross entropy on what the assistant says (never on a note it is given)
     + distill_weight * the distance of each in-context <SEG> state from the frozen phrase state See learned masks from

so no image is decoded here: a `<SEG>` that lands where the frozen phrase's lies gives the frozen phrase's mask. The
segmenter is not changed. A run killed at any moment goes on from its last ``state.pt`` with the same loss curve.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from assistant import conversation
from assistant.errors import DeixisError
from assistant.model import AdapterSettings, Base, DeixisModel
from assistant.segmenter import Segmenter
from training import footprint, run
from training.adalora import RankBudget
from training.data import Batch, FeatureBank, collate
from training.packed import (
    Counts,
    FrozenCodes,
    PackedModel,
    ProbeRow,
    States,
    decode_first,
    distill,
    greedy_matches,
    token_loss,
)
from training.stage import Start, compute_type, finish, load_start
from training.talks import Talks


@dataclass(frozen=True)
class ConverseConfig:
    """start: the checkpoint folder that Align wrote; features: the bank made with its segmenter; base: where the
    language model is, if the start's name for it does not lead there.

    A step reads a batch of ``rows`` packs of ``pack_length`` tokens, ``accumulate`` times. ``captions`` is the share of
    Align's talks mixed in, so that what was aligned stays. bf16 computes in bfloat16 with float32 LoRA and projectors.
    adapter (one of assistant.adapter.KINDS), lora_*: begun anew in place of the checkpoint's own, which goes on when it
    is None. quantize: "4bit" or "8bit", the frozen LM's weights. recompute: keep no activations, see PackedModel.
    ``minutes`` ends a run early (it can be resumed); the learning rate follows ``steps`` all the same.
    """

    SECTION: ClassVar[str] = "converse"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "checkpoint_minutes", "log_every", "probe_every", "probe_talks")

    start: Path
    features: Path
    base: str | None = None
    seed: int = 0
    steps: int = 1500
    minutes: float | None = None
    rows: int = 2
    accumulate: int = 1
    pack_length: int = 512
    chunk: int = 1000
    captions: float = 0.05
    learning_rate: float = 1e-3
    projector_rate: float = 3e-4
    warmup: int = 50
    floor: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    distill_weight: float = 0.5
    adapter: str | None = None
    lora_r: int = 16
    lora_alpha: int = 32
    quantize: str | None = None
    bf16: bool = True
    compiled: bool = False
    recompute: bool = False
    checkpoint_minutes: float = 5.0
    log_every: int = 10
    probe_every: int = 200
    probe_talks: int = 200


def train(config: ConverseConfig, out: Path, base: Base | None = None) -> Path:
    """Run the stage to its end (or its minutes); the checkpoint folder. ``base``: the LM in place of the config's."""
    run.seed_everything(config.seed)
    accelerator = Accelerator(log_with="tensorboard", project_dir=out)
    device = accelerator.device
    bank = FeatureBank.load(config.features)
    start = begin(config, base or config.base, bank, device)
    model, phrases = start.model, start.phrases
    freeze(model)
    talks = conversations_of(config, model, bank, phrases)
    parameters = run.trainable(model)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in parameters.items() if "projector" not in n], "peak": config.learning_rate},
            {"params": [p for n, p in parameters.items() if "projector" in n], "peak": config.projector_rate},
        ],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    optimizer = accelerator.prepare(optimizer)
    packed = PackedModel(model, compiled=config.compiled, recompute=config.recompute)
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step = first = this.resume(parameters, optimizer)
    budget = RankBudget(model, config.steps, first)
    stream = talks.batches(config.seed, skip=step * config.accumulate)
    autocast = compute_type(config.bf16, device)
    meter = run.Meter()
    print(f"{footprint.table(model)}\nsteps {step} to {config.steps}", flush=True)
    while step < config.steps and not this.over(config.minutes):
        rate = run.learning_rate(step, config.steps, 1.0, config.warmup, config.floor)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        rng = np.random.default_rng([config.seed, step])
        batches = [collate(next(stream), bank, rng).to(device) for _ in range(config.accumulate)]
        counts = Counts.of(batches)
        for batch in batches:
            with autocast():
                states = packed(batch)
            loss, own = share(states, batch, model.segmenter, phrases, counts, config.distill_weight)
            accelerator.backward(loss + budget.penalty() / config.accumulate)
            meter.add(**own)
            meter.count(tokens=batch.tokens, talks=batch.talks)
        norm = run.clip(parameters.values(), config.clip)
        optimizer.step()
        budget.after_step(step)
        optimizer.zero_grad()
        step += 1
        meter.steps += 1
        if step % config.log_every == 0 or step == config.steps:
            figures = {**meter.read(), "gradient": norm, "rate": config.learning_rate * rate}
            this.log(step - 1, figures)
            left = (config.steps - step) / figures["steps_per_second"]
            print(
                f"step {step}/{config.steps} ce {figures['ce']:.3f} seg {figures['seg_error']:.3f} "
                f"nearest {figures['seg_nearest']:.2f} {figures['tokens_per_second']:.0f} tokens/s "
                f"{figures['steps_per_second']:.2f} steps/s, {left / 60:.0f} min left",
                flush=True,
            )
        if config.probe_every and (step % config.probe_every == 0 or step == config.steps):
            found = probe(packed, talks, bank, phrases, config, device)
            this.log(step - 1, {f"probe/{name}": value for name, value in found.items()})
            print(probe_line(found), flush=True)
            meter.restart()
        this.save_when_due(step, parameters, optimizer)
    if step > first:
        this.save(step, parameters, optimizer)
    folder = finish(start, "converse", config, step, this)
    accelerator.end_training()
    return folder


def share(
    states: States,
    batch: Batch,
    segmenter: Segmenter,
    phrases: FrozenCodes,
    counts: Counts,
    distill_weight: float,
) -> tuple[Tensor, dict[str, float]]:
    """(what a batch adds to the loss of its step, whose counts are given; the batch's own figures, to be logged)."""
    ce = token_loss(states, counts.tokens)
    held = distill(states.hidden, batch, segmenter, phrases, counts.segs)
    with torch.no_grad():
        alone = Counts.of([batch])
        ce_alone = float(ce) * counts.tokens / max(1, alone.tokens)
        loss_alone = ce_alone + distill_weight * float(held.loss) * counts.segs / max(1, alone.segs)
    figures = {"loss": loss_alone, "ce": ce_alone, "seg_error": held.error, "seg_nearest": held.nearest}
    return ce + distill_weight * held.loss, figures


def begin(config: ConverseConfig, base: Base | None, bank: FeatureBank, device: torch.device) -> Start:
    """The checkpoint to start from, with its own adapter or another."""
    settings = None
    if config.adapter is not None:
        settings = AdapterSettings(config.lora_r, config.lora_alpha, dropout=0.0, kind=config.adapter)
    return load_start(
        config.start,
        base,
        bank,
        bf16=config.bf16,
        device=device,
        quantize=config.quantize,
        settings=settings,
        seed=config.seed,
    )


def conversations_of(config: ConverseConfig, model: DeixisModel, bank: FeatureBank, phrases: FrozenCodes) -> Talks:
    """The stage's diet."""
    return Talks(
        model.tokenizer, bank, config.pack_length, config.rows, config.chunk, config.captions, known=phrases.index
    )


def freeze(model: DeixisModel) -> None:
    """Only LoRA, the added tokens' rows and the projectors are trained. No dropout: the talks never repeat."""
    model.eval()
    model.segmenter.requires_grad_(False)


def probe(
    packed: PackedModel,
    talks: Talks,
    bank: FeatureBank,
    phrases: FrozenCodes,
    config: ConverseConfig,
    device: torch.device,
) -> dict[str, float]:
    """Held-out wordings: how replies begin, when decoded greedily.

    first: everything up to the first `<SEG>` is as written; targets: every target of the reply is; tokens: share of
    tokens; seg_error and seg_nearest: as in training; each also by question family for ``first``.
    """
    rows: list[ProbeRow] = []
    errors: list[tuple[float, float, int]] = []
    tokenizer = packed.model.tokenizer
    seg, end = (conversation.token_id(tokenizer, t) for t in (conversation.SEG, conversation.END))
    autocast = compute_type(config.bf16, device)
    for number, group in enumerate(talks.held_out(config.seed, config.probe_talks)):
        batch = collate(group, bank, np.random.default_rng([config.seed, number])).to(device)
        with torch.no_grad(), autocast():
            states = packed(batch)
            held = distill(states.hidden, batch, packed.model.segmenter, phrases)
        rows += greedy_matches(states, batch, [[e.talk.kind for e in p.examples] for p in group], seg, end)
        errors.append((held.error, held.nearest, held.count))
    segs = max(1, sum(n for _, _, n in errors))
    found = {
        "replies": float(len(rows)),
        "first": float(np.mean([r.first_right for r in rows])),
        "targets": float(np.mean([r.targets_right for r in rows])),
        "tokens": sum(r.tokens_right for r in rows) / sum(r.tokens for r in rows),
        "seg_error": sum(e * n for e, _, n in errors) / segs,
        "seg_nearest": sum(a * n for _, a, n in errors) / segs,
    }
    for kind in sorted({r.kind for r in rows}):
        found[f"first/{kind}"] = float(np.mean([r.first_right for r in rows if r.kind == kind]))
    return found


def probe_line(found: dict[str, float]) -> str:
    kinds = ", ".join(f"{name[6:]} {value:.2f}" for name, value in found.items() if name.startswith("first/"))
    return (
        f"probe, {found['replies']:.0f} held-out replies: to the first <SEG> {found['first']:.3f}, all targets "
        f"{found['targets']:.3f}, tokens {found['tokens']:.3f}, seg error {found['seg_error']:.3f}, "
        f"nearest {found['seg_nearest']:.3f} ({kinds})"
    )


def look(config: ConverseConfig, out: Path, show: int = 10) -> None:
    """The probe of a run as it stands, and some replies decoded token by token up to the first `<SEG>`."""
    device = torch.device("cpu")
    bank = FeatureBank.load(config.features)
    start = begin(config, config.base, bank, device)
    freeze(start.model)
    run.load_weights(out / "state.pt", run.trainable(start.model))
    talks = conversations_of(config, start.model, bank, start.phrases)
    packed = PackedModel(start.model)
    began = time.perf_counter()
    found = probe(packed, talks, bank, start.phrases, config, device)
    print(f"{probe_line(found)} in {time.perf_counter() - began:.0f} s")
    rng = np.random.default_rng(config.seed)
    for example in talks.held_out_examples(config.seed, show):
        with compute_type(config.bf16, device)():
            question, said, wanted = decode_first(start.model, example, bank, rng)
        print(f"{'right' if said == wanted else 'WRONG'}  {question!r}\n    said   {said!r}\n    wanted {wanted!r}")


def main(argv: Sequence[str] | None = None) -> int:
    options = list(sys.argv[1:] if argv is None else argv)
    probing = "--probe" in options
    arguments = run.arguments(__doc__ or "", [o for o in options if o != "--probe"])
    try:
        config = run.read_config(ConverseConfig, arguments.config, arguments.overrides)
        if probing:
            look(config, arguments.out)
        else:
            print(f"wrote {train(config, arguments.out)}")
    except DeixisError as error:
        print(f"converse: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
