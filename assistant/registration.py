"""Rigid registration of two scans of one patient: where a place of the current scan lies in the earlier one.

Mutual information (Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE TMI 2003)
of the voxels that hold something, from coarse to fine, with SimpleITK. Both scans are brought to about 2 mm first: a
rigid transform is found to a fraction of that. It starts from the best of three guesses: the headers' own coordinates,
the scans' middles, their centres of mass. The same two scans always give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from assistant.errors import ScanError
from assistant.formats import LPS_TO_RAS
from assistant.volume import Volume

STEP_MM = 2.0
BINS = 32
LEVELS = ((4, 4.0, 1.0), (2, 2.0, 0.5), (1, 0.0, 0.1))  # shrink factor, smoothing mm, share of the voxels sampled
SEED = 1
LEAST = 0.25  # of what the smaller scan holds, that must lie on the other
# Measured: a brain MR and a neck CT with themselves, moved by up to 21 degrees and 30 mm and with 3 % noise, gave a
# correlation of at least 0.82 and an overlap of at least 0.97. Neck CTs of two people gave at most 0.46 and 0.90, two
# brains (one with its skull) 0.73 and 0.64.
GOOD = (0.8, 0.85)  # correlation, overlap
POOR = (0.6, 0.6)


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the earlier scan lies to the current one.

    matrix: (4, 4), RAS+ mm of the current scan -> RAS+ mm of the earlier one; rotation and translation. information:
    mutual information at the optimum (nats; higher is better). correlation: 0 to 1, how well one scan's intensities
    tell the other's where both hold something (correlation ratio, Roche et al. 1998; its square root, so that it is
    the correlation coefficient where the relation is linear). overlap: 0 to 1, Dice of what both scans hold, within
    what both show. verdict: "good", "fair" or "poor".
    """

    matrix: np.ndarray
    information: float
    correlation: float
    overlap: float

    @property
    def verdict(self) -> str:
        if self.correlation >= GOOD[0] and self.overlap >= GOOD[1]:
            return "good"
        return "poor" if self.correlation < POOR[0] or self.overlap < POOR[1] else "fair"

    @property
    def angle_degrees(self) -> float:
        return float(np.degrees(np.arccos(np.clip((np.trace(self.matrix[:3, :3]) - 1) / 2, -1, 1))))

    def to_prior(self, mm: np.ndarray) -> np.ndarray:
        """(..., 3) RAS+ mm of the current scan -> of the earlier one."""
        return np.asarray(mm, float) @ self.matrix[:3, :3].T + self.matrix[:3, 3]


def align(current: Volume, prior: Volume) -> Alignment:
    """Register two scans. ScanError where nothing of one lies on the other, or one holds too little to go by."""
    fixed, moving = _image(current), _image(prior)
    fixed_mask, moving_mask = _content(fixed, current), _content(moving, prior)
    method = _method(fixed_mask)
    try:
        guesses = _guesses(fixed, moving, fixed_mask, moving_mask)
        scored = []
        for guess in guesses:
            method.SetInitialTransform(guess, inPlace=False)
            scored.append((_evaluated(method, fixed, moving), guess))
        start = min(scored, key=lambda one: one[0])[1]
        method.SetInitialTransform(start, inPlace=False)
        found = method.Execute(fixed, moving)
        information = -float(method.GetMetricValue())
    except RuntimeError as error:
        raise ScanError(
            f"{current.name} and {prior.name} could not be registered: they share too little; open an earlier scan of "
            "the same part of the body."
        ) from error
    matrix = LPS_TO_RAS @ _matrix(found) @ LPS_TO_RAS
    return Alignment(matrix, information, *_quality(fixed, moving, fixed_mask, moving_mask, found))


def carry(mask: np.ndarray, prior: Volume, current: Volume, matrix: np.ndarray) -> np.ndarray:
    """A mask of the earlier scan on the current one's RAS grid, for display and overlap: bool (X, Y, Z).

    mask (X', Y', Z') bool on the earlier scan's RAS grid; matrix: of `Alignment`. Linear interpolation, cut at a half.
    """
    from scipy import ndimage

    prior.check_mask(mask)
    out = np.zeros(current.shape, bool)
    spots = np.argwhere(mask)
    if not len(spots):
        return out
    low, high = spots.min(axis=0) - 1, spots.max(axis=0) + 1
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    to_current = np.linalg.inv(matrix)
    world = prior.to_world(corners) @ to_current[:3, :3].T + to_current[:3, 3]
    index = current.to_index(world)
    first = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, current.shape)
    if (last <= first).any():
        return out
    step = np.linalg.inv(prior.affine) @ matrix @ current.affine  # index of the current scan -> of the earlier one
    offset = step[:3, :3] @ first + step[:3, 3]
    part = ndimage.affine_transform(
        mask.astype(np.float32), step[:3, :3], offset, tuple(int(n) for n in last - first), order=1
    )
    out[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))] = part > 0.5
    return out


