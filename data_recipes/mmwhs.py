"""MM-WHS 2017: the chambers of the heart, its great vessels and the myocardium, on CT angiography and MR.

Source page   https://zmiclab.github.io/zxh/0/mmwhs/
Licence       see source; commercial use: see source
Citation      Zhuang et al., Evaluation of algorithms for Multi-Modality Whole Heart Segmentation: An open-access grand
              challenge, Medical Image Analysis 58 (2019) 101537.
Layout        ct_train/ct_train_1001_image.nii.gz with ct_train_1001_label.nii.gz; mr_train/mr_train_1001_*. Values: 205
              left ventricular myocardium, 420 left atrium, 500 left ventricle, 550 right atrium, 600 right ventricle,
              820 ascending aorta, 850 pulmonary artery. Split: by patient.
Example       Case(id="ct_train_1001", family="heart", modality="CT", image=.../ct_train_1001_image.nii.gz,
              phrases={"left ventricular myocardium": (205,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "mmwhs", "MM-WHS", ("CT", "MR"), "20 CTs and 20 MRs with labels", "see source", "see source", ("mask",),
    "https://zmiclab.github.io/zxh/0/mmwhs/",
)  # fmt: skip
LABELS = {
    205: "left ventricular myocardium", 420: "left atrium", 500: "left ventricle of the heart", 550: "right atrium",
    600: "right ventricle of the heart", 820: "ascending aorta", 850: "pulmonary artery",
}  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked training archives, wherever they lie under the root."""
    root = Path(root)
    nothing = f"{root} has no ct_train_*_image.nii.gz or mr_train_*_image.nii.gz: give the folder that holds ct_train"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for modality in ("CT", "MR"):
        files = layouts.seen(root, f"**/{modality.lower()}_train_*.nii.gz")
        names = {layouts.stem(p).removesuffix("_image").removesuffix("_label"): p.parent for p in files}
        for name, folder in names.items():
            yield layouts.case(
                ABOUT, name, patient=name, family="heart", modality=modality, image=folder / f"{name}_image.nii.gz",
                label=folder / f"{name}_label.nii.gz", phrases=layouts.by_phrase(LABELS), split=split_of(name),
            )  # fmt: skip
