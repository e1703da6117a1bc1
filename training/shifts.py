"""Fit how much larger or smaller each structure's masks are to be drawn, on the scans that a See run was trained on.

    python -m training.shifts --see runs/see/last.pt --data ../shared/data --out runs/shifted.pt

A thin structure that borders on large ones is drawn too small where its border is in doubt, one with a soft border too
large. Each taught structure gains a logit wherever it is drawn, the same on both sides and against every rival, so that
masks still share no voxel (logit adjustment, Menon et al. 2021, but fitted to Dice, not set from how often a structure
occurs). `training.calibrate` comes after it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.glossary import side_of
from assistant.layer import NOWHERE, on_volume
from assistant.segmenter import Segmenter
from assistant.session import checked_device
from assistant.study import Study
from assistant.volume import Volume
from data_recipes.schema import RecipeError
from training import program, scans
from training.stage import code_version, load_segmenter, made_how, save_segmenter

SHIFTS = (-1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
#: Dice that a shift of one logit must be worth to the structures it belongs to; twice the shift, four times as much
WORTH = 0.01
NEAR = -4.0  # logits against the background under which a voxel cannot be won by any shift
VOXELS = 100_000  # of a scan that are looked at


@dataclass(frozen=True)
class Contest:
    """What the structures of one group claim of one scan's voxels. names: K of them; logits (K, V): what each claims
    over the background; truth (V,): whose a voxel is, as a position in names, -1 for nobody's; scored: positions of
    those that were outlined."""

    names: tuple[str, ...]
    logits: np.ndarray
    truth: np.ndarray
    scored: tuple[int, ...]

    def dice(self, winner: np.ndarray) -> dict[str, float]:
        """winner (V,): whose mask a voxel is in, as in `truth` -> Dice of each that was outlined."""
        count = len(self.names)
        drawn, real = (np.bincount(whose[whose >= 0], minlength=count) for whose in (winner, self.truth))
        both = np.bincount(winner[(winner == self.truth) & (winner >= 0)], minlength=count)
        return {self.names[i]: float(2 * both[i] / max(1, drawn[i] + real[i])) for i in self.scored}


def bare(name: str) -> str:
    """ "hippocampus" of "left hippocampus": what one shift belongs to."""
    side = side_of(name)
    return name if side is None else name[len(side) + 1 :]


def winners(contest: Contest, shifts: Mapping[str, float]) -> np.ndarray:
    """Whose mask each voxel is in (V,), -1 for nobody's."""
    logits = contest.logits + np.array([[shifts.get(bare(name), 0.0)] for name in contest.names], np.float32)
    return np.where(logits.max(0) > 0, logits.argmax(0), -1)


def mean_dice(contests: Sequence[Contest], shifts: Mapping[str, float]) -> dict[str, float]:
    """Mean Dice of each outlined structure over the scans."""
    values: dict[str, list[float]] = defaultdict(list)
    for contest in contests:
        for name, dice in contest.dice(winners(contest, shifts)).items():
            values[name].append(dice)
    return {name: float(np.mean(v)) for name, v in values.items()}


def fit(contests: Sequence[Contest], rounds: int = 2) -> dict[str, float]:
    """Shifts of the structures that were outlined anywhere, by `bare` name, one after another: each the best for the
    sum of all structures' mean Dice, less what it must be worth (WORTH)."""
    counts = Counter(contest.names[i] for contest in contests for i in contest.scored)
    names = set(counts)
    shifts = dict.fromkeys(sorted(map(bare, names)), 0.0)
    for _ in range(rounds):
        before = dict(shifts)
        for name in shifts:
            own = [other for other in names if bare(other) == name]
            company = [contest for contest in contests if set(own) & set(contest.names)]
            totals = np.sum([_totals(contest, name, shifts, counts) for contest in company], axis=0) / len(own)
            worth = {shift: float(total) - WORTH * shift**2 for shift, total in zip(SHIFTS, totals, strict=True)}
            shifts[name] = max(SHIFTS, key=lambda s: (worth[s], -abs(s)))
        if shifts == before:
            break
    return shifts


