"""The workspace "Ground a report": paste or open a report, see each sentence with its masks, save the page."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.desk import texts
from assistant.desk.page import look_chip
from assistant.desk.seat import Seat
from assistant.desk.turn import as_sentence
from assistant.report import Report, read_report
from assistant.report_page import MARKS, WORDS

LOOK_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button && button.dataset.look) trigger('look', { id: button.dataset.look });
});
"""
SAVE_JS = "() => { setTimeout(() => document.querySelector('#dx-report-zip').click(), 150); }"
EMPTY = f'<p class="dx-dim">{texts.REPORT_EMPTY}</p>'


@dataclass(frozen=True)
class ReportTab:
    """The components that are wired."""

    box: gr.Textbox
    upload: gr.UploadButton
    example: gr.Button
    go: gr.Button
    save: gr.Button
    zip: gr.DownloadButton
    lines: gr.HTML


def lay_out() -> ReportTab:
    """Make the components, in the tab that is open."""
    box = gr.Textbox(
        elem_id="dx-report-text", show_label=False, container=False, lines=6, max_lines=8,
        placeholder=texts.REPORT_BOX,
    )  # fmt: skip
    with gr.Row(elem_id="dx-report-bar"):
        upload = gr.UploadButton(texts.OPEN_REPORT, file_types=[".txt"], elem_id="dx-report-open", size="sm")
        example = gr.Button(texts.EXAMPLE_REPORT, elem_id="dx-report-example", size="sm")
        save = gr.Button(texts.SAVE, elem_id="dx-report-save", size="sm")
        go = gr.Button(texts.GROUND, elem_id="dx-report-go", size="sm", variant="primary")
        zipped = gr.DownloadButton("zip", elem_id="dx-report-zip", visible="hidden")
    lines = gr.HTML(EMPTY, elem_id="dx-report", apply_default_css=False, js_on_load=LOOK_JS)
    return ReportTab(box, upload, example, go, save, zipped, lines)


def wire(
    tab: ReportTab, seat_state: gr.State, view: list[Any], looks: Callable[[Seat], list[Any]],
    told: Callable[[Exception], None], quiet: dict[str, Any],
) -> None:  # fmt: skip
    """Connect them. view, looks: what every workspace shows of the seat; told: shows an error; quiet: of events."""

    def ground(seat: Seat, text: str) -> Iterator[list[Any]]:
        """outputs: *view."""
        yield [f'<p class="dx-dim">{texts.CHECKING}</p>' if one is tab.lines else gr.skip() for one in view]
        try:
            seat.ground_report(text)
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
        yield looks(seat)

    def read(path: str) -> Any:
        try:
            return read_report(path)
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
            return gr.skip()

    def example() -> str:
        from assistant.examples import EXAMPLE_REPORT

        return EXAMPLE_REPORT

    def pack(seat: Seat) -> str:
        try:
            return str(seat.export_report(Path(tempfile.mkdtemp(dir=seat.folder))))
        except Exception as error:
            raise gr.Error(as_sentence(error), title="Deixis", print_exception=False) from error

    tab.go.click(ground, [seat_state, tab.box], view, **quiet)
    tab.upload.upload(read, [tab.upload], [tab.box], **quiet)
    tab.example.click(example, None, [tab.box], **quiet)
    tab.save.click(pack, [seat_state], [tab.zip], **quiet).success(None, None, None, js=SAVE_JS)


def report_html(seat: Seat) -> str:
    """The last grounded report of a seat, sentence by sentence. Text -> HTML."""
    report = seat.last(Report)
    if report is None:
        return EMPTY
    items = []
    for line in report.lines:
        text = html.escape(line.sentence.text)
        if line.status == "nothing":
            why = html.escape(line.checks[0].text if line.checks else "")
            items.append(f'<li class="dx-line dx-nothing">{text} <small>{WORDS[line.status]}: {why}</small></li>')
            continue
        chips = "".join(look_chip(mask_id) for mask_id in line.masks)
        checks = "".join(
            f'<li class="dx-{check.verdict}">{MARKS[check.verdict]} {html.escape(check.text)}</li>'
            for check in line.checks
        )
        items.append(
            f'<li class="dx-line dx-{line.status}">{text} {chips}'
            f"<small>{WORDS[line.status]}</small><ul>{checks}</ul></li>"
        )
    return f'<p class="dx-summary">{html.escape(report.summary)}</p><ul class="dx-lines">{"".join(items)}</ul>'
