"""Ask a trained model in words, compare its masks with expert ones, time it; write what came of it.

    python -m training.evaluate --data ../shared/data --split dev --model assistant/checkpoints/default --out runs/dev

Every target is asked the way a user would ("Segment the left parotid gland."), through the whole chat path: words,
language model, `<SEG>`, mask decoder, native grid. No class number is passed anywhere. A mask counts for a target only
if the model named that target. Each question is taken back (`Session.undo`) before the next, so that answers do not
depend on the order of the questions; the scan is encoded once. `training/metrics.py` says what is done about empty
masks.

Then it points at the innermost voxel of each structure: "What is this?"

Writes report.md (for people), summary.json, cases.csv and pointing.csv (one line a question).
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
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from assistant.errors import DeixisError
from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from training import metrics
from training.scans import FAMILIES, Scan, scans

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


class Asked(Protocol):
    """What is evaluated: `assistant.session.Session`, or anything that answers like one."""

    def ask(self, text: str, points: Sequence[Sequence[float]] | None = None) -> Reply: ...

    def undo(self) -> object: ...


@dataclass(frozen=True)
class Row:
    """One question and what came of it. Volumes in mL; dice, iou and volume_error NaN where the target is absent."""

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
        # A present target is answered by a mask under its own name. For an absent one any mask is a false finding.
        masks = [f for f in reply.findings if f.present and (truth is None or same_structure(f.phrase, phrase))]
        finding = masks[0] if masks else None
        about = finding or next(iter(reply.findings), None)
        shape = (1,) if truth is None else truth.shape
        mask = np.zeros(shape, bool) if finding is None or truth is None else np.asarray(finding.mask, dtype=bool)
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
            truth_ml=0.0 if truth is None else float(truth.sum()) * voxel_ml,
            predicted_ml=0.0 if finding is None else float(finding.volume_ml or 0.0),
            sides_swapped=truth is not None and other is not None and metrics.sides_swapped(mask, truth, other),
            presence=math.nan if about is None or about.presence is None else float(about.presence),
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
        mask = volume.from_native(scan.truths[phrase])
        spots = np.argwhere(mask)
        low, high = spots.min(0), spots.max(0) + 1
        box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        depth = ndimage.distance_transform_edt(np.pad(box, 1), volume.spacing)
        inmost = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1 + low
        reply = session.ask("What is this?", points=[tuple(volume.to_world(inmost[None])[0].tolist())])
        yield Pointing(group, scan.case, phrase, next((f.phrase for f in reply.findings), ""))
        session.undo()


def same_structure(said: str, asked: str) -> bool:
    """Whether two phrases name one structure."""
    if said == asked:
        return True
    one, other = ontology.lookup(said), ontology.lookup(asked)
    return one is not None and one == other


def summarise(rows: Sequence[Row], pointings: Sequence[Pointing] = ()) -> dict[str, Any]:
    """All figures of a table of rows: by family, by structure, presence, sides, words, pointing."""
    families = list(dict.fromkeys(r.family for r in rows))
    rates = metrics.presence_rates([r.there for r in rows], [r.found for r in rows])
    sided = [r for r in rows if r.there and ontology.flip(r.phrase) != r.phrase]
    present = [r for r in rows if r.there]
    return {
        "families": {name: _family([r for r in rows if r.family == name]) for name in families},
        "refused_absent": rates.refused.to_dict(),
        "refused_absent_adversarial": _refused(r for r in rows if r.adversarial).to_dict(),
        "kept_present": rates.kept.to_dict(),
        "sides_swapped": metrics.Rate(sum(r.sides_swapped for r in sided), len(sided)).to_dict(),
        "named_right": metrics.Rate(sum(_named(r) for r in present), len(present)).to_dict(),
        "pointed_right": metrics.Rate(sum(p.right for p in pointings), len(pointings)).to_dict(),
        "corrected_replies": metrics.Rate(sum(r.corrections > 0 for r in rows), len(rows)).to_dict(),
        "seconds_per_question": {
            "median": metrics.median(r.seconds for r in rows),
            "max": max((r.seconds for r in rows), default=math.nan),
        },
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
            "found": sum(r.found for r in group),
        }
        for phrase, group in sorted(by_phrase.items())
    }
    return {
        "scans": len({r.case for r in rows}),
        "dice_mean_over_structures": metrics.mean(s["dice"] for s in structures.values()),
        "refused_absent": _refused(rows).to_dict(),
        "kept_present": metrics.Rate(sum(r.found for r in present), len(present)).to_dict(),
        "structures": structures,
    }


def write(
    out: Path, rows: Sequence[Row], about: dict[str, Any], pointings: Sequence[Pointing] = ()
) -> dict[str, Any]:
    """cases.csv, pointing.csv, summary.json and report.md in ``out``; the summary."""
    from training.report import markdown

    out.mkdir(parents=True, exist_ok=True)
    for name, kind, lines in (("cases.csv", Row, rows), ("pointing.csv", Pointing, pointings)):
        with (out / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, [f.name for f in fields(kind)])
            writer.writeheader()
            writer.writerows(asdict(line) for line in lines)
    summary = {**about, **summarise(rows, pointings)}
    # NaN is no JSON: what is undefined is null
    (out / "summary.json").write_text(json.dumps(_plain(summary), indent=1, allow_nan=False) + "\n")
    (out / "report.md").write_text(markdown(summary))
    return summary


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


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
    rows: list[Row] = []
    pointings: list[Pointing] = []
    for family in families:
        found = scans(
            family, options.data, options.split, limit=options.limit, seed=options.seed, contrasts=options.contrasts
        )
        for scan in found:
            session = Session.open(scan.image, model=model)
            new = list(examine(session, scan, family, options.seed, options.absent))
            rows += new
            pointed = list(point_out(session, scan, family, session.volume))
            pointings += pointed
            print(
                f"{family} {scan.case}: Dice {metrics.mean(r.dice for r in new):.3f}, "
                f"refused {sum(not r.found for r in new if not r.there)}/{sum(not r.there for r in new)}, "
                f"pointed right {sum(p.right for p in pointed)}/{len(pointed)}, {sum(r.seconds for r in new):.0f} s",
                flush=True,
            )
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
    summary = write(options.out, rows, about, pointings)
    print(
        f"{options.out / 'report.md'}: refused {summary['refused_absent']['value']:.3f}, "
        f"kept {summary['kept_present']['value']:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
