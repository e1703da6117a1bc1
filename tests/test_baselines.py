"""A specialist on two small crops: what it is asked, what it ignores, and the way back to a scan's voxels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.volume import Volume
from training import baselines, run
from training.baselines import Patch, Specialist, SpecialistConfig, class_names, network, patch_loss
from training.pack import save_packed
from training.samples import PackedCase, Query

CONFIG = SpecialistConfig("hippocampus", 2, filters=(4, 4, 4, 4), workers=0, bf16=False, log_every=1)


def crop(name: str) -> PackedCase:
    """A bright block in two halves, in 48^3 voxels of 1 mm."""
    labels = np.zeros((48, 48, 48), np.uint8)
    labels[12:36, 10:24, 16:32], labels[12:36, 24:38, 16:32] = 1, 2
    image = torch.from_numpy(np.where(labels > 0, 200.0, 50.0).astype(np.float32))
    names = {1: "anterior hippocampus", 2: "posterior hippocampus"}
    return PackedCase(
        name, "hippocampus", "MR", image, torch.from_numpy(labels), np.arange(3), names, np.ones(3)
    )


def test_classes_have_both_sides_and_no_unions():
    case = replace(crop("a"), names={1: "left parotid gland", 2: "larynx"}, family="head_neck")
    assert class_names([case]) == ["larynx", "left parotid gland", "right parotid gland"]
    assert "tumour" in class_names([replace(case, family="brain")])


def test_what_was_not_contoured_is_neither_target_nor_background():
    """The loss does not see the outputs of a class that the case does not name, whatever they are."""
    labels = torch.zeros(4, 4, 4, dtype=torch.long)
    labels[:2] = 1
    patch = Patch(torch.zeros(1), labels, [Query("b", (1,), 1, True)])
    outputs = torch.randn(1, 3, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    loss, _ = patch_loss(outputs, patch, ["a", "b"], 0.0)
    outputs[:, :, 0] = 50.0
    other, dice = patch_loss(outputs, patch, ["a", "b"], 0.0)
    assert loss == other
    outputs[:, :, 1] = torch.where(labels == 1, 9.0, -9.0)
    perfect, dice = patch_loss(outputs, patch, ["a", "b"], 0.0)
    assert dice == 1
    assert perfect < 0.01 < other


def test_coarser_outputs_count_less():
    """Weights 4 : 2 : 1 over seven: wrong at full stride costs four times what it costs at the coarsest."""
    labels = torch.ones(4, 4, 4, dtype=torch.long)
    patch = Patch(torch.zeros(1), labels, [Query("a", (1,), 1, True)])
    costs = []
    for wrong in range(3):
        outputs = torch.full((1, 3, 1, 4, 4, 4), 40.0)
        outputs[:, wrong] = -40.0
        costs.append(float(patch_loss(outputs, patch, ["a"], 0.0)[0]))
    assert costs[0] == pytest.approx(2 * costs[1], rel=1e-3) == pytest.approx(4 * costs[2], rel=1e-3)


def test_a_winner_lies_where_the_network_said_on_the_scans_own_voxels():
    """A network that repeats its input: the bright block of an anisotropic scan comes back to within a voxel."""

    class Bright(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([image[:, :1] * 20 - 10, torch.full_like(image[:, :1], -10)], 1)

    voxels = np.full((60, 50, 30), 50, np.float32)
    voxels[20:40, 10:30, 8:20] = 400
    volume = Volume.from_array(voxels, np.diag([1.0, 1.2, 2.0, 1.0]), modality="MR")
    specialist = Specialist(Bright(), ["tumour", "larynx"], CONFIG, 0, 0.0)
    winner = specialist.segment(volume)
    assert set(np.unique(winner)) == {0, 1}
    mask, truth = specialist.mask(winner, "tumour"), voxels > 100
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    assert specialist.mask(winner, "spinal cord") is None
    assert not specialist.mask(winner, "brain").any()  # all classes but the tumour


@pytest.mark.slow
def test_trained_killed_resumed_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Two steps at once give the weights of one step and then another; the file is read back and scored."""
    for name in ("a", "b"):
        save_packed(crop(name), tmp_path / "pack")
    config = replace(CONFIG, packed=tmp_path / "pack", checkpoint_minutes=0.0)
    whole = torch.load(baselines.train(config, tmp_path / "whole" / "hippocampus"), weights_only=True)

    def killed(self: run.Run, *state: object) -> bool:
        self.save(*state)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Run, "save_when_due", killed)
        with pytest.raises(KeyboardInterrupt):
            baselines.train(config, tmp_path / "parts")
    parts = torch.load(baselines.train(config, tmp_path / "parts"), weights_only=True)
    assert all(torch.equal(value, parts["weights"][name]) for name, value in whole["weights"].items())
    loaded = Specialist.load(tmp_path / "whole" / "hippocampus" / "specialist.pt")
    assert loaded.classes == ["anterior hippocampus", "posterior hippocampus"]
    assert loaded.steps == 2
    rows = [baselines.Scored("x", "hippocampus", 0.5), baselines.Scored("y", "hippocampus", 0.7)]
    rows.append(baselines.Scored("x", "larynx", 1.0))
    assert baselines.summarise(rows)["dice_mean_over_structures"] == pytest.approx(0.8)  # structures alike, not rows
    assert baselines.main(["--evaluate", str(tmp_path / "none"), "--data", ".", "--out", "x"]) == 2
    assert "train one first" in capsys.readouterr().err


def test_outputs_are_classes_by_three_strides():
    net = network(CONFIG, 5).train()
    assert net(torch.zeros(1, 10, 16, 16, 16)).shape == (1, 3, 5, 16, 16, 16)
    with torch.no_grad():
        assert net.eval()(torch.zeros(1, 10, 16, 16, 16)).shape == (1, 5, 16, 16, 16)
