"""A labelled scan whose right answers are known, in any storage order: boxes placed in the patient's millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from assistant.evidence import Measurement
from assistant.volume import Volume
from data_recipes.instructions.facts import Facts, facts_of
from data_recipes.instructions.layout import Layout
from data_recipes.ontology import flip
from data_recipes.schema import Case

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]  # low and high of x, y, z in mm, RAS+

# A belly: the adrenal gland sits on the left kidney, the tumour is inside it, the gallbladder touches the liver.
BELLY: Mapping[str, Box] = {
    "left kidney": ((-60, -36), (-40, -16), (-32, 12)),
    "right kidney": ((36, 56), (-40, -16), (-40, 4)),
    "left adrenal gland": ((-48, -36), (-32, -24), (12, 20)),
    "kidney tumour": ((-60, -52), (-32, -24), (-20, -8)),
    "liver": ((16, 60), (-8, 40), (8, 48)),
    "gallbladder": ((28, 40), (20, 32), (-4, 8)),
    "spleen": ((-64, -44), (-12, 20), (16, 44)),
}
PARTS = {"left kidney": ("left kidney", "kidney tumour")}  # a whole and what is painted over it
ABSENT = ("prostate", "right adrenal gland", "urinary bladder")
VALUES = {phrase: number for number, phrase in enumerate(BELLY, 1)}
SHAPE = (80, 72, 64)


def centred(axes: np.ndarray) -> np.ndarray:
    """(4, 4) affine with these axes (3, 3) mm a voxel, whose grid's middle is at world 0."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.array(SHAPE) - 1) / 2)
    return affine


def _turned(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return 2.0 * np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


AFFINES = {
    "RAS": centred(np.diag([2.0, 2.0, 2.0])),
    "LPS": centred(np.diag([-2.0, -2.0, 2.0])),
    "RAI": centred(np.diag([2.0, 2.0, -2.0])),
    "turned by 8 degrees": centred(_turned(8)),
    "turned by 98 degrees": centred(_turned(98)),
}


def scan(affine: np.ndarray = AFFINES["RAS"]) -> tuple[Volume, np.ndarray]:
    """The belly as a CT and its labels (X, Y, Z), both on the volume's RAS order, stored with this affine."""
    index = np.indices(SHAPE).reshape(3, -1)
    x, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *SHAPE)
    stored = np.zeros(SHAPE, np.int32)
    for phrase in BELLY:
        (x0, x1), (y0, y1), (z0, z1) = BELLY[phrase]
        stored[(x > x0) & (x < x1) & (y > y0) & (y < y1) & (z > z0) & (z < z1)] = VALUES[phrase]
    volume = Volume.from_array(stored.astype(np.float32) * 10, affine, modality="CT")
    return volume, volume.from_native(stored)


def phrases() -> dict[str, tuple[int, ...]]:
    """Phrase -> label values, absent ones included."""
    there = {p: tuple(VALUES[part] for part in PARTS.get(p, (p,))) for p in BELLY}
    return {**there, **{p: (100 + n,) for n, p in enumerate(ABSENT)}}


@cache
def belly(stored: str = "RAS") -> Facts:
    """What is true of it, stored in one of AFFINES."""
    volume, labels = scan(AFFINES[stored])
    case = Case("belly", "belly", "abdomen", "CT", None, None, phrases(), (), "", "", "train")  # type: ignore[arg-type]
    return facts_of(case, volume, labels)


def mirrored(facts: Facts) -> Facts:
    """The same scan seen in a mirror: voxels flipped from left to right, and the names of sides with them."""
    assert facts.layout is not None
    layout = facts.layout
    affine = np.diag([-1.0, 1.0, 1.0, 1.0]) @ layout.volume.affine  # the mirror image in world coordinates
    volume = Volume.from_array(layout.volume.voxels, affine, modality=facts.modality)
    labels = volume.from_native(layout.labels)
    names = {flip(p): values for p, values in facts.labels.items()}
    case = Case(facts.case, "", facts.family, facts.modality, None, None, names, (), "", "", "train")  # type: ignore[arg-type]
    return facts_of(case, volume, labels)


def layout(stored: str = "RAS") -> Layout:
    found = belly(stored).layout
    assert found is not None
    return found


def of(volumes: dict[str, float], absent=(), modality="MR", family="brain", means=None, lengths=None) -> Facts:
    """A scan with these volumes (mL), means and longest diameters (mm)."""
    unit = {"CT": "HU", "MR": "", "PET": "SUV"}[modality]
    means, lengths, middle = means or {}, lengths or {}, (0.0, 0.0, 0.0)
    found = {
        p: Measurement(v, lengths.get(p, 30.0), means.get(p, 100.0), unit, middle, None, 1, False)
        for p, v in volumes.items()
    }
    return Facts(family, modality, found, tuple(absent))
