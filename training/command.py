"""`deixis train ...`: your own labelled scans; `deixis train STAGE ...`: the programs of this folder under one name.

    deixis train --images scans --labels labels --names names.json --out my-model
    deixis train see --config training/configs/see.yaml --out runs/see

The same as `python -m training.own ...` and `python -m training.see ...`; a stage is imported when its name is typed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from assistant.commands.arguments import Parser

OWN = "own"
STAGES = {
    OWN: "your own labelled scans teach a finished model a new structure; without a stage's name it is this",
    "pack": "read the training cases once and keep them as small arrays",
    "pretrain": "the vision encoder before See: masked scans, or scans and their reports",
    "see": "encoder and mask decoder: (scan, phrase) -> mask or absent",
    "refine": "what a click changes, on a finished See run",
    "shifts": "how much larger or smaller each structure's masks of a See run are to be drawn",
    "calibrate": "presence, quality and mask thresholds of a finished See run",
    "check": "a See run's masks against expert ones, without a language model",
    "features": "visual tokens and region features of real scans, for the next two",
    "align": "the projector: the frozen language model learns to read the scan",
    "converse": "LoRA: grounding first, then the sentence",
    "readout": "how masks are read off the finished language model; the last stage",
    "compare": "kinds of adapter side by side: the same Converse with each, and what it costs",
    "prefer": "the right statement before one with a wrong side, number, presence or comparison",
    "throughput": "samples/s, tokens/s and memory of converse, against a plain Trainer loop",
    "baselines": "a specialist a family, without words, to be measured against",
    "evaluate": "ask a checkpoint in words and compare its masks with expert ones",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage with the arguments after its name; its exit code. 2 for bad usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    width = max(map(len, STAGES))
    parser = Parser(
        prog="deixis train",
        usage="deixis train --images DIR --labels DIR --names JSON --out DIR [...]\n       deixis train STAGE [...]",
        description="stages:\n" + "\n".join(f"  {name:{width}}  {what}" for name, what in STAGES.items()),
        epilog="`deixis train STAGE --help` lists a stage's options",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", metavar="STAGE", choices=STAGES)
    if arguments and arguments[0].startswith("--") and arguments[0] != "--help":
        arguments.insert(0, OWN)
    stage = parser.parse_args(arguments[:1]).stage  # the rest is the stage's, its --help too
    before = sys.argv
    sys.argv = [f"deixis train {stage}", *arguments[1:]]  # argparse takes the name of a program from here
    try:
        return int(importlib.import_module(f"training.{stage}").main(arguments[1:]) or 0)
    finally:
        sys.argv = before


if __name__ == "__main__":
    sys.exit(main())
