"""What a mask says in numbers, and the notes that carry the numbers into the language model's context.

``measure`` works in patient space (mm, through the affine). A note is the text between ``<obs>`` and ``</obs>``; its
one format and its one decimal rule live here. ``unsupported_numbers`` is the other side: a number in a reply must stand
in a note or in the user's own words.

Decimal rule: millilitres with one decimal from 1, two from 0.1, three below; millimetres with one; mean intensity whole
from 10, one decimal from 1, two below; presence and quality with two; per cent whole. Differences and sums are taken of
the numbers as shown, so that a reader can check them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from assistant.conversation import NEVER_TAUGHT
from assistant.volume import Volume


@dataclass(frozen=True)
class Measurement:
    """A mask's numbers.

    volume_ml: voxel count times voxel volume. longest_diameter_mm: largest distance between two voxel centres (0 for
    one voxel). mean_intensity in intensity_unit ("HU", "SUV" or "" when unknown). centroid_mm: RAS+. side: "left",
    "right" or "midline" of the scanned block's middle plane, informative only. touches_edge: the mask reaches the
    border of the scan, so the structure may be cut off.
    """

    volume_ml: float
    longest_diameter_mm: float
    mean_intensity: float
    intensity_unit: str
    centroid_mm: tuple[float, float, float]
    side: str | None
    voxels: int
    touches_edge: bool


def measure(volume: Volume, mask: np.ndarray) -> Measurement:
    """Measure a (X, Y, Z) bool mask on the volume's grid. ValueError when empty, ScanError when the shape differs."""
    volume.check_mask(mask)
    mask = np.asarray(mask) != 0
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty: there is nothing to measure")
    inside = mask[box]
    start = np.array([part.start for part in box])
    index = np.argwhere(inside) + start
    centroid = volume.to_world(index.mean(axis=0))
    return Measurement(
        volume_ml=len(index) * volume.voxel_ml,
        longest_diameter_mm=longest_diameter(volume.to_world(_extremes(inside) + start)),
        mean_intensity=float(volume.voxels[box][inside].mean(dtype=np.float64)),
        intensity_unit=volume.intensity_unit,
        centroid_mm=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
        side=_side(volume, centroid),
        voxels=len(index),
        touches_edge=any(
            length > 1 and (part.start == 0 or part.stop == length)
            for part, length in zip(box, volume.shape, strict=True)
        ),
    )


def bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The smallest block that holds the mask; None when it is empty."""
    parts = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if hits.size == 0:
            return None
        parts.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return parts[0], parts[1], parts[2]


def _extremes(mask: np.ndarray) -> np.ndarray:
    """(N, 3) index of the voxels that are first or last on their line along every axis.

    A corner of the convex hull is extreme in every direction, so in these three: no corner is lost, and far fewer
    points are left.
    """
    keep = mask.copy()
    for axis in range(3):
        lines = np.moveaxis(mask, axis, -1)
        first = np.argmax(lines, axis=-1)
        last = lines.shape[-1] - 1 - np.argmax(lines[..., ::-1], axis=-1)
        ends = np.zeros_like(mask)
        view = np.moveaxis(ends, axis, -1)
        np.put_along_axis(view, first[..., None], True, axis=-1)
        np.put_along_axis(view, last[..., None], True, axis=-1)
        keep &= ends
    return np.argwhere(keep)


def extent(mask: np.ndarray, affine: np.ndarray) -> tuple[float, float, float]:
    """How far a mask (X, Y, Z) that is not empty reaches along the patient's own axes, x, y and z in mm: between its
    outermost voxel centres, as the longest diameter."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty: there is nothing to measure")
    index = _extremes(mask[box])
    x, y, z = np.ptp(index @ np.asarray(affine, float)[:3, :3].T, axis=0).tolist()
    return x, y, z


def longest_diameter(points: np.ndarray) -> float:
    """The largest distance between two of (N, 3) points, in their unit; exact. 0 for one point."""
    corners = _hull_corners(np.asarray(points, np.float64))
    longest = 0.0
    for start in range(0, len(corners), 1024):  # blocks: a ragged mask has thousands of corners
        difference = corners[start : start + 1024, None, :] - corners[None, start:, :]
        longest = max(longest, float(np.einsum("ijk,ijk->ij", difference, difference).max()))
    return float(np.sqrt(longest))


def _hull_corners(points: np.ndarray) -> np.ndarray:
    """The points that span the convex hull; of points on a plane or a line, the hull in that plane or line."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) <= 32:
        return points
    centred = points - points.mean(axis=0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    rank = int(np.sum(scale > 1e-9 * scale[0]))
    flat = centred @ axes[:rank].T
    if rank == 1:
        return points[[int(flat.argmin()), int(flat.argmax())]]
    try:
        return points[ConvexHull(flat).vertices]
    except QhullError:  # numerically flat: all points are the exact answer too, only slower
        return points


def _side(volume: Volume, centroid: np.ndarray) -> str:
    """Left or right of the block's middle by more than 2 % of its width (at least 2 mm), else "midline"."""
    offset = float(centroid[0] - volume.centre_mm[0])
    tolerance = max(2.0, 0.02 * float(volume.extent_mm[0]))
    if abs(offset) <= tolerance:
        return "midline"
    return "right" if offset > 0 else "left"


