"""Medical Segmentation Decathlon, Task04 Hippocampus: T1 crops around one hippocampus, its front and its back part.

Source page   http://medicaldecathlon.com (Task04_Hippocampus)
Licence       CC BY-SA 4.0
Citation      Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13 (2022) 4128.
              Simpson et al., A large annotated medical image dataset ..., arXiv:1902.09063 (2019).
Layout        Task04_Hippocampus/imagesTr/hippocampus_001.nii.gz and labelsTr/hippocampus_001.nii.gz (1 anterior,
              2 posterior; manual), about 35 x 50 x 35 voxels of 1 mm. imagesTs has no labels. The side is not given:
              nothing here says left or right.
Example       Case(id="hippocampus_001", family="hippocampus", modality="MR", image=.../imagesTr/hippocampus_001.nii.gz,
              phrases={"hippocampus": (1, 2), "anterior hippocampus": (1,), "posterior hippocampus": (2,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import local
from data_recipes.schema import Case, RecipeError, check_split, split_of

LICENCE = "MSD Task04 Hippocampus: CC BY-SA 4.0"
SOURCE = "http://medicaldecathlon.com"
PHRASES = {"hippocampus": (1, 2), "anterior hippocampus": (1,), "posterior hippocampus": (2,)}


def cases(root: Path, split: str) -> Iterator[Case]:
    """Cases of a folder in the shared layout or of the unpacked Task04_Hippocampus archive (or its parent)."""
    root = Path(root)
    check_split(split)
    if local.is_local(root):
        for entry in local.entries(root, split, "msd_hippocampus"):
            yield _case(entry.case, entry.name, entry.image, entry.label, split, entry.licence, entry.source)
        return
    task = root if (root / "labelsTr").is_dir() else root / "Task04_Hippocampus"
    labels = sorted(p for p in (task / "labelsTr").glob("hippocampus_*.nii*") if not p.name.startswith("."))
    if not labels:
        raise RecipeError(f"{root} has no labelsTr/hippocampus_*.nii.gz: give the unpacked Task04_Hippocampus folder")
    for label in labels:
        name = label.name.split(".")[0]
        image = task / "imagesTr" / label.name
        if not image.is_file():
            raise RecipeError(f"{label} has no image {image}: the archive was not unpacked whole")
        if split_of(name) == split:
            yield _case(name, name, image, label, split, LICENCE, SOURCE)


def _case(name: str, patient: str, image: Path | None, label: Path, split: str, licence: str, source: str) -> Case:
    return Case(name, patient, "hippocampus", "MR", image, label, PHRASES, (), licence, source, split)
