"""Records as Arrow shards that Hugging Face's `datasets` streams, made so that a killed build can go on.

    from datasets import load_dataset
    load_dataset("arrow", data_files={"train": "built/train-*.arrow"}, split="train", streaming=True)

A build is a folder: `build.json` (what was asked), and for each shard `train-00000.arrow` with `train-00000.json` (its
scans with their hashes, and what was left out). A shard is written beside its place and renamed when it is whole, and
what is in it depends on the seed alone: started again, a build goes on after its last whole shard and ends the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_recipes import leakage
from data_recipes.leakage import Scan
from data_recipes.rewriter import Rewriter
from data_recipes.schema import SPLITS, Damaged, ImageRef, RecipeError, Record, Skip, Target, Turn, pointer_of
from data_recipes.units import Source, Unit, units

PLAN = "build.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """per_case: conversations made of a case. per_shard: units in a shard. skip: leave damaged cases out and name them,
    instead of stopping at the first. leave_out: scans that are not wanted, "amos/amos_0001". rewriter: the name of what
    puts questions in other words, "" for nothing."""

    per_case: int = 4
    per_shard: int = 64
    seed: int = 0
    skip: bool = False
    leave_out: tuple[str, ...] = ()
    rewriter: str = ""


@dataclass(frozen=True)
class Built:
    """What a build came to. `left_out` and `duplicates` are sentences."""

    records: int
    left_out: tuple[str, ...]
    duplicates: tuple[str, ...]


def _datasets() -> Any:
    """The package, which only this module needs. RecipeError where it is not installed."""
    try:
        import datasets
    except ImportError as error:
        raise RecipeError("this needs the package datasets: install deixis with its extra 'data'") from error
    return datasets


def build(
    sources: Sequence[Source],
    out: Path,
    settings: Settings,
    say: Say = lambda line: None,
    rewriter: Rewriter | None = None,
) -> Built:
    """Write every split of some data sets to a folder, or go on with a build that was killed. `settings.rewriter` is
    the name of the rewriter's writer.

    LeakError when splits share a patient or a volume; Damaged at the first case that cannot be read, unless
    `settings.skip`; RecipeError when the folder holds a build of something else.
    """
    _datasets()
    left_out: Skip = [] if settings.skip else None
    unwanted = set(settings.leave_out)
    plan = {split: [u for u in units(sources, split, left_out) if u.name not in unwanted] for split in SPLITS}
    every = [unit for split in SPLITS for unit in plan[split]]
    leakage.check(unit.scan for unit in every)
    _begin(out, sources, settings, every)
    scans: list[Scan] = []
    named = [str(problem) for problem in left_out or ()]
    records, done, began, fresh = 0, 0, time.monotonic(), 0
    for split in SPLITS:
        for number in range(0, len(plan[split]), settings.per_shard):
            part = plan[split][number : number + settings.per_shard]
            shard = out / f"{split}-{number // settings.per_shard:05}.arrow"
            if not shard.is_file():
                _write_shard(shard, part, settings, rewriter)
                fresh += len(part)
            notes = json.loads(shard.with_suffix(".json").read_text(encoding="utf-8"))
            scans += [Scan(**scan) for scan in notes["scans"]]
            leakage.check(scans)
            records += notes["records"]
            named += notes["left_out"]
            done += len(part)
            say(progress(done, len(every), fresh, time.monotonic() - began))
    return Built(records, tuple(named), tuple(leakage.duplicates(scans)))


def progress(done: int, total: int, fresh: int, seconds: float) -> str:
    """ "128 of 640 read, 3.2 a second, 3 min left": the rate is of those read in this run (`fresh`)."""
    if not fresh or seconds <= 0:
        return f"{done} of {total} there already"
    rate = fresh / seconds
    left = (total - done) / rate
    words = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return f"{done} of {total} read, {rate:.3g} a second, {words} left"


def _begin(out: Path, sources: Sequence[Source], settings: Settings, every: Sequence[Unit]) -> None:
    names = hashlib.sha256("\n".join(map(str, (unit.scan for unit in every))).encode()).hexdigest()
    plan = {
        "sources": {source.name: str(source.root) for source in sources},
        "settings": {**asdict(settings), "leave_out": list(settings.leave_out)},
        "units": len(every), "names": names,
    }  # fmt: skip
    path = out / PLAN
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in plan if plan[key] != before.get(key)]
        if changed:
            raise RecipeError(f"{out} holds a build with other {', '.join(changed)}: build into another folder")
        return
    if out.is_dir() and any(out.iterdir()):
        raise RecipeError(f"{out} is not empty and holds no {PLAN}: build into a new folder")
    out.mkdir(parents=True, exist_ok=True)
    _replace(path, json.dumps(plan, indent=1) + "\n")


def _write_shard(shard: Path, part: Sequence[Unit], settings: Settings, rewriter: Rewriter | None) -> None:
    from datasets.arrow_writer import ArrowWriter

    scans, left_out = [], []
    records: list[Record] = []
    beside = shard.with_name(f"{shard.name}.part")
    writer = ArrowWriter(path=str(beside), features=features(), writer_batch_size=1000)
    for unit in part:
        try:
            made, volume = unit.read(settings.per_case, settings.seed)
        except Damaged as error:
            if not settings.skip:
                raise
            left_out.append(str(error))
            continue
        scans.append({**asdict(unit.scan), "volume": volume})
        records += made
    for record in records if rewriter is None else rewriter.records(records):
        writer.write(row_of(record))
    writer.finalize()
    notes = {"records": len(records), "scans": scans, "left_out": left_out}
    _replace(shard.with_suffix(".json"), json.dumps(notes, ensure_ascii=False) + "\n")
    os.replace(beside, shard)


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def features() -> Any:
    """The columns of a shard: a `Record`'s fields, its maps as lists of pairs."""
    datasets = _datasets()
    text, number, truth = datasets.Value("string"), datasets.Value("int32"), datasets.Value("bool")
    return datasets.Features(
        {
            "id": text, "images": [{"path": text, "modality": text, "frame": number, "label": text}], "label": text,
            "messages": [{"role": text, "content": text, "image": truth, "region": truth}],
            "targets": [{"phrase": text, "present": truth, "labels": [number], "image": number}], "family": text,
            "kind": text, "provenance": text, "licence": text, "split": text, "patient": text,
            "seed": datasets.Value("int64"), "region": text, "values": [{"value": number, "phrase": text}],
            "form": text, "masks": [{"value": number, "path": text}], "dataset": text, "volume": text,
            "pointer": {"kind": text, "mm": [datasets.Value("float64")]}, "rewritten": [text],
        }
    )  # fmt: skip


