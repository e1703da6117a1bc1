"""A user's own labelled scans: found, checked all at once, and split by patient.

`read_cases` says everything that is wrong with two folders, each by file and with its fix, before anything is trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from assistant import preprocess
from assistant.errors import DeixisError, ScanError
from assistant.formats import ITK_SUFFIXES, NIFTI_SUFFIXES, read_itk, read_nifti, scan_name
from assistant.volume import NativeGrid, Volume, open_volume
from training.own_names import OwnName, Problem
from training.samples import PackedCase

LEAST_CASES = 5
MOST_VOXELS = 160  # along an axis of a packed case: the fine level has 128
NEAR_MM = 0.01  # two affines that differ by less are the same
#: the patient in a file's name: what BIDS writes, else the whole name
PATIENT = r"sub-[A-Za-z0-9]+|.+"


class DataError(DeixisError):
    """Labelled scans that cannot be trained on; the message has all problems, one a line."""


@dataclass(frozen=True)
class OwnCase:
    """One labelled scan. image, label: its files; sha256: of the image; packed: what training sees of it."""

    name: str
    patient: str
    image: Path
    label: Path
    sha256: str
    packed: PackedCase


def pairs(images: Path, labels: Path) -> tuple[dict[str, tuple[Path, Path]], list[Problem]]:
    """{case: (image, label map)} of two folders whose files have the same names ("a.nii.gz" and "a.nrrd" go together,
    and so do nnU-Net's "a_0000.nii.gz" and "a.nii.gz"), and what has no partner."""
    problems: list[Problem] = []
    label_files = _files(labels, problems)
    image_files = {
        name.removesuffix("_0000") if name.removesuffix("_0000") in label_files else name: path
        for name, path in _files(images, problems).items()
    }
    for name in sorted(image_files.keys() - label_files.keys()):
        fix = f"put its label map into {labels} as {name}.nii.gz, or take the image away"
        problems.append(Problem(image_files[name], "has no label map", fix))
    for name in sorted(label_files.keys() - image_files.keys()):
        fix = f"put its image into {images} as {name}.nii.gz, or take the label map away"
        problems.append(Problem(label_files[name], "has no image", fix))
    both = sorted(image_files.keys() & label_files.keys())
    return {name: (image_files[name], label_files[name]) for name in both}, problems


def _files(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """{case: scan} of a folder; hidden files and those of no scan's kind are left out."""
    if not folder.is_dir():
        problems.append(Problem(folder, "is no folder", "give the folder that holds the files"))
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        kind = path.name.lower().endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES, ".zip"))
        if path.name.startswith(".") or not (path.is_dir() or kind):
            continue
        name = scan_name(path)
        if name in found:
            problems.append(Problem(path, f"has the same name as {found[name].name}", "keep one of them"))
        found.setdefault(name, path)
    if not found:
        problems.append(Problem(folder, "holds no scans", "put .nii, .nii.gz, .nrrd or .mha files there"))
    return found


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label map -> (X, Y, Z) float32 in closest-RAS order and its affine (4, 4). ScanError; unlike a scan it may be
    the same everywhere."""
    reader = {NIFTI_SUFFIXES: read_nifti, ITK_SUFFIXES: read_itk}
    read = next((r for suffixes, r in reader.items() if path.name.lower().endswith(suffixes)), None)
    if read is None:
        raise ScanError(f"{path.name} is no label map this program reads; give .nii, .nii.gz, .nrrd, .mha or .mhd.")
    stored = read(path)
    x, y, z = stored.voxels.shape
    grid = NativeGrid.of((x, y, z), stored.affine)
    return np.ascontiguousarray(grid.to_ras(stored.voxels)), grid.ras_affine()


def check_labels(
    path: Path, labels: np.ndarray, affine: np.ndarray, volume: Volume, names: Sequence[OwnName], complete: bool
) -> Iterator[Problem]:
    """What is wrong with a label map (X, Y, Z) of a scan."""
    if labels.shape != volume.shape:
        what = f"has {_size(labels.shape)} voxels (RAS+ order), its image {volume.name} has {_size(volume.shape)}"
        yield Problem(path, what, "resample it to the image's grid with nearest neighbour")
        return
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape], indexing="ij")).reshape(3, -1).T
    away = np.abs((corners @ affine[:3, :3].T + affine[:3, 3]) - volume.to_world(corners)).max()
    if away > max(NEAR_MM, 0.01 * float(volume.spacing.min())):
        what = f"lies up to {away:.1f} mm away from its image {volume.name}: their affines differ"
        yield Problem(path, what, "save it with the image's affine, once you have seen both in a viewer")
    if not np.array_equal(labels, np.rint(labels)):
        odd = float(labels[labels != np.rint(labels)].flat[0])
        yield Problem(path, f"holds {odd:g}", "a label map has whole numbers: resample with nearest neighbour")
        return
    values, counts = np.unique(labels, return_counts=True)
    known = {name.value for name in names}
    odd_values = [(v, n) for v, n in zip(values.tolist(), counts.tolist(), strict=True) if v and v not in known]
    for value, count in odd_values:
        what = f"holds {value:g} ({count:,} voxels), which no name stands for"
        yield Problem(path, what, "name it in the names file, or set those voxels to 0")
    if not complete and not odd_values and not values.any():
        fix = "label it, take both files away, or say --complete where nothing of it is in the scan"
        yield Problem(path, "is empty: it holds none of the named values", fix)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def pack(name: str, volume: Volume, labels: np.ndarray, names: Sequence[OwnName], complete: bool) -> PackedCase:
    """A scan and its labels (X, Y, Z) as training takes them: the box that the program looks at, no finer than that
    needs. What a label map lacks is unknown there, or absent where all are complete."""
    first = preprocess.windows(torch.from_numpy(volume.voxels), volume.modality)[0]
    low, high = preprocess.foreground_box(first, volume.modality, volume.spacing)
    low, high = np.floor(low).astype(int), np.ceil(high).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    image, labels = torch.from_numpy(np.ascontiguousarray(volume.voxels[box])), labels[box]
    least = float(((high - low) * volume.spacing).max()) / MOST_VOXELS
    spacing = np.maximum(volume.spacing, least)
    steps = spacing / volume.spacing
    counts = [max(1, int(n / step)) for n, step in zip(labels.shape, steps, strict=True)]
    places = [
        (np.arange(m) - (m - 1) / 2) * step + (n - 1) / 2
        for m, step, n in zip(counts, steps, labels.shape, strict=True)
    ]
    weights = [preprocess.axis_weights(n, p, step) for n, p, step in zip(labels.shape, places, steps, strict=True)]
    near = np.ix_(*(np.rint(p).astype(int) for p in places))
    values = np.array([0, *(n.value for n in names)])
    indices = np.searchsorted(values, labels[near]).astype(np.uint8)
    shown = {n.value: n.phrase for n in names if complete or (labels == n.value).any()}
    image = preprocess.apply_axes(image[None], weights)[0]
    return PackedCase(name, "own", volume.modality, image, torch.from_numpy(indices), values, shown, spacing)


def read_cases(
    images: Path,
    labels: Path,
    names: Sequence[OwnName],
    *,
    modality: str | None = None,
    complete: bool = False,
    patient: str = PATIENT,
    say: Callable[[str], None] = print,
) -> tuple[list[OwnCase], list[Problem]]:
    """All cases of two folders, and all that is wrong with them. complete: what a label map lacks is not in its scan.
    patient: a pattern for the part of a case's name that is its patient's."""
    found, problems = pairs(images, labels)
    cases: list[OwnCase] = []
    guessed: dict[str, list[Path]] = {}
    seen: dict[str, Path] = {}
    for number, (name, (image, label)) in enumerate(found.items(), 1):
        say(f"reading {number} of {len(found)}: {name}")
        volume = _read(open_volume, image, problems, modality=modality)
        stored = _read(read_labels, label, problems)
        if volume is None or stored is None:
            continue
        if volume.modality_source == "estimated":
            guessed.setdefault(volume.modality, []).append(image)
        if volume.sha256 in seen:
            fix = "keep one: the same scan must not be learned from and held out"
            problems.append(Problem(image, f"is the same scan as {seen[volume.sha256].name}", fix))
        seen.setdefault(volume.sha256, image)
        wrong = list(check_labels(label, *stored, volume, names, complete))
        problems += wrong
        match = re.match(patient, name)
        if match is None:
            problems.append(Problem(image, f"has no patient: nothing in its name fits {patient!r}", "change --patient"))
        if not wrong and match is not None:
            packed = pack(name, volume, stored[0], names, complete)
            cases.append(OwnCase(name, match[0], image, label, volume.sha256, packed))
    if len(guessed) > 1:
        for kind, files in sorted(guessed.items(), key=lambda item: len(item[1]))[:-1]:
            for path in files:
                problems.append(Problem(path, f"looks like {kind}, the others do not", "say which with --modality"))
    if not problems:
        for index, own in enumerate(names, 1):
            if not any(bool((case.packed.labels == index).any()) for case in cases):
                fix = "label it, or take its name away"
                problems.append(Problem(labels, f"holds {own.value} ({own.phrase}) in no file", fix))
    return cases, problems


R = TypeVar("R")


def _read(reader: Callable[..., R], path: Path, problems: list[Problem], **options: object) -> R | None:
    """What a reader makes of a file; None where it cannot, which is then a problem."""
    try:
        return reader(path, **options)
    except ScanError as error:
        problems.append(Problem(path, "cannot be read", str(error)))
        return None


def split(cases: Sequence[OwnCase], dev: float | Sequence[str], seed: int) -> tuple[list[OwnCase], list[OwnCase]]:
    """(to learn from, held out), each patient whole on one side. dev: the share of the patients that is held out, drawn
    by the seed, or the names of cases or patients. DataError where either side would be too small."""
    patients = sorted({case.patient for case in cases})
    if len(cases) < LEAST_CASES or len(patients) < 2:
        raise DataError(
            f"{len(cases)} labelled scans of {len(patients)} patients are too few to learn from and to measure on: "
            f"give at least {LEAST_CASES} of two patients, better 20"
        )
    if isinstance(dev, float):
        if not 0 < dev < 1:
            raise DataError(f"--dev {dev:g} is no share between 0 and 1, such as 0.2")
        order = np.random.default_rng(seed).permutation(len(patients))
        chosen = {patients[i] for i in order[: min(len(patients) - 1, max(1, round(dev * len(patients))))]}
    else:
        known = {case.name: case.patient for case in cases} | {p: p for p in patients}
        unknown = [name for name in dev if name not in known]
        if unknown:
            listed = ", ".join(case.name for case in cases)
            raise DataError(f"--dev names {unknown[0]!r}, which is no case: they are {listed}")
        chosen = {known[name] for name in dev}
    learned = [case for case in cases if case.patient not in chosen]
    if not learned:
        raise DataError("--dev holds all patients out: leave most of them to learn from")
    return learned, [case for case in cases if case.patient in chosen]
