"""Ask a trained model in words, compare its masks with expert ones, time it; write what came of it.

    python -m training.evaluate --data ../shared/data --split dev --model assistant/checkpoints/default --out runs/dev

Every target is asked the way a user would ("Segment the left parotid gland."), through the whole chat path: words,
language model, `<SEG>`, mask decoder, native grid. No class number is passed anywhere. A mask counts for a target only
if the model named that target. Each question is taken back (`Session.undo`) before the next, so that answers do not
depend on the order of the questions; the scan is encoded once. `training/metrics.py` says what is done about empty
masks.

Then it points at the innermost voxel of each structure ("What is this?"); and on a few scans it asks in other words
(`wordings`), of the same scan changed (`robustness`), corrects with clicks (`clicks`), asks whether chosen structures
are there (`pope`), asks what has one right answer and what the instruction templates ask (`answers`: `closed`,
`texts`), and in words that exclude and compose (`composition`). Every reply of all of these is checked against its own
masks (`faithful`).

Writes report.md and report.html (for people), summary.json, and a CSV for each study, one line a question.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import DeixisError
from assistant.volume import Volume
from data_recipes.local import INDEX
from data_recipes.schema import RecipeError
from training import (
    clicks,
    closed,
    composed,
    faithful,
    masks,
    metrics,
    plots,
    pope,
    radiology_scores,
    robustness,
    texts,
    wordings,
)
from training.clicks import Clicked
from training.closed import Closed
from training.composed import Composed
from training.faithful import Checked, Checking
from training.masks import Row
from training.pointing import Pointing, point_out
from training.pope import Poll, View
from training.robustness import Perturbed
from training.scans import FAMILIES, Scan, group_name, scans
from training.texts import Scorer, Told
from training.wordings import Wording

if TYPE_CHECKING:
    from assistant.model import DeixisModel

STUDIES = ("masks", "pointing", "words", "robustness", "clicks", "pope", "answers", "composition")


@dataclass
class Results:
    """All rows of an evaluation, one list a file."""

    cases: list[Row] = field(default_factory=list)
    pointing: list[Pointing] = field(default_factory=list)
    words: list[Wording] = field(default_factory=list)
    robustness: list[Perturbed] = field(default_factory=list)
    clicks: list[Clicked] = field(default_factory=list)
    pope: list[Poll] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    texts: list[Told] = field(default_factory=list)
    composed: list[Composed] = field(default_factory=list)
    faithful: list[Checked] = field(default_factory=list)


def summarise(results: Results, scorers: Mapping[str, Scorer] | None = None) -> dict[str, Any]:
    """All figures: of the masks by family and structure, and of each study; None of one that was not made. scorers:
    more figures for texts."""
    return {
        **masks.summarise(results.cases),
        "pointed_right": metrics.Rate(sum(p.right for p in results.pointing), len(results.pointing)).to_dict(),
        "words": wordings.summarise(results.words) if results.words else None,
        "robustness": robustness.summarise(results.robustness) if results.robustness else None,
        "clicks": clicks.summarise(results.clicks) if results.clicks else None,
        "pope": pope.summarise(results.pope) if results.pope else None,
        "closed": closed.summarise(results.closed) if results.closed else None,
        "texts": texts.summarise(results.texts, scorers) if results.texts else None,
        "composed": composed.summarise(results.composed) if results.composed else None,
        "faithful": faithful.summarise(results.faithful) if results.faithful else None,
    }


def data_identity(root: Path | None, cases: Sequence[str]) -> dict[str, Any]:
    """What was asked about: the hash of the data folder's index (None where it has none) and of the cases, in order."""
    index = None if root is None else root / INDEX
    return {
        "index_sha256": hashlib.sha256(index.read_bytes()).hexdigest() if index and index.is_file() else None,
        "cases": len(cases),
        "cases_sha256": hashlib.sha256("\n".join(cases).encode()).hexdigest(),
    }


