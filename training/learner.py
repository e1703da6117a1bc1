"""A step of Align and Converse, on one process or on those that `accelerate launch` starts: DDP, FSDP2 or DeepSpeed.

A step reads ``accumulate`` batches whatever the number of processes: each takes its share of them, and every token and
`<SEG>` of the step weighs the same wherever it is run. So the loss curve is that of one process, and a run may go on
with another number of them. The files in training/configs/accelerate/ say how each is launched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from training.data import Batch
from training.packed import Counts, Distilled, FrozenCodes, PackedModel, States, distill, token_loss
from training.processes import cut_when_loaded, on_deepspeed
from training.run import ConfigError
from training.trackers import checked

T = TypeVar("T")


def accelerator_for(out: Any, track: str, *, some_unused: bool = False) -> Accelerator:
    """accelerate's view of this process and the others. ``track``: names of trackers, with commas between them.
    some_unused: a step may leave trained parameters without a gradient, which takes DDP a look at each graph."""
    # no buffer changes; of Align and Converse every trained parameter has its gradient (PackedModel.embed)
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=some_unused)
    return Accelerator(log_with=checked(track) or None, project_dir=out, kwargs_handlers=[kwargs])


class Passed(NamedTuple):
    """One batch's part of a step. loss and figures add up over the step's batches to its means."""

    loss: Tensor
    figures: dict[str, float]
    states: States
    held: Distilled | None


class Learner(nn.Module):
    """The losses of a batch, as one module for accelerate to wrap: the language model and the projectors.

    The segmenter stays outside: of it only the fixed map `Segmenter.whiten` is used. Without ``phrases`` the loss is
    that of Align, cross entropy alone.
    """

    def __init__(self, packed: PackedModel, phrases: FrozenCodes | None = None, distill_weight: float = 0.0) -> None:
        super().__init__()
        model = packed.model
        self.language_model: nn.Module = model.language_model
        self.projector, self.region_projector = model.projector, model.region_projector
        self._packed, self._phrases, self._weight = packed, phrases, distill_weight
        # which layers FSDP shards one by one
        self._no_split_modules = list(packed.causal._no_split_modules or ())

    def forward(self, batch: Batch, of: Counts) -> Passed:
        states = self._packed(batch)
        loss = token_loss(states, of.tokens)
        figures = {"ce": float(loss.detach())}
        held = None
        if self._phrases is not None:
            held = distill(states.hidden, batch, self._packed.model.segmenter, self._phrases, of.segs)
            loss = loss + self._weight * held.loss
            share = held.count / max(1, of.segs)
            figures |= {"seg_error": held.error * share, "seg_nearest": held.nearest * share}
        return Passed(loss, {"loss": float(loss.detach()), **figures}, states, held)


def prepared(
    accelerator: Accelerator, learner: Learner, optimizer: torch.optim.Optimizer, clip: float
) -> tuple[nn.Module, Any]:
    """Both as accelerate's strategy needs them. Parameters read before this may be others after it."""
    state = accelerator.state
    if accelerator.distributed_type == DistributedType.FSDP:
        if not accelerator.is_fsdp2:
            raise ConfigError("FSDP version 1 is not supported: set fsdp_version: 2 (training/configs/accelerate)")
        # FSDP2 cannot cut a parameter without axes (`gain`), and these are small: `gradients` averages them
        state.fsdp_plugin.ignored_modules = [learner.projector, learner.region_projector]
    if on_deepspeed(accelerator):
        # it reads both from data loaders and optimizers that accelerate made, of which there are none
        state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
        state.deepspeed_plugin.deepspeed_config["gradient_clipping"] = clip
    module, wrapped = accelerator.prepare(learner, optimizer)
    cut_when_loaded(optimizer)
    return module, wrapped


def share(items: Sequence[T], accelerator: Accelerator) -> list[T]:
    """This process's part of a step: as many for each of them."""
    processes = accelerator.num_processes
    if len(items) % processes:
        raise ConfigError(
            f"a step of {len(items)} batches cannot be shared by {processes} processes: "
            f"set accumulate to a multiple of {processes}"
        )
    return list(items[accelerator.process_index :: processes])


def gradients(
    accelerator: Accelerator,
    module: nn.Module,
    batches: Sequence[Batch],
    autocast: Callable[[], AbstractContextManager[Any]],
    penalty: Callable[[], Tensor | float] = lambda: 0.0,
) -> dict[str, float]:
    """Add the gradients of a step's mean loss to the parameters; this process's part of the step's figures.

    ``batches`` are all of the step's, in the same order in every process. ``penalty``: what the weights add to the
    loss, whatever is read (AdaLoRA).
    """
    of = Counts.of(batches)
    mine = share(batches, accelerator)
    accelerator.gradient_accumulation_steps = len(mine)
    parts = 1 if on_deepspeed(accelerator) else len(mine)  # DeepSpeed adds batches up itself, and does not average
    figures: dict[str, float] = {}
    for batch in mine:
        with accelerator.accumulate(module):
            with autocast():
                passed = module(batch.to(accelerator.device), of)
            # these are parts of one sum, which accelerate averages over batches and processes
            accelerator.backward((passed.loss + penalty() / len(batches)) * (parts * accelerator.num_processes))
        for name, value in passed.figures.items():
            figures[name] = figures.get(name, 0.0) + value
    if accelerator.distributed_type == DistributedType.FSDP:
        for parameter in module.parameters():
            if parameter.grad is not None and not isinstance(parameter.grad, DTensor):
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
    return figures
