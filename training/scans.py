"""Scans with expert masks to ask a model about, by family.

openkbp      head-and-neck planning CT, seven organs; what was not contoured in a case is not asked for
hippocampus  T1 crops around one hippocampus: the whole, and its anterior and posterior parts
sts          soft-tissue sarcoma of a limb, T1 MR and FDG-PET
brain        images synthesised from label maps of real brains, several contrasts each, mostly like T1: the masks are
             exact, the images are not real
brain_free   the same maps, every tissue of any brightness
colin        Colin27, a real (averaged) T1, with the AAL atlas where AAL and FreeSurfer mean the same structure
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from assistant.volume import Volume
from data_recipes import freesurfer, msd, ontology, openkbp, registry, sts
from data_recipes.schema import Case, RecipeError, load_case, mask_of
from data_recipes.synthesis.contrast import synthesise

# Deep grey matter, the hippocampus and the amygdala are drawn alike by both. Cortical parcels and the cerebellum's
# lobules are not, and AAL has no ventricles.
AAL_AS_FREESURFER = {
    "Hippocampus": "hippocampus",
    "Amygdala": "amygdala",
    "Caudate": "caudate nucleus",
    "Putamen": "putamen",
    "Pallidum": "pallidum",
    "Thalamus": "thalamus",
}
AAL_VALUES = {
    "Hippocampus": 37,
    "Amygdala": 41,
    "Caudate": 71,
    "Putamen": 73,
    "Pallidum": 75,
    "Thalamus": 77,
}  # left; right + 1

# What is measured stays the same, whatever training draws
MOSTLY_T1 = {"T1": 0.75, "T2": 0.1, "FLAIR": 0.05, "free": 0.1}
FREE = {"free": 1.0}


@dataclass(frozen=True)
class Scan:
    """One image and what is known of it.

    family: the case's, for the embedded model one of `ontology.SCAN_FAMILIES`; image: a file, or a volume made here;
    truths: {canonical phrase: bool mask on the image's own (stored) grid}, none of them empty; absent: phrases that a
    scan of this kind cannot show, or that were looked for in vain;
    spacing: mm along the axes of the stored grid.
    """

    family: str
    case: str
    image: Path | Volume
    truths: dict[str, np.ndarray]
    absent: list[str]
    spacing: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000


def stored_spacing(volume: Volume) -> tuple[float, float, float]:
    """mm along the axes of a volume's file."""
    x, y, z = np.linalg.norm(volume.native.affine[:3, :3], axis=0).tolist()
    return (x, y, z)


def recipe_scans(recipe: Callable[[Path, str], Iterator[Case]], root: Path, split: str) -> Iterator[Scan]:
    """Real images with real contours, as a recipe finds them."""
    for case in recipe(root, split):
        volume, labels, _ = load_case(case)
        if volume is None:
            raise ValueError(f"{case.id} has no image: it can be synthesised from, not asked about")
        # the file itself is given to the session, as a user would, unless it is no file that a user has
        image = case.image if case.form == "nifti" and case.image is not None else volume
        masks = truths(volume, labels, case.phrases)
        # looked for and not there, as a mask file without a voxel says
        missing = [phrase for phrase in case.phrases if phrase not in masks and phrase not in case.unknown]
        away = list(dict.fromkeys([*missing, *absent(case.family)]))
        yield Scan(case.family, case.id, image, masks, away, stored_spacing(volume))


def truths(volume: Volume, labels: np.ndarray, phrases: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """{phrase: mask on the stored grid} of those that are there; labels (X, Y, Z) on the RAS grid."""
    found = {phrase: mask_of(labels, values) for phrase, values in phrases.items()}
    return {phrase: volume.to_native(mask).astype(bool) for phrase, mask in found.items() if mask.any()}


def absent(family: str) -> list[str]:
    """Names of what a scan of this family cannot show."""
    return [s.name for s in ontology.surely_absent(family)]


def synthesised(
    labels: np.ndarray, affine: np.ndarray, rng: np.random.Generator, name: str, shares: Mapping[str, float]
) -> Volume:
    """An MR image of a drawn contrast from a FreeSurfer label map (X, Y, Z), undeformed, on the map's own grid."""
    values, index = np.unique(labels, return_inverse=True)
    indices = torch.from_numpy(index.reshape(labels.shape))
    voxels = synthesise(rng, indices, values, float(np.linalg.norm(affine[:3, 0])), shares)
    return Volume.from_array(voxels.numpy(), affine, modality="MR", name=name)


def synthetic_brains(
    root: Path, split: str, seed: int = 0, contrasts: int = 4, shares: Mapping[str, float] = MappingProxyType(MOSTLY_T1)
) -> Iterator[Scan]:
    """Images of drawn contrasts from each label map: the map's own 1 mm grid, its own left and right."""
    for case in freesurfer.cases(root, split):
        _, labels, affine = load_case(case)
        for number in range(contrasts):
            rng = np.random.default_rng([seed, number, *case.id.encode()])
            volume = synthesised(labels, affine, rng, f"{case.id} synthesised {number}", shares)
            masks = truths(volume, labels, case.phrases)
            yield Scan("brain", volume.name, volume, masks, absent("brain"), stored_spacing(volume))


def colin(root: Path, split: str) -> Iterator[Scan]:
    """Colin27 (Holmes et al. 1998) with AAL (Tzourio-Mazoyer et al. 2002): `<split>/mricron_colin27_aal`."""
    folder = root / split / "mricron_colin27_aal"
    volume = Volume.open(folder / "image.nii.gz")
    labels = np.rint(Volume.open(folder / "label.nii.gz", modality="MR").voxels)
    phrases = {
        f"{side} {AAL_AS_FREESURFER[name]}": (value + offset,)
        for name, value in AAL_VALUES.items()
        for offset, side in enumerate(ontology.SIDES)
    }
    masks = truths(volume, labels, phrases)
    yield Scan("brain", "colin27", folder / "image.nii.gz", masks, absent("brain"), stored_spacing(volume))


FAMILIES: dict[str, Callable[[Path, str, int, int], Iterator[Scan]]] = {
    "openkbp": lambda root, split, seed, contrasts: recipe_scans(openkbp.cases, root, split),
    "hippocampus": lambda root, split, seed, contrasts: recipe_scans(msd.cases, root, split),
    "sts": lambda root, split, seed, contrasts: recipe_scans(sts.cases, root, split),
    "brain": synthetic_brains,
    "brain_free": lambda root, split, seed, contrasts: synthetic_brains(root, split, seed, contrasts, FREE),
    "colin": lambda root, split, seed, contrasts: colin(root, split),
}


def scans(
    group: str,
    root: Path | None,
    split: str = "dev",
    *,
    limit: int | None = None,
    skip: int = 0,
    seed: int = 0,
    contrasts: int = 4,
) -> Iterator[Scan]:
    """The scans of a group (`group_name`), one at a time, in a fixed order; at most ``limit`` after the first ``skip``.

    ``contrasts`` images are made of each brain label map.
    """
    name, folder = group_name(group)
    if folder is not None:
        found = recipe_scans(registry.MASKS[name].cases, folder, split)
    elif root is None:
        raise RecipeError(f"the scans of {group} are in a folder of the shared layout: give it (--data)")
    else:
        found = FAMILIES[name](root, split, seed, contrasts)
    return islice(found, skip, None if limit is None else skip + limit)


def group_name(text: str) -> tuple[str, Path | None]:
    """A group of scans as it is given: one of FAMILIES, or a data set and its download ("amos=downloads/amos22") ->
    (name, folder). RecipeError for anything else."""
    if text in FAMILIES:
        return text, None
    if "=" not in text:
        raise RecipeError(f"no group of scans {text!r}: choose from {', '.join(FAMILIES)}, or give NAME=FOLDER")
    return registry.named_folder(text, registry.MASKS)
