"""What the page shows of a seat: the viewer's wishes as JSON, the findings table, the chat, the points. Text -> HTML.

Everything that came from a file or a model is escaped here, and only here.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.desk import chips, linked, texts
from assistant.desk.display import display_grid
from assistant.desk.files import surface_file
from assistant.desk.seat import Seat
from assistant.desk.turn import Notice, Turn
from assistant.evidence import format_mean, format_ml, format_mm
from assistant.margin import LOW_PRESENCE, LOW_QUALITY

if TYPE_CHECKING:
    from assistant.generate import Finding
    from assistant.history import History
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
            "surface": file_url(surface_file(path)), "rgb": _rgb(colour(mask_id)),
            "visible": mask_id not in seat.hidden, "centre": centroid_of(seat.findings, mask_id),
        }
        for mask_id, path in list(seat.overlay_files.items()) if mask_id in phrases
    ]  # fmt: skip
    overlays += [
        {
            "id": mask_id, "phrase": texts.CHANGES["of_before"].format(name=phrase), "url": file_url(path),
            "file": path.name, "rgb": _rgb(BEFORE), "surface": file_url(surface_file(path)), "visible": True,
        }
        for mask_id, (phrase, path) in seat.prior_overlays.items()
    ]  # fmt: skip
    grid, doubt, exact = display_grid(seat.volume), seat.doubt, seat.exact
    earlier = linked.file_of(seat)
    return json.dumps({
        "scan": {
            "url": file_url(seat.scan_file), "file": seat.scan_file.name, "window": seat.windows[0]["range"],
            "windows": seat.windows, "unit": seat.volume.intensity_unit,
            "centre": [float(v) for v in seat.volume.centre_mm],
            "shape": grid.shape, "affine": grid.affine.tolist(),
            "exact": exact and {
                "url": file_url(exact.path), "slope": exact.slope, "inter": exact.inter,
                "shape": seat.volume.shape, "affine": seat.volume.affine.tolist(),
            },
        },
        "overlays": overlays,
        "points": [{"mm": point.mm, "label": point.label} for point in seat.points],
        "selected": seat.selected,
        "earlier": {"url": file_url(earlier), "name": seat.prior_name} if earlier and earlier.is_file() else None,
        "doubt": {
            "id": doubt.mask_id, "url": doubt.file and file_url(doubt.file), "file": doubt.file and doubt.file.name,
        } if doubt and doubt.shown_over(seat.overlay_files) else None,
        "focus": {"n": seat.focus[0], "mm": seat.focus[1]} if seat.focus else None,
    })  # fmt: skip


def chip(mask_id: str, text: str | None = None) -> str:
    """A mask's id in its colour; an earlier scan's ("p1") in theirs."""
    shade = BEFORE if mask_id.startswith("p") else colour(mask_id)
    # The reader's own choice of a colour is a variable of the page (viewer.js), so every chip of the mask follows it.
    shade = f"var(--dx-{mask_id}, {shade})" if mask_id.isalnum() else shade
    return f'<span class="dx-chip" style="--dx:{shade}">{html.escape(text or mask_id)}</span>'


def look_chip(mask_id: str) -> str:
    """A chip that takes the viewer's crosshair to its mask."""
    return f'<button data-look="{mask_id}" title="{texts.TABLE["look"]}">{chip(mask_id)}</button>'


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
    count = texts.NOTES[len(volume.notes) > 1].format(n=len(volume.notes))
    more = f'<details class="dx-notes"><summary>{count}</summary><ul>{notes}</ul></details>'
    return (
        f'<b title="{html.escape(Path(volume.name).name)}, {shape} voxels, {spacing} mm">'
        f"{html.escape(Path(volume.name).name)}</b><span>{html.escape(volume.modality)}{how}</span>"
        f'<span class="dx-size">{shape} voxels</span><span class="dx-size">{spacing} mm</span>{more if notes else ""}'
    )


def _doubtful(value: float | None, limit: float, low: str) -> str:
    if value is None:
        return "<td></td>"
    if value >= limit:
        return f"<td>{value:.2f}</td>"
    return f'<td class="dx-doubt" title="{low}">▲ {value:.2f}</td>'


