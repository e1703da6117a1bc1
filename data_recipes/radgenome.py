"""RadGenome-ChestCT: the sentences of CT-RATE's reports, each with the region that it speaks of.

Source page   https://huggingface.co/datasets/RadGenome/RadGenome-ChestCT (gated)
Licence       see source; CT-RATE, which it is made of, is CC BY-NC-SA 4.0; commercial use: no
Citation      Zhang et al., RadGenome-Chest CT: A Grounded Vision-Language Dataset for Chest CT Analysis,
              arXiv:2404.16754 (2024).
Layout        dataset/train_preprocessed/train_1/train_1a/train_1_a_1.nii.gz (valid_preprocessed likewise);
              dataset/radgenome_files/train_region_report.csv and validation_region_report.csv with Volumename, Anatomy,
              Sentence, a line a sentence. Masks and the questions' tables are not read. Split: train is train,
              validation is dev.
Example       Record(id="train_1_a_1 heart",
              images=(ImageRef("dataset/train_preprocessed/train_1/train_1a/train_1_a_1.nii.gz", "CT"),), kind="report",
              messages=("Describe the heart.", "Heart contour, size are normal."))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, leave_out

ABOUT = DataSet(
    "radgenome", "RadGenome-ChestCT", ("CT",), "25692 scans, 665000 sentences with their regions",
    "see source (CT-RATE below it is CC BY-NC-SA 4.0)", "no", ("report",),
    "https://huggingface.co/datasets/RadGenome/RadGenome-ChestCT", patients="ct_rate",
)  # fmt: skip
PARTS = {"train": ("train", "train_preprocessed"), "validation": ("dev", "valid_preprocessed")}


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """One record for each region of each volume: what the report says of it."""
    root = Path(root)
    nothing = f"{root} has no dataset/radgenome_files/*_region_report.csv with sentences: give the RadGenome folder"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for part, (split, folder) in PARTS.items():
        table = root / "dataset" / "radgenome_files" / f"{part}_region_report.csv"
        if not table.is_file() and not (root / "dataset" / folder).is_dir():
            continue
        regions: dict[tuple[str, str], list[str]] = {}
        for row in layouts.read_table(table, ("Volumename", "Anatomy", "Sentence")):
            regions.setdefault((row["Volumename"], row["Anatomy"].strip().lower()), []).append(row["Sentence"])
        for (volume, region), sentences in regions.items():
            name = volume.removesuffix(".nii.gz")
            try:
                patient, letter = "_".join(name.split("_")[:2]), name.split("_")[2]
                asked = published.one_of(published.OF_REGION, name + region).format(region)
                yield published.record(
                    ABOUT, f"{name} {region}".strip(), patient=patient, split=split, family="chest_ct", kind="report",
                    image=ImageRef(f"dataset/{folder}/{patient}/{patient}{letter}/{name}.nii.gz", "CT"),
                    question=asked if region else "What else does the report say?", answer=" ".join(sentences),
                )  # fmt: skip
            except (IndexError, RecipeError) as error:
                leave_out(Damaged(table, f"{volume} {region}: {error}", "look at its rows"), skip)
