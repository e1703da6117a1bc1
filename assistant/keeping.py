"""A session on disk: saved after any turn, restored after a crash.

    folder/
      session.json           the scan by reference, the model's hash, everything that was said, found and measured
      masks/<digest>.npz     one file a mask, its bits packed; named by what is in it, so a save writes new masks only

The scan itself is not copied: its path is kept with the SHA-256 of its voxels, and a scan that has changed or is gone
is refused. session.json is written last and replaced in one step, so a save that is cut off leaves the last one whole.
What can be computed again (encoded tiles, the language model's cache) is not kept, nor are ways that were left and
what was taken back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import ResourceError, ScanError
from assistant.export import model_facts, write_json

if TYPE_CHECKING:
    from assistant.findings import Drawn, Finding
    from assistant.generate import ChatState
    from assistant.session import Session
    from assistant.volume import Volume

FORMAT, FILE = "deixis-session-1", "session.json"

log = logging.getLogger("deixis.session")


class MaskFolder:
    """Masks as files, each named by its own content; the same mask is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.named: set[str] = set()  # what was put since this object was made

    def put(self, mask: np.ndarray | None) -> str | None:
        """Write a bool array of any shape; returns its name. ResourceError when it cannot be written."""
        if mask is None:
            return None
        bits = np.packbits(mask)
        name = hashlib.sha256(repr(mask.shape).encode() + bits.tobytes()).hexdigest()[:32]
        self.named.add(name)
        path = self.folder / f"{name}.npz"
        if path.is_file():
            return name
        part = self.folder / f".{uuid.uuid4().hex}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                np.savez_compressed(part, bits=bits, shape=mask.shape)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(
                f"cannot write {path} ({error.strerror or error}): free some space or choose another folder"
            ) from error
        return name

    def get(self, name: str | None) -> np.ndarray | None:
        """The mask of that name, bool; None for None. Raises what `reading` turns into a ScanError."""
        if name is None:
            return None
        if not name.isalnum():
            raise ValueError(f"{name!r} is no mask's name")
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as file:
            shape = tuple(int(n) for n in file["shape"])
            return np.unpackbits(file["bits"], count=int(np.prod(shape))).astype(bool).reshape(shape)

    def sweep(self) -> None:
        """Delete the masks that were not put since this object was made."""
        for file in self.folder.glob("*.npz"):
            if file.stem not in self.named:
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """What is damaged in a saved session is one sentence."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ScanError(
            f"the session saved in {folder} is damaged ({type(error).__name__}: {error}): "
            "restore another copy of that folder, or open the scan anew"
        ) from error


# ---- saving ----------------------------------------------------------------------------------------------------------


def save_session(session: Session, folder: str | Path) -> Path:
    """Write a session into a folder, over its last save there; returns session.json's path.

    Raises ScanError for a scan that was never a file, ResourceError when the folder cannot be written.
    """
    folder = Path(folder).expanduser().resolve()
    masks = MaskFolder(folder / "masks")
    last = session.chat.state
    states = [*last.earlier, last]
    notes, drawn = _Table(_note_state), _Table(lambda one: _drawn_state(one, masks))
    found = [finding_state(finding, masks.put(finding.mask)) for finding in session.chat.findings]
    name_of = {(state["id"], state["version"]): state["mask"] for state in found if state["mask"] is not None}
    value = {
        "format": FORMAT,
        "scan": scan_reference(session.volume, session.reading, folder),
        "model": model_facts(session.model),
        "found": found,
        "messages": [dataclasses.asdict(message) for message in last.messages],
        "regions": [_numbers(region) for region in last.regions],
        "states": [_chat_state(state, notes, drawn) for state in states],
        "notes": notes.rows,
        "drawn": drawn.rows,
        "turns": [
            {
                "question": dataclasses.asdict(turn.question),
                "text": turn.reply.text,
                "timings": dict(turn.reply.timings),
                "corrections": list(turn.reply.corrections),
                "stopped": turn.reply.stopped,
                "findings": [finding_state(f, name_of.get((f.id, f.version))) for f in turn.reply.findings],
            }
            for turn in session.turns
        ],
    }
    path = write_json(folder / FILE, value)
    masks.sweep()  # after session.json: whatever it names is there at any moment
    return path


def scan_reference(volume: Volume, how: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Where a scan is (relative when inside the folder that refers to it), its hash, and how it was read."""
    if volume.path is None:
        raise ScanError(f"{volume.name} was never a file, so a session about it cannot be saved: open it from a file")
    path = Path(volume.path).expanduser().resolve()
    inside = path.is_relative_to(folder)
    return {
        "path": str(path.relative_to(folder) if inside else path),
        "sha256": volume.sha256,
        "name": volume.name,
        "reading": dict(how),
    }


