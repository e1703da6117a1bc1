"""Calibration recovers what it was given."""

from __future__ import annotations

import numpy as np

from training.calibrate import Answer, fit_mask_threshold, fit_quality, fit_temperature, fit_threshold


def test_temperature_of_overconfident_probabilities_is_found():
    """Labels drawn from logits, probabilities reported at half the temperature: the fit says 2."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20000)
    there = rng.random(20000) < 1 / (1 + np.exp(-logits))
    assert abs(fit_temperature(1 / (1 + np.exp(-2 * logits)), there) - 2) < 0.15


def test_answers_that_are_all_right_do_not_make_certainty():
    """Twenty right answers at 0.95 stay about 0.95; without Platt's targets the fit would be the grid's sharpest."""
    there = np.arange(20) % 2 == 0
    presence = np.where(there, 0.95, 0.05)
    temperature = fit_temperature(presence, there)
    calibrated = 1 / (1 + (0.05 / 0.95) ** (1 / temperature))
    assert 0.85 < calibrated < 0.96


def test_threshold_parts_what_can_be_parted():
    presence = np.array([0.1, 0.2, 0.35, 0.7, 0.8, 0.9])
    there = presence > 0.5
    assert 0.35 < fit_threshold(presence, there, np.zeros(6, int)) <= 0.7


def test_a_family_of_few_structures_is_heard_by_the_threshold():
    """Nine sure findings of one family do not outvote the only, less sure one of another."""
    presence = np.array([*[0.95] * 9, 0.6, *[0.7] * 2, *[0.1] * 8])
    there = np.array([True] * 10 + [False] * 10)
    family = np.array([0] * 9 + [1] + [0] * 10)
    assert fit_threshold(presence, there, np.zeros(20, int)) > 0.7
    assert fit_threshold(presence, there, family) <= 0.6


def answer(family: str, dice: float, *, there: bool = True) -> Answer:
    return Answer(family, "a", there, presence=0.9, quality=0.5, dice=dice, iou=dice)


def test_mask_threshold_is_the_best_of_the_families_alike_and_near_a_half():
    """0.3 is the best of all answers and 0.4 of the two families' means, which 0.5 all but reaches; of absent ones
    nothing is heard, and without any present one it is a half."""
    rows = {
        0.3: [answer("many", 0.80), answer("many", 0.80), answer("many", 0.80), answer("few", 0.40)],
        0.4: [answer("many", 0.75), answer("many", 0.75), answer("many", 0.75), answer("few", 0.50)],
        0.5: [answer("many", 0.75), answer("many", 0.75), answer("many", 0.75), answer("few", 0.49)],
    }
    assert fit_mask_threshold(rows) == 0.4
    assert fit_mask_threshold({**rows, 0.5: [answer("many", 0.75), answer("few", 0.497)]}) == 0.5
    absent = [answer("few", float("nan"), there=False)]
    assert fit_mask_threshold({t: [*answers, *absent] for t, answers in rows.items()}) == 0.4
    assert fit_mask_threshold(dict.fromkeys(rows, absent)) == 0.5


def test_quality_line_and_its_fallback():
    a, b = fit_quality(np.array([0.2, 0.4, 0.6]), np.array([0.3, 0.5, 0.7]))
    assert abs(a - 1) < 1e-6
    assert abs(b - 0.1) < 1e-6
    assert fit_quality(np.full(3, 0.5), np.array([0.1, 0.2, 0.3])) == (0.0, np.mean([0.1, 0.2, 0.3]))
