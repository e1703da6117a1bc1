"""A language model's weights laid out once as the CPU reads them.

oneDNN multiplies by bfloat16 weights in a layout of its own, and torch brings them into it anew in every call. Of a few
tokens that takes as long as the product. Laid out beforehand, the products are the same to the bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: rows of the products that the layout is made for: a pass of `TokenCache.advance` has nine at most
ROWS = 8


class PrepackedLinear(nn.Module):
    """`nn.Linear` in bfloat16 on a CPU, for answering alone: its weight can be neither trained nor saved."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        # no buffer: its layout is opaque, and a copy or a cast would fail
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, "none", [], "")
        return out


def can_prepack() -> bool:
    """Whether this build of torch lays out weights for this CPU."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def prepack(module: nn.Module) -> None:
    """Put a `PrepackedLinear` in the place of every bfloat16 `nn.Linear` below a module."""
    for name, child in module.named_children():
        if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16 and child.weight.device.type == "cpu":
            setattr(module, name, PrepackedLinear(child))
        else:
            prepack(child)
