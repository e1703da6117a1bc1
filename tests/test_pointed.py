"""What is pointed at: which questions ask for its name, and what is told of a place that no mask claims."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from assistant import Session, pointed, workbench
from assistant.generate import Done, Grounded
from assistant.pointed import BESIDE_MM, Asked, away_mm, read, told
from assistant.prompt_encoder import Prompt
from assistant.rivals import Claims
from assistant.study import Study
from assistant.volume import Volume
from tests.test_quantity import finding
from tests.test_reference import GLOSSARY, LEFT, RIGHT, STEM
from tests.test_session import CLICK
from tests.test_workbench import BOX
from tests.tiny_segmenter import drawing_segmenter


@pytest.fixture
def session(tiny_scan, tiny_model) -> Session:
    """m1 is everywhere, m2 was drawn with a click and kept in a box."""
    session = Session.open(tiny_scan, model=tiny_model)
    session.ask("Show me the left block.")
    session.ask("Where is it?", points=[CLICK])
    session.refine("m2", box=BOX)
    return session


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("What is this?", Asked()),
        ("What's that structure?", Asked()),
        ("Which structure is marked here?", Asked()),
        ("Name this.", Asked()),
        ("Is this the brainstem?", Asked((STEM,))),
        ("Is that part of the left hippocampus?", Asked((LEFT,))),
        ("is this a hippocampus?", Asked((LEFT, RIGHT))),
        ("Ist das der Hirnstamm?", Asked((STEM,))),
        ("How big is this?", None),
        ("What is the volume of this?", None),
        ("Segment this.", None),
        ("Show the brainstem here.", None),
        ("Is this the brainstem or the left hippocampus?", None),
        ("Is the brainstem larger than this?", None),
    ],
)
def test_what_a_question_that_points_asks(question, wanted):
    asked = read(question, GLOSSARY)
    if wanted is None or asked is None:
        assert asked is wanted
    else:
        assert set(wanted.phrases) == set(asked.phrases) & {LEFT, RIGHT, STEM}
        assert bool(wanted.phrases) == bool(asked.phrases)


def test_how_far_a_place_is_from_a_mask_is_in_the_patient():
    """Voxels of 1 x 2 x 3 mm: two voxels along z are 6 mm; of several places the nearest counts."""
    ramp = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
    volume = Volume.from_array(ramp, np.diag([1.0, 2.0, 3.0, 1.0]))
    mask = np.zeros(volume.shape, bool)
    mask[4, 4, 2:4] = True
    assert away_mm(volume, mask, np.array([[4, 4, 5]])) == pytest.approx(6)
    assert away_mm(volume, mask, np.array([[4, 4, 5], [4, 5, 3]])) == pytest.approx(2)
    assert away_mm(volume, mask, np.array([[0, 0, 0], [4, 4, 3]])) == 0


def test_what_is_told():
    stem = finding("m1", STEM, 20.04, 50)
    assert told(Asked(), stem, None, []) == "This is the brainstem (m1, 20.0 mL)."
    assert told(Asked((STEM,)), stem, None, []) == "Yes. This is the brainstem (m1, 20.0 mL)."
    assert told(Asked((LEFT,)), stem, None, []) == "No. This is the brainstem (m1, 20.0 mL)."
    none = "None of the structures that I was taught holds that place."
    beside = "The nearest is the brainstem (m1, 20.0 mL), right beside it."
    assert told(Asked(), None, (stem, 5.0), []) == f"{none} {beside}"
    assert told(Asked(), None, (stem, 5.1), []) == f"{none} The nearest is the brainstem (m1, 20.0 mL)."
    assert told(Asked((LEFT,)), None, None, []) == f"No. {none} None is near it either."
    liver = workbench.Note("", "liver", 0.0, taught=False)
    assert told(Asked(("liver",)), None, None, [liver]).startswith("I was never taught to find the liver, so I cannot")


def test_the_nearest_claim_is_found_and_none_that_is_far():
    """Of two names the one whose claim on the coarse level comes nearest; one that is not asked for is passed over."""
    model = drawing_segmenter(rival_threshold=0.0)
    model.fit_taught((("ear", "nose"),), (), model.whiten(torch.randn(2, 24)))
    volume = Volume.from_array(np.random.default_rng(0).uniform(0, 100, (48, 48, 48)).astype(np.float32), np.eye(4))
    view = Study(volume, model.eval()).whole
    assert view.rivals is not None
    grid = view.canonical.coarse_grid
    shape = tuple(grid.shape)
    claims = Claims(torch.full(shape, -9.0), torch.zeros(shape, dtype=torch.uint8))
    view.rivals.coarse = [claims, None]
    near, far = (tuple(np.rint(grid.from_index(np.array([at]))[0]).astype(int)) for at in ([10, 10, 10], [20, 10, 10]))
    claims.best[near], claims.owner[near] = 3.0, 0
    claims.best[far], claims.owner[far] = 3.0, 1
    assert view.nearest(np.array([[8, 10, 10]]), ["ear", "nose"]) == "ear"
    assert view.nearest(np.array([[8, 10, 10]]), ["nose"]) == "nose"
    assert view.nearest(np.array([[25, 10, 10]]), ["ear", "nose"]) == "nose"
    assert view.nearest(np.array([[10, 10, 45]]), ["ear", "nose"]) is None


def test_a_place_in_no_mask_gets_no_name(session):
    """The nearest mask is shown; where the drawn mask holds the place after all, it is that one."""
    mask = session.volume.from_native(session.native_mask("m2"))
    inside = np.argwhere(mask)[:1]
    outside = np.argwhere(~mask)[:1]
    beside = ", right beside it" if away_mm(session.volume, mask, outside) <= BESIDE_MM else ""

    def said(spots: np.ndarray, asked: Asked, near: str | None) -> str:
        events = list(workbench._point_out(session.chat, "What is this?", asked, spots, None, near))
        assert isinstance(events[-1], Done)
        session.chat.undo()
        return events[-1].visible

    assert "The nearest is the left block (m2, " in said(outside, Asked(), "m2")
    assert f" mL){beside}." in said(outside, Asked(), "m2")
    assert "This is the left block (m2, " in said(inside, Asked(), "m2")
    assert "holds that place. None is near it either." in said(outside, Asked(), None)
    assert "I was never taught to find the left block" in said(outside, Asked(("left block",)), None)


def test_a_place_in_a_part_is_in_the_whole(session, monkeypatch):
    """Asked whether it is the whole of what holds the place, that is looked at first."""
    config = dataclasses.replace(session.study.segmenter.config, wholes=("m1",))
    monkeypatch.setattr(session.study.segmenter, "config", config)
    monkeypatch.setattr(type(session.chat), "shown", lambda *_: [])
    spots = np.argwhere(session.volume.from_native(session.native_mask("m2")))[:1]
    found = []
    for event in workbench._point_out(session.chat, "Is this m1?", Asked(("m1",)), spots, "m2", None):
        found += [event.finding.id] if isinstance(event, Grounded) else []
    assert found == ["m1"]  # which is everywhere


def test_without_taught_structures_the_model_names_what_is_pointed_at(session):
    prompt = Prompt(points_mm=np.zeros((1, 3)), labels=np.array([1]))
    assert workbench.by_pointing(session.chat, "What is this?", prompt) is None
    assert pointed.read("What is this?", session.chat.model.glossary) is not None
