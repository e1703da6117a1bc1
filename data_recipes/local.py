"""A folder of your own images and label maps, with a list of what the labels are called.

Source page   yours
Licence       each line of the list says its own; commercial use: see source
Citation      yours
Layout        <root>/<split>/<set>/<case>/image.nii.gz and label.nii.gz with <root>/index.jsonl, one line a case: split
              ("train" or "dev"), case ("openkbp/pt_1": the set and the case), modality, labels {value: name}, image and
              label (whether the files exist), licence, source; and, where the patient was scanned before, earlier: the
              case of that scan, in the same split; both lines then say the patient. Some other recipes read this
              layout too, of their own set alone. Names that the ontology knows become its phrases. Split: as the list
              says.
Example       Case(id="clinic/p_7", patient="p_7", family="own", modality="CT", image=.../clinic/p_7/image.nii.gz,
              phrases={"left kidney": (1,)}, unknown=())
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assistant.modality import name_hint
from data_recipes import layouts
from data_recipes.schema import SPLITS, Case, DataSet, RecipeError, Skip, check_split

ABOUT = DataSet(
    "local", "Your own folder", ("CT", "MR", "PET"), "yours", "see source (the data's own)", "see source", ("mask",),
    "your folder",
)  # fmt: skip
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
    patient: str = ""
    earlier: str = ""

    @property
    def name(self) -> str:
        """Last part of the case's path, such as "pt_1"."""
        return self.case.rsplit("/", 1)[-1]


def is_local(root: Path) -> bool:
    """Whether a folder has this layout."""
    return (root / INDEX).is_file()


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Every case of the list that has a label map, whatever its set."""
    from data_recipes.nnunet import phrase_of

    root = Path(root)
    nothing = f"{root / INDEX} lists no case with a label map"
    if not is_local(root):
        raise RecipeError(f"{root} has no {INDEX}: write one line a case, as data_recipes/local.py says")
    found = (
        Case(
            id=entry.case, patient=entry.patient or entry.name, family="own", modality=_modality(entry),
            image=entry.image, label=entry.label, unknown=(), licence=entry.licence, source=entry.source,
            split=entry.split, earlier=entry.earlier,
            phrases=layouts.by_phrase({value: phrase_of(name) for value, name in entry.labels.items()}),
        )
        for part in SPLITS
        for entry in entries(root, part)
    )  # fmt: skip
    return layouts.chosen(found, split, skip, nothing)


def _modality(entry: Entry) -> str:
    """ "MR" of "MR-T1w (crop)", and of a label map alone. RecipeError where the line of an image names none."""
    modality = name_hint(entry.modality) if entry.image else "MR"
    if modality is None:
        raise RecipeError(f"{entry.case}: the modality {entry.modality!r} is neither CT, MR nor PET: write which it is")
    return modality


def entries(root: Path, split: str, folder: str = "") -> Iterator[Entry]:
    """Cases of one set ("openkbp"; "": of all) and split that have a label map, in index order."""
    check_split(split)
    with (root / INDEX).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                other = folder and not row["case"].startswith(folder + "/")
                if row["split"] != split or other or not row["label"]:
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
                    patient=row.get("patient", ""),
                    earlier=row.get("earlier", ""),
                )
            except (KeyError, ValueError) as error:
                raise RecipeError(f"{root / INDEX} line {number} is not a case of this layout: {error}") from error
