"""Figures of texts: against values worked out by hand, with references from the templates; scores that are not here."""

from __future__ import annotations

import math
import sys
import types

import pytest

from assistant.errors import ModelError
from assistant.session import Reply
from tests.test_closed import FACTS, SCAN, VOLUME
from tests.test_evaluate import Answers
from training import radiology_scores, texts

SAID = ["the left hippocampus is 2.9 mL", "no liver"]
TRUE = ["the left hippocampus is 3.1 mL", "the liver was not found"]


def test_a_number_is_one_word():
    assert texts.words("The Left larynx (m1) is 2.9 mL.") == ["the", "left", "larynx", "m1", "is", "2.9", "ml"]


def test_figures_of_equal_texts_are_at_their_top():
    assert texts.bleu(TRUE, TRUE) == pytest.approx(100)
    assert texts.rouge_l(TRUE, TRUE) == [1, 1]
    assert texts.cider(TRUE, TRUE) == pytest.approx([10, 10])
    # METEOR's penalty: one chunk of n words takes half of (1 / n)^3
    assert texts.meteor(TRUE, TRUE) == pytest.approx([1 - 0.5 / 6**3, 1 - 0.5 / 5**3])


def test_rouge_and_meteor_by_hand():
    # ROUGE-L splits "2.9": 5 of 7 pieces are shared in order
    assert texts.rouge_l(SAID, TRUE)[0] == pytest.approx(5 / 7)
    assert texts.rouge_l(SAID, TRUE)[1] == pytest.approx(2 * (1 / 2) * (1 / 5) / (1 / 2 + 1 / 5))
    # 5 of 6 words match in two chunks; alpha 0.9, beta 3, gamma 0.5
    assert texts.meteor(SAID, TRUE)[0] == pytest.approx(5 / 6 * (1 - 0.5 * (2 / 5) ** 3))
    assert texts.meteor(["two livers"], ["the liver"])[0] > 0  # a stem
    assert texts.meteor(["gland"], ["spleen"]) == [0]


def test_cider_by_hand():
    """Two references, so a word of one alone weighs log 2 and a word of both nothing."""
    said, true = ["a b c", "x y"], ["a b d", "a y"]
    # first: 1-grams b is shared (a stands in both references, c in none: log 2 too, d log 2): said (b, c), true (b, d)
    one, two = 1 / 2, 1 / 2  # 2-grams: said (ab, bc), true (ab, bd)
    # second: 1-grams said (x, y), true (y): y shared; 2-grams: said (xy), true (ay): none
    other = math.log(2) ** 2 / (math.sqrt(2) * math.log(2) ** 2)
    assert texts.cider(said, true) == pytest.approx([10 * (one + two) / 4, 10 * other / 4])
    longer = texts.cider(["a b c c c", "x y"], true)[0]
    assert 0 < longer < texts.cider(said, true)[0]
    assert texts.cider(["", "x"], true) == pytest.approx([0, 0])


def test_references_are_the_templates_replies_with_the_experts_numbers():
    asked = list(texts.questions(SCAN, FACTS, "MR", 0, 2))
    assert asked == list(texts.questions(SCAN, FACTS, "MR", 0, 2))
    assert {kind for kind, _, _ in asked} == set(texts.KINDS)
    known = {*FACTS, *SCAN.absent}
    for kind, question, reference in asked:
        assert "<" not in reference
        assert question
        names = [name for name in known if name in reference]
        assert names, (kind, reference)
    volumes = [f"{m.volume_ml:.1f} mL" for m in FACTS.values()]
    assert any(volume in reference for _, _, reference in asked for volume in volumes)


def test_a_session_that_repeats_its_reference_is_told_so():
    references = {question: reference for _, question, reference in texts.questions(SCAN, FACTS, "MR", 0, 2)}

    class Parrot(Answers):
        def ask(self, text: str, points=None) -> Reply:
            super().ask(text)
            return Reply(references[text], (), {})

    session = Parrot({})
    rows = list(texts.ask(session, SCAN, FACTS, VOLUME, "brain", 0, 2))
    assert session.undone == len(rows) == len(references)
    summary = texts.summarise(rows, {"mine": lambda replies, references: [0.25] * len(replies)})
    assert summary["same"]["value"] == 1
    assert summary["bleu"] == pytest.approx(100)
    assert summary["scores"]["ROUGE-L"]["mean"] == 1
    assert summary["scores"]["mine"]["mean"] == 0.25


@pytest.mark.parametrize(("name", "package"), [("ratescore", "RaTEScore"), ("radgraph", "radgraph")])
def test_a_score_that_is_not_installed_says_what_it_needs_in_one_sentence(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError) as error:
        radiology_scores.load(name)
    assert f"pip install {package}" in str(error.value)
    assert "Hugging Face" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_that_is_not_there_is_said_too(monkeypatch):
    def offline(**options: object) -> None:
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setitem(sys.modules, "RaTEScore", types.SimpleNamespace(RaTEScore=offline))
    with pytest.raises(ModelError, match=r"OSError: We couldn't connect to the hub\): it needs pip install RaTEScore"):
        radiology_scores.load("ratescore")


def test_scores_are_called_as_their_packages_want(monkeypatch):
    """Fake packages with the signatures of RaTEScore 0.6 and radgraph 0.1.18."""

    class RaTEScore:
        def __init__(self, use_gpu: bool = True) -> None:
            assert not use_gpu

        def compute_score(self, candidate_list: list[str], reference_list: list[str]) -> list[float]:
            assert isinstance(candidate_list, list)
            return [float(c == r) for c, r in zip(candidate_list, reference_list, strict=True)]

    class F1RadGraph:
        def __init__(self, reward_level: str, model_type: str | None = None) -> None:
            assert (reward_level, model_type) == ("partial", "radgraph-xl")

        def __call__(self, refs: list[str], hyps: list[str]) -> tuple[float, list[float], list[str], list[str]]:
            return 0.5, [len(h) / len(r) for h, r in zip(hyps, refs, strict=True)], [], []

    monkeypatch.setitem(sys.modules, "RaTEScore", types.SimpleNamespace(RaTEScore=RaTEScore))
    monkeypatch.setitem(sys.modules, "radgraph", types.SimpleNamespace(F1RadGraph=F1RadGraph))
    assert radiology_scores.load("ratescore")(("a", "b"), ("a", "c")) == [1.0, 0.0]
    assert radiology_scores.load("radgraph")(("a", "b"), ("ab", "b")) == [0.5, 1.0]
