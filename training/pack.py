"""Cases packed for training: read once by the recipes, kept as small arrays in RAS+ order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from training.samples import PackedCase


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