def findings_table(seat: Seat) -> str:
    """One row a finding: show/hide, colour, id, phrase, measurements, presence, quality; absent targets below."""
    rows = []
    words = texts.TABLE
    for finding in seat.findings:
        phrase = html.escape(finding.phrase)
        if finding.id not in seat.overlay_files:
            rows.append(
                f'<tr class="dx-absent"><td></td><td></td><td>{phrase}</td>'
                + (
                    f'<td colspan="5">{words["untaught"]}</td></tr>'
                    if not finding.taught
                    else f'<td colspan="3">{words["not_found"]}</td><td>{finding.presence:.2f}</td><td></td></tr>'
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
        chosen = finding.id == seat.selected
        kind = " ".join(name for name, on in (("dx-hidden", not shown), ("dx-chosen", chosen)) if on)
        how = html.escape(chips.provenance(finding))
        made = f'<small class="dx-made" title="{how}">{html.escape(made_by(finding))}</small>'
        rows.append(
            f'<tr data-id="{finding.id}" class="{kind}">'
            f'<td><input type="checkbox" data-toggle="{finding.id}"{" checked" if shown else ""} '
            f'aria-label="{words["show"].format(mask=f"{finding.id} {phrase}")}"></td>'
            f'<td><button data-select="{finding.id}" aria-pressed="{str(chosen).lower()}" '
            f'title="{words["select"]}">{chip(finding.id)}'
            f'</button></td><td><button data-look="{finding.id}" title="{words["look"]}">{phrase}'
            f"</button>{made if finding.made else ''}</td><td>{ml}</td>"
            f"<td>{mm}</td><td>{mean} {html.escape(finding.intensity_unit)}</td>"
            + _doubtful(finding.presence, LOW_PRESENCE, words["low_presence"])
            + _doubtful(finding.quality, LOW_QUALITY, words["low_quality"])
            + "</tr>"
        )
    every = bool(seat.overlay_files) and not seat.hidden
    body = "".join(rows) or f'<tr><td colspan="8" class="dx-none">{words["none"]}</td></tr>'

    def head(name: str, unit: str = "") -> str:
        return f'<th title="{words[f"{name}_how"]}">{words[name]}{unit and f"<i>{unit}</i>"}</th>'

    return (
        f'<table class="dx-findings"><thead><tr><th><input type="checkbox" data-toggle="*" aria-label="{words["all"]}"'
        f'{" checked" if every else ""}{"" if seat.overlay_files else " disabled"}></th><th>{words["id"]}</th>'
        f"<th>{words['structure']}</th>{head('volume', 'mL')}{head('longest', 'mm')}{head('mean')}{head('presence')}"
        f"{head('quality')}</tr></thead><tbody>{body}</tbody></table>"
    )


def made_by(finding: Finding) -> str:
    """ "m1 grown by 5 mm"; with its version where it was changed under its id."""
    return finding.made if finding.version == 1 else f"v{finding.version}: {finding.made}"


def points_line(seat: Seat) -> str:
    """The clicks and the box that go with the next question, each with a cross to drop it; and the selected mask, which
    they may refine instead."""
    chosen = next((f for f in seat.findings if f.id and f.id == seat.selected), None)
    if not seat.points and seat.box is None and chosen is None:
        return ""
    words = texts.POINTS
    given = "".join(
        f'<span class="dx-point {"dx-plus" if p.label else "dx-minus"}">{"+" if p.label else "−"} '
        f'{", ".join(signed(v) for v in p.mm)}'
        f'<button data-drop="{n}" aria-label="{words["drop_point"]}">×</button></span>'
        for n, p in enumerate(seat.points)
    ) + box_chip(seat.box, f'<button data-drop="-1" aria-label="{words["drop_box"]}">×</button>')
    with_it = f'<span class="dx-dim">{words["with"]}</span>{given}' if given else ""
    it = ""
    if chosen is not None:
        name = f"{chip(chosen.id)} {html.escape(chosen.phrase)}"
        hint = "" if given else f'<span class="dx-dim">{words["hint"]}</span>'
        refine = words["refine"].format(mask=chosen.id)
        go = f'<button data-refine="{chosen.id}" class="dx-go">{refine}</button>' if given else ""
        it = (
            f'<div class="dx-it"><span class="dx-dim">{words["selected"]}</span> <b>{name}</b> {hint}{go}'
            f'<button data-deselect="{chosen.id}" aria-label="{words["deselect"]}">×</button></div>'
        )
    return f'<div class="dx-points">{with_it}{it}</div>'


def box_chip(box: Sequence[float] | None, more: str = "") -> str:
    """A box by its sides in mm."""
    if box is None:
        return ""
    sides = " × ".join(f"{high - low:.0f}" for low, high in zip(box[:3], box[3:], strict=True))
    return f'<span class="dx-point dx-plus">□ {sides} mm{more}</span>'


def _rich(text: str) -> str:
    """Model or user text as safe HTML for a Markdown renderer: marks of either language become plain text."""
    plain = re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", html.escape(text, quote=False))
    plain = re.sub(r"^(\s*)([-+>]|\d+\.)(?=\s)", r"\1\\\2", plain, flags=re.MULTILINE)
    return plain.replace("\n", "<br>")


def answer_html(turn: Turn, told: chips.Told, volume: Volume | None = None, last: bool = True) -> str:
    """A turn's answer. told: what it may speak of. last: nothing was asked after it."""
    parts = []
    if turn.answer:
        parts.append(chips.marked(turn.answer, told, volume, _rich))
    elif not turn.error:
        waits = f'<span class="dx-dim">{texts.IN_LINE.format(ahead=turn.ahead)}</span>' if turn.ahead else "…"
        parts.append(waits if not turn.done else texts.CHAT["no_words"])
    if turn.error:
        parts.append(f'<span class="dx-error">⚠ {_rich(turn.error)}</span>')
    if turn.footnote:
        on = ""
        if not last:
            on = (
                f' · <button type="button" name="go" value="{turn.step}" class="dx-link" '
                f'title="{texts.CHAT["go_on_how"]}">{texts.CHAT["go_on"]}</button>'
            )
        parts.append(f'<span class="dx-foot">{_rich(" · ".join(turn.footnote))}{on}</span>')
    return "<br>".join(parts)


def chat(
    log: Sequence[Turn | Notice], history: History[Any] | None = None, volume: Volume | None = None
) -> list[dict[str, str]]:
    """The seat's log as chat messages. history: where another way was taken, a turn leads there."""
    messages = []
    present: dict[str, Finding] = {}
    absent: dict[str, Finding] = {}
    for n, entry in enumerate(log):
        if isinstance(entry, Notice):
            messages.append({"role": "assistant", "content": f'<span class="dx-error">⚠ {_rich(entry.text)}</span>'})
            continue
        points = "".join(
            f'<span class="dx-point {"dx-plus" if p.label else "dx-minus"}">{"+" if p.label else "−"} '
            f'{", ".join(signed(v) for v in p.mm)}</span>'
            for p in entry.points
        ) + box_chip(entry.box)
        asked = _rich(entry.question) + ways_html(entry, history) + (f"<br>{points}" if points else "")
        messages.append({"role": "user", "content": asked})
        present |= {finding.id: finding for finding in entry.found if finding.present}
        absent |= {finding.phrase: finding for finding in entry.found if not finding.present}
        told = chips.Told(dict(present), dict(absent), [f.id for f in entry.found if f.present])
        last = not any(isinstance(later, Turn) for later in log[n + 1 :])
        messages.append({"role": "assistant", "content": answer_html(entry, told, volume, last)})
    return messages


def ways_html(turn: Turn, history: History[Any] | None) -> str:
    """ "‹ 1/2 ›" where the conversation went on in more than one way."""
    ways = history.siblings(turn.step) if history is not None and turn.step else []
    if len(ways) < 2:
        return ""
    at = ways.index(turn.step)

    def to(index: int, sign: str, which: str) -> str:
        off = "" if 0 <= index < len(ways) else " disabled"
        step, told = f'name="way" value="{ways[index % len(ways)]}"', texts.CHAT[f"{which}_branch"]
        return f'<button type="button" {step} class="dx-link" title="{told}"{off}>{sign}</button>'

    return f' <span class="dx-ways">{to(at - 1, "‹", "earlier")} {at + 1}/{len(ways)} {to(at + 1, "›", "later")}</span>'


def centroid_of(findings: Sequence[Finding], mask_id: str) -> tuple[float, float, float] | None:
    return next((f.centroid_mm for f in findings if f.id == mask_id), None)
