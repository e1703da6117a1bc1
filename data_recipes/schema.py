"""The only formats: `DataSet` is what a recipe states, `Case` what it finds, `Record` what a trainer reads.

A `Record` is one line of JSON: a conversation about some images with the masks it talks of, in the order of its
`<SEG>` tokens. Paths are kept relative to the data's root so that a folder can move. `split_of` splits by patient.

Recipes raise `Damaged` at the first case that is not whole. Given a list as `skip`, they put it there and go on with
the next case: what is left out is named, and no other case takes its place.

>>> Record.from_json(record.to_json()) == record
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from assistant.volume import Volume

SPLITS = ("train", "dev")
MODALITIES = ("CT", "MR", "PET")
GIVES = ("mask", "question", "report")
COMMERCIAL = ("yes", "no", "see source")
PICTURES = (".jpg", ".jpeg", ".png")
POINTERS = ("point", "box", "mask")


class RecipeError(ValueError):
    """A data set is not laid out as its recipe says; the message names the path and what was expected."""


class Damaged(RecipeError):
    """One case cannot be read. `path` is the file or folder, `what` is wrong with it, `fix` is the way out."""

    def __init__(self, path: Path | str, what: str, fix: str) -> None:
        super().__init__(f"{path} {what}: {fix}")
        self.path, self.what, self.fix = str(path), what, fix


Skip = list[Damaged] | None  # where a recipe puts what it leaves out; None: it raises instead


def leave_out(problem: Damaged, skip: Skip) -> None:
    """Raise a problem, or note it (once) where the caller asked for damaged cases to be skipped."""
    if skip is None:
        raise problem
    if str(problem) not in map(str, skip):
        skip.append(problem)


@dataclass(frozen=True)
class DataSet:
    """What a recipe states of its data set.

    `modalities` of MODALITIES; `commercial` whether its licence allows commercial use: "yes", "no", or "see source"
    where that is not certain; `gives` of GIVES. `patients` names whose patients they are: data sets made of one another
    share it, so that a patient's number means the same patient in both. `folder` is the set's name in the shared layout
    of `local.py`, "" where it has none.
    """

    name: str
    title: str
    modalities: tuple[str, ...]
    size: str
    licence: str
    commercial: str
    gives: tuple[str, ...]
    source: str
    patients: str = ""
    folder: str = ""

    @property
    def patient_space(self) -> str:
        """Where a patient's name is unique."""
        return self.patients or self.name

    @property
    def stated_licence(self) -> str:
        """The licence as every case and record carries it: "AMOS22: CC BY 4.0"."""
        return f"{self.title}: {self.licence}"


@dataclass(frozen=True)
class Case:
    """One patient's scan with its label map, as a recipe finds it on disk.

    `image` is None where only a label map is published. `phrases` maps a canonical phrase to the label values that make
    it up (several where it is a union, as the whole hippocampus is of its two parts). `unknown` are phrases nobody
    contoured here: neither present nor absent. `form` is "nifti", "openkbp_csv" (both paths: a folder of CSVs) or
    "chaos_png" (a folder of DICOM slices and one of pictures).
    Where each structure has a file of its own, `masks` maps a label value to its file and `label` is their folder.
    `frame` is the channel of a 4D image. `earlier` is the id of the same patient's earlier case, "" where none is
    known.
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
    masks: Mapping[int, Path] = field(default_factory=dict)
    frame: int | None = None
    earlier: str = ""

    @property
    def values(self) -> dict[int, str]:
        """Label value -> phrase, for the phrases that are one value."""
        return {values[0]: phrase for phrase, values in self.phrases.items() if len(values) == 1}


@dataclass(frozen=True)
class Target:
    """What one `<SEG>` of a record should give. `labels` are the values that make its mask; () when absent or when the
    mask is made of earlier masks ("m1 + m2"); a bare id ("m1") recalls one. `image` is the number of its scan among the
    record's images."""

    phrase: str
    present: bool
    labels: tuple[int, ...] = ()
    image: int = 0


@dataclass(frozen=True)
class Pointer:
    """How the user points at a region: `kind` of POINTERS. `mm` is a point (x, y, z), or two corners of a box (x, y, z,
    x, y, z: the least, then the greatest), RAS+ millimetres of the scan; () where a mask was drawn: its target's."""

    kind: str
    mm: tuple[float, ...] = ()


