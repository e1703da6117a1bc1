"""Stage See: encoder and mask decoder learn (scan, phrase) -> mask or absent.

    python -m training.see --config training/configs/see.yaml --out runs/see

No language model runs here: each phrase's `<SEG>` state was computed once by the frozen model (`training.phrases`).
A sample is one case: its coarse level and a fine tile, every present phrase of it and some absent ones. Sample i of a
run depends on the seed and i alone, so a killed run goes on with the same losses.

A step reads ``batch`` samples, each of which weighs the same however many masks it has: the mixture says how much a
family counts. Several processes (`accelerate launch` with training/configs/accelerate/ddp.yaml) share a step's samples,
and its losses are those of one. FSDP and DeepSpeed do not fit: Muon steps a matrix as a whole.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from assistant.language import DEFAULT_BASE
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.session import checked_device
from training import losses, program, run
from training.learner import accelerator_for
from training.optimizer import MuonWithAdamW
from training.pack import load_packed
from training.phrases import PhraseBank
from training.run import ConfigError
from training.samples import PackedCase, Query, Sample, absent_phrases, draw, members, owners
from training.stage import data_index, entry, load_segmenter, made_how, start_encoder
from training.taught import taught

LAST = "last.pt"


@dataclass(frozen=True)
class SeeConfig:
    """See training/configs/see.yaml. batch: samples a step, of all processes together."""

    SECTION: ClassVar[str] = "see"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("device", "workers", "threads", "save_every", "log_every", "track")
    LESS_MEMORY: ClassVar[str] = "most_queries=16, tiles=1 or a smaller segmenter, in another --out"

    packed: str = "runs/pack"
    phrases: str = "runs/phrases.pt"
    base: str = DEFAULT_BASE  # the language model whose phrase states masks are learned from
    device: str = "cpu"  # or "cuda"
    steps: int = 6000
    decay_steps: int = 1200  # the learning rate falls to 0 over the last of the steps
    warmup: int = 50
    lr: float = 1e-3  # of AdamW
    matrix_lr: float = 0.004  # of Muon
    weight_decay: float = 0.01
    seed: int = 0
    batch: int = 1
    tiles: int = 1
    clip: float = 5.0
    balance: float = 0.5  # see `losses.competing_cross_entropy`; falls to 0 with the learning rate
    most_queries: int = 40
    # Replies name structures canonically, whatever the user called them. The states of other names are nearly
    # unrelated (nearest canonical name right for 3 in 10), so asking with them teaches noise: see LOG.md.
    canonical: float = 1.0
    ema: float = 0.995
    workers: int = 1
    threads: int = 1
    bf16: bool = True
    save_every: int = 200
    log_every: int = 20
    track: str = "tensorboard"  # wandb, mlflow or trackio, several with commas, or nothing
    mixture: dict[str, float] = field(
        default_factory=lambda: {
            "brain": 0.52, "head_neck": 0.2, "hippocampus": 0.1, "tumour_mr": 0.1, "tumour_pet": 0.08
        }
    )  # fmt: skip
    # families of which this share of the samples shows the box of the taught structures alone: at use such a scan is
    # looked at twice, the second time in that box (`assistant/focus.py`)
    focus: dict[str, float] = field(default_factory=dict)
    segmenter: dict[str, object] = field(default_factory=dict)
    freeze_encoder: bool = False  # the encoder's trunk (`vision.Encoder.TRUNK`) stays as it began


class Samples(IterableDataset[Sample]):
    """Samples of the steps start..steps of a run, in order: of process p of P every P-th, of which worker w of W makes
    every W-th."""

    def __init__(
        self,
        cases: list[PackedCase],
        config: SeeConfig,
        start: int,
        grids: SegmenterConfig | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        """grids: whose grid sizes the samples have; None: those of the run's own settings. process: (p, P)."""
        self.config, self.start, self.process = config, start, process
        grids = grids or SegmenterConfig.from_dict(config.segmenter)
        self.side, self.size = grids.tile_size, grids.coarse_size
        self.by_family: dict[str, list[PackedCase]] = defaultdict(list)
        for case in cases:
            self.by_family[case.family].append(case)
        self.families = [f for f in config.mixture if self.by_family.get(f)]
        unknown = sorted(set(self.by_family) - set(config.mixture))
        if unknown or not self.families:
            raise ConfigError(
                f"the pack has cases of {', '.join(sorted(self.by_family))}: give mixture a share of each"
                + (f" (of {', '.join(unknown)} there is none)" if unknown else "")
            )
        weights = np.array([config.mixture[f] for f in self.families])
        self.weights = weights / weights.sum()

    def make(self, index: int) -> Sample:
        rng = np.random.default_rng([self.config.seed, index])
        family = self.families[int(rng.choice(len(self.families), p=self.weights))]
        cases = self.by_family[family]
        case, focus = cases[int(rng.integers(len(cases)))], self.config.focus.get(family, 0.0)
        return draw(case, rng, self.config.tiles, self.side, self.size, focus)

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        process, processes = self.process
        first, batch = worker * processes + process, self.config.batch
        for index in range(self.start * batch + first, self.config.steps * batch, workers * processes):
            yield self.make(index)


