"""What may be typed after `deixis`: sub-commands, arguments, options, and the help about them."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from assistant import __version__

BAD_INPUT = 2
SCAN = ".nii, .nii.gz, .nrrd, .mha, .mhd, a DICOM folder or a zip of one"
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
#: what is said of commands that other packages add (`assistant.cli.other_commands`), where they are installed
OTHERS = {
    "app": "open the desk in the browser",
    "data": "public data sets: which there are, and training data made of them",
    "train": "teach a model your own structure, or run a stage of training",
}


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


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


def temperature(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a temperature: give 0 or more, such as 0.7")
    return value


def folder(text: str) -> str:
    """Where a folder is, or can be made: said before anything is computed that could not be written."""
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file; give a folder, which is made where there is none")
    return text


def build_parser(others: Iterable[str] = ()) -> Parser:
    """others: names of commands that other packages add; they are listed here and parsed there."""
    parser = Parser(
        prog="deixis",
        description="Ask a 3D scan a question: text whose every claim points at measured voxels.",
        epilog=f"deixis COMMAND --help says more of each\n{EPILOGUE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deixis {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    add_questions(commands)
    add_checks(commands)
    add_facts(commands)
    add_server(commands)
    for name in sorted(others):
        commands.add_parser(name, help=OTHERS.get(name, "(of another package)"), add_help=False)
    return parser


# ---- options that several commands have ------------------------------------------------------------------------------


def scan_argument() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("scan", metavar="SCAN", help=SCAN)
    return parser


def reading_options() -> Parser:
    parser = Parser(add_help=False)
    group = parser.add_argument_group("how the scan is read")
    group.add_argument("--series", help="which DICOM series: its number or UID (default: the largest)")
    group.add_argument("--frame", type=int, metavar="N", help="which frame of a 4D file, from 0")
    group.add_argument("--modality", choices=["CT", "MR", "PET"], help="instead of what the file says or the guess")
    return parser


def model_options() -> Parser:
    parser = Parser(add_help=False)
    group = parser.add_argument_group("the model")
    group.add_argument("--model", metavar="DIR", help="a checkpoint folder (default: the embedded model)")
    group.add_argument("--base", metavar="DIR", help="the language model's folder, when it is not found by its name")
    group.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    group.add_argument("--quantize", choices=["8bit", "4bit"], help="load the language model in 8 or 4 bit")
    return parser


def chance_options() -> Parser:
    parser = Parser(add_help=False)
    group = parser.add_argument_group("chance")
    group.add_argument("--temperature", type=temperature, default=0.0, metavar="T",
                       help="default 0: always the same answer")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, metavar="N", help="for temperatures above 0")
    return parser


# ---- the commands ----------------------------------------------------------------------------------------------------


def add_questions(commands: Any) -> None:
    """`ask` and `chat`. commands: what `add_subparsers` gave."""
    one = commands.add_parser(
        "ask", parents=[scan_argument(), reading_options(), model_options(), chance_options()], help="ask one question",
        description="Ask one question about a scan: the masks are measured, and the answer speaks of them.",
        epilog=EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    one.add_argument("question", metavar="QUESTION", help='such as "Is the left hippocampus smaller than the right?"')
    one.add_argument("--point", type=point, action="append", metavar="x,y,z[,label]",
                     help="RAS+ mm; label 1 = part of it (default), 0 = not; may be repeated")  # fmt: skip
    one.add_argument("--box", type=box, metavar="x0,y0,z0,x1,y1,z1", help="two opposite corners, RAS+ mm")
    one.add_argument("--out", type=folder, metavar="DIR", help="write masks, label map, table, page and manifest here")
    one.add_argument("--uncertainty", action="store_true", help="with --out: a map of where each mask is unsure, too")
    one.add_argument("--json", action="store_true", help="print one JSON object (masks go to --out, else to a new "
                     "folder for temporary files)")  # fmt: skip

    talk = commands.add_parser(
        "chat", parents=[reading_options(), model_options(), chance_options()], help="ask several questions",
        description="Talk about a scan: it is read once, and every mask keeps its name (m1, m2, ...).",
        epilog=CHAT_HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    talk.add_argument("scan", metavar="SCAN", nargs="?", help=f"{SCAN}; with --resume: where it lies now, if it was "
                      "moved")  # fmt: skip
    talk.add_argument("--keep", type=folder, metavar="DIR", help="save the session here after every answer")
    talk.add_argument("--resume", metavar="DIR", help="go on with a session that was saved, and save it there")
    talk.add_argument("--out", type=folder, metavar="DIR",
                      help="write masks, label map, table, page and manifest here at the end")  # fmt: skip


def add_checks(commands: Any) -> None:
    """`report` and `compare`. commands: what `add_subparsers` gave."""
    parents = [scan_argument(), reading_options(), model_options()]
    check = commands.add_parser(
        "report", parents=parents, help="check a radiology report against the scan",
        description="Check a radiology report, sentence by sentence, against what is measured on the scan.",
    )  # fmt: skip
    check.add_argument("report", metavar="REPORT", help="a text file")
    check.add_argument("--out", type=folder, metavar="DIR", help="write report.html, report.json and the masks here")
    check.add_argument("--json", action="store_true", help="print one JSON object")

    grown = commands.add_parser(
        "compare", parents=parents, help="compare with an earlier scan of the patient",
        description="Measure a structure in two scans of a patient, the earlier one registered to the later one.",
    )  # fmt: skip
    grown.add_argument("prior", metavar="PRIOR", help="the earlier scan")
    grown.add_argument("question", metavar="STRUCTURE", help='such as "left hippocampus" or "has the tumour grown?"')
    grown.add_argument("--out", type=folder, metavar="DIR",
                       help="write comparison.html, .json, changes.csv and the masks here")  # fmt: skip
    grown.add_argument("--json", action="store_true", help="print one JSON object")


def add_facts(commands: Any) -> None:
    """`info`. commands: what `add_subparsers` gave."""
    facts = commands.add_parser(
        "info", parents=[scan_argument(), reading_options()], help="say what a scan is, without a model",
        description="Say what a scan is (modality, size, orientation, intensities) and what is odd about it.",
    )  # fmt: skip
    facts.add_argument("--json", action="store_true", help="print one JSON object")


def add_server(commands: Any) -> None:
    """`serve`. commands: what `add_subparsers` gave."""
    server = commands.add_parser(
        "serve", parents=[model_options()], help="answer over HTTP", epilog=SERVER_EPILOG,
        description="Answer over HTTP in the format of OpenAI's chat completions; /docs of the server says more.",
    )  # fmt: skip
    server.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    server.add_argument("--port", type=int, default=8000, metavar="N", help="default: 8000")
    server.add_argument("--api-key", metavar="KEY", default=os.environ.get("DEIXIS_API_KEY"),
                        help="what clients must send; needed with --host")  # fmt: skip
    for name, default, what in SERVER_LIMITS:
        text = f"{what} (default: {default})"
        server.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=text)
