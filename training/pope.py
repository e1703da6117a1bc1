"""Is it there? Asked of as many present as absent structures, the absent ones chosen in three strengths.

POPE (Polling-based Object Probing Evaluation, Li et al. 2023), for scans:

- **random**: structures that the model was never taught and that such a scan cannot show.
- **popular**: those that are trained most often, of what the scan does not show: a model that says yes out of habit
  says it to these.
- **adversarial**: in a view cut out of the scan so that one structure is wholly outside and its surroundings are
  inside: the other side of a pair, or a neighbour, both by the expert's masks; and organs of other scan families, where
  these share a structure with this one (a larynx in a brain scan).

A "yes" is a yes in the visible text. Everything else is a negative prediction, "I cannot tell" among them, whose share
is given too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from data_recipes.instructions.mixture import SCANS
from training import metrics
from training.answers import Asked, with_article, yes_or_no
from training.masks import TUMOUR
from training.robustness import part_of
from training.scans import Scan

STRENGTHS = ("random", "popular", "adversarial")
QUESTION = "Is there {} in this scan?"
LEAST_VIEW_MM = 30.0  # a view is at least so long along each axis
RUN_ON = ("spinal cord", "esophagus")  # go on where their contours end: nothing beyond these is surely without them


@dataclass(frozen=True)
class Poll:
    """One question. why: what makes an absent structure one of its strength; said: "yes", "no" or "" (neither); found:
    whether the reply gave a mask."""

    family: str
    case: str
    strength: str
    why: str
    phrase: str
    question: str
    there: bool
    said: str
    found: bool
    answer: str


@dataclass(frozen=True)
class View:
    """A part of a scan: cuts, (start, stop) of each axis of the RAS grid. absent: wholly outside it; present: wholly
    inside, the nearest first; why: what absent is to them."""

    cuts: tuple[tuple[int, int], ...]
    absent: str
    present: tuple[str, ...]
    why: str


def popularity(name: str) -> float:
    """How often a structure is drawn in training: the share of conversations about each family of scans that shows it,
    over the number of structures of that family."""
    total = 0.0
    for family, share in SCANS.items():
        names = [s.name for s in ontology.taught(family)]
        total += share / len(names) if name in names else 0.0
    return total / sum(SCANS.values())


def random_absent(scan: Scan) -> list[str]:
    """What the model was never taught, of what the scan cannot show."""
    return [name for name in scan.absent if not ontology.by_name()[name].taught]


def popular_absent(scan: Scan) -> list[str]:
    """What the model was taught, of what the scan cannot show, the most trained first. A tumour is not in the brains
    and hippocampi here: their recipes say so too."""
    absent = [*scan.absent, *([TUMOUR] if scan.family in ("brain", "hippocampus") else [])]
    return sorted((name for name in absent if popularity(name)), key=lambda name: (-popularity(name), name))


def co_occurring(scan: Scan) -> list[str]:
    """Absent structures of families that share a structure with the scan's own."""
    own = ontology.structure_family(scan.family)
    kin = {f for s in ontology.taught(scan.family) for f in s.families} - {own}
    return [name for name in scan.absent if kin & set(ontology.by_name()[name].families)]


def views(scan: Scan, volume: Volume) -> Iterator[View]:
    """For each structure the part of the scan, cut straight beyond it, that it is wholly outside of and others are
    wholly inside: one with its other side where there is such a one, else the largest."""
    boxes = {phrase: _box(volume.from_native(mask)) for phrase, mask in scan.truths.items()}
    for phrase, own in ((phrase, box) for phrase, box in boxes.items() if phrase not in RUN_ON):
        twin = ontology.flip(phrase) if ontology.flip(phrase) != phrase else ""
        best: tuple[bool, float, View] | None = None
        for axis, size in enumerate(volume.shape):
            for start, stop in ((0, int(own[0][axis])), (int(own[1][axis]), size)):
                within = (p for p, box in boxes.items() if start <= box[0][axis] and box[1][axis] <= stop)
                inside = [p for p in within if p != phrase]
                if not inside or (stop - start) * volume.spacing[axis] < LEAST_VIEW_MM:
                    continue
                inside.sort(key=lambda p: (p != twin, _gap(boxes[p], own, volume.spacing)))
                cuts = tuple((start, stop) if a == axis else (0, n) for a, n in enumerate(volume.shape))
                view = View(cuts, phrase, tuple(inside), "other side" if twin in inside else "neighbour")
                key = (twin in inside, (stop - start) / size)
                if best is None or key > best[:2]:
                    best = (*key, view)
        if best is not None:
            yield best[2]


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spots = np.argwhere(mask)
    return spots.min(0), spots.max(0) + 1