def choose(queries: list[Query], most: int, rng: np.random.Generator) -> list[Query]:
    """At most `most` queries of a sample, a random subset."""
    if len(queries) <= most:
        return queries
    keep = sorted(rng.choice(len(queries), most, replace=False))
    return [queries[i] for i in keep]


def step_losses(
    segmenter: Segmenter,
    sample: Sample,
    states: Tensor,
    queries: list[Query],
    config: SeeConfig,
    balance: float = 0.0,
    detail: bool = True,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """One sample through the model -> losses to add up, figures to log. states (N, lm_dim) for the N queries.
    detail: also measure the fine masks' Dice."""
    figures: dict[str, float] = {}
    device = states.device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        coarse = segmenter.encode(sample.coarse)
        prompts = [None] * len(queries)
        heads = segmenter.heads(segmenter.seg_query(states), coarse, prompts)
        logits = segmenter.coarse_logits(heads, coarse, prompts)
    targets = torch.stack([members(sample.coarse_labels, q.label_indices) for q in queries]).flatten(1)
    exclusive = torch.tensor([q.exclusive for q in queries], device=device)
    cross, dice = losses.mask_loss(
        logits.flatten(1), targets, exclusive, owners(sample.coarse_labels, queries), balance
    )
    out = {"coarse_ce": cross, "coarse_dice": dice}
    known = torch.tensor([q.presence is not None for q in queries], device=device)
    truth = torch.tensor([float(q.presence or 0) for q in queries], device=device)
    presence, quality = segmenter.mask_decoder.judge(heads, logits)
    out["presence"] = 0.3 * torch.nn.functional.binary_cross_entropy_with_logits(presence[known], truth[known])
    hard, iou = losses.hard_overlap(logits.flatten(1), targets)
    seen = targets.any(1)
    if seen.any():
        out["quality"] = 0.3 * (quality[seen] - iou[seen]).square().mean()
        figures["dice_coarse"] = float(hard[seen].mean())
    figures["presence_right"] = float(((presence > 0) == (truth > 0.5))[known].float().mean())

    fine_ce, fine_dice, fine_hard = [], [], []
    for tile, labels, start in zip(sample.tiles, sample.tile_labels, sample.tile_starts, strict=True):
        all_targets = torch.stack([members(labels, q.label_indices) for q in queries])
        here = all_targets.flatten(1).any(1)
        picked = (here | (torch.arange(len(queries), device=device) % 5 == 0)).nonzero()[:20, 0]
        box = tuple(slice(s // 2, (s + n) // 2) for s, n in zip(start, labels.shape, strict=True))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            features = segmenter.encode(tile, coarse.pixel[(slice(None), slice(None), *box)])
            fine = segmenter.fine_logits(heads.fine[picked], features.pixel[0], start, [None] * len(picked))
        asked = owners(labels, [queries[i] for i in picked.tolist()])
        cross, dice = losses.mask_loss(
            fine.flatten(1), all_targets[picked].flatten(1), exclusive[picked], asked, balance
        )
        fine_ce.append(cross)
        fine_dice.append(dice)
        if here.any() and detail:
            hard, _ = losses.hard_overlap(fine.flatten(1), all_targets[picked].flatten(1))
            fine_hard.append(float(hard[here[picked]].mean()))
    if fine_ce:
        out["fine_ce"], out["fine_dice"] = torch.stack(fine_ce).mean(), torch.stack(fine_dice).mean()
    if fine_hard:
        figures["dice_fine"] = float(np.mean(fine_hard))
    return out, figures


def ending(config: SeeConfig, step: int) -> float:
    """1, then linear to 0 over the last `decay_steps`."""
    return min(1.0, (config.steps - step) / max(1, config.decay_steps))


class Passed(NamedTuple):
    """One sample's loss, its parts, and figures to log."""

    loss: Tensor
    parts: dict[str, float]
    figures: dict[str, float]


class SampleLoss(nn.Module):
    """The losses of a sample, as one module for accelerate to wrap."""

    def __init__(self, segmenter: Segmenter, config: SeeConfig) -> None:
        super().__init__()
        self.segmenter, self._config = segmenter, config

    def forward(self, sample: Sample, states: Tensor, queries: list[Query], balance: float, detail: bool) -> Passed:
        parts, figures = step_losses(self.segmenter, sample, states, queries, self._config, balance, detail)
        total = torch.stack(list(parts.values())).sum()
        return Passed(total, {k: float(v.detach()) for k, v in parts.items()}, figures)


def device_for(config: SeeConfig, accelerator: Accelerator) -> torch.device:
    """Where this process trains. ConfigError for what `accelerate launch` was asked and See cannot do."""
    device, processes = torch.device(checked_device(config.device)), accelerator.num_processes
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise ConfigError(f"see does not run with {accelerator.distributed_type.value}: launch it with ddp.yaml")
    if config.batch < 1:
        raise ConfigError(f"batch is {config.batch}: a step needs at least one sample")
    if processes == 1:
        return device
    if config.batch % processes:
        raise ConfigError(
            f"a step of {config.batch} samples cannot be shared by {processes} processes: "
            f"set batch to a multiple of {processes}"
        )
    if device.type != accelerator.device.type:
        raise ConfigError(
            f"device is {config.device!r}, and the {processes} processes were launched on {accelerator.device.type}: "
            f"set device={accelerator.device.type}"
        )
    return accelerator.device if device.type == "cuda" else device  # accelerate's "cpu:1" is no place to load to


def resumed(path: Path, segmenter: Segmenter, optimizer: MuonWithAdamW, device: torch.device) -> dict[str, Any]:
    """Take up a checkpoint of `save`; all that it holds."""
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    segmenter.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved


def train(
    config: SeeConfig, out: Path, segmenter_start: Path | None = None, encoder: Path | None = None
) -> Segmenter:
    """Run (or go on with) a See stage in the folder `out`; returns the averaged model. encoder: a pretrained one to
    begin from, see `stage.start_encoder`."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    # a sample may have no fine tile, or show nothing
    accelerator = accelerator_for(out, config.track, some_unused=True)
    device = device_for(config, accelerator)
    this = run.Run(out, config, accelerator=accelerator, state=LAST)
    cases = load_packed(Path(config.packed))
    teaches = taught(cases, config.focus)
    asked = dict.fromkeys([*teaches.names, *(n for f in {c.family for c in cases} for n in absent_phrases(f))])
    with accelerator.main_process_first():  # who makes the bank where there is none
        bank = PhraseBank.load(Path(config.phrases), config.base, asked)
    if segmenter_start is not None:
        segmenter = load_segmenter(segmenter_start)
    else:
        segmenter = Segmenter(SegmenterConfig.from_dict({"lm_dim": bank.states.shape[1], **config.segmenter}))
    bank.fit(segmenter, teaches, whiten=segmenter_start is None)
    earlier = made_how(segmenter_start) if encoder is None else start_encoder(encoder, segmenter.vision)
    segmenter.to(device)
    history = [*earlier, entry("see", config, data_index(cases))]
    if config.freeze_encoder:
        for parameter in segmenter.vision.trunk_parameters():
            parameter.requires_grad_(False)
    optimizer = MuonWithAdamW(segmenter, config.lr, config.matrix_lr, config.weight_decay)
    step, average = 0, {k: v.clone() for k, v in segmenter.state_dict().items()}
    if (out / LAST).exists():
        saved = resumed(out / LAST, segmenter, optimizer, device)
        step, average = saved["step"], saved["average"]
        this.forget(step)
    module = accelerator.prepare_model(SampleLoss(segmenter, config), device_placement=False)
    process = (accelerator.process_index, accelerator.num_processes)
    samples = Samples(cases, config, step, segmenter.config, process)
    stream = iter(DataLoader(samples, batch_size=None, num_workers=config.workers))
    mine = range(process[0], config.batch, process[1])
    accelerator.gradient_accumulation_steps = len(mine)
    meter = run.Means()
    while step < config.steps:
        late = ending(config, step)
        optimizer.zero_grad()
        for place in mine:
            sample = next(stream)
            rng = np.random.default_rng([config.seed, step * config.batch + place, 1])
            queries = choose(sample.queries, config.most_queries, rng)
            states = bank.pick([q.phrase for q in queries], rng, config.canonical).to(device)
            with accelerator.accumulate(module):
                passed = module(sample.to(device), states, queries, config.balance * late, step % 4 == 0)
                accelerator.backward(passed.loss)
            figures = {**passed.parts, **passed.figures}
            meter.add(**figures, **{f"{sample.family}/{name}": value for name, value in figures.items()})
        norm = torch.nn.utils.clip_grad_norm_(segmenter.parameters(), config.clip)
        if torch.isfinite(norm):
            optimizer.step(min(late, (step + 1) / config.warmup))
        else:
            this.say(f"step {step}: gradient norm {norm}: step left out")
        step += 1
        meter.steps += 1
        keep = min(config.ema, (1 + step) / (10 + step))
        for name, value in segmenter.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        this.progress(step, meter, said)
        if accelerator.is_main_process and (step % config.save_every == 0 or step == config.steps):
            save(out / LAST, segmenter, optimizer, step, average, history)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    segmenter.load_state_dict(average)
    return segmenter


def said(figures: dict[str, float]) -> str:
    """Every figure, and the Dice of each family."""
    dice = " ".join(f"{name} {value:.3f}" for name, value in figures.items() if "/dice_" in name)
    return f"{run.every_figure(figures)} | {dice}"


def save(
    path: Path,
    segmenter: Segmenter,
    optimizer: MuonWithAdamW,
    step: int,
    average: dict[str, Tensor],
    history: list[dict[str, object]],
) -> None:
    """Write a checkpoint whole or not at all. history: `stage.made_how` of what it began from, and this run."""
    part = path.with_suffix(".part")
    state = {
        "model": segmenter.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
        "average": copy.copy(average), "config": segmenter.config.to_dict(),
        "history": history,
    }  # fmt: skip
    torch.save(state, part)
    part.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    options = program.parser(__doc__)
    start = options.add_mutually_exclusive_group()
    start.add_argument("--start", type=Path, help="begin from another run's last.pt or a checkpoint folder")
    start.add_argument("--encoder", type=Path, help="begin with a pretrained encoder: encoder.pt of pretrain, M3D-CLIP")

    def work(config: SeeConfig, given: argparse.Namespace) -> Path:
        train(config, given.out, given.start, given.encoder)
        return Path(given.out, LAST)

    return program.main(SeeConfig, work, __doc__, argv, options)


if __name__ == "__main__":
    sys.exit(main())
