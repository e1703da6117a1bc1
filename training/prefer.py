"""Prefer: what the assistant says of its notes, held against the same with one fact wrong (direct preference
optimisation; Rafailov et al. 2023, equation 7).

    python -m training.prefer training/configs/prefer.yaml --out runs/prefer

loss = -log sigmoid(beta * ((log p(right) - log p0(right)) - (log p(wrong) - log p0(wrong))))

p is the model that is trained, p0 the one it starts from, whose log-probabilities are computed once. Only the adapter
changes; `<SEG>` states are not held to anything here, so look at the Converse probe, which is printed before and after.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from assistant.model import Base, DeixisModel
from data_recipes.instructions.facts import Facts
from training import program, run
from training.converse import probe, probe_line
from training.data import Batch, FeatureBank, Pack, collate
from training.learner import Learner, accelerator_for
from training.pack import load_packed
from training.packed import PackedModel, States
from training.pairs import measured, packed_pair, pairs, split
from training.processes import alone
from training.stage import Start, compute_type, finish, load_start
from training.talks import Talks

SAID = "loss {loss:.4f} margin {margin:.3f} gained {gained:.2f} {tokens_per_second:.0f} tokens/s"


@dataclass(frozen=True)
class PreferConfig:
    """start: a finished Converse checkpoint; features: the bank made with its segmenter; packed: folder of packed
    cases to measure (training.pack), about ``cases`` of those that have an image, which the share ``measured`` of the
    conversations is about; None: made-up scans alone.

    pairs, held_out: how many are made. A step reads ``rows`` pairs of at most ``length`` tokens. probe_talks: of the
    Converse probe before and after (0: none).
    """

    SECTION: ClassVar[str] = "prefer"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "checkpoint_minutes", "log_every", "probe_talks", "track")
    LESS_MEMORY: ClassVar[str] = "rows=1 length=256 in another --out"

    start: Path
    features: Path
    packed: Path | None = None
    measured: float = 0.5
    cases: int = 100
    seed: int = 0
    pairs: int = 400
    held_out: int = 120
    steps: int = 100
    minutes: float | None = None
    rows: int = 4
    length: int = 512
    beta: float = 0.1
    learning_rate: float = 5e-5
    warmup: int = 10
    floor: float = 0.1
    clip: float = 1.0
    bf16: bool = True
    track: str = "tensorboard"
    checkpoint_minutes: float = 5.0
    log_every: int = 5
    probe_talks: int = 100


@dataclass
class Group:
    """A batch of pairs, always the same ones with the same features. reference (B, 2): log p0 of right and wrong."""

    batch: Batch
    kinds: list[str]
    reference: Tensor = field(default_factory=lambda: torch.zeros(0, 2))


def log_probabilities(states: States, batch: Batch) -> Tensor:
    """(B, 2): log p of the labelled tokens of each row's conversations 1 and 2, summed."""
    token = -F.cross_entropy(states.logits, states.targets, reduction="none")
    row, position = states.where.T
    place = 2 * row + batch.segments[row, position] - 1
    return token.new_zeros(2 * len(batch.ids)).index_add(0, place, token).view(-1, 2)


