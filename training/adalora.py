"""AdaLoRA's part of a training step: its penalty on the loss, and which ranks it keeps (Zhang et al. 2023).

PEFT adds the penalty in its own forward, which `training.packed` goes around, and leaves the rest to the loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from assistant.model import DeixisModel
from training.run import ConfigError


class RankBudget:
    """Nothing for other kinds of adapter. From a tenth of the steps on the ranks are cut to what is kept; over the last
    third that choice stands."""

    def __init__(self, model: DeixisModel, steps: int, done: int = 0) -> None:
        self.tuner: Any = None
        if model.config.adapter.kind != "adalora":
            return
        if done:
            raise ConfigError("AdaLoRA's choice of ranks is not kept in state.pt: begin the run anew in another --out")
        lm: Any = model.language_model
        self.tuner = lm.base_model
        schedule = self.tuner.peft_config["default"]
        schedule.total_step, schedule.tinit, schedule.tfinal = steps, steps // 10, steps // 3
        schedule.deltaT = max(1, steps // 100)
        self.weight: float = schedule.orth_reg_weight
        self.factors = [
            p if "lora_A" in name else p.T for name, p in lm.named_parameters() if "lora_A" in name or "lora_B" in name
        ]

    def penalty(self) -> Tensor | float:
        """How far each layer's singular vectors are from being orthogonal, weighted."""
        if self.tuner is None:
            return 0.0
        far = [torch.linalg.matrix_norm(f @ f.T - torch.eye(len(f), device=f.device)) for f in self.factors]
        return self.weight * torch.stack(far).mean()

    def after_step(self, step: int) -> None:
        """Between the optimizer's step number ``step`` and the gradients' being cleared."""
        if self.tuner is not None:
            self.tuner.update_and_allocate(step)
