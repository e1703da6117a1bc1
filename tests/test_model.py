"""The composed model: LoRA on a base with tied embeddings survives save, load and merge; loading is strict."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant import checkpoint, conversation
from assistant.conversation import Message
from assistant.errors import ModelError
from assistant.language import keep_trainable_4bit
from assistant.model import DeixisModel, LoraSettings
from assistant.segmenter import SegmenterConfig
from tests.tiny_language import IMAGE_TOKENS, TINY_SEGMENTER, WIDTH, tiny_base, tiny_model

TALK = [
    Message("user", "How big is this?", image=True, region=True),
    Message("assistant", "<p>liver</p><SEG><obs>m1 liver: 9.0 mL</obs> The liver is 9.0 mL."),
]


def batch(model):
    rendered = conversation.render(TALK, model.tokenizer, image_tokens=IMAGE_TOKENS)
    noise = torch.Generator().manual_seed(1)
    return {
        "ids": torch.tensor([rendered.ids]),
        "labels": torch.tensor([rendered.labels]),
        "visual": torch.randn(1, IMAGE_TOKENS, TINY_SEGMENTER.visual_dim, generator=noise),
        "regions": torch.randn(1, TINY_SEGMENTER.region_dim, generator=noise),
    }


@pytest.mark.parametrize("tied", [True, False])
def test_saved_loaded_and_merged_are_equal(tmp_path, tied):
    """The trained adapter gives the same logits after a save and load, and after merging; training can go on."""
    model = tiny_model(tied=tied)
    model.save_pretrained(tmp_path)
    inputs = batch(model)
    with torch.no_grad():
        before = model(**inputs)
        untrained = DeixisModel.new(tiny_base(tied=tied), TINY_SEGMENTER, image_tokens=IMAGE_TOKENS)(**inputs)
        loaded = DeixisModel.from_pretrained(tmp_path, base=tiny_base(tied=tied), trainable=True)
        assert not loaded.merged
        again = loaded(**inputs)
        merged = DeixisModel.from_pretrained(tmp_path, base=tiny_base(tied=tied))
        assert merged.merged
        fast = merged(**inputs)
    assert not torch.allclose(before.logits, untrained.logits, atol=0.1)  # else the rest would show nothing
    assert torch.equal(before.logits, again.logits)
    assert torch.equal(before.hidden, again.hidden)
    assert torch.allclose(before.logits, fast.logits, atol=1e-4)
    assert torch.allclose(before.hidden, fast.hidden, atol=1e-4)
    lm = merged.language_model
    assert (lm.get_input_embeddings().weight is lm.get_output_embeddings().weight) == tied
    theirs = loaded.merge().language_model.state_dict()  # PEFT's own merge
    assert theirs.keys() == lm.state_dict().keys()
    assert all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in lm.state_dict().items())


def test_a_trained_token_is_trained_in_embedding_and_head():
    """With tied embeddings, <SEG>'s row changes both what is read and what is predicted."""
    model = tiny_model()
    seg = conversation.token_id(model.tokenizer, "<SEG>")
    inputs = batch(model)
    with torch.no_grad():
        before = model(**inputs)
        for name, value in model.language_model.named_parameters():
            if "trainable_tokens" in name:
                value[conversation.SPECIAL.index("<SEG>")] += 1.0
        after = model(**inputs)
    assert not torch.allclose(before.logits[0, 0, seg], after.logits[0, 0, seg])
    others = [i for i in range(before.logits.shape[-1]) if i != seg]
    assert torch.allclose(before.logits[0, 0, others], after.logits[0, 0, others])  # no <SEG> was read by then


def test_only_what_is_meant_to_be_trained_gets_gradients():
    model = tiny_model()
    model.train()
    inputs = batch(model)
    output = model(**inputs)
    positions = conversation.render(TALK, model.tokenizer, image_tokens=IMAGE_TOKENS).seg_positions
    (output.loss + model.seg_states(output.hidden, [positions]).sum()).backward()
    trained = {name for name, value in model.language_model.named_parameters() if value.grad is not None}
    assert trained
    assert all("lora_" in name or "trainable_tokens" in name for name in trained)
    assert all(value.grad is not None for value in model.projector.parameters())
    assert all(value.grad is not None for value in model.region_projector.parameters())


def test_the_checkpoint_holds_what_was_trained_and_no_base(tmp_path):
    """The whole embedding is not in it, and the manifest names base, seeds and every file's hash."""
    model = tiny_model()
    manifest = model.save_pretrained(tmp_path, seeds={"see": 3}, data={"talks": 7}, dtype=torch.float16)
    state = load_file(tmp_path / checkpoint.ADAPTER)
    assert all(value.dtype == torch.float16 for value in state.values())
    assert not [name for name in state if "embed" in name and "trainable_tokens" not in name]
    tokens = [value for name, value in state.items() if "trainable_tokens" in name]
    assert [tuple(value.shape) for value in tokens] == [(len(conversation.SPECIAL) + 2, WIDTH)]
    assert not any(name.endswith("embed_tokens.weight") for name in state)
    values = json.loads((tmp_path / checkpoint.MANIFEST).read_text())
    assert values["base"] == {"name": "tiny", "sha256": "0" * 64}
    assert values["seeds"] == {"see": 3}
    assert values["files"].keys() == {"config.json", *(p.name for p in tmp_path.glob("*.safetensors"))}
    assert values["versions"]["deixis"]
    assert checkpoint.read(tmp_path)[1] == manifest
    assert len(manifest.sha256) == 64


