"""The desk: open a scan, ask, see the masks on it. `python app.py`, `make app` or `deixis app`.

This file lays out the Gradio components and wires them; the state of a page is `assistant/desk/seat.py`, what it shows
`assistant/desk/page.py`, the viewer `assistant/desk/viewer.js`. Importing it starts nothing.

The page asks no other host for anything: the fonts are the system's, the viewer is served from node_modules.
"""

from __future__ import annotations

import argparse
import atexit
import html
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.desk import api, compare_tab, doubt, linked, page, report_tab, talk, texts
from assistant.desk.room import GIB, Limits, Room, Shelf
from assistant.desk.seat import Seat
from assistant.desk.turn import OpenScan, Point, Turn, as_sentence
from assistant.desk.uploads import gathered
from assistant.errors import DeixisError, ResourceError
from assistant.examples import EXAMPLES, example_scan
from assistant.serving.address import check_port, is_loopback
from assistant.volume import Volume

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assistant" / "desk"
NIIVUE = ROOT / "node_modules" / "@niivue" / "niivue" / "dist" / "niivue.umd.js"
VIEWER_SCRIPTS = (
    "grid.js", "niivue_engine.js", "slices.js", "linked.js", "masks.js", "picture.js", "viewer.js", "talk.js",
)  # fmt: skip
# What the browser keeps is the seat's token, under a name and a cipher that a desk started anew knows too.
TOKEN_KEY, TOKEN_CIPHER = "deixis-seat", "deixis-seat"

log = logging.getLogger("deixis.desk")


class Sessions:
    """How a scan gets its session. The model is loaded once, when first needed, and shared by all pages."""

    def __init__(self, model: str | None) -> None:
        self._path = model
        self._model: Any = None
        self._loading = threading.Lock()

    def load(self) -> Any:
        """The model. Raises DeixisError when it cannot be loaded; the next call tries again."""
        from assistant.session import load_model  # torch: seconds, and the page need not wait for it

        with self._loading:
            if self._model is None:
                self._model = load_model(self._path, device="auto")
            return self._model

    def load_ahead(self) -> None:
        """Load in the background while the first page opens. A failure is logged here and told on the page."""

        def attempt() -> None:
            try:
                self.load()
            except DeixisError as error:
                log.error("%s", error)

        threading.Thread(target=attempt, name="deixis-model", daemon=True).start()

    def __call__(self, volume: Volume) -> OpenScan:
        from assistant.session import Session

        session = Session.open(volume, model=self.load())
        session.prepare()  # the scan is encoded while the reader still looks at it
        return session


def tour_parts() -> dict[str, str]:
    """The button that starts the tour, and the tour's script."""
    script = ASSETS / "tour.js"
    gr.set_static_paths([script])
    steps = json.dumps([{"at": at, "title": title, "text": text} for at, title, text in texts.TOUR_STEPS])
    return {
        "html_template": f'<button type="button" class="dx-tour-start">{texts.TOUR}</button>',
        "js_on_load": (
            "element.querySelector('button').addEventListener('click', () => "
            f"DeixisTour.start({steps}, {json.dumps(texts.TOUR_WORDS)}));"
        ),
        "head": f'<script src="{page.file_url(script)}?v={script.stat().st_mtime_ns}"></script>',
    }


def viewer_parts() -> dict[str, str]:
    """The viewer's markup, what it does when the page has it, and the scripts it needs."""
    scripts = [*(ASSETS / name for name in VIEWER_SCRIPTS), *([NIIVUE] if NIIVUE.is_file() else [])]
    gr.set_static_paths(list(scripts))
    tags = (f'<script src="{page.file_url(s)}?v={s.stat().st_mtime_ns}"></script>' for s in scripts)
    markup = (ASSETS / "viewer.html").read_text(encoding="utf-8")
    return {
        "html_template": re.sub(r"\[\[(\w+)\]\]", lambda match: html.escape(texts.VIEWER[match[1]]), markup),
        "js_on_load": (
            "DeixisViewer.mount(element, "
            "{ point: (at) => trigger('point', at), what: (at) => trigger('what', at), "
            "toggle: (mask) => trigger('toggle', mask), doubt: (mask) => trigger('doubt', mask) }, "
            f"props, watch, {json.dumps(texts.VIEWER)});"
        ),
        "head": "".join(tags),
    }


