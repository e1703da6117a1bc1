"""Stage Refine: what a click changes, learned on a finished See run whose other weights stay as they are.

    python -m training.refine training/configs/refine.yaml --out runs/refine see=runs/calibrated.pt

A step is one scan and a few of its structures. Each is drawn by the path that a user's question takes (`Study`), then
clicked where it is most wrong, a few times over, and the refiner learns from the expert mask what each click should
have done. Some begin with nothing drawn, as when the word is one that no mask was learned of.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from assistant import preprocess
from assistant.click_refiner import Clicks
from assistant.drawing import BLANK, Drawing
from assistant.layer import NOWHERE, Layer
from assistant.study import Study
from assistant.volume import Volume
from data_recipes.synthesis.contrast import SHARES, bias_field
from training import losses, program, run
from training.clicks import next_click
from training.pack import load_packed
from training.processes import alone
from training.samples import PackedCase
from training.scans import synthesised
from training.stage import data_index, entry, load_segmenter, made_how, save_segmenter


@dataclass(frozen=True)
class RefineConfig:
    """See training/configs/refine.yaml."""

    SECTION: ClassVar[str] = "refine"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "log_every", "checkpoint_minutes")

    see: Path
    packed: Path = Path("runs/pack")
    steps: int = 400
    structures: int = 5
    clicks: int = 5
    from_nothing: float = 0.3  # share of second times that begin empty
    kept: float = 3.0  # weight of a voxel that a click finds right: a correction must not do harm
    bent: float = 2.0  # standard deviation of the smooth field that is added to the logits of the others
    lr: float = 3e-3
    clip: float = 1.0
    seed: int = 0
    threads: int = 1
    minutes: float | None = None
    log_every: int = 20
    checkpoint_minutes: float = 2.0


def volume_of(case: PackedCase, rng: np.random.Generator) -> Volume:
    """A packed case as a scan; label maps in a drawn contrast."""
    affine = np.diag([*case.spacing, 1.0])
    if case.image is not None:
        return Volume.from_array(case.image.numpy(), affine, modality=case.modality, name=case.id)
    return synthesised(case.values[case.labels.numpy().astype(int)], affine, rng, case.id, SHARES)


def truth_on(layer: Layer, mask: np.ndarray) -> Tensor:
    """An expert mask of the volume on a layer's voxels: (X, Y, Z) bool."""
    share, _ = preprocess.to_grid(torch.from_numpy(mask.astype(np.float32))[None], layer.part)
    return share[0] >= 0.5


def click_losses(
    drawing: Drawing, layer: Layer, truth: Tensor, count: int, kept: float
) -> tuple[list[Tensor], list[float]]:
    """Up to `count` clicks at the largest error -> a loss for each, and the Dice before and after each.

    kept: see `RefineConfig`. Each click learns from its own step alone: what the ones before it left is given."""
    logits = layer.logits.clone()
    out, dice = [], [_dice(logits > 0, truth)]
    made: list[np.ndarray] = []
    positive: list[bool] = []
    for number in range(count):
        click = next_click((logits > 0).numpy(), truth.numpy(), (1.0, 1.0, 1.0))
        if click is None:
            break
        made.append(click[0])
        positive.append(click[1] > 0)
        clicks = Clicks(torch.from_numpy(np.stack(made)).float(), torch.tensor(positive))
        changed = drawing.segmenter.click_refiner(
            logits, lambda box: drawing.pixels(layer, box).clone(), clicks, number
        )
        moved = (changed != logits).detach()
        flat, wanted = changed.flatten()[None], truth.flatten()[None]
        weight = torch.where((logits > 0) == truth, kept, 1.0)[moved]
        cross = F.binary_cross_entropy_with_logits(changed[moved], truth[moved].float(), weight)
        out.append(losses.soft_dice(flat, wanted.float()).mean() + cross)
        logits = changed.detach()
        dice.append(_dice(logits > 0, truth))
    return out, dice


def _dice(mask: Tensor, truth: Tensor) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()).clamp_min(1))


def train(config: RefineConfig, out: Path) -> Path:
    """Run (or go on with) the stage in the folder ``out``; the file of the segmenter with its refiner."""
    torch.set_num_threads(config.threads)
    run.seed_everything(config.seed)
    segmenter = load_segmenter(config.see).eval().requires_grad_(False)
    segmenter.click_refiner.requires_grad_(True)
    parameters = run.trainable(segmenter)
    optimizer = torch.optim.AdamW(parameters.values(), config.lr, weight_decay=0.0)
    cases = load_packed(config.packed)
    families = sorted({case.family for case in cases})
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=out)
    alone(accelerator, "refine")
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step, meter = this.resume(parameters, optimizer), run.Means()
    while step < config.steps and not this.over(config.minutes):
        rng = np.random.default_rng([config.seed, step])
        family = families[step % len(families)]
        own = [case for case in cases if case.family == family]
        case = own[int(rng.integers(len(own)))]
        drawing = Study(volume_of(case, rng), segmenter).view.drawing
        taught = [(v, n) for v, n in case.names.items() if n in segmenter.config.taught_names]
        picked = [taught[i] for i in rng.permutation(len(taught))[: config.structures]]
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate(step, config.steps, config.lr, 10)
        optimizer.zero_grad()
        for layer, (value, _) in zip(drawing.layers([n for _, n in picked]), picked, strict=True):
            if not layer.logits.numel():
                continue  # nothing drawn: there is no box to click in
            index = int(np.flatnonzero(case.values == value)[0])
            truth = truth_on(layer, (case.labels == index).numpy())
            if rng.random() < config.from_nothing:
                other = torch.full_like(layer.logits, BLANK)
            else:
                field = bias_field(rng, tuple(layer.logits.shape), config.bent).log()
                other = layer.logits + field * (layer.logits > NOWHERE)
            shown: dict[str, float] = {}
            for way, logits in (("", layer.logits), ("bent_", other)):
                drawn = replace(layer, margins=logits[None])
                parts, dice = click_losses(drawing, drawn, truth, config.clicks, config.kept)
                if parts:
                    (torch.stack(parts).sum() / len(picked)).backward()
                    worse = float(dice[-1] < dice[0] - 0.005)
                    of_way = {"before": dice[0], "one": dice[1], "last": dice[-1], "worse": worse}
                    shown |= {way + name: value for name, value in of_way.items()}
            meter.add(**shown)
        run.clip(parameters.values(), config.clip)
        optimizer.step()
        step += 1
        meter.steps += 1
        this.progress(step, meter, run.every_figure)
        this.save_when_due(step, parameters, optimizer)
    this.save(step, parameters, optimizer)
    accelerator.end_training()
    history = [*made_how(config.see), entry("refine", config, data_index(cases))]
    return save_segmenter(out / "refined.pt", segmenter, history)


def main(argv: Sequence[str] | None = None) -> int:
    return program.main(RefineConfig, lambda config, given: train(config, given.out), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