def finding_state(finding: Finding, mask: str | None) -> dict[str, Any]:
    """A finding with its mask by name, ready for JSON."""
    fields = {field.name: getattr(finding, field.name) for field in dataclasses.fields(finding)}
    return fields | {"mask": mask}


class _Table:
    """Objects that several states share, each written once; they are told apart by identity."""

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.rows: list[Any] = []
        self._write = write
        self._place: dict[int, int] = {}
        self._kept: list[Any] = []  # an object that is gone could lend its identity to another

    def place(self, one: Any) -> int:
        if id(one) not in self._place:
            self._place[id(one)] = len(self.rows)
            self.rows.append(self._write(one))
            self._kept.append(one)
        return self._place[id(one)]


def _chat_state(state: ChatState, notes: _Table, drawn: _Table) -> dict[str, Any]:
    """How much there was of everything, and what masks were known by."""
    found = state.findings
    return {
        "messages": len(state.messages),
        "regions": len(state.regions),
        "found": 0 if found is None else len(found.found),
        "notes": {} if found is None else {mask_id: notes.place(one) for mask_id, one in found.notes.items()},
        "drawn": {} if found is None else {mask_id: drawn.place(one) for mask_id, one in found.drawn.items()},
    }


def _drawn_state(drawn: Drawn, masks: MaskFolder) -> dict[str, Any]:
    prompt = drawn.prompt
    return {
        "state": [_numbers(row) for row in drawn.state],
        "boxes": [box.tolist() for box in drawn.boxes],
        "prompt": None if prompt is None else {
            "points_mm": prompt.points_mm.tolist(),
            "labels": prompt.labels.tolist(),
            "box_mm": None if prompt.box_mm is None else prompt.box_mm.tolist(),
            "mask": masks.put(prompt.mask),
        },
    }  # fmt: skip


def _drawn_of(state: Mapping[str, Any], masks: MaskFolder) -> Drawn:
    from assistant.findings import Drawn
    from assistant.prompt_encoder import Prompt

    said = state["prompt"]
    prompt = None if said is None else Prompt(
        np.array(said["points_mm"], float).reshape(-1, 3),
        np.array(said["labels"], int),
        None if said["box_mm"] is None else np.array(said["box_mm"], float),
        masks.get(said["mask"]),
    )  # fmt: skip
    return Drawn(_tensor(state["state"]), prompt, tuple(np.array(box, float) for box in state["boxes"]))


def _numbers(values: Any) -> list[float]:
    return [float(v) for v in values.float().cpu()]


def _note_state(note: Any) -> dict[str, Any]:
    return {
        "id": note.id,
        "phrase": note.phrase,
        "presence": note.presence,
        "quality": note.quality,
        "measurement": None if note.measurement is None else dataclasses.asdict(note.measurement),
    }


# ---- restoring -------------------------------------------------------------------------------------------------------


def read_saved(folder: str | Path, file: str = FILE, form: str = FORMAT) -> dict[str, Any]:
    """What a saved session's JSON says. ScanError when there is none, or of another format."""
    folder = Path(folder).expanduser()
    path = folder / file
    if not path.is_file():
        raise ScanError(f"{folder} holds no saved session ({file} is not there): give the folder it was saved in")
    with reading(folder):
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != form:
            raise ScanError(
                f"{path} is of the format {value['format']!r} and this program reads {form!r}: "
                "open it with the version it was saved with"
            )
        return value


