"""autoPET: FDG-avid tumours on whole-body PET (in SUV) and the CT on its grid; half of the studies have none.

Source page   https://doi.org/10.7937/gkr0-xv29 (TCIA FDG-PET-CT-Lesions, NIfTI), https://autopet.grand-challenge.org
Licence       see source (TCIA; restricted until accepted); commercial use: see source
Citation      Gatidis et al., A whole-body FDG-PET/CT dataset with manually annotated tumor lesions, Scientific Data 9
              (2022) 601.
Layout        FDG-PET-CT-Lesions/PETCT_0011f3deaf/03-23-2003-NA-Unspecified-94943/{SUV,CTres,SEG}.nii.gz (SEG 0 or 1).
              SUV and CTres are a case each. Split: by patient.
Example       Case(id="PETCT_0011f3deaf_03-23-2003-NA-Unspecified-94943_SUV", patient="PETCT_0011f3deaf",
              family="body_pet", modality="PET", image=.../SUV.nii.gz, phrases={"tumour": (1,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "autopet", "autoPET (FDG)", ("PET", "CT"), "1014 studies of 900 patients", "see source (TCIA FDG-PET-CT-Lesions)",
    "see source", ("mask",), "https://doi.org/10.7937/gkr0-xv29",
)  # fmt: skip
SCANS = {"SUV": "PET", "CTres": "CT"}
PHRASES = {"tumour": (1,)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the NIfTI download."""
    root = layouts.below(Path(root), "FDG-PET-CT-Lesions")
    nothing = f"{root} has no PETCT_*/*/SUV.nii.gz: give the folder FDG-PET-CT-Lesions (NIfTI)"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for study in layouts.seen(root, "PETCT_*/*"):
        patient = study.parent.name
        for scan, modality in SCANS.items():
            yield layouts.case(
                ABOUT, f"{patient}_{study.name}_{scan}", patient=patient, family=f"body_{modality.lower()}",
                modality=modality, image=study / f"{scan}.nii.gz", label=study / "SEG.nii.gz", phrases=PHRASES,
                split=split_of(patient),
            )  # fmt: skip
