"""What a set of packed cases teaches: which phrases, and which of them exclude one another.

What the embedded model is made from has its groups in the ontology: whatever lies in one kind of scan. Of any other
data set the parts that its own label maps outline are a group. Two data sets say nothing about one another: the kidney
of one may hold the tumour of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data_recipes import ontology
from training.samples import TUMOUR, PackedCase


@dataclass(frozen=True)
class Taught:
    """groups: phrases whose masks never share a voxel; wholes: phrases whose masks hold others'; focus: groups of
    phrases in whose box a scan that shows them is looked at again."""

    groups: tuple[tuple[str, ...], ...]
    wholes: tuple[str, ...]
    focus: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once, in the order of `SegmenterConfig.taught_names`."""
        return tuple(dict.fromkeys((*(name for group in self.groups for name in group), *self.wholes)))


def taught(cases: Sequence[PackedCase], focus: Collection[str] = ()) -> Taught:
    """What these cases teach together. focus: the families that are also learned in the box of their structures."""
    families = {case.family for case in cases}
    embedded = [family for family in ontology.SCAN_FAMILIES if family in families]
    groups = list(ontology.exclusive(embedded))
    wholes = [s.name for family in embedded for s in ontology.taught(family) if s.name in ontology.WHOLES]
    if "brain" in families:
        groups.append((TUMOUR,))  # one is implanted now and then
    parts: dict[str, dict[str, None]] = {}
    for case in cases:
        if case.family not in embedded:
            parts.setdefault(case.dataset, {}).update(dict.fromkeys(case.names.values()))
            wholes += case.wholes
    groups += [tuple(names) for names in parts.values() if names]
    found = {name for group in groups for name in group}
    distinct = [g for g in dict.fromkeys(groups) if not any(set(g) < set(other) for other in groups)]
    boxes = {
        family: dict.fromkeys(name for case in cases if case.family == family for name in case.names.values())
        for family in focus
    }
    return Taught(
        tuple(distinct),
        tuple(dict.fromkeys(name for name in wholes if name not in found)),
        tuple(tuple(name for name in names if name in found) for names in boxes.values() if names),
    )
