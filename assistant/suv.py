"""PET activity to standardised uptake value by body weight (SUVbw).

SUVbw = activity (Bq/mL) * body weight (g) / injected dose decayed to the time the image is corrected to (Bq), after the
vendor-neutral pseudo-code of the QIBA FDG-PET/CT profile. Attributes: DICOM PS3.3 C.8.9.1 (PET series) and C.8.9.2
(isotope).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_PHILIPS_SUV_FACTOR = (0x7053, 0x1000)


@dataclass(frozen=True)
class SuvScale:
    """factor: multiply rescaled voxels by it to get SUVbw; None when that is not possible, with the reason."""

    factor: float | None
    reason: str = ""


def suv_scale(headers: Sequence[Any]) -> SuvScale:
    """The SUV factor of a PET series. headers: pydicom datasets of its images, without pixels."""
    header = headers[0]
    units = str(header.get("Units", "")).upper()
    if units == "GML":
        return SuvScale(1.0)
    if units == "CNTS" and _PHILIPS_SUV_FACTOR in header:
        factor = float(header[_PHILIPS_SUV_FACTOR].value)
        return SuvScale(factor) if factor > 0 else SuvScale(None, "its SUV factor is 0")
    if units != "BQML":
        return SuvScale(None, f"its unit is {units or 'not given'}")
    corrections = {str(word).upper() for word in _many(header.get("CorrectedImage"))}
    if not {"ATTN", "DECY"} <= corrections:
        return SuvScale(None, "it is not corrected for attenuation and decay")
    weight = float(header.get("PatientWeight") or 0)
    if not 0 < weight < 700:
        return SuvScale(None, "PatientWeight is missing")
    isotopes = header.get("RadiopharmaceuticalInformationSequence") or [{}]
    dose = float(isotopes[0].get("RadionuclideTotalDose") or 0)
    half_life = float(isotopes[0].get("RadionuclideHalfLife") or 0)
    if dose <= 0 or half_life <= 0:
        return SuvScale(None, "RadionuclideTotalDose or RadionuclideHalfLife is missing")
    correction = str(header.get("DecayCorrection", "")).upper()
    if correction == "ADMIN":
        return SuvScale(weight * 1000.0 / dose)
    if correction != "START":
        return SuvScale(None, f"DecayCorrection is {correction or 'not given'}")
    start, injected = _scan_start(headers), _injection(header, isotopes[0])
    if start is None or injected is None:
        return SuvScale(None, "the time of injection or of the scan is missing")
    waited = (start - injected).total_seconds()
    if waited < 0:  # a start time without a date, injected before midnight
        waited += timedelta(days=1).total_seconds()
    if not 0 <= waited <= 43200:
        return SuvScale(None, f"the scan starts {waited / 3600:.1f} hours after the injection")
    return SuvScale(weight * 1000.0 / (dose * 2.0 ** (-waited / half_life)))


def _scan_start(headers: Sequence[Any]) -> datetime | None:
    """The time the decay correction refers to: the series time, or the first acquisition's where that is earlier."""
    series = _moment(headers[0].get("SeriesDate"), headers[0].get("SeriesTime"))
    acquired = [_moment(header.get("AcquisitionDate"), header.get("AcquisitionTime")) for header in headers]
    first = min((moment for moment in acquired if moment is not None), default=None)
    if series is None or (first is not None and first < series):
        return first
    return series


def _injection(header: Any, isotope: Any) -> datetime | None:
    whole = str(isotope.get("RadiopharmaceuticalStartDateTime") or "")
    if len(whole) >= 14:
        return _moment(whole[:8], whole[8:14])
    return _moment(
        header.get("SeriesDate") or header.get("AcquisitionDate"), isotope.get("RadiopharmaceuticalStartTime")
    )


def _moment(date: Any, time: Any) -> datetime | None:
    """A DICOM DA and TM as one datetime, whole seconds; None when either is missing or no date."""
    text = f"{date or ''}{str(time or '').split('.')[0]}".replace(":", "")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _many(value: Any) -> list[Any]:
    """A DICOM value of any multiplicity as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
