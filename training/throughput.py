"""How fast Converse trains, and what packs bring: the same conversations through the stage and through a plain loop.

    python -m training.throughput training/configs/converse.yaml --out runs/throughput steps=8

The plain loop is Hugging Face's `Trainer` as most would write it: one conversation a row, a batch padded to its longest
row, the language model's own forward with its loss, Trainer's defaults. Same language model, same adapter, same
arithmetic, same conversations with the same scans; the `<SEG>` states are held to nothing there, which costs little.
Each loop runs in a process of its own, so that the peak of memory is its own. Written to ``throughput.json``.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from assistant.conversation import IGNORED
from assistant.model import Base
from training import program, run
from training.converse import ConverseConfig, conversations_of, freeze
from training.data import Example, FeatureBank, Pack, collate, pack
from training.learner import Learner, accelerator_for, gradients
from training.packed import PackedModel
from training.stage import Start, compute_type, load_start

WARMUP = 2  # steps before the clock starts


@dataclass(frozen=True)
class Speed:
    """samples: conversations; tokens: without padding; rows x columns: what the language model was given with it."""

    samples_per_second: float
    tokens_per_second: float
    given_per_second: float
    peak_memory_gb: float
    steps: int
    seconds: float


def begun(
    config: ConverseConfig, base: Base | None, device: torch.device
) -> tuple[Start, FeatureBank, list[list[Pack]]]:
    """The model, and the packs of warm-up and ``config.steps`` steps."""
    bank = FeatureBank.load(config.features)
    start = load_start(config.start, base, bank, bf16=config.bf16, device=device)
    freeze(start.model)
    stream = conversations_of(config, start.model, bank, start.phrases).batches(config.seed)
    return start, bank, [next(stream) for _ in range(WARMUP + config.steps)]


def ours(config: ConverseConfig, out: Path, base: Base | None = None) -> Speed:
    """The stage's own step."""
    accelerator = accelerator_for(out, "")
    start, bank, batches = begun(config, base, accelerator.device)
    learner = Learner(PackedModel(start.model, compiled=config.compiled), start.phrases, config.distill_weight)
    parameters = run.trainable(learner)
    optimizer = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=0.0)
    autocast = compute_type(config.bf16, accelerator.device)
    samples = tokens = given = 0
    clock = Clock(accelerator.device)
    for step, packs in enumerate(batches):
        if step == WARMUP:
            clock.start()
        batch = collate(packs, bank, np.random.default_rng([config.seed, step]))
        gradients(accelerator, learner, [batch], autocast)
        run.clip(parameters.values(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        if step >= WARMUP:
            samples, tokens, given = samples + batch.talks, tokens + batch.tokens, given + batch.ids.numel()
    return clock.speed(samples, tokens, given, config.steps)


class Rows(torch.utils.data.Dataset):
    """Conversations one by one, each with its scan's features."""

    def __init__(self, examples: Sequence[Example], bank: FeatureBank, seed: int) -> None:
        self.examples, self.bank, self.seed = examples, bank, seed

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.examples[index]
        one = collate([pack([example], len(example), 0)], self.bank, np.random.default_rng([self.seed, index]))
        return {
            "ids": one.ids[0],
            "labels": one.labels[0],
            "visual": one.visual[0] if len(one.visual) else None,
            "region": one.regions[0] if len(one.regions) else None,
        }


def padded(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Rows of a batch padded on the right to the longest of them."""
    pad = nn.utils.rnn.pad_sequence
    visual = [row["visual"] for row in rows if row["visual"] is not None]
    regions = [row["region"] for row in rows if row["region"] is not None]
    found = {
        "ids": pad([row["ids"] for row in rows], batch_first=True),
        "labels": pad([row["labels"] for row in rows], batch_first=True, padding_value=IGNORED),
        "attention_mask": pad([torch.ones_like(row["ids"]) for row in rows], batch_first=True),
    }
    found |= {"visual": torch.stack(visual)} if visual else {}
    return found | ({"regions": torch.stack(regions)} if regions else {})


class Plain(nn.Module):
    """What a Trainer is given: a module whose forward returns the loss."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.model = start.model
        self.restart()

    def restart(self) -> None:
        self.samples = self.tokens = self.given = 0

    def forward(self, ids: Tensor, labels: Tensor, attention_mask: Tensor, **features: Tensor) -> dict[str, Tensor]:
        self.samples, self.tokens = self.samples + len(ids), self.tokens + int(attention_mask.sum())
        self.given += ids.numel()
        model = self.model
        words = model.embed(ids, features.get("visual"), features.get("regions"))
        out = model.language_model(inputs_embeds=words, attention_mask=attention_mask, labels=labels, use_cache=False)
        return {"loss": out.loss}


def theirs(config: ConverseConfig, out: Path, base: Base | None = None) -> Speed:
    """A Trainer on the conversations of the same packs, in batches of as many as a step of ours has on average."""
    device = accelerator_for(out, "").device
    start, bank, batches = begun(config, base, device)
    examples = [e for packs in batches for one in packs for e in one.examples]
    rows = max(1, round(len(examples) / len(batches)))
    model, clock = Plain(start), Clock(device)

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARMUP:
                model.restart()
                clock.start()

    arguments = TrainingArguments(
        output_dir=str(out / "trainer"), per_device_train_batch_size=rows, max_steps=len(batches), report_to=[],
        save_strategy="no", learning_rate=config.learning_rate, bf16=config.bf16, remove_unused_columns=False,
        use_cpu=device.type == "cpu", disable_tqdm=True,
    )  # fmt: skip
    data = Rows(examples, bank, config.seed)
    Trainer(model=model, args=arguments, train_dataset=data, data_collator=padded, callbacks=[Watch()]).train()
    return clock.speed(model.samples, model.tokens, model.given, config.steps)


class Clock:
    """Seconds since it was started, and the peak of memory since then (CUDA) or since the process began (CPU)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def start(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._began = time.perf_counter()

    def speed(self, samples: int, tokens: int, given: int, steps: int) -> Speed:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() / 1e9
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        s = time.perf_counter() - self._began
        return Speed(samples / s, tokens / s, given / s, peak, steps, s)


LOOPS = {"packs (ours)": ours, "Trainer, padded": theirs}


def measure(name: str, config: ConverseConfig, out: Path) -> Speed:
    """One loop in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(LOOPS[name], (config, out))


def table(speeds: dict[str, Speed]) -> str:
    """Markdown."""
    lines = [
        "| loop | conversations/s | tokens/s | with padding | peak memory |",
        "|---|---|---|---|---|",
    ]
    for name, s in speeds.items():
        lines.append(
            f"| {name} | {s.samples_per_second:.2f} | {s.tokens_per_second:.0f} | {s.given_per_second:.0f} | "
            f"{s.peak_memory_gb:.1f} GB |"
        )
    return "\n".join(lines)


def written(config: ConverseConfig, out: Path) -> Path:
    """Measure both loops, and print and write their figures."""
    out.mkdir(parents=True, exist_ok=True)
    speeds = {name: measure(name, config, out) for name in LOOPS}
    file = out / "throughput.json"
    file.write_text(json.dumps({name: asdict(speed) for name, speed in speeds.items()}, indent=2) + "\n")
    print(table(speeds))
    return file


def main(argv: Sequence[str] | None = None) -> int:
    return program.main(ConverseConfig, lambda config, given: written(config, given.out), __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
