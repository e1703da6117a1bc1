"""The language model over packs, and the losses that Align and Converse share.

The same function as `DeixisModel.forward`, term by term, with what a CPU would waste left out: the head is run at
supervised positions only, and the added tokens' rows are laid over the frozen tables instead of into a copy of them
(PEFT's own forward clones the whole embedding at each step and gives the frozen rows gradients).
`tests/test_training_data.py` holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.utils import TrainableTokensWrapper
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from assistant import conversation
from assistant.conversation import IGNORED
from assistant.language import phrase_states, row_scale
from assistant.model import DeixisModel
from assistant.segmenter import Segmenter
from training.data import Batch, Example, FeatureBank, attention_mask
from training.run import ConfigError


@dataclass(frozen=True)
class States:
    """hidden (B, L, D): the last layer's; logits (S, V) and targets (S,): at the S positions whose next token is
    supervised, row-major; where (S, 2): (row, position of the token that is PREDICTED)."""

    hidden: Tensor
    logits: Tensor
    targets: Tensor
    where: Tensor


class PackedModel:
    """Runs a trainable DeixisModel over batches of packs. ``compiled`` compiles the transformer's body; ``recompute``
    keeps no activations inside its layers and makes them again for the gradients: less memory, a third more time."""

    def __init__(self, model: DeixisModel, *, compiled: bool = False, recompute: bool = False) -> None:
        self.model = model
        if not isinstance(model.language_model, PeftModel):
            raise TypeError("this model's adapter is merged: load it with trainable=True")
        causal: Any = model.language_model.get_base_model()
        self.causal = causal
        # The fused attention kernel of CPUs has no fast path for masks and bf16; plain products are half again as fast.
        causal.set_attn_implementation("eager")
        body: nn.Module = causal.get_decoder()
        self.windows, self.cap = _windows(causal.config.get_text_config()), _cap(causal.config.get_text_config())
        if recompute:
            causal.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            for layer in body.modules():
                if isinstance(layer, GradientCheckpointingLayer):
                    layer.training = True  # it recomputes only then; what is in it stays in eval mode
        self.body: Callable[..., Any] = torch.compile(body) if compiled else body
        # modules and not their weights: while a sharded model runs, a module's weight is another tensor than before
        self._words = _tokens_layer(causal.get_input_embeddings())
        self.row_scale = row_scale(causal.get_input_embeddings().token_adapter.base_layer)
        self._head = causal.get_output_embeddings()
        self._tied = not isinstance(self._head, TrainableTokensWrapper) and self._head.weight is self._words.table

    def __call__(self, batch: Batch) -> States:
        words = self.embed(batch)
        mask = self.mask(batch, words.dtype)
        out = self.body(inputs_embeds=words, attention_mask=mask, position_ids=batch.positions, use_cache=False)
        hidden: Tensor = out.last_hidden_state
        where = (batch.labels != IGNORED).nonzero()
        before = hidden[where[:, 0], where[:, 1] - 1]
        return States(hidden, self.head(before), batch.labels[where[:, 0], where[:, 1]], where)

    def mask(self, batch: Batch, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
        """What the body takes as its mask: one, or one for each kind of layer, each with that kind's window."""
        masks = {
            kind: attention_mask(batch.segments, dtype, batch.positions, window)
            for kind, window in self.windows.items()
        }
        return masks.get("", masks)

    def embed(self, batch: Batch) -> Tensor:
        """(B, L, D): words, the added tokens' trained rows, visual tokens and regions in their places."""
        layer, model = self._words, self.model
        words = F.embedding(batch.ids, layer.table)
        own = (batch.ids[..., None] == layer.ids).to(words.dtype)
        words = torch.where(own.any(-1, keepdim=True), own @ layer.rows.to(words.dtype), words)
        words = words * self.row_scale
        # a batch without a scan or a region still gives the projectors a gradient, of zeros: processes that average
        # their gradients must have the same ones
        words = words.index_put(
            tuple(batch.image_index.T), model.projector(batch.visual).flatten(0, 1).to(words.dtype)
        )
        if batch.regions.shape[1]:  # 0 where the whole bank has none
            words = words.index_put(tuple(batch.region_index.T), model.region_projector(batch.regions).to(words.dtype))
        return words

    def head(self, states: Tensor) -> Tensor:
        """(S, D) -> logits (S, V), float32."""
        if isinstance(self._head, TrainableTokensWrapper):
            layer, table = _tokens_layer(self._head), None
        else:
            layer, table = self._words, self._head.weight
        logits = F.linear(states, (layer.table if table is None else table).to(states.dtype)).float()
        if table is None or self._tied:
            own = F.linear(states, layer.rows.to(states.dtype)).float()
            logits = logits.index_copy(1, layer.ids, own)
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def _windows(config: PreTrainedConfig) -> dict[str, int | None]:
    """How far back each kind of layer sees, in positions (None: to the start); the one kind "" where all are alike.

    transformers' own rule: models with `layer_types` take a mask for each of them, others one for all layers.
    """
    values = config.to_dict()
    kinds = set(values.get("layer_types") or ())
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise ConfigError(f"a {config.model_type} has layers of {', '.join(sorted(unknown))}: packs need attention")
    if not kinds:
        return {"": values.get("sliding_window")}
    return {kind: values["sliding_window"] if kind == "sliding_attention" else None for kind in kinds}


