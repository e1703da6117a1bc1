"""A session as files: one NIfTI a mask, one label map, one JSON manifest that says how each was made.

    result/
      m1_left_hippocampus.nii.gz     uint8 0/1, the scan's own shape and affine
      m2_right_hippocampus.nii.gz
      m1_uncertainty.nii.gz          float32 entropy in bits, 0 to 1 (where it was asked for)
      labels.nii.gz                  1 = m1, 2 = m2, ...; where masks overlap the later one wins
      measurements.csv               one line a mask
      summary.html                   what was asked, answered and measured, with pictures, in one page
      manifest.json                  scan, model hashes, versions, every question with its points and seed, measurements
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import QuestionError, ResourceError
from assistant.table import as_csv
from assistant.volume import Volume, save_label_map, save_map, save_mask

if TYPE_CHECKING:
    from assistant.generate import Finding
    from assistant.model import DeixisModel
    from assistant.session import Session

MANIFEST = "manifest.json"
LABEL_MAP = "labels.nii.gz"
TABLE = "measurements.csv"
NOTICE = "Research use only. Not a medical device: not for diagnosis or treatment."


def export_session(session: Session, folder: str | Path, *, uncertainty: bool = False) -> Path:
    """Write the session's masks and manifest; returns the manifest's path. The folder is made; same names are replaced.

    Raises QuestionError when nothing has been asked, ResourceError when the folder cannot be written.
    """
    from assistant.checkpoint import versions  # here: `deixis info` uses this file and must not wait for torch
    from assistant.summary_page import export_summary

    if not session.turns:
        raise QuestionError("there is nothing to export: ask a question first")
    folder = Path(folder).expanduser()
    last = {finding.id: finding for finding in session.chat.findings if finding.mask is not None}
    present = list(last.values())
    masks = {finding.id: finding.mask for finding in present if finding.mask is not None}
    files = {finding.id: f"{finding.id}_{file_stem(finding.phrase)}.nii.gz" for finding in present}
    for mask_id, mask in masks.items():
        save_mask(session.volume, mask, folder / files[mask_id])
    maps = _uncertainty_maps(session, present, folder) if uncertainty else {}
    if masks:
        save_label_map(session.volume, {label(mask_id): mask for mask_id, mask in masks.items()}, folder / LABEL_MAP)
    manifest = {
        "format": "deixis-export-1",
        "notice": NOTICE,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "coordinates": "RAS+ millimetres",
        "scan": scan_facts(session.volume),
        "model": model_facts(session.model),
        "software": versions(),
        "label_map": LABEL_MAP if masks else None,
        "masks": [
            {
                **finding_facts(finding), "label": label(finding.id), "file": files[finding.id],
                "uncertainty_file": maps.get(finding.id),
            }
            for finding in present
        ],
        "turns": [
            {
                "question": turn.question.text,
                "points_mm": [list(point) for point in turn.question.points],
                "box_mm": None if turn.question.box is None else list(turn.question.box),
                "mask_id": turn.question.mask_id,
                "selected": turn.question.selected or None,
                "refines": turn.question.refines or None,
                "region_question": turn.question.region,
                "temperature": turn.question.temperature,
                "seed": turn.question.seed,
                "reply": turn.reply.text,
                "corrections": list(turn.reply.corrections),
                "findings": [finding_facts(finding) for finding in turn.reply.findings],
                "timings": dict(turn.reply.timings),
            }
            for turn in session.turns
        ],
    }
    path = write_json(folder / MANIFEST, manifest)
    _write_table(folder / TABLE, present)
    export_summary(session, folder)
    return path


def _write_table(path: Path, present: Sequence[Finding]) -> None:
    try:
        path.write_text(as_csv(map(finding_facts, present)), encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            f"cannot write {path} ({error.strerror or error}): free some space or choose another folder"
        ) from error


def _uncertainty_maps(session: Session, present: Sequence[Finding], folder: Path) -> dict[str, str]:
    """Write the entropy of each mask that can be drawn again, by its name alone; {mask id: file name}."""
    taught = session.model.segmenter.config.taught_names
    files = {f.id: f"{f.id}_uncertainty.nii.gz" for f in present if f.phrase in taught}
    for name, seen in zip(files.values(), session.uncertainties(list(files)), strict=True):
        save_map(session.volume, session.volume.from_native(seen.entropy), folder / name)
    return files


def finding_facts(finding: Finding) -> dict[str, Any]:
    """A finding without its mask, ready for JSON. What an absent target has not got is null."""
    return {
        "id": finding.id,
        "phrase": finding.phrase,
        "present": finding.present,
        "presence": finding.presence,
        "taught": finding.taught,
        "quality": finding.quality,
        "volume_ml": finding.volume_ml,
        "longest_diameter_mm": finding.longest_diameter_mm,
        "mean_intensity": finding.mean_intensity,
        "intensity_unit": finding.intensity_unit,
        "made": finding.made or None,
        "version": finding.version,
        "centroid_mm": None if finding.centroid_mm is None else [float(value) for value in finding.centroid_mm],
    }


def scan_facts(volume: Volume) -> dict[str, Any]:
    """What a scan is and where it came from, ready for JSON."""
    return {
        "name": volume.name,
        "path": volume.path,
        "sha256": volume.sha256,
        "modality": volume.modality,
        "modality_source": volume.modality_source,
        "intensity_unit": volume.intensity_unit,
        "shape": [int(length) for length in volume.native.shape],
        "affine": volume.native.affine.tolist(),
        "orientation": orientation(volume),
        "spacing_mm": [float(value) for value in volume.spacing],
        "extent_mm": [float(value) for value in volume.extent_mm],
        "notes": list(volume.notes),
    }


def orientation(volume: Volume) -> str:
    """The directions in which the file's own axes run, such as "LPS" (nearest letters for an oblique scan)."""
    letters = ["", "", ""]
    for world, (stored, flip) in enumerate(zip(volume.native.order, volume.native.flips, strict=True)):
        letters[stored] = "RAS"[world] if not flip else "LPI"[world]
    return "".join(letters)


def model_facts(model: DeixisModel) -> dict[str, Any]:
    """Which weights answered, ready for JSON. sha256: of the base and everything trained; null when untrained."""
    return {
        "sha256": None if model.manifest is None else model.manifest.sha256,
        "base": {"name": model.base.name, "sha256": model.base.sha256},
        "seeds": {} if model.manifest is None else dict(model.manifest.seeds),
        "device": str(model.device),
        "dtype": str(model.language_model.dtype).removeprefix("torch."),
    }


def label(mask_id: str) -> int:
    """The value of a mask in the label map: the number in its id (m3 -> 3)."""
    return int(mask_id.removeprefix("m"))


def file_stem(phrase: str) -> str:
    """A phrase as part of a file name: lower case letters and digits of any script, joined by underscores."""
    return re.sub(r"[\W_]+", "_", phrase.lower()).strip("_")[:60] or "mask"


def write_json(path: Path, value: dict[str, Any]) -> Path:
    """Write beside the target and rename, so that a full disk leaves no half file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ResourceError(
            f"cannot write {path} ({error.strerror or error}): free some space or choose another folder"
        ) from error
    return path
