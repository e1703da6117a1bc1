"""Packing changes nothing but the time it takes: the same states and losses as each conversation alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from assistant import conversation
from assistant.conversation import IGNORED, Message
from assistant.model import DeixisModel
from tests.tiny_language import IMAGE_TOKENS as TOKENS
from tests.tiny_training import moved_model, tiny_bank
from training.data import PADDING, SHARED, FeatureBank, Talk, attention_mask, collate, fill, pack, prepare
from training.packed import FrozenCodes, PackedModel, decode_first, distill, greedy_matches, token_loss
from training.talks import Talks, is_held_out, wording

TALKS = [
    Talk(
        (
            Message("user", "Where is the left hippocampus?", image=True),
            Message(
                "assistant",
                "<p>left hippocampus</p><SEG><obs>m1 left hippocampus: 2.9 mL, 38.1 mm</obs> It is there, 2.9 mL.",
            ),
            Message("user", "And both together?"),
            Message("assistant", "<p>m1 + m2</p><SEG><obs>m3 m1 + m2: 6.0 mL</obs> Together 6.0 mL."),
        ),
        "brain",
        kind="sided",
    ),
    Talk(
        (
            Message("user", "What is this?", image=True, region=True),
            Message("assistant", "<p>brainstem</p><SEG><obs>m1 brainstem: 20 mL</obs> This is the brainstem."),
        ),
        "brain",
        region="brainstem",
        kind="region",
    ),
    Talk(
        (Message("user", "Which scan?", image=True), Message("assistant", "An MR scan of the brain.")),
        "brain",
        kind="plain",
    ),
]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request) -> DeixisModel:
    return moved_model(tied=request.param)


@pytest.fixture(scope="module")
def bank(model) -> FeatureBank:
    return tiny_bank(model.segmenter, cases=1, ways=1)  # nothing to draw: a scan and a region are always the same


@pytest.fixture
def examples(model):
    return [prepare(talk, model.tokenizer, TOKENS) for talk in TALKS]


def test_phrases_of_computed_masks_prompt_nothing(examples):
    assert examples[0].phrases == ("left hippocampus", None)
    assert examples[1].phrases == ("brainstem",)


def test_a_region_without_its_phrase_is_refused(model):
    with pytest.raises(ValueError, match="<REG>"):
        prepare(Talk(TALKS[1].messages, "brain"), model.tokenizer, TOKENS)


def test_a_pack_keeps_every_token_once(examples):
    row = pack(examples, 400, pad_id=0)
    shared = examples[0].shared
    assert row.tokens == shared + sum(len(e) - shared for e in examples)
    assert (row.segments == SHARED).sum() == shared
    for number, example in enumerate(examples, 1):
        own = row.segments == number
        assert row.ids[own].tolist() == example.rendered.ids[shared:]
        assert row.labels[own].tolist() == example.rendered.labels[shared:]
        assert row.positions[own].tolist() == list(range(shared, len(example)))
    assert [p for _, p in row.segs] == ["left hippocampus", None, "brainstem"]
    assert (row.labels[row.segments <= SHARED] == IGNORED).all()


def test_rows_too_short_are_refused(examples):
    with pytest.raises(ValueError, match="more than a row"):
        pack(examples, 60, 0)
    with pytest.raises(ValueError, match="longer than a row"):
        fill(examples, 20, 0, np.random.default_rng(0))


def test_filling_keeps_families_apart_and_loses_nobody(model, examples):
    other = prepare(Talk(TALKS[2].messages, "head_neck"), model.tokenizer, TOKENS)
    packs = fill([*examples, other, *examples], 250, 0, np.random.default_rng(0))
    assert sorted(len(e) for p in packs for e in p.examples) == sorted(len(e) for e in [*examples, other, *examples])
    assert all(len({e.talk.family for e in p.examples}) == 1 and len(p.ids) == 250 for p in packs)


def test_who_sees_whom():
    # shared, shared, two tokens of 1, two of 2, one of padding
    seen = attention_mask(torch.tensor([[SHARED, SHARED, 1, 1, 2, 2, PADDING]]), torch.float32)[0, 0] == 0
    assert seen.long().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]


def alone(model: DeixisModel, bank: FeatureBank, example) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[no-untyped-def]
    """(hidden (L, D), summed loss) of one conversation through the model's own forward."""
    case = bank.families[example.talk.family][0]
    region = None if example.talk.region is None else case.regions[example.talk.region][:1]
    ids, labels = torch.tensor(example.rendered.ids)[None], torch.tensor(example.rendered.labels)
    out = model(ids, visual=case.visual[None], regions=region)
    return out.hidden[0], F.cross_entropy(out.logits[0, :-1], labels[1:], ignore_index=IGNORED, reduction="sum")


