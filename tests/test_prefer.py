"""Stage Prefer: its pairs differ in one fact, its loss is the paper's, and it does what it is for on a tiny model."""

from __future__ import annotations

import difflib
import math
import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from assistant.conversation import IGNORED, Message
from data_recipes.instructions.contradictions import KINDS, contradicted
from tests.killed import dies
from tests.test_training_smoke import started  # noqa: F401  a fixture
from tests.tiny_language import IMAGE_TOKENS as TOKENS
from tests.tiny_language import tiny_base
from tests.tiny_training import moved_model, tiny_bank, tiny_segmenter
from training import prefer, run
from training.data import Talk, collate, pack, prepare
from training.packed import PackedModel
from training.pairs import Pair, measured, packed_pair, pairs, split
from training.prefer import PreferConfig, chosen, log_probabilities, preference_loss
from training.samples import PackedCase

NOTE = "<p>left hippocampus</p><SEG><obs>m1 left hippocampus: 2.9 mL, 38.1 mm</obs>"


def talk(sentence: str, note: str = NOTE) -> Talk:
    messages = (Message("user", "Where is it?", image=True), Message("assistant", f"{note} {sentence}"))
    return Talk(messages, "brain", kind="show")


@pytest.mark.parametrize(
    ("kind", "sentence", "wrong"),
    [
        ("side", "The left hippocampus is marked.", "The right hippocampus is marked."),
        ("comparison", "Yes, this one is smaller than that one.", "Yes, this one is larger than that one."),
        ("presence", "No, the liver was not found in this scan.", "Yes, the liver was found in this scan."),
        ("presence", "The liver was not found in this scan.", "The liver was found in this scan."),
        ("presence", "Yes, the tumour (m1, 2 mL) is in this scan.", "No, the tumour (m1, 2 mL) is not in this scan."),
        ("side", "The liver is marked as m1: 3.0 mL.", None),
        ("number", "The left hippocampus is there, as m1.", None),
        ("presence", "The liver is marked as m1.", None),
        ("comparison", "The two are equal in volume.", None),
    ],
)  # fmt: skip
def test_one_fact_is_turned_round(kind, sentence, wrong):
    made = contradicted(f"{NOTE} {sentence}", kind, random.Random(0))
    assert made == (None if wrong is None else f"{NOTE} {wrong}")


def test_a_wrong_number_is_another_one_written_alike():
    seen = {contradicted(f"{NOTE} It is 2.9 mL.", "number", random.Random(n)) for n in range(60)}
    numbers = sorted(float(text.rsplit(" ", 2)[1]) for text in seen)
    assert numbers == [1.2, 1.7, 2.2, 3.8, 4.6, 7.0]  # 2.9 times 0.4, 0.6, 0.75, 1.3, 1.6, 2.4


def test_names_and_notes_are_left_as_they_are_and_talk_without_a_mask_has_no_pair():
    assert contradicted("I am Deixis. The left one is 2 mL.", "side", random.Random(0)) is None
    for kind in KINDS:
        for made in islice(pairs(3, [], 0.0, held_out=False), 40):
            right, wrong = (m[-1].content.rpartition("</obs>")[0] for m in (made.right.messages, made.wrong.messages))
            assert right == wrong, kind


def test_pairs_differ_in_the_contradicted_fact_alone():
    """What differs, word by word, is of the pair's own kind; and kinds come in turn."""
    allowed = {
        "side": r"left|right|Left|Right",
        "comparison": "smaller|larger",
    }
    found = list(islice(pairs(1, [], 0.0, held_out=False), 80))
    for pair in found:
        assert pair.right.messages[:-1] == pair.wrong.messages[:-1]
        assert pair.right.family == pair.wrong.family
        one, other = (t.messages[-1].content.split(" ") for t in (pair.right, pair.wrong))
        matched = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        changes = [c for c in matched if c[0] != "equal"]
        words = [w.strip(".,") for _, a, b, c, d in changes for w in (*one[a:b], *other[c:d])]
        if pair.kind in allowed:
            assert len(changes) == 1
            assert set(words) <= set(allowed[pair.kind].split("|"))
        elif pair.kind == "number":
            assert len(changes) == 1
            before, after = (float(w.lstrip("(")) for w in words)
            assert before != after
        else:
            assert {w.strip() for w in words} <= {"Yes", "No", "not"}
    counts = [sum(p.kind == kind for p in found) for kind in KINDS]
    assert min(counts) >= 10


