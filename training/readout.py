"""Readout, the last stage: how the segmenter reads a `<SEG>` state is fitted to the finished language model.

    deixis train readout --model runs/converse/checkpoint --features runs/features.pt --out runs/model

See learns masks from codes of phrases read alone by the frozen base; in a conversation the state at `<SEG>` also
carries the conversation. Converse pulls the two together; what is left is a linear matter. `Segmenter.whiten` is an
affine map, and ridge regression gives the one that sends in-context states to the codes of their phrases, in closed
form, in two minutes. Nothing else changes. A model that has been through this stage is for use: train further from the
one before it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assistant.session import checked_device
from data_recipes import ontology
from training import program
from training.converse import freeze
from training.data import FeatureBank, Pack, collate
from training.packed import FrozenCodes, PackedModel
from training.stage import compute_type, load_start
from training.talks import Talks

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def fit(states: Tensor, codes: Tensor, penalty: float, mean: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Correct a reading (states - mean) @ axes towards codes (N, C) by ridge regression on what it leaves over; states
    (N, D) -> the corrected mean (D,) and axes (D, C). Few states then change little, and none nothing.

    penalty: in units of the mean variance of a state's dimension. Computed in float64."""
    x, mean, axes = states.double(), mean.double(), axes.double()
    rest = codes.double() - (x - mean) @ axes
    centre, left = x.mean(0), rest.mean(0)
    gram = (x - centre).T @ (x - centre)
    ridge = penalty * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    change = torch.linalg.solve(gram + ridge, (x - centre).T @ (rest - left))
    # the intercept is written as a shift of the mean: the axes span the codes, so such a shift exists
    new = axes + change
    shift = (mean @ axes - left + centre @ change) @ torch.linalg.pinv(new, rtol=1e-8)
    return shift.float(), new.float()


@torch.no_grad()
def collect(
    packed: PackedModel, groups: Iterator[list[Pack]], bank: FeatureBank, frozen: FrozenCodes, seed: int, bf16: bool
) -> tuple[Tensor, Tensor]:
    """In-context `<SEG>` states (N, D) of conversations, and which row of the frozen codes each should have (N,), both
    on the CPU."""
    states, rows = [], []
    device = frozen.codes.device
    autocast = compute_type(bf16, device)
    for number, group in enumerate(groups):
        batch = collate(group, bank, np.random.default_rng([seed, number])).to(device)
        with autocast():
            hidden = packed(batch).hidden
        chosen = [i for i, phrase in enumerate(batch.phrases) if phrase is not None]
        where = batch.seg_index[chosen]
        states.append(hidden[where[:, 0], where[:, 1]].float().cpu())
        rows += frozen.rows([p for p in batch.phrases if p is not None])
        print(f"\rreadout: {number + 1} batches, {len(rows)} <SEG> states", end="", flush=True)
    print()
    return torch.cat(states), torch.tensor(rows)


def nearest(states: Tensor, rows: Tensor, mean: Tensor, axes: Tensor, codes: Tensor) -> float:
    """Share of states whose nearest code is their own phrase's."""
    return float((torch.cdist((states - mean) @ axes, codes).argmin(1) == rows).float().mean())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.readout", description="Fit the reading of <SEG> states.")
    parser.add_argument("--model", type=Path, required=True, help="the checkpoint folder of Align or Converse")
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--float32", action="store_true", help="read the states in float32, as a CPU does in use")
    parser.add_argument("--base", help="where its language model is, if its name for it does not lead there")
    parser.add_argument("--quantize", choices=("4bit", "8bit"), help="as the model was trained")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    options = parser.parse_args(argv)
    return program.ended("readout", lambda: read_out(options))


def read_out(options: argparse.Namespace) -> Path:
    """Collect states, fit, print how well they are read, and write the checkpoint."""
    bf16, device = not options.float32, torch.device(checked_device(options.device))
    bank = FeatureBank.load(options.features)
    start = load_start(options.model, options.base, bank, bf16=bf16, device=device, quantize=options.quantize)
    freeze(start.model)
    talks = Talks(start.model.tokenizer, bank, 512, 2, 1000, 0.0, known=start.phrases.index)
    packed = PackedModel(start.model)
    groups = islice(talks.batches(options.seed), options.batches)
    states, rows = collect(packed, groups, bank, start.phrases, options.seed, bf16)
    held, held_rows = collect(packed, iter(talks.held_out(options.seed, 100)), bank, start.phrases, 0, bf16)
    segmenter, codes = start.model.segmenter, start.phrases.codes.cpu()
    reading = (segmenter.state_mean.cpu(), segmenter.state_axes.cpu())
    before = nearest(held, held_rows, *reading, codes)
    print(f"nearest code right in held-out conversations, as Converse left it: {before:.3f}")
    best = (-1.0, 0.0)
    for penalty in PENALTIES:
        share = nearest(held, held_rows, *fit(states, codes[rows], penalty, *reading), codes)
        print(f"  ridge penalty {penalty:g}: {share:.3f} of {len(held)}")
        best = max(best, (share, penalty))
    mean, axes = fit(states, codes[rows], best[1], *reading)
    segmenter.state_mean.copy_(mean)
    segmenter.state_axes.copy_(axes)
    figures = {"penalty": best[1], "states": len(states), "nearest_before": before, "nearest_after": best[0]}
    start.model.glossary = ontology.glossary()
    start.model.save_pretrained(
        options.out,
        seeds={**start.seeds, "readout": options.seed},
        data=start.data,
        training={**start.training, "readout": figures},
    )
    return Path(options.out)


if __name__ == "__main__":
    sys.exit(main())
