"""Every kind of adapter: what is trained changes the answers, is stored whole, and folds into equal weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from assistant import adapter, checkpoint, conversation
from assistant.adapter import KINDS, AdapterSettings
from assistant.conversation import Message
from assistant.errors import ModelError
from assistant.language import load_base
from assistant.model import DeixisConfig, DeixisModel
from assistant.vision import VisionEncoder
from tests.tiny_language import IMAGE_TOKENS, tiny_base, tiny_lm, tiny_tokenizer
from tests.tiny_training import SEGMENTER, moved_model, tiny_bank, tiny_segmenter
from training import footprint, run
from training.adalora import RankBudget
from training.data import Talk, collate, pack, prepare
from training.learner import Learner
from training.packed import Counts, FrozenCodes, PackedModel, token_loss
from training.stage import frozen_codes

SETTINGS = AdapterSettings(r=4, alpha=8, dropout=0.0)
TALKS = [
    Talk(
        (
            Message("user", f"Where is the {name}?", image=True),
            Message("assistant", f"<p>{name}</p><SEG><obs>m1 {name}: 2.9 mL</obs> It is there{', 2.9 mL' * more}."),
        ),
        "brain",
    )
    for more, name in enumerate(["left hippocampus", "right hippocampus", "brainstem"])
]


def model_of(kind: str, *, tied: bool = True, noise: float = 0.1) -> DeixisModel:
    """A model whose adapter of a kind is not at its start."""
    settings = AdapterSettings(r=4, alpha=8, dropout=0.0, kind=kind, soft_tokens=3)
    model = DeixisModel.new(tiny_base(tied=tied), SEGMENTER, settings, image_tokens=IMAGE_TOKENS)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in model.language_model.parameters():
            if value.requires_grad:
                value.add_(noise * torch.randn(value.shape, generator=generator))
    return model


def logits(model: DeixisModel) -> torch.Tensor:
    rendered = conversation.render(TALKS[0].messages, model.tokenizer, image_tokens=IMAGE_TOKENS)
    visual = torch.randn(1, IMAGE_TOKENS, SEGMENTER.visual_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(torch.tensor([rendered.ids]), visual=visual).logits[0]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_loaded_folded_and_merged_are_equal(kind, tied, tmp_path):
    """Loaded to train on: the very same; folded into the weights by us: PEFT's own merge, and no parameter more than
    the base has (but for biases and soft tokens)."""
    model = model_of(kind, tied=tied)
    model.save_pretrained(tmp_path)
    wanted = logits(model)
    assert not torch.allclose(wanted, logits(model_of(kind, tied=tied, noise=0)), atol=0.05)
    loaded = DeixisModel.from_pretrained(tmp_path, tiny_base(tied=tied), trainable=True)
    assert torch.equal(logits(loaded), wanted)
    folded = DeixisModel.from_pretrained(tmp_path, tiny_base(tied=tied))
    assert torch.allclose(logits(folded), wanted, atol=1e-3)
    theirs = loaded.merge().language_model.state_dict()
    ours = folded.language_model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.allclose(value, theirs[name], atol=1e-5) for name, value in ours.items())
    assert json.loads((tmp_path / "config.json").read_text())["adapter"]["kind"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_in_packs_trains_all_of_it_and_the_loss_falls(kind):
    """Gradients reach each of the adapter's parameters; only what the file holds is trained; the loss is the model's
    own; five steps lower it."""
    model = model_of(kind)
    model.segmenter.requires_grad_(False)
    bank = tiny_bank(tiny_segmenter(), cases=1, ways=1)
    example = prepare(TALKS[0], model.tokenizer, IMAGE_TOKENS)
    batch = collate([pack([example], 150, 0)], bank, np.random.default_rng(0))
    packed = PackedModel(model)
    labels = torch.tensor([example.rendered.labels])
    visual = bank.families["brain"][0].visual[None]
    alone = model(torch.tensor([example.rendered.ids]), labels=labels, visual=visual).loss
    torch.testing.assert_close(token_loss(packed(batch)), alone if kind != "adalora" else without_penalty(model, alone))
    parameters = run.trainable(model)
    held = sum(v.numel() for v in adapter.state(model.language_model, model.config.adapter).values())
    assert held == sum(p.numel() for n, p in parameters.items() if "projector" not in n)
    optimizer = torch.optim.AdamW(parameters.values(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = token_loss(packed(batch))
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    silent = [n for n, p in parameters.items() if "region" not in n and (p.grad is None or not p.grad.abs().sum() > 0)]
    assert not silent
    assert losses[-1] < losses[0] - 0.1


def without_penalty(model: DeixisModel, loss: torch.Tensor) -> torch.Tensor:
    """PEFT's own forward adds AdaLoRA's penalty: it is the one that the stages add."""
    return loss - RankBudget(model, steps=10).penalty()


def test_adalora_cuts_ranks_to_the_average_that_was_asked_for():
    model = model_of("adalora")
    bank = tiny_bank(tiny_segmenter(), cases=1, ways=1)
    example = prepare(TALKS[0], model.tokenizer, IMAGE_TOKENS)
    batch = collate([pack([example], 150, 0)], bank, np.random.default_rng(0))
    packed, steps = PackedModel(model), 12
    optimizer = torch.optim.AdamW(run.trainable(model).values(), lr=1e-3)
    budget = RankBudget(model, steps)
    for step in range(steps):
        (token_loss(packed(batch)) + budget.penalty()).backward()
        optimizer.step()
        budget.after_step(step)
        optimizer.zero_grad()
    values = [p for n, p in model.language_model.named_parameters() if "lora_E" in n]
    assert sum(len(v) for v in values) == 6 * len(values)  # half as many again as asked for, 4
    assert 0 < sum(int((v != 0).sum()) for v in values) <= 4 * len(values)
    with pytest.raises(run.ConfigError, match="anew"):
        RankBudget(model, steps, done=3)


def test_soft_tokens_stand_before_a_conversation_and_not_before_a_phrase():
    model = model_of("prompt")
    soft = conversation.soft_ids(model.tokenizer)
    assert len(soft) == 3
    rendered = conversation.render(TALKS[0].messages, model.tokenizer, image_tokens=IMAGE_TOKENS)
    assert rendered.ids[:3] == soft
    assert not set(soft) & set(rendered.ids[3:])
    assert [model.tokenizer.convert_ids_to_tokens(i) for i in soft] == ["<soft0>", "<soft1>", "<soft2>"]
    assert not set(soft) & set(conversation.render_phrase("liver", model.tokenizer).ids)
    assert not set(soft) & set(conversation.encode_text(model.tokenizer, "<soft0> typed"))


def test_checkpoints_of_before_have_lora():
    """A config.json that has no kind of adapter, as the embedded default's."""
    values = DeixisConfig(SEGMENTER).to_dict()
    del values["adapter"]
    values["lora"] = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}
    settings = DeixisConfig.from_dict(values).adapter
    assert settings == AdapterSettings(4, 8, 0.0, ("q_proj", "v_proj"), "lora")
    with pytest.raises(ModelError, match="'loha'"):
        AdapterSettings(kind="loha")


