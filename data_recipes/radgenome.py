"""RadGenome-ChestCT: sentences of CT-RATE's reports with the region that they speak of, and questions made of them.

Source page   https://huggingface.co/datasets/RadGenome/RadGenome-ChestCT (gated)
Licence       see source; CT-RATE, which it is made of, is CC BY-NC-SA 4.0; commercial use: no
Citation      Zhang et al., RadGenome-Chest CT: A Grounded Vision-Language Dataset for Chest CT Analysis,
              arXiv:2404.16754 (2024).
Layout        dataset/train_preprocessed/train_1/train_1a/train_1_a_1.nii.gz (valid_preprocessed likewise);
              dataset/radgenome_files/train_region_report.csv with Volumename, Anatomy, Sentence, a line a sentence;
              train_vqa_abnormality.csv (Abnormality), train_vqa_location.csv (Abnormality), train_vqa_presence.csv
              (Finding, Presence), train_vqa_size.csv (Abnormality, Size), each with Volumename and Anatomy (empty: the
              whole scan); validation_*.csv likewise. The questions' words are ours, their answers the tables'. Masks
              are not read. Split: train is train, validation is dev.
Example       Record(id="train_1_a_1 heart", images=(ImageRef("dataset/train_preprocessed/train_1/train_1a/
              train_1_a_1.nii.gz", "CT"),), kind="report", messages=("Describe the heart.", "Heart size is normal."))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, leave_out

ABOUT = DataSet(
    "radgenome", "RadGenome-ChestCT", ("CT",), "25692 scans, 665000 sentences with their regions",
    "see source (CT-RATE below it is CC BY-NC-SA 4.0)", "no", ("report", "question"),
    "https://huggingface.co/datasets/RadGenome/RadGenome-ChestCT", patients="ct_rate",
)  # fmt: skip
PARTS = {"train": ("train", "train_preprocessed"), "validation": ("dev", "valid_preprocessed")}
QUESTIONS = {  # table -> (columns, question, column of the answer)
    "abnormality": (("Abnormality",), "What is abnormal in {Anatomy}?", "Abnormality"),
    "location": (("Abnormality",), "Where is this: {Abnormality}?", "Anatomy"),
    "presence": (("Finding", "Presence"), "Is this present in {Anatomy}: {Finding}?", "Presence"),
    "size": (("Abnormality", "Size"), "How large is this in {Anatomy}: {Abnormality}?", "Size"),
}
WHOLE = "the whole scan"


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """What the report says of each region of each volume, and the questions of the tables that are there."""
    root = Path(root)
    nothing = f"{root} has no dataset/radgenome_files/*_region_report.csv with sentences: give the RadGenome folder"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for part, (split, folder) in PARTS.items():
        tables = root / "dataset" / "radgenome_files"
        report = tables / f"{part}_region_report.csv"
        if not report.is_file() and not (root / "dataset" / folder).is_dir():
            continue
        regions: dict[tuple[str, str], list[str]] = {}
        for row in layouts.read_table(report, ("Volumename", "Anatomy", "Sentence")):
            regions.setdefault((row["Volumename"], row["Anatomy"].strip().lower()), []).append(row["Sentence"])
        for (volume, region), sentences in regions.items():
            asked = published.one_of(published.OF_REGION, volume + region).format(region)
            asked = asked if region else "What else does the report say?"
            yield from _record(report, volume, region, "report", asked, " ".join(sentences), split, folder, skip)
        for name, (columns, question, answer) in QUESTIONS.items():
            table = tables / f"{part}_vqa_{name}.csv"
            rows = layouts.read_table(table, ("Volumename", "Anatomy", *columns)) if table.is_file() else []
            for number, row in enumerate(rows):
                anatomy = row["Anatomy"].strip().lower()
                asked = question.format(**{**row, "Anatomy": f"the {anatomy}" if anatomy else WHOLE})
                told = row[answer] if answer != "Anatomy" else anatomy or WHOLE
                key = f"{name} {number}"
                yield from _record(table, row["Volumename"], key, "question", asked, told, split, folder, skip)


def _record(
    table: Path, volume: str, key: str, kind: str, question: str, answer: str, split: str, folder: str, skip: Skip
) -> Iterator[Record]:
    """One record, or none where the row cannot be one."""
    name = volume.removesuffix(".nii.gz")
    try:
        patient, letter = "_".join(name.split("_")[:2]), name.split("_")[2]
        yield published.record(
            ABOUT, f"{name} {key}".strip(), patient=patient, split=split, family="chest_ct", kind=kind,
            image=ImageRef(f"dataset/{folder}/{patient}/{patient}{letter}/{name}.nii.gz", "CT"), question=question,
            answer=answer,
        )  # fmt: skip
    except (IndexError, RecipeError) as error:
        leave_out(Damaged(table, f"{volume} {key}: {error}", "look at its rows"), skip)
