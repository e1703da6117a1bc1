"""What a stage trains, and what that costs: parameters, memory beside the model's own, bytes in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from peft import PeftModel
from torch import nn

from assistant.model import DeixisModel


@dataclass(frozen=True)
class Part:
    """parameters: how many are trained; memory: bytes of their gradients and of AdamW's two averages; file: bytes in
    the checkpoint, where they are stored as they are."""

    name: str
    parameters: int
    memory: int
    file: int

    @staticmethod
    def of(name: str, trained: list[nn.Parameter]) -> Part:
        size = sum(p.numel() * p.element_size() for p in trained)
        return Part(name, sum(p.numel() for p in trained), 3 * size, size)


def parts(model: DeixisModel) -> list[Part]:
    """The trained parts of a model. "adapter" and "rows of added tokens" together are the adapter's file."""
    groups: dict[str, list[nn.Parameter]] = {"adapter": [], "rows of added tokens": [], "projectors": [], "masks": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_words = "rows of added tokens" if "trainable_tokens" in name else "adapter"
            part = "projectors" if "projector" in name else "masks" if name.startswith("segmenter.") else in_words
            groups[part].append(parameter)
    return [Part.of(name, trained) for name, trained in groups.items() if trained]


def table(model: DeixisModel) -> str:
    """The parts as lines of text, with their sum and its share of the whole model."""
    rows = parts(model)
    total = Part("all", sum(r.parameters for r in rows), sum(r.memory for r in rows), sum(r.file for r in rows))
    # PEFT counts what is behind a quantised weight, of which torch sees packed bytes
    whole = cast(PeftModel, model.language_model).get_nb_trainable_parameters()[1]
    whole += sum(p.numel() for name, p in model.named_parameters() if not name.startswith("language_model."))
    lines = [f"{'trained':24}{'parameters':>14}{'gradients + AdamW':>20}{'in the file':>14}"]
    for row in [*rows, total]:
        lines.append(f"{row.name:24}{row.parameters:>14,}{_size(row.memory):>20}{_size(row.file):>14}")
    lines.append(f"{model.config.adapter.kind}: {total.parameters / whole:.2%} of {whole / 1e6:.1f} M parameters")
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
