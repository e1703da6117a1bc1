"""Any data set in nnU-Net's raw format, version 1 or 2: yours, or one that you converted.

Source page   https://github.com/MIC-DKFZ/nnUNet (documentation/dataset_format.md)
Licence       of the data you give: "licence" of dataset.json where it has one; commercial use: see source
Citation      Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation,
              Nature Methods 18 (2021) 203-211.
Layout        Dataset001_Name/dataset.json with "labels" ({"liver": 1, "whole": [1, 2]}, or version 1: {"1": "liver"})
              and "channel_names" or "modality" ({"0": "CT"}); imagesTr/case_0000.nii.gz (_0001, ...: further channels,
              a case each) with labelsTr/case.nii.gz. Names that the ontology knows become its phrases; the others stay
              as they are, in lower case. "ignore" is unknown. Split: by the case's name.
Example       Case(id="la_003", family="own", modality="MR", image=.../imagesTr/la_003_0000.nii.gz,
              label=.../labelsTr/la_003.nii.gz, phrases={"left atrium": (1,)}, unknown=())
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assistant.modality import name_hint
from data_recipes import layouts, ontology
from data_recipes.schema import Case, DataSet, RecipeError, Skip, split_of

ABOUT = DataSet(
    "nnunet", "nnU-Net raw data", ("CT", "MR", "PET"), "yours", "see source (the data's own)", "see source", ("mask",),
    "https://github.com/MIC-DKFZ/nnUNet",
)  # fmt: skip


def cases(root: Path, split: str, skip: Skip = None) -> Iterator[Case]:
    """Cases of one raw data set's folder (the one that holds dataset.json)."""
    root = Path(root)
    nothing = f"{root} has no labelsTr/*: give the folder that holds dataset.json, imagesTr and labelsTr"
    return layouts.chosen(_found(root), split, skip, nothing)


def phrases_of(labels: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """{phrase: values} of a dataset.json's labels, version 1 or 2, without background and ignore."""
    if all(key.isdigit() for key in labels):
        labels = {name: int(value) for value, name in labels.items()}
    out = {}
    for name, value in labels.items():
        values = tuple(int(v) for v in (value if isinstance(value, list) else [value]))
        if name.lower() not in ("background", "ignore") and values != (0,):
            out[phrase_of(name)] = values
    return out


def phrase_of(name: str) -> str:
    """The canonical phrase that a published label's name means, or the name itself in lower case."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " ")).strip()  # "LeftParotid"
    known = ontology.lookup(plain)
    return known.name if known else plain.lower()


def _found(root: Path) -> Iterator[Case]:
    facts = layouts.read_json(root / "dataset.json")
    try:
        channels = facts.get("channel_names") or facts["modality"]
        phrases = phrases_of(facts["labels"])
        licence = str(facts.get("licence") or facts.get("license") or ABOUT.licence)
        source = str(facts.get("reference") or root.name)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{root / 'dataset.json'} needs labels and channel_names as nnU-Net's: {error!r}") from error
    images, labels = layouts.scans(root / "imagesTr"), layouts.scans(root / "labelsTr")
    names = sorted({*labels, *(name.rsplit("_", 1)[0] for name in images)})
    for number, channel in channels.items():
        modality = name_hint(str(channel))
        if modality is None:
            raise RecipeError(
                f"{root / 'dataset.json'}: the channel {channel!r} is neither CT, PET nor an MR sequence; say which"
            )
        for name in names:
            stored = f"{name}_{int(number):04}"
            yield Case(
                id=name if len(channels) == 1 else stored, patient=name, family="own", modality=modality,
                image=images.get(stored, root / "imagesTr" / f"{stored}.nii.gz"),
                label=labels.get(name, root / "labelsTr" / f"{name}.nii.gz"), phrases=phrases, unknown=(),
                licence=licence, source=source, split=split_of(name),
            )  # fmt: skip
