"""Metrics against hand-made masks, and against MONAI where the two define the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, MeanIoU

from training import metrics


def _cube(start: int, stop: int, size: int = 10) -> np.ndarray:
    mask = np.zeros((size, size, size), dtype=bool)
    mask[start:stop, 2:6, 2:6] = True
    return mask


def test_dice_and_iou_of_two_half_overlapping_boxes():
    # 4 slabs each, 2 shared: Dice 2*2/(4+4), IoU 2/6
    a, b = _cube(2, 6), _cube(4, 8)
    assert metrics.dice(a, b) == pytest.approx(0.5)
    assert metrics.iou(a, b) == pytest.approx(1 / 3)
    assert metrics.dice(a, a) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_monai_agrees(seed):
    rng = np.random.default_rng(seed)
    p, t = rng.random((2, 7, 8, 9)) < rng.uniform(0.05, 0.9)
    batch_p, batch_t = (torch.from_numpy(m)[None, None].float() for m in (p, t))
    assert metrics.dice(p, t) == pytest.approx(DiceMetric()(batch_p, batch_t).item(), abs=1e-6)
    assert metrics.iou(p, t) == pytest.approx(MeanIoU()(batch_p, batch_t).item(), abs=1e-6)


def test_empty_prediction_of_a_present_structure_scores_nothing_as_monai_says():
    t, empty = _cube(2, 6), np.zeros((10, 10, 10), dtype=bool)
    oracle = DiceMetric()(torch.from_numpy(empty)[None, None].float(), torch.from_numpy(t)[None, None].float())
    assert metrics.dice(empty, t) == oracle.item() == 0.0
    assert metrics.iou(empty, t) == 0.0
    assert metrics.volume_error(empty, t) == -1.0


@pytest.mark.parametrize("prediction", [np.zeros((10, 10, 10), dtype=bool), _cube(2, 6)])
def test_empty_truth_has_no_dice_whatever_was_predicted(prediction):
    empty = np.zeros((10, 10, 10), dtype=bool)
    oracle = DiceMetric()(torch.from_numpy(prediction)[None, None].float(), torch.from_numpy(empty)[None, None].float())
    assert math.isnan(oracle.item())
    for figure in (metrics.dice, metrics.iou, metrics.volume_error):
        assert math.isnan(figure(prediction, empty))


def test_volume_error_is_signed():
    assert metrics.volume_error(_cube(2, 7), _cube(2, 6)) == pytest.approx(0.25)
    assert metrics.volume_error(_cube(2, 5), _cube(2, 6)) == pytest.approx(-0.25)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one grid"):
        metrics.dice(_cube(2, 6), _cube(2, 6, size=11))


def test_sides():
    left, right = _cube(0, 3), _cube(7, 10)
    assert not metrics.sides_swapped(_cube(0, 3), left, right)
    assert metrics.sides_swapped(_cube(6, 9), left, right)
    assert not metrics.sides_swapped(_cube(0, 10), left, right)  # equal overlap: wrong, but not swapped
    assert not metrics.sides_swapped(np.zeros_like(left), left, right)


def test_presence_rates_count_each_kind_apart():
    there = [True, True, True, True, False, False]
    said = [True, True, True, False, False, True]
    rates = metrics.presence_rates(there, said)
    assert (rates.kept.hits, rates.kept.total) == (3, 4)
    assert (rates.refused.hits, rates.refused.total) == (1, 2)
    assert math.isnan(metrics.presence_rates([True], [True]).refused.value)


def test_wilson_interval_against_a_published_value():
    # 10 of 20: (0.299, 0.701); 0 of 10: (0, 0.278) - Newcombe 1998, method 3
    assert metrics.Rate(10, 20).interval == pytest.approx((0.299, 0.701), abs=1e-3)
    assert metrics.Rate(0, 10).interval == pytest.approx((0.0, 0.278), abs=1e-3)


def test_means_leave_undefined_values_out():
    assert metrics.mean([0.5, math.nan, 1.0]) == 0.75
    assert metrics.median([0.5, math.nan, 1.0, 0.6]) == 0.6
    assert math.isnan(metrics.mean([math.nan]))
    low, high = metrics.mean_interval([0.5, 0.7, math.nan, 0.6, 0.8])
    assert 0.5 <= low < 0.65 < high <= 0.8
