"""KiTS 2023: kidneys, kidney tumours and cysts on contrast CT.

Source page   https://github.com/neheller/kits23
Licence       CC BY-NC-SA 4.0 (the data; the repository's code is MIT); commercial use: no
Citation      Heller et al., The KiTS21 Challenge: Automatic segmentation of kidneys, renal tumors, and renal cysts in
              corticomedullary-phase CT, arXiv:2307.01984 (2023).
Layout        dataset/case_00000/imaging.nii.gz with case_00000/segmentation.nii.gz (1 kidney, 2 tumour, 3 cyst; both
              sides in one). Split: by patient.
Example       Case(id="case_00000", family="body_ct", modality="CT", image=.../case_00000/imaging.nii.gz,
              phrases={"pair of kidneys": (1, 2, 3), "kidney tumour": (2,), "cyst of the kidney": (3,)}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip, split_of

ABOUT = DataSet(
    "kits23", "KiTS23", ("CT",), "489 CTs with labels", "CC BY-NC-SA 4.0", "no", ("mask",),
    "https://github.com/neheller/kits23",
)  # fmt: skip
PHRASES = {"pair of kidneys": (1, 2, 3), "kidney tumour": (2,), "cyst of the kidney": (3,)}


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the repository after its download script, or of its dataset folder."""
    root = layouts.below(Path(root), "dataset")
    nothing = f"{root} has no case_*/imaging.nii.gz: give the kits23 folder after kits23_download_data"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for folder in layouts.seen(root, "case_*"):
        yield layouts.case(
            ABOUT, folder.name, patient=folder.name, family="body_ct", modality="CT",
            image=folder / "imaging.nii.gz", label=folder / "segmentation.nii.gz", phrases=PHRASES,
            split=split_of(folder.name),
        )  # fmt: skip