def preference_loss(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """(losses (B,), margins (B,)) of log-probabilities (B, 2) of right and wrong. The margin is what the sigmoid sees:
    beta times by how much more the right one has gained."""
    gained = policy - reference
    margin = beta * (gained[:, 0] - gained[:, 1])
    return -F.logsigmoid(margin), margin


def groups(
    packs: Sequence[tuple[Pack, str]], rows: int, bank: FeatureBank, seed: int, device: torch.device
) -> list[Group]:
    """Packs of like length together, cut to their longest; the last group may be smaller."""
    ordered = sorted(packs, key=lambda one: one[0].tokens)
    made = []
    for number, start in enumerate(range(0, len(ordered), rows)):
        part = ordered[start : start + rows]
        batch = collate([one for one, _ in part], bank, np.random.default_rng([seed, number]))
        longest = max(one.tokens for one, _ in part)
        made.append(Group(cut(batch, longest).to(device), [kind for _, kind in part]))
    return made


def cut(batch: Batch, length: int) -> Batch:
    """A batch without the padding behind ``length`` tokens."""
    return replace(
        batch,
        ids=batch.ids[:, :length],
        labels=batch.labels[:, :length],
        positions=batch.positions[:, :length],
        segments=batch.segments[:, :length],
    )


def freeze(model: DeixisModel) -> None:
    """Only the adapter is trained: what the scan's tokens mean stays."""
    model.eval()
    for part in (model.segmenter, model.projector, model.region_projector):
        part.requires_grad_(False)


class Preferences:
    """The pairs of a run, trained on and held out, each with its reference."""

    def __init__(self, config: PreferConfig, start: Start, bank: FeatureBank, device: torch.device) -> None:
        self.config, self.tokenizer, self.bank, self.device = config, start.model.tokenizer, bank, device
        facts: list[Facts] = []
        if config.packed is not None:
            cases = [c for c in load_packed(config.packed) if c.image is not None and c.family in bank.families]
            every = max(1, len(cases) // config.cases)
            facts = [measured(case) for case in cases[::every]]
        shown, kept = split(facts)
        self.trained = self._groups(config.pairs, shown, held_out=False)
        self.held_out = self._groups(config.held_out, kept, held_out=True)

    def _groups(self, count: int, facts: Sequence[Facts], *, held_out: bool) -> list[Group]:
        config = self.config
        share = config.measured if facts else 0.0
        seed = 2 * config.seed + held_out
        made = (
            (one, pair.kind)
            for pair in pairs(seed, facts, share, held_out=held_out)
            if pair.right.family in self.bank.families
            and (pair.right.region is None or self.bank.has_region(pair.right.family, pair.right.region))
            and (one := packed_pair(pair, self.tokenizer, self.bank.image_tokens, config.length)) is not None
        )
        return groups(list(islice(made, count)), config.rows, self.bank, seed, self.device)


@torch.no_grad()
def read(packed: PackedModel, some: Sequence[Group], config: PreferConfig, device: torch.device) -> list[Tensor]:
    """`log_probabilities` of each group, without gradients."""
    with compute_type(config.bf16, device)():
        return [log_probabilities(packed(group.batch), group.batch) for group in some]


def judge(some: Sequence[Group], policies: Sequence[Tensor], beta: float) -> dict[str, float]:
    """right: share of pairs whose right ending is the likelier one, also by kind; margin: by how much, in nats; gained:
    share of which that has grown since the start; loss: against the start; right_gained: what the right endings'
    log-probability itself has gained (preference optimisation may well lower it)."""
    kinds = [kind for group in some for kind in group.kinds]
    policy, reference = torch.cat(list(policies)), torch.cat([group.reference for group in some])
    right = (policy[:, 0] > policy[:, 1]).float()
    losses, margins = preference_loss(policy, reference, beta)
    found = {
        "right": right.mean(),
        "margin": (policy[:, 0] - policy[:, 1]).mean(),
        "gained": (margins > 0).float().mean(),
        "loss": losses.mean(),
        "right_gained": (policy - reference)[:, 0].mean(),
    }
    for kind in sorted(set(kinds)):
        found[f"right/{kind}"] = right[[i for i, k in enumerate(kinds) if k == kind]].mean()
    return {name: float(value) for name, value in found.items()}


def train(config: PreferConfig, out: Path, base: Base | None = None) -> Path:
    """Run the stage to its end (or its minutes); the checkpoint folder. ``base``: the LM, if not found by name."""
    run.seed_everything(config.seed)
    accelerator = accelerator_for(out, config.track)
    alone(accelerator, "prefer")
    device = accelerator.device
    bank = FeatureBank.load(config.features)

    def begun() -> Start:
        start = load_start(config.start, base, bank, bf16=config.bf16, device=device)
        freeze(start.model)
        return start

    start = begun()
    packed = PackedModel(start.model)
    told = Preferences(config, start, bank, device)
    autocast = compute_type(config.bf16, device)
    every = [*told.trained, *told.held_out]
    for group, policy in zip(every, read(packed, every, config, device), strict=True):  # before state.pt is read: p0
        group.reference = policy
    parameters = run.trainable(start.model)
    optimizer = accelerator.prepare(torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=0.0))
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step = first = this.resume(parameters, optimizer)
    if not step:
        look(this, 0, packed, told, start, accelerator, [group.reference for group in told.held_out])
    meter = run.Meter()
    while step < config.steps and not this.over(config.minutes):
        rate = run.learning_rate(step, config.steps, config.learning_rate, config.warmup, config.floor)
        for options in optimizer.param_groups:
            options["lr"] = rate
        group = told.trained[chosen(config.seed, step, len(told.trained))]
        with autocast():
            policy = log_probabilities(packed(group.batch), group.batch)
        losses, margin = preference_loss(policy, group.reference, config.beta)
        accelerator.backward(losses.mean())
        norm = run.clip(parameters.values(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        meter.add(
            loss=float(losses.mean().detach()),
            margin=float(margin.mean().detach()),
            gained=float((margin > 0).float().mean()),
            right_gained=float((policy - group.reference)[:, 0].mean().detach()),
        )
        meter.count(tokens=group.batch.tokens, pairs=len(group.kinds))
        step += 1
        meter.steps += 1
        this.progress(step, meter, SAID.format_map, gradient=norm, rate=rate)
        this.save_when_due(step, parameters, optimizer)
    if step > first:
        this.save(step, parameters, optimizer)
        look(this, step, packed, told, start, accelerator, read(packed, told.held_out, config, device))
    folder = finish(start, "prefer", config, step, this, bank=bank, weights=this.weights(parameters), again=begun)
    accelerator.end_training()
    return folder


def chosen(seed: int, step: int, count: int) -> int:
    """Which of ``count`` groups a step reads: each once an epoch, in an order of its own."""
    epoch, place = divmod(step, count)
    return int(np.random.default_rng([seed, epoch]).permutation(count)[place])


def look(
    this: run.Run,
    step: int,
    packed: PackedModel,
    told: Preferences,
    start: Start,
    accelerator: Accelerator,
    policies: Sequence[Tensor],
) -> None:
    """Log and say how the held-out pairs are judged, and the probe of Converse."""
    config = told.config
    found = judge(told.held_out, policies, config.beta)
    this.log(max(0, step - 1), {f"held_out/{name}": value for name, value in found.items()})
    this.say(f"step {step}, {config.held_out} held-out pairs: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
    if config.probe_talks:
        talks = Talks(told.tokenizer, told.bank, 512, 2, 1000, 0.05, known=start.phrases.index)
        asked = probe(Learner(packed, start.phrases), talks, told.bank, config, accelerator)
        this.log(max(0, step - 1), {f"probe/{name}": value for name, value in asked.items()})
        this.say(probe_line(asked))


def main(argv: Sequence[str] | None = None) -> int:
    return program.main(PreferConfig, lambda config, given: train(config, given.out), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