TABLE_JS = """
element.addEventListener('change', (event) => {
  const id = event.target.dataset.toggle;
  if (id) trigger('toggle', { id });
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button && button.dataset.look) trigger('look', { id: button.dataset.look });
});
"""
POINTS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const { drop, refine, deselect } = button.dataset;
  if (drop) trigger('drop', { n: Number(drop) });
  else if (refine) trigger('refine', {});
  else if (deselect) document.dispatchEvent(new CustomEvent('deixis', { detail: { act: 'pick', id: deselect } }));
});
"""
# The hidden button has the new file only after the page has rendered it.
SAVE_JS = "() => { setTimeout(() => document.querySelector('#dx-zip').click(), 150); }"


def build_desk(
    model: str | None = None,
    *,
    scan: str | Path | None = None,
    open_session: Callable[[Volume], OpenScan] | None = None,
    keep: Path | None = None,
    limits: Limits | None = None,
) -> gr.Blocks:
    """The page, ready for `launch`.

    model: a checkpoint folder, None for the embedded default. scan: opened on every new page; None: the example.
    open_session: another way from a Volume to a session (the tests' scripted one). keep: where sessions outlive the
    desk; None: a folder that goes with it.
    """
    if keep is None:
        keep = Path(tempfile.mkdtemp(prefix="deixis-desk-"))
        atexit.register(shutil.rmtree, keep, ignore_errors=True)
    room = Room(open_session or Sessions(model), Shelf(keep), limits or Limits())
    os.environ["GRADIO_TEMP_DIR"] = str(room.shelf.incoming)  # what is left there by a kill is swept with the rest
    gr.set_static_paths([keep])

    with gr.Blocks(
        title=texts.TITLE, fill_width=True, fill_height=True, analytics_enabled=False, delete_cache=(600, 7200)
    ) as desk:
        seat_state = gr.State(None, delete_callback=lambda seat: room.leave(seat) if seat else None)
        token = gr.BrowserState(None, storage_key=TOKEN_KEY, secret=TOKEN_CIPHER)
        with gr.Row(elem_id="dx-head"):
            gr.HTML('<span class="dx-brand">Deixis</span>', elem_id="dx-brand")
            scan_line = gr.HTML(page.scan_line(None), elem_id="dx-scan")
            open_button = gr.UploadButton(texts.OPEN_SCAN, file_count="multiple", elem_id="dx-open", size="sm")
            example_buttons = [
                gr.Button(example.name, elem_id=f"dx-example-{key}", size="sm") for key, example in EXAMPLES.items()
            ]
            gr.HTML(elem_id="dx-tour", apply_default_css=False, **tour_parts())
            download_button = gr.Button(texts.DOWNLOAD_MASKS, elem_id="dx-download", size="sm")
            zip_link = gr.DownloadButton("zip", elem_id="dx-zip", visible="hidden")
        with gr.Row(elem_id="dx-main", equal_height=True):
            with gr.Column(elem_id="dx-left"):
                viewer = gr.HTML("", elem_id="dx-view", apply_default_css=False, **viewer_parts())
            with gr.Column(elem_id="dx-right"), gr.Tabs(elem_id="dx-tabs"):
                with gr.Tab(texts.ASK_TAB, elem_id="dx-tab-ask"):
                    findings = gr.HTML(elem_id="dx-table", apply_default_css=False, js_on_load=TABLE_JS)
                    chat = gr.Chatbot(
                        elem_id="dx-chat", show_label=False, feedback_options=None, buttons=[], height="100%",
                        placeholder=texts.CHAT_EMPTY,
                        examples=[{"text": text} for text in texts.QUESTIONS["MR"]], layout="panel",
                        group_consecutive_messages=False,
                    )  # fmt: skip
                    points = gr.HTML(elem_id="dx-points", apply_default_css=False, js_on_load=POINTS_JS)
                    row = talk.lay_out()
                    box = row.box
                with gr.Tab(texts.REPORT_TAB, elem_id="dx-tab-report"):
                    report = report_tab.lay_out()
                with gr.Tab(texts.COMPARE_TAB, elem_id="dx-tab-compare"):
                    compare = compare_tab.lay_out()
        gr.HTML(
            f"<b>{texts.FOOT}</b> <span>{texts.FOOT_MORE}</span>", elem_id="dx-foot",
        )

        view = [chat, findings, viewer, points, report.lines, compare.name, compare.result]

        def looks(seat: Seat) -> list[Any]:
            return [
                page.chat(seat.log, seat.history, seat.volume), page.findings_table(seat), page.viewer_state(seat),
                page.points_line(seat),
                report_tab.report_html(seat), compare_tab.prior_line(seat), compare_tab.result_html(seat),
            ]  # fmt: skip

        def told(error: Exception) -> None:
            gr.Warning(as_sentence(error), title="Deixis")

        def open_scan(seat: Seat, opening: Callable[[], object]) -> Iterator[list[Any]]:
            """Show the scan, then load the model and encode it. outputs: scan_line, *view."""
            opened = False
            yield [f'<span class="dx-dim">{texts.OPENING}</span>', *[gr.skip()] * len(view)]
            try:
                opening()
                opened = True
                linked.prepare(seat)
                line = page.scan_line(seat.volume)
                shown = looks(seat)
                modality = seat.volume.modality if seat.volume is not None else "MR"
                shown[0] = gr.update(value=shown[0], examples=[{"text": t} for t in texts.QUESTIONS[modality]])
                yield [line + f'<span class="dx-dim">{texts.LOADING}</span>', *shown]
                seat.prepare()
            except Exception as error:  # noqa: BLE001  logged by as_sentence, told in the chat
                seat.notice(as_sentence(error))
                if not opened:
                    told(error)
            yield [page.scan_line(seat.volume), *looks(seat)]

        def start(token: object, request: gr.Request) -> Iterator[list[Any]]:
            """A page: the seat that the browser remembers, or a new one with the first scan. outputs: seat, token,
            scan_line, *view."""
            seat = room.sit(token, request.username or "")
            yield [seat, seat.folder.name, page.scan_line(seat.volume), *looks(seat)]
            if seat.volume is None:
                for shown in open_scan(seat, lambda: seat.begin(first_scan)):
                    yield [gr.skip(), gr.skip(), *shown]
            last = seat.log[-1] if seat.log else None
            if isinstance(last, Turn) and not last.done:  # it was asked before the page was loaded anew
                for _ in seat.watch(last):
                    yield [gr.skip(), gr.skip(), gr.skip(), *looks(seat)]

        def first_scan() -> Path:
            if scan is not None:
                return Path(scan)
            return example_scan()

        def open_example(key: str) -> Callable[[Seat], Iterator[list[Any]]]:
            def opened(seat: Seat) -> Iterator[list[Any]]:
                yield from open_scan(seat, lambda: seat.open(example_scan(key)))

            return opened

        def open_upload(seat: Seat, files: list[str] | None) -> Iterator[list[Any]]:
            if files:
                yield from open_scan(seat, lambda: seat.open(upload(files, seat.folder)))

        def upload(files: list[str], folder: Path) -> Path:
            return gathered(files, folder, room.limits.upload_bytes)

        def answer(seat: Seat, text: str, with_points: list[Point] | None) -> Iterator[list[Any]]:
            """outputs: box, *view."""
            yield from follow(seat, seat.ask(text, with_points), with_points is None)

        def follow(seat: Seat, turns: Iterator[Turn], typed: bool) -> Iterator[list[Any]]:
            """outputs: box, *view. typed: the question is in the box; it stays there until the desk has taken it."""
            try:
                turn = next(turns)
            except DeixisError as error:
                told(error)
                yield [gr.skip()] * (1 + len(view))
                return
            last = looks(seat)
            emptied = {"value": ""} if typed else {}
            yield [gr.update(submit_btn=False, stop_btn=True, **emptied), *last]
            for turn in turns:  # noqa: B007  the last one is used below
                now = looks(seat)
                yield [gr.skip(), *(new if new != old else gr.skip() for new, old in zip(now, last, strict=True))]
                last = now
            back = {"value": turn.question} if turn.error and typed else {}
            yield [gr.update(submit_btn=True, stop_btn=False, **back), *[gr.skip()] * len(view)]

        def ask(seat: Seat, text: str) -> Iterator[list[Any]]:
            yield from answer(seat, text, None)

        def ask_example(seat: Seat, event: gr.SelectData) -> Iterator[list[Any]]:
            yield from answer(seat, event.value["text"], [])

        def ask_what(seat: Seat, event: gr.EventData) -> Iterator[list[Any]]:
            x, y, z = (float(v) for v in event._data["mm"])
            yield from answer(seat, texts.WHAT_IS_THIS, [Point((x, y, z), 1)])

        def changed(seat: Seat, change: Callable[[], object]) -> list[Any]:
            """Do a small change; outputs: *view."""
            try:
                change()
            except DeixisError as error:
                told(error)
            return looks(seat)

        def add_point(seat: Seat, event: gr.EventData) -> list[Any]:
            return changed(seat, lambda: seat.add_point(event._data["mm"], event._data["label"]))

        def drop_point(seat: Seat, event: gr.EventData) -> list[Any]:
            return changed(seat, lambda: seat.drop_point(int(event._data["n"])))

        def toggle(seat: Seat, event: gr.EventData) -> list[Any]:
            return changed(seat, lambda: seat.toggle(str(event._data["id"])))

        def look(seat: Seat, event: gr.EventData) -> list[Any]:
            place = page.centroid_of(seat.findings, str(event._data["id"]))
            return changed(seat, lambda: seat.look_at(place) if place is not None else None)

        def show_doubt(seat: Seat, event: gr.EventData) -> Iterator[list[Any]]:
            """Compute a mask's uncertainty and show it, or hide it again; outputs: *view."""
            try:
                for _ in doubt.switch(seat, str(event._data["id"])):
                    yield looks(seat)
            except Exception as error:  # noqa: BLE001  logged by as_sentence, told on the page
                told(error)
            yield looks(seat)

        def pack(seat: Seat) -> str:
            try:
                return str(seat.export(Path(tempfile.mkdtemp(dir=seat.folder))))
            except Exception as error:
                raise gr.Error(as_sentence(error), title="Deixis", print_exception=False) from error

        quiet = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        api.add(room, seat_state, quiet)  # first: an event's name is its function's where no other has it
        desk.load(start, [token], [seat_state, token, scan_line, *view], **quiet)
        open_button.upload(open_upload, [seat_state, open_button], [scan_line, *view], **quiet)
        for key, button in zip(EXAMPLES, example_buttons, strict=True):
            button.click(open_example(key), [seat_state], [scan_line, *view], **quiet)
        # "multiple": else the page itself drops a second question, undo or redo meanwhile; the seat says why it waits.
        asking = {**quiet, "trigger_mode": "multiple"}
        box.submit(ask, [seat_state, box], [box, *view], **asking)
        chat.example_select(ask_example, [seat_state], [box, *view], **asking)
        viewer.what(ask_what, [seat_state], [box, *view], **asking)
        viewer.point(add_point, [seat_state], view, **quiet)
        viewer.toggle(toggle, [seat_state], view, **quiet)
        viewer.doubt(show_doubt, [seat_state], view, **quiet)
        points.drop(drop_point, [seat_state], view, **quiet)
        findings.toggle(toggle, [seat_state], view, **quiet)
        findings.look(look, [seat_state], view, **quiet)
        talk.wire(row, points, seat_state, view, looks, told, follow, quiet, asking)
        report_tab.wire(report, seat_state, view, looks, told, quiet)
        compare_tab.wire(compare, seat_state, view, looks, told, upload, quiet)
        for place in (report.lines, compare.result):
            place.look(look, [seat_state], view, **quiet)
        box.stop(lambda seat: seat.stop(), [seat_state], None, **quiet)
        download_button.click(pack, [seat_state], [zip_link], **quiet).success(None, None, None, js=SAVE_JS)
    return desk


def launch(desk: gr.Blocks, *, host: str = "127.0.0.1", port: int | None = None, browser: bool = False,
           wait: bool = True, readers: list[tuple[str, str]] | None = None,
           upload_bytes: int = Limits.upload_bytes) -> str:  # fmt: skip
    """Serve the page; returns its address.

    wait: until the process is interrupted. readers: names and passwords of those who may come in, None for everybody.
    upload_bytes: of one file, over which it is refused while it comes.
    """
    fonts = ["system-ui", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Default(
        primary_hue="sky", neutral_hue="slate", text_size="sm", spacing_size="sm", radius_size="sm",
        font=fonts, font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700", button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800", button_primary_background_fill_hover_dark="*primary_800",
    )  # fmt: skip
    _, address, _ = desk.queue(default_concurrency_limit=None).launch(
        server_name=host, server_port=port, inbrowser=browser, prevent_thread_lock=True, quiet=True, share=False,
        ssr_mode=False, max_file_size=upload_bytes, auth=readers, theme=theme,
        css_paths=[ASSETS / "desk.css", ASSETS / "tour.css"], footer_links=[],
    )  # fmt: skip
    if wait:
        print(f"The desk is at {address} (stop it with Ctrl+C).", flush=True)
        desk.block_thread()
    return address


def readers_of(given: str | None) -> list[tuple[str, str]] | None:
    """`--auth`: "user:password", or a file with one such line each. ResourceError for anything else."""
    if given is None:
        return None
    file = Path(given).expanduser()
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else [given]
    readers = [tuple(line.strip().split(":", 1)) for line in lines if line.strip()]
    if not readers or not all(len(reader) == 2 and all(reader) for reader in readers):
        raise ResourceError("--auth is neither user:password nor a file with one such line for each reader; give one")
    return [(name, password) for name, password in readers]


LIMITS = (
    ("max-upload-mb", Limits.upload_bytes // 2**20, "size of the files opened at once"),
    ("max-memory-mb", Limits.memory_bytes // 2**20, "memory of all open scans together, without the model"),
    ("answer-seconds", int(Limits.answer_seconds), "time of computing one answer"),
    ("keep-days", int(Limits.keep_seconds // 86400), "without use, after which a session is deleted"),
    ("keep-gb", Limits.keep_bytes // GIB, "disk space of all kept sessions; the oldest are deleted"),
)


def main(argv: list[str] | None = None) -> int:
    """`deixis app`: serve the desk until interrupted. Returns the exit code: 2 when it cannot start."""
    from assistant.cache import user_cache
    from assistant.commands.arguments import positive

    parser = argparse.ArgumentParser(prog="deixis app", description="Open the desk in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=None, help="default: 7860, or the next free one")
    parser.add_argument("--model", default=None, help="a checkpoint folder (default: the embedded one)")
    parser.add_argument("--scan", default=None, help="a scan to open on every new page (default: the example)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--auth", metavar="USER:PASSWORD", default=os.environ.get("DEIXIS_AUTH"),
                        help="who may come in, or a file with one such line each (or DEIXIS_AUTH)")  # fmt: skip
    parser.add_argument("--keep", metavar="DIR", type=Path, default=user_cache() / "desk",
                        help="where sessions are kept (default: %(default)s)")  # fmt: skip
    for name, default, what in LIMITS:
        text = f"{what} (default: {default})"
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=text)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    limits = Limits(
        upload_bytes=args.max_upload_mb * 2**20, answer_seconds=args.answer_seconds,
        memory_bytes=args.max_memory_mb * 2**20, keep_seconds=args.keep_days * 86400, keep_bytes=args.keep_gb * GIB,
    )  # fmt: skip
    try:
        readers = readers_of(args.auth)
        if args.port is not None:
            check_port(args.host, args.port)
        if readers is None and not is_loopback(args.host):
            log.warning("everybody who reaches %s can use this desk: give --auth USER:PASSWORD, and put TLS before it",
                        args.host)  # fmt: skip
        sessions = Sessions(args.model)
        sessions.load_ahead()
        desk = build_desk(scan=args.scan, open_session=sessions, keep=args.keep.expanduser().resolve(), limits=limits)
        launch(desk, host=args.host, port=args.port, browser=not args.no_browser, readers=readers,
               upload_bytes=limits.upload_bytes)  # fmt: skip
    except (DeixisError, OSError) as error:
        print(f"deixis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