def row_of(record: Record) -> dict[str, Any]:
    """A record as a row of a shard."""
    row = asdict(record)
    row["values"] = [{"value": value, "phrase": phrase} for value, phrase in record.values.items()]
    row["masks"] = [{"value": value, "path": path} for value, path in record.masks.items()]
    return row


def record_of(row: dict[str, Any]) -> Record:
    """Inverse of `row_of`."""
    return Record(
        **{
            **row,
            "images": tuple(ImageRef(**image) for image in row["images"]),
            "messages": tuple(Turn(**turn) for turn in row["messages"]),
            "targets": tuple(Target(**{**t, "labels": tuple(t["labels"])}) for t in row["targets"]),
            "pointer": pointer_of(row.get("pointer")),
            "rewritten": tuple(row.get("rewritten", ())),
            "values": {pair["value"]: pair["phrase"] for pair in row["values"]},
            "masks": {pair["value"]: pair["path"] for pair in row["masks"]},
        }
    )


def read(out: Path, split: str) -> Iterator[Record]:
    """The records of a build, shard by shard, never all in memory. RecipeError where there is no build."""
    datasets = _datasets()
    _plan(out)
    for shard in sorted(out.glob(f"{split}-*.arrow")):
        for row in datasets.Dataset.from_file(str(shard)):
            yield record_of(row)


def roots(out: Path) -> dict[str, Path]:
    """Where the paths in a build's records begin: data set -> folder."""
    return {name: Path(root) for name, root in _plan(out)["sources"].items()}


def _plan(out: Path) -> dict[str, Any]:
    if not (out / PLAN).is_file():
        raise RecipeError(f"{out} holds no {PLAN}: give the folder of a build")
    plan: dict[str, Any] = json.loads((out / PLAN).read_text(encoding="utf-8"))
    return plan
