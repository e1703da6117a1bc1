"""Which weights a run ends with: averaged ones, those of its best probe; and when it has stopped getting better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from training.processes import cut_like, whole


class Keeper:
    """Beside the trained parameters (by name): their exponential moving average, and the best by a probe.

    ema: decay of the average, which follows faster in the first steps ((1 + n) / (10 + n) after n, as in See); 0: none.
    patience: probes without a better figure after which the run is ``done``; 0: never.
    """

    def __init__(
        self, parameters: Mapping[str, torch.nn.Parameter], ema: float = 0.0, keep_best: bool = False, patience: int = 0
    ) -> None:
        self._parameters, self._ema, self._keep_best, self._patience = parameters, ema, keep_best, patience
        self._average = {n: p.detach().clone() for n, p in parameters.items()} if ema else None
        self._best: dict[str, Tensor] = {}
        self._steps = 0
        self.best_figure, self.best_step, self.worse = -float("inf"), 0, 0

    @property
    def done(self) -> bool:
        return 0 < self._patience <= self.worse

    @torch.no_grad()
    def step(self) -> None:
        """Call after each step of the optimizer."""
        self._steps += 1
        if self._average is None:
            return
        keep = min(self._ema, (1 + self._steps) / (10 + self._steps))
        for name, value in self._average.items():
            value.lerp_(self._parameters[name].detach(), 1 - keep)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The averaged weights in the model's place, for as long as they are looked at."""
        if self._average is None:
            yield
            return
        trained = {n: p.detach().clone() for n, p in self._parameters.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(trained)

    def judge(self, step: int, figure: float) -> None:
        """A probe's figure after ``step`` steps, of what `shown` shows; higher is better."""
        if figure > self.best_figure:
            self.best_figure, self.best_step, self.worse = figure, step, 0
            if self._keep_best:
                self._best = whole(self._now())
        else:
            self.worse += 1

    def weights(self) -> dict[str, Tensor]:
        """What the run ends with in place of the trained weights, whole and on the CPU: the best probed ones if those
        are kept, else the averaged; nothing where there are neither."""
        return self._best or whole(self._average or {})

    def state_dict(self) -> dict[str, Any]:
        return {
            "average": self._average,
            "best": self._best,
            "steps": self._steps,
            "judged": [self.best_figure, self.best_step, self.worse],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """``state``: with whole tensors."""
        if self._average is not None:
            self._average = {n: cut_like(v, self._parameters[n].detach()) for n, v in state["average"].items()}
        self._best, self._steps = state["best"], state["steps"]
        self.best_figure, self.best_step, self.worse = state["judged"]

    def _now(self) -> dict[str, Tensor]:
        return self._average or {n: p.detach() for n, p in self._parameters.items()}

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
