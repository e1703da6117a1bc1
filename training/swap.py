"""Put a calibrated See run into a finished checkpoint, keeping how that checkpoint reads `<SEG>` states; files in
float16.

    python -m training.swap --model runs/v1 --see runs/calibrated.pt --out assistant/checkpoints/default

For a See run that went on while the language side was finished. The projectors drift by as much as the encoder
moved: where
that matters, align anew instead (`training.align` with `model=`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from assistant.model import DeixisModel
from data_recipes import ontology
from training import program
from training.stage import load_segmenter, made_how


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.swap", description="A See run into a finished checkpoint."
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--see", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    return program.ended("swap", lambda: swapped(options.model, options.see, options.out))


def swapped(finished: Path, run: Path, out: Path) -> Path:
    """Write a finished checkpoint with the segmenter of a See run; its folder."""
    model, see = DeixisModel.from_pretrained(finished, trainable=True), load_segmenter(run)
    see.state_mean.copy_(model.segmenter.state_mean)
    see.state_axes.copy_(model.segmenter.state_axes)
    model.segmenter = see
    model.config = replace(model.config, segmenter=see.config)
    manifest = model.manifest
    assert manifest is not None
    model.glossary = ontology.glossary()
    model.save_pretrained(
        out,
        seeds=manifest.seeds,
        data=manifest.data,
        training={**manifest.training, "see": made_how(run)},
        dtype=torch.float16,
    )
    return out


if __name__ == "__main__":
    raise SystemExit(main())
