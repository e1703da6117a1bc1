"""Pretraining the vision encoder, before See: on scans without labels, or on scans and their reports.

    deixis train pretrain --config training/configs/pretrain.yaml --out runs/pretrain

task "masked": masked-volume modelling on packed cases (`training.masked`). task "contrastive": scan-report pairs
(`training.contrastive`). The run's `encoder.pt` is what `training.see --encoder` begins from. A step's data depends on
the seed and the step's number alone: a killed run goes on with the same losses when it is started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from assistant.encoders import make_encoder
from assistant.language import DEFAULT_BASE, load_base
from assistant.model import Base
from assistant.segmenter import SegmenterConfig
from assistant.vision import Encoder
from training import program, run
from training.contrastive import Batch, Batches, ContrastiveModel, cached_states, load_batches, read_pairs
from training.masked import MaskedModel
from training.optimizer import MuonWithAdamW
from training.pack import load_packed
from training.processes import alone
from training.samples import Sample
from training.see import Samples, SeeConfig
from training.stage import compute_type, data_index, entry, start_encoder

ENCODER = "encoder.pt"


@dataclass(frozen=True)
class PretrainConfig:
    """segmenter: as See's, it says which encoder; start: an earlier `encoder.pt` to go on from, or an M3D-CLIP.

    packed, mixture, tiles, patch, ratio: of the masked task. records, data, base, batch, chunk, dim, text_tokens: of
    the contrastive one; see `training.contrastive`."""

    SECTION: ClassVar[str] = "pretrain"
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("minutes", "checkpoint_minutes", "log_every", "workers", "threads")
    LESS_MEMORY: ClassVar[str] = "chunk=1 (contrastive; the same gradients) or tiles=1 (masked), or a narrower encoder"

    task: str = "masked"
    segmenter: dict = field(default_factory=dict)
    start: Path | None = None
    seed: int = 0
    steps: int = 4000
    minutes: float | None = None
    warmup: int = 50
    lr: float = 1e-3  # of AdamW
    matrix_lr: float = 0.004  # of Muon
    weight_decay: float = 0.01
    clip: float = 5.0
    bf16: bool = True
    workers: int = 1
    threads: int = 1
    checkpoint_minutes: float = 5.0
    log_every: int = 20
    packed: Path = Path("runs/pack")
    mixture: dict = field(default_factory=lambda: SeeConfig().mixture)
    tiles: int = 1
    patch: int = 16
    ratio: float = 0.6
    records: Path | None = None
    data: Path | None = None
    base: str = DEFAULT_BASE
    batch: int = 16
    chunk: int = 4
    dim: int = 256
    text_tokens: int = 256


class Masked:
    """Packed cases, synthesised or augmented as See draws them. index: which they are, for the history."""

    def __init__(self, config: PretrainConfig, encoder: Encoder, segmenter: SegmenterConfig, device: torch.device):
        self.config, self.device = config, device
        self.cases = load_packed(config.packed)
        self.index = data_index(self.cases)
        self.model = MaskedModel(encoder, segmenter.pixel_dim).to(device)
        self.autocast = compute_type(config.bf16, device)
        self.drawn = SeeConfig(
            steps=config.steps, seed=config.seed, tiles=config.tiles, mixture=config.mixture, segmenter=config.segmenter
        )

    def data(self, start: int) -> Iterable[Any]:
        """What steps `start` and later are made on."""
        return DataLoader(Samples(self.cases, self.drawn, start), batch_size=None, num_workers=self.config.workers)

    def backward(self, made: Sample, step: int) -> dict[str, float]:
        """Adds a step's gradients; its figures."""
        rng = np.random.default_rng([self.config.seed, step, 2])
        there = replace(made, coarse=made.coarse.to(self.device), tiles=[tile.to(self.device) for tile in made.tiles])
        with self.autocast():
            losses = self.model.loss(there, self.config.patch, self.config.ratio, rng)
        loss = torch.stack(list(losses.values())).mean()
        loss.backward()
        return {"loss": float(loss.detach()), "coarse": float(losses["coarse"].detach())}  # not each has a fine one


