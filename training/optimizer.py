"""The optimizer of stage See: Muon for kernels and matrices, AdamW for the rest.

Muon (Jordan et al. 2024; `torch.optim.Muon`) orthogonalises the momentum of a matrix, so that a step moves along all of
its directions alike. A convolution's kernel counts as the matrix (out, in * x * y * z). LOG.md
has how it compared with AdamW alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

#: parts of the names of parameters with several axes that are no matrices, or of a first layer
NO_MATRIX = ("stem", ".up.", ".across.", "patch_embed", "position_embeddings", "position_bias", "cls_token")


def is_matrix(name: str, parameter: Tensor) -> bool:
    """What Muon steps: kernels and linear maps, but not the first layer, transposed convolutions (their first axis is
    the input) and tables of positions."""
    return parameter.ndim >= 2 and not any(part in name for part in NO_MATRIX)


class MuonWithAdamW:
    """Both optimizers as one. lr: of AdamW; matrix_lr: of Muon. Parameters must already be on their device."""

    def __init__(self, module: nn.Module, lr: float, matrix_lr: float, weight_decay: float) -> None:
        named = list(module.named_parameters())
        self._kernels = [p for n, p in named if is_matrix(n, p)]
        # torch's Muon takes 2-D parameters alone: these share the kernels' memory
        self._views = [nn.Parameter(p.detach().view(len(p), -1)) for p in self._kernels]
        self.rates = (matrix_lr, lr)
        self.parts: tuple[torch.optim.Optimizer, torch.optim.Optimizer] = (
            torch.optim.Muon(self._views, lr=matrix_lr, weight_decay=weight_decay, adjust_lr_fn="original"),
            torch.optim.AdamW([p for n, p in named if not is_matrix(n, p)], lr, (0.9, 0.99), weight_decay=weight_decay),
        )
        self._parameters = [p for _, p in named]

    def zero_grad(self) -> None:
        for p in self._parameters:
            p.grad = None

    def step(self, factor: float) -> None:
        """One step at `factor` times the rates."""
        for view, kernel in zip(self._views, self._kernels, strict=True):
            view.grad = None if kernel.grad is None else kernel.grad.view_as(view)
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.parts[0].state_dict(), "adamw": self.parts[1].state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.parts[0].load_state_dict(state["muon"])
        self.parts[1].load_state_dict(state["adamw"])