def format_ml(volume_ml: float) -> str:
    """Millilitres as shown: "2.9", "0.47", "0.034". Below 0.0005 one significant digit."""
    return _decimals(volume_ml, ((1.0, 1), (0.1, 2)), 3)


def format_mm(length_mm: float) -> str:
    """Millimetres as shown: one decimal."""
    return _plain(length_mm, 1)


AXES = "(x to the patient's right, y to the front, z up)"  # of positions, RAS+


def format_place(point_mm: Sequence[float]) -> str:
    """A position (3,) RAS+ mm as shown."""
    x, y, z = (format_mm(value) for value in point_mm)
    return f"x {x}, y {y}, z {z} mm"


def format_mean(mean: float) -> str:
    """Mean intensity as shown: "112", "-45", "4.1", "0.38"."""
    return _decimals(mean, ((10.0, 0), (1.0, 1)), 2)


def format_probability(value: float) -> str:
    """Presence and quality as shown: two decimals, 0.00 to 1.00."""
    return _plain(min(1.0, max(0.0, value)), 2)


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _decimals(value: float, steps: Sequence[tuple[float, int]], otherwise: int) -> str:
    for least, decimals in steps:
        if round(abs(value), decimals) >= least:
            return _plain(value, decimals)
    text = _plain(value, otherwise)
    if value != 0 and float(text) == 0:
        digits = min(12, -int(np.floor(np.log10(abs(value))))) if abs(value) > 1e-12 else 12
        return _plain(value, digits)
    return text


@dataclass(frozen=True)
class Note:
    """One ``<obs>`` note; ``str(note)`` is its text.

    id: "m1"...; "" when the target is absent. measurement: None when absent. presence, quality: None for masks made of
    others. taught: False where the model was never taught such a thing.
    compare: (id, measurement) of the mask found before it in the same reply; the comparison names that one first, as
    the sentence that follows will.
    """

    id: str
    phrase: str
    presence: float | None
    quality: float | None = None
    measurement: Measurement | None = None
    compare: tuple[str, Measurement] | None = None
    taught: bool = True

    @property
    def present(self) -> bool:
        return self.measurement is not None

    def __str__(self) -> str:
        m = self.measurement
        if not self.taught:
            return f"{self.phrase}: not found, {NEVER_TAUGHT}"
        if m is None:
            return f"{self.phrase}: not found" + _probability("presence", self.presence)
        unit = f" {m.intensity_unit}" if m.intensity_unit else ""
        text = (
            f"{self.id} {self.phrase}: {format_ml(m.volume_ml)} mL, {format_mm(m.longest_diameter_mm)} mm, "
            f"mean {format_mean(m.mean_intensity)}{unit}"
        )
        text += _probability("presence", self.presence) + _probability("quality", self.quality)
        if self.compare is not None:
            text += "; " + compare_volumes(self.compare, (self.id, m))
        return text


def _probability(word: str, value: float | None) -> str:
    return "" if value is None else f", {word} {format_probability(value)}"


def compare_volumes(one: tuple[str, Measurement], other: tuple[str, Measurement]) -> str:
    """ "m1 is smaller than m2 by 0.2 mL (6 %), together 6.0 mL"; per cent of the other's volume.

    Computed from the volumes as shown, with the fewer decimals of the two (more where that would show 0).
    """
    a, b = Decimal(format_ml(one[1].volume_ml)), Decimal(format_ml(other[1].volume_ml))
    together = f"together {(a + b).quantize(_coarser(a, b)):f} mL"
    if a == b:
        return f"{one[0]} is equal in volume to {other[0]}, {together}"
    word = "smaller" if a < b else "larger"
    return f"{one[0]} is {word} than {other[0]} by {shown_difference(one[1].volume_ml, other[1].volume_ml)}, {together}"


def shown_difference(one_ml: float, other_ml: float) -> str:
    """How far two volumes are apart, as shown: "0.2 mL (6 %)"; per cent of the other. See `compare_volumes`."""
    a, b = Decimal(format_ml(one_ml)), Decimal(format_ml(other_ml))
    exact = abs(a - b)
    difference = exact.quantize(_coarser(a, b)) or exact
    percent = f"{100 * exact / b:.0f}" if b else ""
    share = "" if not percent else " (less than 1 %)" if percent == "0" else f" ({percent} %)"
    return f"{difference:f} mL{share}"


