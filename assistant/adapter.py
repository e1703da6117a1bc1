"""LoRA on the language model, and the trained rows of Deixis's own tokens.

PEFT does it where there is training. For answering, :func:`fold` puts a stored adapter straight into the LM's weights:
the same numbers as PEFT's merge, without importing PEFT, which takes longer than loading the LM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from assistant import conversation
from assistant.checkpoint import check_keys

if TYPE_CHECKING:
    from peft import PeftModel

_PREFIX = "base_model.model."  # of PEFT's names for the LM's modules
_ROWS = ".token_adapter.trainable_tokens_delta"


@dataclass(frozen=True)
class LoraSettings:
    """targets: ends of module names, or "all-linear" for every linear layer but the head."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: str | tuple[str, ...] = "all-linear"

    @property
    def scale(self) -> float:
        return self.alpha / self.r


def own_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids whose embeddings are trained: all that Deixis added."""
    return [conversation.token_id(tokenizer, token) for token in conversation.extend_tokenizer(tokenizer)]


def wrap(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: LoraSettings) -> PeftModel:
    """The LM with LoRA, and with the rows of Deixis's own tokens trainable, in embedding and head alike."""
    from peft import LoraConfig, get_peft_model

    ids = own_token_ids(tokenizer)
    tables = _word_tables(lm)
    return get_peft_model(
        lm,
        LoraConfig(
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=settings.targets if isinstance(settings.targets, str) else list(settings.targets),
            # a list: PEFT finds the embedding, and the head with it where the two are tied
            trainable_token_indices=ids if len(tables) == 1 else {name.split(".")[-1]: ids for name in tables},
            task_type="CAUSAL_LM",
        ),
    )


def state(lm: PeftModel) -> dict[str, Tensor]:
    """What was trained."""
    from peft import get_peft_model_state_dict

    # save_embedding_layers=False: by default PEFT sees the longer vocabulary and stores the whole embedding
    return get_peft_model_state_dict(lm, save_embedding_layers=False)


def load(lm: PeftModel, stored: Mapping[str, Tensor], what: str) -> None:
    """Put a stored adapter into a wrapped LM, strictly."""
    from peft import set_peft_model_state_dict

    check_keys(state(lm), stored, what)
    set_peft_model_state_dict(lm, dict(stored))


@torch.no_grad()
def fold(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: LoraSettings,
    stored: Mapping[str, Tensor],
    what: str,
) -> None:
    """Add a stored adapter to the weights of a plain LM, strictly and in place."""
    ids = own_token_ids(tokenizer)
    linears = _linears(lm, settings.targets)
    tables = _word_tables(lm)
    expected: dict[str, Tensor] = {}
    for name, linear in linears.items():
        expected[f"{_PREFIX}{name}.lora_A.weight"] = torch.empty(settings.r, linear.in_features, device="meta")
        expected[f"{_PREFIX}{name}.lora_B.weight"] = torch.empty(linear.out_features, settings.r, device="meta")
    for name, table in tables.items():
        expected[_PREFIX + name + _ROWS] = torch.empty(len(ids), table.shape[1], device="meta")
    check_keys(expected, stored, what)
    for name, linear in linears.items():
        weight = linear.weight
        down = stored[f"{_PREFIX}{name}.lora_A.weight"].to(weight.device, torch.float32)
        up = stored[f"{_PREFIX}{name}.lora_B.weight"].to(weight.device, torch.float32)
        weight.copy_(weight.float().add_(up @ down, alpha=settings.scale))
    for name, table in tables.items():
        table[ids] = stored[_PREFIX + name + _ROWS].to(table)


def _linears(lm: PreTrainedModel, targets: str | Sequence[str]) -> dict[str, nn.Linear]:
    head = lm.get_output_embeddings()
    found = {
        name: module for name, module in lm.named_modules() if isinstance(module, nn.Linear) and module is not head
    }
    if targets == "all-linear":
        return found
    ends = (targets,) if isinstance(targets, str) else tuple(targets)
    return {name: module for name, module in found.items() if any(f".{name}".endswith(f".{end}") for end in ends)}


def _word_tables(lm: PreTrainedModel) -> dict[str, Tensor]:
    """Name of the embedding, and of the head where it is not the same tensor, with their weights."""
    embedding, head = lm.get_input_embeddings(), lm.get_output_embeddings()
    tables: dict[str, Tensor] = {}
    for name, module in lm.named_modules():
        if module is embedding or (module is head and head.weight is not embedding.weight):
            tables[name] = cast(Tensor, module.weight)
    return tables
