"""FLARE 2022: 13 abdominal organs on CT; its 50 labelled cases (images from MSD Pancreas).

Source page   https://flare22.grand-challenge.org/Dataset/
Licence       see source; commercial use: see source
Citation      Ma et al., Unleashing the strengths of unlabelled data in deep learning-assisted pan-cancer abdominal
              organ quantification: the FLARE22 challenge, The Lancet Digital Health 6 (2024) e815.
Layout        Training/FLARE22_LabeledCase50/images/FLARE22_Tr_0001_0000.nii.gz with labels/FLARE22_Tr_0001.nii.gz; the
              unlabelled cases are not read. Split: by patient.
Example       Case(id="FLARE22_Tr_0001", family="body_ct", modality="CT", image=.../images/FLARE22_Tr_0001_0000.nii.gz,
              phrases={"liver": (1,), "right kidney": (2,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "flare22", "FLARE22", ("CT",), "50 CTs with labels, 13 organs", "see source", "see source", ("mask",),
    "https://flare22.grand-challenge.org/Dataset/",
)  # fmt: skip
LABELS = {
    1: "liver", 2: "right kidney", 3: "spleen", 4: "pancreas", 5: "aorta", 6: "inferior vena cava",
    7: "right adrenal gland", 8: "left adrenal gland", 9: "gallbladder", 10: "esophagus", 11: "stomach",
    12: "duodenum", 13: "left kidney",
}  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the download, its images.zip and labels.zip unpacked where they lie."""
    root = layouts.below(Path(root), "Training/FLARE22_LabeledCase50", "FLARE22_LabeledCase50")
    nothing = f"{root} has no images/FLARE22_Tr_*_0000.nii.gz: give the folder FLARE22_LabeledCase50"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    images = {n.removesuffix("_0000"): p for n, p in layouts.scans(root / "images").items()}
    labels = layouts.scans(root / "labels")
    for name in sorted({*images, *labels}):
        yield layouts.case(
            ABOUT, name, patient=name, family="body_ct", modality="CT",
            image=images.get(name, root / "images" / f"{name}_0000.nii.gz"),
            label=labels.get(name, root / "labels" / f"{name}.nii.gz"),
            phrases=layouts.by_phrase(LABELS), split=split_of(name),
        )  # fmt: skip