def test_the_table_counts_what_the_files_hold(tmp_path):
    model = model_of("lora").eval()
    model.segmenter.requires_grad_(False)
    model.save_pretrained(tmp_path)
    sizes = {part.name: part for part in footprint.parts(model)}
    in_file = sum(v.numel() for v in load_file(tmp_path / checkpoint.ADAPTER).values())
    assert sizes["adapter"].parameters + sizes["rows of added tokens"].parameters == in_file
    assert sizes["projectors"].file == 4 * sum(v.numel() for v in load_file(tmp_path / checkpoint.PROJECTOR).values())
    assert sizes["adapter"].memory == 3 * sizes["adapter"].file
    lines = footprint.table(model).splitlines()
    assert [line.split("  ")[0] for line in lines[:5]] == [
        "trained", "adapter", "rows of added tokens", "projectors", "all",
    ]  # fmt: skip
    assert f"{sizes['adapter'].parameters:,}" in lines[1]


@pytest.fixture(scope="module")
def step():  # type: ignore[no-untyped-def]
    """A model, eight packs of unequal conversations, and what the gradients of a split of them are."""
    model = moved_model()
    model.segmenter.requires_grad_(False)
    bank = tiny_bank(model.segmenter, cases=1, ways=1)  # nothing to draw: a scan is always the same
    talks = [*TALKS, Talk((Message("user", "Hello"), Message("assistant", "Hello, show me a scan.")), "brain")]
    examples = [prepare(talk, model.tokenizer, IMAGE_TOKENS) for talk in talks]
    packs = [pack([examples[i % 4]], 250, 0) for i in range(6)]
    packs += [pack([examples[0], examples[1]], 250, 0), pack([examples[3], examples[3]], 250, 0)]
    phrases: FrozenCodes = frozen_codes(tiny_base(), model.segmenter)
    parameters = run.trainable(model)

    def gradients(rows: int, *, recompute: bool = False) -> dict[str, torch.Tensor]:
        packed = PackedModel(model, recompute=recompute)
        rng = np.random.default_rng(0)
        batches = [collate(packs[i : i + rows], bank, rng) for i in range(0, len(packs), rows)]
        counts, learner = Counts.of(batches), Learner(packed, phrases, 0.5)
        for batch in batches:
            learner(batch, counts).loss.backward()
        found = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
        model.zero_grad(set_to_none=True)
        return found

    return gradients


