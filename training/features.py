"""Features of training scans through the frozen segmenter, computed once: what Align and Converse are shown of images.

    python -m training.features --data ../shared/data --segmenter runs/see/last.pt --out runs/features.pt
    python -m training.features amos=downloads/amos22 --segmenter runs/body/last.pt --out runs/body.pt

Of each scan: its visual tokens, and for each of its structures region features as a user would point at it (the whole
mask, and single points inside). Brain scans are synthesised from the label maps. Of a kind of scan that conversations
make up no facts for, the facts are measured from its masks and kept as well. The bank names its segmenter by a hash of
the weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from assistant.prompt_encoder import Prompt
from assistant.segmenter import Segmenter
from assistant.session import checked_device
from assistant.study import Study
from assistant.volume import Volume
from data_recipes import ontology, registry
from data_recipes.instructions.facts import facts_of
from data_recipes.schema import SPLITS, Case, RecipeError, load_case, mask_of
from data_recipes.synthesis.contrast import SHARES
from training import program
from training.data import CaseFeatures, FeatureBank
from training.scans import synthesised
from training.stage import fingerprint, load_segmenter


def features(
    volume: Volume, masks: dict[str, np.ndarray], segmenter: Segmenter, points: int, rng: np.random.Generator
) -> CaseFeatures:
    """One scan; masks {phrase: (X, Y, Z) bool, RAS grid}, none empty; ``points`` voxels of each are pointed at."""
    study = Study(volume, segmenter)
    regions = {}
    for phrase, mask in masks.items():
        spots = np.argwhere(mask)
        chosen = spots[rng.integers(0, len(spots), points)]
        ways = [study.view_of(Prompt(mask=mask)).region_feature(mask=mask)]
        for at in volume.to_world(chosen):
            point = Prompt(at[None], np.ones(1, int))
            ways.append(study.view_of(point).region_feature(point_mm=at))
        regions[phrase] = torch.stack(ways).cpu()
    return CaseFeatures(volume.name, study.visual_features().cpu(), regions)


def make_bank(
    recipes: Iterable[Iterator[Case]], segmenter: Segmenter, *, cases: int = 16, points: int = 3, seed: int = 0
) -> FeatureBank:
    """At most ``cases`` scans of each family that a recipe finds."""
    families: dict[str, list[CaseFeatures]] = {}
    for found in recipes:
        for case in _first_of_each_family(found, cases):
            began = time.perf_counter()
            rng = np.random.default_rng([seed, *case.id.encode()])
            volume, labels, affine = load_case(case)
            if volume is None:
                volume = synthesised(labels, affine, rng, case.id, SHARES)
            masks = {phrase: mask_of(labels, values) for phrase, values in case.phrases.items() if phrase != "brain"}
            there = {phrase: mask for phrase, mask in masks.items() if mask.any()}
            seen = features(volume, there, segmenter, points, rng)
            if case.family not in ontology.SCAN_FAMILIES:
                seen = replace(seen, facts=facts_of(case, volume, labels))
            families.setdefault(case.family, []).append(seen)
            print(f"{case.family} {case.id}: {len(there)} regions, {time.perf_counter() - began:.1f} s", flush=True)
    return FeatureBank(families, fingerprint(segmenter))


def _first_of_each_family(found: Iterator[Case], most: int) -> Iterator[Case]:
    """Up to ``most`` cases of each family, from one recipe (a recipe may give two families in turn)."""
    counts: dict[str, int] = {}
    for case in islice(found, 20 * most):
        counts[case.family] = counts.get(case.family, 0) + 1
        if counts[case.family] <= most:
            yield case


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.features", description="Frozen features of training scans."
    )
    parser.add_argument("sources", nargs="*", metavar="NAME=FOLDER", help="a recipe's name and its download")
    parser.add_argument("--data", type=Path, help="a folder in the shared layout, as ../shared/data")
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument("--segmenter", type=Path, required=True, help="See's last.pt, or a checkpoint folder")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, as runs/features.pt")
    parser.add_argument("--cases", type=int, default=16, help="scans of each family")
    parser.add_argument("--points", type=int, default=3, help="single points pointed at in each structure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    options = parser.parse_args(argv)

    def work() -> str:
        recipes = [] if options.data is None else [r.cases(options.data, options.split) for r in registry.shared()]
        for name, folder in (registry.named_folder(text, registry.MASKS) for text in options.sources):
            recipes.append(registry.MASKS[name].cases(folder, options.split))
        if not recipes:
            raise RecipeError("nothing to look at: give --data FOLDER or NAME=FOLDER")
        segmenter = load_segmenter(options.segmenter).eval().to(checked_device(options.device))
        bank = make_bank(recipes, segmenter, cases=options.cases, points=options.points, seed=options.seed)
        bank.save(options.out)
        return f"{options.out}: {', '.join(f'{name} {len(c)}' for name, c in bank.families.items())}"

    return program.ended("features", work)


if __name__ == "__main__":
    sys.exit(main())
