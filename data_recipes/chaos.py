"""CHAOS, the MR part: liver, kidneys and spleen of healthy people on T1 (in and out of phase) and T2 (SPIR).

Source page   https://zenodo.org/records/3431873 (CHAOS_Train_Sets.zip)
Licence       CC BY-NC-SA 4.0; commercial use: no
Citation      Kavur et al., CHAOS Challenge - combined (CT-MR) healthy abdominal organ segmentation, Medical Image
              Analysis 69 (2021) 101950.
Layout        Train_Sets/MR/1/T2SPIR/DICOM_anon/IMG-0002-00001.dcm with T2SPIR/Ground/IMG-0002-00001.png, a picture a
              slice under the slice's name; MR/1/T1DUAL/DICOM_anon/InPhase with T1DUAL/Ground likewise, while
              DICOM_anon/OutPhase has the number before its picture's (IMG-0004-00001.dcm, IMG-0004-00002.png). Grey
              values: liver 63, right kidney 126, left kidney 189, spleen 252, each give or take. The CT part is not
              read: its pictures are not named as its slices are. Split: by patient.
Example       Case(id="1_T2SPIR", patient="1", family="body_mr", modality="MR", image=.../T2SPIR/DICOM_anon,
              label=.../T2SPIR/Ground, form="chaos_png", phrases={"liver": (1,), "right kidney": (2,), ...}, unknown=())
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_recipes import layouts
from data_recipes.schema import Case, Damaged, DataSet, Skip, split_of

ABOUT = DataSet(
    "chaos", "CHAOS MR", ("MR",), "20 patients x 3 sequences", "CC BY-NC-SA 4.0", "no", ("mask",),
    "https://zenodo.org/records/3431873",
)  # fmt: skip
LABELS = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
GREY = {1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)}  # above the first, up to the second
SEQUENCES = {"T1DUAL_InPhase": "T1DUAL", "T1DUAL_OutPhase": "T1DUAL", "T2SPIR": "T2SPIR"}
FORM = "chaos_png"


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of the unpacked training archive."""
    root = layouts.below(Path(root), "CHAOS_Train_Sets/Train_Sets/MR", "Train_Sets/MR", "MR")
    nothing = f"{root} has no */T2SPIR or */T1DUAL: give the unpacked Train_Sets folder"
    return layouts.chosen(_found(root), split, skip, nothing)


def _found(root: Path) -> Iterator[Case]:
    for folder in layouts.seen(root, "*/T*"):
        for name, sequence in SEQUENCES.items():
            if folder.name != sequence:
                continue
            patient, phase = folder.parent.name, name.partition("_")[2]
            yield Case(
                id=f"{patient}_{name}", patient=patient, family="body_mr", modality="MR",
                image=folder / "DICOM_anon" / phase, label=folder / "Ground", phrases=layouts.by_phrase(LABELS),
                unknown=(), licence=ABOUT.stated_licence, source=ABOUT.source, split=split_of(patient), form=FORM,
            )  # fmt: skip


def read_pictures(slices: Path, pictures: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a series' slices: (labels (X, Y, Z) int32 closest to RAS, affine (4, 4)).

    A slice's place is its DICOM header's (PS3.3 C.7.6.2). Damaged when a slice has no picture of its size.
    """
    import pydicom
    from PIL import Image

    from assistant.volume import NativeGrid

    after = 1 if slices.name == "OutPhase" else 0
    planes = []
    for path in layouts.seen(slices, "*.dcm"):
        series, _, number = path.stem.rpartition("-")
        picture = pictures / f"{series}-{int(number) + after:05}.png"
        if not picture.is_file():
            raise Damaged(pictures, f"has no {picture.name} for the slice {path.name}", "unpack the archive again")
        header = pydicom.dcmread(path, stop_before_pixels=True)
        try:
            with Image.open(picture) as stored:
                values = np.asarray(stored.convert("L"))
        except OSError as error:
            raise Damaged(picture, f"is not a picture that can be read ({error})", "unpack it again") from error
        if values.shape != (header.Rows, header.Columns):
            raise Damaged(picture, f"is {values.shape}, its slice {(header.Rows, header.Columns)}", "unpack it again")
        planes.append((np.array(header.ImagePositionPatient, float), values, header))
    if not planes:
        raise Damaged(slices, "holds no *.dcm", "unpack the archive again")
    along, down = np.array(planes[0][2].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along, down)
    planes.sort(key=lambda plane: float(plane[0] @ normal))
    rows, columns = (float(v) for v in planes[0][2].PixelSpacing)
    step = (planes[-1][0] - planes[0][0]) / max(1, len(planes) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([along * columns, down * rows, step if len(planes) > 1 else normal, planes[0][0]], axis=1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's world is LPS+
    grey: np.ndarray = np.stack([values.T for _, values, _ in planes], axis=-1)
    labels: np.ndarray = np.zeros(grey.shape, np.int32)
    for value, (low, high) in GREY.items():
        labels[(grey > low) & (grey <= high)] = value
    grid = NativeGrid.of((labels.shape[0], labels.shape[1], labels.shape[2]), affine)
    return np.ascontiguousarray(grid.to_ras(labels)), grid.ras_affine()
