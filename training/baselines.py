"""A specialist to be measured against: for one family of scans a network with a class for each structure, and no words.

    python -m training.baselines training/configs/specialist.yaml --out runs/specialist/head_neck family=head_neck
    python -m training.baselines --evaluate runs/specialist --data ../shared/data --limit 10 --out specialists.json

MONAI's DynUNet (nnU-Net's topology, Isensee et al. 2021: plain convolutions, instance normalisation, deep supervision)
on patches of the finer level, sliding over a scan with half an overlap. Cases, preprocessing, augmentation, losses,
optimizer and hardware are stage See's, so that what differs is what is compared: one network for everything that is
asked in words, or one for each family that is asked nothing. `training.evaluate --specialists` puts the figures into
its own table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from monai.inferers import sliding_window_inference
from monai.networks.nets import DynUNet
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from assistant import preprocess
from assistant.layer import NOWHERE
from assistant.vision import IMAGE_CHANNELS
from assistant.volume import Volume
from data_recipes import ontology
from training import losses, metrics, program, run, scans
from training.optimizer import MuonWithAdamW
from training.pack import load_packed
from training.processes import alone
from training.samples import TUMOUR, PackedCase, Query, draw, members, owners

#: specialist -> (families of packed cases it learns from, groups of scans it is measured on)
SPECIALISTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "head_neck": (("head_neck",), ("openkbp",)),
    "hippocampus": (("hippocampus",), ("hippocampus",)),
    "sarcoma": (("tumour_mr", "tumour_pet"), ("sts",)),
    "brain": (("brain",), ("brain", "colin")),
}
#: what is asked for as a whole is the union of all classes but the tumour
WHOLES = ("hippocampus", "brain")


@dataclass(frozen=True)
class SpecialistConfig:
    """See training/configs/specialist.yaml."""

    SECTION: ClassVar[str] = "specialist"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "log_every", "checkpoint_minutes")

    family: str
    steps: int
    packed: Path = Path("runs/pack")
    seed: int = 0
    patch: int = 64
    filters: tuple[int, ...] = (16, 32, 64, 128, 160)
    lr: float = 1e-3  # of AdamW
    matrix_lr: float = 0.004  # of Muon
    weight_decay: float = 0.01
    warmup: int = 50
    clip: float = 5.0
    balance: float = 0.5  # as in See: falls to 0 with the learning rate
    bf16: bool = True
    threads: int = 1
    workers: int = 1
    minutes: float | None = None
    log_every: int = 50
    checkpoint_minutes: float = 5.0


def network(config: SpecialistConfig, classes: int) -> DynUNet:
    """(B, 10, X, Y, Z) -> (B, classes, X, Y, Z) logits beside a background of 0; in training (B, 3, classes, ..), the
    last two from coarser strides."""
    levels = len(config.filters)
    return DynUNet(
        3, IMAGE_CHANNELS, classes, kernel_size=[3] * levels, strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1), filters=config.filters, deep_supervision=True, deep_supr_num=2,
    )  # fmt: skip


def class_names(cases: Sequence[PackedCase]) -> list[str]:
    """Every structure that excludes the others, with the sides that a mirrored sample gives it."""
    names = {flipped for case in cases for name in case.names.values() for flipped in (name, ontology.flip(name))}
    if any(case.family == "brain" for case in cases):
        names.add(TUMOUR)  # implanted
    return sorted(names)


@dataclass(frozen=True)
class Patch:
    """image (1, 10, X, Y, Z), its labels (X, Y, Z), and what is known there (phrases of labels)."""

    image: Tensor
    labels: Tensor
    queries: list[Query]


class Patches(IterableDataset[Patch]):
    """Patches start..steps of a run, in order; patch i depends on the seed and i alone."""

    def __init__(self, cases: Sequence[PackedCase], config: SpecialistConfig, start: int) -> None:
        self.cases, self.config, self.start = cases, config, start

    def make(self, index: int) -> Patch:
        rng = np.random.default_rng([self.config.seed, index])
        sample = draw(self.cases[int(rng.integers(len(self.cases)))], rng, 1, self.config.patch)
        image, labels = (sample.tiles[0], sample.tile_labels[0]) if sample.tiles else (
            sample.coarse, sample.coarse_labels
        )  # fmt: skip
        return Patch(image, labels, [q for q in sample.queries if q.exclusive])

    def __iter__(self) -> Iterator[Patch]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.start + first, self.config.steps, stride):
            yield self.make(index)


def patch_loss(outputs: Tensor, patch: Patch, classes: Sequence[str], balance: float) -> tuple[Tensor, float]:
    """Cross-entropy and Dice over the classes that are known in this case (what was not contoured is neither), at full
    stride and half and a quarter as much at the two coarser ones (nnU-Net's weights) -> (loss, Dice at full stride).

    outputs (1, S, C, X, Y, Z)."""
    rows = torch.tensor([classes.index(q.phrase) for q in patch.queries], device=outputs.device)
    labels = patch.labels
    targets = torch.stack([members(labels, q.label_indices) for q in patch.queries]).flatten(1)
    exclusive = torch.ones(len(rows), dtype=torch.bool)
    weights = [2.0**-i for i in range(outputs.shape[1])]
    total = outputs.new_zeros((), dtype=torch.float32)
    for weight, output in zip(weights, outputs[0], strict=True):
        cross, dice = losses.mask_loss(
            output[rows].float().flatten(1), targets, exclusive, owners(labels, patch.queries), balance
        )
        total = total + weight / sum(weights) * (cross + dice)
    seen = targets.any(1)
    hard, _ = losses.hard_overlap(outputs[0, 0, rows].flatten(1), targets)
    return total, float(hard[seen].mean()) if seen.any() else float("nan")


def train(config: SpecialistConfig, out: Path) -> Path:
    """Run (or go on with) a specialist's training in the folder ``out``; the file of its weights."""
    if config.family not in SPECIALISTS:
        raise run.ConfigError(f"no specialist {config.family!r}: choose from {', '.join(SPECIALISTS)}")
    torch.set_num_threads(config.threads)
    run.seed_everything(config.seed)
    families = SPECIALISTS[config.family][0]
    cases = [case for case in load_packed(config.packed) if case.family in families]
    if not cases:
        raise run.ConfigError(f"{config.packed} has no case of {', '.join(families)}: make it with training.pack")
    classes = class_names(cases)
    net = network(config, len(classes)).train()
    optimizer = MuonWithAdamW(net, config.lr, config.matrix_lr, config.weight_decay)
    parameters = run.trainable(net)
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=out)
    alone(accelerator, "baselines")
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step = this.resume(parameters, optimizer)
    meter = run.Meter()
    for patch in DataLoader(Patches(cases, config, step), batch_size=None, num_workers=config.workers):
        if this.over(config.minutes):
            break
        late = 1 - step / config.steps
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            outputs = net(patch.image)
        loss, dice = patch_loss(outputs, patch, classes, config.balance * late)
        optimizer.zero_grad()
        loss.backward()
        run.clip(parameters.values(), config.clip)
        optimizer.step(min(late, (step + 1) / config.warmup))
        meter.add(loss=float(loss.detach()), dice=dice if dice == dice else 0.0)
        step += 1
        meter.steps += 1
        this.progress(step, meter, "loss {loss:.3f} Dice {dice:.3f}".format_map)
        this.save_when_due(step, parameters, optimizer)
    this.save(step, parameters, optimizer)
    accelerator.end_training()
    weights = out / "specialist.pt"
    torch.save(
        {
            "weights": net.state_dict(), "classes": classes, "steps": step, "seconds": this.seconds(),
            "config": json.loads(json.dumps(asdict(config), default=str)),
        },
        weights,
    )  # fmt: skip
    return weights


