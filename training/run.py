"""What every stage's script shares: its YAML file, its folder, its clock, and being killed at any moment.

A run is a folder: ``config.yaml`` (what was asked), ``log.jsonl`` and TensorBoard events (what happened), and
``state.pt`` (where it stands). A step's data and learning rate depend on the seed and the step's number alone, so
a run that was killed and started again walks the same loss curve as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor

from assistant.errors import DeixisError
from training.processes import agreed, cut_like, gathered, on_deepspeed, summed, whole, whole_parameters
from training.trackers import plain

C = TypeVar("C")


class ConfigError(DeixisError):
    """A stage's YAML file or ``key=value`` names something that is not there, or of another kind."""


def read_config(kind: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """A config dataclass from the section of YAML named by its ``SECTION``, then ``key=value`` overrides (YAML values).
    A file of one stage alone may leave the section's name out.

    Each value must be of its field's type: an int where a float is due is taken, anything else is an error by name.
    """
    section = vars(kind)["SECTION"]
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    if path is not None:
        loaded = yaml.safe_load(path.read_text())
        if not isinstance(loaded, dict) or not {section, *names} & set(loaded):
            raise ConfigError(f"{path} has no section {section!r}: start from one of training/configs/")
        values = dict(loaded[section] or {}) if section in loaded else dict(loaded)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is no key=value")
        values[key] = yaml.safe_load(value)
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"{section} has no setting {key!r}: it has {', '.join(names)}")
        values[key] = _typed(section, key, value, hints[key])
    try:
        return kind(**values)
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.name not in values]  # type: ignore[arg-type]
        raise ConfigError(f"{section} lacks one of the settings {', '.join(missing)} ({error})") from error


