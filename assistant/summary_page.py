"""A session as one HTML page: what was asked and answered, what was measured, a picture of every mask."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.evidence import format_mean, format_ml, format_mm, format_probability
from assistant.html_page import document, link_chip, mask_figures, write_page

if TYPE_CHECKING:
    from assistant.findings import Finding
    from assistant.session import Session

PAGE = "summary.html"


def export_summary(session: Session, folder: Path) -> Path:
    """Write the page into a folder that is there; returns its path. ResourceError when it cannot be written."""
    return write_page(folder / PAGE, page_of(session))


def page_of(session: Session) -> str:
    """The whole page, pictures included."""
    volume = session.volume
    findings = [finding for finding in session.chat.findings if finding.present and finding.mask is not None]
    masks = {finding.id: finding.mask for finding in findings if finding.mask is not None}
    shape = " × ".join(str(n) for n in volume.native.shape)
    spacing = " × ".join(f"{value:.3g}" for value in volume.spacing)
    notes = "".join(f"<br>{html.escape(note)}" for note in volume.notes)
    asked = "".join(
        f"<li><b>{html.escape(turn.question.text)}</b>{html.escape(_pointed(turn.question))}<br>"
        f"{html.escape(turn.reply.text).replace(chr(10), '<br>')}"
        + "".join(f"<br><small>{html.escape(correction)}</small>" for correction in turn.reply.corrections)
        + "</li>"
        for turn in session.turns
    )
    absent = {f.phrase: f for turn in session.turns for f in turn.reply.findings if not f.present}
    rows = "".join(map(_row, [*findings, *absent.values()]))
    table = (
        "<table><thead><tr><th></th><th>Structure</th><th class=n>Volume, mL</th><th class=n>Longest, mm</th>"
        "<th class=n>Mean</th><th class=n>Presence</th><th class=n>Quality</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    body = (
        f'<p class="dim">{html.escape(volume.modality)} ({html.escape(volume.modality_source)}), {shape} voxels, '
        f"{spacing} mm, SHA-256 {volume.sha256[:16]}…{notes}</p>"
        f"<h2>Measured</h2>{table if rows else '<p>No structure was looked for.</p>'}"
        f"<h2>Asked</h2><ol>{asked}</ol>"
        + mask_figures(volume, masks, {finding.id: finding.phrase for finding in findings})
    )
    return document("Deixis: summary", volume.name, body)


def _pointed(question: object) -> str:
    from assistant.question import Question

    assert isinstance(question, Question)
    places = [f" at ({', '.join(f'{v:.1f}' for v in point[:3])}) mm" for point in question.points]
    return "".join(places) + (f" in {question.mask_id}" if question.mask_id else "")


def _row(finding: Finding) -> str:
    name = html.escape(finding.phrase)
    if not finding.present:
        why = f"not found, presence {format_probability(finding.presence)}" if finding.taught else "never taught"
        return f'<tr class="dim"><td></td><td>{name}</td><td colspan="5">{why}</td></tr>'
    numbers = (
        None if finding.volume_ml is None else format_ml(finding.volume_ml),
        None if finding.longest_diameter_mm is None else format_mm(finding.longest_diameter_mm),
        None if finding.mean_intensity is None
        else f"{format_mean(finding.mean_intensity)} {html.escape(finding.intensity_unit)}".rstrip(),
        format_probability(finding.presence),
        None if finding.quality is None else format_probability(finding.quality),
    )  # fmt: skip
    cells = "".join(f'<td class="n">{number or ""}</td>' for number in numbers)
    return f"<tr><td>{link_chip(finding.id)}</td><td>{name}</td>{cells}</tr>"
