"""BraTS: glioma on four MR sequences, skull-stripped, 1 mm; the 2021, 2023 and 2024 challenges' glioma sets.

Source page   https://www.synapse.org/#!Synapse:syn25829067 (2021), syn51156910 (2023), syn53708249 (2024); account
              needed
Licence       the terms of the Synapse projects; commercial use: see source
Citation      Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 Benchmark, arXiv:2107.02314. Menze et al., IEEE Trans.
              Medical Imaging 34 (2015) 1993-2024.
Layout        2021: BraTS2021_00000/BraTS2021_00000_{t1,t1ce,t2,flair,seg}.nii.gz, values 1 necrotic core, 2 oedema, 4
              enhancing. From 2023: BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz, values 1, 2, 3
              enhancing, and (2024) 4 resection cavity. Each sequence is a case; a patient's stay in one split. Split:
              by patient.
Example       Case(id="BraTS2021_00000_t1ce", patient="BraTS2021_00000", family="brain_tumour", modality="MR",
              image=.../BraTS2021_00000_t1ce.nii.gz, phrases={"tumour": (1, 2, 4), "tumour core": (1, 4), ...})
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "brats", "BraTS glioma", ("MR",), "1251 patients x 4 sequences (2021, 2023)", "see source (terms of Synapse)",
    "see source", ("mask",), "https://www.synapse.org/#!Synapse:syn25829067",
)  # fmt: skip
_PARTS = {"non-enhancing tumour core": (1,), "peritumoural oedema": (2,)}
OLD = {"tumour": (1, 2, 4), "tumour core": (1, 4), "enhancing tumour tissue": (4,), **_PARTS}
NEW = {
    "tumour": (1, 2, 3), "tumour core": (1, 3), "enhancing tumour tissue": (3,), **_PARTS, "resection cavity": (4,),
}  # fmt: skip
STYLES = (  # folders, what joins a case's name and its sequence, sequences, phrases
    ("BraTS2021_*", "_", ("t1", "t1ce", "t2", "flair"), OLD),
    ("BraTS-GLI-*", "-", ("t1n", "t1c", "t2w", "t2f"), NEW),
)


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked training archive."""
    root = Path(root)
    nothing = f"{root} has no BraTS2021_* or BraTS-GLI-* folders: give the folder of the unpacked training data"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for pattern, joint, sequences, phrases in STYLES:
        for folder in layouts.seen(root, pattern):
            # "BraTS-GLI-00000-000": the last part is the time point
            patient = folder.name.rsplit("-", 1)[0] if joint == "-" else folder.name
            for sequence in sequences:
                name = f"{folder.name}{joint}{sequence}"
                yield layouts.case(
                    ABOUT, name, patient=patient, family="brain_tumour", modality="MR",
                    image=folder / f"{name}.nii.gz", label=folder / f"{folder.name}{joint}seg.nii.gz",
                    phrases=phrases, split=split_of(patient),
                )  # fmt: skip
