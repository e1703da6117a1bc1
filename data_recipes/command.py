"""`deixis data`: which public sets there are recipes for, whether a download is whole, and what is made of it.

    deixis data list
    deixis data verify amos=/data/amos22 msd=/data/msd
    deixis data build amos=/data/amos22 slake=/data/Slake1.0 --out built
    deixis data inspect built --out pictures

A data set is given as NAME=FOLDER: the recipe's name and where the download was unpacked. Exit codes: 0, and 2 when a
download is not whole or an argument is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.commands.arguments import BAD_INPUT, Parser
from assistant.errors import DeixisError
from data_recipes import registry
from data_recipes.schema import SPLITS, RecipeError, Record

if TYPE_CHECKING:
    from data_recipes.rewriter import Rewriter
    from data_recipes.units import Source


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(list(sys.argv[1:] if argv is None else argv))
    run = {"list": _list, "verify": _verify, "build": _build, "inspect": _inspect}[options.command]
    try:
        return run(options)
    except (RecipeError, DeixisError) as error:
        print(f"deixis data {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> Parser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="deixis data", description=__doc__, formatter_class=plain)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="the recipes, their licences and where the data is published")
    verify = commands.add_parser("verify", help="read every case of some downloads and name what is wrong with them")
    verify.add_argument("sources", nargs="+", metavar="NAME=FOLDER")
    verify.add_argument("-n", type=int, metavar="N", help="only the first N cases of each split")
    build = commands.add_parser("build", help="write conversations about some data sets as Arrow, for training")
    build.add_argument("sources", nargs="+", metavar="NAME=FOLDER")
    build.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new one, or a build to go on with")
    build.add_argument("--per-case", type=int, default=4, metavar="N", help="conversations made of a case (default: 4)")
    build.add_argument("--seed", type=int, default=0)
    build.add_argument("--skip-damaged", action="store_true", help="leave damaged cases out and name them")
    build.add_argument("--leave-out", type=Path, metavar="FILE", help="scans not to read: amos/amos_0001, a line each")
    build.add_argument(
        "--rewrite", default="", metavar="URL | MODEL",
        help="put questions in other words: an OpenAI-compatible endpoint (http://host/v1; its key in "
        "DEIXIS_REWRITE_KEY) or a causal language model of Hugging Face; what changes a name, side, number or denial "
        "is not taken",
    )  # fmt: skip
    build.add_argument("--rewrite-model", default="", metavar="NAME", help="which of the endpoint's models")
    build.add_argument(
        "--rewrite-cache", type=Path, metavar="FILE", help="keeps the answers (default: OUT with .rewritten.jsonl)"
    )
    inspect = commands.add_parser("inspect", help="print a few conversations as training reads them, and count all")
    inspect.add_argument("given", nargs="*", metavar="BUILD | NAME=FOLDER", help="default: made-up conversations")
    inspect.add_argument("-n", type=int, default=3, metavar="N", help="how many (default: 3)")
    inspect.add_argument("--seed", type=int, default=0)
    inspect.add_argument("--out", type=Path, metavar="FOLDER", help="write each with its masks as a PNG into a folder")
    return parser


def _source(text: str) -> Source:
    from data_recipes.units import Source

    return Source(*registry.named_folder(text))


def _list(options: argparse.Namespace) -> int:
    print("\n".join(described()))
    return 0


def described() -> list[str]:
    """Two lines a recipe: what it reads; its licence and address."""
    lines = []
    for name, recipe in registry.RECIPES.items():
        about = recipe.ABOUT
        lines.append(f"{name:19} {(recipe.__doc__ or '').splitlines()[0]}")
        lines.append(f"{'':19} {about.licence}; commercial use: {about.commercial}; {about.source}")
    return lines


def _verify(options: argparse.Namespace) -> int:
    from data_recipes.verify import verify

    progress = _Progress()
    verdict = verify([_source(text) for text in options.sources], options.n, progress)
    progress.end()
    for note in verdict.notes:
        print(f"note: {note}")
    for problem in verdict.problems:
        print(f"problem: {problem}")
    print("; ".join(f"{name}: {count} read" for name, count in verdict.read.items()) or "nothing read")
    return BAD_INPUT if verdict.problems else 0


def _build(options: argparse.Namespace) -> int:
    from data_recipes import arrow

    sources = [_source(text) for text in options.sources]
    for source in sources:
        if source.about.commercial != "yes":
            line = f"{source.name}: commercial use: {source.about.commercial} ({source.about.licence})"
            print(line, file=sys.stderr)
    left_out = _lines(options.leave_out) if options.leave_out else ()
    rewriter = _rewriter(options)
    settings = arrow.Settings(
        per_case=options.per_case, seed=options.seed, skip=options.skip_damaged, leave_out=left_out,
        rewriter="" if rewriter is None else rewriter.writer.name,
    )  # fmt: skip
    progress = _Progress()
    built = arrow.build(sources, options.out, settings, progress, rewriter)
    progress.end()
    if rewriter is not None:
        for what, count in rewriter.told.most_common():
            print(f"questions {what}: {count}")
    for line in built.left_out:
        print(f"left out: {line}")
    for line in built.duplicates:
        print(f"twice: {line}")
    print(f"{built.records} records in {options.out}")
    return 0


def _rewriter(options: argparse.Namespace) -> Rewriter | None:
    if not options.rewrite:
        if options.rewrite_model or options.rewrite_cache:
            raise RecipeError("--rewrite-model and --rewrite-cache do nothing alone: give --rewrite too")
        return None
    from data_recipes.rewriter import Rewriter, writer_of

    beside = options.out.with_name(f"{options.out.name}.rewritten.jsonl")
    return Rewriter(writer_of(options.rewrite, options.rewrite_model), options.rewrite_cache or beside)


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}): give a text file, a scan a line") from error


def _inspect(options: argparse.Namespace) -> int:
    from data_recipes import mixture_table

    if not options.given:
        print("\n\n".join(conversation_texts(options.seed, options.n)))
        return 0
    rng = random.Random(options.seed)
    if any("=" in text for text in options.given):
        counted, shown = _of_downloads([_source(text) for text in options.given], options, rng)
    elif len(options.given) == 1:
        counted, shown = _of_build(Path(options.given[0]), options, rng)
    else:
        raise RecipeError(f"{', '.join(options.given)} are several builds: give one, or downloads as NAME=FOLDER")
    for number, (root, record) in enumerate(shown):
        print(record_text(record) + "\n")
        if options.out is not None:
            print(f"-> {_picture(options.out / f'{number:03}.png', root, record)}\n")
    print("\n".join(mixture_table.lines(counted)))
    return 0


Shown = list[tuple[Path, Record]]  # data root, record


def _of_build(out: Path, options: argparse.Namespace, rng: random.Random) -> tuple[dict[str, Counter[str]], Shown]:
    """Counts of a whole build, and a few of its records."""
    from data_recipes import arrow, mixture_table

    roots = arrow.roots(out)
    total = sum(1 for split in SPLITS for _ in arrow.read(out, split))
    wanted = set(rng.sample(range(total), min(total, max(0, options.n))))
    shown: Shown = []

    def passing() -> Iterator[tuple[str, Record]]:
        for number, record in enumerate(record for split in SPLITS for record in arrow.read(out, split)):
            if number in wanted:
                shown.append((roots[record.dataset], record))
            yield record.dataset, record

    return mixture_table.counts(passing()), shown


def _of_downloads(
    sources: Sequence[Source], options: argparse.Namespace, rng: random.Random
) -> tuple[dict[str, Counter[str]], Shown]:
    """Counts of the cases and records of some downloads, and conversations about a few of them."""
    from data_recipes import mixture_table
    from data_recipes.units import units

    every = [unit for split in SPLITS for unit in units(sources, split, [])]
    counted = mixture_table.counts((unit.source.name, unit.item) for unit in every)
    some = rng.sample(every, min(len(every), max(0, options.n)))
    return counted, [(unit.source.root, record) for unit in some for record in unit.read(1, options.seed)[0]]


def _picture(path: Path, root: Path, record: Record) -> Path:
    from data_recipes.overlay import of_record

    path.parent.mkdir(parents=True, exist_ok=True)
    of_record(root, record).save(path)
    return path


def record_text(record: Record) -> str:
    """A record with its markup: id and kind, then one line a message."""
    head = f"# {record.id}: {record.kind} ({record.family}, {record.images[0].modality if record.images else '-'})"
    return "\n".join([head, *(f"{message.role}: {message.content}" for message in record.messages)])


def conversation_texts(seed: int, count: int) -> list[str]:
    """Conversations with their markup: scan and kind, then one line a message."""
    from data_recipes.instructions import conversations
    from data_recipes.instructions.mixture import FULL

    return [
        "\n".join(
            [
                f"# {talk.kind} ({talk.family}, {talk.modality})",
                *(f"{message.role}: {message.content}" for message in talk.messages),
            ]
        )
        for talk in conversations(seed, max(0, count), mixture=FULL)
    ]


class _Progress:
    """Lines of progress on stderr: one that changes in a terminal, one every ten seconds in a file."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def __call__(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line:70}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.said >= 10:
            print(line, file=sys.stderr, flush=True)
            self.said = time.monotonic()

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
