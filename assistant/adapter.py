"""What of a language model is trained: LoRA and its kin, and the rows of Deixis's own tokens.

PEFT does it where there is training. For answering, :func:`fold` puts a stored adapter straight into the LM's weights:
the same numbers as PEFT's merge, without importing PEFT, which takes longer than loading the LM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from assistant import conversation
from assistant.checkpoint import check_keys
from assistant.errors import ModelError
from assistant.language import add_rows

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

KINDS = ("lora", "rslora", "dora", "adalora", "ia3", "prompt", "bias", "full")
_PREFIX = "base_model.model."  # of PEFT's names for the LM's modules
_ROWS = ".token_adapter.trainable_tokens_delta"
# what PEFT puts into a name beside the module's own: the adapter's name, and layers around a module
_PEFTS_OWN = re.compile(r"\.default(?=\.|$)|\.token_adapter\.base_layer|\.original_module")


@dataclass(frozen=True)
class AdapterSettings:
    """kind, one of KINDS, beside which the rows of Deixis's own tokens are always trained:

    - lora: W + (alpha / r) B A (Hu et al. 2021)
    - rslora: W + (alpha / sqrt(r)) B A (Kalajdzievski 2023)
    - dora: m (W + (alpha / r) B A), each row first brought to unit length (Liu et al. 2024)
    - adalora: W + (alpha / R) P diag(e) Q of rank R = 1.5 r, cut to r on average in training (Zhang et al. 2023)
    - ia3: what a linear layer gives, times a vector (Liu et al. 2022; scaling what the MLP's last layer takes, as they
      do, is scaling what the layer before it gives)
    - prompt: ``soft_tokens`` learned tokens before every conversation (Lester et al. 2021)
    - bias: every bias; linear layers without one get one of zeros (BitFit, Ben Zaken et al. 2022)
    - full: every weight

    targets: ends of module names, or "all-linear" for every linear layer but the head. r, alpha, dropout: of the kinds
    that have them.
    """

    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: str | tuple[str, ...] = "all-linear"
    kind: str = "lora"
    soft_tokens: int = 16

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"the adapter {self.kind!r} is not known: use one of {', '.join(KINDS)}")

    @property
    def rank(self) -> int:
        """Rows of each A: AdaLoRA starts with half as many again as it keeps."""
        return self.r + self.r // 2 if self.kind == "adalora" else self.r

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        if self.kind == "adalora":
            return self.alpha / (self.rank + 1e-5)  # as PEFT has it
        return self.alpha / (self.r**0.5 if self.kind == "rslora" else self.r)


LoraSettings = AdapterSettings  # its name while LoRA was the only kind


def wrap(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: AdapterSettings) -> PeftModel:
    """The LM with an adapter, and with the rows of Deixis's own tokens trainable, in embedding and head alike."""
    from peft import get_peft_model

    ids = _prepared(lm, tokenizer, settings)
    tables = _word_tables(lm)
    # a list: PEFT finds the embedding, and the head with it where the two are tied
    rows = ids if len(tables) == 1 else {name.split(".")[-1]: ids for name in tables}
    wrapped = get_peft_model(lm, _peft_config(settings, rows))
    if settings.kind == "full":
        wrapped.requires_grad_(True)
    return wrapped


def _peft_config(settings: AdapterSettings, rows: list[int] | dict[str, list[int]]) -> PeftConfig:
    from peft import AdaLoraConfig, IA3Config, LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    kind, targets = settings.kind, settings.targets
    common: dict[str, Any] = {
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "task_type": "CAUSAL_LM",
    }
    lora: dict[str, Any] = {
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "trainable_token_indices": rows,
    }
    if kind == "ia3":
        config = IA3Config(feedforward_modules=[], **common)
        vars(config)["trainable_token_indices"] = rows  # PEFT does this beside any kind; only LoRA's config declares it
        return config
    if kind == "adalora":
        # the schedule is set when the number of steps is known (training.adalora)
        schedule: dict[str, Any] = {"total_step": 1, "tinit": 0, "tfinal": 0}
        return AdaLoraConfig(init_r=settings.rank, target_r=settings.r, **schedule, **lora, **common)
    if kind in ("prompt", "bias", "full"):
        return LoraConfig(**lora, **(common | {"target_modules": DUMMY_TARGET_MODULES}), bias=_biases(kind))
    return LoraConfig(r=settings.r, use_rslora=kind == "rslora", use_dora=kind == "dora", **lora, **common)


def _biases(kind: str) -> Any:
    return "all" if kind == "bias" else "none"


def _prepared(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: AdapterSettings) -> list[int]:
    """Give the LM what its kind of adapter needs (soft tokens, biases); the ids whose rows are trained."""
    own = conversation.extend_tokenizer(tokenizer)
    if settings.kind == "prompt":
        soft = conversation.add_soft_tokens(tokenizer, settings.soft_tokens)
        words = conversation.encode_text(tokenizer, conversation.SYSTEM)
        add_rows(lm, tokenizer, {token: [words[i % len(words)]] for i, token in enumerate(soft)})
        own = [*own, *soft]
    if settings.kind == "bias":
        for linear in _linears(lm, settings.targets).values():
            if linear.bias is None:  # in float32: it is trained
                linear.bias = nn.Parameter(torch.zeros(linear.out_features, device=linear.weight.device))
    return [conversation.token_id(tokenizer, token) for token in own]


def _trained(lm: PeftModel, settings: AdapterSettings) -> dict[str, nn.Parameter]:
    """The adapter's parameters by their names in its file."""
    found = {}
    for name, parameter in lm.named_parameters():
        own = "lora_" in name or "ia3_l" in name or "trainable_tokens_delta" in name
        if own or settings.kind == "full" or (settings.kind == "bias" and name.endswith(".bias")):
            found[_PEFTS_OWN.sub("", name)] = parameter
    return found


