"""DeixisModel: a causal language model, the segmenter, and what joins them. Composed, never subclassed.

embeddings = model.embed(ids, visual, regions)       words, with the scan's tokens and <REG> in their places
output = model(ids, visual=..., labels=...)          loss, logits, last-layer states
states = model.seg_states(output.hidden, positions)  the mask decoder's prompts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from assistant import adapter, checkpoint, conversation
from assistant.adapter import AdapterSettings
from assistant.adapter import LoraSettings as LoraSettings  # its earlier name
from assistant.errors import ModelError
from assistant.glossary import Glossary
from assistant.language import DEFAULT_BASE, BaseIdentity, load_base, row_scale, word_table
from assistant.projector import Projector, RegionProjector
from assistant.segmenter import Segmenter, SegmenterConfig

if TYPE_CHECKING:
    from peft import PeftModel

Base = str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseIdentity]


@dataclass(frozen=True)
class DeixisConfig:
    segmenter: SegmenterConfig
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    image_tokens: int = conversation.IMAGE_TOKENS

    def to_dict(self) -> dict[str, Any]:
        return {
            "segmenter": self.segmenter.to_dict(),
            "adapter": asdict(self.adapter),
            "image_tokens": self.image_tokens,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> DeixisConfig:
        # "lora": checkpoints from before there were other kinds
        settings = AdapterSettings(**values["adapter" if "adapter" in values else "lora"])
        if not isinstance(settings.targets, str):
            settings = replace(settings, targets=tuple(settings.targets))
        return DeixisConfig(SegmenterConfig.from_dict(values["segmenter"]), settings, values["image_tokens"])


@dataclass(frozen=True)
class Output:
    """loss: mean cross entropy over supervised tokens, None without labels; logits (B, L, V); hidden (B, L, D)."""

    loss: Tensor | None
    logits: Tensor
    hidden: Tensor


def default_checkpoint() -> Path:
    """The folder of the embedded default model."""
    return Path(__file__).parent / "checkpoints" / "default"


class DeixisModel(nn.Module):
    """Made by :meth:`new` or :meth:`from_pretrained`.

    language_model: the causal LM; wrapped by PEFT while it can be trained (``adapted``), plain once ``merged``. PEFT
    wraps the LM itself and not this module: only so does it see that the LM's embedding and head are one tensor.
    """

    def __init__(
        self,
        language_model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        segmenter: Segmenter,
        config: DeixisConfig,
        base: BaseIdentity,
        *,
        adapted: bool,
    ) -> None:
        super().__init__()
        width = word_table(language_model).shape[1]
        if config.segmenter.lm_dim != width:
            raise ModelError(
                f"the segmenter takes <SEG> states of width {config.segmenter.lm_dim}, the base {base.name}"
                f" gives {width}: make the segmenter with that lm_dim"
            )
        self.language_model = language_model
        self.tokenizer = tokenizer
        self.segmenter = segmenter
        self.config = config
        self.base = base
        self.merged = not adapted
        self.manifest: checkpoint.Manifest | None = None  # of the checkpoint it was loaded from
        self.glossary: Glossary | None = None
        self.projector = Projector(config.segmenter.visual_dim, width, config.image_tokens)
        self.region_projector = RegionProjector(config.segmenter.region_dim, width)
        self._image_id = conversation.token_id(tokenizer, conversation.IMAGE)
        self._region_id = conversation.token_id(tokenizer, conversation.REGION)

    @staticmethod
    def new(
        base: Base = DEFAULT_BASE,
        segmenter: Segmenter | SegmenterConfig | None = None,
        settings: AdapterSettings | None = None,
        *,
        image_tokens: int = conversation.IMAGE_TOKENS,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        quantize: str | None = None,
        allow_network: bool = False,
    ) -> DeixisModel:
        """An untrained model on a base (a name, a path, or what load_base returned).

        A segmenter is used as it is; a config makes a random one; None takes the default config at the base's width.
        """
        lm, tokenizer, identity = _base(base, dtype, device, quantize, allow_network)
        scale = row_scale(lm.get_input_embeddings())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if segmenter is None:
                segmenter = SegmenterConfig(lm_dim=word_table(lm).shape[1])
            if isinstance(segmenter, SegmenterConfig):
                segmenter = Segmenter(segmenter)
            config = DeixisConfig(segmenter.config, settings or AdapterSettings(), image_tokens)
            adapted = adapter.wrap(lm, tokenizer, config.adapter)
            model = DeixisModel(adapted, tokenizer, segmenter, config, identity, adapted=True)
            size = word_table(lm).detach().float().square().mean().sqrt() * scale
            with torch.no_grad():
                model.projector.gain.copy_(size)
                model.region_projector.gain.copy_(size)
        return model.to(device).eval()

    @property
    def device(self) -> torch.device:
        return self.projector.gain.device

    def merge(self) -> DeixisModel:
        """Fold the adapter and the added tokens into the LM's weights: faster, no longer trainable; outputs equal but
        for rounding."""
        if not self.merged:
            self.language_model = adapter.merged(cast("PeftModel", self.language_model))
            self.merged = True
        return self

    def embed(self, ids: Tensor, visual: Tensor | None = None, regions: Tensor | None = None) -> Tensor:
        """Input embeddings (B, L, D) of ids (B, L) or (L,).

        visual (N, T, visual_dim) or (T, visual_dim): fills the rows' <image> tokens, in order; regions (R, region_dim)
        or (region_dim,): fills the <REG> tokens, in order. ValueError when their numbers differ.
        """
        ids = ids if ids.dim() == 2 else ids[None]
        words: Tensor = self.language_model.get_input_embeddings()(ids)
        if visual is not None:
            tokens = self.projector(visual.reshape(-1, *visual.shape[-2:])).flatten(0, 1)
            words = _placed(words, ids == self._image_id, tokens, conversation.IMAGE)
        if regions is not None:
            tokens = self.region_projector(regions.reshape(-1, regions.shape[-1]))
            words = _placed(words, ids == self._region_id, tokens, conversation.REGION)
        return words

    def forward(
        self,
        ids: Tensor,
        *,
        visual: Tensor | None = None,
        regions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Output:
        """ids (B, L), labels (B, L) as conversation.render gives them (not shifted), rows padded on the right."""
        out = self.language_model(
            inputs_embeds=self.embed(ids, visual, regions),
            attention_mask=attention_mask,
            position_ids=position_ids,
            labels=labels,
            use_cache=False,
            output_hidden_states=True,
        )
        return Output(out.loss, out.logits, out.hidden_states[-1])

    def seg_states(self, hidden: Tensor, seg_positions: Sequence[Sequence[int]]) -> Tensor:
        """hidden (B, L, D), one list of positions a row -> (N, D), row after row; see conversation.seg_states."""
        rows = [conversation.seg_states(hidden[row], positions) for row, positions in enumerate(seg_positions)]
        return torch.cat(rows)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        seeds: Mapping[str, int] | None = None,
        data: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> checkpoint.Manifest:
        """Write what was trained, with the base's name and hash. ``dtype`` (e.g. torch.float16) halves the files."""
        if self.merged:
            raise ModelError("this model's adapter is merged and cannot be saved apart: load it with trainable=True")
        tensors = {
            checkpoint.ADAPTER: adapter.state(cast("PeftModel", self.language_model), self.config.adapter),
            checkpoint.PROJECTOR: nn.ModuleDict(
                {"visual": self.projector, "region": self.region_projector}
            ).state_dict(),
            checkpoint.SEGMENTER: self.segmenter.state_dict(),
        }
        return checkpoint.write(
            folder,
            self.config.to_dict(),
            tensors,
            self.base,
            glossary=None if self.glossary is None else self.glossary.to_json(),
            seeds=seeds,
            data=data,
            training=training,
            dtype=dtype,
        )

    @staticmethod
    def from_pretrained(
        folder: str | Path,
        base: Base | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        quantize: str | None = None,
        *,
        trainable: bool = False,
        allow_network: bool = False,
    ) -> DeixisModel:
        """Load a checkpoint, strictly, on the very base it was trained on.

        base: where that base is, when it is not found by its name. dtype: of the LM (float32 on a CPU, bfloat16
        elsewhere); the rest stays float32. trainable=False merges LoRA, which answers faster; a quantised LM is never
        merged, since its rounded weights cannot take the small changes.
        """
        config_values, manifest = checkpoint.read(folder)
        try:
            config = DeixisConfig.from_dict(config_values)
        except (KeyError, TypeError) as error:
            raise ModelError(f"{folder}'s config.json does not fit this version of Deixis ({error})") from error
        if dtype is None:
            dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
        merged = not trainable and not quantize
        # LoRA's small changes join weights as precise as the base's files have them, which are rounded after that
        read_as: torch.dtype | Literal["auto"] = "auto" if merged else dtype
        lm, tokenizer, identity = _base(base or manifest.base.name, read_as, device, quantize, allow_network, trainable)
        checkpoint.check_base(manifest, identity, folder)
        stored = checkpoint.read_tensors(folder, checkpoint.ADAPTER)
        if merged:
            adapter.fold(lm, tokenizer, config.adapter, stored, f"{folder}'s adapter")
            cast(nn.Module, lm).to(dtype)
        else:
            wrapped = adapter.wrap(lm, tokenizer, config.adapter)
            adapter.load(wrapped, config.adapter, stored, f"{folder}'s adapter")
            lm = cast(PreTrainedModel, wrapped)
        model = DeixisModel(lm, tokenizer, Segmenter(config.segmenter), config, identity, adapted=not merged)
        joined = nn.ModuleDict({"visual": model.projector, "region": model.region_projector})
        checkpoint.load_module(joined, checkpoint.read_tensors(folder, checkpoint.PROJECTOR), f"{folder}'s projector")
        checkpoint.load_module(
            model.segmenter, checkpoint.read_tensors(folder, checkpoint.SEGMENTER), f"{folder}'s segmenter"
        )
        model.manifest = manifest
        if checkpoint.GLOSSARY in manifest.files:
            model.glossary = Glossary.from_json((Path(folder) / checkpoint.GLOSSARY).read_text(encoding="utf-8"))
        return model.to(device).eval()


def _base(
    base: Base,
    dtype: torch.dtype | Literal["auto"],
    device: str | torch.device,
    quantize: str | None,
    allow_network: bool,
    trainable: bool = True,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseIdentity]:
    if isinstance(base, tuple):
        return base
    return load_base(
        base, dtype=dtype, quantize=quantize, device=device, trainable=trainable, allow_network=allow_network
    )


def _placed(words: Tensor, where: Tensor, tokens: Tensor, name: str) -> Tensor:
    wanted = int(where.sum())
    if wanted != len(tokens):
        raise ValueError(f"{len(tokens)} features were given for {wanted} {name} tokens")
    return words.masked_scatter(where[..., None], tokens.to(words.dtype))
