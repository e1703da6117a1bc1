"""What the published layouts share: finding the files, checking that a case is whole, naming its labels.

A recipe lists its cases, whole or not, of all splits (`Case` with the paths where its layout has them), and `chosen`
gives those of one split that are there. Most data sets are one image and one label map a case; in some every structure
has a file of its own (`structure_files`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_recipes.schema import Case, Damaged, DataSet, RecipeError, Skip, check_split, leave_out

SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


def stem(path: Path) -> str:
    """A file's name without the suffixes of scans: "amos_0001.nii.gz" -> "amos_0001"."""
    return next((path.name[: -len(s)] for s in SUFFIXES if path.name.endswith(s)), path.name)


def scans(folder: Path) -> dict[str, Path]:
    """{stem: path} of a folder's scans in order of names, without the dot files that some archives carry."""
    found = (p for p in folder.iterdir() if p.name.endswith(SUFFIXES)) if folder.is_dir() else ()
    return {stem(p): p for p in sorted(found) if not p.name.startswith(".")}


def seen(root: Path, pattern: str) -> list[Path]:
    """Files or folders under a root by a pattern such as "**/case_*", sorted, without dot files."""
    return sorted(p for p in root.glob(pattern) if not p.name.startswith("."))


def below(root: Path, *names: str) -> Path:
    """The first of these folders under a root that is there, else the root itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def paired(images: Path, labels: Path) -> list[tuple[str, Path, Path]]:
    """(name, image, label map) of every name that either folder has; a path that is not there is where it should be."""
    there, drawn = scans(images), scans(labels)
    out = []
    for name in sorted({*there, *drawn}):
        one = there.get(name) or drawn[name]
        out.append((name, there.get(name, images / one.name), drawn.get(name, labels / one.name)))
    return out


def case(
    about: DataSet,
    name: str,
    *,
    patient: str,
    family: str,
    modality: str,
    image: Path,
    label: Path,
    phrases: Mapping[str, tuple[int, ...]],
    split: str,
    unknown: tuple[str, ...] = (),
    masks: Mapping[int, Path] | None = None,
    frame: int | None = None,
) -> Case:
    """A case of a data set, with its licence and source."""
    return Case(
        id=name, patient=patient, family=family, modality=modality, image=image, label=label, phrases=phrases,
        unknown=unknown, licence=about.stated_licence, source=about.source, split=split, masks=masks or {}, frame=frame,
    )  # fmt: skip


def chosen(found: Iterable[Case], split: str, skip: Skip, nothing: str) -> Iterator[Case]:
    """The cases of a split whose files are all there. RecipeError with `nothing` when there are none of any split."""
    check_split(split)
    any_found = False
    for one in found:
        any_found = True
        if one.split != split:
            continue
        problem = _not_whole(one)
        if problem is None:
            yield one
        else:
            leave_out(problem, skip)
    if not any_found:
        raise RecipeError(nothing)


def _not_whole(one: Case) -> Damaged | None:
    fix = "unpack the archive again, or download the case again"
    if one.image is not None and not one.image.exists():
        return Damaged(one.label, f"has no image {one.image}", fix)
    if one.masks:
        missing = [path.name for path in one.masks.values() if not path.is_file()]
        return Damaged(one.label, f"has no {', '.join(missing)}, which other cases have", fix) if missing else None
    return None if one.label.exists() else Damaged(one.image or one.label, f"has no label map {one.label}", fix)


def structure_files(folders: Iterable[Path], names: Mapping[str, str]) -> dict[int, str]:
    """Which structures a download outlines, a file each: {label value: published name}, the value being the place of
    the name in a recipe's table {published name: phrase}, from 1. A name that any folder has is of all of them."""
    there = {stem(p) for folder in folders if folder.is_dir() for p in folder.iterdir()}
    return {value: name for value, name in enumerate(names, 1) if name in there}


def by_phrase(values: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """{label value: phrase} -> {phrase: its values}: the form of `Case.phrases`."""
    out: dict[str, tuple[int, ...]] = {}
    for value, phrase in values.items():
        out[phrase] = (*out.get(phrase, ()), value)
    return out


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a CSV that has these columns. RecipeError when it is not there or lacks one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, delimiter=delimiter)
            lacking = [c for c in columns if c not in (rows.fieldnames or ())]
            if lacking:
                raise RecipeError(f"{path} has no column {', '.join(lacking)}: download it again")
            return list(rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{path} cannot be read ({error}): download it again") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds. RecipeError when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}): download it again") from error