def _image(volume: Volume) -> sitk.Image:
    """The scan at about `STEP_MM`, in ITK's LPS+ millimetres; averaged, so that nothing is skipped."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)))
    affine = LPS_TO_RAS @ volume.affine
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetSpacing(volume.spacing.tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    shrink = [max(1, min(int(STEP_MM / s + 0.25), n // 8)) for s, n in zip(volume.spacing, volume.shape, strict=True)]
    image = sitk.BinShrink(image, shrink)
    low, high = _window(volume)
    return sitk.Clamp(image, sitk.sitkFloat32, low, high)


def _window(volume: Volume) -> tuple[float, float]:
    """The intensities that count: air to bone of CT, else all but the brightest few."""
    if volume.modality == "CT" and volume.intensity_unit == "HU":
        return -1000.0, 1000.0
    sample = volume.voxels.reshape(-1)[:: max(1, volume.voxels.size // 500_000)]
    low, high = (float(value) for value in np.percentile(sample, (0.1, 99.8)))
    return low, max(high, low + 1e-6)


def _content(image: sitk.Image, volume: Volume) -> sitk.Image:
    """Mask of what holds something: the body of a CT, what stands out from the air elsewhere."""
    low, high = _window(volume)
    threshold = -500.0 if (low, high) == (-1000.0, 1000.0) else low + 0.08 * (high - low)
    mask = sitk.BinaryThreshold(image, threshold, 1e9)
    mask = sitk.BinaryFillhole(sitk.BinaryMorphologicalOpening(mask, [1, 1, 1]))
    if not sitk.GetArrayViewFromImage(mask).any():
        raise ScanError(f"{volume.name} holds too little to be registered; open a scan of the body.")
    return mask


def _method(fixed_mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # else sums are added in another order every time
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    shrink, smoothing, samples = zip(*LEVELS, strict=True)
    method.SetMetricSamplingPercentagePerLevel(samples, SEED)
    method.SetMetricFixedMask(sitk.BinaryDilate(fixed_mask, [3, 3, 3]))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=150, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(smoothing)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _guesses(
    fixed: sitk.Image, moving: sitk.Image, fixed_mask: sitk.Image, moving_mask: sitk.Image
) -> list[sitk.Euler3DTransform]:
    """The headers' coordinates, middle on middle, centre of mass on centre of mass; all turn about the middle."""
    middle = [float(v) for v in fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])]
    start = sitk.Euler3DTransform()
    start.SetCenter(middle)
    guesses = [start]
    for images, kind in (
        ((fixed, moving), sitk.CenteredTransformInitializerFilter.GEOMETRY),
        ((fixed_mask, moving_mask), sitk.CenteredTransformInitializerFilter.MOMENTS),
    ):
        one, other = (sitk.Cast(image, sitk.sitkFloat32) for image in images)
        guesses.append(
            sitk.Euler3DTransform(sitk.CenteredTransformInitializer(one, other, sitk.Euler3DTransform(), kind))
        )
    return guesses


def _evaluated(method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image) -> float:
    """The metric at a guess; no overlap at all is the worst."""
    try:
        return float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:  # "all samples map outside": this guess is of no use, another may be
        return np.inf


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """(4, 4) of a rigid transform, LPS+ mm of the fixed image -> of the moving one."""
    rigid = sitk.Euler3DTransform(sitk.CompositeTransform(transform).GetNthTransform(0))
    turn, centre = np.array(rigid.GetMatrix()).reshape(3, 3), np.array(rigid.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(rigid.GetTranslation()) + centre - turn @ centre
    return matrix


def _quality(
    fixed: sitk.Image, moving: sitk.Image, fixed_mask: sitk.Image, moving_mask: sitk.Image, found: sitk.Transform
) -> tuple[float, float]:
    """(correlation, overlap) of `Alignment`, on the current scan's 2 mm grid."""
    seen = _reached(moving, fixed, found)
    other = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, found, sitk.sitkLinear, 0.0))
    there = sitk.GetArrayFromImage(sitk.Resample(moving_mask, fixed, found, sitk.sitkNearestNeighbor, 0)) > 0
    here = sitk.GetArrayFromImage(fixed_mask) > 0
    here_seen, there_seen = here & seen, there & seen
    total = int(here_seen.sum() + there_seen.sum())
    both = here_seen & there_seen
    voxels = float(np.prod(moving.GetSpacing()) / np.prod(fixed.GetSpacing()))
    smaller = min(float(here.sum()), sitk.GetArrayViewFromImage(moving_mask).sum() * voxels)
    if both.sum() < LEAST * smaller or total == 0:  # only corners of the two meet
        return 0.0, 0.0
    overlap = 2.0 * float(both.sum()) / total
    return correlation_ratio(sitk.GetArrayFromImage(fixed)[both], other[both]), overlap


def _reached(moving: sitk.Image, fixed: sitk.Image, found: sitk.Transform) -> np.ndarray:
    """Where the earlier scan reaches, on the current one's grid."""
    ones = sitk.Image(moving.GetSize(), sitk.sitkUInt8) + 1
    ones.CopyInformation(moving)
    return sitk.GetArrayFromImage(sitk.Resample(ones, fixed, found, sitk.sitkNearestNeighbor, 0)) > 0


def correlation_ratio(one: np.ndarray, other: np.ndarray) -> float:
    """How well `one` tells `other`, 0 to 1: the square root of the share of `other`'s variance between the bins of
    `one` (Roche et al., The correlation ratio as a new similarity measure, MICCAI 1998). 0 for a constant `other`."""
    variance = float(other.var(dtype=np.float64)) if other.size else 0.0
    if variance <= 0:
        return 0.0
    edges = np.unique(np.quantile(one, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, one)
    count = np.bincount(bins)
    mean = np.bincount(bins, other) / np.maximum(count, 1)
    between = float((count * (mean - other.mean(dtype=np.float64)) ** 2).sum()) / other.size
    return float(np.sqrt(min(1.0, between / variance)))