@dataclass(frozen=True)
class Specialist:
    """A trained one. classes: the names of its outputs; steps, seconds: what it was given."""

    net: nn.Module
    classes: list[str]
    config: SpecialistConfig
    steps: int
    seconds: float

    @staticmethod
    def load(path: Path) -> Specialist:
        saved = torch.load(path, weights_only=True)
        values: dict[str, Any] = {**saved["config"], "packed": Path(saved["config"]["packed"])}
        values["filters"] = tuple(values["filters"])
        config = SpecialistConfig(**values)
        net = network(config, len(saved["classes"]))
        net.load_state_dict(saved["weights"])
        return Specialist(net.eval(), saved["classes"], config, saved["steps"], saved["seconds"])

    @torch.inference_mode()
    def segment(self, volume: Volume) -> np.ndarray:
        """The winning class of each voxel of the volume's RAS grid: 0 for none, i + 1 for the i-th (X, Y, Z) uint8."""
        c = preprocess.canonical(volume)
        pair, inside, grid = (c.coarse, c.coarse_inside, c.coarse_grid)
        if c.fine is not None and c.fine_inside is not None and c.fine_grid is not None:
            pair, inside, grid = c.fine, c.fine_inside, c.fine_grid
        image = preprocess.level_input(pair, inside, grid.spacing, c.modality, (0, 0, 0), grid.shape)
        window = [min(self.config.patch, n) for n in grid.shape]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            logits = sliding_window_inference(image, window, 1, self.net, overlap=0.5, mode="gaussian")
        assert isinstance(logits, Tensor)
        best = torch.zeros(volume.shape)
        winner = np.zeros(volume.shape, np.uint8)
        low, high = np.zeros(3, int), np.array(volume.shape)
        for index, one in enumerate(logits[0].float(), 1):  # a class at a time: forty on a head are too many at once
            values = preprocess.from_grid(one[None].clamp(NOWHERE, -NOWHERE), grid, low, high, NOWHERE)[0]
            winner[(values > best).numpy()] = index
            best = torch.maximum(best, values)
        return winner

    def mask(self, winner: np.ndarray, phrase: str) -> np.ndarray | None:
        """A phrase's voxels of what `segment` gave; None for a phrase that it has no class for."""
        if phrase in self.classes:
            return winner == 1 + self.classes.index(phrase)
        if phrase in WHOLES:
            parts = [1 + i for i, name in enumerate(self.classes) if name != TUMOUR]
            return np.isin(winner, parts)
        return None


