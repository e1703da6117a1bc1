"""Soft-tissue sarcoma of the limbs on T1 MR and FDG-PET: the expert's gross tumour contour, as the IBSI prepared it.

Source page   https://github.com/theibsi/data_sets (ibsi_validation); images from TCIA's Soft-tissue-Sarcoma collection
Licence       CC BY 3.0; commercial use: yes
Citation      Vallieres et al., A radiomics model from joint FDG-PET and MRI texture features for the prediction of lung
              metastases in soft-tissue sarcomas of the extremities, Phys. Med. Biol. 60 (2015) 5471, and
              doi:10.7937/K9/TCIA.2015.7GO2GSKS. Prepared by A. Zwanenburg (SUV, N4, fat-normalised, cropped).
Layout        ibsi_validation/nifti/STS_001/{MR_T1,PET,CT}_image.nii.gz with {MR_T1,PET,CT}_mask.nii.gz (1 = GTV_Mass).
              CT is not used: limbs on CT are no family of the embedded model.
Example       Case(id="STS_001_PET", patient="STS_001", family="tumour_pet", modality="PET",
              image=.../STS_001/PET_image.nii.gz, phrases={"tumour": (1,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import local
from data_recipes.schema import Case, Damaged, DataSet, RecipeError, Skip, check_split, leave_out, split_of

ABOUT = DataSet(
    "sts", "IBSI soft-tissue sarcoma", ("MR", "PET"), "51 patients, T1 MR and FDG-PET", "CC BY 3.0", "yes", ("mask",),
    "https://github.com/theibsi/data_sets/tree/master/ibsi_validation", folder="ibsi_sts",
)  # fmt: skip
SCANS = {"MR_T1": ("tumour_mr", "MR"), "PET": ("tumour_pet", "PET")}
PHRASES = {"tumour": (1,)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of a folder in the shared layout or of ibsi_validation; all scans of a patient are in one split."""
    root = Path(root)
    check_split(split)
    if local.is_local(root):
        for entry in local.entries(root, split, ABOUT.folder):
            patient, scan = entry.name[:7], entry.name[8:]
            yield _case(entry.case, patient, scan, entry.image, entry.label, split, entry.licence, entry.source)
        return
    folder = next((f for f in (root / "ibsi_validation" / "nifti", root / "nifti", root) if f.is_dir()), root)
    found = 0
    for patient_folder in sorted(folder.glob("STS_*")):
        for scan in SCANS:
            image, label = patient_folder / f"{scan}_image.nii.gz", patient_folder / f"{scan}_mask.nii.gz"
            if not (image.is_file() or label.is_file()):
                continue
            found += 1
            patient = patient_folder.name
            if split_of(patient) != split:
                continue
            if not (image.is_file() and label.is_file()):
                lacking = label.name if image.is_file() else image.name
                leave_out(Damaged(patient_folder, f"has no {lacking}", "download the patient again"), skip)
                continue
            yield _case(f"{patient}_{scan}", patient, scan, image, label, split, ABOUT.stated_licence, ABOUT.source)
    if not found:
        raise RecipeError(
            f"{root} has no STS_*/MR_T1_image.nii.gz with MR_T1_mask.nii.gz: give the ibsi_validation folder"
        )


def _case(
    name: str, patient: str, scan: str, image: Path | None, label: Path, split: str, licence: str, source: str
) -> Case:
    if scan not in SCANS:
        raise RecipeError(f"{name}: scan {scan!r} is none of {', '.join(SCANS)}")
    family, modality = SCANS[scan]
    return Case(name, patient, family, modality, image, label, PHRASES, (), licence, source, split)
