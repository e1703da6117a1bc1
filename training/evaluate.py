"""Ask a trained model in words, compare its masks with expert ones, time it; write what came of it.

    python -m training.evaluate --data ../shared/data --split dev --model assistant/checkpoints/default --out runs/dev

Every target is asked the way a user would ("Segment the left parotid gland."), through the whole chat path: words,
language model, `<SEG>`, mask decoder, native grid. No class number is passed anywhere. A mask counts for a target only
if the model named that target. Each question is taken back (`Session.undo`) before the next, so that answers do not
depend on the order of the questions; the scan is encoded once. `training/metrics.py` says what is done about empty
masks.

Then it points at the innermost voxel of each structure ("What is this?"); and on a few scans it asks in other words
(`wordings`), of the same scan changed (`robustness`), and corrects with clicks (`clicks`).

Writes report.md and report.html (for people), summary.json, and a CSV for each study, one line a question.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import DeixisError
from assistant.volume import Volume
from data_recipes import ontology
from training import clicks, metrics, plots, robustness, wordings
from training.answers import Asked, mask_for, same_structure, voxels
from training.clicks import Clicked
from training.robustness import Perturbed
from training.scans import FAMILIES, Scan, scans
from training.wordings import Wording

# The wordings a target is asked in, one drawn for each question: one wording alone would say little of words.
REQUESTS = (
    "Segment the {}.",
    "Show me the {}.",
    "Where is the {}?",
    "How big is the {}?",
    "Please outline the {} on this scan.",
    "Is the {} visible here?",
)
# For what is not there. The second kind takes its presence for granted, as a hurried or misled user does.
ASKED_OPENLY = ("Is there a {} in this scan?", "Can you see the {}?", "Is the {} visible here?")
PRESUPPOSED = ("Segment the {}.", "What is the volume of the {}?", "The {} looks enlarged, measure it.")
ABSENT_PER_SCAN = 6
STUDIES = ("masks", "pointing", "words", "robustness", "clicks")
TUMOUR = "tumour"


@dataclass(frozen=True)
class Row:
    """One question and what came of it. Volumes in mL, distances in mm; what `metrics` leaves undefined is NaN.

    taught: whether the embedded model has masks for it (of an absent target: whether a rule or the presence head had
    to refuse it). overlap_ml: of prediction and truth."""

    family: str
    case: str
    phrase: str
    question: str
    there: bool
    adversarial: bool
    found: bool
    named: str
    dice: float
    iou: float
    volume_error: float
    hd95: float
    asd: float
    nsd: float
    lesions: int
    lesions_found: int
    lesions_false: int
    taught: bool
    overlap_ml: float
    truth_ml: float
    predicted_ml: float
    sides_swapped: bool
    presence: float
    quality: float
    seconds: float
    answer: str
    corrections: int


def questions(scan: Scan, seed: int, absent: int = ABSENT_PER_SCAN) -> Iterator[tuple[str, str, bool]]:
    """(phrase, question, adversarial) for a scan: each target once, then ``absent`` absent structures, half of them
    presupposed. A function of the case's name and the seed alone."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    for phrase in scan.truths:
        yield phrase, str(rng.choice(REQUESTS)).format(phrase), False
    chosen = [scan.absent[i] for i in rng.permutation(len(scan.absent))[:absent]]
    for number, phrase in enumerate(chosen):
        adversarial = number % 2 == 1
        yield phrase, str(rng.choice(PRESUPPOSED if adversarial else ASKED_OPENLY)).format(phrase), adversarial


