"""The layout that the recipes share: `<root>/<split>/<set>/<case>/{image,label}.nii.gz` with `<root>/index.jsonl`.

Each line of the index is one case: split, case ("openkbp/pt_1"), modality, labels {value: published name}, image and
label (whether the files exist), licence, source. `export` of a recipe writes it; other readers of such a folder need
nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_recipes.schema import RecipeError, check_split

INDEX = "index.jsonl"


@dataclass(frozen=True)
class Entry:
    """One line of an index. `labels` maps a label value to its published name."""

    case: str
    split: str
    modality: str
    labels: dict[int, str]
    image: Path | None
    label: Path
    licence: str
    source: str

    @property
    def name(self) -> str:
        """Last part of the case's path, such as "pt_1"."""
        return self.case.rsplit("/", 1)[-1]


def is_local(root: Path) -> bool:
    """Whether a folder has this layout."""
    return (root / INDEX).is_file()


def entries(root: Path, split: str, folder: str) -> Iterator[Entry]:
    """Cases of one set ("openkbp") and split that have a label map, in index order."""
    check_split(split)
    with (root / INDEX).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if row["split"] != split or not row["case"].startswith(folder + "/") or not row["label"]:
                    continue
                place = root / split / row["case"]
                yield Entry(
                    case=row["case"],
                    split=split,
                    modality=row["modality"],
                    labels={int(value): name for value, name in row["labels"].items()},
                    image=place / "image.nii.gz" if row["image"] else None,
                    label=place / "label.nii.gz",
                    licence=row["licence"],
                    source=row["source"],
                )
            except (KeyError, ValueError) as error:
                raise RecipeError(f"{root / INDEX} line {number} is not a case of this layout: {error}") from error
