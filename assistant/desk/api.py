"""The desk from code: three named calls for `gradio_client`, with the same seats, line and limits as the page's.

    from gradio_client import Client, handle_file

    desk = Client("http://127.0.0.1:7860")           # auth=("user", "password") where the desk asks for it
    desk.predict(handle_file("scan.nii.gz"), api_name="/open")
    reply = desk.predict("Is the left hippocampus smaller than the right?", api_name="/ask")
    print(reply["text"], [(f["id"], f["phrase"], f["volume_ml"]) for f in reply["findings"]])
    desk.predict("What is this?", [[-25, -20, -15]], api_name="/ask")   # points: RAS+ mm, a fourth 0 = not part of it
    masks = desk.predict(api_name="/export")         # a zip: masks, label map, table, summary page, manifest

A client has one seat, which is its own; what is asked goes on from what was asked before.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.desk.room import Room
from assistant.desk.seat import Seat
from assistant.desk.turn import Point, as_sentence
from assistant.desk.uploads import gathered
from assistant.errors import DeixisError, QuestionError
from assistant.export import finding_facts, scan_facts


def refusal(error: Exception) -> gr.Error:
    return gr.Error(as_sentence(error), title="Deixis", print_exception=False)


def points_of(given: Any) -> list[Point]:
    """[[x, y, z], [x, y, z, 0], ...] in RAS+ mm. QuestionError for anything else."""
    try:
        rows = [[float(value) for value in row] for row in given or []]
    except (TypeError, ValueError) as error:
        raise QuestionError("points are no list of [x, y, z] or [x, y, z, label]; give RAS+ millimetres") from error
    if any(len(row) not in (3, 4) for row in rows):
        raise QuestionError("a point has not 3 or 4 numbers; give [x, y, z] or [x, y, z, label], RAS+ millimetres")
    return [Point((row[0], row[1], row[2]), int(row[3]) if len(row) == 4 else 1) for row in rows]


def add(room: Room, seat_state: gr.State, quiet: dict[str, Any]) -> None:
    """Name the calls; within the page's `gr.Blocks`. quiet: of the page's events."""

    def open_scan(seat: Seat | None, scan: str | None, request: gr.Request) -> tuple[Seat, dict[str, Any]]:
        """Open a scan: .nii, .nii.gz, .nrrd, .mha, .dcm or a .zip of a DICOM series. Returns what it is."""
        try:
            if scan is None:
                raise QuestionError("no scan was sent; give a file")
            seat = seat or room.sit(None, request.username or "")
            seat.open(gathered([scan], seat.folder, room.limits.upload_bytes))
            assert seat.volume is not None
            facts = scan_facts(seat.volume)
            return seat, {key: value for key, value in facts.items() if key != "path"}
        except Exception as error:
            raise refusal(error) from error

    def ask(seat: Seat | None, question: str, points: Any) -> dict[str, Any]:
        """Ask about the open scan; points: a list of [x, y, z] or [x, y, z, label] in RAS+ mm. Returns text, findings
        (without masks: see /export) and footnotes."""
        try:
            if seat is None:
                raise QuestionError("no scan is open; call /open first")
            (*_, turn) = seat.ask(question, points_of(points))
        except Exception as error:
            raise refusal(error) from error
        if turn.error:
            raise refusal(DeixisError(turn.error))
        found = [finding_facts(finding) for finding in turn.found]
        return {"text": turn.answer, "findings": found, "footnotes": turn.footnote}

    def export(seat: Seat | None) -> str:
        """Every mask so far with measurements, summary and manifest, as a zip file."""
        try:
            if seat is None:
                raise QuestionError("no scan is open; call /open first")
            return str(seat.export(Path(tempfile.mkdtemp(dir=seat.folder))))
        except Exception as error:
            raise refusal(error) from error

    public = {**quiet, "api_visibility": "public"}
    caller = gr.Button(visible=False)
    scan, answer = gr.File(label="scan", visible=False), gr.JSON(label="answer", visible=False)
    question, points = gr.Textbox(label="question", visible=False), gr.JSON([], label="points", visible=False)
    masks = gr.File(label="masks", visible=False)
    caller.click(open_scan, [seat_state, scan], [seat_state, answer], api_name="open", **public)
    caller.click(ask, [seat_state, question, points], [answer], api_name="ask", **public)
    caller.click(export, [seat_state], [masks], api_name="export", **public)