@dataclass(frozen=True)
class ImageRef:
    """An image of a record: its file, relative to the data root, its modality (one of MODALITIES), and the channel of a
    4D file or the number of a volume in an archive of arrays ("organmnist3d.npz/train_images"). `label` is the label
    map of an image after the first, whose own is the record's."""

    path: str
    modality: str
    frame: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Turn:
    """One message. `content` of an assistant is markup; `image`/`region` mark where the scan and `<REG>` go in."""

    role: str
    content: str
    image: bool = False
    region: bool = False


@dataclass(frozen=True)
class Record:
    """One training conversation. `images` are in the order of the messages that show one, `targets` in the order of the
    `<SEG>` tokens; `label` is the label map's path.

    `form` and `masks` as in `Case`, paths relative to the data root. `dataset` is the recipe's name, `volume` the first
    image's hash (see `leakage.py`); both "" where nobody filled them in. `pointer` is how `region` was pointed at.
    `rewritten` says of each text that a rewriter was given what became of it (see `rewriter.py`).
    """

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
    form: str = "nifti"
    masks: Mapping[int, str] = field(default_factory=dict)
    dataset: str = ""
    volume: str = ""
    pointer: Pointer | None = None
    rewritten: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise RecipeError(f"record {self.id}: split {self.split!r} is none of {', '.join(SPLITS)}")
        for image in self.images:
            if image.modality not in MODALITIES:
                raise RecipeError(f"record {self.id}: modality {image.modality!r} is none of {', '.join(MODALITIES)}")
        said = sum(m.content.count("<SEG>") for m in self.messages if m.role == "assistant")
        if any(target.image >= max(1, len(self.images)) for target in self.targets):
            raise RecipeError(f"record {self.id}: a target is in an image after the last of {len(self.images)}")
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
                    "targets": tuple(Target(**{**t, "labels": tuple(t["labels"])}) for t in raw["targets"]),
                    "pointer": pointer_of(raw.get("pointer")),
                    "rewritten": tuple(raw.get("rewritten", ())),
                    "values": {int(value): phrase for value, phrase in raw["values"].items()},
                    "masks": {int(value): path for value, path in raw.get("masks", {}).items()},
                }
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise RecipeError(f"this line is not a record: {line[:80]!r} ({error})") from error


def pointer_of(raw: dict[str, Any] | None) -> Pointer | None:
    """A pointer of its fields, as JSON and Arrow have them."""
    return None if raw is None else Pointer(raw["kind"], tuple(raw["mm"]))


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

    Where structures with files of their own overlap, the later in `masks` wins. Damaged when a file cannot be read, or
    when image and labels lie on different grids.
    """
    if case.form == "openkbp_csv":
        from data_recipes.openkbp import read_patient

        try:
            return read_patient(case.label)
        except RecipeError as error:
            raise Damaged(case.label, f"cannot be read ({error})", "download the patient again") from error
    volume = None if case.image is None else _open(case.image, case.modality, case.frame)
    if case.form == "chaos_png":
        from data_recipes.chaos import read_pictures

        assert case.image is not None
        labels, affine = read_pictures(case.image, case.label)
    elif case.masks:
        labels, affine = _painted(case.masks, volume)
    else:
        labels, affine = read_labels(case.label)
    if volume is None:
        return None, labels, affine
    _same_grid(case.label, labels.shape, affine, volume.shape, volume.affine)
    return volume, labels, volume.affine


def _painted(masks: Mapping[int, Path], volume: Volume | None) -> tuple[np.ndarray, np.ndarray]:
    """One label map (X, Y, Z) of mask files, and its affine.

    Damaged where a mask is not on the volume's grid (None: on that of the first mask).
    """
    labels: np.ndarray | None = None
    shape, affine = ((), np.eye(4)) if volume is None else (volume.shape, volume.affine)
    for value, path in masks.items():
        mask, place = read_labels(path)
        if volume is None and labels is None:
            shape, affine = mask.shape, place
        _same_grid(path, mask.shape, place, shape, affine)
        labels = np.zeros_like(mask) if labels is None else labels
        labels[mask > 0] = value
    assert labels is not None
    return labels, affine


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label map or mask: (labels (X, Y, Z) int32 in the order closest to RAS, affine (4, 4)); it may be empty.

    Damaged when it cannot be read.
    """
    from assistant.errors import ScanError
    from assistant.formats import ITK_SUFFIXES, read_itk, read_nifti
    from assistant.volume import NativeGrid

    try:
        if path.suffix == ".mgz":
            stored, affine = _mgz(path)
        else:
            read = read_itk if path.name.lower().endswith(ITK_SUFFIXES) else read_nifti
            scan = read(path, None)
            stored, affine = scan.voxels, scan.affine
    except (ScanError, OSError) as error:
        raise Damaged(path, f"cannot be read ({error})", "download the case again") from error
    grid = NativeGrid.of((stored.shape[0], stored.shape[1], stored.shape[2]), affine)
    return np.ascontiguousarray(grid.to_ras(np.rint(stored).astype(np.int32))), grid.ras_affine()


