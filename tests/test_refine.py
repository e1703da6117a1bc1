"""Stage Refine: only the refiner learns, and a click costs less after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.drawing import BLANK
from assistant.layer import Layer
from assistant.preprocess import Grid
from assistant.segmenter import Segmenter
from assistant.study import Study
from assistant.volume import Volume
from tests.test_baselines import crop
from tests.tiny_training import tiny_segmenter
from training import refine
from training.pack import save_packed
from training.refine import RefineConfig, click_losses, truth_on
from training.stage import load_segmenter, made_how

NAMES = ("anterior hippocampus", "posterior hippocampus")


@pytest.fixture
def taught() -> Segmenter:
    segmenter = tiny_segmenter()
    segmenter.fit_taught((NAMES,), (), torch.randn(2, segmenter.config.state_dim))
    return segmenter


def test_an_expert_mask_lies_on_a_layers_voxels():
    """A layer at twice the volume's spacing that begins at its voxel (1, 0, 2)."""
    mask = np.zeros((16, 16, 16), bool)
    mask[4:8, 2:6, 6:10] = True
    grid = Grid((8, 8, 8), 2.0, (0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
    layer = Layer(torch.zeros(1, 4, 5, 6), grid, np.array([1, 0, 2]))
    expected = torch.zeros(4, 5, 6, dtype=torch.bool)
    expected[1:3, 1:3, 1:3] = True
    assert torch.equal(truth_on(layer, mask), expected)


def test_clicks_go_to_the_largest_error_and_stop_when_there_is_none(taught):
    study = Study(Volume.from_array(crop("a").image.numpy(), np.eye(4), modality="MR"), taught)
    (layer,) = study.view.drawing.layers(NAMES[:1])
    truth = torch.zeros(layer.logits.shape, dtype=torch.bool)
    truth[20, 20, 20] = True
    one = replace(layer, margins=torch.full_like(layer.margins, 10 * BLANK))
    losses, dice = click_losses(study.view.drawing, one, truth, 5, 1.0)
    assert dice[0] == 0
    assert len(losses) == len(dice) - 1 >= 1
    right = replace(layer, margins=torch.where(truth, 9.0, -9.0)[None])
    assert click_losses(study.view.drawing, right, truth, 5, 1.0) == ([], [1.0])


@pytest.mark.slow
def test_only_the_refiner_learns(taught, tmp_path: Path):
    save_packed(crop("a"), tmp_path / "pack")
    torch.save({"average": taught.state_dict(), "config": taught.config.to_dict()}, tmp_path / "see.pt")
    config = RefineConfig(see=tmp_path / "see.pt", packed=tmp_path / "pack", steps=3, log_every=1)
    path = refine.train(config, tmp_path / "refine")
    before, after = taught.state_dict(), load_segmenter(path).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("click_refiner.") for name in changed)
    (entry,) = made_how(path)
    assert (entry["stage"], entry["settings"]["seed"], entry["data"]["cases"]) == ("refine", 0, {"hippocampus": 1})
