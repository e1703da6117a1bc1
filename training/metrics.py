"""Figures for one mask, and for many.

The policy for empty masks, once for every figure here:

- truth not empty, prediction empty (missed or refused): Dice, IoU and surface Dice are 0, the volume error is -100 %.
  There is no distance to a surface that is not there: distances are NaN, so their means are over what was found.
- truth empty: Dice, IoU, the relative volume error and all of a surface are not defined and come back as NaN. Means
  leave NaN out.
  Whether the absent structure was refused is counted by :func:`presence_rates` and by nothing else, so that a model
  cannot lift its Dice by refusing, nor lose Dice by what the presence rates already count.

Only gIoU counts absent targets, as its authors do: a refusal is 1 there, a false mask 0.

Masks are boolean arrays of one common shape (any axis order, both the same), compared voxel by voxel on the scan's own
grid. Surfaces and the ROC are left to the packages surface-distance (Nikolov et al. 2021) and scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

#: mm that two experts' contours may differ by: Nikolov et al. 2021, table 1, and a voxel for the structures of 1 mm
#: scans. What has no line here gets TOLERANCE_MM.
TOLERANCES_MM = {"brainstem": 2.5, "mandible": 1.01, "parotid gland": 2.85, "spinal cord": 2.93}
TOLERANCE_MM = 1.0


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


@dataclass(frozen=True)
class Surface:
    """Distances between two surfaces, mm: the greatest, the 95th percentile, the mean of both ways; and the share of
    both surfaces that lies within the tolerance of the other (normalised surface Dice)."""

    hd: float
    hd95: float
    asd: float
    nsd: float


def surface(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float) -> Surface:
    """Surfaces at subvoxel accuracy, each element weighted by its area; spacing (3,) mm of the masks' axes."""
    import surface_distance

    p, t = _pair(prediction, truth)
    if not t.any():
        return Surface(math.nan, math.nan, math.nan, math.nan)
    if not p.any():
        return Surface(math.nan, math.nan, math.nan, 0.0)
    found = surface_distance.compute_surface_distances(t, p, spacing)
    there, back = surface_distance.compute_average_surface_distance(found)
    areas = [float(found[f"surfel_areas_{name}"].sum()) for name in ("gt", "pred")]
    return Surface(
        float(surface_distance.compute_robust_hausdorff(found, 100)),
        float(surface_distance.compute_robust_hausdorff(found, 95)),
        float(there * areas[0] + back * areas[1]) / sum(areas),
        float(surface_distance.compute_surface_dice_at_tolerance(found, tolerance)),
    )


def tolerance_mm(base: str) -> float:
    """Tolerance of a structure, by its name without a side."""
    return TOLERANCES_MM.get(base, TOLERANCE_MM)


@dataclass(frozen=True)
class Lesions:
    """Connected parts (26 neighbours). found: of the truth's, those that the prediction touches; false: of the
    prediction's, those that touch no truth; dice: mean over the truth's, each with all that touches it."""

    truths: int
    found: int
    false: int
    dice: float


NO_LESIONS = Lesions(0, 0, 0, math.nan)


def lesions(prediction: np.ndarray, truth: np.ndarray) -> Lesions:
    """Lesion by lesion: a mask of one large lesion must not hide that small ones were missed."""
    p, t = _pair(prediction, truth)
    corners = np.ones((3, 3, 3))
    parts, count = ndimage.label(t, corners)
    mine, claimed = ndimage.label(p, corners)
    scores = []
    for part in range(1, count + 1):
        one = parts == part
        touching = np.isin(mine, np.setdiff1d(mine[one], [0]))
        scores.append(dice(touching, one))
    false = claimed - len(np.setdiff1d(mine[t], [0]))
    return Lesions(count, sum(s > 0 for s in scores), false, mean(scores))


def cumulative_iou(intersections: Sequence[float], unions: Sequence[float]) -> float:
    """cIoU (LISA, Lai et al. 2024): all intersections over all unions, in mL. Large targets dominate it."""
    return sum(intersections) / sum(unions) if sum(unions) else math.nan


def auroc(there: Sequence[bool], presence: Sequence[float]) -> float:
    """Probability that a present target was given more presence than an absent one; NaN where one kind is missing."""
    from sklearn.metrics import roc_auc_score

    known = [(t, p) for t, p in zip(there, presence, strict=True) if not math.isnan(p)]
    if len({t for t, _ in known}) < 2:
        return math.nan
    return float(roc_auc_score(*zip(*known, strict=True)))


@dataclass(frozen=True)
class Bin:
    """Answers with a presence in [low, high): how many, their mean presence, and the share that was there."""

    low: float
    high: float
    n: int
    said: float
    was: float


def reliability(there: Sequence[bool], presence: Sequence[float], bins: int = 10) -> list[Bin]:
    """The reliability diagram of a presence (DeGroot and Fienberg 1983), equal bins, empty ones left out."""
    known = np.array([(p, t) for t, p in zip(there, presence, strict=True) if not math.isnan(p)], float).reshape(-1, 2)
    which = np.minimum((known[:, 0] * bins).astype(int), bins - 1)
    return [
        Bin(b / bins, (b + 1) / bins, int((which == b).sum()), *map(float, known[which == b].mean(0)))
        for b in range(bins)
        if (which == b).any()
    ]


def calibration_error(diagram: Sequence[Bin]) -> float:
    """Expected calibration error (Naeini et al. 2015): |said - was|, weighted by how many."""
    total = sum(b.n for b in diagram)
    return sum(b.n * abs(b.said - b.was) for b in diagram) / total if total else math.nan


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation of the pairs without NaN; NaN for fewer than three or a constant."""
    pairs = np.array([(a, b) for a, b in zip(one, other, strict=True) if not (math.isnan(a) or math.isnan(b))])
    if len(pairs) < 3 or (pairs == pairs[0]).all(0).any():
        return math.nan
    return float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def innermost(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The voxel (3,) of a mask that lies farthest from its outside; spacing (3,) mm. The mask must not be empty."""
    spots = np.argwhere(mask)
    low, high = spots.min(0), spots.max(0) + 1
    box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    depth = ndimage.distance_transform_edt(np.pad(box, 1), spacing)
    return np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low


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


def clustered_interval(values: np.ndarray, seed: int = 0, rounds: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over columns of their means, when whole rows are drawn anew: values (scans,
    structures), NaN where a scan has no such structure. Structures of one scan fail together, so scans are what is
    drawn. (NaN, NaN) for fewer than two scans."""
    if len(values) < 2:
        return (math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, len(values), (rounds, len(values)))]  # (rounds, scans, structures)
    known = ~np.isnan(drawn)
    count = known.sum(1)
    sums = np.where(known, drawn, 0).sum(1)
    means = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    low, high = np.quantile(np.nanmean(means, 1), [0.025, 0.975])
    return (float(low), float(high))


def mean_interval(values: Iterable[float], seed: int = 0, rounds: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (percentile method), values without NaN; (NaN, NaN) for fewer than two."""
    kept = np.array([v for v in values if not math.isnan(v)])
    if len(kept) < 2:
        return (math.nan, math.nan)
    rng = np.random.default_rng(seed)
    means = kept[rng.integers(0, len(kept), (rounds, len(kept)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return (float(low), float(high))
