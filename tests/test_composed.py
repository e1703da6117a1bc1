"""Words that exclude and compose: exact truths, what counts as the answer, and a session that ignores "except"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from assistant.session import Reply
from data_recipes import ontology
from tests.test_evaluate import Answers, finding
from training import composed
from training.composed import Composition, answer_of, ask, compositions, nearest_half, of_two, union
from training.scans import Scan

SHAPE = (40, 6, 6)


def slab(start: int, stop: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[start:stop, 1:5, 1:5] = True
    return mask


NECK = [s.name for s in ontology.taught("head_neck")]
SIZES = {name: 2 + index % 5 for index, name in enumerate(NECK)}
TRUTHS = {name: slab(5 * index, 5 * index + SIZES[name] - 1) for index, name in enumerate(NECK)}
SCAN = Scan("head_neck", "case", Path("x.nii"), TRUTHS, [], (2.0, 1.0, 1.0))


def made(kind: str, each: int = 9) -> list[Composition]:
    return [c for c in compositions(SCAN, np.random.default_rng(0), each) if c.kind == kind]


def test_truths_are_the_set_operation_on_the_experts_masks():
    everything = next(c for c in made("all but one") if "parotid glands" in c.question)
    assert everything.question == "Segment everything except the parotid glands."
    truth = everything.make(TRUTHS)
    for name in NECK:
        assert (truth & TRUTHS[name]).any() != ("parotid" in name), name
    group = next(c for c in made("group but one") if c.question == "Segment the swallowing organs except the larynx.")
    np.testing.assert_array_equal(group.make(TRUTHS), TRUTHS["esophagus"])
    assert group.excluded == ("larynx",)
    (side,) = made("not that side")
    kept = "right parotid gland" if "not the left" in side.question else "left parotid gland"
    np.testing.assert_array_equal(side.make(TRUTHS), TRUTHS[kept])
    (both,) = made("both as one")
    np.testing.assert_array_equal(both.make(TRUTHS), TRUTHS["left parotid gland"] | TRUTHS["right parotid gland"])
    for kind, larger in (("larger of two", True), ("smaller of two", False)):
        for c in made(kind):
            sizes = {p: int(TRUTHS[p].sum()) for p in c.parts}
            best = (max if larger else min)(sizes, key=sizes.__getitem__)
            np.testing.assert_array_equal(c.make(TRUTHS), TRUTHS[best])
            assert c.excluded == tuple(p for p in c.parts if p != best)


def test_the_nearest_half_is_by_millimetres_to_the_other_structure():
    masks = {"a": slab(0, 6), "b": slab(10, 12), "none": np.zeros(SHAPE, bool)}
    np.testing.assert_array_equal(nearest_half("a", "b", (1, 1, 1))(masks), slab(3, 6))
    assert not nearest_half("a", "none", (1, 1, 1))(masks).any()
    assert of_two("a", "b", larger=True)(masks) is masks["a"]
    assert union(["a", "b"])(masks).sum() == 8 * 16


def test_the_answer_is_the_mask_that_was_made_of_others():
    one, other = (replace(finding(p, slab(0, 3)), id=i) for p, i in (("larynx", "m1"), ("mandible", "m2")))
    rest = replace(finding("half of larynx nearest to mandible", slab(0, 2)), id="m3", made="half of m1 nearest to m2")
    assert answer_of(Reply("", (one, other), {})) == [one, other]
    assert answer_of(Reply("", (one, other, rest), {})) == [rest]
    assert answer_of(Reply("", (finding("larynx", None),), {})) == []


class Lists(Answers):
    """A session that marks whatever structure the question names, excluded or not."""

    def ask(self, text: str, points=None) -> Reply:
        self.asked.append(text)
        words = text.replace("parotid glands", "left parotid gland, right parotid gland")
        return Reply("text", tuple(finding(p, TRUTHS[p]) for p in NECK if p in words), {})


def test_a_session_that_does_not_hear_except_is_found_out():
    session = Lists({})
    rows = list(ask(session, SCAN, "neck", 0, 2))
    assert session.undone == len(session.asked)
    assert all(row.plain == 1 for row in rows)  # the plain masks are the expert's: words alone are at fault
    kinds = composed.summarise(rows)
    assert set(kinds) == set(composed.KINDS)
    assert kinds["both as one"]["dice"] == 1
    assert kinds["both as one"]["left_out"]["total"] == 0
    for kind in ("all but one", "not that side", "not the named", "larger of two"):
        assert kinds[kind]["left_out"]["hits"] == 0, kind
        assert kinds[kind]["dice"] < 1


def test_no_answer_leaves_nothing_out():
    rows = list(ask(Answers({}), SCAN, "neck", 0, 1))
    assert all(row.dice == 0 for row in rows)
    assert not any(row.left_out for row in rows)
