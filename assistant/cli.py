"""The `deixis` command: `ask`, `chat`, `report`, `compare`, `info`, `serve`, and what other packages add (`app`, ...).

    deixis ask scan.nii.gz "Is the left hippocampus smaller than the right?" --out result
    deixis ask scan.nii.gz "What is this?" --point -25,-20,-15 --json
    deixis chat scan.nii.gz --keep my-session      # after a crash: deixis chat --resume my-session
    deixis report scan.nii.gz report.txt --out result
    deixis compare now.nii.gz before.nii.gz "left hippocampus"

Points and boxes are RAS+ millimetres: x to the patient's right, y to the front, z up. stdout carries the answer and
nothing else; progress and errors go to stderr. Exit codes: 0, and 2 for bad usage or input, with one line saying why.

Imports inside functions: `deixis --help` and `deixis info` must not wait for torch.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from assistant import __version__
from assistant.errors import DeixisError, QuestionError

if TYPE_CHECKING:
    from assistant.generate import Event, Finding
    from assistant.session import Reply, Session

COMMANDS = "deixis.commands"
BAD_INPUT = 2
INTERNAL_ERROR = 1
INTERRUPTED = 130
# Set before the libraries are imported: nothing is looked up on a network, nothing is reported, nothing but our own
# words reaches the terminal. A variable the user has set stays.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
}
EPILOGUE = """points and boxes are millimetres in RAS+ (x to the patient's right, y to the front, z up)
research use only: not for diagnosis or treatment"""
SERVER_EPILOG = "the key may also be given as DEIXIS_API_KEY, where other users of the machine do not see it"
SERVER_LIMITS = (
    ("max-upload-mb", 1024, "size of an uploaded scan's file"),
    ("max-inline-mb", 64, "size of a scan inside a chat request"),
    ("max-scans", 16, "scans kept at a time"),
    ("idle-minutes", 30, "without a request, after which a scan is deleted"),
    ("max-memory-mb", 4096, "memory of all open scans together, without the model"),
    ("answer-seconds", 120, "time of computing one answer"),
    ("max-waiting", 8, "questions in line"),
)
CHAT_HELP = """Type a question. Commands:
  /point x,y,z[,0]     point for the next question (RAS+ mm; 0 = not part of it)
  /box x0,y0,z0,x1,y1,z1
  /mask m1             ask about an earlier mask
  /refine m1           change that mask with the points and the box given before
  /findings            all masks so far
  /undo  /redo         take back the last question, bring it back
  /retry               answer the last question anew
  /edit QUESTION       ask this instead of the last question
  /back N              go back to after N questions, to go on another way (/redo leads forward again)
  /export DIR          write masks, table and page   /quit"""


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    arguments = attach_coordinates(list(sys.argv[1:] if argv is None else argv))
    try:
        if arguments and arguments[0] in (others := other_commands()):
            return others[arguments[0]].load()(arguments[1:]) or 0
        options = build_parser().parse_args(arguments)
        commands = {"ask": ask, "chat": chat, "report": report, "compare": compare, "info": info, "serve": serve}
        run = commands[options.command]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(options)
        return 0
    except SystemExit as stop:  # argparse: --help, --version and bad usage
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except DeixisError as error:
        return fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`deixis info x | head -1`); nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERNAL_ERROR
    except OSError as error:
        return fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), BAD_INPUT)
    except MemoryError:
        return fail("not enough memory: crop the scan or close other programs", BAD_INPUT)
    except Exception as error:  # noqa: BLE001 - the last frame of the program: a bug is told in one line, or in full on request
        if os.environ.get("DEIXIS_TRACEBACK"):
            traceback.print_exc()
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return fail(f"internal error, please report it: {words} (DEIXIS_TRACEBACK=1 shows where)", INTERNAL_ERROR)


def fail(message: str, code: int) -> int:
    print(f"deixis: {' '.join(message.split())}", file=sys.stderr)
    return code


def other_commands() -> dict[str, importlib.metadata.EntryPoint]:
    """Commands that other packages add to ours; none of them is imported before its name is typed."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=COMMANDS)}


def attach_coordinates(arguments: list[str]) -> list[str]:
    """`--point -20,3,4` -> `--point=-20,3,4`: argparse takes a value that starts with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--point", "--box") and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def numbers(text: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    """ "1,-2.5,3" -> (1.0, -2.5, 3.0)"""
    wanted = " or ".join(str(count) for count in counts)
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted} numbers in millimetres (RAS+) with commas between")
    return values


def point(text: str) -> tuple[float, ...]:
    return numbers(text, (3, 4))


def box(text: str) -> tuple[float, ...]:
    return numbers(text, (6,))


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def build_parser() -> Parser:
    parser = Parser(
        prog="deixis",
        description="Ask a 3D scan a question: text whose every claim points at measured voxels.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deixis {__version__}")
    others = ", ".join(sorted(other_commands()))
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, description=f"further commands: {others}" if others else None
    )

    file = Parser(add_help=False)
    file.add_argument("scan", metavar="SCAN", help=".nii, .nii.gz, .nrrd, .mha, .mhd, a DICOM folder or a zip of one")

    reading = Parser(add_help=False)
    reading.add_argument("--series", help="which DICOM series: its number or UID (default: the largest)")
    reading.add_argument("--frame", type=int, metavar="N", help="which frame of a 4D file, from 0")
    reading.add_argument("--modality", choices=["CT", "MR", "PET"], help="instead of what the file says or the guess")
    scan = Parser(add_help=False, parents=[file, reading])

    model = Parser(add_help=False)
    model.add_argument("--model", metavar="DIR", help="a checkpoint folder (default: the embedded model)")
    model.add_argument("--base", metavar="DIR", help="the language model's folder, when it is not found by its name")
    model.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    model.add_argument("--quantize", choices=["8bit", "4bit"], help="load the language model in 8 or 4 bit")

    chance = Parser(add_help=False)
    chance.add_argument("--temperature", type=float, default=0.0, metavar="T", help="default 0: always the same answer")
    chance.add_argument("--seed", type=int, default=0, metavar="N", help="for temperatures above 0")

    one = commands.add_parser("ask", parents=[scan, model, chance], help="ask one question", epilog=EPILOGUE,
                              formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    one.add_argument("question", metavar="QUESTION")
    one.add_argument("--point", type=point, action="append", metavar="x,y,z[,label]",
                     help="RAS+ mm; label 1 = part of it (default), 0 = not; may be repeated")  # fmt: skip
    one.add_argument("--box", type=box, metavar="x0,y0,z0,x1,y1,z1", help="two opposite corners, RAS+ mm")
    one.add_argument("--out", metavar="DIR", help="write masks, label map, table, page and manifest here")
    one.add_argument("--uncertainty", action="store_true", help="with --out: a map of where each mask is unsure, too")
    one.add_argument("--json", action="store_true", help="print one JSON object (masks go to --out, else to a new "
                     "folder for temporary files)")  # fmt: skip

    talk = commands.add_parser("chat", parents=[reading, model, chance], help="ask several questions", epilog=CHAT_HELP,
                               formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    talk.add_argument("scan", metavar="SCAN", nargs="?", help="with --resume: where the scan lies now, if it was moved")
    talk.add_argument("--keep", metavar="DIR", help="save the session here after every answer")
    talk.add_argument("--resume", metavar="DIR", help="go on with a session that was saved, and save it there")
    talk.add_argument("--out", metavar="DIR", help="write masks, label map, table, page and manifest here at the end")

    check = commands.add_parser("report", parents=[scan, model], help="check a radiology report against the scan")
    check.add_argument("report", metavar="REPORT", help="a text file")
    check.add_argument("--out", metavar="DIR", help="write report.html, report.json and the masks here")
    check.add_argument("--json", action="store_true", help="print one JSON object")

    grown = commands.add_parser("compare", parents=[scan, model], help="compare with an earlier scan of the patient")
    grown.add_argument("prior", metavar="PRIOR", help="the earlier scan")
    grown.add_argument("question", metavar="STRUCTURE", help='such as "left hippocampus" or "has the tumour grown?"')
    grown.add_argument("--out", metavar="DIR", help="write comparison.html, .json, changes.csv and the masks here")
    grown.add_argument("--json", action="store_true", help="print one JSON object")

    facts = commands.add_parser("info", parents=[scan], help="say what a scan is, without a model")
    facts.add_argument("--json", action="store_true", help="print one JSON object")

    server = commands.add_parser("serve", parents=[model], help="answer over HTTP", epilog=SERVER_EPILOG)
    server.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    server.add_argument("--port", type=int, default=8000, metavar="N", help="default: 8000")
    server.add_argument("--api-key", metavar="KEY", default=os.environ.get("DEIXIS_API_KEY"),
                        help="what clients must send; needed with --host")  # fmt: skip
    for name, default, what in SERVER_LIMITS:
        text = f"{what} (default: {default})"
        server.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=text)
    return parser


def info(options: argparse.Namespace) -> None:
    from assistant.export import scan_facts
    from assistant.volume import open_volume

    with stdout_kept():
        volume = open_volume(options.scan, series=options.series, frame=options.frame, modality=options.modality)
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    facts = scan_facts(volume) | {"intensity_range": [low, high]}
    if options.json:
        print_json(facts)
        return
    unit = f" {volume.intensity_unit}" if volume.intensity_unit else ""
    rows = {
        "scan": volume.name,
        "modality": f"{volume.modality} ({volume.modality_source})",
        "shape": " x ".join(map(str, facts["shape"])) + f" voxels, axes {facts['orientation']}",
        "spacing": " x ".join(f"{value:g}" for value in volume.spacing.round(4)) + " mm (x, y, z in RAS+ order)",
        "extent": " x ".join(f"{value:.1f}" for value in volume.extent_mm) + " mm",
        "intensity": f"{low:g} to {high:g}{unit}",
        "sha256": volume.sha256,
    }
    for name, value in rows.items():
        print(f"{name:10} {value}")
    for note in volume.notes:
        print(f"{'note':10} {note}")


def open_session(options: argparse.Namespace) -> Session:
    from assistant.session import Session

    return Session.open(
        options.scan,
        model=options.model,
        base=options.base,
        series=options.series,
        frame=options.frame,
        modality=options.modality,
        device=options.device,
        quantize=options.quantize,
    )


def resume_session(options: argparse.Namespace) -> Session:
    from assistant.session import Session

    return Session.restore(
        options.resume, scan=options.scan, model=options.model, base=options.base, device=options.device,
        quantize=options.quantize,
    )  # fmt: skip


def ask(options: argparse.Namespace) -> None:
    from assistant.question import checked_question

    checked_question(options.question)  # before the seconds that opening takes
    with stdout_kept():
        session = open_session(options)
        reply = session.ask(
            options.question, options.point, options.box, temperature=options.temperature, seed=options.seed
        )
        folder = options.out
        if folder is None and options.json and any(finding.present for finding in reply.findings):
            folder = tempfile.mkdtemp(prefix="deixis-")
        manifest = None if folder is None else session.export(folder, uncertainty=options.uncertainty)
    if options.json:
        print_json(reply_facts(session, reply, manifest))
        return
    print(reply.text)
    print_findings(reply)
    if manifest is not None:
        print(f"written to {manifest.parent}", file=sys.stderr)


def report(options: argparse.Namespace) -> None:
    from assistant.report import read_report
    from assistant.report_page import MARKS, export_report, report_facts

    text = read_report(options.report)
    with stdout_kept():
        session = open_session(options)
        grounded = session.ground_report(text)
        page = None if options.out is None else export_report(session, grounded, options.out)
    if options.json:
        print_json(report_facts(session, grounded))
    else:
        for line in grounded.lines:
            words = " ".join(line.sentence.text.split())
            print(f"{MARKS[line.status]} {words}{''.join(f' [{mask}]' for mask in line.masks)}")
            for check in line.checks:
                print(f"    {MARKS[check.verdict]} {check.text}")
        print(grounded.summary)
    if page is not None:
        print(f"written to {page}", file=sys.stderr)


def compare(options: argparse.Namespace) -> None:
    from assistant.prior import comparison_facts
    from assistant.prior_page import export_comparison

    with stdout_kept():
        session = open_session(options)
        comparison = session.open_prior(options.prior, modality=options.modality).compare(options.question)
        page = None if options.out is None else export_comparison(session, comparison, options.out)
    if options.json:
        print_json(comparison_facts(comparison))
    else:
        print(comparison.text)
    if page is not None:
        print(f"written to {page}", file=sys.stderr)


def reply_facts(session: Session, reply: Reply, manifest: Path | None) -> dict[str, Any]:
    """The object of `ask --json`: text, findings with the paths of their masks, timings in seconds, model."""
    paths: dict[str, str] = {}
    if manifest is not None:
        masks = json.loads(manifest.read_text(encoding="utf-8"))["masks"]
        paths = {mask["id"]: str((manifest.parent / mask["file"]).resolve()) for mask in masks}
    from assistant.export import finding_facts, model_facts

    keys = ("id", "phrase", "present", "presence", "quality", "volume_ml", "longest_diameter_mm", "mean_intensity")
    findings = []
    for finding in reply.findings:
        facts = finding_facts(finding)
        findings.append({key: facts[key] for key in keys} | {"mask": paths.get(finding.id)})
    return {
        "text": reply.text,
        "findings": findings,
        "timings": dict(reply.timings),
        "model": model_facts(session.model),
    }


def serve(options: argparse.Namespace) -> None:
    """`deixis serve`: until interrupted. Bad usage and a model that cannot be loaded end it before it listens."""
    from assistant.serving.address import check_binding

    check_binding(options.host, options.port, options.api_key)  # before the seconds that the rest takes
    from assistant import server
    from assistant.serving.tenancy import MIB, Limits
    from assistant.session import load_model

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    limits = Limits(
        upload_bytes=options.max_upload_mb * MIB,
        inline_bytes=options.max_inline_mb * MIB,
        scans=options.max_scans,
        idle_seconds=options.idle_minutes * 60,
        memory_bytes=options.max_memory_mb * MIB,
        answer_seconds=options.answer_seconds,
        waiting=options.max_waiting,
    )
    with stdout_kept():
        model = load_model(options.model, options.base, options.device, options.quantize)
        server.serve(model, options.host, options.port, options.api_key, limits)


def chat(options: argparse.Namespace) -> None:
    if options.scan is None and options.resume is None:
        raise QuestionError("nothing to talk about: give a scan, or --resume and the folder of a saved session")
    if options.resume and options.keep:
        raise QuestionError("--resume saves into its own folder: leave --keep out")
    with stdout_kept():
        session = open_session(options) if options.resume is None else resume_session(options)
    size = " x ".join(map(str, session.volume.native.shape))
    print(f"{session.volume.name}: {session.volume.modality}, {size} voxels")
    for note in session.volume.notes:
        print(f"note: {note}")
    for turn in session.turns:
        print(f"> {turn.question.text}\n{turn.reply.text}")
    print(CHAT_HELP, flush=True)
    with stdout_kept():
        session.prepare()  # while the user reads and types
    with session.reading_on():
        converse(session, options)
    if options.out and session.turns:
        print(f"written to {session.export(options.out).parent}")


def converse(session: Session, options: argparse.Namespace) -> None:
    """Lines from the terminal, each a question or a command, until there are no more."""
    pointing: dict[str, Any] = {}
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            break
        if not line:
            continue
        if line in ("/quit", "/exit"):
            break
        try:
            if line.startswith("/"):
                chat_command(session, line, pointing, options)
            else:
                asked, pointing = pointing, {}  # also when it is refused: a bad point must not spoil the next question
                say_reply(session, line, asked, options)
            if folder := options.keep or options.resume:
                session.save(folder)
        except (DeixisError, argparse.ArgumentTypeError) as error:
            print(f"deixis: {error}", file=sys.stderr)  # the conversation goes on
        except KeyboardInterrupt:
            print("\nstopped")


def chat_command(session: Session, line: str, pointing: dict[str, Any], options: argparse.Namespace) -> None:
    """One line that starts with a slash; what is pointed at is collected for the next question."""
    from assistant.question import checked_question

    name, _, value = line.partition(" ")
    value = value.strip()
    if name == "/point":
        pointing.setdefault("points", []).append(point(value))
    elif name == "/box":
        pointing["box"] = box(value)
    elif name == "/mask":
        session.native_mask(value)  # says now when there is no such mask
        pointing["mask_id"] = value
    elif name == "/findings":
        for finding in session.findings:
            print(finding_line(finding))
    elif name == "/undo":
        print(f"taken back: {session.undo().question.text}")
    elif name == "/redo":
        turn = session.redo()
        print(f"brought back: {turn.question.text}\n{turn.reply.text}")
    elif name == "/retry":
        say_events(session, session.retry())
    elif name == "/edit":
        checked_question(value)  # before anything is taken back
        session.undo()
        say_reply(session, value, {}, options)
    elif name == "/back":
        session.rewind(int(value) if value.isdecimal() else -1)
        print(f"back to after {len(session.turns)} questions")
    elif name == "/refine":
        given = {key: pointing.pop(key) for key in ("points", "box") if key in pointing}
        say_events(session, session.refining(value, **given))
    elif name == "/export":
        print(f"written to {session.export(value or 'deixis-export').parent}")
    else:
        print(CHAT_HELP)


def say_reply(session: Session, question: str, pointing: dict[str, Any], options: argparse.Namespace) -> None:
    """Ask, and show the reply."""
    say_events(session, session.stream(question, temperature=options.temperature, seed=options.seed, **pointing))


def say_events(session: Session, events: Iterator[Event]) -> None:
    """Stream one reply to the terminal, then its measurements."""
    from assistant.generate import Delta

    streamed = ""
    for event in events:
        if isinstance(event, Delta):
            streamed += event.text
            print(event.text, end="", flush=True)
    reply = session.turns[-1].reply
    print()
    if reply.text.strip() != streamed.strip():  # the measurements said otherwise
        print(f"corrected: {reply.text}")
    print_findings(reply)


def print_findings(reply: Reply) -> None:
    for finding in reply.findings:
        print(finding_line(finding))


def finding_line(finding: Finding) -> str:
    """One finding on one line, in the decimals of the notes: `m1  left hippocampus: 2.9 mL, 38.1 mm, mean 112, ...`."""
    from assistant.evidence import format_mean, format_ml, format_mm, format_probability

    words = [] if finding.present else ["not found" if finding.taught else "never taught"]
    if finding.volume_ml is not None:
        words.append(f"{format_ml(finding.volume_ml)} mL")
    if finding.longest_diameter_mm is not None:
        words.append(f"longest diameter {format_mm(finding.longest_diameter_mm)} mm")
    if finding.mean_intensity is not None:
        words.append(f"mean {format_mean(finding.mean_intensity)} {finding.intensity_unit}".rstrip())
    if finding.taught:
        words.append(f"presence {format_probability(finding.presence)}")
    if finding.quality is not None and finding.taught:
        words.append(f"quality {format_probability(finding.quality)}")
    made = f" = {finding.made}" if finding.made else ""
    return f"{finding.id or '-':4}{finding.phrase}{made}: {', '.join(words)}"


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """Whatever a library prints goes to stderr: stdout is for the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


if __name__ == "__main__":
    sys.exit(main())