def _mgz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """FreeSurfer's container: no scan a user opens, only recipes read it."""
    from nibabel.freesurfer.mghformat import MGHImage

    stored = MGHImage.from_filename(path)
    return np.asarray(stored.dataobj), stored.affine


def _same_grid(
    path: Path, shape: tuple[int, ...], affine: np.ndarray, other: tuple[int, ...], where: np.ndarray
) -> None:
    fix = "download the case again, or resample one of them"
    if shape != other:
        raise Damaged(path, f"has the grid {shape}, but its image {other}", fix)
    if not np.allclose(affine, where, atol=1e-2):
        far = float(np.abs(affine - where).max())
        raise Damaged(path, f"lies elsewhere than its image: their affines differ by up to {far:.2f}", fix)


def load_record(root: Path, record: Record, image: int = 0) -> tuple[Volume, np.ndarray | None]:
    """One image of a record (the first) and its labels (X, Y, Z) int32 on the same grid, None where it has none.

    Damaged as `load_case`.
    """
    ref = record.images[image]
    label = ref.label if image else record.label
    if label is None:
        return load_image(root, ref), None
    case = Case(
        id=record.id, patient=record.patient, family=record.family, modality=ref.modality, image=root / ref.path,
        label=root / label, phrases={}, unknown=(), licence=record.licence, source="", split=record.split,
        form=record.form,
        masks={value: root / path for value, path in record.masks.items()} if image == 0 else {}, frame=ref.frame,
    )  # fmt: skip
    volume, labels, _ = load_case(case)
    assert volume is not None
    return volume, labels


def image_file(root: Path, ref: ImageRef) -> Path:
    """The file that holds a record's image: itself, or the archive that it is an array of."""
    path = root / ref.path
    return path.parent if path.parent.suffix == ".npz" else path


def load_image(root: Path, ref: ImageRef) -> Volume:
    """A record's image; Damaged when it cannot be read.

    A picture is one axial slice, its rows towards the back and its columns towards the left, and an array one volume:
    both of 1 mm voxels, for neither says how large it is.
    """
    from assistant.errors import ScanError

    path = root / ref.path
    try:
        if path.suffix.lower() in PICTURES:
            return _picture(path, ref.modality)
        if image_file(root, ref) != path:
            return _from_archive(path.parent, path.name, ref)
    except ScanError as error:
        raise Damaged(path, f"cannot be used ({error})", "download it again") from error
    return _open(path, ref.modality, ref.frame)


def _picture(path: Path, modality: str) -> Volume:
    from PIL import Image

    from assistant.volume import Volume

    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"), np.float32)
    except OSError as error:
        raise Damaged(path, f"is not a picture that can be read ({error})", "download it again") from error
    return Volume.from_array(grey.T[:, :, None], np.diag([-1.0, -1.0, 1.0, 1.0]), modality=modality, name=path.name)


def _from_archive(path: Path, name: str, ref: ImageRef) -> Volume:
    import zipfile

    from assistant.volume import Volume

    try:
        with np.load(path) as arrays:
            array = np.asarray(arrays[name][ref.frame or 0], np.float32)
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise Damaged(path, f"has no volume {ref.frame} in {name!r} ({error})", "download it again") from error
    return Volume.from_array(array, np.eye(4), modality=ref.modality, name=f"{path.name}/{name}/{ref.frame}")


def _open(path: Path, modality: str, frame: int | None = None) -> Volume:
    from assistant.errors import ScanError
    from assistant.volume import Volume

    try:
        if path.suffix == ".mgz":
            return Volume.from_array(*_mgz(path), modality=modality, name=path.name)
        return Volume.open(path, modality=modality, frame=frame)
    except (ScanError, OSError) as error:
        raise Damaged(path, f"cannot be read ({error})", "download the case again") from error


def mask_of(labels: np.ndarray, values: Iterable[int]) -> np.ndarray:
    """(X, Y, Z) bool mask of a phrase's label values."""
    members = list(values)
    return labels == members[0] if len(members) == 1 else np.isin(labels, members)
