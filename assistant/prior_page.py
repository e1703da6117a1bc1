"""A comparison with an earlier scan as files.

    result/
      comparison.html     the change in words and numbers, pictures of both masks on the current scan
      comparison.json     the same for programs, with the registration's matrix
      changes.csv         one line a structure
      p1_<name>_before.nii.gz    the earlier mask on the current scan's grid, for display (it was measured before)
      m1_....nii.gz, labels.nii.gz, manifest.json, ...    as every export has them
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.desk.page import BEFORE
from assistant.errors import ResourceError
from assistant.evidence import format_ml, shown_difference
from assistant.export import NOTICE, file_stem, model_facts, scan_facts, write_json
from assistant.html_page import document, link_chip, mask_figures, write_page
from assistant.prior import Change, Comparison, comparison_facts, registration_text
from assistant.table import as_csv
from assistant.volume import save_mask

if TYPE_CHECKING:
    from assistant.session import Session

PAGE, FACTS, TABLE = "comparison.html", "comparison.json", "changes.csv"
COLUMNS = ("phrase", "now_ml", "before_ml", "change_ml", "change_percent", "overlap")


def export_comparison(session: Session, comparison: Comparison, folder: str | Path) -> Path:
    """Write page, JSON, table and the masks of both scans into a folder; returns the page's path.

    session: of the current scan. Raises ResourceError when the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    session.export(folder)
    for n, change in enumerate(comparison.changes, 1):
        if change.carried is not None:
            mask = session.volume.from_native(change.carried)
            save_mask(session.volume, mask, folder / f"p{n}_{file_stem(change.phrase)}_before.nii.gz")
    about = {"notice": NOTICE, "scan": scan_facts(session.volume), "model": model_facts(session.model)}
    write_json(folder / FACTS, {"format": "deixis-comparison-1", **about, **comparison_facts(comparison)})
    try:
        (folder / TABLE).write_text(as_csv(map(_facts, comparison.changes), COLUMNS), encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            f"cannot write {folder / TABLE} ({error.strerror or error}): free some space or choose another folder"
        ) from error
    return write_page(folder / PAGE, page_of(session, comparison))


def _facts(change: Change) -> dict[str, Any]:
    return {
        "phrase": change.phrase,
        "now_ml": change.now.volume_ml,
        "before_ml": change.before.volume_ml,
        "change_ml": change.change_ml,
        "change_percent": change.change_percent,
        "overlap": change.overlap,
    }


def page_of(session: Session, comparison: Comparison) -> str:
    """The whole page, pictures included."""
    volume = session.volume
    masks = {c.now.id: volume.from_native(c.now.mask) for c in comparison.changes if c.now.mask is not None}
    phrases = {c.now.id: c.phrase for c in comparison.changes if c.now.mask is not None}
    colours = {}
    for n, change in enumerate(comparison.changes, 1):
        if change.carried is not None:
            masks[f"p{n}"], colours[f"p{n}"] = volume.from_native(change.carried), BEFORE
            phrases[f"p{n}"] = f"{change.phrase}, before"
    days = "unknown: a header has no date" if comparison.days is None else f"{comparison.days} days"
    rows = "".join(_row(n, change) for n, change in enumerate(comparison.changes, 1))
    body = (
        "".join(f"<p>{html.escape(change.text)}</p>" for change in comparison.changes)
        + "<table><thead><tr><th>Structure</th><th class=n>Now, mL</th><th class=n>Before, mL</th>"
        f"<th class=n>Change</th><th class=n>Overlap</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="dim">Interval: {days}. {html.escape(registration_text(comparison.alignment))}</p>'
        + mask_figures(volume, masks, phrases, colours)
    )
    return document("Deixis: comparison", f"{volume.name}, compared with an earlier scan", body)


def _row(n: int, change: Change) -> str:
    now, before = change.now.volume_ml, change.before.volume_ml
    chips = (link_chip(change.now.id) if change.now.present else "") + (
        link_chip(f"p{n}", BEFORE) if change.carried is not None else ""
    )
    grown = "" if now is None or before is None else ("+" if now > before else "−") + shown_difference(now, before)
    cells = (
        *("not found" if ml is None else format_ml(ml) for ml in (now, before)),
        grown,
        "" if change.overlap is None else f"{change.overlap:.2f}",
    )
    numbers = "".join(f"<td class=n>{cell}</td>" for cell in cells)
    return f"<tr><td>{html.escape(change.phrase)} {chips}</td>{numbers}</tr>"