def _cap(config: PreTrainedConfig) -> float | None:
    """Where the LM's logits end (Gemma 2: 30), if they do."""
    values = config.to_dict()
    # a head that scales its logits would be trained on others than it answers with, without a word
    if scaled := [n for n in ("logit_scale", "logits_scaling") if values.get(n) not in (None, 1)]:
        raise ConfigError(f"a {config.model_type} scales its logits ({', '.join(scaled)}), which packs do not know yet")
    return values.get("final_logit_softcapping")


class TokensLayer:
    """PEFT's trainable-tokens layer: table (V, D), frozen; rows (K, D), trained; ids (K,) of the rows."""

    def __init__(self, layer: TrainableTokensLayer) -> None:
        (self._adapter,) = layer.active_adapters
        self._layer = layer
        self.ids = torch.tensor(layer.token_indices[self._adapter], device=self.table.device)

    @property
    def table(self) -> Tensor:
        return self._layer.base_layer.get_parameter("weight")

    @property
    def rows(self) -> Tensor:
        # a tied layer shares these with the one it is tied to
        return self._layer.trainable_tokens_delta.get_parameter(self._adapter)


def _tokens_layer(wrapper: nn.Module) -> TokensLayer:
    layer = wrapper.token_adapter if isinstance(wrapper, TrainableTokensWrapper) else wrapper
    if not isinstance(layer, TrainableTokensLayer):
        raise TypeError(f"the LM's embedding is a {type(wrapper).__name__}: make the model with DeixisModel.new")
    return TokensLayer(layer)


@dataclass(frozen=True)
class Counts:
    """What the losses of a step are means over: its supervised tokens and its `<SEG>`s that prompt a mask. A step in
    several batches divides each batch's sums by the whole step's counts: how it is split changes nothing."""

    tokens: int
    segs: int

    @staticmethod
    def of(batches: Sequence[Batch]) -> Counts:
        return Counts(
            sum(int((b.labels != IGNORED).sum()) for b in batches),
            sum(phrase is not None for b in batches for phrase in b.phrases),
        )


def token_loss(states: States, tokens: int | None = None) -> Tensor:
    """Cross entropy of the supervised tokens, summed, over ``tokens`` (None: their number, so their mean)."""
    total = F.cross_entropy(states.logits, states.targets, reduction="sum")
    return total / (len(states.targets) if tokens is None else tokens)


class FrozenCodes:
    """Codes (`Segmenter.whiten`) of phrases' states in the frozen base: what See learns masks from.

    codes (N, state_dim), without gradient; spread: their mean squared distance from their mean. The codes depend on the
    base alone and not on what See still learns.
    """

    def __init__(self, phrases: Sequence[str], states: Tensor, segmenter: Segmenter) -> None:
        self.index = {phrase: i for i, phrase in enumerate(phrases)}
        with torch.no_grad():
            self.codes = segmenter.whiten(states.to(segmenter.state_mean.device))
        self.spread = (self.codes - self.codes.mean(0)).square().sum(1).mean()
        if not self.spread > 0:
            raise ValueError("all phrases have one code: fit the segmenter to the base first (Segmenter.fit_states)")

    @staticmethod
    def of(
        phrases: Sequence[str], lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, segmenter: Segmenter
    ) -> FrozenCodes:
        """Read the phrases with the frozen base; ``lm`` must not be wrapped by PEFT yet."""
        names = list(dict.fromkeys(phrases))
        return FrozenCodes(names, phrase_states(lm, tokenizer, names), segmenter)

    def to(self, device: torch.device) -> FrozenCodes:
        self.codes, self.spread = self.codes.to(device), self.spread.to(device)
        return self

    def rows(self, phrases: Sequence[str]) -> list[int]:
        unknown = sorted({p for p in phrases if p not in self.index})
        if unknown:
            raise KeyError(f"no frozen state of {unknown[:5]}: give these phrases to FrozenCodes.of")
        return [self.index[p] for p in phrases]


@dataclass(frozen=True)
class Distilled:
    """loss: to be minimised; error: squared distance of the codes from the frozen phrase's, in units of the phrases'
    own spread (1 is no better than the mean phrase); nearest: share whose nearest frozen code is the right phrase's."""

    loss: Tensor
    error: float
    nearest: float
    count: int


