"""Stage See: encoder and mask decoder learn (scan, phrase) -> mask or absent.

    python -m training.see --config training/configs/see.yaml --out runs/see

No language model runs here: each phrase's `<SEG>` state was computed once by the frozen model (`training.phrases`).
A step is one case: its coarse level and a fine tile, every present phrase of it and some absent ones. Sample i of a
run depends on the seed and i alone, so a killed run goes on with the same losses.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.tensorboard import SummaryWriter

from assistant.errors import DeixisError
from assistant.language import DEFAULT_BASE
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.session import checked_device
from training import losses
from training.optimizer import MuonWithAdamW
from training.pack import load_packed
from training.phrases import PhraseBank
from training.run import ConfigError
from training.samples import PackedCase, Query, Sample, absent_phrases, draw, members, owners
from training.stage import data_index, entry, load_segmenter, made_how, start_encoder
from training.taught import taught


@dataclass(frozen=True)
class SeeConfig:
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
    mixture: dict[str, float] = field(
        default_factory=lambda: {
            "brain": 0.52, "head_neck": 0.2, "hippocampus": 0.1, "tumour_mr": 0.1, "tumour_pet": 0.08
        }
    )  # fmt: skip
    segmenter: dict[str, object] = field(default_factory=dict)
    freeze_encoder: bool = False  # the encoder's trunk (`vision.Encoder.TRUNK`) stays as it began

    @staticmethod
    def read(path: Path, changes: Mapping[str, object] | None = None) -> SeeConfig:
        """The settings of a YAML file, with changes. ConfigError for a name that there is not."""
        values = (yaml.safe_load(path.read_text()) or {}) | dict(changes or {})
        unknown = set(values) - {f.name for f in fields(SeeConfig)}
        if unknown:
            raise ConfigError(f"{path}: unknown setting(s) {', '.join(sorted(unknown))}")
        return SeeConfig(**values)


class Samples(IterableDataset[Sample]):
    """Samples start..stop of a run, in order; worker w of W makes every W-th."""

    def __init__(
        self, cases: list[PackedCase], config: SeeConfig, start: int, grids: SegmenterConfig | None = None
    ) -> None:
        """grids: whose grid sizes the samples have; None: those of the run's own settings."""
        self.config, self.start = config, start
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
        return draw(cases[int(rng.integers(len(cases)))], rng, self.config.tiles, self.side, self.size)

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.start + first, self.config.steps, stride):
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


def train(
    config: SeeConfig, out: Path, segmenter_start: Path | None = None, encoder: Path | None = None
) -> Segmenter:
    """Run (or go on with) a See stage in the folder `out`; returns the averaged model. encoder: a pretrained one to
    begin from, see `stage.start_encoder`."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(checked_device(config.device))
    cases = load_packed(Path(config.packed))
    teaches = taught(cases)
    asked = dict.fromkeys([*teaches.names, *(n for f in {c.family for c in cases} for n in absent_phrases(f))])
    bank = PhraseBank.load(Path(config.phrases), config.base, asked)
    last = out / "last.pt"
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
    step, average = 0, None
    if last.exists():
        saved = torch.load(last, weights_only=True, map_location=device)
        segmenter.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, average = saved["step"], saved["average"]
    if average is None:
        average = {k: v.clone() for k, v in segmenter.state_dict().items()}
    writer = SummaryWriter(str(out / "tensorboard"))
    samples = Samples(cases, config, step, segmenter.config)
    loader = DataLoader(samples, batch_size=None, num_workers=config.workers)
    began, first, running = time.time(), step, defaultdict(list)
    for sample in loader:
        rng = np.random.default_rng([config.seed, step, 1])
        queries = choose(sample.queries, config.most_queries, rng)
        states = bank.pick([q.phrase for q in queries], rng, config.canonical).to(device)
        late = ending(config, step)
        shown = sample.to(device)
        parts, figures = step_losses(segmenter, shown, states, queries, config, config.balance * late, step % 4 == 0)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(segmenter.parameters(), config.clip)
        if torch.isfinite(norm):
            optimizer.step(min(late, (step + 1) / config.warmup))
        else:
            print(f"step {step}: gradient norm {norm}: step left out", flush=True)
        step += 1
        keep = min(config.ema, (1 + step) / (10 + step))
        for name, value in segmenter.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        for name, value in {**{k: float(v.detach()) for k, v in parts.items()}, **figures}.items():
            running[name].append(value)
            running[f"{sample.family}/{name}"].append(value)
        if step % config.log_every == 0:
            for name, values in running.items():
                writer.add_scalar(name, float(np.mean(values)), step)
            rate = (step - first) / (time.time() - began)
            line = " ".join(
                f"{k} {np.mean(v):.3f}" for k, v in sorted(running.items()) if "/" not in k or "dice_" in k
            )
            print(
                f"{step}/{config.steps} {rate:.2f} steps/s, {(config.steps - step) / rate / 60:.0f} min left | {line}",
                flush=True,
            )
            running.clear()
        if step % config.save_every == 0 or step == config.steps:
            save(last, segmenter, optimizer, step, average, history)
    segmenter.load_state_dict(average)
    return segmenter


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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--start", type=Path, help="begin from another run's last.pt or a checkpoint folder")
    start.add_argument("--encoder", type=Path, help="begin with a pretrained encoder: encoder.pt of pretrain, M3D-CLIP")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings to change")
    options = parser.parse_args(argv)
    try:
        changes = {k: yaml.safe_load(v) for k, v in (s.split("=", 1) for s in options.set)}
        train(SeeConfig.read(options.config, changes), options.out, options.start, options.encoder)
    except DeixisError as error:
        print(f"see: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
