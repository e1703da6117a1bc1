"""WORD: 16 abdominal organs on CT before radiotherapy.

Source page   https://github.com/HiLab-git/WORD (the archive's password is sent on request)
Licence       for academic research only, by the repository's statement; commercial use: no
Citation      Luo et al., WORD: A large scale dataset, benchmark and clinical applicable study for abdominal organ
              segmentation from CT image, Medical Image Analysis 82 (2022) 102642.
Layout        WORD-V0.1.0/imagesTr/word_0002.nii.gz with labelsTr/word_0002.nii.gz; imagesVal with labelsVal; imagesTs
              with labelsTs. Value 12 is both adrenal glands in one. Split: Tr is train, Val is dev; Ts is not read.
Example       Case(id="word_0002", family="body_ct", modality="CT", image=.../imagesTr/word_0002.nii.gz,
              phrases={"liver": (1,), "spleen": (2,), ..., "pair of adrenal glands": (12,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip

ABOUT = DataSet(
    "word", "WORD", ("CT",), "120 CTs (100 train, 20 validation), 16 organs", "academic research only", "no",
    ("mask",), "https://github.com/HiLab-git/WORD",
)  # fmt: skip
LABELS = {
    1: "liver", 2: "spleen", 3: "left kidney", 4: "right kidney", 5: "stomach", 6: "gallbladder", 7: "esophagus",
    8: "pancreas", 9: "duodenum", 10: "colon", 11: "small bowel", 12: "pair of adrenal glands", 13: "rectum",
    14: "urinary bladder", 15: "left head of the femur", 16: "right head of the femur",
}  # fmt: skip
PARTS = {"Tr": "train", "Val": "dev"}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive."""
    root = layouts.below(Path(root), "WORD-V0.1.0")
    nothing = f"{root} has no imagesTr/word_*.nii.gz: give the unpacked WORD-V0.1.0 folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for part, split in PARTS.items():
        for name, image, label in layouts.paired(root / f"images{part}", root / f"labels{part}"):
            yield layouts.case(
                ABOUT, name, patient=name, family="body_ct", modality="CT", image=image, label=label,
                phrases=layouts.by_phrase(LABELS), split=split,
            )  # fmt: skip
