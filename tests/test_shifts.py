"""How much larger or smaller a structure's masks are drawn is fitted to what was outlined."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from assistant import drawing
from assistant.study import Study
from assistant.volume import Volume
from tests.tiny_segmenter import drawing_segmenter
from training import scans, shifts
from training.shifts import SHIFTS, Contest, bare, fit, mean_dice, winners

NAMES = ("left ear", "right ear", "nose")


def contest(seed: int, **error: float) -> Contest:
    """Random claims of 4,000 voxels, whose truth is what they would draw if each name's were not off by an error."""
    true = np.random.default_rng(seed).normal(0, 2, (3, 4000)).astype(np.float32)
    truth = np.where(true.max(0) > 0, true.argmax(0), -1)
    off = np.array([[error.get(bare(name), 0.0)] for name in NAMES], np.float32)
    return Contest(NAMES, true + off, truth, (0, 1, 2))


@pytest.mark.parametrize("error", [-1.0, 0.5])
def test_what_was_drawn_too_small_or_too_large_is_found_on_both_sides(error):
    """Ears a logit too weak, or half a logit too strong: the shift is the opposite, and masks are right."""
    seen = [contest(seed, ear=error) for seed in range(3)]
    fitted = fit(seen)
    assert fitted == {"ear": -error, "nose": 0.0}
    assert min(mean_dice(seen, fitted).values()) == 1.0
    assert max(mean_dice(seen, {}).values()) < 0.98


def test_what_is_right_is_left_alone():
    assert fit([contest(0), contest(1)]) == {"ear": 0.0, "nose": 0.0}


def test_a_shift_must_be_worth_it():
    """One voxel in 4,000 would be won by another logit."""
    one = contest(0)
    truth = one.truth.copy()
    truth[int(np.flatnonzero(winners(one, {}) == 2)[0])] = -1
    assert fit([dataclasses.replace(one, truth=truth)])["nose"] == 0.0


def test_each_shift_is_judged_as_if_everything_were_drawn_anew():
    """The quick sums equal Dice of masks drawn with the shift, a structure that nobody outlined among the rivals."""
    seen = [contest(0, ear=-1.0), dataclasses.replace(contest(1, ear=0.5), scored=(0, 2))]
    shift, counts = {"nose": 0.25}, {"left ear": 2, "right ear": 1, "nose": 2}
    quick = np.sum([shifts._totals(one, "ear", shift, counts) for one in seen], axis=0)
    slow = [sum(mean_dice(seen, {**shift, "ear": value}).values()) for value in SHIFTS]
    np.testing.assert_allclose(quick, slow, atol=1e-12)


def test_a_scans_contest_holds_its_claims_and_what_was_outlined(monkeypatch):
    """A structure that was not outlined competes and is not scored. Of one without rivals the contest's winners are the
    mask that the program draws, specks and all."""
    states = torch.randn(3, 24, generator=torch.Generator().manual_seed(9))
    voxels = np.random.default_rng(0).uniform(0, 100, (96, 60, 70)).astype(np.float32)
    voxels[20:60, 10:50, 10:50] += 400
    volume = Volume.from_array(voxels, np.diag([1.0, 1.5, 1.2, 1.0]), modality="MR")
    ball = np.zeros(volume.shape, bool)
    ball[30:50, 20:40, 20:40] = True
    scan = scans.Scan("body", "one", volume, {"ear": ball, "nose": ~ball & (voxels > 400)}, [], (1.0, 1.5, 1.2))
    monkeypatch.setattr(shifts, "VOXELS", 10**9)
    monkeypatch.setattr(scans, "scans", lambda *_, **__: iter([scan]))

    def contest_of(*names: str) -> tuple[Contest, Study]:
        model = drawing_segmenter(rival_threshold=0.0)
        model.fit_taught((names,), (), model.whiten(states[: len(names)]))
        (one,) = shifts.contests(model.eval(), ["body"], None, 1, 1)
        return one, Study(volume, model)

    one, _ = contest_of("ear", "nose", "chin")
    assert one.names == ("ear", "nose", "chin")
    assert one.scored == (0, 1)
    assert (one.truth == 0).sum() == ball.sum()
    assert (one.truth == 1).sum() == scan.truths["nose"].sum()
    monkeypatch.setattr(drawing, "without_specks", lambda mask: mask)
    alone, study = contest_of("ear")
    (found,) = study.decode(torch.zeros(1, 24), None, ["ear"])
    assert (winners(alone, {}) == 0).sum() == found.mask.sum() > 0
