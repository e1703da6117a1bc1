"""What a build is made of: one unit a case or a published record, read one at a time.

A unit that is read gives its records and the hash of its volume. Conversations about a case are made from what its
masks measure; the same seed gives the same ones. A case whose patient has an earlier case (`Case.earlier`) is talked of
together with it too.
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
    """One case or one record of a source, not read yet; `before` is the same patient's earlier case."""

    source: Source
    item: Case | Record
    before: Case | None = None

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
        return _talks(self.source, self.item, per_case, seed, self.before)


def units(sources: Sequence[Source], split: str, skip: Skip = None) -> Iterator[Unit]:
    """All units of a split, source by source, in the recipes' order."""
    for source in sources:
        recipe = registry.RECIPES[source.about.name]
        found = recipe.cases if source.name in registry.MASKS else recipe.records
        items = list(found(source.root, split, skip))
        cases = {item.id: item for item in items if isinstance(item, Case)}
        for item in items:
            yield Unit(source, item, cases.get(item.earlier) if isinstance(item, Case) else None)


def _talks(
    source: Source, case: Case, per_case: int, seed: int, before: Case | None = None
) -> tuple[list[Record], str]:
    from data_recipes.instructions.facts import facts_of, measured_facts
    from data_recipes.instructions.mixture import about

    volume, labels, _ = load_case(case)
    if volume is None:
        return [], voxel_hash(labels)
    digest = voxel_hash(volume.voxels)
    facts = facts_of(case, volume, labels)
    if not (facts.found or facts.absent):
        raise Damaged(case.label, "outlines nothing that its recipe has a name for", "look at its label values")
    assert case.image is not None
    earlier = measured_facts(before) if before is not None and before.image is not None and not before.masks else None
    digests = [digest]
    if earlier is not None and earlier.layout is not None:
        digests.insert(0, voxel_hash(earlier.layout.volume.voxels))
    records = []
    for number in range(per_case):
        talk = about(facts, random.Random(f"{seed}/{source.name}/{case.id}/{number}"), earlier)
        scans = [before, case] if before is not None and sum(m.image for m in talk.messages) > 1 else [case]
        records.append(
            Record(
                id=f"{source.name}/{case.id}/{number}",
                images=tuple(_image_of(one, source, place) for place, one in enumerate(scans)),
                label=_relative(scans[0].label, source), form=scans[0].form,
                messages=tuple(Turn(m.role, m.content, m.image, m.region) for m in talk.messages),
                targets=talk.targets, family=case.family, kind=talk.kind, provenance="measured from the masks",
                licence=case.licence, split=case.split, patient=case.patient, seed=seed, region=talk.region,
                values=case.values, masks={v: _relative(p, source) for v, p in scans[0].masks.items()},
                dataset=source.name, volume=digests[-len(scans)], pointer=talk.pointer,
            )
        )  # fmt: skip
    return records, digest


def _image_of(case: Case, source: Source, place: int) -> ImageRef:
    assert case.image is not None
    label = _relative(case.label, source) if place else None
    return ImageRef(_relative(case.image, source), case.modality, case.frame, label)


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
