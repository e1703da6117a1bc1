"""M3D-RefSeg: referring and reasoning segmentation of abnormal regions on CTs of TotalSegmentator.

Source page   https://huggingface.co/datasets/GoodBaiBai88/M3D-RefSeg
Licence       Apache-2.0 by its page (its CTs: see TotalSegmentator); commercial use: see source
Citation      Bai et al., M3D: Advancing 3D Medical Image Analysis with Multi-Modal Large Language Models,
              arXiv:2404.00578 (2024).
Layout        M3D_RefSeg/s0000/ct.nii.gz with s0000/mask.nii.gz (a number a region); M3D_RefSeg_train.csv and
              M3D_RefSeg_test.csv with Image, Mask, Mask_ID, Question_Type (0 description, 1 reasoning), Question,
              Answer. The paths in them are of the authors' converted arrays: their folder's name is the case. The
              questions are a language model's, from a physician's notes. "[SEG]" in an answer becomes the mask's id,
              m1, after the mask. Split: the train table, by patient; the test table is not read.
Example       Record(id="m3d_refseg_0", images=(ImageRef("M3D_RefSeg/s0011/ct.nii.gz", "CT"),), kind="question",
              label="M3D_RefSeg/s0011/mask.nii.gz", targets=(Target("finding", True, (1,)),), messages=("Please segment
              ...", "<p>finding</p><SEG> Sure, it is m1 on the upper right side of the liver."))
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_recipes import layouts, published
from data_recipes.schema import Damaged, DataSet, ImageRef, RecipeError, Record, Skip, Target, leave_out, split_of

ABOUT = DataSet(
    "m3d_refseg", "M3D-RefSeg", ("CT",), "210 CTs, 2778 masks", "Apache-2.0 by its page", "see source",
    ("mask", "question"), "https://huggingface.co/datasets/GoodBaiBai88/M3D-RefSeg", patients="totalsegmentator",
)  # fmt: skip
TABLE, FOLDER = "M3D_RefSeg_train.csv", "M3D_RefSeg"
PHRASE = "finding"
_TOKEN = re.compile(r"\[SEG\]|<SEG>")


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """One record a line of the train table."""
    root = Path(root)
    nothing = f"{root / TABLE} has no lines: download it again"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for number, row in enumerate(layouts.read_table(root / TABLE, ("Image", "Mask_ID", "Question", "Answer"))):
        subject = PurePosixPath(row["Image"]).parent.name
        folder = f"{FOLDER}/{subject}"
        try:
            answer = _TOKEN.sub("m1", row["Answer"])
            yield published.record(
                ABOUT, f"m3d_refseg_{number}", patient=subject, split=split_of(subject), family="body_ct",
                kind="question", image=ImageRef(f"{folder}/ct.nii.gz", "CT"), question=row["Question"], answer=answer,
                label=f"{folder}/mask.nii.gz", target=Target(PHRASE, True, (int(row["Mask_ID"]),)),
            )  # fmt: skip
        except (ValueError, RecipeError) as error:
            leave_out(Damaged(root / TABLE, f"line {number + 2}: {error}", "look at the line"), skip)
