"""What the processes of one run do together: decide, add up figures, put tensors that are cut over them in one piece.

All of these must be called by all processes alike. With one process they change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from assistant.errors import DeixisError

T = TypeVar("T")


def alone(accelerator: Accelerator, stage: str) -> None:
    """DeixisError for a stage that runs on one process and was launched on several, which would write over another."""
    if accelerator.num_processes > 1:
        raise DeixisError(
            f"{stage} runs on one process, and this is one of {accelerator.num_processes}: start it without "
            "accelerate launch"
        )


def summed(accelerator: Accelerator, figures: Mapping[str, float]) -> dict[str, float]:
    """Figures added up over the processes; all of them must have the same names."""
    if accelerator.num_processes == 1:
        return dict(figures)
    values = torch.tensor(list(figures.values()), dtype=torch.float64, device=accelerator.device)
    return dict(zip(figures, accelerator.reduce(values, "sum").tolist(), strict=True))


def gathered(accelerator: Accelerator, value: T) -> list[T]:
    """The values of all processes, in their order."""
    return [value] if accelerator.num_processes == 1 else list(gather_object([value]))


def agreed(accelerator: Accelerator, value: T) -> T:
    """The main process's value, in all of them: clocks differ, and what is done together must be decided together."""
    return value if accelerator.num_processes == 1 else broadcast_object_list([value])[0]


def whole(values: Any) -> Any:
    """A copy of nested tensors in which those that are cut over processes are in one piece, on the CPU."""
    return tree_map(lambda v: _full(v).detach().cpu().clone() if isinstance(v, Tensor) else v, values)


def _full(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_parameters(accelerator: Accelerator, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`whole` of parameters by name, under DeepSpeed too, whose parameters are empty while nothing is computed."""
    if not on_deepspeed(accelerator):
        return whole(dict(parameters))
    from deepspeed.zero import GatheredParameters

    with GatheredParameters(list(parameters.values())):
        return whole(dict(parameters))


def on_deepspeed(accelerator: Accelerator) -> bool:
    return bool(accelerator.distributed_type == DistributedType.DEEPSPEED)


def cut_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor as `parameter` is kept: cut over processes or not, on its device."""
    value = value.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


def cut_when_loaded(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer over cut parameters take a state dict that is `whole`."""

    def cut(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        entries = {
            row: {
                name: cut_like(v, parameters[row]) if isinstance(v, Tensor) and v.shape == parameters[row].shape else v
                for name, v in entry.items()
            }
            for row, entry in state["state"].items()
        }
        return state | {"state": entries}

    optimizer.register_load_state_dict_pre_hook(cut)
