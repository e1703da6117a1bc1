"""What is true of one scan: which phrases are there and what each measures.

Facts come from a case's masks (`measured_facts`) or are made up with plausible numbers (`synthetic_facts`), so that
tens of thousands of conversations need no image. The made-up numbers are wider than anatomy on purpose: the language
model is to copy what a note says, not to remember what a hippocampus usually measures.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from assistant.evidence import Measurement, measure
from assistant.volume import Volume
from data_recipes import ontology
from data_recipes.instructions.layout import Layout
from data_recipes.schema import Case, load_case, mask_of

MODALITY = {"brain": "MR", "head_neck": "CT", "hippocampus": "MR", "tumour_mr": "MR", "tumour_pet": "PET"}
_HU = {  # mean and spread over OpenKBP's contours, rounded
    "brainstem": (5, 12), "spinal cord": (10, 25), "left parotid gland": (-25, 40), "right parotid gland": (-25, 40),
    "esophagus": (-20, 90), "larynx": (-200, 90), "mandible": (690, 120),
}  # fmt: skip
_MIDLINE = ("third ventricle", "fourth ventricle", "brainstem", "cerebrospinal fluid", "brain")


@dataclass(frozen=True)
class Facts:
    """One scan. `found` maps a phrase to its measurement; `absent` are phrases known not to be there.

    `family` is one of ontology.SCAN_FAMILIES, `modality` "CT", "MR" or "PET", `case` the case it was measured on (""
    when made up), `labels` the label values of each phrase where there is a label map, `layout` where things lie in it.
    """

    family: str
    modality: str
    found: Mapping[str, Measurement]
    absent: tuple[str, ...]
    case: str = ""
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    layout: Layout | None = field(default=None, compare=False)

    @property
    def unit(self) -> str:
        """Usual unit of intensities: "HU", "SUV" or ""; PET read from NIfTI has none."""
        return {"CT": "HU", "PET": "SUV", "MR": ""}[self.modality]

    def pairs(self) -> list[str]:
        """Names without side of which both sides are found."""
        known = ontology.by_name()
        lefts = (s for p in self.found if (s := known.get(p)) and s.side == "left")
        return [s.base for s in lefts if f"right {s.base}" in self.found]


    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file: all but where things lie, which is the label map's to say."""
        values = asdict(replace(self, found=dict(self.found), labels=dict(self.labels), layout=None))
        return {name: value for name, value in values.items() if name != "layout"}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Facts:
        """Inverse of `to_dict`."""
        found = {
            phrase: Measurement(**{**one, "centroid_mm": tuple(one["centroid_mm"])})
            for phrase, one in values["found"].items()
        }
        labels = {phrase: tuple(some) for phrase, some in values["labels"].items()}
        return Facts(**{**values, "found": found, "absent": tuple(values["absent"]), "labels": labels})


def measured_facts(case: Case) -> Facts:
    """Measure every phrase of a case that has an image. ValueError for a label map alone."""
    volume, labels, _ = load_case(case)
    if volume is None:
        raise ValueError(f"{case.id} is a label map without an image: synthesise an image, or use synthetic_facts")
    return facts_of(case, volume, labels)


def facts_of(case: Case, volume: Volume, labels: np.ndarray) -> Facts:
    """`measured_facts` of a case that was read already: labels (X, Y, Z) on the volume's grid."""
    found, missing = {}, []
    for phrase, values in case.phrases.items():
        mask = mask_of(labels, values)
        if mask.any():
            found[phrase] = measure(volume, mask)
        else:
            missing.append(phrase)
    away = tuple(s.name for s in ontology.surely_absent(case.family) if s.name not in case.unknown)
    layout = Layout(volume, labels, {phrase: case.phrases[phrase] for phrase in found})
    return Facts(case.family, case.modality, found, (*missing, *away), case.id, case.phrases, layout)