def distill(
    hidden: Tensor, batch: Batch, segmenter: Segmenter, frozen: FrozenCodes, segs: int | None = None
) -> Distilled:
    """Hold the in-context `<SEG>` states to the frozen phrase states, from which the masks are learned.

    Both go through `Segmenter.whiten`, so only what the mask decoder sees of a state is held, and with the weight that
    tells phrases apart. `<SEG>`s of mask algebra prompt nothing and are left out. The loss is
    a sum over ``segs`` (None: their number, so their mean).
    """
    chosen = [i for i, phrase in enumerate(batch.phrases) if phrase is not None]
    if not chosen:
        return Distilled(hidden.new_zeros((), dtype=torch.float32), 0.0, 1.0, 0)
    where = batch.seg_index[chosen]
    codes = segmenter.whiten(hidden[where[:, 0], where[:, 1]])
    rows = torch.tensor(frozen.rows([p for p in batch.phrases if p is not None]), device=codes.device)
    wanted = frozen.codes[rows]
    error = (codes - wanted).square().sum(1) / frozen.spread
    centre = frozen.codes.mean(0)
    turned = 1 - F.cosine_similarity(codes - centre, wanted - centre, dim=1)
    with torch.no_grad():
        right = torch.cdist(codes, frozen.codes).argmin(1) == rows
    # a squared distance starts at ten times the spread: its root keeps the first steps from being all its own
    loss = ((1 + error).sqrt() - 1 + turned).sum() / (len(chosen) if segs is None else segs)
    return Distilled(loss, float(error.detach().mean()), float(right.float().mean()), len(chosen))


@dataclass(frozen=True)
class ProbeRow:
    """How one reply of a held-out conversation was begun: greedy decoding's words, token by token."""

    kind: str
    first_right: bool  # everything up to and including the first <SEG> (the whole reply if it has none)
    targets_right: bool  # every <p>..</p><SEG> of the reply, each given the right ones before it
    tokens_right: int
    tokens: int


def greedy_matches(
    states: States, batch: Batch, kinds: Sequence[Sequence[str]], seg_id: int, end_id: int
) -> list[ProbeRow]:
    """Compare greedy decoding with the replies of a batch that was run through the model, one row a reply.

    Greedy decoding repeats a text exactly if and only if the likeliest next token is the text's own at each of its
    places, so one pass over the right text says what a token-by-token decoding would, for all its places at once.
    ``kinds[row][conversation]`` names the question family of each conversation.
    """
    right = (states.logits.argmax(1) == states.targets).tolist()
    where, targets = states.where.tolist(), states.targets.tolist()
    rows: list[ProbeRow] = []
    start = 0
    for stop, target in enumerate(targets, 1):
        if target != end_id:  # each reply ends in one supervised end mark; its notes are gaps without labels
            continue
        hits, ids = right[start:stop], targets[start:stop]
        segs = [k for k, token in enumerate(ids) if token == seg_id]
        row, position = where[start]
        rows.append(
            ProbeRow(
                kind=kinds[row][int(batch.segments[row, position]) - 1],
                first_right=all(hits[: segs[0] + 1] if segs else hits),
                targets_right=all(hits[: segs[-1] + 1] if segs else hits),
                tokens_right=sum(hits),
                tokens=len(hits),
            )
        )
        start = stop
    return rows


@torch.inference_mode()
def decode_first(
    model: DeixisModel, example: Example, bank: FeatureBank, rng: np.random.Generator, most: int = 60
) -> tuple[str, str, str]:
    """(question, what is said up to the first `<SEG>`, what was to be said) of a talk's first reply, token by token."""
    tokenizer = model.tokenizer
    talk = example.talk
    reply = next(i for i, m in enumerate(talk.messages) if m.role == "assistant")
    before = talk.messages[:reply]
    prompt = conversation.render(before, tokenizer, image_tokens=bank.image_tokens, reply_next=True)
    wanted = conversation.render_reply(talk.messages[reply].content, tokenizer)
    seg, end = (conversation.token_id(tokenizer, token) for token in (conversation.SEG, conversation.END))
    stop = wanted.seg_positions[0] if wanted.seg_positions else wanted.ids.index(end)
    case = bank.draw(talk.family, rng)
    region = None
    if prompt.region_positions and talk.region is not None:
        region = bank.draw_region(talk.family, talk.region, rng, case)[None].to(model.device)
    visual = case.visual[None].to(model.device) if prompt.image_positions else None
    words = model.embed(torch.tensor([prompt.ids], device=model.device), visual, region)
    said: list[int] = []
    cache = None
    while len(said) < most and (not said or said[-1] not in (seg, end)):
        out = model.language_model(inputs_embeds=words, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        said.append(int(out.logits[0, -1].argmax()))
        words = model.embed(torch.tensor([said[-1:]], device=model.device))
    return (
        before[-1].content,
        conversation.decode_text(tokenizer, said),
        conversation.decode_text(tokenizer, wanted.ids[: stop + 1]),
    )
