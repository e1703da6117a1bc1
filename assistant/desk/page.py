"""What the page shows of a seat: the viewer's wishes as JSON, the findings table, the chat, the points. Text -> HTML.

Everything that came from a file or a model is escaped here, and only here.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.desk import texts
from assistant.desk.seat import Notice, Point, Seat, Turn
from assistant.evidence import format_mean, format_ml, format_mm
from assistant.margin import LOW_PRESENCE, LOW_QUALITY

if TYPE_CHECKING:
    from assistant.generate import Finding
    from assistant.volume import Volume

# Okabe and Ito's palette (distinct for all common kinds of colour blindness), reordered so that the first ones stand
# out on grey, then Paul Tol's "light" one. Sources: Okabe & Ito, Color Universal Design, 2008; Tol, SRON/EPS/TN/09-002.
PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2",
    "#EE8866", "#99DDFF", "#BBCC33", "#FFAABB", "#44BB99", "#EEDD88", "#77AADD", "#AAAA00",
)  # fmt: skip

BEFORE = "#FF5FD2"  # masks of an earlier scan, carried to this one


def colour(mask_id: str) -> str:
    """The colour of a mask, by the number in its id: m1 always has the first."""
    number = int(re.sub(r"\D", "", mask_id) or 1)
    return PALETTE[(number - 1) % len(PALETTE)]


def _rgb(hexadecimal: str) -> list[int]:
    return [int(hexadecimal[k : k + 2], 16) for k in (1, 3, 5)]


def file_url(path: Path) -> str:
    """Relative, so that it holds behind a proxy with a prefix."""
    return f"gradio_api/file={path.as_posix()}"


def viewer_state(seat: Seat) -> str:
    """What the viewer shall show, as viewer.js reads it."""
    if seat.volume is None or seat.scan_file is None:
        return json.dumps({"scan": None})
    phrases = {finding.id: finding.phrase for finding in seat.findings}
    # An overlay file is there a moment before its finding is listed; it is shown with the next look.
    overlays = [
        {
            "id": mask_id, "phrase": phrases[mask_id], "url": file_url(path), "file": path.name,
            "rgb": _rgb(colour(mask_id)), "visible": mask_id not in seat.hidden,
        }
        for mask_id, path in list(seat.overlay_files.items()) if mask_id in phrases
    ]  # fmt: skip
    overlays += [
        {
            "id": mask_id, "phrase": f"{phrase}, before", "url": file_url(path), "file": path.name, "rgb": _rgb(BEFORE),
            "visible": True,
        }
        for mask_id, (phrase, path) in seat.prior_overlays.items()
    ]  # fmt: skip
    return json.dumps({
        "scan": {
            "url": file_url(seat.scan_file), "file": seat.scan_file.name, "window": seat.windows[0]["range"],
            "windows": seat.windows, "unit": seat.volume.intensity_unit,
            "centre": [float(v) for v in seat.volume.centre_mm],
        },
        "overlays": overlays,
        "points": [{"mm": point.mm, "label": point.label} for point in seat.points],
        "focus": {"n": seat.focus[0], "mm": seat.focus[1]} if seat.focus else None,
    })  # fmt: skip


def chip(mask_id: str, text: str | None = None) -> str:
    """A mask's id in its colour; an earlier scan's ("p1") in theirs."""
    shade = BEFORE if mask_id.startswith("p") else colour(mask_id)
    return f'<span class="dx-chip" style="--dx:{shade}">{html.escape(text or mask_id)}</span>'


def look_chip(mask_id: str) -> str:
    """A chip that takes the viewer's crosshair to its mask."""
    return f'<button data-look="{mask_id}" title="show it in the viewer">{chip(mask_id)}</button>'


def signed(value: float) -> str:
    return f"{0.0 if abs(value) < 0.05 else value:.1f}".replace("-", "−")


def scan_line(volume: Volume | None) -> str:
    """Name, modality, size and notes of the open scan, for the head of the page."""
    if volume is None:
        return f'<span class="dx-dim">{texts.NO_SCAN}</span>'
    shape = " × ".join(str(n) for n in volume.shape)
    spacing = " × ".join(f"{v:.2f}".rstrip("0").rstrip(".") for v in volume.spacing)
    how = "" if volume.modality_source == "header" else f" ({html.escape(volume.modality_source)})"
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in volume.notes)
    more = f'<details class="dx-notes"><summary>{len(volume.notes)} notes</summary><ul>{notes}</ul></details>'
    if len(volume.notes) == 1:
        more = more.replace("1 notes", "1 note")
    return (
        f"<b>{html.escape(Path(volume.name).name)}</b><span>{html.escape(volume.modality)}{how}</span>"
        f"<span>{shape} voxels</span><span>{spacing} mm</span>{more if notes else ''}"
    )


def _doubtful(value: float | None, limit: float, what: str) -> str:
    if value is None:
        return "<td></td>"
    if value >= limit:
        return f"<td>{value:.2f}</td>"
    return f'<td class="dx-doubt" title="low {what}: look at the mask">▲ {value:.2f}</td>'


