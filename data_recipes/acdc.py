"""ACDC: ventricles and myocardium on short-axis cine MR, at end diastole and end systole.

Source page   https://www.creatis.insa-lyon.fr/Challenge/acdc/
Licence       for research, see the terms on the page; commercial use: see source
Citation      Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation and
              Diagnosis: Is the Problem Solved?, IEEE Trans. Medical Imaging 37 (2018) 2514-2525.
Layout        training/patient001/patient001_frame01.nii.gz with patient001_frame01_gt.nii.gz (1 right ventricle,
              2 myocardium, 3 left ventricle); patient001_4d.nii.gz and testing are not read. Split: by patient.
Example       Case(id="patient001_frame01", patient="patient001", family="heart", modality="MR",
              image=.../patient001_frame01.nii.gz, phrases={"right ventricle of the heart": (1,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "acdc", "ACDC", ("MR",), "200 frames of 100 patients", "see source (terms of the challenge)", "see source",
    ("mask",), "https://www.creatis.insa-lyon.fr/Challenge/acdc/",
)  # fmt: skip
LABELS = {1: "right ventricle of the heart", 2: "left ventricular myocardium", 3: "left ventricle of the heart"}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive."""
    root = layouts.below(Path(root), "database/training", "training")
    nothing = f"{root} has no patient*/patient*_frame*.nii.gz: give the unpacked ACDC folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    names = {layouts.stem(p).removesuffix("_gt"): p.parent for p in layouts.seen(root, "patient*/patient*_frame*.nii*")}
    for name, folder in names.items():
        yield layouts.case(
            ABOUT, name, patient=folder.name, family="heart", modality="MR", image=folder / f"{name}.nii.gz",
            label=folder / f"{name}_gt.nii.gz", phrases=layouts.by_phrase(LABELS), split=split_of(folder.name),
        )  # fmt: skip
