"""Cases packed for training: read once by the recipes, kept as small arrays in RAS+ order.

    python -m training.pack --data ../shared/data --out runs/pack

Scans are cropped to the box that `assistant.preprocess` would choose, label maps without a scan to their labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from assistant import preprocess
from data_recipes import registry, schema
from training.samples import PackedCase


def pack_case(case: schema.Case) -> PackedCase:
    """One recipe case as a packed one."""
    volume, labels, affine = schema.load_case(case)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if volume is None:
        # every tissue of a label map is kept, named or not: the image is made from all of them
        low, high = _box(labels > 0)
        image, names = None, {}
        for name, members in case.phrases.items():
            if name == "brain":  # the union of the others: asked for by `training.samples` itself
                continue
            labels = np.where(np.isin(labels, members), members[0], labels)  # parcels joined (aparc+aseg)
            names[members[0]] = name
        values = np.unique(np.append(labels, 0))
        names = {v: n for v, n in names.items() if v in values}
    else:
        first = preprocess.windows(torch.from_numpy(volume.voxels), case.modality)[0]
        edges = preprocess.foreground_box(first, case.modality, spacing)
        low, high = np.floor(edges[0]).astype(int), np.ceil(edges[1]).astype(int)
        values = np.array([0, *sorted(case.values)])
        labels = np.where(np.isin(labels, values), labels, 0)
        names = {v: n for v, n in case.values.items() if n not in case.unknown}
        image = torch.from_numpy(volume.voxels)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    indices = torch.from_numpy(np.searchsorted(values, labels[box]).astype(np.uint8))
    return PackedCase(
        case.id, case.family, case.modality, None if image is None else image[box], indices, values, names, spacing
    )


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spots = [np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([s[0] for s in spots]), np.array([s[-1] + 1 for s in spots])


def save_packed(case: PackedCase, folder: Path) -> None:
    """One .npz a case; the image as float32."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / (case.id.replace("/", "__") + ".npz"),
        id=case.id, family=case.family, modality=case.modality, labels=case.labels.numpy(), values=case.values,
        names=json.dumps(case.names), spacing=case.spacing,
        image=np.zeros(0) if case.image is None else case.image.numpy().astype(np.float32),
    )  # fmt: skip


def load_packed(folder: Path) -> list[PackedCase]:
    """All packed cases of a folder, sorted by name."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no packed cases: run python -m training.pack first")
    cases = []
    for file in files:
        with np.load(file) as stored:
            image = stored["image"]
            cases.append(
                PackedCase(
                    str(stored["id"]),
                    str(stored["family"]),
                    str(stored["modality"]),
                    torch.from_numpy(image.astype(np.float32)) if image.size else None,
                    torch.from_numpy(stored["labels"]),
                    stored["values"],
                    {int(k): v for k, v in json.loads(str(stored["names"])).items()},
                    stored["spacing"],
                )
            )
    return cases


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pack the training cases of a data folder.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/pack"))
    options = parser.parse_args(argv)
    for number, case in enumerate(registry.shared_layout(options.data, "train"), 1):
        save_packed(pack_case(case), options.out)
        print(f"\r{number} cases packed, last {case.id}", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
