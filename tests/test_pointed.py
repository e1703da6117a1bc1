"""What is pointed at: which questions ask for its name, and what is told of a place that no mask claims."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from assistant import pointed, workbench
from assistant.generate import Done, Grounded
from assistant.operations import gap_mm
from assistant.pointed import BESIDE_MM, Asked, read, told
from assistant.prompt_encoder import Prompt
from assistant.rivals import Claims
from assistant.study import Study
from assistant.volume import Volume
from tests.test_quantity import finding
from tests.test_reference import GLOSSARY, LEFT, RIGHT, STEM
from tests.tiny_segmenter import drawing_segmenter


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


def test_what_is_told():
    stem, taught = finding("m1", STEM, 20.04, 50), (LEFT, RIGHT, STEM)
    assert told(Asked(), (stem, 0.0), taught) == "This is the brainstem (m1, 20.0 mL)."
    assert told(Asked((STEM,)), (stem, 0.0), taught) == "Yes. This is the brainstem (m1, 20.0 mL)."
    assert told(Asked((LEFT,)), (stem, 0.0), taught) == "No. This is the brainstem (m1, 20.0 mL)."
    none = "None of the structures that I was taught holds that place."
    beside = "The nearest is the brainstem (m1, 20.0 mL), right beside it."
    assert told(Asked(), (stem, 5.0), taught) == f"{none} {beside}"
    assert told(Asked(), (stem, 5.1), taught) == f"{none} The nearest is the brainstem (m1, 20.0 mL)."
    assert told(Asked((LEFT,)), None, taught) == f"No. {none} None is near it either."
    unknown = "I was never taught to find the liver, so I cannot say whether this is it."
    assert told(Asked(("liver",)), None, taught) == f"{unknown} None is near it either."
    assert told(Asked(("liver",)), (stem, 0.0), taught) == "No. This is the brainstem (m1, 20.0 mL)."


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
    view.rivals.coarse = [claims]
    near, far = (tuple(np.rint(grid.from_index(np.array([at]))[0]).astype(int)) for at in ([10, 10, 10], [20, 10, 10]))
    claims.best[near], claims.owner[near] = 3.0, 0
    claims.best[far], claims.owner[far] = 3.0, 1
    assert view.nearest(np.array([[8, 10, 10]]), ["ear", "nose"]) == "ear"
    assert view.nearest(np.array([[8, 10, 10]]), ["nose"]) == "nose"
    assert view.nearest(np.array([[25, 10, 10]]), ["ear", "nose"]) == "nose"
    assert view.nearest(np.array([[10, 10, 45]]), ["ear", "nose"]) is None


def test_a_place_in_no_mask_gets_no_name(two_masks):
    """The nearest mask is shown; where the drawn mask holds the place after all, it is that one."""
    mask = two_masks.volume.from_native(two_masks.native_mask("m2"))
    inside = np.argwhere(mask)[:1]
    outside = np.argwhere(~mask)[:1]
    place = np.zeros(mask.shape, bool)
    place[tuple(outside[0])] = True
    beside = ", right beside it" if gap_mm(place, mask, two_masks.volume.affine) <= BESIDE_MM else ""

    def said(spots: np.ndarray, asked: Asked, near: str | None) -> str:
        events = list(workbench._point_out(two_masks.chat, "What is this?", asked, spots, None, near))
        assert isinstance(events[-1], Done)
        two_masks.chat.undo()
        return events[-1].visible

    assert "The nearest is the left block (m2, " in said(outside, Asked(), "m2")
    assert f" mL){beside}." in said(outside, Asked(), "m2")
    assert "This is the left block (m2, " in said(inside, Asked(), "m2")
    assert "holds that place. None is near it either." in said(outside, Asked(), None)
    assert "I was never taught to find the left block" in said(outside, Asked(("left block",)), None)


def test_a_place_in_a_part_is_in_the_whole(two_masks, monkeypatch):
    """Asked whether it is the whole of what holds the place, that is looked at first."""
    config = dataclasses.replace(two_masks.study.segmenter.config, wholes=("m1",))
    monkeypatch.setattr(two_masks.study.segmenter, "config", config)
    monkeypatch.setattr(type(two_masks.chat), "shown", lambda *_: [])
    spots = np.argwhere(two_masks.volume.from_native(two_masks.native_mask("m2")))[:1]
    found = []
    for event in workbench._point_out(two_masks.chat, "Is this m1?", Asked(("m1",)), spots, "m2", None):
        found += [event.finding.id] if isinstance(event, Grounded) else []
    assert found == ["m1"]  # which is everywhere


def test_without_taught_structures_the_model_names_what_is_pointed_at(two_masks):
    prompt = Prompt(points_mm=np.zeros((1, 3)), labels=np.array([1]))
    assert workbench.by_pointing(two_masks.chat, "What is this?", prompt) is None
    assert pointed.read("What is this?", two_masks.chat.model.glossary) is not None
