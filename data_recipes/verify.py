"""Whether a download is whole: every case of it read once, each problem named by its file, with the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from data_recipes import leakage
from data_recipes.leakage import Scan
from data_recipes.schema import SPLITS, Case, Damaged, RecipeError, load_case
from data_recipes.units import Source, Unit, units


@dataclass
class Verdict:
    """What was found. `problems` and `notes` are sentences; a build stops at a problem, not at a note."""

    read: Counter[str] = field(default_factory=Counter)  # "amos train" -> cases
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    sources: Sequence[Source], limit: int | None = None, say: Callable[[str], None] = lambda line: None
) -> Verdict:
    """Read the first `limit` cases of every split of every source (None: all), and look for leaks among them."""
    verdict, scans = Verdict(), []
    nameless: Counter[tuple[str, int]] = Counter()
    for source in sources:
        for split in SPLITS:
            skip: list[Damaged] = []
            try:
                for unit in islice(units([source], split, skip), limit):
                    scans += _read(unit, verdict, nameless)
                    verdict.read[f"{source.name} {split}"] += 1
                    say(f"{source.name} {split}: {verdict.read[f'{source.name} {split}']} read")
            except RecipeError as error:
                verdict.problems.append(str(error))
            verdict.problems += [str(problem) for problem in skip]
    verdict.problems = list(dict.fromkeys(verdict.problems))
    verdict.notes += [
        f"{name}: the label value {value} is in {count} cases and has no name in the recipe: it is background"
        for (name, value), count in sorted(nameless.items())
    ]
    verdict.problems += leakage.leaks(scans)
    verdict.notes += leakage.duplicates(scans)
    return verdict


def _read(unit: Unit, verdict: Verdict, nameless: Counter[tuple[str, int]]) -> list[Scan]:
    """The unit's scan with its volume's hash; [] when it cannot be read."""
    try:
        if not isinstance(unit.item, Case):
            _, digest = unit.read(0, 0)
            return [replace(unit.scan, volume=digest)]
        case = unit.item
        volume, labels, _ = load_case(case)
    except Damaged as error:
        verdict.problems.append(str(error))
        return []
    present = set(np.unique(labels).tolist()) - {0}
    named = {value for values in case.phrases.values() for value in values}
    if volume is not None:  # a bare label map is of more tissues than have names
        nameless.update((unit.source.name, value) for value in present - named)
    if not present & named:
        verdict.notes.append(f"{case.id}: nothing is outlined in {case.label}")
    return [replace(unit.scan, volume=leakage.voxel_hash(labels if volume is None else volume.voxels))]
