"""The workspace "Compare with a prior": open an earlier scan, name a structure, see both masks and what has changed."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.desk import linked, texts
from assistant.desk.page import chip, look_chip
from assistant.desk.report_tab import LOOK_JS
from assistant.desk.seat import Seat
from assistant.desk.turn import as_sentence
from assistant.evidence import format_ml, shown_difference
from assistant.prior import Change, Comparison, registration_text

SAVE_JS = "() => { setTimeout(() => document.querySelector('#dx-prior-zip').click(), 150); }"
EMPTY = f'<p class="dx-dim">{texts.COMPARE_EMPTY}</p>'
NO_PRIOR = f'<span class="dx-dim">{texts.NO_PRIOR}</span>'


@dataclass(frozen=True)
class CompareTab:
    """The components that are wired."""

    upload: gr.UploadButton
    save: gr.Button
    zip: gr.DownloadButton
    name: gr.HTML
    box: gr.Textbox
    result: gr.HTML


def lay_out() -> CompareTab:
    """Make the components, in the tab that is open."""
    with gr.Row(elem_id="dx-prior-bar"):
        upload = gr.UploadButton(texts.OPEN_PRIOR, file_count="multiple", elem_id="dx-prior-open", size="sm")
        save = gr.Button(texts.SAVE, elem_id="dx-prior-save", size="sm")
        zipped = gr.DownloadButton("zip", elem_id="dx-prior-zip", visible="hidden")
        name = gr.HTML(NO_PRIOR, elem_id="dx-prior-name")
    box = gr.Textbox(
        elem_id="dx-prior-box", show_label=False, container=False, lines=1, submit_btn=True,
        placeholder=texts.COMPARE_BOX,
    )  # fmt: skip
    result = gr.HTML(EMPTY, elem_id="dx-prior", apply_default_css=False, js_on_load=LOOK_JS)
    return CompareTab(upload, save, zipped, name, box, result)


def wire(
    tab: CompareTab, seat_state: gr.State, view: list[Any], looks: Callable[[Seat], list[Any]],
    told: Callable[[Exception], None], gathered: Callable[[list[str], Path], Path], quiet: dict[str, Any],
) -> None:  # fmt: skip
    """Connect them. view, looks, told, quiet: as for a report; gathered: what to open of several uploaded files."""

    def open_prior(seat: Seat, files: list[str] | None) -> Iterator[list[Any]]:
        """outputs: *view."""
        if not files:
            return
        wait = f'<span class="dx-dim">{texts.REGISTERING}</span>'
        yield [wait if one is tab.name else gr.skip() for one in view]
        try:
            seat.open_prior(gathered(files, seat.folder))
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
        yield looks(seat)

    def compare(seat: Seat, question: str) -> Iterator[list[Any]]:
        """outputs: *view."""
        yield [f'<p class="dx-dim">{texts.COMPARING}</p>' if one is tab.result else gr.skip() for one in view]
        try:
            seat.compare(question)
            linked.prepare(seat)
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
        yield looks(seat)

    def pack(seat: Seat) -> str:
        try:
            return str(seat.export_comparison(Path(tempfile.mkdtemp(dir=seat.folder))))
        except Exception as error:
            raise gr.Error(as_sentence(error), title="Deixis", print_exception=False) from error

    tab.save.click(pack, [seat_state], [tab.zip], **quiet).success(None, None, None, js=SAVE_JS)
    tab.upload.upload(open_prior, [seat_state, tab.upload], view, **quiet)
    tab.box.submit(compare, [seat_state, tab.box], view, **quiet)


def prior_line(seat: Seat) -> str:
    if not seat.prior_name:
        return NO_PRIOR
    return f"<b>{html.escape(seat.prior_name)}</b>"


def result_html(seat: Seat) -> str:
    """The last comparison of a seat. Text -> HTML."""
    comparison = seat.last(Comparison)
    if comparison is None:
        return EMPTY
    rows = "".join(_row(n, change) for n, change in enumerate(comparison.changes, 1))
    words, days = texts.CHANGES, comparison.days
    interval = words["no_interval"] if days is None else words["interval"].format(days=days)
    sentences = "".join(f"<p>{html.escape(change.text)}</p>" for change in comparison.changes)
    return (
        f'{sentences}<table class="dx-findings dx-changes"><thead><tr><th>{words["structure"]}</th>'
        f"<th>{words['now']}<i>mL</i></th><th>{words['before']}<i>mL</i></th><th>{words['change']}</th>"
        f"<th>{words['overlap']}</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        f'<p class="dx-dim">{interval} {html.escape(registration_text(comparison.alignment))}</p>'
    )


def _row(n: int, change: Change) -> str:
    now = look_chip(change.now.id) if change.now.present else ""
    before = chip(f"p{n}") if change.carried is not None else ""
    now_ml, before_ml = change.now.volume_ml, change.before.volume_ml
    grown = ""
    if now_ml is not None and before_ml is not None:
        size = shown_difference(now_ml, before_ml)
        sign = "" if float(size.split()[0]) == 0 else "+" if now_ml > before_ml else "−"
        grown = sign + size
    overlap = "" if change.overlap is None else f"{change.overlap:.2f}"
    volumes = (texts.CHANGES["not_found"] if ml is None else format_ml(ml) for ml in (now_ml, before_ml))
    return (
        f"<tr><td>{html.escape(change.phrase)} {now} {before}</td>"
        + "".join(f"<td>{value}</td>" for value in (*volumes, grown, overlap))
        + "</tr>"
    )
