"""TotalSegmentator MRI: 50 structures of the whole body on clinical MR of many sequences, a mask file each.

Source page   https://zenodo.org/records/11367004 (all versions)
Licence       differs by version: the record of v2.0.0 says CC BY-NC-SA 2.0, that of v3.0.0 CC BY 4.0; commercial use:
              see source; see the one you use
Citation      Akinci D'Antonoli et al., TotalSegmentator MRI: Robust Sequence-independent Segmentation of Multiple
              Anatomic Structures in MRI, Radiology 314 (2025) e241613.
Layout        TotalsegmentatorMRI_dataset_v200/s0001/mri.nii.gz and s0001/segmentations/<structure>.nii.gz (0 or 1).
              Split: the column "split" of meta.csv where the version has one (test is not read), else by subject.
Example       Case(id="s0001", family="body_mr", modality="MR", image=.../s0001/mri.nii.gz, masks={1: .../spleen.nii.gz,
              ...}, phrases={"spleen": (1,), "vertebrae": (29,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, totalsegmentator
from data_recipes.schema import Case, DataSet, RecipeError, Skip, split_of

ABOUT = DataSet(
    "totalsegmentator_mr", "TotalSegmentator MRI", ("MR",), "616 MRs, 50 structures (v2)",
    "see source (CC BY-NC-SA 2.0 or CC BY 4.0, by version)", "see source", ("mask",),
    "https://zenodo.org/records/11367004",
)  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked archive."""
    root = Path(root)
    nothing = f"{root} has no s*/mri.nii.gz: give the unpacked TotalsegmentatorMRI_dataset folder"
    found = totalsegmentator.found(root, ABOUT, "mri.nii.gz", "MR", _splits(root), skip)
    return layouts.chosen(found, split, skip, nothing)


def _splits(root: Path) -> dict[str, str]:
    """Published splits, or those by subject in the published words."""
    try:
        return totalsegmentator.published_splits(root)
    except RecipeError:
        if (root / "meta.csv").is_file() and "split" in (root / "meta.csv").read_text(encoding="utf-8-sig"):
            raise
        words = {"train": "train", "dev": "val"}
        return {p.name: words[split_of(p.name)] for p in layouts.seen(root, "s*")}
