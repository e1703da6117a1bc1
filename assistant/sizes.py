"""The sizes that a report states: volumes and lengths with their units, as the interval that the words leave open.

"4.1 mL" is 4.05 to 4.15 mL: half of the last digit either way. "3 to 4 cm" is 30 to 40 mm, "less than 5 mm" 0 to 5 mm,
"2.3 x 1.9 x 2.0 cm" three lengths. A comma before one, two or more than three digits is a decimal comma ("2,9 mL"),
before exactly three it parts thousands ("1,423 mm3"). What is no size of a structure is left out: distances ("3 mm from
the midline"), slice thickness, normal values.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:[.,]\d+)?"
# unit as written -> (unit, factor)
_UNITS = {
    r"mm(?:3|³|\^3)|cubic milli(?:metre|meter)s?|立方毫米": ("mL", 0.001),
    r"cm(?:3|³|\^3)|ccm|cc|cubic centi(?:metre|meter)s?|Kubikzentimetern?|立方厘米": ("mL", 1.0),
    r"ml|milli(?:litre|liter|litro)s?|Millilitern?|毫升": ("mL", 1.0),
    r"l|(?:litre|liter|litro)s?|升": ("mL", 1000.0),
    r"mm|milli(?:metre|meter|mètre)s?|milímetros?|Millimetern?|毫米": ("mm", 1.0),
    r"cm|centi(?:metre|meter|mètre)s?|centímetros?|Zentimetern?|厘米|公分": ("mm", 10.0),
}
_UNIT = "(?:" + "|".join(_UNITS) + r")(?![A-Za-z0-9³^])"
_FRESH = r"(?<![A-Za-z0-9_.,])"  # not inside a word ("T1", "L3-L4"); a Chinese character may stand before a number
_BY = r"\s*(?:x|×|\*|by|mal|sur|por)\s*"
_SIZE = re.compile(
    rf"{_FRESH}(?:(?:(?:between|zwischen|entre)\s+(?P<from>{_NUMBER})\s*(?:and|und|et|y)\s*)"
    rf"|(?:(?P<low>{_NUMBER})\s*(?:-|–|to|bis|à|a)\s*))?"
    rf"(?P<all>(?:{_NUMBER})(?:\s*{_UNIT})?(?:{_BY}(?:{_NUMBER})(?:\s*{_UNIT})?){{0,2}})",
    re.IGNORECASE,
)
_ONE = re.compile(rf"(?P<number>{_NUMBER})(?:\s*-?\s*(?P<unit>{_UNIT}))?", re.IGNORECASE)
# "2.9 and 3.1 mL": the first has the second's unit
_LISTED = re.compile(
    rf"{_FRESH}(?P<number>{_NUMBER})\s*(?:and|und|et|y|or|bzw\.?|,)\s*(?={_NUMBER}\s*{_UNIT})", re.IGNORECASE
)
_BELOW = re.compile(
    r"(?:less than|under|below|up to|at most|no more than|(?:smaller|shorter|narrower) than|<|≤|weniger als|unter|"
    r"(?:kleiner|kürzer|schmaler) als|bis zu|höchstens|plus (?:petit|court|étroit)e?s? que|moins de|"
    r"más (?:pequeñ|cort|estrech)[oa]s? (?:que|de)|jusqu'à|inférieure? à|menos de|hasta|小于|不超过)\s*$",
    re.IGNORECASE,
)
_ABOVE = re.compile(
    r"(?:more than|over|above|at least|exceed(?:s|ing)?|"
    r"(?:larger|bigger|greater|longer|wider|broader|taller|higher|deeper) than|"
    r">|≥|mehr als|über|(?:größer|länger|breiter|höher|tiefer) als|mindestens|plus de|"
    r"plus (?:grand|gros|grosse|long|longu|large|haut)e?s? que|más (?:grande|larg[oa]|anch[oa]|alt[oa])s? (?:que|de)|"
    r"supérieure? à|más de|al menos|大于|超过)\s*$",
    re.IGNORECASE,
)
_NOT_OF_IT_BEFORE = re.compile(
    r"(?:distance|shift|displac\w+|deviat\w+|margin|spacing|slice thickness|normal\w*|norm|abstand|verlagerung|"
    r"schichtdicke|distance|espacement|distancia|desplaz\w+)\b[^.;,]{0,14}$",
    re.IGNORECASE,
)
_NOT_OF_IT_AFTER = re.compile(
    r"\s*(?:from|away|above|below|(?:midline )?shift|slices?|sections?|slice|thick slices|contiguous|axial|entfernt|"
    r"oberhalb|unterhalb|Schicht\w*|coupes?|cortes?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Size:
    """One stated size. start, end: characters; text: as written. unit: "mL" or "mm". spans: for each dimension, longest
    first, the lowest and the highest value that the words leave open; one for a volume."""

    start: int
    end: int
    text: str
    unit: str
    spans: tuple[tuple[float, float], ...]

    def holds(self, value: float) -> bool:
        """Whether a measured length (mm) or volume (mL) lies within the first span, as a bound leaves it open."""
        low, high = self.spans[0]
        return low < value < high


def sizes_in(text: str) -> list[Size]:
    """Every size of a structure that a sentence states, in order of appearance."""
    found: list[Size] = []
    for match in _SIZE.finditer(text):
        parts = [(part["number"], part["unit"]) for part in _ONE.finditer(match["all"])]
        behind = _ONE.match(text, match.start("all")) if len(parts) == 1 else None
        if behind is not None and behind["unit"]:  # "23-mm"
            parts = [(behind["number"], behind["unit"])]
        if parts[-1][1] is None:
            continue
        end = max(match.end(), behind.end() if behind else 0)
        if _NOT_OF_IT_BEFORE.search(text[: match.start()]) or _NOT_OF_IT_AFTER.match(text, end):
            continue
        last = parts[-1][1]
        unit = _meaning(last)[0]
        spans = [_span(number, written or last) for number, written in parts]
        if len(spans) > 1 and unit != "mm":
            continue
        lowest = match["low"] or match["from"]
        if lowest and len(spans) == 1:
            spans = [(_span(lowest, last)[0], spans[0][1])]
        before = text[: match.start()]
        if _BELOW.search(before):
            spans = [(0.0, (low + high) / 2) for low, high in spans]
        elif _ABOVE.search(before):
            spans = [((low + high) / 2, math.inf) for low, high in spans]
        size = Size(match.start(), end, text[match.start() : end], unit, tuple(sorted(spans, reverse=True)))
        found += [*_listed_before(text, size, last), size]
    return found


def _listed_before(text: str, size: Size, unit: str) -> list[Size]:
    """The "2.9" of "2.9 and 3.1 mL", as a size of the same unit."""
    out: list[Size] = []
    for match in _LISTED.finditer(text, 0, size.end):
        if match.end() == size.start:
            written = f"{match['number']} {unit}"
            out.append(Size(match.start(), match.end("number"), written, size.unit, (_span(match["number"], unit),)))
    return out


def _meaning(unit: str) -> tuple[str, float]:
    """A unit as written -> ("mL" or "mm", factor)."""
    return next(meaning for pattern, meaning in _UNITS.items() if re.fullmatch(pattern, unit, re.IGNORECASE))


def _span(number: str, unit: str) -> tuple[float, float]:
    """What a written number may stand for, in mL or mm: half of its last digit either way."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", number):
        plain = number.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(\.\d{3})+,\d+", number):
        plain = number.replace(".", "").replace(",", ".")
    else:
        plain = number.replace(",", ".")
    half = 0.5 * 10.0 ** -len(plain.partition(".")[2])
    factor = _meaning(unit)[1]
    return round((float(plain) - half) * factor, 9), round((float(plain) + half) * factor, 9)
