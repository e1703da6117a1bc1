"""Each target of a scan, asked for once: how good is the mask, was what is not there refused, was it understood?

Half of the absent targets are asked for as if they were there ("The spleen looks enlarged, measure it."); what kind of
absent target is the hardest is `training/pope.py`'s question.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assistant.volume import Volume
from data_recipes import ontology
from training import metrics, plots
from training.answers import Asked, mask_for, same_structure, voxels
from training.scans import Scan

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
    presupposed: bool
    found: bool
    named: str
    dice: float
    iou: float
    volume_error: float
    hd: float
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
    """(phrase, question, presupposed) for a scan: each target once, then ``absent`` absent structures, half of them
    presupposed. A function of the case's name and the seed alone."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    for phrase in scan.truths:
        yield phrase, str(rng.choice(REQUESTS)).format(phrase), False
    chosen = [scan.absent[i] for i in rng.permutation(len(scan.absent))[:absent]]
    for number, phrase in enumerate(chosen):
        presupposed = number % 2 == 1
        yield phrase, str(rng.choice(PRESUPPOSED if presupposed else ASKED_OPENLY)).format(phrase), presupposed


def examine(session: Asked, scan: Scan, group: str, seed: int = 0, absent: int = ABSENT_PER_SCAN) -> Iterator[Row]:
    """Ask all :func:`questions` of a scan; ``group`` is the table its rows belong to."""
    voxel_ml = scan.voxel_ml
    for phrase, question, presupposed in questions(scan, seed, absent):
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
            presupposed=presupposed,
            found=finding is not None,
            named="; ".join(f.phrase for f in reply.findings),
            dice=math.nan if truth is None else metrics.dice(mask, truth),
            iou=math.nan if truth is None else metrics.iou(mask, truth),
            volume_error=math.nan if truth is None else metrics.volume_error(mask, truth),
            hd=surface.hd,
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


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """By family and structure; over all: refusals, presence, quality, sides, names, seconds."""
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
        "refused_absent_presupposed": _refused(r for r in rows if r.presupposed).to_dict(),
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
            "hd_median": metrics.median(r.hd for r in group),
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
