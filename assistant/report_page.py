"""A grounded report as files: one HTML page that needs nothing else, and the same as JSON.

    result/
      report.html      every sentence in its colour, what speaks for and against it, pictures of its masks
      report.json      the same for programs
      m1_....nii.gz, labels.nii.gz, manifest.json    as every export has them
"""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assistant.desk.files import windows
from assistant.desk.page import colour
from assistant.errors import ResourceError
from assistant.export import NOTICE, finding_facts, model_facts, scan_facts, write_json
from assistant.pictures import mask_picture

if TYPE_CHECKING:
    from assistant.report import Line, Report
    from assistant.session import Session

PAGE, FACTS = "report.html", "report.json"
WORDS = {"contradicted": "contradicted", "unsure": "cannot be sure", "agrees": "agrees", "nothing": "nothing to show"}
MARKS = {"contradicted": "✗", "unsure": "?", "agrees": "✓", "nothing": "–"}
_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: #1f2937; }
body { max-width: 920px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 28px; } small, .dim { color: #64748b; }
li { list-style: none; border-left: 4px solid #cbd5e1; padding: 4px 12px; margin: 8px 0; } ol { padding: 0; }
.contradicted { border-color: #b91c1c; background: #fef2f2; }
.unsure { border-color: #b45309; background: #fffbeb; }
.agrees { border-color: #15803d; } li ul { padding: 0; }
li ul li { border: 0; margin: 0; padding: 0 0 0 4px; font-size: 13.5px; }
li b { font-weight: 600; }
.m { display: inline-block; padding: 0 6px; border-radius: 8px; color: #000; font-size: 12.5px; }
img { max-width: 100%; border-radius: 4px; display: block; margin: 4px 0 14px; }
"""


def export_report(session: Session, report: Report, folder: str | Path) -> Path:
    """Write the page, the JSON and the session's masks into a folder; returns the page's path.

    Raises ResourceError when the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    session.export(folder)
    write_json(folder / FACTS, report_facts(session, report))
    path = folder / PAGE
    try:
        path.write_text(page_of(session, report), encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            f"cannot write {path} ({error.strerror or error}): free some space or choose another folder"
        ) from error
    return path


def report_facts(session: Session, report: Report) -> dict[str, Any]:
    """A grounded report, ready for JSON."""
    return {
        "format": "deixis-report-1",
        "notice": NOTICE,
        "summary": report.summary,
        "scan": scan_facts(session.volume),
        "model": model_facts(session.model),
        "sentences": [
            {
                "text": line.sentence.text,
                "start": line.sentence.start,
                "end": line.sentence.end,
                "kind": line.sentence.kind,
                "status": line.status,
                "masks": list(line.masks),
                "checks": [{"verdict": check.verdict, "text": check.text} for check in line.checks],
            }
            for line in report.lines
        ],
        "findings": [finding_facts(finding) for finding in report.findings],
    }


def page_of(session: Session, report: Report) -> str:
    """The whole HTML page, pictures included."""
    volume = session.volume
    masks = {f.id: volume.from_native(f.mask) for f in report.findings if f.mask is not None}
    colours = {mask_id: colour(mask_id) for mask_id in masks}
    black, white = cast("list[float]", windows(volume)[0]["range"])
    phrases = {finding.id: finding.phrase for finding in report.findings}
    pictures = []
    for mask_id in masks:
        data = base64.b64encode(mask_picture(volume, masks, mask_id, (black, white), colours)).decode()
        title = f"{html.escape(mask_id)} {html.escape(phrases[mask_id])}"
        pictures.append(
            f'<h2 id="{mask_id}">{_chip(mask_id)} {html.escape(phrases[mask_id])}</h2>'
            f'<img alt="{title}: axial, coronal and sagittal plane" src="data:image/png;base64,{data}">'
        )
    lines = "".join(_line(line) for line in report.lines)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Grounded report</title>'
        f"<style>{_STYLE}</style></head><body><h1>Report, grounded in {html.escape(volume.name)}</h1>"
        f"<p>{html.escape(report.summary)}</p><ol>{lines}</ol>{''.join(pictures)}"
        f"<p><small>{html.escape(NOTICE)} Measured on masks: check the masks. The patient's right is on the left of "
        "each picture.</small></p></body></html>\n"
    )


def _line(line: Line) -> str:
    chips = " ".join(_chip(mask_id) for mask_id in line.masks)
    head = f"{MARKS[line.status]} {html.escape(line.sentence.text)} {chips} <small>{WORDS[line.status]}</small>"
    if line.status == "nothing":
        why = "".join(html.escape(check.text) for check in line.checks)
        return f'<li class="nothing dim">{head}<small>: {why}</small></li>'
    checks = "".join(
        f"<li>{'<b>' if check.verdict == 'contradicted' else ''}{MARKS[check.verdict]} {html.escape(check.text)}"
        f"{'</b>' if check.verdict == 'contradicted' else ''}</li>"
        for check in line.checks
    )
    return f'<li class="{line.status}">{head}<ul>{checks}</ul></li>'


def _chip(mask_id: str) -> str:
    return f'<a class="m" href="#{mask_id}" style="background:{colour(mask_id)}">{mask_id}</a>'
