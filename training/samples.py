"""What the See stage sees: one random view of one case, with the phrases that may be asked of it.

`pack` reads the recipes' cases once into small arrays (RAS+ order, cropped to what they show). `draw` makes a sample
from one of them and a random generator: synthesised for label maps, augmented for real scans. Everything random comes
from the generator, so that sample i of a run is the same after a resume.

Partial labels: a structure that was not contoured in a case is unknown there. It is never asked, so its voxels are not
background of anything. Absent phrases are asked only where they cannot be: another part of the body, or outside the
part of a label map that a sample shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from assistant import preprocess
from data_recipes import ontology
from data_recipes.synthesis import contrast, geometry, lesion

FAMILIES = ("brain", "head_neck", "hippocampus", "tumour_mr", "tumour_pet")
#: an implanted lesion has the index len(values) in a sample of a label map, and this phrase
TUMOUR = "tumour"


@dataclass(frozen=True)
class PackedCase:
    """labels (X, Y, Z) uint8: indices into `values`; image (X, Y, Z) float32 or None (synthesise).

    names: label value -> canonical phrase, no two of which share a voxel; wholes: canonical phrase -> the values that
    make it up, others being parts of it; spacing (3,) mm; dataset: the recipe that it came from."""

    id: str
    family: str
    modality: str
    image: Tensor | None
    labels: Tensor
    values: np.ndarray
    names: dict[int, str]
    spacing: np.ndarray
    wholes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dataset: str = ""


@dataclass(frozen=True)
class Query:
    """One thing asked of a sample. label_indices: which indices of the sample's label grids it is (empty: absent).

    presence: 1 or 0, or None where it is not known (cut by the border). exclusive: its voxels belong to no other
    exclusive query, so that the masks may compete."""

    phrase: str
    label_indices: tuple[int, ...]
    presence: int | None
    exclusive: bool


@dataclass(frozen=True)
class Sample:
    """coarse (1, 10, x, y, z) and its labels (x, y, z); fine tiles (1, 10, T, T, T), their labels, and where each
    starts on the fine grid (even voxels). spacing: of the coarse level, mm."""

    family: str
    coarse: Tensor
    coarse_labels: Tensor
    tiles: list[Tensor]
    tile_labels: list[Tensor]
    tile_starts: list[tuple[int, int, int]]
    spacing: float
    queries: list[Query]

    def to(self, device: torch.device) -> Sample:
        """The same on another device."""
        return replace(
            self, coarse=self.coarse.to(device), coarse_labels=self.coarse_labels.to(device),
            tiles=[t.to(device) for t in self.tiles], tile_labels=[t.to(device) for t in self.tile_labels],
        )  # fmt: skip


@dataclass(frozen=True)
class Bend:
    """How far a family's samples are turned (degrees), stretched (log scale) and bent (mm), and how many show a part of
    the scan alone."""

    degrees: float = 10
    scale: float = 0.08
    elastic_mm: float = 2.0
    mirror: bool = True  # left to right, with the names of the sides
    flips: bool = False  # front to back and top to bottom as well: nothing in it has a right way up
    crops: float = 0.15


#: There are 20 patients with a sarcoma, in limbs that lie this way or that: they were known by heart (training Dice
#: 0.9, dev 0.66) when they were varied as little as heads, which are many and lie alike.
BENDS = {
    "hippocampus": Bend(elastic_mm=1.0),
    "tumour_mr": Bend(degrees=30, scale=0.25, elastic_mm=4.0, flips=True),
    "tumour_pet": Bend(degrees=30, scale=0.25, elastic_mm=4.0, flips=True, crops=0.4),
}


#: Any other scan: a trunk is no mirror image of itself, and scans of it begin and end anywhere.
TRUNK = Bend(mirror=False, crops=0.4)


def bend_of(family: str) -> Bend:
    return BENDS.get(family, Bend() if family in (*FAMILIES, "own") else TRUNK)


@cache
def absent_phrases(family: str) -> tuple[str, ...]:
    """Canonical phrases that scans of a family cannot show (or that no one could outline there)."""
    names = ontology.all_structures()
    brain = tuple(s.name for s in names if s.taught and "brain" in s.families and s.name != "brainstem")
    neck = tuple(s.name for s in names if s.taught and "head_neck" in s.families and s.name != "brainstem")
    far = tuple(s.name for s in names if not s.taught and {"abdomen", "pelvis", "thorax"} & set(s.families))
    crop = ("anterior hippocampus", "posterior hippocampus")
    trunk_far = tuple(n for n in far if n not in ("trachea", "left lung", "right lung", "aorta", "heart"))
    limb = ("liver", "pancreas", "gallbladder", "spleen", "stomach", "heart", "left lung", "right lung", "trachea")
    table = {
        "brain": tuple(n for n in neck if n != "spinal cord") + far,
        "head_neck": tuple(n for n in brain if n != "cerebrospinal fluid")
        + trunk_far
        + ("hippocampus",)
        + crop
        + (TUMOUR,),
        "hippocampus": neck + far + (TUMOUR,),
        "tumour_mr": brain + neck + limb + ("brainstem",) + ("hippocampus",) + crop,
        "tumour_pet": brain + neck + limb + ("brainstem",) + ("hippocampus",) + crop,
    }
    return table.get(family, ())  # what else any other scan shows is not known


def draw(
    case: PackedCase, rng: np.random.Generator, tiles: int = 1, side: int = 48, size: int = 64, focus: float = 0.0
) -> Sample:
    """One random sample of a case, with `tiles` fine tiles of `side` voxels; the coarse grid has `size` along its
    longest side. focus: the share of samples that see the box of what is taught and no more (`assistant/focus.py`)."""
    bend = bend_of(case.family)
    # half of the stripped heads are cropped like whole ones; skull-stripping is decided first, as it moves the box
    strip = case.image is None and rng.random() < 0.3
    focused = bool(focus) and not strip and rng.random() < focus
    low, high = _focus(case, rng) if focused else _content(case, strip, rng)
    low, high = _crop(low, high, case.spacing, rng, bend.crops)
    extent = (high - low) * case.spacing
    # some scans are coarser than those there are to learn from: the grid then is (`preprocess.coarse_grid`)
    finest = float(case.spacing.min()) * (rng.uniform(1, 2.2) if rng.random() < 0.2 else 1.0)
    spacing = max(float(extent.max()) / size * rng.uniform(0.97, 1.12), finest)
    shape = preprocess.level_shape(extent, spacing, size)
    fine = spacing > preprocess.FINE_FROM * finest
    work_shape = (2 * shape[0], 2 * shape[1], 2 * shape[2]) if fine else shape
    work_spacing = spacing / 2 if fine else spacing
    mirror = bool(rng.random() < 0.5) and bend.mirror
    flips = rng.random(2) < 0.5 if bend.flips else np.zeros(2, bool)
    warp = geometry.random_warp(
        rng, work_shape, work_spacing, (low + high) / 2 - 0.5, case.spacing, mirrors=(mirror, *flips.tolist()),
        degrees=bend.degrees, scale=bend.scale, shear=0.02, elastic_mm=bend.elastic_mm,
    )  # fmt: skip
    # the field of view ends straight, in the sample's own frame, as a scanner's does; a scan also ends where its
    # array ends
    view = geometry.inside(tuple(case.labels.shape), warp.coordinates) * _field(work_shape, work_spacing, extent)
    names = {v: ontology.flip(n) if mirror else n for v, n in case.names.items()}
    wholes = {ontology.flip(n) if mirror else n: values for n, values in case.wholes.items()}
    lesion_index = len(case.values)
    table = torch.arange(lesion_index)  # packed index -> index in this sample
    if strip:
        table[torch.tensor([not 0 < v < 500 for v in case.values])] = 0
    labels = table[geometry.nearest(case.labels, warp.coordinates).long()] * view.long()
    mask = torch.zeros_like(labels, dtype=torch.bool)

    if case.image is None:
        image = contrast.synthesise(rng, labels, case.values, work_spacing)
        if strip:
            image = torch.where(labels > 0, image, torch.zeros_like(image))
        if rng.random() < 0.15:
            tissue = torch.tensor([v in LESION_TISSUE for v in case.values])[labels]
            image, mask = lesion.implant(rng, image, tissue, work_spacing)
            labels = torch.where(mask, torch.full_like(labels, lesion_index), labels)
    else:
        image = geometry.linear(case.image, warp.coordinates, -1000.0 if case.modality == "CT" else 0.0)
        if case.family in ("tumour_mr", "tumour_pet"):
            image = _recolour(rng, image, labels > 0)
        image = _wear(rng, image, case.modality)
    pair = preprocess.windows(image, case.modality) * view

    if fine:
        coarse_pair, coarse_view = preprocess.pool(pair), preprocess.pool(view[None])[0]
        middle = geometry.pool_coordinates(warp.coordinates)
        coarse_labels = table[geometry.nearest(case.labels, middle).long()] * (coarse_view >= 0.5).long()
        filled = preprocess.pool(mask[None].float())[0] >= 0.5
        coarse_labels = torch.where(filled, torch.full_like(coarse_labels, lesion_index), coarse_labels)
    else:
        coarse_pair, coarse_view, coarse_labels = pair, view, labels

    queries = _queries(case, names, wholes, labels, coarse_labels, work_spacing, rng)
    starts = _tile_starts(labels, queries, rng, tiles, side) if fine else []
    cut = [tuple(slice(a, a + min(side, n)) for a, n in zip(s, labels.shape, strict=True)) for s in starts]
    return Sample(
        case.family,
        preprocess.level_input(coarse_pair, coarse_view, spacing, case.modality, (0, 0, 0), shape),
        coarse_labels,
        [
            preprocess.level_input(pair[(slice(None), *c)], view[c], work_spacing, case.modality, s, work_shape)
            for s, c in zip(starts, cut, strict=True)
        ],
        [labels[c] for c in cut],
        starts,
        spacing,
        queries,
    )


#: FreeSurfer values that lesions are implanted in
LESION_TISSUE = {2, 41, 3, 42, 7, 46, 8, 47, 16, 10, 49, 12, 51}


def _content(case: PackedCase, strip: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The box (voxel edges) of what a case shows: all of the packed array, or the brain alone. Of a PET, what takes up
    more than 0.1 to 1.6 SUV: how much of a body does depends on tracer and time, and the view with it."""
    if case.modality == "PET" and case.image is not None:
        first = preprocess.windows(case.image, "PET")[0]
        something = 0.08 * 16 ** -rng.random()
        return preprocess.foreground_box(first, "PET", case.spacing, something)
    if not strip:
        return np.zeros(3), np.array(case.labels.shape, float)
    brain = torch.tensor([0 < v < 500 for v in case.values])[case.labels.long()]
    low, high = np.zeros(3), np.zeros(3)
    for axis in range(3):
        full = np.flatnonzero(brain.amax([a for a in range(3) if a != axis]).numpy())
        low[axis], high[axis] = full[0] - 4, full[-1] + 5
    return low, high