def examine(session: Asked, scan: Scan, group: str, seed: int = 0, absent: int = ABSENT_PER_SCAN) -> Iterator[Row]:
    """Ask all :func:`questions` of a scan; ``group`` is the table its rows belong to."""
    voxel_ml = scan.voxel_ml
    for phrase, question, adversarial in questions(scan, seed, absent):
        started = time.perf_counter()
        reply = session.ask(question)
        seconds = time.perf_counter() - started
        truth = scan.truths.get(phrase)
        # For an absent target any mask is a false finding.
        finding = next((f for f in reply.findings if f.present), None) if truth is None else mask_for(reply, phrase)
        about = finding or next(iter(reply.findings), None)
        mask = np.zeros(1, bool) if truth is None else voxels(finding, truth.shape)
        known = ontology.lookup(phrase)
        compared = np.zeros(1, bool) if truth is None else truth
        surface = metrics.surface(mask, compared, scan.spacing, metrics.tolerance_mm(known.base if known else phrase))
        parts = metrics.lesions(mask, compared) if phrase == TUMOUR and truth is not None else metrics.NO_LESIONS
        other = scan.truths.get(ontology.flip(phrase)) if ontology.flip(phrase) != phrase else None
        yield Row(
            family=group,
            case=scan.case,
            phrase=phrase,
            question=question,
            there=truth is not None,
            adversarial=adversarial,
            found=finding is not None,
            named="; ".join(f.phrase for f in reply.findings),
            dice=math.nan if truth is None else metrics.dice(mask, truth),
            iou=math.nan if truth is None else metrics.iou(mask, truth),
            volume_error=math.nan if truth is None else metrics.volume_error(mask, truth),
            hd95=surface.hd95,
            asd=surface.asd,
            nsd=surface.nsd,
            lesions=parts.truths,
            lesions_found=parts.found,
            lesions_false=parts.false,
            taught=known is not None and known.taught,
            overlap_ml=0.0 if truth is None else float((mask & truth).sum()) * voxel_ml,
            truth_ml=0.0 if truth is None else float(truth.sum()) * voxel_ml,
            predicted_ml=0.0 if finding is None else float(finding.volume_ml or 0.0),
            sides_swapped=truth is not None and other is not None and metrics.sides_swapped(mask, truth, other),
            presence=float(about.presence) if about is not None and about.taught else math.nan,
            quality=math.nan if finding is None or finding.quality is None else float(finding.quality),
            seconds=seconds,
            answer=reply.text,
            corrections=len(reply.corrections),
        )
        session.undo()


@dataclass(frozen=True)
class Pointing:
    """"What is this?", asked of a structure's innermost voxel. named: what the reply looked for, or ""."""

    family: str
    case: str
    phrase: str
    named: str

    @property
    def right(self) -> bool:
        return same_structure(self.named, self.phrase)


def point_out(session: Asked, scan: Scan, group: str, volume: Volume) -> Iterator[Pointing]:
    """Point at every structure of a scan that is not a whole of others."""
    parts = {name for names in ontology.exclusive() for name in names}
    for phrase in scan.truths:
        if phrase not in parts:
            continue
        inmost = metrics.innermost(volume.from_native(scan.truths[phrase]), volume.spacing.tolist())
        reply = session.ask("What is this?", points=[tuple(volume.to_world(inmost[None])[0].tolist())])
        yield Pointing(group, scan.case, phrase, next((f.phrase for f in reply.findings), ""))
        session.undo()


def worst_of(session: Asked, scan: Scan, volume: Volume, rows: Sequence[Row]) -> list[plots.Picture]:
    """The scan's worst mask, asked for again to be drawn. Empty where nothing was there."""
    row = min((r for r in rows if r.there), key=lambda r: r.dice, default=None)
    if row is None:
        return []
    truth = scan.truths[row.phrase]
    mask = voxels(mask_for(session.ask(row.question), row.phrase), truth.shape)
    session.undo()
    caption = f"{row.case}, {row.phrase}"
    return [plots.picture(volume, volume.from_native(truth), volume.from_native(mask), caption, row.dice)]


@dataclass
class Results:
    """All rows of an evaluation, one list a file."""

    cases: list[Row] = field(default_factory=list)
    pointing: list[Pointing] = field(default_factory=list)
    words: list[Wording] = field(default_factory=list)
    robustness: list[Perturbed] = field(default_factory=list)
    clicks: list[Clicked] = field(default_factory=list)


