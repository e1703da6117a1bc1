"""The masks of a See run on scans with expert masks, asked by phrase states: no language model, so minutes not hours.

    python -m training.check --see runs/see/last.pt --data ../shared/data --limit 5

What a user gets is measured by `training.evaluate`; this is for choosing between runs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assistant.language import DEFAULT_BASE
from assistant.study import Study
from assistant.volume import Volume
from training import metrics, program, scans
from training.phrases import PhraseBank
from training.stage import load_segmenter


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Masks of a See run, asked by phrase states.")
    parser.add_argument("--see", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--phrases", type=Path, default=Path("runs/phrases.pt"))
    parser.add_argument("--base", default=DEFAULT_BASE, help="the language model whose phrase states those are")
    parser.add_argument("--families", default=",".join(scans.FAMILIES))
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--contrasts", type=int, default=2)
    options = parser.parse_args(argv)
    return program.ended("check", lambda: checked(options))


def checked(options: argparse.Namespace) -> None:
    """Ask, and print Dice and presence by family."""
    segmenter, bank = load_segmenter(options.see).eval(), PhraseBank.load(options.phrases, options.base)
    for family in options.families.split(","):
        dice: dict[str, list[float]] = defaultdict(list)
        presence: dict[bool, list[float]] = {True: [], False: []}
        for scan in scans.scans(family, options.data, limit=options.limit, contrasts=options.contrasts):
            volume = Volume.open(scan.image) if isinstance(scan.image, Path) else scan.image
            study = Study(volume, segmenter)
            absent = [a for a in scan.absent if a in bank.rows][:12]
            phrases = [*scan.truths, *absent]
            states = bank.states[[bank.rows[p][0] for p in phrases]]
            for phrase, found in zip(phrases, study.decode(states), strict=True):
                if found.taught:
                    presence[phrase in scan.truths].append(found.presence)
                if phrase in scan.truths:
                    dice[phrase].append(metrics.dice(volume.to_native(found.mask).astype(bool), scan.truths[phrase]))
        means = {k: float(np.mean(v)) for k, v in dice.items()}
        print(f"{family}: mean Dice {np.mean(list(means.values())):.3f} over {len(means)} structures")
        print("  " + ", ".join(f"{k} {v:.2f}" for k, v in sorted(means.items())))
        for there, values in presence.items():
            if values:
                print(f"  presence of the {'present' if there else 'absent'}: median {np.median(values):.2f}, "
                      f"at least 0.5 in {np.mean(np.array(values) >= 0.5):.2f} of {len(values)}")  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