def _coarser(a: Decimal, b: Decimal) -> Decimal:
    """Of two shown numbers the one with the fewer decimals."""
    return max(a, b, key=lambda shown: shown.as_tuple().exponent)


def note_present(
    id: str,
    phrase: str,
    m: Measurement,
    presence: float | None,
    quality: float | None,
    compare: tuple[str, Measurement] | None = None,
) -> str:
    """The note of a found target: "m1 left hippocampus: 2.9 mL, 38.1 mm, mean 112, presence 0.98, quality 0.87"."""
    return str(Note(id, phrase, presence, quality, m, compare))


def note_absent(phrase: str, presence: float) -> str:
    """The note of a target that is not there: "left hippocampus: not found, presence 0.03"."""
    return str(Note("", phrase, presence))


_UNITS = {
    "ml": "mL", "millilitre": "mL", "millilitres": "mL", "milliliter": "mL", "milliliters": "mL", "cc": "mL",
    "mm": "mm", "millimetre": "mm", "millimetres": "mm", "millimeter": "mm", "millimeters": "mm",
    "cm": "cm", "centimetre": "cm", "centimetres": "cm", "centimeter": "cm", "centimeters": "cm",
    "l": "L", "litre": "L", "litres": "L", "liter": "L", "liters": "L", "hu": "HU", "suv": "SUV",
    "%": "%", "percent": "%", "per cent": "%",
}  # fmt: skip
_UNIT = r"per\s+cent\b|%|(?:" + "|".join(sorted((u for u in _UNITS if u.isalpha()), key=len, reverse=True)) + r")\b"
_SPELLED = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000,
}  # fmt: skip
# A number: not inside a word ("T1", "m1", "L3-L4"), a sign only where it is no dash between two numbers or words.
# Ordinals and "3D" are words. A spelled-out number counts where a unit follows it.
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>(?<![\w)])[-+\u2212])?(?P<digits>\d+(?:[.,]\d+)*)(?![\d]|[.,]\d|(?:st|nd|rd|th|d)\b)(?:\s*(?P<unit>"
    + _UNIT
    + r"))?|\b(?P<word>"
    + "|".join(_SPELLED)
    + r")\s*-?\s*(?P<word_unit>"
    + _UNIT
    + r")",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Number:
    text: str
    values: frozenset[Decimal]  # more than one where a comma may be a decimal or a thousands mark
    unit: str


def numbers_in(text: str) -> list[str]:
    """The numbers of a text as written, signs included, units not: "m1 is 2.9 mL at -45 HU" -> ["2.9", "-45"]."""
    return [number.text for number in _numbers(text)]


def unsupported_numbers(text: str, notes: Sequence[str], extra: Sequence[str] = ()) -> list[str]:
    """The numbers of a reply that stand neither in a note nor in the user's words (``extra``), as written.

    Numbers are compared by value ("2.90" is 2.9). A number with a unit (mL, mm, HU, SUV, %) must have it in the note as
    well: a length is not supported by a volume. User's numbers may have lost their unit.
    """
    measured = [number for note in notes for number in _numbers(note)]
    said = [number for words in extra for number in _numbers(words)]

    def supported(number: _Number) -> bool:
        if any(number.values & known.values and number.unit in ("", known.unit) for known in measured):
            return True
        return any(
            number.values & known.values and ("" in (number.unit, known.unit) or number.unit == known.unit)
            for known in said
        )

    return [number.text for number in _numbers(text) if not supported(number)]


def _numbers(text: str) -> list[_Number]:
    found = []
    for match in _NUMBER.finditer(text):
        unit = match["unit"] or match["word_unit"] or ""
        unit = _UNITS[re.sub(r"\s+", " ", unit.lower())] if unit else ""
        if match["word"]:
            word = match["word"].lower()
            values = frozenset({Decimal(_SPELLED[word])})
            found.append(_Number(match["word"], values, unit))
            continue
        sign = match["sign"] or ""
        values = _values(match["digits"], -1 if sign in ("-", "\u2212") else 1)
        found.append(_Number(sign + match["digits"], values, unit))
    return found


def _values(digits: str, sign: int) -> frozenset[Decimal]:
    """What a run of digits, points and commas may mean.

    "1,423.5" and "1.423,5" are 1423.5; "2,9" is 2.9; "1,423" is 1423 or 1.423. A run that is no number ("1.2.3") means
    nothing, and so is never supported.
    """
    point, comma = digits.rfind("."), digits.rfind(",")
    if comma < 0:
        readings = [digits]
    elif point >= 0:  # the last mark is the decimal one
        readings = [digits.replace(",", "") if point > comma else digits.replace(".", "").replace(",", ".")]
    else:
        readings = [digits.replace(",", ".")]
        if re.fullmatch(r"\d{1,3}(,\d{3})+", digits):
            readings.append(digits.replace(",", ""))
    return frozenset(sign * Decimal(reading) for reading in readings if reading.count(".") <= 1)
