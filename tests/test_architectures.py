"""Any causal LM by name: the families of open models, each built tiny from its own config class, through all we do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from assistant import conversation
from assistant.conversation import Message
from assistant.language import BaseIdentity, extend
from assistant.model import AdapterSettings, DeixisModel
from assistant.token_cache import TokenCache
from tests.tiny_language import IMAGE_TOKENS, TINY_SEGMENTER, WIDTH, FakeStudy, tiny_tokenizer
from training import run
from training.data import CaseFeatures, FeatureBank, Talk, collate, pack, prepare
from training.packed import PackedModel, token_loss

# windows shorter than the conversations, soft caps low enough to bend the logits: each must show if it is left out
ARCHITECTURES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "smollm2": (LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}),
    "qwen3": (Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
    "phi3": (Phi3Config, {"sliding_window": 24, "pad_token_id": 0}),
    "mistral": (MistralConfig, {"sliding_window": 24}),
    "smollm3": (SmolLM3Config, {"no_rope_layer_interval": 2, "pad_token_id": 0}),
    "gemma2": (Gemma2Config, {"head_dim": 8, "sliding_window": 24, "final_logit_softcapping": 2.0,
                              "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}),
    "gemma3": (Gemma3TextConfig, {"head_dim": 8, "sliding_window": 24, "query_pre_attn_scalar": 8,
                                  "layer_types": ["sliding_attention", "full_attention"]}),
}  # fmt: skip

TALKS = [
    Talk(
        (
            Message("user", "Where is the left hippocampus?", image=True),
            Message("assistant", "<p>left hippocampus</p><SEG><obs>m1 left hippocampus: 2.9 mL</obs> It is 2.9 mL."),
        ),
        "brain",
    ),
    Talk(
        (
            Message("user", "What is this?", image=True, region=True),
            Message("assistant", "<p>brainstem</p><SEG><obs>m1 brainstem: 20 mL</obs> This is the brainstem."),
        ),
        "brain",
        region="brainstem",
    ),
]


def base(name: str):  # type: ignore[no-untyped-def]
    """What load_base gives, of an architecture; the same weights at every call."""
    kind, settings = ARCHITECTURES[name]
    tokenizer = tiny_tokenizer()
    config = kind(
        **{"vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2,
           "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
           "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 0, **settings}
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config).eval()
    extend(lm, tokenizer)
    return lm, tokenizer, BaseIdentity(name, "0" * 64)


def bank() -> FeatureBank:
    noise = torch.Generator().manual_seed(1)
    visual = FakeStudy([]).visual_features()
    region = torch.randn(1, TINY_SEGMENTER.region_dim, generator=noise)
    return FeatureBank({"brain": [CaseFeatures("one", visual, {"brainstem": region})]})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_trained_asked_saved_loaded_and_merged(name, tmp_path):
    """Packed loss = the model's own; a step lowers it; greedy decoding with the cache = without; a checkpoint gives the
    same logits trainable, folded, and merged by PEFT."""
    model = DeixisModel.new(
        base(name), TINY_SEGMENTER, AdapterSettings(r=4, alpha=8, dropout=0.0), image_tokens=IMAGE_TOKENS
    )
    tokenizer = model.tokenizer
    lm: Any = model.language_model
    size = lm(torch.arange(100)[None], output_hidden_states=True).hidden_states[0].square().mean().sqrt()
    projected = model.projector(torch.randn(1, IMAGE_TOKENS, TINY_SEGMENTER.visual_dim))
    assert projected.square().mean().sqrt().item() == pytest.approx(size.item(), rel=0.2)  # as large as a word is read

    # training: two conversations in one row are what each is alone
    features = bank()
    examples = [prepare(talk, tokenizer, IMAGE_TOKENS) for talk in TALKS]
    batch = collate([pack(examples, 250, 0)], features, np.random.default_rng(0))
    packed = PackedModel(model)
    states = packed(batch)
    case = features.families["brain"][0]
    alone = []
    for number, example in enumerate(examples, 1):
        out = model(
            torch.tensor([example.rendered.ids]),
            labels=torch.tensor([example.rendered.labels]),
            visual=case.visual[None],
            regions=case.regions["brainstem"] if example.talk.region else None,
        )
        torch.testing.assert_close(
            states.hidden[0][batch.segments[0] == number], out.hidden[0, example.shared :], atol=1e-4, rtol=1e-3
        )
        count = sum(label != conversation.IGNORED for label in example.rendered.labels)
        alone.append((out.loss * count, count))
    loss = token_loss(states)
    torch.testing.assert_close(loss, sum(one for one, _ in alone) / sum(n for _, n in alone), atol=1e-4, rtol=1e-4)
    parameters = [p for n, p in run.trainable(model).items() if "segmenter" not in n]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    loss.backward()
    assert all(p.grad is not None for p in parameters)
    optimizer.step()
    with torch.no_grad():
        assert token_loss(packed(batch)) < loss - 0.05

    # answering
    start = conversation.render(
        [Message("user", "How big is the liver?", image=True)], tokenizer, image_tokens=IMAGE_TOKENS, reply_next=True
    )
    cache = TokenCache(model, FakeStudy([]))
    logits, _ = cache.bring(start.ids, start.image_positions)
    said = list(start.ids)
    with torch.no_grad():
        for _ in range(12):
            fresh = model(torch.tensor([said]), visual=case.visual[None]).logits[0, -1]
            torch.testing.assert_close(logits, fresh, atol=1e-3, rtol=1e-3)
            said.append(int(logits.argmax()))
            logits = cache.advance(said[-1])

    # the checkpoint
    model.save_pretrained(tmp_path)
    ids, visual = torch.tensor([said]), case.visual[None]
    with torch.no_grad():
        wanted = model(ids, visual=visual).logits
        assert not torch.allclose(wanted, DeixisModel.new(
            base(name), TINY_SEGMENTER, image_tokens=IMAGE_TOKENS)(ids, visual=visual).logits, atol=0.05)  # fmt: skip
        loaded = DeixisModel.from_pretrained(tmp_path, base(name), trainable=True)
        torch.testing.assert_close(loaded(ids, visual=visual).logits, wanted, atol=1e-5, rtol=1e-5)
        folded = DeixisModel.from_pretrained(tmp_path, base(name))
        torch.testing.assert_close(folded(ids, visual=visual).logits, wanted, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(loaded.merge()(ids, visual=visual).logits, wanted, atol=1e-3, rtol=1e-3)
