"""Looks at a scan that should agree: what a mirrored one is asked, what comes back, and where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assistant.drawing import Drawing
from assistant.errors import QuestionError
from assistant.glossary import other_side
from assistant.segmenter import Segmenter
from assistant.study import Study
from assistant.uncertainty import bent, mirrored, other_looks, uncertainties
from assistant.volume import Volume
from tests.tiny_training import tiny_segmenter

NAMES = ("left block", "right block", "stem")


def scan(modality: str = "MR") -> Volume:
    """An oblique, anisotropic scan of two blocks, the one of greater x larger."""
    voxels = np.random.default_rng(0).uniform(0, 20, (50, 44, 40)).astype(np.float32)
    voxels[8:18, 10:30, 10:30] += 300
    voxels[28:44, 10:30, 10:30] += 300
    turned = np.array([[0.98, -0.17, 0, 5], [0.17, 0.98, 0, -3], [0, 0, 1, 9], [0, 0, 0, 1]])
    return Volume.from_array(voxels, turned @ np.diag([1.1, 1.0, 1.4, 1]), modality=modality)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    model = tiny_segmenter()
    model.fit_taught((NAMES,), (), torch.randn(3, model.config.state_dim, generator=torch.Generator().manual_seed(4)))
    return model.eval()


def test_names_change_sides_as_words_do():
    assert other_side("left inferior lateral ventricle") == "right inferior lateral ventricle"
    assert other_side("cleft lip") == "cleft lip"
    assert other_side(other_side("right parotid gland")) == "right parotid gland"


def test_a_mirrored_look_comes_back_to_its_own_voxels(segmenter, monkeypatch):
    """A drawing that says where voxels are brightest on the image's left (or right) half gives one answer from every
    way of looking, so the entropy is 0: had sides or axes not been put back, half of it would disagree."""

    def halves(self: Drawing, name: str) -> np.ndarray:
        # RAS+: x grows to the patient's right in the array's own order here, "left" is the low half
        out = self.view.volume.voxels > 150
        middle = out.shape[0] // 2
        out[middle:] &= name == "right block"
        out[:middle] &= name == "left block"
        return out.astype(np.float32)

    monkeypatch.setattr(Drawing, "probability", halves)
    volume = scan()
    (seen,) = uncertainties(Study(volume, segmenter), ["left block"])
    expected = volume.voxels > 150
    expected[25:] = False
    assert np.array_equal(seen.probability, expected.astype(np.float32))
    assert seen.entropy.max() < 1e-4


@pytest.mark.parametrize("modality", ["CT", "MR", "PET"])
def test_looks_are_on_one_grid_and_bend_both_ways(modality):
    volume = scan(modality)
    looks = list(other_looks(volume))
    assert [flipped for _, flipped in looks] == [True, False, True]
    assert all(v.shape == volume.shape and np.array_equal(v.affine, volume.affine) for v, _ in looks)
    assert np.array_equal(mirrored(mirrored(volume)).voxels, volume.voxels)
    bright = volume.voxels > 200
    assert bent(volume, -1).voxels[bright].mean() < volume.voxels[bright].mean() < bent(volume, 1).voxels[bright].mean()


def test_probability_is_the_mask_at_a_half(segmenter):
    """Where the probability is over a half the voxel is in the mask, before specks are taken from it."""
    study = Study(scan(), segmenter)
    for name in NAMES:
        p = study.view.drawing.probability(name)
        assert p.shape == study.volume.shape
        assert 0 <= p.min() <= p.max() <= 1
        (found,) = study.decode(segmenter.state_mean[None] * 0, names=[name])
        if found.present:
            assert not (found.mask & (p <= 0.5)).any()


def test_entropy_is_between_nothing_and_one_bit(segmenter):
    (seen,) = uncertainties(Study(scan(), segmenter), ["stem"])
    assert 0 <= seen.entropy.min() <= seen.entropy.max() <= 1
    assert (seen.entropy[seen.probability == 0] == 0).all()


def test_what_was_never_taught_has_none(segmenter):
    with pytest.raises(QuestionError, match="'liver': the model was never taught it"):
        uncertainties(Study(scan(), segmenter), ["liver"])


def test_one_side_alone_is_not_looked_for_in_a_mirror(segmenter, monkeypatch):
    """A model that was taught a left block and no right one: two looks of four, and several names in each."""
    one = tiny_segmenter()
    one.fit_taught((("left block", "stem"),), (), segmenter.taught_codes[[0, 2]])
    asked: list[str] = []

    def nothing(self: Drawing, name: str) -> np.ndarray:
        asked.append(name)
        return np.zeros(self.view.volume.shape, np.float32)

    monkeypatch.setattr(Drawing, "probability", nothing)
    first, second = uncertainties(Study(scan(), one.eval()), ["left block", "stem"])
    assert asked == ["left block", "stem", "stem", "left block", "stem", "stem"]
    assert not first.entropy.any()
    assert not second.probability.any()