@dataclass(frozen=True)
class Scored:
    case: str
    phrase: str
    dice: float


def score(
    specialist: Specialist, group: str, data: Path, split: str, limit: int | None, contrasts: int
) -> list[Scored]:
    """Dice of every expert mask of a group of scans, on the scan's own grid."""
    rows = []
    for scan in scans.scans(group, data, split, limit=limit, contrasts=contrasts):
        volume = Volume.open(scan.image) if isinstance(scan.image, Path) else scan.image
        winner = specialist.segment(volume)
        for phrase, truth in scan.truths.items():
            mask = specialist.mask(winner, phrase)
            if mask is not None:
                rows.append(Scored(scan.case, phrase, metrics.dice(volume.to_native(mask).astype(bool), truth)))
        print(f"{group} {scan.case}: {metrics.mean(r.dice for r in rows if r.case == scan.case):.3f}", flush=True)
    return rows


def summarise(rows: Sequence[Scored]) -> dict[str, Any]:
    """Mean Dice by structure and over structures, as `training.evaluate` reports its own."""
    phrases = sorted({r.phrase for r in rows})
    by_phrase = {p: metrics.mean(r.dice for r in rows if r.phrase == p) for p in phrases}
    return {
        "scans": len({r.case for r in rows}),
        "dice_mean_over_structures": metrics.mean(by_phrase.values()),
        "structures": by_phrase,
    }


def evaluate(folder: Path, data: Path, split: str, limit: int | None, contrasts: int) -> dict[str, Any]:
    """Every specialist under ``folder`` on the scans of its family: {group: figures}."""
    found = sorted(folder.glob("*/specialist.pt"))
    if not found:
        raise run.ConfigError(f"there is no */specialist.pt in {folder}: train one first")
    out: dict[str, Any] = {}
    for path in found:
        specialist = Specialist.load(path)
        for group in SPECIALISTS[specialist.config.family][1]:
            rows = score(specialist, group, data, split, limit, contrasts)
            out[group] = {
                **summarise(rows), "steps": specialist.steps, "minutes": round(specialist.seconds / 60, 1),
                "split": split, "parameters": sum(p.numel() for p in specialist.net.parameters()),
            }  # fmt: skip
            print(f"{group}: {out[group]['dice_mean_over_structures']:.3f}", flush=True)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    if "--evaluate" not in given:
        return program.main(SpecialistConfig, lambda config, options: train(config, options.out), __doc__, given)
    parser = argparse.ArgumentParser(prog="python -m training.baselines", description="Score trained specialists.")
    parser.add_argument("--evaluate", type=Path, required=True, metavar="DIR", help="holds a folder a specialist")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--contrasts", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    options = parser.parse_args(given)

    def work() -> Path:
        figures = evaluate(options.evaluate, options.data, options.split, options.limit, options.contrasts)
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
        return Path(options.out)

    return program.ended("baselines", work)


if __name__ == "__main__":
    sys.exit(main())
