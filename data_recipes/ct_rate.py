"""CT-RATE: chest CTs with their radiology reports in English.

Source page   https://huggingface.co/datasets/ibrahimhamamci/CT-RATE (gated)
Licence       CC BY-NC-SA 4.0; commercial use: no
Citation      Hamamci et al., Developing Generalist Foundation Models from a Multimodal Dataset for 3D Computed
              Tomography, arXiv:2403.17834 (2024).
Layout        dataset/train_fixed/train_1/train_1_a/train_1_a_1.nii.gz (patient, scan, reconstruction; valid_fixed
              likewise); dataset/radiology_text_reports/train_reports.csv and validation_reports.csv with VolumeName,
              Findings_EN, Impressions_EN. The first release's volumes (train, valid) lack the rescaling that their
              metadata tables hold: they are not read. Split: train is train, validation is dev.
Example       Record(id="train_1_a_1", images=(ImageRef("dataset/train_fixed/train_1/train_1_a/train_1_a_1.nii.gz",
              "CT"),), kind="report", messages=("What are the findings?", "Trachea and main bronchi are open. ..."))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, leave_out

ABOUT = DataSet(
    "ct_rate", "CT-RATE", ("CT",), "25692 scans of 21304 patients, a report each", "CC BY-NC-SA 4.0", "no",
    ("report",), "https://huggingface.co/datasets/ibrahimhamamci/CT-RATE",
)  # fmt: skip
PARTS = {"train": ("train", "train_fixed"), "validation": ("dev", "valid_fixed")}


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """Reports of the volumes of a split, as far as it was downloaded."""
    root = Path(root)
    nothing = f"{root} has no dataset/radiology_text_reports/*_reports.csv with reports: give the CT-RATE folder"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def volume_path(folder: str, volume: str) -> str:
    """ "train_1_a_1.nii.gz" -> "<folder>/train_1/train_1_a/train_1_a_1.nii.gz". RecipeError for another name."""
    parts = volume.removesuffix(".nii.gz").split("_")
    if len(parts) != 4:
        raise RecipeError(f"the volume {volume!r} is not named as train_1_a_1.nii.gz is")
    return f"{folder}/{'_'.join(parts[:2])}/{'_'.join(parts[:3])}/{volume}"


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for part, (split, folder) in PARTS.items():
        table = root / "dataset" / "radiology_text_reports" / f"{part}_reports.csv"
        if not table.is_file() and not (root / "dataset" / folder).is_dir():
            continue
        for row in layouts.read_table(table, ("VolumeName", "Findings_EN", "Impressions_EN")):
            name = row["VolumeName"].removesuffix(".nii.gz")
            answer = row["Findings_EN"]
            if row["Impressions_EN"].strip():
                answer += f" Impression: {row['Impressions_EN']}"
            try:
                yield published.record(
                    ABOUT, name, patient="_".join(name.split("_")[:2]), split=split, family="chest_ct", kind="report",
                    image=ImageRef(volume_path(f"dataset/{folder}", row["VolumeName"]), "CT"),
                    question=published.one_of(published.REPORT, name), answer=answer,
                )  # fmt: skip
            except RecipeError as error:
                leave_out(Damaged(table, f"row {row['VolumeName']}: {error}", "look at the row"), skip)