def test_a_pack_equals_its_conversations_one_by_one(model, bank, examples):
    """States at every token, and the loss with its gradients: packed, and through `DeixisModel.forward`."""
    batch = collate([pack(examples, 300, 0)], bank, np.random.default_rng(0))
    packed = PackedModel(model)
    states = packed(batch)
    total = torch.zeros(())
    for number, example in enumerate(examples, 1):
        hidden, loss = alone(model, bank, example)
        total = total + loss
        torch.testing.assert_close(
            states.hidden[0][batch.segments[0] == number], hidden[example.shared :], atol=2e-5, rtol=1e-4
        )
    supervised = sum(label != IGNORED for e in examples for label in e.rendered.labels)
    assert len(states.targets) == supervised
    torch.testing.assert_close(token_loss(states), total / supervised, atol=1e-5, rtol=1e-4)
    parameters = [p for n, p in sorted(model.named_parameters()) if p.requires_grad and "segmenter" not in n]
    one = torch.autograd.grad(token_loss(states), parameters, allow_unused=True)
    many = torch.autograd.grad(total / supervised, parameters, allow_unused=True)
    assert any(g is not None and g.abs().max() > 0 for g in one)
    for a, b in zip(one, many, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_seg_states_are_those_that_generation_reads(model, bank, examples):
    batch = collate([pack(examples, 300, 0)], bank, np.random.default_rng(0))
    hidden = PackedModel(model)(batch).hidden
    wanted = [conversation.seg_states(alone(model, bank, e)[0], e.rendered.seg_positions) for e in examples]
    torch.testing.assert_close(
        hidden[batch.seg_index[:, 0], batch.seg_index[:, 1]], torch.cat(wanted), atol=2e-5, rtol=1e-4
    )


def test_distillation_is_nothing_when_the_states_are_the_frozen_ones(model, bank, examples):
    batch = collate([pack(examples, 300, 0)], bank, np.random.default_rng(0))
    hidden = torch.randn(1, 300, model.config.segmenter.lm_dim)
    names = ["left hippocampus", "brainstem", "right hippocampus"]
    states = torch.randn(3, hidden.shape[-1])
    model.segmenter.fit_states(states)
    frozen = FrozenCodes(names, states, model.segmenter)
    far = distill(hidden, batch, model.segmenter, frozen)
    for (row, index), phrase in zip(batch.seg_index.tolist(), batch.phrases, strict=True):
        if phrase is not None:
            hidden[row, index] = states[names.index(phrase)]
    near = distill(hidden, batch, model.segmenter, frozen)
    assert near.count == far.count == 2  # the mask algebra is left out
    assert near.loss.item() == pytest.approx(0, abs=1e-5)
    assert near.error == pytest.approx(0, abs=1e-8)
    assert near.nearest == 1.0
    assert far.loss > 0.1
    with pytest.raises(KeyError, match="left hippocampus"):
        distill(hidden, batch, model.segmenter, FrozenCodes(names[1:], states[1:], model.segmenter))


def test_the_probe_says_what_greedy_decoding_does(model, bank):
    """A reply made of what greedy decoding says is begun right by the one-pass probe; another reply is not."""
    tokenizer = model.tokenizer
    seg, end = (conversation.token_id(tokenizer, t) for t in (conversation.SEG, conversation.END))
    found = {}
    for talk in TALKS[1:]:
        example = prepare(talk, tokenizer, TOKENS)
        _, said, wanted = decode_first(model, example, bank, np.random.default_rng(0), most=12)
        assert said != wanted  # an untrained model
        states = PackedModel(model)(collate([pack([example], 300, 0)], bank, np.random.default_rng(0)))
        batch = collate([pack([example], 300, 0)], bank, np.random.default_rng(0))
        (row,) = greedy_matches(states, batch, [[talk.kind]], seg, end)
        assert (row.first_right, row.kind, row.tokens) == (False, talk.kind, len(states.targets))
        # the likeliest first token of the one is the first token of the other
        found[talk.kind] = tokenizer.decode([int(states.logits[0].argmax())])
        assert said.startswith(found[talk.kind])
        right = replace(states, targets=states.logits.argmax(1))
        right.targets[-1] = end
        (row,) = greedy_matches(right, batch, [[talk.kind]], seg, end)
        assert row.tokens_right >= row.tokens - 1


def test_a_bank_survives_its_file(tmp_path, bank):
    bank.save(tmp_path / "features.pt")
    again = FeatureBank.load(tmp_path / "features.pt")
    assert again.made_by == bank.made_by
    assert again.image_tokens == TOKENS
    for family, cases in bank.families.items():
        for a, b in zip(cases, again.families[family], strict=True):
            torch.testing.assert_close(a.visual, b.visual, atol=1e-2, rtol=1e-3)
            assert a.regions.keys() == b.regions.keys()
    with pytest.raises(KeyError, match="brain, head_neck"):
        bank.draw("tumour_mr", np.random.default_rng(0))


def test_batches_have_two_shapes_and_none_of_the_held_out_wordings(model, bank):
    talks = Talks(model.tokenizer, bank, pack_length=500, rows=3, chunk=60, captions=0.2, known=Everything())
    stream = talks.batches(seed=0)
    made = [next(stream) for _ in range(20)]
    assert {tuple(len(p.ids) for p in batch) for batch in made} <= {(500, 500, 500), (1500,)}
    trained = {
        wording(m.content) for b in made for p in b for e in p.examples for m in e.talk.messages if m.role == "user"
    }
    held = talks.held_out_examples(seed=0, most=20)
    assert len(held) == 20
    assert all(is_held_out(example.talk) for example in held)
    assert not any(is_held_out(Talk((Message("user", words),), "brain")) for words in trained)


def test_batches_depend_on_the_seed_alone_and_can_be_skipped(model, bank):
    def ids(skip: int, seed: int = 0) -> list[list[list[int]]]:
        talks = Talks(model.tokenizer, bank, pack_length=600, rows=2, chunk=40, captions=0.2, known=Everything())
        stream = talks.batches(seed, skip)
        return [[p.ids.tolist() for p in next(stream)] for _ in range(4)]

    whole = ids(0)
    assert whole == ids(0)
    assert whole != ids(0, seed=1)
    assert ids(2)[:2] == whole[2:]


class Everything:
    """Contains every phrase."""

    def __contains__(self, phrase: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How big is the left hippocampus?", "how big is the {}?"),
        ("Is the L HC smaller than the right one?", "is the {} smaller than the {} one?"),
        ("m1 and m2 together", "{} and {} together"),
    ],
)
def test_a_wording_is_a_question_without_its_names(text, expected):
    assert wording(text) == expected
