"""The row of the conversation: the box, undo and redo, retry and edit; and the relay of what is done on chips.

Laid out and wired into the page of `app.py`. What happens in the browser is talk.js, what a seat does `seat.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.desk import texts
from assistant.desk.seat import Seat  # Gradio reads the annotations
from assistant.desk.turn import Turn

# The scripts come with the viewer, perhaps later than this.
RELAY_JS = """
const acts = ['pick', 'box', 'go', 'way'];
const join = () => (globalThis.DeixisTalk
  ? DeixisTalk.mount((act, detail) => { if (acts.includes(act)) trigger(act, detail); }) : setTimeout(join, 30));
join();
"""
FOCUS_JS = "() => { setTimeout(() => document.querySelector('#dx-box textarea').focus(), 50); }"


@dataclass(frozen=True)
class Row:
    box: gr.Textbox
    undo: gr.Button
    redo: gr.Button
    retry: gr.Button
    edit: gr.Button
    relay: gr.HTML


def lay_out() -> Row:
    with gr.Row(elem_id="dx-turns"):
        small = {"size": "sm", "min_width": 52}
        undo = gr.Button(texts.UNDO, elem_id="dx-undo", **small)
        redo = gr.Button(texts.REDO, elem_id="dx-redo", **small)
        retry = gr.Button(texts.RETRY, elem_id="dx-retry", **small)
        edit = gr.Button(texts.EDIT_LAST, elem_id="dx-edit", **small)
    with gr.Row(elem_id="dx-ask"):
        box = gr.Textbox(
            elem_id="dx-box", show_label=False, container=False, lines=1, max_lines=6, submit_btn=True,
            placeholder=texts.ASK_BOX,
        )  # fmt: skip
    relay = gr.HTML("", elem_id="dx-relay", apply_default_css=False, js_on_load=RELAY_JS)
    return Row(box, undo, redo, retry, edit, relay)


def wire(
    row: Row, points: gr.HTML, seat_state: gr.State, view: Sequence[Any], looks: Callable[[Any], list[Any]],
    told: Callable[[Exception], None], follow: Callable[..., Iterator[list[Any]]],
    quiet: dict[str, Any], asking: dict[str, Any],
) -> None:  # fmt: skip
    """Connect it. follow: shows the turns of an answer while it is made; view, looks, told: as for the other tabs;
    quiet, asking: of small events, and of those of which the page drops none."""

    def change(seat: Seat, act: Callable[[], object]) -> list[Any]:
        """outputs: *view."""
        try:
            act()
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
        return looks(seat)

    def edit(seat: Seat) -> list[Any]:
        """outputs: box, *view; the question comes back into the box."""
        try:
            return [seat.edit(), *looks(seat)]
        except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
            told(error)
            return [gr.skip(), *looks(seat)]

    def retry(seat: Seat) -> Iterator[list[Any]]:
        yield from answer(seat, seat.retry)

    def refine(seat: Seat) -> Iterator[list[Any]]:
        yield from answer(seat, seat.refine)

    def answer(seat: Seat, turns: Callable[[], Iterator[Turn]]) -> Iterator[list[Any]]:
        """outputs: box, *view."""
        yield from follow(seat, turns(), False)

    row.undo.click(lambda seat: change(seat, seat.undo), [seat_state], view, **asking)
    row.redo.click(lambda seat: change(seat, seat.redo), [seat_state], view, **asking)
    row.edit.click(edit, [seat_state], [row.box, *view], **quiet).success(None, None, None, js=FOCUS_JS)
    row.retry.click(retry, [seat_state], [row.box, *view], **asking)
    points.refine(refine, [seat_state], [row.box, *view], **asking)

    def select(seat: Seat, event: gr.EventData) -> list[Any]:
        return change(seat, lambda: seat.select(str(event._data["id"])))

    def draw_box(seat: Seat, event: gr.EventData) -> list[Any]:
        return change(seat, lambda: seat.set_box(event._data["box"]))

    def go(seat: Seat, event: gr.EventData) -> list[Any]:
        return change(seat, lambda: seat.go(int(event._data["step"])))

    def way(seat: Seat, event: gr.EventData) -> list[Any]:
        return change(seat, lambda: seat.way(int(event._data["step"])))

    row.relay.pick(select, [seat_state], view, **quiet)
    row.relay.box(draw_box, [seat_state], view, **quiet)
    row.relay.go(go, [seat_state], view, **quiet)
    row.relay.way(way, [seat_state], view, **quiet)
