"""Calibrate a See run: what its presence, quality and mask probabilities are worth, on scans that it was not trained on
and that the report leaves out.

    python -m training.calibrate --see runs/see/last.pt --data ../shared/data --out runs/calibrated.pt

Writes the run's averaged weights with the settings that the program reads from the checkpoint: the mask threshold of
each group of structures (good mean Dice, near a half), the temperature of presence (maximum likelihood), the presence
threshold (good mean of present found and absent refused, each family alike, near a half), and the line from raw to
calibrated quality (least squares on the true IoU).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.language import DEFAULT_BASE
from assistant.segmenter import Segmenter
from assistant.session import checked_device
from assistant.study import Study
from assistant.volume import Volume
from data_recipes.schema import RecipeError
from training import metrics, program, scans
from training.phrases import PhraseBank
from training.stage import code_version, load_segmenter, made_how, save_segmenter

SYNTHETIC = ("brain", "brain_free")
ENOUGH = 0.02
ENOUGH_DICE = 0.002
# The best for a mask's Dice is half of the Dice that is reached, where probabilities are true (Lipton et al. 2014)
MASK_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.6)


@dataclass(frozen=True)
class Answer:
    """One phrase asked of one scan: presence and quality as the raw heads give them; dice, iou: NaN when absent."""

    family: str
    phrase: str
    there: bool
    presence: float
    quality: float
    dice: float
    iou: float


def answers(
    segmenter: Segmenter,
    bank: PhraseBank,
    data: Path | None,
    families: Sequence[str],
    skip: int,
    limit: int,
    contrasts: int,
    absent: int,
) -> Iterator[tuple[float, Answer]]:
    """(mask threshold, answer): every truth and some absent phrases of each scan at each of MASK_THRESHOLDS, all masks
    drawn whatever their presence. A scan is encoded once."""
    for group in families:
        family, _ = scans.group_name(group)
        # of the few label maps there are other contrasts (another seed) than those that are reported
        first = 0 if family in SYNTHETIC else skip
        chosen = scans.scans(group, data, limit=limit, skip=first, seed=1, contrasts=contrasts)
        for number, scan in enumerate(chosen):
            volume = Volume.open(scan.image) if isinstance(scan.image, Path) else scan.image
            names = [n for n in scan.absent if n in bank.rows]
            order = np.random.default_rng([0, number]).permutation(len(names))
            phrases = [*scan.truths, *(names[i] for i in order[:absent])]
            states = bank.states[[bank.rows[p][0] for p in phrases]]
            study = Study(volume, segmenter)
            for threshold in MASK_THRESHOLDS:
                segmenter.config = dataclasses.replace(segmenter.config, mask_threshold=threshold, mask_thresholds=())
                for phrase, found in zip(phrases, study.decode(states), strict=True):
                    if not found.taught:
                        continue  # never taught: refused by rule, whatever is calibrated
                    there = phrase in scan.truths
                    pair = (volume.to_native(found.mask).astype(bool), scan.truths[phrase]) if there else None
                    dice, iou = (metrics.dice(*pair), metrics.iou(*pair)) if pair else (np.nan, np.nan)
                    yield threshold, Answer(family, phrase, there, found.presence, found.quality, dice, iou)
            print(f"\r{family} {number + 1}", end="", flush=True)


def fit_temperature(presence: np.ndarray, there: np.ndarray) -> float:
    """Temperature of least negative log-likelihood; presence: probabilities at temperature 1. The targets are Platt's
    (1999), short of 0 and 1 by how few answers there are: where all are right the sharpest would be the likeliest."""
    p = np.clip(presence, 1e-6, 1 - 1e-6)
    logits = np.log(p / (1 - p))
    grid = np.exp(np.linspace(np.log(0.25), np.log(4), 81))
    target = np.where(there, (there.sum() + 1) / (there.sum() + 2), 1 / ((~there).sum() + 2))
    # -log p(target): both outcomes, weighted by the target
    losses = [
        np.mean(target * np.logaddexp(0, -logits / t) + (1 - target) * np.logaddexp(0, logits / t)) for t in grid
    ]
    return float(grid[int(np.argmin(losses))])


def fit_threshold(presence: np.ndarray, there: np.ndarray, family: np.ndarray) -> float:
    """Threshold of the best mean of (present found, absent refused), each family counting alike, however many
    structures it has; of those within ENOUGH of the best the one nearest to a half, which is what a calibrated
    probability stands for: one odd answer on a few scans is no reason to call 0.8 absent."""
    grid = np.linspace(0.05, 0.95, 91)
    right = np.where(there, presence >= grid[:, None], presence < grid[:, None])
    parts = [(family == f) & (there == t) for f in np.unique(family) for t in (True, False)]
    scores = np.mean([right[:, part].mean(1) for part in parts if part.any()], axis=0)
    good = grid[scores >= scores.max() - ENOUGH]
    return float(np.round(good[np.argmin(np.abs(good - 0.5))], 3))


def fit_mask_threshold(by_threshold: Mapping[float, Sequence[Answer]]) -> float:
    """Threshold of the best mean Dice, each family counting alike; of those within ENOUGH_DICE of the best the one
    nearest to a half, as masks of a lower one are larger than what was drawn by hand. A half without answers."""
    dice: dict[float, float] = {}
    for threshold, rows in by_threshold.items():
        there = [a for a in rows if a.there]
        means = [np.mean([a.dice for a in there if a.family == family]) for family in {a.family for a in there}]
        if means:
            dice[threshold] = float(np.mean(means))
    good = [t for t, value in dice.items() if value >= max(dice.values()) - ENOUGH_DICE]
    return min(good, key=lambda t: abs(t - 0.5), default=0.5)


def fit_quality(quality: np.ndarray, iou: np.ndarray) -> tuple[float, float]:
    """(a, b) of IoU ~ a * quality + b; slope 0 and the mean where raw quality says nothing."""
    if np.std(quality) < 1e-6:
        return 0.0, float(np.mean(iou))
    a, b = np.polyfit(quality, iou, 1)
    return float(max(a, 0.0)), float(b if a > 0 else np.mean(iou))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description="Calibrate a See run.")
    parser.add_argument("--see", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phrases", type=Path, default=Path("runs/phrases.pt"))
    parser.add_argument("--base", default=DEFAULT_BASE, help="the language model whose phrase states those are")
    parser.add_argument("--families", default="openkbp,hippocampus,sts,brain,brain_free")
    parser.add_argument("--skip", type=int, default=6, help="scans of each family that are kept for the report")
    parser.add_argument("--limit", type=int, default=4, help="scans of each family to calibrate on, after those")
    parser.add_argument("--contrasts", type=int, default=2)
    parser.add_argument("--absent", type=int, default=12)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    options = parser.parse_args(argv)
    return program.ended("calibrate", lambda: calibrated_run(options))


def calibrated_run(options: argparse.Namespace) -> Path:
    """Ask, fit, print the figures and write the file of the calibrated run."""
    segmenter = load_segmenter(options.see).eval().to(checked_device(options.device))
    bank = PhraseBank.load(options.phrases, options.base)
    segmenter.config = dataclasses.replace(
        segmenter.config, presence_threshold=0.0, presence_temperature=1.0, quality_scale=(1.0, 0.0)
    )
    by_threshold: dict[float, list[Answer]] = {t: [] for t in MASK_THRESHOLDS}
    groups = options.families.split(",")
    families = [scans.group_name(group)[0] for group in groups]
    for threshold, answer in answers(
        segmenter, bank, options.data, groups, options.skip, options.limit, options.contrasts, options.absent
    ):
        by_threshold[threshold].append(answer)
    missing = [f for f in families if not any(a.there and a.family == f for a in by_threshold[MASK_THRESHOLDS[0]])]
    if missing:
        raise RecipeError(f"no dev scan of {', '.join(missing)} after the first {options.skip}: lower --skip")
    print()
    for threshold in MASK_THRESHOLDS:
        for family in families:
            values = [a.dice for a in by_threshold[threshold] if a.family == family and a.there]
            print(f"mask threshold {threshold}: {family} Dice {np.mean(values):.3f} over {len(values)}", flush=True)
    config = segmenter.config
    of_group = {
        number: {t: [a for a in rows if config.group_of(a.phrase) == number] for t, rows in by_threshold.items()}
        for number in (*range(len(config.exclusive)), None)
    }
    best = {number: fit_mask_threshold(rows) for number, rows in of_group.items()}
    rows = [answer for number, threshold in best.items() for answer in of_group[number][threshold]]
    other = best.pop(None)
    there = np.array([a.there for a in rows])
    presence = np.array([a.presence for a in rows])
    temperature = fit_temperature(presence, there)
    p = np.clip(presence, 1e-6, 1 - 1e-6)
    calibrated = 1 / (1 + (p / (1 - p)) ** (-1 / temperature))
    threshold = fit_threshold(calibrated, there, np.array([a.family for a in rows]))
    scale = fit_quality(np.array([a.quality for a in rows if a.there]), np.array([a.iou for a in rows if a.there]))
    segmenter.config = dataclasses.replace(
        config, mask_threshold=other, mask_thresholds=tuple(best.values()), presence_temperature=temperature,
        presence_threshold=threshold, quality_scale=scale,
    )  # fmt: skip
    found_rate, refused = np.mean(calibrated[there] >= threshold), np.mean(calibrated[~there] < threshold)
    print(f"mask thresholds {[*best.values()]}, else {other}")
    print(f"presence temperature {temperature:.2f}, presence threshold {threshold}")
    print(f"quality {scale[0]:.2f} x + {scale[1]:.2f}; present found {found_rate:.3f}, absent refused {refused:.3f}")
    for answer in sorted((a for a in rows if not a.there), key=lambda a: -a.presence)[:5]:
        print(f"  most present of the absent: {answer.phrase} in {answer.family}, {answer.presence:.2f} uncalibrated")
    for answer in sorted((a for a in rows if a.there), key=lambda a: a.presence)[:5]:
        print(f"  least present of the present: {answer.phrase} in {answer.family}, {answer.presence:.2f} uncalibrated")
    scans_used = {"families": families, "skip": options.skip, "limit": options.limit, "contrasts": options.contrasts}
    this = {"stage": "calibrate", "settings": scans_used, "data": {}, "code": code_version()}
    return save_segmenter(options.out, segmenter, [*made_how(options.see), this])


if __name__ == "__main__":
    raise SystemExit(main())