#: mm around what is taught that a focused sample shows, at least and at most: the box at use is drawn around coarse
#: masks, `focus.MARGIN_MM` wide
FOCUS_MARGINS_MM = (5.0, 30.0)


def _focus(case: PackedCase, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The box (voxel edges) of a case's named structures, with a margin of its own on every side."""
    named = torch.tensor([int(v) in case.names for v in case.values])[case.labels.long()]
    low, high = np.zeros(3), np.array(case.labels.shape, float)
    for axis in range(3):
        full = np.flatnonzero(named.amax([a for a in range(3) if a != axis]).numpy())
        if len(full):
            before, after = rng.uniform(*FOCUS_MARGINS_MM, 2) / case.spacing[axis]
            low[axis], high[axis] = max(0.0, full[0] - before), min(high[axis], full[-1] + 1 + after)
    return low, high


def _crop(
    low: np.ndarray, high: np.ndarray, spacing: np.ndarray, rng: np.random.Generator, p: float
) -> tuple[np.ndarray, np.ndarray]:
    """With probability p a random part of the box: at least 40 % of it and 60 mm along each axis that is cut."""
    low, high = low.copy(), high.copy()
    if rng.random() < p:
        for axis in rng.permutation(3)[: int(rng.integers(1, 4))]:
            extent = (high[axis] - low[axis]) * spacing[axis]
            if extent > 60:
                keep = rng.uniform(max(60.0, 0.4 * extent), extent) / spacing[axis]
                low[axis] += rng.uniform(0, high[axis] - low[axis] - keep)
                high[axis] = low[axis] + keep
    return low, high


def _field(shape: tuple[int, ...], spacing: float, extent: np.ndarray) -> Tensor:
    """1 within the field of view of `extent` (3,) mm about the grid's middle (X, Y, Z)."""
    axes = [
        ((torch.arange(n) - (n - 1) / 2).abs() * spacing <= e / 2).float() for n, e in zip(shape, extent, strict=True)
    ]
    return torch.einsum("i,j,k->ijk", *axes)


def _wear(rng: np.random.Generator, image: Tensor, modality: str) -> Tensor:
    """Intensity augmentation of a real scan."""
    shape = tuple(image.shape)
    if modality == "CT":
        image = image * rng.uniform(0.95, 1.05) + rng.uniform(-20, 20)
        return image + rng.uniform(0, 20) * contrast.noise(rng, shape)
    if modality == "MR":
        top = float(image.max()) or 1.0
        image = (image / top).clamp_min(0) ** float(np.exp(rng.normal(0, 0.25)))
        image = image * contrast.bias_field(rng, shape, rng.uniform(0, 0.3))
        return (image + rng.uniform(0, 0.05) * contrast.noise(rng, shape)).clamp_min(0) * top
    image = image * float(np.exp(rng.normal(0, 0.3)))
    return (image * (1 + rng.uniform(0, 0.08) * contrast.noise(rng, shape))).clamp_min(0)


def _recolour(rng: np.random.Generator, image: Tensor, tumour: Tensor) -> Tensor:
    """Half of the time a tumour (X, Y, Z) bool that is up to a third brighter or darker, with a soft rim."""
    if rng.random() < 0.5:
        return image
    rim = F.avg_pool3d(tumour[None].float(), 3, 1, 1)[0]
    return image * (1 + rim * (float(np.exp(rng.normal(0, 0.2))) - 1))


def _queries(
    case: PackedCase, names: dict[int, str], wholes: dict[str, tuple[int, ...]], labels: Tensor, coarse: Tensor,
    spacing: float, rng: np.random.Generator,
) -> list[Query]:
    index_of = {int(v): i for i, v in enumerate(case.values)}
    lesion_index = len(case.values)
    here = torch.bincount(labels.flatten(), minlength=lesion_index + 1)
    coarse_here = torch.bincount(coarse.flatten(), minlength=lesion_index + 1)
    whole = torch.bincount(case.labels.flatten(), minlength=lesion_index + 1)
    ratio = float(np.prod(case.spacing)) / spacing**3  # expected sample voxels per packed voxel
    queries = []

    def ask(phrase: str, indices: tuple[int, ...], exclusive: bool) -> None:
        found = int(sum(here[i] for i in indices))
        expected = int(sum(whole[i] for i in indices)) * ratio
        present: int | None = 1
        if found == 0:
            present = 0
        elif int(sum(coarse_here[i] for i in indices)) == 0 or found < 0.15 * expected:
            present = None  # a rest at the border: neither here nor absent
        queries.append(Query(phrase, indices, present, exclusive))

    for value, phrase in names.items():
        ask(phrase, (index_of[value],), True)
    if case.family == "brain":
        ask("brain", tuple(i for v, i in index_of.items() if 0 < v < 500), False)
        ask(TUMOUR, (lesion_index,), True)
    for phrase, values in wholes.items():
        ask(phrase, tuple(index_of[v] for v in values), False)
    refused = absent_phrases(case.family)
    for phrase in rng.choice(np.array(refused), size=min(5, len(refused)), replace=False):
        queries.append(Query(str(phrase), (), 0, False))
    return queries


def members(labels: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Where a label grid holds one of `indices` -> bool, same shape."""
    table = torch.zeros(256, dtype=torch.bool, device=labels.device)
    table[list(indices)] = True
    return table[labels]


def owners(labels: Tensor, queries: list[Query]) -> Tensor:
    """Which exclusive query of a list owns each voxel: 0 for none, i + 1 for the i-th exclusive one. (V,) long."""
    table = torch.zeros(256, dtype=torch.long, device=labels.device)
    for i, query in enumerate(q for q in queries if q.exclusive):
        table[list(query.label_indices)] = i + 1
    return table[labels].flatten()


def _tile_starts(
    labels: Tensor, queries: list[Query], rng: np.random.Generator, count: int, side: int
) -> list[tuple[int, int, int]]:
    """Even starts of `count` tiles, each around a voxel of a random present target (small ones as often as large)."""
    present = [q for q in queries if q.label_indices and q.presence != 0]
    starts = []
    for _ in range(count):
        room = [max(0, n - side) for n in labels.shape]
        if present and rng.random() < 0.9:
            query = present[int(rng.integers(len(present)))]
            spots = members(labels, query.label_indices).nonzero()
            spot = spots[int(rng.integers(len(spots)))].numpy() if len(spots) else np.array(labels.shape) // 2
            start = [
                int(np.clip(s - side // 2 + rng.integers(-side // 3, side // 3 + 1), 0, r))
                for s, r in zip(spot, room, strict=True)
            ]
        else:
            start = [int(rng.integers(r + 1)) for r in room]
        starts.append(tuple(2 * (s // 2) for s in start))
    return starts  # type: ignore[return-value]