def test_another_base_is_refused_with_both_hashes(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="0" * 64 + ".*" + "0" * 63 + "1"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base(seed=1))


def rewritten(folder, name, change):
    """Change a file of a checkpoint as if it had been written so: the manifest knows its hash."""
    state = load_file(folder / name)
    change(state)
    save_file(state, folder / name)
    values = json.loads((folder / checkpoint.MANIFEST).read_text())
    values["files"][name] = checkpoint.file_hash(folder / name)
    (folder / checkpoint.MANIFEST).write_text(json.dumps(values))


@pytest.mark.parametrize("name", [checkpoint.ADAPTER, checkpoint.PROJECTOR, checkpoint.SEGMENTER])
def test_loading_is_strict(tmp_path, name):
    """A missing, an unexpected and a misshapen tensor are each named."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    key = sorted(load_file(tmp_path / name))[0]
    rewritten(tmp_path, name, lambda state: state.update(extra=torch.zeros(1)))
    with pytest.raises(ModelError, match="unexpected extra"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())
    rewritten(tmp_path, name, lambda state: (state.pop("extra"), state.update({key: torch.zeros(1, 1, 1)})))
    with pytest.raises(ModelError, match=r"is \(1, 1, 1\), not"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())
    rewritten(tmp_path, name, lambda state: state.pop(key))
    with pytest.raises(ModelError, match="missing"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())


def test_damaged_checkpoints_are_named(tmp_path):
    with pytest.raises(ModelError, match="no Deixis checkpoint"):
        DeixisModel.from_pretrained(tmp_path)
    tiny_model().save_pretrained(tmp_path)
    manifest = (tmp_path / checkpoint.MANIFEST).read_text()
    data = (tmp_path / checkpoint.SEGMENTER).read_bytes()
    (tmp_path / checkpoint.SEGMENTER).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="was changed"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())
    (tmp_path / checkpoint.SEGMENTER).unlink()
    with pytest.raises(ModelError, match="has no segmenter"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())
    (tmp_path / checkpoint.MANIFEST).write_text(manifest[:40])
    with pytest.raises(ModelError, match="cannot be read"):
        DeixisModel.from_pretrained(tmp_path, base=tiny_base())


def test_a_merged_model_cannot_be_saved_apart(tmp_path):
    with pytest.raises(ModelError, match="trainable=True"):
        tiny_model().merge().save_pretrained(tmp_path)


def test_widths_must_fit():
    with pytest.raises(ModelError, match="width 31"):
        DeixisModel.new(tiny_base(), SegmenterConfig(lm_dim=31), LoraSettings(r=2))


def test_features_take_their_places():
    """Visual tokens stand where <image> stood, in order, and words are untouched; a wrong count is an error."""
    model = tiny_model()
    inputs = batch(model)
    ids = inputs["ids"][0]
    plain = model.embed(ids)[0]
    placed = model.embed(ids, inputs["visual"], inputs["regions"])[0]
    rendered = conversation.render(TALK, model.tokenizer, image_tokens=IMAGE_TOKENS)
    assert torch.equal(placed[rendered.image_positions], model.projector(inputs["visual"])[0])
    assert torch.equal(placed[rendered.region_positions], model.region_projector(inputs["regions"]))
    words = [i for i in range(len(ids)) if i not in {*rendered.image_positions, *rendered.region_positions}]
    assert torch.equal(placed[words], plain[words])
    with pytest.raises(ValueError, match="2 features were given for 1 <REG>"):
        model.embed(ids, inputs["visual"], inputs["regions"].repeat(2, 1))


def test_projected_tokens_start_as_large_as_words():
    model = DeixisModel.new(tiny_base(), TINY_SEGMENTER, image_tokens=IMAGE_TOKENS)
    size = model.language_model.get_input_embeddings().weight.square().mean().sqrt()
    projected = model.projector(torch.randn(1, IMAGE_TOKENS, TINY_SEGMENTER.visual_dim) * 50)
    assert projected.square().mean().sqrt().item() == pytest.approx(size.item(), rel=0.01)


@pytest.mark.slow  # importing bitsandbytes takes longer than all other tests here
def test_4_bit_stays_trainable():
    """bitsandbytes' CPU kernels would repack the weights at the first forward without gradients, and gradients through
    them would be zero from then on: LoRA's must be the same before and after such a forward."""
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4").to("cpu")
    layer.eval()
    keep_trainable_4bit(torch.nn.Sequential(layer))
    x = torch.randn(2, 64)
    before = torch.autograd.grad(layer(x.requires_grad_()).sum(), x)[0]
    with torch.no_grad():
        layer(x.detach())
    after = torch.autograd.grad(layer(x).sum(), x)[0]
    assert before.abs().sum() > 0
    assert torch.equal(before, after)
