"""Words first, then clicks where the mask is wrong: what a person's corrections are worth.

The clicks are simulated as for SAM and nnInteractive: each goes to the innermost voxel of the largest connected error,
positive where the target was missed, negative where too much was taken. A target that the words did not find is
clicked as well: its largest error is all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from assistant.volume import Volume
from training import metrics
from training.answers import Asked, voxels
from training.scans import Scan

COUNTS = (0, 1, 3, 5)


@dataclass(frozen=True)
class Clicked:
    """Dice of a target after words and so many clicks."""

    family: str
    case: str
    phrase: str
    clicks: int
    dice: float


def next_click(mask: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, int] | None:
    """(voxel (3,), label 1 or 0) of the largest error (26 neighbours); None where there is none."""
    best: tuple[int, np.ndarray, int] | None = None
    for wrong, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        parts, count = ndimage.label(wrong, np.ones((3, 3, 3)))
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            if best is None or sizes.max() > best[0]:
                best = (int(sizes.max()), parts == 1 + int(sizes.argmax()), label)
    if best is None:
        return None
    _, region, label = best
    return metrics.innermost(region, spacing), label


def correct(
    session: Asked, scan: Scan, volume: Volume, group: str, seed: int, targets: int
) -> Iterator[Clicked]:
    """Up to ``targets`` structures of a scan, each after 0, 1, .. clicks; the same question each time."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    phrases = list(scan.truths)
    for index in sorted(rng.permutation(len(phrases))[:targets]):
        phrase = phrases[index]
        truth = volume.from_native(scan.truths[phrase])
        points: list[tuple[float, float, float, int]] = []
        for count in range(max(COUNTS) + 1):
            reply = session.ask(f"Segment the {phrase}.", points or None)
            # with clicks given the first mask is the clicked one, whatever the reply calls it
            finding = next((f for f in reply.findings if f.present), None)
            mask = volume.from_native(voxels(finding, volume.native.shape))
            session.undo()
            if count in COUNTS:
                yield Clicked(group, scan.case, phrase, count, metrics.dice(mask, truth))
            click = next_click(mask, truth, volume.spacing.tolist())
            if click is not None:
                x, y, z = volume.to_world(click[0][None].astype(float))[0].tolist()
                points.append((x, y, z, click[1]))


def summarise(rows: Sequence[Clicked]) -> dict[str, Any]:
    """Mean Dice after so many clicks, by family, and how many targets ended worse than the words had them."""
    out: dict[str, Any] = {}
    for family in dict.fromkeys(r.family for r in rows):
        own = [r for r in rows if r.family == family]
        first = {(r.case, r.phrase): r.dice for r in own if r.clicks == 0}
        last = [r for r in own if r.clicks == max(COUNTS)]
        out[family] = {
            "n": len(first),
            "dice": {str(n): metrics.mean(r.dice for r in own if r.clicks == n) for n in COUNTS},
            "worse_after_all": sum(r.dice < first[(r.case, r.phrase)] - 0.005 for r in last),
        }
    return out
