"""What a build is made of: one unit a case or a published record, read one at a time.

A unit that is read gives its records and the hash of its volume. Conversations about a case are made from what its
masks measure; the same seed gives the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from data_recipes import registry
from data_recipes.leakage import Scan, voxel_hash
from data_recipes.schema import Case, Damaged, DataSet, ImageRef, Record, Skip, Turn, image_file, load_case, load_image


@dataclass(frozen=True)
class Source:
    """A data set and the folder it was downloaded to."""

    name: str
    root: Path

    @property
    def about(self) -> DataSet:
        return registry.about(self.name)


@dataclass(frozen=True)
class Unit:
    """One case or one record of a source, not read yet."""

    source: Source
    item: Case | Record

    @property
    def name(self) -> str:
        """As leaks name it: "amos/amos_0001"."""
        return f"{self.source.name}/{self.item.id}"

    @property
    def scan(self) -> Scan:
        """What the leakage guard knows of it before its volume is read."""
        about, item = self.source.about, self.item
        return Scan(about.name, about.patient_space, item.patient, item.id, item.split)

    def read(self, per_case: int, seed: int) -> tuple[list[Record], str]:
        """(records, volume hash); `per_case` records of a case with an image, none of a bare label map.

        Damaged when a file cannot be read.
        """
        if isinstance(self.item, Record):
            digest = _image_hash(self.source.root, self.item.images[0], _stamp(self.source.root, self.item.images[0]))
            return [replace(self.item, volume=digest)], digest
        return _talks(self.source, self.item, per_case, seed)


def units(sources: Sequence[Source], split: str, skip: Skip = None) -> Iterator[Unit]:
    """All units of a split, source by source, in the recipes' order."""
    for source in sources:
        recipe = registry.RECIPES[source.about.name]
        found = recipe.cases if source.name in registry.MASKS else recipe.records
        for item in found(source.root, split, skip):
            yield Unit(source, item)


def _talks(source: Source, case: Case, per_case: int, seed: int) -> tuple[list[Record], str]:
    from data_recipes.instructions.facts import facts_of
    from data_recipes.instructions.mixture import about

    volume, labels, _ = load_case(case)
    if volume is None:
        return [], voxel_hash(labels)
    digest = voxel_hash(volume.voxels)
    facts = facts_of(case, volume, labels)
    if not (facts.found or facts.absent):
        raise Damaged(case.label, "outlines nothing that its recipe has a name for", "look at its label values")
    assert case.image is not None
    records = []
    for number in range(per_case):
        talk = about(facts, random.Random(f"{seed}/{source.name}/{case.id}/{number}"))
        records.append(
            Record(
                id=f"{source.name}/{case.id}/{number}",
                images=(ImageRef(_relative(case.image, source), case.modality, case.frame),),
                label=_relative(case.label, source), form=case.form,
                messages=tuple(Turn(m.role, m.content, m.image, m.region) for m in talk.messages),
                targets=talk.targets, family=case.family, kind=talk.kind, provenance="measured from the masks",
                licence=case.licence, split=case.split, patient=case.patient, seed=seed, region=talk.region,
                values=case.values, masks={v: _relative(p, source) for v, p in case.masks.items()},
                dataset=source.name, volume=digest,
            )
        )  # fmt: skip
    return records, digest


def _relative(path: Path, source: Source) -> str:
    return path.relative_to(source.root).as_posix()


@lru_cache(maxsize=64)
def _image_hash(root: Path, ref: ImageRef, stamp: tuple[int, int]) -> str:
    """Records of one volume follow one another: it is read once, as long as its file is the same (`stamp`)."""
    return voxel_hash(load_image(root, ref).voxels)


def _stamp(root: Path, ref: ImageRef) -> tuple[int, int]:
    """When the file was written, and its size."""
    found = image_file(root, ref).stat()
    return found.st_mtime_ns, found.st_size
