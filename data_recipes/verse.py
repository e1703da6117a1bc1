"""VerSe 2019 and 2020: every vertebra numbered, on CT.

Source page   https://github.com/anjany/verse (archives: https://osf.io/jtfa5/ and https://osf.io/4skx2/)
Licence       CC BY-SA 4.0 by the repository; commercial use: see source
Citation      Sekuboyina et al., VerSe: A Vertebrae labelling and segmentation benchmark for multi-detector CT images,
              Medical Image Analysis 73 (2021) 102166. Loeffler et al., Radiology: AI 2 (2020) e190138.
Layout        BIDS-like, in each of dataset-01training, dataset-02validation, dataset-03test (2019: dataset-verse19*):
              rawdata/sub-verse004/sub-verse004_ct.nii.gz with
              derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz; more parts in a name ("_split-verse267",
              "_dir-ax") come before both endings. Values: 1-7 C1-C7, 8-19 T1-T12, 20-25 L1-L6, 26 sacrum, 27 coccyx,
              28 T13. Split: training is train, validation is dev, test is not read.
Example       Case(id="sub-verse004", patient="sub-verse004", family="spine", modality="CT",
              image=.../sub-verse004_ct.nii.gz, phrases={"vertebra C1": (1,), ...}, unknown=("sacrum", "coccyx"))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts
from data_recipes.schema import Case, DataSet, Skip

ABOUT = DataSet(
    "verse", "VerSe", ("CT",), "374 CTs of 355 patients, 26 kinds of vertebrae", "CC BY-SA 4.0", "see source",
    ("mask",), "https://github.com/anjany/verse",
)  # fmt: skip
LABELS = {
    **{n: f"vertebra C{n}" for n in range(1, 8)},
    **{n + 7: f"vertebra T{n}" for n in range(1, 13)},
    **{n + 19: f"vertebra L{n}" for n in range(1, 7)},
    28: "vertebra T13",
}
UNKNOWN = ("sacrum", "coccyx")  # outlined in few cases only
PARTS = {"training": "train", "validation": "dev"}
IMAGE, LABEL = "_ct.nii.gz", "_seg-vert_msk.nii.gz"


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archives, wherever they lie under the root."""
    root = Path(root)
    nothing = f"{root} has no rawdata/sub-*/*_ct.nii.gz in a training or validation folder: give their parent"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for raw in layouts.seen(root, "**/rawdata"):
        split = next((split for part, split in PARTS.items() if raw.parent.name.endswith(part)), None)
        if split is None:
            continue
        derived = raw.parent / "derivatives"
        names = {p.relative_to(raw).as_posix()[: -len(IMAGE)] for p in layouts.seen(raw, f"sub-*/*{IMAGE}")}
        names |= {p.relative_to(derived).as_posix()[: -len(LABEL)] for p in layouts.seen(derived, f"sub-*/*{LABEL}")}
        for name in sorted(names):
            patient, scan = name.split("/")
            yield layouts.case(
                ABOUT, scan, patient=patient, family="spine", modality="CT", image=raw / f"{name}{IMAGE}",
                label=derived / f"{name}{LABEL}", phrases=layouts.by_phrase(LABELS), unknown=UNKNOWN, split=split,
            )  # fmt: skip
