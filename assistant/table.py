"""Measurements as CSV (RFC 4180), one line a mask."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COLUMNS = (
    "id", "phrase", "presence", "quality", "volume_ml", "longest_diameter_mm", "mean_intensity", "intensity_unit",
    "centroid_x_mm", "centroid_y_mm", "centroid_z_mm",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t")


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows of `export.finding_facts` and what else `columns` names.

    A spreadsheet takes text that begins like a formula for one: such text is quoted with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        place = dict(zip(COLUMNS[8:11], row.get("centroid_mm") or (None,) * 3, strict=True))
        safe = {key: f"'{v}" if isinstance(v, str) and v.startswith(_FORMULA) else v for key, v in row.items()}
        writer.writerow(safe | place)
    return text.getvalue()
