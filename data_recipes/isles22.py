"""ISLES 2022: ischaemic stroke lesions on diffusion MR (DWI and ADC).

Source page   https://zenodo.org/records/7960856
Licence       CC BY 4.0 or CC BY-SA 4.0: pages differ; commercial use: see source
Citation      Hernandez Petzsche et al., ISLES 2022: A multi-center magnetic resonance imaging stroke lesion
              segmentation dataset, Scientific Data 9 (2022) 762.
Layout        BIDS: ISLES-2022/sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz (and _adc; early
              releases: under rawdata/, without the folder dwi) with
              derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz on their grid. FLAIR has
              another grid and is not read. Split: by patient.
Example       Case(id="sub-strokecase0001_ses-0001_dwi", patient="sub-strokecase0001", family="brain_stroke",
              modality="MR", image=..._dwi.nii.gz, phrases={"stroke lesion": (1,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "isles22", "ISLES22", ("MR",), "250 patients x 2 sequences", "see source (CC BY 4.0 or CC BY-SA 4.0, by page)",
    "see source", ("mask",),
    "https://zenodo.org/records/7960856",
)  # fmt: skip
PHRASES = {"stroke lesion": (1,)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive."""
    root = layouts.below(Path(root), "ISLES-2022")
    nothing = f"{root} has no sub-strokecase*/ses-*/: give the unpacked ISLES-2022 folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    raw = layouts.below(root, "rawdata")
    for session in layouts.seen(raw, "sub-strokecase*/ses-*"):
        patient = session.parent.name
        name = f"{patient}_{session.name}"
        folder = layouts.below(session, "dwi")
        for sequence in ("dwi", "adc"):
            yield layouts.case(
                ABOUT, f"{name}_{sequence}", patient=patient, family="brain_stroke", modality="MR",
                image=folder / f"{name}_{sequence}.nii.gz",
                label=root / "derivatives" / patient / session.name / f"{name}_msk.nii.gz", phrases=PHRASES,
                split=split_of(patient),
            )  # fmt: skip