def state(lm: PeftModel, settings: AdapterSettings) -> dict[str, Tensor]:
    """What was trained."""
    return {name: parameter.detach() for name, parameter in _trained(lm, settings).items()}


@torch.no_grad()
def load(lm: PeftModel, settings: AdapterSettings, stored: Mapping[str, Tensor], what: str) -> None:
    """Put a stored adapter into a wrapped LM, strictly."""
    parameters = _trained(lm, settings)
    check_keys(parameters, stored, what)
    for name, parameter in parameters.items():
        parameter.copy_(stored[name])


@torch.no_grad()
def fold(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: AdapterSettings,
    stored: Mapping[str, Tensor],
    what: str,
) -> None:
    """Put a stored adapter into the weights of a plain LM, strictly and in place."""
    ids = _prepared(lm, tokenizer, settings)
    tables = _word_tables(lm)
    shapes = _shapes(lm, settings) | {name + _ROWS: (len(ids), table.shape[1]) for name, table in tables.items()}
    check_keys({_PREFIX + n: torch.empty(s, device="meta") for n, s in shapes.items()}, stored, what)

    device = next(iter(tables.values())).device

    def part(name: str) -> Tensor:
        return stored[_PREFIX + name].to(device, torch.float32)

    if settings.kind in ("bias", "full"):
        for name, parameter in lm.named_parameters():
            if name in shapes:
                parameter.copy_(stored[_PREFIX + name])
    elif settings.kind != "prompt":
        for name, linear in _linears(lm, settings.targets).items():
            if settings.kind == "ia3":
                factor = part(f"{name}.ia3_l")
                linear.weight.copy_(linear.weight.float() * factor)
                if linear.bias is not None:
                    linear.bias.copy_(linear.bias.float() * factor[:, 0])
                continue
            if settings.kind == "adalora":
                down, up = part(f"{name}.lora_A") * part(f"{name}.lora_E"), part(f"{name}.lora_B")
            else:
                down, up = part(f"{name}.lora_A.weight"), part(f"{name}.lora_B.weight")
            weight = linear.weight.float().add_(up @ down, alpha=settings.scale)
            if settings.kind == "dora":
                length = part(f"{name}.lora_magnitude_vector.weight")
                weight *= (length / torch.linalg.vector_norm(weight, dim=1))[:, None]
            linear.weight.copy_(weight)
    for name, table in tables.items():
        table[ids] = stored[_PREFIX + name + _ROWS].to(table)


def _shapes(lm: PreTrainedModel, settings: AdapterSettings) -> dict[str, tuple[int, ...]]:
    """Shape of each of an adapter's tensors but the rows, by its name without PEFT's prefix."""
    kind, rank = settings.kind, settings.rank
    if kind in ("bias", "full"):
        named = lm.named_parameters()
        return {name: tuple(p.shape) for name, p in named if kind == "full" or name.endswith(".bias")}
    shapes: dict[str, tuple[int, ...]] = {}
    if kind == "prompt":
        return shapes
    for name, linear in _linears(lm, settings.targets).items():
        wide, high = linear.in_features, linear.out_features
        if kind == "ia3":
            shapes[f"{name}.ia3_l"] = (high, 1)
        elif kind == "adalora":
            shapes |= {f"{name}.lora_A": (rank, wide), f"{name}.lora_B": (high, rank), f"{name}.lora_E": (rank, 1)}
        else:
            shapes |= {f"{name}.lora_A.weight": (rank, wide), f"{name}.lora_B.weight": (high, rank)}
            if kind == "dora":
                shapes[f"{name}.lora_magnitude_vector.weight"] = (high,)
    return shapes


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


def merged(lm: PeftModel) -> PreTrainedModel:
    """The plain LM with the adapter in its weights, as PEFT merges it.

    PEFT cannot take the rows of added tokens off again beside IA3 (0.21): they are put into their tables before.
    """
    from peft.utils import TrainableTokensWrapper

    plain = lm.get_base_model()
    for name, module in list(plain.named_modules()):
        if isinstance(module, TrainableTokensWrapper):
            module.token_adapter.merge()
            plain.set_submodule(name, module.original_module)
    return cast(PreTrainedModel, lm.merge_and_unload())


def adapt_encoder(encoder: nn.Module, r: int, alpha: int) -> list[nn.Parameter]:
    """LoRA on every convolution and linear layer of a vision encoder, in place and with all else of it frozen; what is
    to be trained. Up-sampling (transposed) convolutions, which PEFT does not know, stay as they are."""
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Conv3d | nn.Linear)]
    encoder.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=r, lora_alpha=alpha, lora_dropout=0.0, target_modules=names), encoder)
    return [p for p in encoder.parameters() if p.requires_grad]


@torch.no_grad()
def merge_encoder(encoder: nn.Module) -> None:
    """Fold an encoder's LoRA into its weights: its modules and their names are those before `adapt_encoder`."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(encoder.named_modules()):
        if isinstance(module, LoraLayer):
            plain: Any = module.get_base_layer()
            # not module.merge(): PEFT 0.21 fails on convolutions whose kernel is one voxel
            parts: tuple[Any, Any] = (module.lora_A, module.lora_B)
            down, up = (part["default"].weight.flatten(1) for part in parts)
            plain.weight += module.scaling["default"] * (up @ down).view_as(plain.weight)
            encoder.set_submodule(name, plain)
    encoder.requires_grad_(True)