def jittered(facts: Facts, rng: random.Random, spread: float = 0.15) -> Facts:
    """The same scan with every number a little different, so that one case gives many conversations.

    The numbers are no longer those of the masks, so nothing more is measured on these: `layout` is None.
    """
    found = {}
    for phrase, m in facts.found.items():
        scale = math.exp(rng.gauss(0, spread))
        found[phrase] = replace(
            m,
            volume_ml=m.volume_ml * scale,
            longest_diameter_mm=m.longest_diameter_mm * scale ** (1 / 3),
            mean_intensity=m.mean_intensity * math.exp(rng.gauss(0, spread)),
        )
    return replace(facts, found=found, layout=None)


def synthetic_facts(family: str, rng: random.Random) -> Facts:
    """A made-up scan of a family: most of its structures found, some cut away, plausible numbers.

    Volumes lie about the ontology's range (one in six far outside it), right sides near the left ones and now and then
    equal to them. Half of the brains hold a tumour.
    """
    modality = MODALITY[family]
    unit = {"CT": "HU", "PET": rng.choice(["SUV", ""]), "MR": ""}[modality]
    scale = rng.choice([1.0, 1.0, 4.0, 0.004, 12.0]) if modality == "MR" else 1.0
    found: dict[str, Measurement] = {}
    missing: list[str] = []
    for structure in ontology.taught(family):
        if rng.random() < 0.05:
            missing.append(structure.name)
            continue
        other = found.get(f"left {structure.base}") if structure.side == "right" else None
        found[structure.name] = _measurement(structure, modality, scale, other, unit, rng)
    if family == "hippocampus":
        _add_up(found)
    if family == "brain":
        if rng.random() < 0.5:
            found["tumour"] = _lesion(scale, rng)
        else:
            missing.append("tumour")
    elif family == "hippocampus":
        missing.append("tumour")
    absent = (*missing, *(s.name for s in ontology.surely_absent(family)))
    return Facts(family, modality, found, absent)


def _measurement(
    structure: ontology.Structure,
    modality: str,
    scale: float,
    other: Measurement | None,
    unit: str,
    rng: random.Random,
) -> Measurement:
    low, high = (structure.reference_range_ml or (900.0, 1700.0, ""))[:2]
    if other is not None and rng.random() < 0.85:
        volume = other.volume_ml if rng.random() < 0.07 else other.volume_ml * math.exp(rng.gauss(0, 0.12))
    else:
        volume = math.exp(rng.uniform(math.log(low), math.log(high)))
        if rng.random() < 0.16:
            volume *= math.exp(rng.uniform(-1.5, 1.2))
    if modality == "CT":
        mean, spread = _HU.get(structure.name, (40.0, 15.0))
        intensity = rng.gauss(mean, spread)
    elif modality == "PET":
        intensity = math.exp(rng.uniform(math.log(0.9), math.log(14.0)))
    else:
        intensity = scale * rng.uniform(20, 260)
    return made_up(volume, intensity, unit, rng)


def _lesion(scale: float, rng: random.Random) -> Measurement:
    volume = math.exp(rng.uniform(math.log(0.2), math.log(60.0)))
    return made_up(volume, scale * rng.uniform(20, 260), "", rng)


def made_up(volume_ml: float, intensity: float, unit: str, rng: random.Random) -> Measurement:
    """A measurement with this volume: never shown as 0; as long as a blob to a strip of that volume."""
    volume_ml = max(volume_ml, 0.002)
    length = volume_ml ** (1 / 3) * rng.uniform(13.5, 38.0)
    return Measurement(volume_ml, length, intensity, unit, (0.0, 0.0, 0.0), None, max(1, int(volume_ml * 1000)), False)


def _add_up(found: dict[str, Measurement]) -> None:
    """A crop's whole hippocampus is its two parts."""
    front, back = found.get("anterior hippocampus"), found.get("posterior hippocampus")
    if front and back and "hippocampus" in found:
        found["hippocampus"] = replace(
            found["hippocampus"],
            volume_ml=front.volume_ml + back.volume_ml,
            longest_diameter_mm=max(found["hippocampus"].longest_diameter_mm, back.longest_diameter_mm * 1.2),
        )
