"""A seat on disk: desk.json beside the viewer's files, written after everything that a reader would not want to lose.

    <seat's folder>/
      desk.json            the scan by reference, the log with its reports and comparisons, what is shown
      upload/              the scan, when it was uploaded
      session/             the session itself (`assistant.keeping`), saved by it
      results/             masks of reports and comparisons
      *.nii, *.nii.gz      what the viewer shows
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.desk import texts
from assistant.export import write_json
from assistant.keeping import MaskFolder, finding_of, finding_state, read_saved, reading, saved_scan, scan_reference

if TYPE_CHECKING:
    from assistant.desk.shown import Shown
    from assistant.desk.turn import Notice, Turn
    from assistant.prior import Comparison
    from assistant.report import Report
    from assistant.volume import Volume

FORMAT, FILE = "deixis-desk-1", "desk.json"
SESSION = "session"
AS_THE_FILE_SAYS = {"series": None, "frame": None, "modality": None}


def is_kept(folder: Path) -> bool:
    return (folder / FILE).is_file()


def write(seat: Shown) -> None:
    """Save what a seat shows. Raises ResourceError when it cannot be written, ScanError for a scan that is no file."""
    if seat.volume is None or seat.scan_file is None:
        return
    masks = MaskFolder(seat.folder / "results")
    write_json(
        seat.folder / FILE,
        {
            "format": FORMAT,
            "scan": scan_reference(seat.volume, AS_THE_FILE_SAYS, seat.folder.resolve()),
            "scan_file": seat.scan_file.name,
            "log": [_entry_state(entry, masks) for entry in seat.log],
            "prior": None if seat.prior_path is None else str(seat.prior_path),
            "hidden": sorted(seat.hidden),
            "points": [dataclasses.asdict(point) for point in seat.points],
            "box": seat.box,
            "selected": seat.selected,
            "focus": seat.focus and list(seat.focus[1]),
        },
    )
    masks.sweep()


def read(seat: Shown) -> Volume:
    """Put what was saved back into a seat of that folder; returns the scan, which was read again.

    Raises ScanError when the scan is gone or has changed, or the folder is damaged; the seat is as it was then.
    """
    from assistant.desk.turn import Point

    folder = seat.folder
    value = read_saved(folder, FILE, FORMAT)
    volume, _ = saved_scan(value, folder)
    with reading(folder):
        masks = MaskFolder(folder / "results")
        log = [_entry_of(state, masks, folder) for state in value["log"]]
        box = None if value["box"] is None else tuple(float(v) for v in value["box"])
        points = [Point(_three(point["mm"]), int(point["label"])) for point in value["points"]]
        focus = None if value["focus"] is None else (1, _three(value["focus"]))
        prior = None if value["prior"] is None else Path(value["prior"])
        scan_file, hidden, selected = _inside(folder, value["scan_file"]), set(value["hidden"]), str(value["selected"])
    seat.scan_file, seat.hidden, seat.selected = scan_file, hidden, selected
    seat.show_again(log)
    seat.one_way()
    seat.points, seat.box, seat.focus, seat.prior_path = points, box, focus, prior
    seat.prior_name = "" if prior is None else prior.name
    return volume


def _inside(folder: Path, name: str) -> Path:
    """One of the viewer's files."""
    path = folder / Path(name).name
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not there")
    return path


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)


# ---- the log ---------------------------------------------------------------------------------------------------------


def _entry_state(entry: Turn | Notice, masks: MaskFolder) -> dict[str, Any]:
    from assistant.desk.turn import Notice
    from assistant.report import Report

    if isinstance(entry, Notice):
        return {"notice": entry.text}
    result = entry.result
    return {
        "question": entry.question,
        "points": [dataclasses.asdict(point) for point in entry.points],
        "answer": entry.answer,
        "footnote": list(entry.footnote),
        "error": entry.error,
        "kept": entry.kept,
        "whole": entry.done or entry.kept or bool(entry.error),
        "found": [finding_state(finding, None) for finding in entry.found],
        "box": entry.box,
        "selected": entry.selected,
        "refines": entry.refines,
        "files": {mask_id: file.name for mask_id, file in entry.files.items()},
        "before": {key: [phrase, file.name] for key, (phrase, file) in entry.before.items()},
        "report": _report_state(result, masks) if isinstance(result, Report) else None,
        "comparison": None if result is None or isinstance(result, Report) else _comparison_state(result, masks),
    }


