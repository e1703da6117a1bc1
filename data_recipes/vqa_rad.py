"""VQA-RAD: clinicians' questions about single radiology images; those of abdominal CT are read.

Source page   https://osf.io/89kps/
Licence       CC0 1.0 by the page; commercial use: yes
Citation      Lau et al., A dataset of clinically generated visual questions and answers about radiology images,
              Scientific Data 5 (2018) 180251.
Layout        "VQA_RAD Dataset Public.json": a list of {qid, image_name, image_organ, question, answer, phrase_type,
              ...}; "VQA_RAD Image Folder"/synpic54610.jpg. image_organ is HEAD (CT or MR, the table does not say
              which), CHEST (X-ray) or ABD (CT): only ABD is read. phrase_type test_* is the published test and not
              read. A slice is a volume of one slice. Split: by image.
Example       Record(id="vqa_rad_7", images=(ImageRef("VQA_RAD Image Folder/synpic29265.jpg", "CT"),), kind="question",
              messages=("Is there free fluid in the abdomen?", "No"))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, leave_out, split_of

ABOUT = DataSet(
    "vqa_rad", "VQA-RAD", ("CT",), "315 images, 3515 questions (104 images are abdominal CT)", "CC0 1.0", "yes",
    ("question",), "https://osf.io/89kps/",
)  # fmt: skip
TABLE, IMAGES = "VQA_RAD Dataset Public.json", "VQA_RAD Image Folder"


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """Questions of a split about abdominal CT."""
    root = Path(root)
    nothing = f"{root / TABLE} has no question about an abdominal CT: download it again"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for row in layouts.read_json(root / TABLE):
        try:
            if row["image_organ"] != "ABD" or str(row["phrase_type"]).startswith("test"):
                continue
            image = str(row["image_name"])
            yield published.record(
                ABOUT, f"vqa_rad_{row['qid']}", patient=image, split=split_of(image), family="slice_ct",
                kind="question", image=ImageRef(f"{IMAGES}/{image}", "CT"), question=str(row["question"]),
                answer=str(row["answer"]),
            )  # fmt: skip
        except (KeyError, TypeError, RecipeError) as error:
            leave_out(Damaged(root / TABLE, f"holds {str(row)[:60]!r}: {error!r}", "look at the entry"), skip)
