"""Converse: LoRA on the language model, with the projectors, on conversations whose images are cached features.

    python -m training.converse training/configs/converse.yaml --out runs/converse
    python -m training.converse training/configs/converse.yaml --out runs/converse --probe     # look, do not train

loss = cross entropy on what the assistant says (never on a note it is given)
     + distill_weight * the distance of each in-context <SEG> state from the frozen phrase state See learned masks from

so no image is decoded here: a `<SEG>` that lands where the frozen phrase's lies gives the frozen phrase's mask. The
segmenter is not changed. A run killed at any moment goes on from its last ``state.pt`` with the same loss curve.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from accelerate import Accelerator

from assistant import conversation
from assistant.model import AdapterSettings, Base, DeixisModel
from data_recipes.instructions.mixture import EMBEDDED, FULL, weighted
from training import footprint, program, run
from training.adalora import RankBudget
from training.data import FeatureBank, collate
from training.keeper import Keeper
from training.learner import Learner, accelerator_for, gradients, prepared, share
from training.packed import Counts, FrozenCodes, PackedModel, ProbeRow, decode_first, greedy_matches
from training.processes import on_deepspeed
from training.stage import LESS_MEMORY, Start, compute_type, finish, load_start
from training.talks import Talks

SAID = "ce {ce:.3f} seg {seg_error:.3f} nearest {seg_nearest:.2f} {tokens_per_second:.0f} tokens/s"


@dataclass(frozen=True)
class ConverseConfig:
    """start: the checkpoint folder that Align wrote; features: the bank made with its segmenter; base: where the
    language model is, if the start's name for it does not lead there.

    A step reads a batch of ``rows`` packs of ``pack_length`` tokens, ``accumulate`` times. ``captions`` is the share of
    Align's talks mixed in, so that what was aligned stays. bf16 computes in bfloat16 with float32 LoRA and projectors.
    adapter (one of assistant.adapter.KINDS), lora_*: begun anew in place of the checkpoint's own, which goes on when it
    is None. quantize: "4bit" or "8bit", the frozen LM's weights. recompute: keep no activations, see PackedModel.
    ``minutes`` ends a run early (it can be resumed); the learning rate follows ``steps`` all the same.

    families: "embedded" for the kinds of question that the embedded model learned from, "full" for all. mixture:
    weights of them and of families of scans in place of the usual ones, temperature: how much they are evened out
    (data_recipes.instructions.mixture).

    With several processes these batches are shared among them: ``accumulate`` is of all together. ema: decay of the
    averaged weights that are probed and written (0: the trained ones). keep_best writes those of the best probe (the
    share of replies right to the first `<SEG>`), patience ends the run after so many probes without a better one (0:
    never). track: tensorboard, wandb, mlflow or trackio, several with commas, or nothing.
    """

    SECTION: ClassVar[str] = "converse"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        "minutes", "checkpoint_minutes", "log_every", "probe_every", "probe_talks", "track", "recompute",
    )  # fmt: skip
    LESS_MEMORY: ClassVar[str] = LESS_MEMORY

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
    families: str = "embedded"
    mixture: dict[str, float] = field(default_factory=dict)
    temperature: float = 1.0
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
    ema: float = 0.0
    keep_best: bool = False
    patience: int = 0
    track: str = "tensorboard"
    checkpoint_minutes: float = 5.0
    log_every: int = 10
    probe_every: int = 200
    probe_talks: int = 200


class Probed(Protocol):
    """What of a stage's config the probe reads."""

    @property
    def seed(self) -> int: ...

    @property
    def bf16(self) -> bool: ...

    @property
    def probe_talks(self) -> int: ...