def summarise(results: Results) -> dict[str, Any]:
    """All figures: by family, by structure, presence, sides, words, pointing, robustness, clicks."""
    rows, pointings = results.cases, results.pointing
    families = list(dict.fromkeys(r.family for r in rows))
    rates = metrics.presence_rates([r.there for r in rows], [r.found for r in rows])
    sided = [r for r in rows if r.there and ontology.flip(r.phrase) != r.phrase]
    present = [r for r in rows if r.there]
    diagram = metrics.reliability([r.there for r in rows], [r.presence for r in rows])
    # a target that was refused or not understood has an IoU of 0; a refused absent one of 1 (LISA's gIoU)
    every_iou = [r.iou if r.there else float(not r.found) for r in rows]
    return {
        "families": {name: _family([r for r in rows if r.family == name]) for name in families},
        "refused_absent": rates.refused.to_dict(),
        "refused_absent_adversarial": _refused(r for r in rows if r.adversarial).to_dict(),
        "refused_absent_taught": _refused(r for r in rows if r.taught).to_dict(),
        "kept_present": rates.kept.to_dict(),
        "recognised": metrics.Rate(sum(r.found == r.there for r in rows), len(rows)).to_dict(),
        "presence_auroc": metrics.auroc([r.there for r in rows], [r.presence for r in rows]),
        "presence_ece": metrics.calibration_error(diagram),
        "presence_reliability": [asdict(b) for b in diagram],
        "quality_correlation": metrics.correlation([r.quality for r in rows], [r.iou for r in rows]),
        "giou": metrics.mean(every_iou),
        "ciou": metrics.cumulative_iou(
            [r.overlap_ml for r in present], [r.truth_ml + r.predicted_ml - r.overlap_ml for r in present]
        ),
        "sides_swapped": metrics.Rate(sum(r.sides_swapped for r in sided), len(sided)).to_dict(),
        "named_right": metrics.Rate(sum(_named(r) for r in present), len(present)).to_dict(),
        "pointed_right": metrics.Rate(sum(p.right for p in pointings), len(pointings)).to_dict(),
        "corrected_replies": metrics.Rate(sum(r.corrections > 0 for r in rows), len(rows)).to_dict(),
        "seconds_per_question": {
            "median": metrics.median(r.seconds for r in rows),
            "max": max((r.seconds for r in rows), default=math.nan),
        },
        "words": wordings.summarise(results.words) if results.words else None,
        "robustness": robustness.summarise(results.robustness) if results.robustness else None,
        "clicks": clicks.summarise(results.clicks) if results.clicks else None,
    }


def _named(row: Row) -> bool:
    """Whether the words were understood: the target is among what the reply named, with or without a mask."""
    return any(same_structure(said, row.phrase) for said in row.named.split("; ") if said)


def _refused(rows: Iterable[Row]) -> metrics.Rate:
    kept = list(rows)
    return metrics.presence_rates([r.there for r in kept], [r.found for r in kept]).refused


def _family(rows: Sequence[Row]) -> dict[str, Any]:
    present = [r for r in rows if r.there]
    by_phrase: dict[str, list[Row]] = {}
    for row in present:
        by_phrase.setdefault(row.phrase, []).append(row)
    structures: dict[str, dict[str, Any]] = {
        phrase: {
            "n": len(group),
            "dice": metrics.mean(r.dice for r in group),
            "dice_interval95": list(metrics.mean_interval(r.dice for r in group)),
            "dice_median": metrics.median(r.dice for r in group),
            "iou": metrics.mean(r.iou for r in group),
            "volume_error_median": metrics.median(r.volume_error for r in group),
            "hd95_median": metrics.median(r.hd95 for r in group),
            "asd_median": metrics.median(r.asd for r in group),
            "nsd": metrics.mean(r.nsd for r in group),
            "found": sum(r.found for r in group),
        }
        for phrase, group in sorted(by_phrase.items())
    }
    return {
        "scans": len({r.case for r in rows}),
        "dice_mean_over_structures": metrics.mean(s["dice"] for s in structures.values()),
        "dice_interval95": list(metrics.clustered_interval(_by_scan(present))),
        "refused_absent": _refused(rows).to_dict(),
        "kept_present": metrics.Rate(sum(r.found for r in present), len(present)).to_dict(),
        "lesions_found": metrics.Rate(sum(r.lesions_found for r in rows), sum(r.lesions for r in rows)).to_dict(),
        "lesions_false": sum(r.lesions_false for r in rows),
        "structures": structures,
    }


def _by_scan(rows: Sequence[Row]) -> np.ndarray:
    """Dice (scans, structures), NaN where it was not asked."""
    cases, phrases = (list(dict.fromkeys(getattr(r, name) for r in rows)) for name in ("case", "phrase"))
    table = np.full((len(cases), len(phrases)), np.nan)
    for row in rows:
        table[cases.index(row.case), phrases.index(row.phrase)] = row.dice
    return table


