"""SLAKE: questions in English and Chinese about single CT, MR and X-ray slices; the CT and MR ones are read.

Source page   https://www.med-vqa.com/slake/
Licence       see source; commercial use: see source
Citation      Liu et al., SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual Question
              Answering, ISBI 2021, arXiv:2102.09542.
Layout        Slake1.0/imgs/xmlab0/source.jpg; Slake1.0/train.json, validate.json (or validation.json), test.json: a
              list of {img_name, question, answer, q_lang, location, modality, base_type, qid}. Questions about
              knowledge (base_type other than "vqa") need no image and are not read. A slice is a volume of one slice.
              Split: train is train, validation is dev; test is not read.
Example       Record(id="slake_9", images=(ImageRef("Slake1.0/imgs/xmlab0/source.jpg", "MR"),), kind="question",
              messages=("What modality is used to take this image?", "MRI"))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, leave_out

ABOUT = DataSet(
    "slake", "SLAKE", ("CT", "MR"), "642 slices, 14028 questions (X-ray included)", "see source", "see source",
    ("question",), "https://www.med-vqa.com/slake/",
)  # fmt: skip
PARTS = {"train.json": "train", "validate.json": "dev", "validation.json": "dev"}
MODALITY = {"CT": "CT", "MRI": "MR"}


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """Questions of a split about CT and MR slices."""
    root = Path(root)
    folder = layouts.below(root, "Slake1.0")
    nothing = f"{folder} has no train.json with questions about CT or MR: give the unpacked Slake1.0 folder"
    return published.chosen(root, _found(root, folder, skip), split, skip, nothing)


def _found(root: Path, folder: Path, skip: Skip) -> Iterator[Record]:
    for part, split in PARTS.items():
        rows = layouts.read_json(folder / part) if (folder / part).is_file() else []
        images = (folder / "imgs").relative_to(root)
        for row in rows:
            try:
                modality = MODALITY.get(row["modality"])
                if modality is None or row.get("base_type", "vqa") != "vqa":
                    continue
                image = str(row["img_name"])
                yield published.record(
                    ABOUT, f"slake_{row['qid']}", patient=image.split("/")[0], split=split, kind="question",
                    family=f"slice_{modality.lower()}", image=ImageRef((images / image).as_posix(), modality),
                    question=str(row["question"]), answer=str(row["answer"]),
                )  # fmt: skip
            except (KeyError, TypeError, RecipeError) as error:
                leave_out(Damaged(folder / part, f"holds {str(row)[:60]!r}: {error!r}", "look at the entry"), skip)
