"""AMOS 2022: 15 abdominal organs on CT (ids to 0500) and MR (from 0501).

Source page   https://zenodo.org/records/7262581 (amos22.zip)
Licence       CC BY 4.0 by the record (its dataset.json says CC BY-SA 4.0); commercial use: yes
Citation      Ji et al., AMOS: A Large-Scale Abdominal Multi-Organ Benchmark for Versatile Medical Image Segmentation,
              NeurIPS 2022 Datasets and Benchmarks, arXiv:2206.08023.
Layout        amos22/imagesTr/amos_0001.nii.gz with labelsTr/amos_0001.nii.gz; imagesVa with labelsVa; imagesTs without
              labels. Value 15 is the prostate of men and the uterus of women in one: read as neither.
              Split: Tr is train, Va is dev.
Example       Case(id="amos_0001", family="body_ct", modality="CT", image=.../imagesTr/amos_0001.nii.gz,
              phrases={"spleen": (1,), "right kidney": (2,), ...}, unknown=("prostate", "uterus"))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip

ABOUT = DataSet(
    "amos", "AMOS22", ("CT", "MR"), "300 CTs and 60 MRs with labels, 15 organs", "CC BY 4.0", "yes", ("mask",),
    "https://zenodo.org/records/7262581",
)  # fmt: skip
LABELS = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "pancreas", 11: "right adrenal gland", 12: "left adrenal gland",
    13: "duodenum", 14: "urinary bladder",
}  # fmt: skip
UNKNOWN = ("prostate", "uterus")
LAST_CT = 500
PARTS = {"Tr": "train", "Va": "dev"}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive."""
    root = layouts.below(Path(root), "amos22")
    nothing = f"{root} has no imagesTr/amos_*.nii.gz: give the unpacked amos22 folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for part, split in PARTS.items():
        for name, image, label in layouts.paired(root / f"images{part}", root / f"labels{part}"):
            modality = "CT" if int(name.rsplit("_", 1)[-1]) <= LAST_CT else "MR"
            yield layouts.case(
                ABOUT, name, patient=name, family=f"body_{modality.lower()}", modality=modality, image=image,
                label=label, phrases=layouts.by_phrase(LABELS), unknown=UNKNOWN, split=split,
            )  # fmt: skip
