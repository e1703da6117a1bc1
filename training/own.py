"""Your own data in one command: labelled scans teach the model a new structure.

    deixis train --images scans --labels labels --names names.json --out my-model

It reads and checks everything first and says all that is wrong at once; holds some patients out; trains, with Ctrl-C
and the same command to go on later; measures on the held-out scans, also whether the old masks are still the same; and
writes a model folder for `--model`. Nothing but the segmenter is trained: the language model hears the new name by the
glossary and reads the mask's measurements as it reads all others.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from assistant import checkpoint
from assistant.commands.arguments import Parser
from assistant.errors import DeixisError
from assistant.examples import example_scan
from assistant.language import phrase_states
from assistant.model import DeixisModel, default_checkpoint
from assistant.segmenter import SAME, Segmenter
from assistant.session import Session
from assistant.study import Study
from assistant.volume import Volume, open_volume
from data_recipes import ontology
from training import own_data, own_training
from training.own_data import DataError, OwnCase
from training.own_names import OwnName, clashes, read_names, with_names
from training.own_training import OwnConfig

RUN, SETTINGS, STATE, REPORT = "run", "settings.json", "state.pt", "report.json"
STOPPED = 130  # the shell's code for Ctrl-C


@dataclass(frozen=True)
class Figures:
    """What was measured on held-out scans. new: {phrase: Dice of each scan that has it}, before and after; presence:
    {phrase: of those scans}; refused: (of scans without it refused, all such); old: {phrase: Dice of its masks with the
    start model's, a scan each}."""

    before: dict[str, list[float]]
    after: dict[str, list[float]]
    presence: dict[str, list[float]]
    refused: tuple[int, int]
    old: dict[str, list[float]]

    def lines(self) -> list[str]:
        """For people, one structure a line."""
        out = []
        for phrase, values in self.after.items():
            if values:
                sure = float(np.min(self.presence[phrase]))
                out.append(f"{phrase}: Dice {np.mean(self.before[phrase]):.2f} before, {np.mean(values):.2f} after "
                           f"({', '.join(f'{v:.2f}' for v in values)}); presence at least {sure:.2f}")  # fmt: skip
            else:
                out.append(f"{phrase}: in no held-out scan, so not measured")
        if self.refused[1]:
            out.append(f"where it is not: refused {self.refused[0]} of {self.refused[1]} times")
        if self.old:
            means = {phrase: float(np.mean(values)) for phrase, values in self.old.items()}
            worst = min(means, key=lambda phrase: means[phrase])
            out.append(f"old masks: {len(means)} structures, mean Dice {np.mean(list(means.values())):.3f} with the "
                       f"start model's, the least {means[worst]:.3f} ({worst})")  # fmt: skip
        else:
            out.append("old masks: the start model finds nothing of its own in these scans, so none to compare")
        return out


@torch.no_grad()
def new_codes(model: DeixisModel, phrases: Sequence[str]) -> tuple[Tensor, list[str]]:
    """A code (N, state_dim) for each phrase, as long as the taught ones on average, and a sentence on each that had to
    be moved away from another structure's. What a phrase is called settles which code is meant (`Segmenter.settle`);
    codes only have to be apart for the masks to be."""
    segmenter = model.segmenter
    lm = cast(PreTrainedModel, model.language_model)
    codes = segmenter.whiten(phrase_states(lm, model.tokenizer, phrases))
    taken, notes = dict(zip(segmenter.config.taught_names, segmenter.taught_codes, strict=True)), []
    length = segmenter.taught_codes.norm(dim=1).mean() if len(taken) else codes.norm(dim=1).mean()
    for i, phrase in enumerate(phrases):
        others = {name: code for name, code in taken.items() if name != phrase}
        if others:
            like = F.normalize(torch.stack(list(others.values())), dim=1) @ F.normalize(codes[i], dim=0)
            near = [code for code, value in zip(others.values(), like, strict=True) if float(value) >= SAME]
            if near:
                codes[i] = _apart(codes[i], torch.stack(near))
                nearest = list(others)[int(like.argmax())]
                notes.append(f"the language model reads {phrase!r} almost like {nearest!r} "
                             f"({float(like.max()):.2f}): its code was moved away")  # fmt: skip
        codes[i] *= length / codes[i].norm().clamp_min(1e-6)
        taken[phrase] = codes[i]
    return codes, notes


def _apart(code: Tensor, near: Tensor) -> Tensor:
    """What of a code (D,) is orthogonal to those near it (N, D); of one that lies in their span, next to nothing but
    rounding is, and a drawn direction takes its place."""
    span = torch.linalg.qr(near.T).Q
    rest = code - span @ (span.T @ code)
    if rest.norm() < 0.1 * code.norm():
        drawn = torch.randn(code.shape, generator=torch.Generator().manual_seed(0)).to(code)
        rest = drawn - span @ (span.T @ drawn)
    return rest


def masks(segmenter: Segmenter, volume: Volume, phrases: Sequence[str]) -> dict[str, tuple[np.ndarray, float]]:
    """{phrase: (flat indices of its mask's voxels, presence)} of taught phrases in a scan."""
    states = torch.zeros(len(phrases), segmenter.config.lm_dim)  # the names say which codes are meant
    found = Study(volume, segmenter).decode(states, names=list(phrases)) if phrases else []
    return {p: (np.flatnonzero(f.mask), f.presence) for p, f in zip(phrases, found, strict=True)}


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two sets of flat indices; of two empty ones 1."""
    return 2 * len(np.intersect1d(a, b, assume_unique=True)) / max(1, len(a) + len(b)) if len(a) + len(b) else 1.0


def measure(start: Segmenter, segmenter: Segmenter, held: Sequence[OwnCase], names: Sequence[OwnName]) -> Figures:
    """Both models on the held-out scans, and their old masks on the example scan as well."""
    phrases = [n.phrase for n in names]
    before: dict[str, list[float]] = {p: [] for p in phrases}
    after: dict[str, list[float]] = {p: [] for p in phrases}
    presence: dict[str, list[float]] = {p: [] for p in phrases}
    old: dict[str, list[float]] = {}
    refused = absent = 0

    def compare(volume: Volume) -> None:
        known = [n for n in start.config.taught_names if n not in phrases]
        first = {p: m for p, (m, _) in masks(start, volume, known).items() if len(m)}
        for phrase, (mask, _) in masks(segmenter, volume, list(first)).items():
            old.setdefault(phrase, []).append(overlap(first[phrase], mask))

    for case in held:
        volume = open_volume(case.image, modality=case.packed.modality)
        labels, _ = own_data.read_labels(case.label)
        then = masks(start, volume, [p for p in phrases if p in start.config.taught_names])
        now = masks(segmenter, volume, phrases)
        for name in names:
            truth = np.flatnonzero(labels == name.value)
            mask, sure = now[name.phrase]
            if len(truth):
                nothing = (np.zeros(0, int), 0.0)
                before[name.phrase].append(overlap(then.get(name.phrase, nothing)[0], truth))
                after[name.phrase].append(overlap(mask, truth))
                presence[name.phrase].append(sure)
            elif name.value in case.packed.names:
                absent += 1
                refused += not len(mask)
        compare(volume)
    compare(open_volume(example_scan(), modality="MR"))
    return Figures(before, after, presence, (refused, absent), old)


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block, Ctrl-C is noted and the function says so; a second one interrupts as ever."""
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step ...", flush=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def settle(out: Path, settings: dict[str, Any]) -> None:
    """Write what a run was asked for, or see that it is the same run that goes on. DataError otherwise."""
    path = out / RUN / SETTINGS
    asked = json.loads(json.dumps(settings))
    if path.exists():
        first = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in asked if first.get(key) != asked[key]]
        if changed:
            raise DataError(f"{out} was begun with other {', '.join(changed)}: choose another --out, or remove it")
        return
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty and not a run of this command: choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asked, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run(options: argparse.Namespace) -> int:
    """The whole command; its exit code."""
    start_folder = Path(options.model or default_checkpoint())
    began = time.monotonic()
    names, problems = read_names(options.names)
    model = DeixisModel.from_pretrained(start_folder, options.base)
    glossary = model.glossary or ontology.glossary()
    problems += clashes(options.names, names, glossary, model.segmenter.config.taught_names)
    cases: list[OwnCase] = []
    if not problems:
        cases, problems = own_data.read_cases(
            options.images, options.labels, names, modality=options.modality, complete=options.complete,
            patient=options.patient, say=lambda line: print(line, flush=True),
        )  # fmt: skip
    if problems:
        for problem in problems:
            print(problem, file=sys.stderr)
        raise DataError(f"{len(problems)} problem(s) to put right first, listed above: nothing was trained")
    learned, held = own_data.split(cases, options.dev, options.seed)
    config = OwnConfig(steps=options.steps, seed=options.seed, encoder_rank=options.encoder_rank)
    phrases = [name.phrase for name in names]
    settings = {
        "settings": asdict(config), "names": [asdict(name) for name in names], "start": model.manifest and
        model.manifest.sha256, "scans": {c.name: [c.sha256, checkpoint.file_hash(c.label)] for c in cases},
        "held-out scans": [case.name for case in held],
    }  # fmt: skip
    settle(options.out, settings)
    if (options.out / checkpoint.MANIFEST).exists():
        print(f"{options.out} is finished; its figures are in {options.out / REPORT}")
        return 0
    print(f"{len(learned)} scans to learn from, {len(held)} held out: {', '.join(case.name for case in held)}")
    codes, notes = new_codes(model, phrases)
    for line in notes:
        print(f"note: {line}")
    start = model.segmenter
    del model  # the language model has no part in what follows
    segmenter = own_training.extended(start, phrases, codes)
    example = open_volume(example_scan(), modality="MR")
    other = own_data.pack("example", example, np.zeros(example.shape, np.float32), [], False)
    with stop_on_interrupt() as stopped:
        done = own_training.train(
            start, segmenter, phrases, [c.packed for c in learned], [other], config, options.out / RUN / STATE,
            stopped=stopped, say=lambda line: print(line, flush=True),
        )  # fmt: skip
    if not done:
        print(f"stopped; the same command goes on from here ({options.out / RUN})")
        return STOPPED
    print(f"measuring on {len(held)} held-out scans ...", flush=True)
    figures = measure(start, segmenter, held, names)
    for line in figures.lines():
        print(line)
    write(options.out, start_folder, options.base, segmenter, names, learned, held, config, figures)
    print(f"wrote {options.out} in {(time.monotonic() - began) / 60:.0f} min")
    say_hello(options.out, options.base, held[0], names[0])
    return 0