def findings_table(seat: Seat) -> str:
    """One row a finding: show/hide, colour, id, phrase, measurements, presence, quality; absent targets below."""
    rows = []
    for finding in seat.findings:
        phrase = html.escape(finding.phrase)
        if finding.id not in seat.overlay_files:
            rows.append(
                f'<tr class="dx-absent"><td></td><td></td><td>{phrase}</td>'
                + (
                    '<td colspan="5">never taught: it may be there</td></tr>'
                    if not finding.taught
                    else f'<td colspan="3">not found</td><td>{finding.presence:.2f}</td><td></td></tr>'
                )
            )
            continue
        shown = finding.id not in seat.hidden
        ml, mm, mean = (
            "" if value is None else form(value).replace("-", "−")
            for form, value in (
                (format_ml, finding.volume_ml), (format_mm, finding.longest_diameter_mm),
                (format_mean, finding.mean_intensity),
            )
        )  # fmt: skip
        rows.append(
            f'<tr data-id="{finding.id}"{"" if shown else " class=dx-hidden"}>'
            f'<td><input type="checkbox" data-toggle="{finding.id}"{" checked" if shown else ""} '
            f'aria-label="show {finding.id} {phrase}"></td>'
            f'<td>{chip(finding.id)}</td><td><button data-look="{finding.id}" title="show it in the viewer">{phrase}'
            f"</button></td><td>{ml}</td>"
            f"<td>{mm}</td><td>{mean} {html.escape(finding.intensity_unit)}</td>"
            + _doubtful(finding.presence, LOW_PRESENCE, "presence")
            + _doubtful(finding.quality, LOW_QUALITY, "quality")
            + "</tr>"
        )
    every = bool(seat.overlay_files) and not seat.hidden
    body = "".join(rows) or '<tr><td colspan="8" class="dx-none">No findings yet. Ask about a structure.</td></tr>'
    return (
        f'<table class="dx-findings"><thead><tr><th><input type="checkbox" data-toggle="*" aria-label="show all masks"'
        f'{" checked" if every else ""}{"" if seat.overlay_files else " disabled"}></th><th>Id</th><th>Structure</th>'
        '<th title="measured, millilitres">Volume<i>mL</i></th><th title="measured">Longest<i>mm</i></th>'
        '<th title="mean intensity inside the mask">Mean</th><th title="how sure that it is there at all, 0 to 1">'
        'Presence</th><th title="estimated overlap with the true outline, 0 to 1">Quality</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def points_line(points: Sequence[Point]) -> str:
    """The clicks that go with the next question, each with its sign and a cross to drop it."""
    if not points:
        return ""
    chips = "".join(
        f'<span class="dx-point {"dx-plus" if p.label else "dx-minus"}">{"+" if p.label else "−"} '
        f'{", ".join(signed(v) for v in p.mm)}<button data-drop="{n}" aria-label="remove this point">×</button></span>'
        for n, p in enumerate(points)
    )
    return f'<div class="dx-points"><span class="dx-dim">With the next question (RAS mm):</span>{chips}</div>'


def _rich(text: str) -> str:
    """Model or user text as safe HTML for a Markdown renderer: marks of either language become plain text."""
    plain = re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", html.escape(text, quote=False))
    plain = re.sub(r"^(\s*)([-+>]|\d+\.)(?=\s)", r"\1\\\2", plain, flags=re.MULTILINE)
    return plain.replace("\n", "<br>")


def answer_html(turn: Turn) -> str:
    parts = []
    if turn.answer:
        parts.append(re.sub(r"\bm\d+\b", lambda match: chip(match.group()), _rich(turn.answer)))
    elif not turn.error:
        waits = f'<span class="dx-dim">{texts.IN_LINE.format(ahead=turn.ahead)}</span>' if turn.ahead else "…"
        parts.append(waits if not turn.done else "(no words)")
    if turn.error:
        parts.append(f'<span class="dx-error">⚠ {_rich(turn.error)}</span>')
    if turn.footnote:
        parts.append(f'<span class="dx-foot">{_rich(" · ".join(turn.footnote))}</span>')
    return "<br>".join(parts)


def chat(log: Sequence[Turn | Notice]) -> list[dict[str, str]]:
    """The seat's log as chat messages."""
    messages = []
    for entry in log:
        if isinstance(entry, Notice):
            messages.append({"role": "assistant", "content": f'<span class="dx-error">⚠ {_rich(entry.text)}</span>'})
            continue
        points = "".join(
            f'<span class="dx-point {"dx-plus" if p.label else "dx-minus"}">{"+" if p.label else "−"} '
            f'{", ".join(signed(v) for v in p.mm)}</span>'
            for p in entry.points
        )
        messages.append({"role": "user", "content": _rich(entry.question) + (f"<br>{points}" if points else "")})
        messages.append({"role": "assistant", "content": answer_html(entry)})
    return messages


def centroid_of(findings: Sequence[Finding], mask_id: str) -> tuple[float, float, float] | None:
    return next((f.centroid_mm for f in findings if f.id == mask_id), None)
