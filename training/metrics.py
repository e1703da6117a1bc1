"""Figures for one mask, and for many.

The policy for empty masks, once for every figure here:

- truth not empty, prediction empty (missed or refused): Dice and IoU are 0, the volume error is -100 %.
- truth empty: Dice, IoU and the relative volume error are not defined and come back as NaN. Means leave NaN out.
  Whether the absent structure was refused is counted by :func:`presence_rates` and by nothing else, so that a model
  cannot lift its Dice by refusing, nor lose Dice by what the presence rates already count.

Masks are boolean arrays of one common shape (any axis order, both the same), compared voxel by voxel on the scan's own
grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


def _pair(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction has shape {prediction.shape} and the truth {truth.shape}: compare them on one grid"
        )
    return prediction.astype(bool), truth.astype(bool)


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """2 |P and T| / (|P| + |T|); NaN for an empty truth."""
    p, t = _pair(prediction, truth)
    if not t.any():
        return math.nan
    return 2.0 * float((p & t).sum()) / float(p.sum() + t.sum())


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """|P and T| / |P or T|; NaN for an empty truth."""
    p, t = _pair(prediction, truth)
    if not t.any():
        return math.nan
    return float((p & t).sum()) / float((p | t).sum())


def volume_error(prediction: np.ndarray, truth: np.ndarray) -> float:
    """(|P| - |T|) / |T|: signed, -1 when nothing was found; NaN for an empty truth.

    Relative, so the voxel size drops out: both masks are on one grid.
    """
    p, t = _pair(prediction, truth)
    if not t.any():
        return math.nan
    return float(p.sum()) / float(t.sum()) - 1.0


def sides_swapped(prediction: np.ndarray, own: np.ndarray, other: np.ndarray) -> bool:
    """Whether a prediction overlaps the other side's truth by more voxels than its own. An empty one is not swapped."""
    p, o = _pair(prediction, own)
    _, x = _pair(prediction, other)
    return bool((p & x).sum() > (p & o).sum())


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``total``, with the 95 % Wilson score interval (Wilson 1927)."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.total:
            return (math.nan, math.nan)
        z, n, p = 1.959964, self.total, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (max(0.0, middle - half), min(1.0, middle + half))

    def to_dict(self) -> dict[str, float | int | list[float]]:
        return {"value": self.value, "hits": self.hits, "total": self.total, "interval95": list(self.interval)}


@dataclass(frozen=True)
class PresenceRates:
    """``refused``: of the absent, those answered with no mask. ``kept``: of the present, those answered with one."""

    refused: Rate
    kept: Rate


def presence_rates(truth_present: Sequence[bool], said_present: Sequence[bool]) -> PresenceRates:
    """Counts over questions: was it there, and was a mask given?"""
    if len(truth_present) != len(said_present):
        raise ValueError(f"{len(truth_present)} truths and {len(said_present)} answers: give one answer for each")
    pairs = list(zip(truth_present, said_present, strict=True))
    absent = [said for there, said in pairs if not there]
    present = [said for there, said in pairs if there]
    return PresenceRates(
        refused=Rate(sum(not said for said in absent), len(absent)), kept=Rate(sum(present), len(present))
    )


def mean(values: Iterable[float]) -> float:
    """Mean without the NaNs; NaN when nothing is left."""
    kept = [v for v in values if not math.isnan(v)]
    return float(np.mean(kept)) if kept else math.nan


def median(values: Iterable[float]) -> float:
    """Median without the NaNs; NaN when nothing is left."""
    kept = [v for v in values if not math.isnan(v)]
    return float(np.median(kept)) if kept else math.nan


def mean_interval(values: Iterable[float], seed: int = 0, rounds: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (percentile method), values without NaN; (NaN, NaN) for fewer than two."""
    kept = np.array([v for v in values if not math.isnan(v)])
    if len(kept) < 2:
        return (math.nan, math.nan)
    rng = np.random.default_rng(seed)
    means = kept[rng.integers(0, len(kept), (rounds, len(kept)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return (float(low), float(high))