def _entry_of(state: Mapping[str, Any], masks: MaskFolder, folder: Path) -> Turn | Notice:
    from assistant.desk.turn import Notice, Point, Turn

    if "notice" in state:
        return Notice(state["notice"])
    result: Report | Comparison | None = None
    if state["report"] is not None:
        result = _report_of(state["report"], masks)
    elif state["comparison"] is not None:
        result = _comparison_of(state["comparison"], masks)
    return Turn(
        question=state["question"],
        points=tuple(Point(_three(point["mm"]), int(point["label"])) for point in state["points"]),
        answer=state["answer"],
        footnote=list(state["footnote"]),
        error=state["error"] if state["whole"] else texts.CUT_OFF,
        done=True,
        kept=state["kept"],
        found=[finding_of(finding, None) for finding in state["found"]],
        box=None if state["box"] is None else tuple(float(v) for v in state["box"]),
        selected=state["selected"],
        refines=state["refines"],
        files={str(mask_id): _inside(folder, name) for mask_id, name in state["files"].items()},
        before={str(key): (str(phrase), _inside(folder, name)) for key, (phrase, name) in state["before"].items()},
        result=result,
    )


def _report_state(report: Report, masks: MaskFolder) -> dict[str, Any]:
    return {
        "text": report.text,
        "lines": [dataclasses.asdict(line) for line in report.lines],
        "findings": [finding_state(finding, masks.put(finding.mask)) for finding in report.findings],
    }


def _report_of(state: Mapping[str, Any], masks: MaskFolder) -> Report:
    from assistant.report import Check, Line, Report
    from assistant.sentences import Sentence

    lines = tuple(
        Line(
            Sentence(**line["sentence"]),
            line["status"],
            tuple(line["masks"]),
            tuple(Check(check["verdict"], check["text"], tuple(check["masks"])) for check in line["checks"]),
        )
        for line in state["lines"]
    )
    return Report(state["text"], lines, tuple(finding_of(f, masks.get(f["mask"])) for f in state["findings"]))


def _comparison_state(comparison: Comparison, masks: MaskFolder) -> dict[str, Any]:
    alignment = comparison.alignment
    return {
        "question": comparison.question,
        "days": comparison.days,
        "alignment": {
            "matrix": alignment.matrix.tolist(),
            "information": alignment.information,
            "correlation": alignment.correlation,
            "overlap": alignment.overlap,
        },
        "changes": [
            {
                "phrase": change.phrase,
                "now": finding_state(change.now, masks.put(change.now.mask)),
                "before": finding_state(change.before, masks.put(change.before.mask)),
                "change_ml": change.change_ml,
                "change_percent": change.change_percent,
                "overlap": change.overlap,
                "carried": masks.put(change.carried),
            }
            for change in comparison.changes
        ],
    }


def _comparison_of(state: Mapping[str, Any], masks: MaskFolder) -> Comparison:
    from assistant.prior import Change, Comparison
    from assistant.registration import Alignment

    a = state["alignment"]
    changes = tuple(
        Change(
            change["phrase"],
            finding_of(change["now"], masks.get(change["now"]["mask"])),
            finding_of(change["before"], masks.get(change["before"]["mask"])),
            change["change_ml"],
            change["change_percent"],
            change["overlap"],
            masks.get(change["carried"]),
        )
        for change in state["changes"]
    )
    alignment = Alignment(np.array(a["matrix"], float), a["information"], a["correlation"], a["overlap"])
    return Comparison(state["question"], alignment, state["days"], changes)
