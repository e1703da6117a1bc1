"""OpenKBP: head-and-neck planning CT with clinical contours of seven organs at risk.

Source page   https://github.com/ababier/open-kbp (provided-data)
Licence       MIT (the repository); the images come from TCIA collections; commercial use: see source
Citation      Babier et al., OpenKBP: The open-access knowledge-based planning grand challenge and dataset, Medical
              Physics 48 (2021) 5549-5561.
Layout        provided-data/{train-pats,validation-pats,test-pats}/pt_N/*.csv. Each CSV has the header ",data" and one
              row a voxel: "index,value" in ct.csv (HU + 1024; what is not listed is 0) and "index," in Brainstem.csv,
              SpinalCord.csv, RightParotid.csv, ... (listed = inside). The index counts through a (128, 128, 128) array
              in C order whose axes run to posterior, to left, to inferior. voxel_dimensions.csv: three lines, mm, one
              an axis. An organ without a file was not contoured: unknown, not absent.
Example       Case(id="pt_1", family="head_neck", modality="CT", image=.../pt_1, label=.../pt_1, form="openkbp_csv",
              phrases={"brainstem": (1,), ..., "mandible": (7,)}, unknown=("esophagus", "larynx"))
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from assistant.volume import Volume
from data_recipes import local
from data_recipes.schema import Case, Damaged, DataSet, RecipeError, Skip, check_split, leave_out

ABOUT = DataSet(
    "openkbp", "OpenKBP", ("CT",), "240 CTs of 340 (train, validation), 7 organs",
    "MIT (the repository); images from TCIA", "see source", ("mask",),
    "https://github.com/ababier/open-kbp/tree/master/provided-data", folder="openkbp",
)  # fmt: skip
SHAPE = (128, 128, 128)
FOLDERS = {"train": "train-pats", "dev": "validation-pats"}  # test-pats stays untouched
# value in a label map, published name -> canonical phrase
ORGANS = {
    "Brainstem": (1, "brainstem"),
    "SpinalCord": (2, "spinal cord"),
    "RightParotid": (3, "right parotid gland"),
    "LeftParotid": (4, "left parotid gland"),
    "Esophagus": (5, "esophagus"),
    "Larynx": (6, "larynx"),
    "Mandible": (7, "mandible"),
}
_ABOVE, _BELOW = (1, 3, 4, 7), (2, 5, 6)  # organs of the head, organs of the neck


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of a folder in the shared layout, or of the published CSVs (open-kbp or its provided-data)."""
    root = Path(root)
    check_split(split)
    if local.is_local(root):
        for entry in local.entries(root, split, ABOUT.folder):
            names = set(entry.labels.values())
            yield _case(
                entry.case, entry.name, entry.image, entry.label, names, split, "nifti", entry.licence, entry.source
            )
        return
    folder = next((f for f in (root / "provided-data" / FOLDERS[split], root / FOLDERS[split]) if f.is_dir()), None)
    patients = sorted(folder.glob("pt_*")) if folder else []
    if not patients:
        raise RecipeError(f"{root} has no {FOLDERS[split]}/pt_*: give the open-kbp folder or its provided-data")
    for patient in patients:
        if not (patient / "ct.csv").is_file():
            leave_out(Damaged(patient, "has no ct.csv", "download the patient again"), skip)
            continue
        names = {name for name in ORGANS if (patient / f"{name}.csv").is_file()}
        stated = (ABOUT.stated_licence, ABOUT.source)
        yield _case(patient.name, patient.name, patient, patient, names, split, "openkbp_csv", *stated)


def _case(
    name: str,
    patient: str,
    image: Path | None,
    label: Path,
    organs: set[str],
    split: str,
    form: str,
    licence: str,
    source: str,
) -> Case:
    phrases = {phrase: (value,) for organ, (value, phrase) in ORGANS.items() if organ in organs}
    unknown = tuple(phrase for organ, (_, phrase) in ORGANS.items() if organ not in organs)
    return Case(name, patient, "head_neck", "CT", image, label, phrases, unknown, licence, source, split, form)


def read_sparse(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(indices (N,), values (N,) or None for a mask) of one published CSV."""
    indices, values = [], []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        header = next(rows, None)
        if header is None or header[-1].strip() != "data":
            raise RecipeError(f"{path} does not start with the header ',data': {header!r}")
        for number, row in enumerate(rows, 2):
            try:
                indices.append(int(float(row[0])))
                if len(row) > 1 and row[1].strip():
                    values.append(float(row[1]))
            except (ValueError, IndexError) as error:
                raise RecipeError(f"{path} line {number} is not 'index,value': {row!r}") from error
    index = np.array(indices, np.int64)
    if index.size and (index.min() < 0 or index.max() >= np.prod(SHAPE)):
        raise RecipeError(f"{path} has the index {index.max()}, outside an array of {SHAPE}")
    if values and len(values) != len(indices):
        raise RecipeError(f"{path} has {len(values)} values for {len(indices)} indices")
    return index, np.array(values, np.float32) if values else None


def dense(path: Path) -> np.ndarray:
    """(128, 128, 128) float32 array of one CSV, axes (towards left, towards posterior, towards inferior)."""
    index, values = read_sparse(path)
    flat = np.zeros(int(np.prod(SHAPE)), np.float32)
    flat[index] = 1.0 if values is None else values
    return flat.reshape(SHAPE).transpose(1, 0, 2)


def read_patient(folder: Path) -> tuple[Volume, np.ndarray, np.ndarray]:
    """One published patient: (CT in HU, labels (X, Y, Z) int32, affine), RAS+ order.

    Where two organs overlap the later in ORGANS wins. A patient stored feet first (head organs below neck organs) is
    turned over, with left and right kept as the contours name them.
    """
    folder = Path(folder)
    try:
        rows, columns, slices = (float(v) for v in np.loadtxt(folder / "voxel_dimensions.csv").ravel())
    except (OSError, ValueError) as error:
        raise RecipeError(f"{folder}/voxel_dimensions.csv does not hold three lengths in mm: {error}") from error
    ct = dense(folder / "ct.csv")
    labels = np.zeros(SHAPE, np.int32)
    for organ, (value, _) in ORGANS.items():
        if (folder / f"{organ}.csv").is_file():
            labels[dense(folder / f"{organ}.csv") > 0] = value
    depth = [
        np.mean(np.nonzero(np.isin(labels, part))[2]) if np.isin(labels, part).any() else None
        for part in (_ABOVE, _BELOW)
    ]
    if depth[0] is not None and depth[1] is not None and depth[0] > depth[1]:
        ct, labels = ct[:, :, ::-1], labels[:, :, ::-1]
    affine = np.diag([-columns, -rows, -slices, 1.0])
    volume = Volume.from_array(np.where(ct > 0, ct, 0.0) - 1024.0, affine, modality="CT", name=folder.name)
    return volume, volume.from_native(labels), volume.affine