def write(
    out: Path,
    results: Results,
    about: dict[str, Any],
    pictures: Sequence[plots.Picture] = (),
    scorers: Mapping[str, Scorer] | None = None,
) -> dict[str, Any]:
    """A CSV for each study, summary.json, report.md and report.html in ``out``; the summary."""
    from training.report import markdown

    out.mkdir(parents=True, exist_ok=True)
    for part in fields(results):
        lines = getattr(results, part.name)
        if lines:
            with (out / f"{part.name}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, [f.name for f in fields(lines[0])])
                writer.writeheader()
                writer.writerows(asdict(line) for line in lines)
    summary = {**about, **summarise(results, scorers)}
    # NaN is no JSON: what is undefined is null
    (out / "summary.json").write_text(json.dumps(_plain(summary), indent=1, allow_nan=False) + "\n")
    (out / "report.md").write_text(markdown(summary))
    (out / "report.html").write_text(plots.page(summary, pictures), encoding="utf-8")
    return summary


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _studies(text: str) -> tuple[str, ...]:
    return _of(STUDIES, text)


def _scores(text: str) -> tuple[str, ...]:
    return _of(tuple(radiology_scores.SCORERS), text)


def _of(known: Sequence[str], text: str) -> tuple[str, ...]:
    chosen = tuple(name for name in text.split(",") if name)
    if unknown := set(chosen) - set(known):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(known)}")
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Figures of a checkpoint on a data split."
    )
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--split", default="dev")
    parser.add_argument(
        "--model", type=Path, default=None, help="checkpoint folder; the embedded default when left out"
    )
    parser.add_argument("--base", help="where its language model is, if its name for it does not lead there")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--families", default=",".join(FAMILIES),
        help=f"of {','.join(FAMILIES)}, or a recipe and its download (amos=FOLDER); empty for timings alone",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=None, help="at most so many scans of each family")
    parser.add_argument("--contrasts", type=int, default=4, help="synthesised images for each brain label map")
    parser.add_argument("--studies", default=STUDIES, type=_studies, help=f"of {','.join(STUDIES)}")
    parser.add_argument("--few-scans", type=int, default=2, help="scans of each family for all but masks and pointing")
    parser.add_argument("--targets", type=int, default=6, help="structures, or questions a kind, of each of those")
    parser.add_argument("--absent", type=int, default=masks.ABSENT_PER_SCAN, help="absent structures of each scan")
    parser.add_argument(
        "--scores", default=(), type=_scores, help=f"more figures of texts, of {','.join(radiology_scores.SCORERS)}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--specialists", type=Path, metavar="JSON", help="figures of training.baselines, put beside the model's own"
    )
    parser.add_argument("--no-timings", action="store_true", help="leave out the timings, which start fresh processes")
    options = parser.parse_args(argv)
    families = [name for name in options.families.split(",") if name]
    try:
        for family in families:
            group_name(family)
        return _run(options, families)
    except (DeixisError, RecipeError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, families: Sequence[str]) -> int:
    import torch

    from assistant.model import default_checkpoint
    from assistant.session import load_model
    from training import timing

    checkpoint = options.model or default_checkpoint()
    scorers = {name: radiology_scores.load(name) for name in options.scores}
    model = load_model(checkpoint, options.base, options.device)
    results, pictures, cases = Results(), list[plots.Picture](), list[str]()
    for group in families:
        family, _ = group_name(group)
        found = scans(
            group, options.data, options.split, limit=options.limit, seed=options.seed, contrasts=options.contrasts
        )
        for number, scan in enumerate(found):
            cases.append(f"{family} {scan.case}")
            pictures += _ask_about(scan, family, model, options, results, number < options.few_scans)
    about: dict[str, Any] = {
        "command": " ".join(["python -m training.evaluate", *sys.argv[1:]]),
        "split": options.split,
        "seed": options.seed,
        "data": data_identity(options.data, cases),
        "model": timing.checkpoint_identity(checkpoint),
        "machine": {
            "platform": platform.platform(),
            "device": options.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "specialists": json.loads(options.specialists.read_text()) if options.specialists else {},
        "timings": None if options.no_timings else timing.measure_timings(checkpoint, options.device),
    }
    write(options.out, results, about, pictures, scorers)
    print(options.out / "report.md")
    return 0


def _ask_about(
    scan: Scan, family: str, model: DeixisModel, options: argparse.Namespace, results: Results, few: bool
) -> list[plots.Picture]:
    """All chosen studies of one scan, into ``results``; the studies of a few scans where it is one of them."""
    from assistant.session import Session

    studies = options.studies
    opened = Session.open(scan.image, model=model)
    volume = opened.volume
    session = Checking(opened, volume, scan.case, family, scan.absent)
    chosen = (scan, volume, family, options.seed, options.targets)
    pictures: list[plots.Picture] = []
    parts: list[Checking] = [session]

    def open_view(part: Volume, view: View) -> Checking:
        inside = Session.open(part, model=model)
        parts.append(Checking(inside, inside.volume, scan.case, family, [*scan.absent, view.absent]))
        return parts[-1]

    if "masks" in studies:
        new = list(masks.examine(session, scan, family, options.seed, options.absent))
        results.cases += new
        pictures += masks.worst_of(opened, scan, volume, new)
        print(
            f"{family} {scan.case}: Dice {metrics.mean(r.dice for r in new):.3f}, "
            f"refused {sum(not r.found for r in new if not r.there)}/{sum(not r.there for r in new)}, "
            f"{sum(r.seconds for r in new):.0f} s",
            flush=True,
        )
    if "pointing" in studies:
        pointed = list(point_out(session, scan, family, volume))
        results.pointing += pointed
        print(f"  pointed at, named right {sum(p.right for p in pointed)}/{len(pointed)}", flush=True)
    if few and "words" in studies:
        said = list(wordings.ask_in_other_words(session, scan, family, options.seed, options.targets))
        results.words += said
        print(f"  in other words, found {sum(w.found for w in said)}/{len(said)}", flush=True)
    if few and "robustness" in studies:
        worn = list(robustness.ask_of_changed_scans(lambda v: Session.open(v, model=model), *chosen))
        results.robustness += worn
        print(f"  on changed scans, Dice {metrics.mean(p.dice for p in worn):.3f}", flush=True)
    if few and "clicks" in studies:
        clicked = list(clicks.correct(session, *chosen))
        results.clicks += clicked
        print(f"  after clicks, Dice {metrics.mean(c.dice for c in clicked if c.clicks):.3f}", flush=True)
    if few and "pope" in studies:
        polled = list(pope.poll(session, open_view, *chosen))
        results.pope += polled
        print(f"  is it there, right {sum((p.said == 'yes') == p.there for p in polled)}/{len(polled)}", flush=True)
    if few and "answers" in studies:
        facts = closed.expert_facts(scan, volume)
        about = (session, scan, facts, volume, family, options.seed, options.targets)
        decided, told = list(closed.ask(*about)), list(texts.ask(*about))
        results.closed += decided
        results.texts += told
        print(f"  closed questions, right {sum(c.said == c.truth for c in decided)}/{len(decided)}", flush=True)
    if few and "composition" in studies:
        made = list(composed.ask(session, scan, family, options.seed, options.targets))
        results.composed += made
        print(f"  composed, Dice {metrics.mean(c.dice for c in made):.3f}", flush=True)
    results.faithful += [row for part in parts for row in part.rows]
    return pictures


if __name__ == "__main__":
    sys.exit(main())
