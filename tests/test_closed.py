"""Closed questions: the right answer, read from the text, in balance; who is to blame for a wrong one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.session import Reply
from assistant.volume import Volume
from tests.test_evaluate import Answers, finding
from training import closed
from training.closed import Question, answer, ask, expert_facts, mask_facts, questions, said
from training.scans import Scan

SHAPE = (24, 10, 10)
VOLUME = Volume.from_array(np.random.default_rng(0).normal(100, 5, SHAPE), np.diag([4.0, 4, 4, 1]), modality="MR")


def slab(start: int, stop: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[start:stop, 2:6, 2:6] = True
    return mask


# x grows to the patient's right
TRUTHS = {"left putamen": slab(1, 3), "left thalamus": slab(4, 8), "right thalamus": slab(14, 22)}
SCAN = Scan("brain", "case", Path("x.nii"), TRUTHS, ["liver", "pancreas"], (4.0, 4.0, 4.0))
FACTS = expert_facts(SCAN, VOLUME)


def test_right_answers_come_from_the_masks():
    def right(kind: str, parts: tuple[str, ...], side: str = "") -> str:
        return answer(Question(kind, "", parts, side), FACTS)

    assert right("larger", ("left thalamus", "left putamen")) == "yes"
    assert right("smaller", ("left thalamus", "left putamen")) == "no"
    assert right("which is larger", ("left putamen", "left thalamus")) == "left thalamus"
    assert right("which is smaller", ("left putamen", "left thalamus")) == "left putamen"
    assert right("largest of three", ("right thalamus", "left putamen", "left thalamus")) == "right thalamus"
    assert right("is it there", ("liver",)) == "no"
    assert (right("side", ("left putamen",), "left"), right("side", ("left putamen",), "right")) == ("yes", "no")
    assert right("larger", ("left thalamus", "liver")) == ""


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("larger", "a (m1), b (m2)\nYes, a is larger than b.", "yes"),
        ("larger", "No, a is smaller.", "no"),
        ("larger", "a (m1)\nThe a (m1) is 3.0 mL.", ""),
        ("larger", "no (m1)\nNote that a is large.", ""),  # the first line names, it does not answer
        ("which is larger", "a (m1), b (m2)\nThe a (1.0 mL) is smaller than the b (2.0 mL).", "b"),
        ("which is larger", "The b is larger than the a.", "b"),
        ("which is smaller", "The b is larger than the a.", "a"),
        ("which is smaller", "The a is 1.0 mL and the b is 2.0 mL.", ""),
        ("which is larger", "That is the b.", "b"),
        ("largest of three", "The a is 1 mL. The largest is the c. The b is 2 mL.", "c"),
        ("largest of three", "The a is 1 mL, the b is 2 mL and the c is 3 mL.", ""),
    ],
)
def test_an_answer_is_what_the_visible_words_choose(kind, text, expected):
    assert said(Question(kind, "", ("a", "b", "c")[: 3 if "three" in kind else 2]), text) == expected


def test_yes_and_no_and_the_places_of_right_answers_are_in_balance():
    asked = [q for seed in range(10) for q in questions(FACTS, SCAN.absent, np.random.default_rng(seed), 2)]
    assert {q.kind for q in asked} == set(closed.KINDS)
    for kind in closed.KINDS:
        group = [q for q in asked if q.kind == kind]
        places = [q.options.index(answer(q, FACTS)) for q in group]
        shares = [places.count(place) / len(group) for place in range(len(group[0].options))]
        most = 0.5 if kind != "largest of three" else 0.7  # one question a scan here: its place is drawn
        assert max(shares) <= most, (kind, shares)
    near = FACTS | {"right putamen": replace(FACTS["left putamen"], volume_ml=FACTS["left putamen"].volume_ml * 1.05)}
    pairs = [q.parts for q in questions(near, [], np.random.default_rng(0), 50) if q.kind == "larger"]
    assert pairs
    assert not any({"left putamen", "right putamen"} == set(parts) for parts in pairs)


def test_errors_of_masks_are_told_from_errors_of_words():
    """Masks of which the larger thalamus is the wrong one, in a text that is true to them; and an always-yes."""
    swapped = {"left thalamus": slab(0, 10), "right thalamus": slab(14, 18)}
    question = Question("larger", "?", ("right thalamus", "left thalamus"))
    reply = Reply("No, it is smaller.", tuple(finding(p, m) for p, m in swapped.items()), {})
    by_masks = answer(question, mask_facts(reply, question.parts, VOLUME))
    assert (answer(question, FACTS), by_masks, said(question, reply.text)) == ("yes", "no", "no")
    row = closed.Closed("brain", "case", "larger", "?", "yes|no", "yes", "no", "no", "")
    yes = replace(row, said="yes")
    kind = closed.summarise([row, yes])["kinds"]["larger"]
    assert kind["right"]["hits"] == 1
    assert kind["right_by_own_masks"]["hits"] == 1
    assert kind["masks_right"]["hits"] == 0


def test_always_yes_gets_what_chance_gives():
    session = Answers({name: (name, mask) for name, mask in TRUTHS.items()})
    session_yes = type("Yes", (Answers,), {"ask": lambda self, text, points=None: replace(
        Answers.ask(self, text), text="Yes, it is.")})(session.says)  # fmt: skip
    rows = list(ask(session_yes, SCAN, FACTS, VOLUME, "brain", 0, 2))
    assert session_yes.undone == len(rows)
    kinds = closed.summarise(rows)["kinds"]
    for kind in ("larger", "smaller", "is it there", "side"):
        assert kinds[kind]["right"]["value"] == kinds[kind]["chance"] == 0.5
    assert kinds["largest of three"]["answered"]["hits"] == 0
    assert kinds["side"]["masks_right"]["value"] == 1