def _typed(section: str, key: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) not in (tuple, dict) else ()
    kinds = options or (hint,)
    for kind in kinds:
        if kind is type(None) and value is None:
            return None
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            return tuple(value)
        if typing.get_origin(kind) is dict and isinstance(value, dict):
            inner = typing.get_args(kind)[1]
            return {name: _typed(section, f"{key}.{name}", one, inner) for name, one in value.items()}
        if kind is Path and isinstance(value, str):
            return Path(value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    raise ConfigError(f"{section}.{key} is {value!r}, which is not of type {hint}")


def seed_everything(seed: int) -> None:
    """Python, NumPy and torch. What a stage draws for its data comes from its own generators, not from these."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries draw from the global generator
    torch.manual_seed(seed)


class Stateful(Protocol):
    """What of an optimizer a run keeps."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float = 0.0) -> float:
    """Linear warm-up over ``warmup`` steps, then a cosine down to ``floor * peak`` at ``steps``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def trainable(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters that get a gradient, by name, in a fixed order."""
    return {name: p for name, p in sorted(module.named_parameters()) if p.requires_grad}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON and YAML keep it."""
    return dict(json.loads(json.dumps(values, default=str)))


def check_settings(out: Path, before: Mapping[str, Any], config: Any) -> None:
    """ConfigError where the run in ``out``, of the settings ``before``, would go on with others that bend its loss
    curve. It may be made longer or saved more often: each config's ``MAY_CHANGE``."""
    # a setting that a run's file does not know yet was what it is by default
    usual = {f.name: f.default for f in fields(type(config)) if f.default is not MISSING}
    usual |= {f.name: f.default_factory() for f in fields(type(config)) if f.default_factory is not MISSING}
    known, now = {**_plain(usual), **before}, _plain(asdict(config))
    differing = [k for k in now if known.get(k) != now[k] and k not in vars(type(config))["MAY_CHANGE"]]
    if differing:
        told = "; ".join(f"{k} {known.get(k)!r}, now {now[k]!r}" for k in differing)
        raise ConfigError(
            f"{out} holds a run with other settings ({told}): set them back, or give another --out, or remove it"
        )


class Run:
    """A run's folder: logs, the state it can go on from, and the clock. All processes of a run call it alike; the main
    one writes."""

    def __init__(
        self,
        out: Path,
        config: Any,
        *,
        accelerator: Accelerator,
        checkpoint_minutes: float = 0.0,
        state: str = "state.pt",
    ) -> None:
        """state: the file that the stage goes on from, where it writes one of its own."""
        self.out, self.accelerator, self.config = out, accelerator, config
        self.kept: Stateful | None = None  # what else a stage wants back when it goes on
        self.checkpoint_seconds = 60 * checkpoint_minutes
        self.started = self.saved = time.monotonic()
        self.earlier_seconds = 0.0
        out.mkdir(parents=True, exist_ok=True)
        described = _plain(asdict(config))
        kept = out / "config.yaml"
        if (out / state).is_file() and kept.is_file():
            check_settings(out, yaml.safe_load(kept.read_text()), config)
        accelerator.wait_for_everyone()  # who comes late must not read what the first has written
        if accelerator.is_main_process:
            kept.write_text(yaml.safe_dump(described, sort_keys=False))
        accelerator.init_trackers("deixis", config=plain(described))

    def seconds(self) -> float:
        """Time spent in this run, over all its starts."""
        return self.earlier_seconds + time.monotonic() - self.started

    def over(self, minutes: float | None) -> bool:
        """Whether this start has used up its minutes."""
        return minutes is not None and agreed(self.accelerator, time.monotonic() - self.started >= 60 * minutes)

    def resume(self, parameters: Mapping[str, torch.nn.Parameter], optimizer: Stateful) -> int:
        """Take up ``state.pt``; the number of steps already done (0 when there is none)."""
        path = self.out / "state.pt"
        if not path.is_file():
            return 0
        if on_deepspeed(self.accelerator):
            self.accelerator.load_state(str(self.out / "deepspeed"))
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = load_weights(path, parameters)
            optimizer.load_state_dict(state["optimizer"])
        if self.kept is not None and "kept" in state:
            self.kept.load_state_dict(state["kept"])
        torch.set_rng_state(state["torch_rng"])
        self.earlier_seconds = state["seconds"]
        self.accelerator.wait_for_everyone()
        self.forget(int(state["step"]))
        return int(state["step"])

    def forget(self, step: int) -> None:
        """What was logged after the state was saved will be logged again: keep one line a step."""
        log = self.out / "log.jsonl"
        if self.accelerator.is_main_process and log.is_file():
            lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] < step]
            log.write_text("".join(line + "\n" for line in lines))

    def save(self, step: int, parameters: Mapping[str, torch.nn.Parameter], optimizer: Stateful) -> None:
        """Write ``state.pt`` in whole: after ``step`` steps are done."""
        deep = on_deepspeed(self.accelerator)
        if deep:  # its optimizer's state is cut in a way of its own, and kept in files of its own
            self.accelerator.save_state(str(self.out / "deepspeed"))
        state = {
            "step": step,
            "parameters": self.weights(parameters),
            "optimizer": None if deep else whole(optimizer.state_dict()),
            "kept": None if self.kept is None else whole(self.kept.state_dict()),
            "torch_rng": torch.get_rng_state(),
            "seconds": self.seconds(),
        }
        if self.accelerator.is_main_process:
            part = self.out / "state.pt.part"
            torch.save(state, part)
            os.replace(part, self.out / "state.pt")
        self.saved = time.monotonic()

    def save_when_due(
        self, step: int, parameters: Mapping[str, torch.nn.Parameter], optimizer: Stateful
    ) -> bool:
        """Save if the last save is longer ago than the config's minutes."""
        due = agreed(self.accelerator, time.monotonic() - self.saved >= self.checkpoint_seconds)
        if due:
            self.save(step, parameters, optimizer)
        return due

    def weights(self, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
        """Copies on the CPU, each in one piece."""
        return whole_parameters(self.accelerator, parameters)

    def clip(self, parameters: Mapping[str, torch.nn.Parameter], limit: float) -> float:
        """`clip`; DeepSpeed has done it already, and says what the norm was."""
        if on_deepspeed(self.accelerator):
            return float(self.accelerator.clip_grad_norm_(parameters.values(), limit) or 0.0)
        return clip(parameters.values(), limit)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One line in ``log.jsonl`` and the same figures in the trackers."""
        if not self.accelerator.is_main_process:
            return
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        self.accelerator.log(dict(figures), step=step)

    def progress(self, step: int, meter: Meter, words: Callable[[dict[str, float]], str], **more: float) -> None:
        """Every ``log_every`` steps of the config and after the last: log what a meter has counted in all processes,
        with ``more``, and say it. words: what to say of the figures, such as ``"loss {loss:.3f}".format_map``."""
        if step % self.config.log_every and step != self.config.steps:
            return
        figures = {**meter.read_together(self.accelerator), **more}
        self.log(step - 1, figures)
        rate = figures["steps_per_second"]
        left = (self.config.steps - step) / rate / 60
        self.say(f"step {step}/{self.config.steps} {words(figures)} {rate:.2f} steps/s, {left:.0f} min left")

    def say(self, text: str) -> None:
        """Print, once for all processes."""
        if self.accelerator.is_main_process:
            print(text, flush=True)


def load_weights(path: Path, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Any]:
    """Copy the weights of a ``state.pt`` into parameters of the same names; the whole state."""
    if not path.is_file():
        raise ConfigError(f"there is no {path}: train the stage first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if set(state["parameters"]) != set(parameters):
        raise ConfigError(f"{path} holds the weights of another model: give another --out or remove it")
    with torch.no_grad():
        for name, value in state["parameters"].items():
            parameters[name].copy_(cut_like(value, parameters[name]))
    return state


class Meter:
    """Means of figures and rates since they were last read."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start over: what lay between (a probe, a save) is no part of the rates."""
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.batches = self.steps = 0
        self.began = time.monotonic()

    def add(self, **figures: float) -> None:
        self.batches += 1
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def count(self, **numbers: int) -> None:
        for name, value in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + value

    def read(self) -> dict[str, float]:
        """Means of what was added, seconds a step, and each count a second; starts over."""
        seconds = max(1e-9, time.monotonic() - self.began)
        figures = {name: total / self.batches for name, total in self.sums.items()}
        figures |= {f"{name}_per_second": total / seconds for name, total in self.counts.items()}
        figures["steps_per_second"] = self.steps / seconds
        self.restart()
        return figures

    def read_together(self, accelerator: Accelerator) -> dict[str, float]:
        """`read`, of all processes: what each has added is its part of a sum."""
        local = self.read()
        return summed(accelerator, local) | {"steps_per_second": local["steps_per_second"]}


class Means(Meter):
    """Means of figures that are given with each of a step's samples, of which not every one has each."""

    def restart(self) -> None:
        super().restart()
        self.given: dict[str, int] = {}

    def add(self, **figures: float) -> None:
        super().add(**figures)
        for name in figures:
            self.given[name] = self.given.get(name, 0) + 1

    def read_together(self, accelerator: Accelerator) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        given: dict[str, int] = defaultdict(int)
        for its_sums, its_given in gathered(accelerator, (self.sums, self.given)):
            for name, count in its_given.items():
                sums[name] += its_sums[name]
                given[name] += count
        rate = self.read()["steps_per_second"]
        return {name: sums[name] / given[name] for name in sorted(sums)} | {"steps_per_second": rate}


def every_figure(figures: Mapping[str, float]) -> str:
    """What `Run.progress` says of a stage whose figures have names of their own: all but those of a part ("a/b")."""
    return " ".join(f"{k} {v:.3f}" for k, v in figures.items() if "/" not in k and not k.endswith("_per_second"))


def read_log(out: Path) -> list[dict[str, float]]:
    """The lines of a run's ``log.jsonl``."""
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def clip(parameters: Iterable[Tensor], limit: float) -> float:
    """Clip the joint gradient norm; the norm before. A non-finite norm is an error: a run must not go on from it."""
    given = list(parameters)
    # torch takes the norm of tensors that are cut over processes, or of others, not of both at once
    kinds = [[p for p in given if isinstance(p, DTensor) is cut and p.grad is not None] for cut in (False, True)]
    grads = [[p.grad for p in kind if p.grad is not None] for kind in kinds]
    norms = [whole(torch.nn.utils.get_total_norm(kind)) for kind in grads if kind]
    norm = math.hypot(*map(float, norms))
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient norm is {norm}: lower the learning rate and start again")
    for kind in filter(None, kinds):
        torch.nn.utils.clip_grads_with_norm_(kind, limit, torch.tensor(norm, device=kind[0].device))
    return norm
