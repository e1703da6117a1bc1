"""The only formats: `Case` is what a data set gives, `Record` is what a trainer reads.

A `Record` is one line of JSON: a conversation about some images with the masks it talks of, in the order of its
`<SEG>` tokens. Paths are kept relative to the data's root so that a folder can move. `split_of` splits by patient.

>>> Record.from_json(record.to_json()) == record
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assistant.volume import Volume

SPLITS = ("train", "dev")
MODALITIES = ("CT", "MR", "PET")


class RecipeError(ValueError):
    """A data set is not laid out as its recipe says; the message names the path and what was expected."""


@dataclass(frozen=True)
class Case:
    """One patient's scan with its label map, as a recipe finds it on disk.

    `image` is None where only a label map is published. `phrases` maps a canonical phrase to the label values that make
    it up (several where it is a union, as the whole hippocampus is of its two parts). `unknown` are phrases nobody
    contoured here: neither present nor absent. `form` is "nifti", or "openkbp_csv" (both paths: a folder of CSVs).
    """

    id: str
    patient: str
    family: str
    modality: str
    image: Path | None
    label: Path
    phrases: Mapping[str, tuple[int, ...]]
    unknown: tuple[str, ...]
    licence: str
    source: str
    split: str
    form: str = "nifti"

    @property
    def values(self) -> dict[int, str]:
        """Label value -> phrase, for the phrases that are one value."""
        return {values[0]: phrase for phrase, values in self.phrases.items() if len(values) == 1}


@dataclass(frozen=True)
class Target:
    """What one `<SEG>` of a record should give. `labels` are the values that make its mask; () when absent or when the
    mask is made of earlier masks ("m1 + m2"); a bare id ("m1") recalls one."""

    phrase: str
    present: bool
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageRef:
    """An image file of a record, relative to the data root, and its modality (one of MODALITIES)."""

    path: str
    modality: str


@dataclass(frozen=True)
class Turn:
    """One message. `content` of an assistant is markup; `image`/`region` mark where the scan and `<REG>` go in."""

    role: str
    content: str
    image: bool = False
    region: bool = False


@dataclass(frozen=True)
class Record:
    """One training conversation. `targets` are in the order of the `<SEG>` tokens; `label` is the label map's path."""

    id: str
    images: tuple[ImageRef, ...]
    label: str | None
    messages: tuple[Turn, ...]
    targets: tuple[Target, ...]
    family: str
    kind: str
    provenance: str
    licence: str
    split: str
    patient: str
    seed: int
    region: str | None = None
    values: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise RecipeError(f"record {self.id}: split {self.split!r} is none of {', '.join(SPLITS)}")
        for image in self.images:
            if image.modality not in MODALITIES:
                raise RecipeError(f"record {self.id}: modality {image.modality!r} is none of {', '.join(MODALITIES)}")
        said = sum(m.content.count("<SEG>") for m in self.messages if m.role == "assistant")
        if said != len(self.targets):
            raise RecipeError(f"record {self.id}: {said} <SEG> tokens but {len(self.targets)} targets; give one each")

    def to_json(self) -> str:
        """One line of JSON, keys in a fixed order."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def from_json(line: str) -> Record:
        """Inverse of `to_json`. RecipeError when the line is no record."""
        try:
            raw = json.loads(line)
            return Record(
                **{
                    **raw,
                    "images": tuple(ImageRef(**i) for i in raw["images"]),
                    "messages": tuple(Turn(**m) for m in raw["messages"]),
                    "targets": tuple(Target(t["phrase"], t["present"], tuple(t["labels"])) for t in raw["targets"]),
                    "values": {int(value): phrase for value, phrase in raw["values"].items()},
                }
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise RecipeError(f"this line is not a record: {line[:80]!r} ({error})") from error


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSON lines; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(record.to_json() + "\n")
            count += 1
    return count


def read_records(path: Path) -> Iterator[Record]:
    """Read what `write_records` wrote."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield Record.from_json(line)


def split_of(patient: str, dev_fraction: float = 0.1) -> str:
    """ "train" or "dev" by a hash of the patient's name: the same on every machine, whatever else is in the folder."""
    number = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64
    return "dev" if number < dev_fraction else "train"


def check_split(split: str) -> None:
    """RecipeError unless split is one of SPLITS."""
    if split not in SPLITS:
        raise RecipeError(f"split {split!r} is none of {', '.join(SPLITS)}")


def load_case(case: Case) -> tuple[Volume | None, np.ndarray, np.ndarray]:
    """Read a case: (volume or None, labels (X, Y, Z) int32, affine (4, 4)), all on one RAS+ ordered grid.

    RecipeError when image and label map lie on different grids.
    """
    if case.form == "openkbp_csv":
        from data_recipes.openkbp import read_patient

        return read_patient(case.label)
    label_map = _open(case.label, "MR")  # label values, not intensities: no unit, no shift
    labels = np.rint(label_map.voxels).astype(np.int32)
    if case.image is None:
        return None, labels, label_map.affine
    volume = _open(case.image, case.modality)
    if volume.shape != label_map.shape or not np.allclose(volume.affine, label_map.affine, atol=1e-2):
        raise RecipeError(
            f"{case.id}: the image's grid {volume.shape} is not the label map's {label_map.shape}; resample one of them"
        )
    return volume, labels, volume.affine


def _open(path: Path, modality: str) -> Volume:
    from assistant.volume import Volume

    if path.suffix != ".mgz":
        return Volume.open(path, modality=modality)
    from nibabel.freesurfer.mghformat import MGHImage  # no scan a user opens: only recipes read FreeSurfer's container

    stored = MGHImage.from_filename(path)
    return Volume.from_array(np.asarray(stored.dataobj), stored.affine, modality=modality, name=path.name)


def mask_of(labels: np.ndarray, values: Iterable[int]) -> np.ndarray:
    """(X, Y, Z) bool mask of a phrase's label values."""
    return np.isin(labels, list(values))
