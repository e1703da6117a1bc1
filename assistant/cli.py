"""The `deixis` command: `ask`, `chat`, `report`, `compare`, `info`, `serve`, and what other packages add (`app`, ...).

    deixis ask scan.nii.gz "Is the left hippocampus smaller than the right?" --out result
    deixis ask scan.nii.gz "What is this?" --point -25,-20,-15 --json
    deixis chat scan.nii.gz --keep my-session      # after a crash: deixis chat --resume my-session
    deixis report scan.nii.gz report.txt --out result
    deixis compare now.nii.gz before.nii.gz "left hippocampus"

Points and boxes are RAS+ millimetres: x to the patient's right, y to the front, z up. stdout carries the answer and
nothing else; progress and errors go to stderr. Exit codes: 0, and 2 for bad usage or input, with one line saying why.

The commands themselves are in `assistant/commands/`.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from assistant.commands import chat, serve, single
from assistant.commands.arguments import BAD_INPUT, attach_coordinates, build_parser
from assistant.errors import DeixisError

COMMANDS = "deixis.commands"
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    arguments = attach_coordinates(list(sys.argv[1:] if argv is None else argv))
    try:
        others = other_commands()
        if arguments and arguments[0] in others:
            return others[arguments[0]].load()(arguments[1:]) or 0
        options = build_parser(others).parse_args(arguments)
        commands = {
            "ask": single.ask, "report": single.report, "compare": single.compare, "info": single.info,
            "chat": chat.chat, "serve": serve.serve,
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            commands[options.command](options)
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


if __name__ == "__main__":
    sys.exit(main())
