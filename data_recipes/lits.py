"""LiTS: liver and liver tumours on CT (MSD Task03 Liver holds the same scans).

Source page   https://competitions.codalab.org/competitions/17094
Licence       see source; commercial use: see source
Citation      Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image Analysis 84 (2023) 102680.
Layout        "Training Batch 1"/volume-0.nii with segmentation-0.nii (1 liver, 2 tumour), and "Training Batch 2";
              the test volumes have no labels. Split: by patient.
Example       Case(id="lits_0", family="body_ct", modality="CT", image=.../volume-0.nii,
              phrases={"liver": (1, 2), "liver tumour": (2,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "lits", "LiTS", ("CT",), "131 CTs with labels", "see source", "see source", ("mask",),
    "https://competitions.codalab.org/competitions/17094",
)  # fmt: skip
PHRASES = {"liver": (1, 2), "liver tumour": (2,)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked training batches, wherever they lie under the root."""
    root = Path(root)
    nothing = f"{root} has no volume-*.nii: give the folder of the unpacked training batches"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    images = {layouts.stem(p)[7:]: p for p in layouts.seen(root, "**/volume-*.nii*")}
    labels = {layouts.stem(p)[13:]: p for p in layouts.seen(root, "**/segmentation-*.nii*")}
    for number in sorted({*images, *labels}):
        near = images.get(number) or labels[number]
        yield layouts.case(
            ABOUT, f"lits_{number}", patient=f"lits_{number}", family="body_ct", modality="CT",
            image=images.get(number, near.parent / f"volume-{number}.nii"),
            label=labels.get(number, near.parent / f"segmentation-{number}.nii"), phrases=PHRASES,
            split=split_of(f"lits_{number}"),
        )  # fmt: skip