def write(
    out: Path,
    start_folder: Path,
    base: str | None,
    segmenter: Segmenter,
    names: Sequence[OwnName],
    learned: Sequence[OwnCase],
    held: Sequence[OwnCase],
    config: OwnConfig,
    figures: Figures,
) -> None:
    """The start model's folder with another segmenter, more names and what was measured."""
    model = DeixisModel.from_pretrained(start_folder, base, trainable=True)
    assert model.manifest is not None
    model.segmenter = segmenter
    model.config = dataclasses.replace(model.config, segmenter=segmenter.config)
    model.glossary = with_names(model.glossary or ontology.glossary(), names)
    data = {"own": {"learned": [c.sha256 for c in learned], "held out": [c.sha256 for c in held]}}
    (out / REPORT).write_text(json.dumps(asdict(figures), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "README.md").write_text(card(names, learned, held, config, figures), encoding="utf-8")
    model.save_pretrained(
        out,
        seeds={**model.manifest.seeds, "own": config.seed},
        data={**model.manifest.data, **data},
        training={**model.manifest.training, "own": {**asdict(config), "start": model.manifest.sha256}},
        dtype=torch.float16,
    )


def card(
    names: Sequence[OwnName], learned: Sequence[OwnCase], held: Sequence[OwnCase], config: OwnConfig, figures: Figures
) -> str:
    """The model card: what was added, from what, and how good it is."""
    taught = ", ".join(name.phrase for name in names)
    lines = "\n".join(f"- {line}" for line in figures.lines())
    return (
        f"# Model card\n\n**Research use only.** Not a medical device; not for diagnosis or treatment.\n\n"
        f"Deixis, taught further on a user's own scans: {taught}.\n\n"
        f"{len(learned)} labelled {learned[0].packed.modality} scans, {config.steps} steps (seed {config.seed}), "
        f"weights a share {config.back:g} of the way back to the start. Measured on {len(held)} held-out scans "
        f"({', '.join(case.name for case in held)}), which chose nothing:\n\n{lines}\n\n"
        "What the start model knew is kept by its own answers on these scans and on disguised copies of them, not by\n"
        "expert masks: measure it on scans of your own before you rely on it.\n"
    )


def say_hello(out: Path, base: str | None, case: OwnCase, name: OwnName) -> None:
    """One question to the written model, as a user would ask it."""
    session = Session.open(case.image, model=out, base=base, modality=case.packed.modality)
    question = f"Where is the {name.phrase}, and how large is it?"
    print(f"\n{case.name}: {question}\n{session.ask(question).text}\n\ndeixis chat {case.image} --model {out}")


def share_or_names(text: str) -> float | list[str]:
    """ "0.2" -> 0.2; "case_03,case_07" -> ["case_03", "case_07"]"""
    try:
        return float(text)
    except ValueError:
        return [name for name in text.split(",") if name]


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="deixis train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of scans")
    parser.add_argument("--labels", type=Path, required=True, help="folder of label maps with the same file names")
    parser.add_argument("--names", type=Path, required=True, help='JSON: {"1": "spinal cord"}, or {"1": {"name": '
                        '"kidney", "side": "left", "synonyms": ["kidneys"]}}')  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="model folder to write; also where to go on from")
    parser.add_argument("--model", type=Path, help="what to begin with (default: the embedded model)")
    parser.add_argument("--base", help="the language model's folder, when it is not found by its name")
    parser.add_argument("--modality", choices=["CT", "MR", "PET"], help="of all scans, where the files do not say")
    parser.add_argument("--complete", action="store_true", help="what a label map lacks is not in its scan (default: "
                        "it is unknown there)")  # fmt: skip
    parser.add_argument("--dev", type=share_or_names, default=0.2, metavar="SHARE|NAMES", help="patients to hold out "
                        "and measure on: a share, or names of cases with commas (default: 0.2)")  # fmt: skip
    parser.add_argument("--patient", default=own_data.PATIENT, metavar="REGEX", help="what of a file's name is the "
                        "patient (default: sub-XX at its start, else all of it)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=OwnConfig.steps, help=f"default {OwnConfig.steps}")
    parser.add_argument("--encoder-rank", type=int, default=0, metavar="R", help="train LoRA of rank R on the encoder "
                        "instead of all its weights (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    try:
        return run(options)
    except DeixisError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
