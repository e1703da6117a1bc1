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


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float, spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    grid = np.indices(shape).astype(float)
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True)) <= radius**2


def test_surface_of_balls_of_known_radii():
    """Two concentric balls of 12 and 8 mm on anisotropic voxels: every surface point is 4 mm from the other surface."""
    spacing = (1.0, 0.5, 1.25)
    small, large = (ball((40, 80, 32), (20, 40, 16), r, spacing) for r in (8.0, 12.0))
    s = metrics.surface(small, large, spacing, 1.0)
    assert s.hd == pytest.approx(4, abs=1)
    assert s.hd95 == pytest.approx(4, abs=0.8)
    assert s.asd == pytest.approx(4, abs=0.5)
    assert s.nsd < 0.02
    assert metrics.surface(small, large, spacing, 5.0).nsd > 0.99
    assert metrics.surface(large, large, spacing, 0.1) == metrics.Surface(0, 0, 0, 1)


def test_surface_agrees_with_monai():
    """MONAI measures between voxel centres on the surface, without areas: alike to a voxel."""
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    one, two = ball((30, 30, 30), (14, 15, 15), 9), ball((30, 30, 30), (16, 15, 14), 8)
    ours = metrics.surface(one, two, (1, 1, 1), 1.0)
    p, t = (torch.from_numpy(m)[None, None].float() for m in (one, two))
    assert ours.hd == pytest.approx(float(compute_hausdorff_distance(p, t, include_background=True)), abs=1)
    assert ours.hd95 == pytest.approx(
        float(compute_hausdorff_distance(p, t, include_background=True, percentile=95)), abs=1
    )
    theirs = compute_average_surface_distance(p, t, include_background=True, symmetric=True)
    assert ours.asd == pytest.approx(float(theirs), abs=0.5)


def test_surface_of_nothing():
    truth, nothing = ball((20, 20, 20), (10, 10, 10), 5), np.zeros((20, 20, 20), bool)
    missed = metrics.surface(nothing, truth, (1, 1, 1), 1.0)
    assert missed.nsd == 0
    assert math.isnan(missed.hd)
    assert math.isnan(metrics.surface(truth, nothing, (1, 1, 1), 1.0).nsd)


def test_lesion_by_lesion():
    """Three lesions, the large one found exactly, one found half, one missed; and one find of nothing."""
    truth = np.zeros((40, 12, 12), bool)
    truth[2:12, 1:11, 1:11] = truth[16:20, 2:6, 2:6] = truth[24:26, 2:4, 2:4] = True
    prediction = np.zeros_like(truth)
    prediction[2:12, 1:11, 1:11] = prediction[16:18, 2:6, 2:6] = prediction[34:36, 2:4, 2:4] = True
    found = metrics.lesions(prediction, truth)
    assert (found.truths, found.found, found.false) == (3, 2, 1)
    assert found.dice == pytest.approx((1 + 2 * 32 / (32 + 64) + 0) / 3)
    assert metrics.lesions(np.zeros_like(truth), truth).dice == 0


def test_presence_is_judged_by_rank_and_by_what_it_promises():
    there, presence = [True, True, True, False, False], [0.9, 0.95, 0.35, 0.3, 0.05]
    assert metrics.auroc(there, presence) == 1
    assert metrics.auroc(there[::-1], presence) == 0
    assert metrics.auroc([True, False, True], [0.2, 0.4, 0.6]) == 0.5
    assert math.isnan(metrics.auroc([True, True], [0.3, 0.4]))
    assert metrics.auroc([*there, True], [*presence, math.nan]) == 1
    diagram = metrics.reliability(there, presence)
    assert [(b.low, b.n, b.was) for b in diagram] == [(0, 1, 0), (0.3, 2, 0.5), (0.9, 2, 1)]
    assert metrics.calibration_error(diagram) == pytest.approx((0.05 + 2 * abs(0.325 - 0.5) + 2 * 0.075) / 5)
    assert metrics.calibration_error(metrics.reliability([True, False], [1.0, 0.0])) == 0
    assert math.isnan(metrics.calibration_error([]))


def test_cumulative_iou_and_correlation():
    assert metrics.cumulative_iou([1, 90], [2, 100]) == pytest.approx(91 / 102)
    assert math.isnan(metrics.cumulative_iou([], []))
    assert metrics.correlation([0.1, 0.5, 0.9, math.nan], [0.2, 0.3, 0.8, 0.5]) == 1
    assert math.isnan(metrics.correlation([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]))


def test_an_interval_over_scans_is_wider_than_one_over_questions():
    """Ten structures of a scan that fail together are one failure, not ten."""
    values = np.repeat(np.array([[0.9], [0.8], [0.2], [0.85]]), 10, 1)
    low, high = metrics.clustered_interval(values)
    single = metrics.mean_interval(values.ravel())
    assert low < single[0] < values.mean() < single[1] < high
    values[1:, 3] = math.nan  # a structure of one scan alone
    assert all(0.2 < v < 0.95 for v in metrics.clustered_interval(values))
    assert math.isnan(metrics.clustered_interval(values[:1])[0])