def _totals(contest: Contest, name: str, shifts: Mapping[str, float], counts: Mapping[str, int]) -> np.ndarray:
    """What one scan adds to the sum of all structures' mean Dice with each of SHIFTS for a name: (len(SHIFTS),)."""
    logits = contest.logits + np.array([[shifts.get(bare(other), 0.0)] for other in contest.names], np.float32)
    mine = np.array([bare(other) == name for other in contest.names])
    own = np.where(mine[:, None], contest.logits, -np.inf)
    logits[mine] = -np.inf
    rest, rest_is = logits.max(0), np.where(logits.max(0) > 0, logits.argmax(0), -1)
    most, most_is = own.max(0), own.argmax(0)
    out = []
    for shift in SHIFTS:
        dice = contest.dice(np.where(most + shift > np.maximum(rest, 0), most_is, rest_is))
        out.append(sum(value / counts[other] for other, value in dice.items()))
    return np.array(out)


def contests(
    segmenter: Segmenter, groups: Sequence[str], data: Path | None, limit: int, contrasts: int
) -> Iterator[Contest]:
    """The contest of each training scan, of the group that most of its outlined structures belong to."""
    config = segmenter.config
    taught = config.taught_names
    for family in groups:
        for number, scan in enumerate(scans.scans(family, data, "train", limit=limit, seed=1, contrasts=contrasts)):
            volume = scan.image if isinstance(scan.image, Volume) else Volume.open(scan.image)
            study = Study(volume, segmenter)
            group = max(config.exclusive, key=lambda names: len(set(names) & set(scan.truths)), default=())
            there = study.rivals.there if study.rivals is not None else set()
            names = tuple(n for n in group if n in scan.truths or taught.index(n) in there)
            if not names:
                continue
            truth = np.full(volume.shape, -1, np.int16)
            logits = np.full((len(names), *volume.shape), NOWHERE, np.float16)
            for i, name in enumerate(names):
                if name in scan.truths:
                    truth[volume.from_native(scan.truths[name]).astype(bool)] = i
                (layer,) = study.view.drawing.layers([name])
                over = layer.margins[0]
                for where, values in on_volume(over, layer.part, study.view.extent, over > NOWHERE + 0.5):
                    logits[i][where] = values.numpy()
            spots = np.flatnonzero((logits.reshape(len(names), -1) > NEAR).any(0) | (truth.ravel() >= 0))
            if len(spots) > VOXELS:
                spots = np.random.default_rng([0, number]).choice(spots, VOXELS, replace=False)
            picked = logits.reshape(len(names), -1)[:, spots].astype(np.float32)
            scored = tuple(i for i, name in enumerate(names) if name in scan.truths)
            yield Contest(names, picked, truth.ravel()[spots], scored)
            print(f"\r{family} {number + 1}", end="", flush=True)
        print()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.shifts", description="Fit a See run's mask shifts.")
    parser.add_argument("--see", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", default="openkbp,hippocampus,sts,brain,brain_free")
    parser.add_argument("--limit", type=int, default=16, help="training scans of each family")
    parser.add_argument("--contrasts", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    options = parser.parse_args(argv)
    return program.ended("shifts", lambda: shifted_run(options))


def shifted_run(options: argparse.Namespace) -> Path:
    """Draw, fit, print the figures and write the file of the run with its shifts."""
    segmenter = load_segmenter(options.see).eval().to(checked_device(options.device))
    segmenter.config = dataclasses.replace(segmenter.config, mask_shifts=())
    families = options.families.split(",")
    seen = list(contests(segmenter, families, options.data, options.limit, options.contrasts))
    if not seen:
        raise RecipeError(f"no training scan of {options.families} in {options.data}: name others with --families")
    shifts = fit(seen)
    plain, moved = mean_dice(seen, {}), mean_dice(seen, shifts)
    for name, shift in shifts.items():
        sides = [n for n in plain if bare(n) == name]
        before, after = (float(np.mean([values[n] for n in sides])) for values in (plain, moved))
        print(f"{name}: {shift:+.2f}, Dice of the training scans {before:.3f} -> {after:.3f}")
    taught = segmenter.config.taught_names
    segmenter.config = dataclasses.replace(
        segmenter.config, mask_shifts=tuple(shifts.get(bare(name), 0.0) for name in taught)
    )
    settings = {"families": families, "limit": options.limit, "contrasts": options.contrasts}
    this = {"stage": "shifts", "settings": settings, "data": {}, "code": code_version()}
    return save_segmenter(options.out, segmenter, [*made_how(options.see), this])


if __name__ == "__main__":
    raise SystemExit(main())
