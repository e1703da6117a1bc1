"""MedMNIST3D: small CT volumes with one class each, asked for and answered in words.

Source page   https://zenodo.org/records/10519652
Licence       CC BY 4.0 (the three sets read here); commercial use: yes
Citation      Yang et al., MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image
              classification, Scientific Data 10 (2023) 41.
Layout        organmnist3d.npz, nodulemnist3d.npz, fracturemnist3d.npz (28 voxels a side; _64.npz likewise) with
              train_images (N, 28, 28, 28) uint8, train_labels (N, 1), val_* and test_*. Grey values are windowed, not
              HU, and no orientation is given. adrenalmnist3d and vesselmnist3d are shapes and synapsemnist3d is
              electron microscopy: not read. Split: train is train, val is dev; test is not read.
Example       Record(id="organmnist3d_train_0", images=(ImageRef("organmnist3d.npz/train_images", "CT", 0),),
              kind="question", messages=("Which organ does this crop show?", "This is the liver."))
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_recipes import published
from data_recipes.schema import Damaged, DataSet, ImageRef, Record, Skip, leave_out

ABOUT = DataSet(
    "medmnist3d", "MedMNIST3D", ("CT",), "4745 volumes of 28 voxels a side (organ, nodule, fracture)", "CC BY 4.0",
    "yes", ("question",), "https://zenodo.org/records/10519652",
)  # fmt: skip
ORGANS = (
    "liver", "right kidney", "left kidney", "right femur", "left femur", "urinary bladder", "heart", "right lung",
    "left lung", "spleen", "pancreas",
)  # fmt: skip
SETS = {  # file -> (question, answer of each class)
    "organmnist3d": ("Which organ does this crop show?", tuple(f"This is the {organ}." for organ in ORGANS)),
    "nodulemnist3d": (
        "Is this lung nodule benign or malignant?",
        ("It was rated benign.", "It was rated malignant."),
    ),
    "fracturemnist3d": (
        "What kind of rib fracture is this?",
        ("This is a buckle rib fracture.", "This is a nondisplaced rib fracture.", "This is a displaced rib fracture."),
    ),
}
PARTS = {"train": "train", "val": "dev"}


def records(root: Path, split: str, skip: Skip = None) -> Iterator[Record]:
    """One question a volume, of the archives that are in a folder."""
    root = Path(root)
    nothing = f"{root} has none of {', '.join(SETS)} (.npz): give the folder of the downloaded archives"
    return published.chosen(root, _found(root, skip), split, skip, nothing)


def _found(root: Path, skip: Skip) -> Iterator[Record]:
    for path in sorted(root.glob("*mnist3d*.npz")):
        name = path.stem.split("_")[0]
        if name not in SETS:
            continue
        question, answers = SETS[name]
        try:
            with np.load(path) as arrays:
                labels = {part: arrays[f"{part}_labels"].reshape(-1) for part in PARTS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            leave_out(Damaged(path, f"has no labels that can be read ({error})", "download it again"), skip)
            continue
        for part, split in PARTS.items():
            for number, label in enumerate(labels[part]):
                one = f"{path.stem}_{part}_{number}"
                if not 0 <= label < len(answers):
                    leave_out(Damaged(path, f"has the class {label} at {one}", "download it again"), skip)
                    continue
                yield published.record(
                    ABOUT, one, patient=one, split=split, family="crop_ct", kind="question",
                    image=ImageRef(f"{path.name}/{part}_images", "CT", number), question=question,
                    answer=answers[int(label)],
                )  # fmt: skip
