"""The form of a row in the tables of structures (`anatomy.py`, `anatomy_body.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One structure without its side. `freesurfer` is (left, right) when sided, (number,) or () otherwise."""

    base: str
    families: str  # "|"-separated: brain, head_neck, hippocampus, tumour, abdomen, thorax, pelvis, neck, head, body
    sided: bool
    en: str
    plural: str = ""
    latin: str = ""
    abbr: str = ""
    de: str = ""
    fr: str = ""
    es: str = ""
    zh: str = ""
    functions: str = ""
    freesurfer: tuple[int, ...] = ()
    sct: str = ""
    uberon: str = ""
    ml: tuple[float, float, str] | None = None  # low, high, key of RANGE_SOURCES