@pytest.mark.parametrize("rows", [1, 2])
def test_how_a_step_is_split_changes_nothing(step, rows):
    """1 x 8 = 8 x 1 = 2 x 4 to 1e-5, though packs differ in supervised tokens and one half of them has no <SEG>."""
    whole, split = step(8), step(rows)
    assert whole.keys() == split.keys()
    assert max(float(g.abs().max()) for g in whole.values()) > 0.01
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, atol=1e-5, rtol=1e-4)


def test_recomputed_activations_give_equal_gradients(step, monkeypatch):
    """And each layer does run twice."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    calls = []
    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: calls.append(1) or forward(self, x))
    kept = step(8)
    once = len(calls)
    again = step(8, recompute=True)
    assert len(calls) == 3 * once
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.slow  # importing bitsandbytes takes longer than all other tests here
@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_a_quantised_base_is_trained_through(quantize, tmp_path):
    """QLoRA: the frozen weights are quantised, gradients reach every part of the adapter, also after a look without
    gradients, and the loss falls; the checkpoint opens on the quantised and on the whole base."""
    pytest.importorskip("bitsandbytes")
    tokenizer = tiny_tokenizer()
    tiny_lm(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    parts = load_base(tmp_path / "base", quantize=quantize)
    segmenter = tiny_segmenter()
    model = DeixisModel.new(parts, segmenter, SETTINGS, image_tokens=IMAGE_TOKENS)
    model.segmenter.requires_grad_(False)
    linear = model.language_model.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert linear.weight.dtype in (torch.uint8, torch.int8)
    bank = tiny_bank(segmenter, cases=1, ways=1)
    example = prepare(TALKS[0], model.tokenizer, IMAGE_TOKENS)
    batch = collate([pack([example], 150, 0)], bank, np.random.default_rng(0))
    packed = PackedModel(model)
    with torch.no_grad():
        packed(batch)
    parameters = run.trainable(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = token_loss(packed(batch))
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert not [n for n, p in parameters.items() if "region" not in n and not p.grad.abs().sum() > 0]
    assert losses[-1] < losses[0] - 0.3
    model.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        wanted = logits(model)
        again = DeixisModel.from_pretrained(tmp_path / "model", tmp_path / "base", quantize=quantize, trainable=True)
        # int8 rounds what goes into a layer too: the last bit of a sum may become a step of 1/127
        torch.testing.assert_close(logits(again), wanted, atol=1e-4 if quantize == "4bit" else 0.1, rtol=1e-4)
        whole = DeixisModel.from_pretrained(tmp_path / "model", tmp_path / "base")
        labels, visual = torch.tensor([example.rendered.labels]), bank.families["brain"][0].visual[None]
        loss = whole(torch.tensor([example.rendered.ids]), labels=labels, visual=visual).loss
    assert loss < losses[0] - 0.2


def test_an_encoder_is_adapted_and_merged():
    """LoRA on its convolutions and attention alone is trained; merged, its modules are those of before and what it
    gives is what it gave."""
    torch.manual_seed(0)
    encoder = VisionEncoder((8, 8, 8, 8, 8), (1, 1, 1, 1, 1), 4, 16).eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    scan, context = torch.randn(1, 10, 32, 32, 32), torch.randn(1, 4, 16, 16, 16)
    plain = encoder(scan, context).pixel.detach()
    trained = adapter.adapt_encoder(encoder, 2, 4)
    names = {n for n, m in encoder.named_modules() if isinstance(m, nn.Conv3d) and n.endswith("lora_A.default")}
    assert any("conv1" in name for name in names)
    assert torch.equal(encoder(scan, context).pixel, plain)  # LoRA starts at nothing
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(2):  # A gets its first gradient once B is not zero
        optimizer.zero_grad()
        features = encoder(scan, context)
        loss = sum(part.square().sum() for part in (features.pixel, features.deep, features.tokens))
        (1e-4 * loss).backward()
        optimizer.step()
    assert all(p.grad is not None for p in trained)
    assert any("qkv.lora_A" in n and p.grad.abs().sum() > 0 for n, p in encoder.named_parameters() if p.requires_grad)
    wanted = encoder(scan, context).pixel.detach()
    assert not torch.allclose(wanted, plain, atol=1e-3)
    adapter.merge_encoder(encoder)
    after = encoder.state_dict()
    assert after.keys() == before.keys()
    torch.testing.assert_close(encoder(scan, context).pixel, wanted, atol=1e-4, rtol=1e-3)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {"stem.weight", "attention.qkv.weight"} <= changed
    assert not any("norm" in name or ".up." in name or name.endswith("bias") for name in changed)
