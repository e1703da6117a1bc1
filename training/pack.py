"""Cases packed for training: read once by the recipes, kept as plain arrays in RAS+ order.

    python -m training.pack --data ../shared/data --out runs/pack
    python -m training.pack amos=downloads/amos22 totalsegmentator=downloads/ts --out runs/body

A data set is its recipe's name and the folder it was downloaded to, as for `deixis data build`. Scans are cropped to
the box that `assistant.preprocess` would choose, label maps without a scan to their labels. A packed case is a folder
with `case.json` and its arrays as raw bytes, which are mapped and not read: a thousand scans are open at once, and a
sample reads the part that it shows. A pack that was stopped goes on where it stands.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from assistant import preprocess
from data_recipes import registry, schema
from data_recipes.arrow import progress
from training.samples import PackedCase

MOST_VALUES = 255  # of one case beside the background: label grids are uint8


def parts_and_wholes(
    phrases: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Phrases by the label values that make them up -> (those that share no voxel with one another, the others: those
    that hold another one's values or some of them)."""
    sets = {name: frozenset(values) for name, values in phrases.items()}
    parts = {
        name: phrases[name]
        for name, mine in sets.items()
        if all(mine <= theirs or not mine & theirs for theirs in sets.values())
    }
    seen: set[int] = set()
    for name, values in list(parts.items()):  # two names of the very same values: the first is the part
        if seen & set(values):
            del parts[name]
        seen |= set(values)
    return parts, {name: values for name, values in phrases.items() if name not in parts}


def pack_case(case: schema.Case, dataset: str = "") -> PackedCase:
    """One recipe case as a packed one. Damaged when it cannot be read."""
    volume, labels, affine = schema.load_case(case)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    known = {name: values for name, values in case.phrases.items() if name not in case.unknown}
    if volume is None:
        known.pop("brain", None)  # the union of the others: asked for by `training.samples` itself
    parts, unions = parts_and_wholes(known)
    first = {value: values[0] for values in parts.values() for value in values}
    for value, kept in first.items():  # the parcels of one structure, joined
        if value != kept:
            labels = np.where(labels == value, kept, labels)
    names = {values[0]: name for name, values in parts.items()}
    wholes = {name: tuple(dict.fromkeys(first.get(v, v) for v in values)) for name, values in unions.items()}
    if volume is None:
        # every tissue of a label map is kept, named or not: the image is made from all of them
        low, high = _box(labels > 0)
        image = None
        values = np.unique(np.append(labels, 0))
        names = {v: n for v, n in names.items() if v in values}
    else:
        window = preprocess.windows(torch.from_numpy(volume.voxels), case.modality)[0]
        # of a PET all is kept that holds anything: its samples are seen in boxes of several widths
        edges = preprocess.foreground_box(window, case.modality, spacing, 0.0 if case.modality == "PET" else None)
        low, high = np.floor(edges[0]).astype(int), np.ceil(edges[1]).astype(int)
        values = np.array(sorted({0, *names, *(v for some in wholes.values() for v in some)}))
        labels = np.where(np.isin(labels, values), labels, 0)
        image = torch.from_numpy(volume.voxels)
    if len(values) > MOST_VALUES + 1:
        raise schema.Damaged(
            case.label, f"has {len(values) - 1} label values, more than {MOST_VALUES}", "leave some of its names out"
        )
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    indices = torch.from_numpy(np.searchsorted(values, labels[box]).astype(np.uint8))
    return PackedCase(
        case.id, case.family, case.modality, None if image is None else image[box], indices, values, names, spacing,
        wholes, dataset,
    )  # fmt: skip


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spots = [np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([s[0] for s in spots]), np.array([s[-1] + 1 for s in spots])


def packed_name(dataset: str, case: str) -> str:
    """The folder of a packed case."""
    return "__".join(part.replace("/", "__") for part in (dataset, case) if part)


def save_packed(case: PackedCase, folder: Path) -> None:
    """One folder a case, whole or not at all; the image as float32."""
    place = folder / packed_name(case.dataset, case.id)
    making = folder / f".{place.name}.part"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    case.labels.numpy().tofile(making / "labels.u1")
    if case.image is not None:
        np.ascontiguousarray(case.image.numpy(), "<f4").tofile(making / "image.f4")
    about = {
        "id": case.id, "dataset": case.dataset, "family": case.family, "modality": case.modality,
        "shape": list(case.labels.shape), "image": case.image is not None, "values": case.values.tolist(),
        "names": {str(v): n for v, n in case.names.items()}, "wholes": {n: list(v) for n, v in case.wholes.items()},
        "spacing": case.spacing.tolist(),
    }  # fmt: skip
    (making / "case.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    os.replace(making, place)


def load_packed(folder: Path) -> list[PackedCase]:
    """All packed cases of a folder, sorted by name; their arrays are mapped from the files."""
    files = sorted(folder.glob("*/case.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no packed cases: run python -m training.pack first")
    return [_mapped(file) for file in files]


def _mapped(file: Path) -> PackedCase:
    about = json.loads(file.read_text(encoding="utf-8"))
    shape = about["shape"]

    def array(name: str, kind: torch.dtype) -> torch.Tensor:
        # private pages: nothing that is written to them reaches the file
        return torch.from_file(str(file.parent / name), shared=False, size=int(np.prod(shape)), dtype=kind).view(shape)

    return PackedCase(
        about["id"], about["family"], about["modality"],
        array("image.f4", torch.float32) if about["image"] else None, array("labels.u1", torch.uint8),
        np.array(about["values"]), {int(v): n for v, n in about["names"].items()}, np.array(about["spacing"]),
        {n: tuple(v) for n, v in about["wholes"].items()}, about["dataset"],
    )  # fmt: skip


def found(options: argparse.Namespace, skip: schema.Skip) -> Iterator[tuple[str, schema.Case]]:
    """(data set, case) of everything that was asked for."""
    if options.data is not None:
        for recipe in registry.shared():
            for case in recipe.cases(options.data, options.split, skip):
                yield recipe.ABOUT.name, case
    for text in options.sources:
        name, folder = registry.named_folder(text, registry.MASKS)
        for case in registry.MASKS[name].cases(folder, options.split, skip):
            yield name, case


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.pack", description="Pack the cases of data sets for training."
    )
    parser.add_argument("sources", nargs="*", metavar="NAME=FOLDER", help="a recipe's name and its download")
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--split", default="train", choices=schema.SPLITS)
    parser.add_argument("--out", type=Path, default=Path("runs/pack"))
    parser.add_argument("--skip", action="store_true", help="leave damaged cases out and name them")
    options = parser.parse_args(argv)
    left_out: schema.Skip = [] if options.skip else None
    try:
        cases = list(found(options, left_out))
        if not cases:
            raise schema.RecipeError("nothing to pack: give --data FOLDER or NAME=FOLDER")
        began, fresh = time.monotonic(), 0
        for number, (dataset, case) in enumerate(cases, 1):
            if not (options.out / packed_name(dataset, case.id)).is_dir():
                try:
                    save_packed(pack_case(case, dataset), options.out)
                except schema.Damaged as problem:
                    schema.leave_out(problem, left_out)
                fresh += 1
            print(f"\r{progress(number, len(cases), fresh, time.monotonic() - began)}   ", end="", flush=True)
    except schema.RecipeError as error:
        print(f"\npack: {error}", file=sys.stderr)
        return 2
    print()
    for one in left_out or ():
        print(f"left out: {one}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
