"""Tiny downloads in exactly the published layouts, made for the tests of the recipes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image

from tests.test_dicom import image as dicom_image

SHAPE = (6, 5, 4)
AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])  # stored right to left and front to back, as most CTs are


def image(path: Path, seed: int, shape: tuple[int, ...] = SHAPE, low: int = -1000, high: int = 400) -> None:
    """A scan of random grey values; its own for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(low, high, shape).astype(np.int16)
    if path.suffix == ".mha":
        scan = sitk.GetImageFromArray(values.transpose(2, 1, 0))
        scan.SetSpacing((1.5, 1.5, 3.0))
        sitk.WriteImage(scan, str(path))
    else:
        nib.save(nib.Nifti1Image(values, AFFINE), path)


def label(path: Path, *values: int, shape: tuple[int, ...] = SHAPE) -> None:
    """A label map whose first voxels have these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.zeros(shape, np.int16)
    stored.ravel()[: len(values)] = values
    nib.save(nib.Nifti1Image(stored, AFFINE), path)


def table(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        lines.writeheader()
        lines.writerows(rows)


def structures(folder: Path, names: list[str], shape: tuple[int, ...] = SHAPE) -> None:
    """One mask file each: structure number n is the voxel n, and the last one is empty."""
    for number, name in enumerate(names):
        label(folder / f"{name}.nii.gz", *[0] * number, int(number < len(names) - 1), shape=shape)


def totalsegmentator(root: Path) -> None:
    for number, subject in enumerate(("s0000", "s0001", "s0002")):
        image(root / subject / "ct.nii.gz", number)
        structures(root / subject / "segmentations", ["spleen", "kidney_left", "rib_right_12", "vertebrae_L1"])
    rows = [("s0000", "train"), ("s0001", "val"), ("s0002", "test")]
    table(root / "meta.csv", [{"image_id": i, "age": "60", "split": s} for i, s in rows], ";")


def totalsegmentator_mr(root: Path) -> None:
    for number, subject in enumerate(("s0001", "s0002")):
        image(root / subject / "mri.nii.gz", number, low=0)
        structures(root / subject / "segmentations", ["spleen", "vertebrae", "lung_left"])


def amos(root: Path) -> None:
    for part, number in (("Tr", 1), ("Tr", 507), ("Va", 8), ("Ts", 9)):
        image(root / "amos22" / f"images{part}" / f"amos_{number:04}.nii.gz", number)
        if part != "Ts":
            label(root / "amos22" / f"labels{part}" / f"amos_{number:04}.nii.gz", 1, 6, 15)


def btcv(root: Path) -> None:
    for number in (1, 2):
        image(root / "RawData" / "Training" / "img" / f"img{number:04}.nii.gz", number)
        label(root / "RawData" / "Training" / "label" / f"label{number:04}.nii.gz", 1, 10, 13)
    image(root / "RawData" / "Testing" / "img" / "img0061.nii.gz", 61)


def flare22(root: Path) -> None:
    folder = root / "Training" / "FLARE22_LabeledCase50"
    for number in (1, 2):
        image(folder / "images" / f"FLARE22_Tr_{number:04}_0000.nii.gz", number)
        label(folder / "labels" / f"FLARE22_Tr_{number:04}.nii.gz", 1, 2, 13)


def word(root: Path) -> None:
    for part, number in (("Tr", 2), ("Val", 1), ("Ts", 7)):
        image(root / "WORD-V0.1.0" / f"images{part}" / f"word_{number:04}.nii.gz", number)
        label(root / "WORD-V0.1.0" / f"labels{part}" / f"word_{number:04}.nii.gz", 1, 12, 15)


def chaos(root: Path) -> None:
    """T2: slices 1 to 4. T1: the slices of both phases are numbered in turn, pictures bear the in-phase numbers."""
    folder = root / "Train_Sets" / "MR" / "1"
    phases = (
        ("T2SPIR", "", range(1, 5), "0002"), ("T1DUAL", "OutPhase", range(1, 9, 2), "0004"),
        ("T1DUAL", "InPhase", range(2, 10, 2), "0004"),
    )  # fmt: skip
    for seed, (sequence, phase, numbers, series) in enumerate(phases):
        slices, pictures = folder / sequence / "DICOM_anon" / phase, folder / sequence / "Ground"
        slices.mkdir(parents=True)
        pictures.mkdir(parents=True, exist_ok=True)
        for place, number in enumerate(numbers):
            pixels = np.random.default_rng(seed * 10 + place).integers(0, 900, (SHAPE[1], SHAPE[0]))
            header = dicom_image(
                pixels, (0.0, 0.0, 3.0 * place), number, Modality="MR", PixelSpacing=[1.5, 1.5], RescaleIntercept=0
            )
            header.save_as(slices / f"IMG-{series}-{number:05}.dcm")
            if phase != "OutPhase":
                grey = np.zeros(pixels.shape, np.uint8)
                grey[0, place] = (63, 126, 189, 252)[place]
                Image.fromarray(grey).save(pictures / f"IMG-{series}-{number:05}.png")


def abdomenatlas(root: Path) -> None:
    for number in (1, 2):
        folder = root / f"BDMAP_{number:08}"
        image(folder / "ct.nii.gz", number)
        label(folder / "combined_labels.nii.gz", 1, 2)
        structures(folder / "segmentations", ["aorta", "liver", "hepatic_vessel", "rectum"])


def kits23(root: Path) -> None:
    for number in (0, 1):
        folder = root / "dataset" / f"case_{number:05}"
        image(folder / "imaging.nii.gz", number)
        label(folder / "segmentation.nii.gz", 1, 1, 2, 3)


def lits(root: Path) -> None:
    for number, batch in ((0, 1), (28, 2)):
        image(root / f"Training Batch {batch}" / f"volume-{number}.nii", number)
        label(root / f"Training Batch {batch}" / f"segmentation-{number}.nii", 1, 1, 2)


def verse(root: Path) -> None:
    names = {
        "dataset-01training": ["sub-verse004", "sub-gl003_dir-ax"],
        "dataset-02validation": ["sub-verse410_split-verse267"],
        "dataset-03test": ["sub-verse563_dir-iso"],
    }
    for part, scans in names.items():
        for number, scan in enumerate(scans):
            folder = scan.split("_")[0]
            image(root / part / "rawdata" / folder / f"{scan}_ct.nii.gz", len(part) + 7 * number)
            label(root / part / "derivatives" / folder / f"{scan}_seg-vert_msk.nii.gz", 1, 8, 20, 28)


def acdc(root: Path) -> None:
    folder = root / "training" / "patient001"
    for frame in (1, 12):
        image(folder / f"patient001_frame{frame:02}.nii.gz", frame, low=0)
        label(folder / f"patient001_frame{frame:02}_gt.nii.gz", 1, 2, 3)
    image(folder / "patient001_4d.nii.gz", 3, (*SHAPE, 2))
    image(root / "testing" / "patient101" / "patient101_frame01.nii.gz", 4)


def mmwhs(root: Path) -> None:
    for modality in ("ct", "mr"):
        folder = root / f"{modality}_train"
        image(folder / f"{modality}_train_1001_image.nii.gz", len(modality) + ord(modality[0]), low=0)
        label(folder / f"{modality}_train_1001_label.nii.gz", 205, 420, 850)


def brats(root: Path) -> None:
    styles = (
        ("BraTS2021_00000", "_", ("t1", "t1ce", "t2", "flair"), 4),
        ("BraTS-GLI-00002-000", "-", ("t1n", "t1c", "t2w", "t2f"), 3),
    )
    for name, joint, sequences, enhancing in styles:
        for number, sequence in enumerate(sequences):
            image(root / name / f"{name}{joint}{sequence}.nii.gz", number + 10 * enhancing, low=0)
        label(root / name / f"{name}{joint}seg.nii.gz", 1, 2, enhancing)


def isles22(root: Path) -> None:
    for number in (1, 2):
        name = f"sub-strokecase{number:04}"
        session = root / "ISLES-2022" / name / "ses-0001"
        for sequence in ("dwi", "adc"):
            image(session / "dwi" / f"{name}_ses-0001_{sequence}.nii.gz", 3 * number + len(sequence), low=0)
        image(session / "anat" / f"{name}_ses-0001_FLAIR.nii.gz", number, (9, 9, 9))
        label(root / "ISLES-2022" / "derivatives" / name / "ses-0001" / f"{name}_ses-0001_msk.nii.gz", 1)


def autopet(root: Path) -> None:
    study = root / "FDG-PET-CT-Lesions" / "PETCT_0011f3deaf" / "03-23-2003-NA-Unspecified-94943"
    image(study / "SUV.nii.gz", 1, low=0, high=30)
    image(study / "CTres.nii.gz", 2)
    label(study / "SEG.nii.gz", 1)


def picai(root: Path) -> None:
    labels = root / "picai_labels" / "csPCa_lesion_delineations" / "human_expert" / "resampled"
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])  # what SimpleITK's default direction is in RAS
    for patient, study, grade in (("10000", "1000000", 0), ("10005", "1000005", 3)):
        image(root / "picai_public_images_fold0" / patient / f"{patient}_{study}_t2w.mha", int(study), low=0)
        label(labels / f"{patient}_{study}.nii.gz", grade)
    image(root / "picai_public_images_fold0" / "10001" / "10001_1000001_t2w.mha", 1, low=0)  # no expert's label
    assert (affine == AFFINE).all()


def msd(root: Path) -> None:
    for task, scan, modality_low, values in (
        ("Task03_Liver", "liver_0", -1000, (1, 2)), ("Task04_Hippocampus", "hippocampus_001", 0, (1, 2)),
        ("Task09_Spleen", "spleen_2", -1000, (1,)),
    ):  # fmt: skip
        image(root / task / "imagesTr" / f"{scan}.nii.gz", len(scan), low=modality_low)
        label(root / task / "labelsTr" / f"{scan}.nii.gz", *values)
    image(root / "Task01_BrainTumour" / "imagesTr" / "BRATS_001.nii.gz", 5, (*SHAPE, 4), low=0)
    label(root / "Task01_BrainTumour" / "labelsTr" / "BRATS_001.nii.gz", 1, 2, 3)


def nnunet(root: Path) -> None:
    facts = {
        "channel_names": {"0": "T1w", "1": "FLAIR"}, "numTraining": 1, "file_ending": ".nii.gz",
        "labels": {"background": 0, "Kidney_Left": 1, "whole thing": [1, 2], "ignore": 3},
    }  # fmt: skip
    for channel in (0, 1):
        image(root / "imagesTr" / f"p_7_{channel:04}.nii.gz", channel, low=0)
    label(root / "labelsTr" / "p_7.nii.gz", 1, 2)
    (root / "dataset.json").write_text(json.dumps(facts))


def m3d_refseg(root: Path) -> None:
    rows = []
    for number, subject in enumerate(("s0011", "s0012")):
        image(root / "M3D_RefSeg" / subject / "ct.nii.gz", number)
        label(root / "M3D_RefSeg" / subject / "mask.nii.gz", 1, 2)
        rows.append(
            {
                "Image": f"M3D_RefSeg_npy/{subject}/ct.npy", "Mask": f"M3D_RefSeg_npy/{subject}/mask.npy",
                "Mask_ID": "2", "Question_Type": "0", "Question": "Please segment the cyst.",
                "Answer": "Sure, it is [SEG] in the liver.",
            }
        )  # fmt: skip
    table(root / "M3D_RefSeg_train.csv", rows)
    table(root / "M3D_RefSeg_test.csv", rows)


def ct_rate(root: Path) -> None:
    for part, folder, number in (("train", "train_fixed", 1), ("validation", "valid_fixed", 4)):
        word = "train" if part == "train" else "valid"
        name = f"{word}_{number}_a_1"
        image(root / "dataset" / folder / f"{word}_{number}" / f"{word}_{number}_a" / f"{name}.nii.gz", number)
        rows = [
            {
                "VolumeName": f"{name}.nii.gz", "ClinicalInformation_EN": "Cough", "Technique_EN": "CT",
                "Findings_EN": "Trachea is open.\nNo effusion.", "Impressions_EN": "Normal.",
            }
        ]  # fmt: skip
        table(root / "dataset" / "radiology_text_reports" / f"{part}_reports.csv", rows)


def radgenome(root: Path) -> None:
    image(root / "dataset" / "train_preprocessed" / "train_1" / "train_1a" / "train_1_a_1.nii.gz", 1)
    rows = [
        {"Volumename": "train_1_a_1.nii.gz", "Anatomy": anatomy, "Sentence": sentence}
        for anatomy, sentence in (("heart", "Heart size is normal."), ("heart", "No effusion."), ("", "No mass."))
    ]
    files = root / "dataset" / "radgenome_files"
    table(files / "train_region_report.csv", rows)
    about = {"Volumename": "train_1_a_1.nii.gz", "Anatomy": "Heart"}
    table(files / "train_vqa_presence.csv", [{**about, "Finding": "pericardial effusion", "Presence": "No"}])
    table(files / "train_vqa_location.csv", [{**about, "Abnormality": "calcification"}])


def _question(number: int, name: str, modality: str, **change: str) -> dict[str, object]:
    return {
        "img_id": number, "img_name": name, "question": "What organ is this?", "answer": "Liver", "q_lang": "en",
        "location": "Abdomen", "modality": modality, "base_type": "vqa", "qid": number, **change,
    }  # fmt: skip


def slake(root: Path) -> None:
    for number in range(4):
        folder = root / "Slake1.0" / "imgs" / f"xmlab{number}"
        folder.mkdir(parents=True)
        Image.fromarray(np.arange(30 + number, dtype=np.uint8).repeat(40).reshape(-1, 40)).save(folder / "source.jpg")
    parts = {
        "train.json": [
            _question(0, "xmlab0/source.jpg", "MRI"), _question(1, "xmlab1/source.jpg", "X-Ray"),
            _question(2, "xmlab0/source.jpg", "MRI", base_type="kg"),
        ],
        "validate.json": [_question(3, "xmlab3/source.jpg", "CT")],
        "test.json": [_question(4, "xmlab2/source.jpg", "CT")],
    }  # fmt: skip
    for name, rows in parts.items():
        (root / "Slake1.0" / name).write_text(json.dumps(rows))


def vqa_rad(root: Path) -> None:
    folder = root / "VQA_RAD Image Folder"
    folder.mkdir(parents=True)
    rows = []
    for number, (organ, phrase) in enumerate((("ABD", "freeform"), ("CHEST", "freeform"), ("ABD", "test_para"))):
        grey = 7 * number + 200 * np.eye(8, 9)
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"synpic{number}.jpg")
        rows.append(
            {
                "qid": number, "image_name": f"synpic{number}.jpg", "image_organ": organ, "phrase_type": phrase,
                "question": "Is the liver enlarged?", "answer": "No",
            }
        )  # fmt: skip
    (root / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def medmnist3d(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 2), ("val", 1), ("test", 1)):
        arrays[f"{part}_images"] = rng.integers(0, 255, (count, 5, 5, 5), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None]
    np.savez_compressed(root / "organmnist3d.npz", **arrays)
    np.savez_compressed(root / "synapsemnist3d.npz", **arrays)


def local(root: Path) -> None:
    rows = []
    for split, case in (("train", "clinic/p_7"), ("dev", "clinic/p_8")):
        image(root / split / case / "image.nii.gz", len(split))
        label(root / split / case / "label.nii.gz", 1, 2)
        rows.append(
            {
                "case": case, "split": split, "modality": "CT (crop)", "labels": {"1": "kidney_left", "2": "my thing"},
                "image": True, "label": True, "licence": "ours", "source": "the clinic",
            }
        )  # fmt: skip
    (root / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


MASKS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        totalsegmentator, totalsegmentator_mr, amos, btcv, flare22, word, chaos, abdomenatlas, kits23, lits, verse,
        acdc, mmwhs, brats, isles22, autopet, picai, msd, nnunet, local,
    )
}  # fmt: skip
WORDS: dict[str, Callable[[Path], None]] = {
    make.__name__: make for make in (m3d_refseg, ct_rate, radgenome, slake, vqa_rad, medmnist3d)
}