def train(config: ConverseConfig, out: Path, base: Base | None = None) -> Path:
    """Run the stage to its end (or its minutes); the checkpoint folder. ``base``: the LM in place of the config's."""
    run.seed_everything(config.seed)
    accelerator = accelerator_for(out, config.track)
    device = accelerator.device
    bank = FeatureBank.load(config.features)

    def begun() -> Start:
        start = begin(config, base or config.base, bank, device)
        freeze(start.model)
        return start

    start = begun()
    model, phrases = start.model, start.phrases
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
    packed = PackedModel(model, compiled=config.compiled, recompute=config.recompute)
    learner = Learner(packed, phrases, config.distill_weight)
    module, optimizer = prepared(accelerator, learner, optimizer, config.clip)
    parameters = run.trainable(learner)
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    if on_deepspeed(accelerator) and (config.ema or config.keep_best):
        raise run.ConfigError("DeepSpeed keeps weights in pieces: set ema=0 and keep_best=false, or launch with FSDP2")
    this.kept = keeper = Keeper(parameters, config.ema, config.keep_best, config.patience)
    step = first = this.resume(parameters, optimizer)
    budget = RankBudget(model, config.steps, first)
    stream = talks.batches(config.seed, skip=step * config.accumulate)
    autocast = compute_type(config.bf16, device)
    meter = run.Meter()
    this.say(
        f"{footprint.table(model)}\nsteps {step} to {config.steps}, {accelerator.num_processes} process(es)"
    )
    while step < config.steps and not keeper.done and not this.over(config.minutes):
        rate = run.learning_rate(step, config.steps, 1.0, config.warmup, config.floor)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        rng = np.random.default_rng([config.seed, step])
        batches = [collate(next(stream), bank, rng) for _ in range(config.accumulate)]
        meter.add(**gradients(accelerator, module, batches, autocast, budget.penalty))
        for batch in share(batches, accelerator):
            meter.count(tokens=batch.tokens, talks=batch.talks)
        norm = this.clip(parameters, config.clip)
        optimizer.step()
        budget.after_step(step)
        optimizer.zero_grad()
        keeper.step()
        step += 1
        meter.steps += 1
        this.progress(step, meter, SAID.format_map, gradient=norm, rate=config.learning_rate * rate)
        if config.probe_every and (step % config.probe_every == 0 or step == config.steps):
            with keeper.shown():
                found = probe(module, talks, bank, config, accelerator)
            this.log(step - 1, {f"probe/{name}": value for name, value in found.items()})
            this.say(probe_line(found))
            keeper.judge(step, found["first"])
            meter.restart()
        this.save_when_due(step, parameters, optimizer)
    if step > first:
        this.save(step, parameters, optimizer)
    weights = keeper.weights() or this.weights(parameters)
    folder = finish(start, "converse", config, step, this, bank=bank, weights=weights, again=begun)
    accelerator.end_training()
    return folder


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
        model.tokenizer,
        bank,
        config.pack_length,
        config.rows,
        config.chunk,
        config.captions,
        known=phrases.index,
        mixture=weighted(FULL if config.families == "full" else EMBEDDED, config.mixture, config.temperature),
    )


def freeze(model: DeixisModel) -> None:
    """Only LoRA, the added tokens' rows and the projectors are trained. No dropout: the talks never repeat."""
    model.eval()
    model.segmenter.requires_grad_(False)


def probe(
    module: torch.nn.Module, talks: Talks, bank: FeatureBank, config: Probed, accelerator: Accelerator
) -> dict[str, float]:
    """Held-out wordings: how replies begin, when decoded greedily.

    first: everything up to the first `<SEG>` is as written; targets: every target of the reply is; tokens: share of
    tokens; seg_error and seg_nearest: as in training; each also by question family for ``first``. ``module`` is a
    `Learner`, or what accelerate made of it; all processes do the whole of it, and find the same.
    """
    rows: list[ProbeRow] = []
    errors: list[tuple[float, float, int]] = []
    seg, end = (conversation.token_id(talks.tokenizer, t) for t in (conversation.SEG, conversation.END))
    autocast = compute_type(config.bf16, accelerator.device)
    for number, group in enumerate(talks.held_out(config.seed, config.probe_talks)):
        batch = collate(group, bank, np.random.default_rng([config.seed, number]))
        batch = batch.to(accelerator.device)
        with torch.no_grad(), autocast():
            passed = module(batch, Counts.of([batch]))
        rows += greedy_matches(passed.states, batch, [[e.talk.kind for e in p.examples] for p in group], seg, end)
        errors.append((passed.held.error, passed.held.nearest, passed.held.count))
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
    accelerator = Accelerator(cpu=True)
    bank = FeatureBank.load(config.features)
    start = begin(config, config.base, bank, accelerator.device)
    freeze(start.model)
    run.load_weights(out / "state.pt", run.trainable(start.model))
    talks = conversations_of(config, start.model, bank, start.phrases)
    learner = Learner(PackedModel(start.model), start.phrases, config.distill_weight)
    began = time.perf_counter()
    found = probe(learner, talks, bank, config, accelerator)
    print(f"{probe_line(found)} in {time.perf_counter() - began:.0f} s")
    rng = np.random.default_rng(config.seed)
    for example in talks.held_out_examples(config.seed, show):
        with compute_type(config.bf16, accelerator.device)():
            question, said, wanted = decode_first(start.model, example, bank, rng)
        print(f"{'right' if said == wanted else 'WRONG'}  {question!r}\n    said   {said!r}\n    wanted {wanted!r}")


def main(argv: Sequence[str] | None = None) -> int:
    options = program.parser(__doc__)
    options.add_argument("--probe", action="store_true", help="look at the run as it stands, train nothing")

    def work(config: ConverseConfig, given: argparse.Namespace) -> Path | None:
        if not given.probe:
            return train(config, given.out)
        look(config, given.out)
        return None

    return program.main(ConverseConfig, work, __doc__, argv, options)


if __name__ == "__main__":
    sys.exit(main())
