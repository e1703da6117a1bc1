"""A grounded report as files: one HTML page that needs nothing else, and the same as JSON.

    result/
      report.html      every sentence in its colour, what speaks for and against it, pictures of its masks
      report.json      the same for programs
      m1_....nii.gz, labels.nii.gz, manifest.json    as every export has them
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.export import NOTICE, finding_facts, model_facts, scan_facts, write_json
from assistant.html_page import document, link_chip, mask_figures, write_page

if TYPE_CHECKING:
    from assistant.report import Line, Report
    from assistant.session import Session

PAGE, FACTS = "report.html", "report.json"
WORDS = {"contradicted": "contradicted", "unsure": "cannot be sure", "agrees": "agrees", "nothing": "nothing to show"}
MARKS = {"contradicted": "✗", "unsure": "?", "agrees": "✓", "nothing": "–"}


def export_report(session: Session, report: Report, folder: str | Path) -> Path:
    """Write the page, the JSON and the session's masks into a folder; returns the page's path.

    Raises ResourceError when the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    session.export(folder)
    write_json(folder / FACTS, report_facts(session, report))
    return write_page(folder / PAGE, page_of(session, report))


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
    phrases = {finding.id: finding.phrase for finding in report.findings}
    lines = "".join(_line(line) for line in report.lines)
    body = f"<p>{html.escape(report.summary)}</p><ol>{lines}</ol>{mask_figures(volume, masks, phrases)}"
    return document("Grounded report", f"Report, grounded in {volume.name}", body)


def _line(line: Line) -> str:
    chips = " ".join(link_chip(mask_id) for mask_id in line.masks)
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