def _gap(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], spacing: np.ndarray) -> float:
    """mm between two boxes; 0 where they touch."""
    apart = np.maximum(np.maximum(one[0] - other[1], other[0] - one[1]), 0)
    return float(np.linalg.norm(apart * spacing))


def poll(
    session: Asked,
    open_session: Callable[[Volume, View], Asked],
    scan: Scan,
    volume: Volume,
    group: str,
    seed: int,
    each: int,
) -> Iterator[Poll]:
    """Up to ``each`` absent structures of each strength, each with a present one of the same scan or view.

    The present ones of random and popular are the same, as in POPE; each question is asked once and taken back.
    """
    rng = np.random.default_rng([seed, *scan.case.encode()])
    drawn = {"random": _some(random_absent(scan), each, rng), "popular": popular_absent(scan)[:each]}
    present = _some(list(scan.truths), max(map(len, drawn.values())), rng)
    asked: dict[str, Reply] = {}
    for strength, names in drawn.items():
        for phrase, there in _balanced(names, present):
            if phrase not in asked:
                asked[phrase] = _ask(session, phrase)
            why = "" if there else "never taught" if strength == "random" else "trained most often"
            yield _row(group, scan.case, strength, why, phrase, there, asked[phrase])
    for view in _some(list(views(scan, volume)), each, rng):
        inside = open_session(part_of(volume, view.cuts), view)
        for phrase, there in _balanced([view.absent], view.present):
            yield _row(group, scan.case, "adversarial", "" if there else view.why, phrase, there, _ask(inside, phrase))
    kin = _some(co_occurring(scan), each, rng)
    for phrase, there in _balanced(kin, present):
        if phrase not in asked:
            asked[phrase] = _ask(session, phrase)
        yield _row(group, scan.case, "adversarial", "" if there else "of a kindred scan", phrase, there, asked[phrase])


def _some(values: Sequence[Any], most: int, rng: np.random.Generator) -> list[Any]:
    return [values[i] for i in rng.permutation(len(values))[:most]]


def _balanced(absent: Sequence[str], present: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """(structure, whether it is there): as many of one kind as of the other."""
    for gone, there in zip(absent, present, strict=False):
        yield gone, False
        yield there, True


def _ask(session: Asked, phrase: str) -> Reply:
    reply = session.ask(QUESTION.format(with_article(phrase)))
    session.undo()
    return reply


def _row(group: str, case: str, strength: str, why: str, phrase: str, there: bool, reply: Reply) -> Poll:
    return Poll(
        family=group,
        case=case,
        strength=strength,
        why=why,
        phrase=phrase,
        question=QUESTION.format(with_article(phrase)),
        there=there,
        said=yes_or_no(reply.text),
        found=any(f.present for f in reply.findings),
        answer=reply.text,
    )


def summarise(rows: Sequence[Poll]) -> dict[str, Any]:
    """By strength: POPE's figures, yes as the positive class, and the absent by why."""
    return {
        strength: _strength([r for r in rows if r.strength == strength])
        for strength in STRENGTHS
        if any(r.strength == strength for r in rows)
    }


def _strength(rows: Sequence[Poll]) -> dict[str, Any]:
    absent, present = [r for r in rows if not r.there], [r for r in rows if r.there]
    yes = sum(r.said == "yes" for r in rows)
    hits = sum(r.said == "yes" for r in present)
    precision, recall = metrics.Rate(hits, yes), metrics.Rate(hits, len(present))
    return {
        "negative": _negative(absent).to_dict(),
        "by_why": {
            why: _negative([r for r in absent if r.why == why]).to_dict()
            for why in dict.fromkeys(r.why for r in absent)
        },
        "masks_of_absent": metrics.Rate(sum(r.found for r in absent), len(absent)).to_dict(),
        "accuracy": metrics.Rate(sum((r.said == "yes") == r.there for r in rows), len(rows)).to_dict(),
        "precision": precision.to_dict(),
        "recall": recall.to_dict(),
        "f1": 2 * hits / (yes + len(present)) if yes + len(present) else float("nan"),
        "yes_rate": metrics.Rate(yes, len(rows)).to_dict(),
        "cannot_tell": metrics.Rate(sum(r.said == "" for r in rows), len(rows)).to_dict(),
    }


def _negative(absent: Sequence[Poll]) -> metrics.Rate:
    return metrics.Rate(sum(r.said != "yes" for r in absent), len(absent))