def write(
    out: Path, results: Results, about: dict[str, Any], pictures: Sequence[plots.Picture] = ()
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
    summary = {**about, **summarise(results)}
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
    chosen = tuple(name for name in text.split(",") if name)
    if unknown := set(chosen) - set(STUDIES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(STUDIES)}")
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Figures of a checkpoint on a data split."
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder, as ../shared/data")
    parser.add_argument("--split", default="dev")
    parser.add_argument(
        "--model", type=Path, default=None, help="checkpoint folder; the embedded default when left out"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--families", default=",".join(FAMILIES), help=f"of {','.join(FAMILIES)}; empty for timings alone"
    )
    parser.add_argument("--limit", type=int, default=None, help="at most so many scans of each family")
    parser.add_argument("--contrasts", type=int, default=4, help="synthesised images for each brain label map")
    parser.add_argument("--studies", default=STUDIES, type=_studies, help=f"of {','.join(STUDIES)}")
    parser.add_argument("--few-scans", type=int, default=2, help="scans of each family for words, robustness, clicks")
    parser.add_argument("--targets", type=int, default=6, help="structures of each of those scans")
    parser.add_argument("--absent", type=int, default=ABSENT_PER_SCAN, help="absent structures asked of each scan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-timings", action="store_true", help="leave out the timings, which start fresh processes")
    options = parser.parse_args(argv)
    families = [name for name in options.families.split(",") if name]
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        parser.error(f"unknown families {', '.join(unknown)}: choose from {', '.join(FAMILIES)}")
    try:
        return _run(options, families)
    except DeixisError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, families: Sequence[str]) -> int:
    import torch

    from assistant.model import default_checkpoint
    from assistant.session import Session, load_model
    from training import timing

    checkpoint = options.model or default_checkpoint()
    model = load_model(checkpoint, device=options.device)
    results, pictures = Results(), list[plots.Picture]()
    for family in families:
        found = scans(
            family, options.data, options.split, limit=options.limit, seed=options.seed, contrasts=options.contrasts
        )
        for number, scan in enumerate(found):
            session = Session.open(scan.image, model=model)
            few = (scan, session.volume, family, options.seed, options.targets)
            if "masks" in options.studies:
                new = list(examine(session, scan, family, options.seed, options.absent))
                results.cases += new
                pictures += worst_of(session, scan, session.volume, new)
                print(
                    f"{family} {scan.case}: Dice {metrics.mean(r.dice for r in new):.3f}, "
                    f"refused {sum(not r.found for r in new if not r.there)}/{sum(not r.there for r in new)}, "
                    f"{sum(r.seconds for r in new):.0f} s",
                    flush=True,
                )
            if "pointing" in options.studies:
                pointed = list(point_out(session, scan, family, session.volume))
                results.pointing += pointed
                print(f"  pointed at, named right {sum(p.right for p in pointed)}/{len(pointed)}", flush=True)
            if number >= options.few_scans:
                continue
            if "words" in options.studies:
                said = list(wordings.ask_in_other_words(session, scan, family, options.seed, options.targets))
                results.words += said
                print(f"  in other words, found {sum(w.found for w in said)}/{len(said)}", flush=True)
            if "robustness" in options.studies:
                worn = list(robustness.ask_of_changed_scans(lambda v: Session.open(v, model=model), *few))
                results.robustness += worn
                print(f"  on changed scans, Dice {metrics.mean(p.dice for p in worn):.3f}", flush=True)
            if "clicks" in options.studies:
                clicked = list(clicks.correct(session, *few))
                results.clicks += clicked
                print(f"  after clicks, Dice {metrics.mean(c.dice for c in clicked if c.clicks):.3f}", flush=True)
    about: dict[str, Any] = {
        "command": " ".join(["python -m training.evaluate", *sys.argv[1:]]),
        "split": options.split,
        "seed": options.seed,
        "model": timing.checkpoint_identity(checkpoint),
        "machine": {
            "platform": platform.platform(),
            "device": options.device,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "timings": None if options.no_timings else timing.measure_timings(checkpoint, options.device),
    }
    summary = write(options.out, results, about, pictures)
    print(
        f"{options.out / 'report.md'}: refused {summary['refused_absent']['value']:.3f}, "
        f"kept {summary['kept_present']['value']:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
