"""Is it there? Which absent structures are asked for, in which views, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from tests.test_evaluate import Answers
from training import pope
from training.robustness import part_of
from training.scans import Scan, absent

SHAPE = (30, 20, 20)
AFFINE = np.array([[-3.0, 0.2, 0, 40], [0.1, 3.0, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])  # stored to the left
VOLUME = Volume.from_array(np.random.default_rng(0).normal(100, 5, SHAPE), AFFINE, modality="MR")


def stored(start: int, stop: int, z: int = 2) -> np.ndarray:
    """RAS slices start to stop, on the grid as it is stored."""
    mask = np.zeros(SHAPE, bool)
    mask[start:stop, 4:16, z : z + 6] = True
    return VOLUME.to_native(mask)


TRUTHS = {"left thalamus": stored(2, 9), "right thalamus": stored(20, 28), "brainstem": stored(12, 17, 10)}
SCAN = Scan("brain", "case", Path("x.nii"), TRUTHS, absent("brain"), (3.0, 3.0, 3.0))


def test_random_ones_were_never_taught_and_popular_ones_most_of_all():
    assert not any(ontology.by_name()[name].taught for name in pope.random_absent(SCAN))
    popular = pope.popular_absent(SCAN)
    assert popular[0] == "tumour"  # two of five families of scans are about nothing else
    assert set(popular) == {"tumour", "larynx", "esophagus"}
    shares = [pope.popularity(name) for name in popular]
    assert shares == sorted(shares, reverse=True)
    assert np.isclose(sum(pope.popularity(s.name) for s in ontology.all_structures()), 1)
    assert pope.co_occurring(SCAN) == [name for name in SCAN.absent if name in ("larynx", "esophagus")]


def test_a_view_has_nothing_of_one_structure_and_all_of_others():
    found = list(pope.views(SCAN, VOLUME))
    assert {view.absent: view.why for view in found} == {
        "left thalamus": "other side", "right thalamus": "other side", "brainstem": "neighbour"
    }  # fmt: skip
    for view in found:
        inside = tuple(slice(*cut) for cut in view.cuts)
        assert not VOLUME.from_native(TRUTHS[view.absent])[inside].any()
        for name in view.present:
            whole = VOLUME.from_native(TRUTHS[name])
            assert whole[inside].sum() == whole.sum() > 0
        part = part_of(VOLUME, view.cuts)
        assert min(part.extent_mm) >= pope.LEAST_VIEW_MM
        corner = np.array([[float(start) for start, _ in view.cuts]])
        np.testing.assert_allclose(part.to_world(np.zeros((1, 3))), VOLUME.to_world(corner), atol=1e-4)
    assert next(v for v in found if v.absent == "left thalamus").present[0] == "right thalamus"


def test_what_runs_on_beyond_its_contour_is_never_called_absent():
    neck = replace(SCAN, truths={"spinal cord": TRUTHS["left thalamus"], "mandible": TRUTHS["right thalamus"]})
    assert [view.absent for view in pope.views(neck, VOLUME)] == ["mandible"]


class Says(Answers):
    """A session that says ``word`` to every question."""

    word = "Yes"

    def ask(self, text: str, points=None) -> Reply:
        return replace(super().ask(text), text=f"x (m1)\n{self.word}, so it is.")


def rows_of(word: str) -> list[pope.Poll]:
    session, views = Says({}), []

    def open_view(volume: Volume, view: pope.View) -> Says:
        views.append(Says({}))
        views[-1].word = word
        return views[-1]

    session.word = word
    rows = list(pope.poll(session, open_view, SCAN, VOLUME, "brain", 0, 2))
    assert session.undone == len(session.asked) == len(set(session.asked))  # one question for random and popular
    assert len(views) == 2
    return rows


def test_as_many_present_as_absent_and_popes_figures():
    always = pope.summarise(rows_of("Yes"))
    assert list(always) == list(pope.STRENGTHS)
    for strength in always.values():
        assert strength["accuracy"]["value"] == strength["precision"]["value"] == 0.5
        assert strength["recall"]["value"] == strength["yes_rate"]["value"] == 1
        assert strength["f1"] == 2 / 3
        assert strength["negative"]["value"] == 0
    assert set(always["adversarial"]["by_why"]) <= {"other side", "neighbour", "of a kindred scan"}
    never = pope.summarise(rows_of("I cannot tell"))["random"]
    assert (never["negative"]["value"], never["yes_rate"]["value"], never["cannot_tell"]["value"]) == (1, 0, 1)
    assert np.isnan(never["precision"]["value"])


def test_the_article_fits():
    session = Says({})
    pope._ask(session, "esophagus")
    assert session.asked == ["Is there an esophagus in this scan?"]