class Contrastive:
    """Scans and their reports. The texts' states are made once, by the frozen language model, and kept in the run."""

    def __init__(
        self,
        config: PretrainConfig,
        encoder: Encoder,
        segmenter: SegmenterConfig,
        device: torch.device,
        out: Path,
        base: Base | None,
    ) -> None:
        if config.records is None:
            raise run.ConfigError("the contrastive task needs records: a folder of deixis data build")
        self.config, self.device, self.coarse_size = config, device, segmenter.coarse_size
        self.pairs, texts = read_pairs(config.records, config.data)
        given = config.base if base is None else base
        lm, tokenizer, identity = given if isinstance(given, tuple) else load_base(given, dtype=torch.float32)
        out.mkdir(parents=True, exist_ok=True)
        self.states = cached_states(
            out / "texts.pt", lm.eval().to(device), tokenizer, identity.sha256, texts, config.text_tokens
        ).to(device)
        names = "\n".join(f"{pair.image} {[texts[row] for row in pair.texts]}" for pair in self.pairs)
        self.index = {
            "scans": len(self.pairs), "texts": len(texts), "index_sha256": sha256(names.encode()).hexdigest(),
            "base_sha256": identity.sha256,
        }  # fmt: skip
        self.model = ContrastiveModel(encoder, segmenter.visual_dim, self.states.shape[1], config.dim).to(device)
        self.autocast = compute_type(config.bf16, device)

    def data(self, start: int) -> Iterable[Any]:
        """As of `Masked`."""
        c = self.config
        return load_batches(Batches(self.pairs, c.batch, self.coarse_size, c.seed, start, c.steps), c.workers)

    def backward(self, made: Batch, step: int) -> dict[str, float]:
        """As of `Masked`."""
        images, positive = [image.to(self.device) for image in made.images], made.positive.to(self.device)
        with self.autocast():
            loss = self.model.backward(images, self.states[made.texts], positive, self.config.chunk)
        return {"loss": loss}


def make_task(
    config: PretrainConfig, out: Path, device: torch.device, base: Base | None
) -> tuple[Masked | Contrastive, SegmenterConfig, list[Any]]:
    """The task with its model, the segmenter that the encoder is of, and what made the encoder so far."""
    segmenter = SegmenterConfig.from_dict(config.segmenter)
    s = segmenter
    encoder = make_encoder(s.encoder, s.encoder_settings, s.channels, s.blocks, s.pixel_dim, s.dim)
    history = [] if config.start is None else start_encoder(config.start, encoder)
    if config.task == "masked":
        return Masked(config, encoder, segmenter, device), segmenter, history
    if config.task == "contrastive":
        return Contrastive(config, encoder, segmenter, device, out, base), segmenter, history
    raise run.ConfigError(f"task is {config.task!r}: choose masked or contrastive")


def train(config: PretrainConfig, out: Path, base: Base | None = None) -> Path:
    """Run the task to its end (or its minutes), or go on with it; the file of the encoder. base: the language model in
    place of the config's."""
    torch.set_num_threads(config.threads)
    run.seed_everything(config.seed)
    accelerator = Accelerator(log_with="tensorboard", project_dir=out)
    alone(accelerator, "pretrain")
    task, segmenter, history = make_task(config, out, accelerator.device, base)
    history = [*history, entry("pretrain", config, task.index)]
    parameters = run.trainable(task.model)
    optimizer = MuonWithAdamW(task.model, config.lr, config.matrix_lr, config.weight_decay)
    this = run.Run(out, config, accelerator=accelerator, checkpoint_minutes=config.checkpoint_minutes)
    step = first = this.resume(parameters, optimizer)
    meter = run.Meter()
    for made in task.data(step):
        if this.over(config.minutes):
            break
        optimizer.zero_grad()
        figures = task.backward(made, step)
        norm = run.clip((p for p in parameters.values() if p.grad is not None), config.clip)
        optimizer.step(run.learning_rate(step, config.steps, 1.0, config.warmup))
        meter.add(**figures)
        step += 1
        meter.steps += 1
        this.progress(step, meter, "loss {loss:.4f}".format_map, gradient=norm)
        this.save_when_due(step, parameters, optimizer)
    if step > first:
        this.save(step, parameters, optimizer)
    accelerator.end_training()
    return save_encoder(out / ENCODER, task.model.encoder, segmenter, history, step)


def save_encoder(path: Path, encoder: Any, segmenter: SegmenterConfig, history: list[Any], step: int) -> Path:
    """What `stage.start_encoder` reads, whole or not at all."""
    part = path.with_suffix(".part")
    state = {name: value.cpu() for name, value in encoder.state_dict().items()}
    torch.save({"encoder": state, "config": segmenter.to_dict(), "history": history, "steps_done": step}, part)
    os.replace(part, path)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    return program.main(PretrainConfig, lambda config, given: train(config, given.out), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