def saved_scan(
    value: Mapping[str, Any], folder: str | Path, scan: str | Path | None = None
) -> tuple[Volume, dict[str, Any]]:
    """The scan that `read_saved` refers to, the same to the voxel, from its path or from where it lies now (`scan`);
    and how it was read.

    Raises ScanError when it is gone or has changed.
    """
    from assistant.volume import open_volume

    folder = Path(folder).expanduser()
    with reading(folder):
        reference = value["scan"]
        path = folder / reference["path"] if scan is None else Path(scan).expanduser()
        digest = str(reference["sha256"])
        how = {key: reference["reading"][key] for key in ("series", "frame", "modality")}
    if not path.exists():
        raise ScanError(
            f"the scan of this session, {path}, is gone: put it back, or say where it lies now "
            "(Session.restore(folder, scan=...), deixis chat --resume FOLDER SCAN)"
        )
    volume = open_volume(path, series=how["series"], frame=how["frame"], modality=how["modality"])
    if volume.sha256 != digest:
        raise ScanError(
            f"{path} is not the scan of this session any more (its SHA-256 is {volume.sha256[:12]}…, it was "
            f"{digest[:12]}…): give the unchanged file, or open this one anew"
        )
    return volume, how


def recall(session: Session, folder: str | Path) -> None:
    """Put a saved conversation into a session of the same scan, in place of its own.

    Raises ScanError for a damaged folder or one of another scan; the session is as it was then.
    """
    from assistant.conversation import Message
    from assistant.findings import FindingsState
    from assistant.generate import ChatState
    from assistant.question import Question
    from assistant.session import Reply, Turn

    folder = Path(folder).expanduser()
    value = read_saved(folder)
    with reading(folder):
        if value["scan"]["sha256"] != session.volume.sha256:
            raise ScanError(f"the session saved in {folder} is about {value['scan']['name']}: open that scan for it")
        masks = MaskFolder(folder / "masks")
        kept = {state["mask"]: masks.get(state["mask"]) for state in value["found"]}
        for mask in kept.values():
            if mask is not None:
                session.volume.check_mask(mask)
                mask.flags.writeable = False

        def finding(state: Mapping[str, Any], *, native: bool) -> Finding:
            mask = kept[state["mask"]] if state["mask"] is not None else None
            return finding_of(state, session.volume.native.from_ras(mask) if native and mask is not None else mask)

        messages = tuple(Message(**message) for message in value["messages"])
        regions = tuple(_tensor(region) for region in value["regions"])
        found = tuple(finding(state, native=False) for state in value["found"])
        notes = [_note_of(state) for state in value["notes"]]
        drawn = [_drawn_of(state, masks) for state in value["drawn"]]
        states: list[ChatState] = []
        for state in value["states"]:
            known = FindingsState(
                found[: state["found"]], {mask_id: notes[n] for mask_id, n in state["notes"].items()},
                {mask_id: drawn[n] for mask_id, n in state["drawn"].items()},
            )  # fmt: skip
            states.append(
                ChatState(messages[: state["messages"]], regions[: state["regions"]], known, tuple(states))
            )
        turns = [
            Turn(
                Question(**_tuples(turn["question"])),
                Reply(
                    turn["text"], tuple(finding(f, native=True) for f in turn["findings"]), turn["timings"],
                    tuple(turn["corrections"]), turn["stopped"],
                ),
            )
            for turn in value["turns"]
        ]  # fmt: skip
        if len(states) != len(turns) + 1:
            raise ValueError(f"{len(turns)} turns and {len(states)} states")
    session.take_up(turns, states)
    saved_by, now = value["model"].get("sha256"), model_facts(session.model)["sha256"]
    if saved_by != now:
        log.warning("the session in %s was saved with another model (%s); this one goes on with it", folder, saved_by)


def finding_of(state: Mapping[str, Any], mask: np.ndarray | None) -> Finding:
    """The inverse of `finding_state`."""
    from assistant.findings import Finding

    return Finding(**(_tuples(state) | {"mask": mask}))


def _note_of(state: Mapping[str, Any]) -> Any:
    from assistant.evidence import Measurement, Note

    measured = state["measurement"]
    measurement = None if measured is None else Measurement(**_tuples(measured))
    return Note(state["id"], state["phrase"], state["presence"], state["quality"], measurement)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    if isinstance(value, Mapping):
        return {key: _tuples(one) for key, one in value.items()}
    return value


def _tensor(values: Any) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float32)


def link_or_copy(source: Path, target: Path) -> Path:
    """The same file under another name, without its bytes a second time where the disk allows. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
    return target
