"""BTCV: 13 abdominal organs on portal venous CT, from the workshop "Beyond the Cranial Vault".

Source page   https://www.synapse.org/#!Synapse:syn3193805 (Abdomen, RawData.zip; needs an account)
Licence       the terms of the Synapse project; commercial use: see source
Citation      Landman et al., MICCAI Multi-Atlas Labeling Beyond the Cranial Vault - Workshop and Challenge (2015).
Layout        RawData/Training/img/img0001.nii.gz with Training/label/label0001.nii.gz; Testing has no labels.
              Split: by patient.
Example       Case(id="btcv_0001", family="body_ct", modality="CT", image=.../img/img0001.nii.gz,
              phrases={"spleen": (1,), "right kidney": (2,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "btcv", "BTCV abdomen", ("CT",), "30 CTs with labels, 13 organs", "see source (terms of Synapse syn3193805)",
    "see source", ("mask",), "https://www.synapse.org/#!Synapse:syn3193805",
)  # fmt: skip
LABELS = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "portal and splenic veins", 11: "pancreas", 12: "right adrenal gland",
    13: "left adrenal gland",
}  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked RawData archive."""
    root = layouts.below(Path(root), "RawData/Training", "Training")
    nothing = f"{root} has no img/img*.nii.gz: give the unpacked RawData folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    images, labels = layouts.scans(root / "img"), layouts.scans(root / "label")
    for number in sorted({n.removeprefix("img") for n in images} | {n.removeprefix("label") for n in labels}):
        name = f"btcv_{number}"
        yield layouts.case(
            ABOUT, name, patient=name, family="body_ct", modality="CT",
            image=images.get(f"img{number}", root / "img" / f"img{number}.nii.gz"),
            label=labels.get(f"label{number}", root / "label" / f"label{number}.nii.gz"),
            phrases=layouts.by_phrase(LABELS), split=split_of(name),
        )  # fmt: skip