def test_the_wrong_ending_sees_what_it_would_see_alone():
    """Both endings' log-probabilities in one row equal those of each conversation in a row of its own."""
    model = moved_model()
    bank = tiny_bank(model.segmenter, cases=1, ways=1)
    packed = PackedModel(model)
    pair = Pair(talk("The left hippocampus is 2.9 mL."), talk("The right hippocampus is 2.9 mL."), "side")
    row = packed_pair(pair, model.tokenizer, TOKENS, 300)
    batch = collate([row], bank, np.random.default_rng(0))
    together = log_probabilities(packed(batch), batch)[0]
    examples = [prepare(t, model.tokenizer, TOKENS) for t in (pair.right, pair.wrong)]
    a, b = (e.rendered.ids for e in examples)
    same = next(i for i in range(len(a)) if a[i] != b[i])
    for number, example in enumerate(examples):
        labels = [IGNORED] * same + example.rendered.labels[same:]
        alone = replace(example, rendered=replace(example.rendered, labels=labels))
        one = collate([pack([alone], 300, 0)], bank, np.random.default_rng(0))
        expected = log_probabilities(packed(one), one)[0, 0]
        torch.testing.assert_close(together[number], expected, atol=1e-4, rtol=1e-5)
    assert int((batch.labels != IGNORED).sum()) == len(a) + len(b) - 2 * same - 2  # two line breaks are not said
    assert packed_pair(pair, model.tokenizer, TOKENS, 60) is None


def test_the_loss_is_the_papers():
    """Rafailov et al. 2023, equation 7, by hand: beta 0.5, gains of (-1, -3) and (0, 1)."""
    policy, reference = torch.tensor([[-5.0, -9.0], [-2.0, -3.0]]), torch.tensor([[-4.0, -6.0], [-2.0, -4.0]])
    losses, margins = preference_loss(policy, reference, 0.5)
    assert margins.tolist() == [0.5 * (-1 + 3), 0.5 * (0 - 1)]
    assert losses.tolist() == pytest.approx([math.log1p(math.exp(-1.0)), math.log1p(math.exp(0.5))])


def test_every_group_is_read_once_an_epoch():
    assert sorted(chosen(0, step, 7) for step in range(7, 14)) == list(range(7))
    assert [chosen(0, s, 7) for s in range(7)] != [chosen(0, s, 7) for s in range(7, 14)]


def test_measured_facts_of_a_packed_case():
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    labels[:2, :3, :4] = 1
    image = torch.full((6, 6, 6), -100.0)
    image[:2, :3, :4] = 7.0
    case = PackedCase(
        "a", "head_neck", "CT", image, labels, np.array([0, 9, 11]), {9: "brainstem", 11: "larynx"}, np.full(3, 10.0)
    )
    facts = measured(case)
    assert facts.found["brainstem"].volume_ml == pytest.approx(24.0)
    assert facts.found["brainstem"].mean_intensity == pytest.approx(7.0)
    assert "larynx" in facts.absent
    with pytest.raises(ValueError, match="without an image"):
        measured(replace(case, image=None))
    many = [replace(facts, case=str(n)) for n in range(200)]
    shown, kept = split(many)
    assert len(shown) + len(kept) == 200
    assert 5 < len(kept) < 40


def config_for(folder) -> PreferConfig:  # type: ignore[no-untyped-def]
    return PreferConfig(
        start=folder / "start", features=folder / "features.pt", pairs=24, held_out=8, steps=20, rows=4, length=700,
        learning_rate=1e-2, warmup=1, beta=0.5, bf16=False, log_every=1, probe_talks=0,
    )  # fmt: skip


@pytest.mark.slow
def test_the_margin_rises_and_a_killed_run_goes_on(started):  # noqa: F811
    model = moved_model()
    model.segmenter = tiny_segmenter()
    model.save_pretrained(started / "start")
    config = config_for(started)
    prefer.train(config, started / "prefer", tiny_base())
    log = run.read_log(started / "prefer")
    margins = [line["margin"] for line in log if "margin" in line]
    before, after = (line for line in log if "held_out/right" in line)
    assert margins[0] == pytest.approx(0.0, abs=1e-5)  # the reference is the start itself
    assert np.mean(margins[-5:]) > 0.5
    assert before["held_out/loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert after["held_out/margin"] != before["held_out/margin"]  # 24 pairs teach so small a model nothing that lasts
    with dies(at=7, saved=7):
        prefer.train(config, started / "killed", tiny_base())
    prefer.train(config, started / "killed", tiny_base())
    again = [line["margin"] for line in run.read_log(started / "killed") if "margin" in line]
    assert again == margins


def test_the_config_file_can_be_read():
    file = prefer.__file__.replace("prefer.py", "configs/prefer.yaml")
    assert run.read_config(PreferConfig, prefer.Path(file)).beta == 0.1
