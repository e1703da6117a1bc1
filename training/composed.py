"""Words that compose and exclude: "both together", "the larger of the two", "everything except the parotids".

The truth is the same set operation on the expert masks, exactly. The answer is a mask that the reply made of others,
or comes back to at its end, else all of its masks. Beside its Dice stands what the operation would give on the model's
own masks of the plain names (``plain``): the difference is what the words cost. What was excluded is left out when no
mask of the answer has its name and the answer covers less than half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from assistant.generate import Finding
from assistant.session import Reply
from data_recipes import ontology
from data_recipes.anatomy import GROUPS
from data_recipes.instructions.words import row_of
from training import metrics
from training.answers import Asked, mask_for, same_structure, voxels
from training.closed import APART
from training.scans import Scan

Masks = Mapping[str, np.ndarray]
EXCLUDING = ("all but one", "group but one", "not that side", "not the named")
KINDS = (*EXCLUDING, "larger of two", "smaller of two", "both as one", "nearest half")
FEW = 10  # structures of a scan of which "everything" is asked


@dataclass(frozen=True)
class Composition:
    """parts: the structures that ``make`` composes; excluded: those that the answer must leave out."""

    kind: str
    question: str
    parts: tuple[str, ...]
    make: Callable[[Masks], np.ndarray]
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Composed:
    """left_out: None where nothing was excluded; masks: of the answer; named: what the reply looked for."""

    family: str
    case: str
    kind: str
    question: str
    dice: float
    plain: float
    left_out: bool | None
    masks: int
    named: str
    answer: str


def union(phrases: Sequence[str]) -> Callable[[Masks], np.ndarray]:
    return lambda masks: np.any([masks[phrase] for phrase in phrases], axis=0)


def of_two(one: str, other: str, larger: bool) -> Callable[[Masks], np.ndarray]:
    """The larger, or the smaller, by voxels."""

    def make(masks: Masks) -> np.ndarray:
        return masks[one] if (masks[one].sum() > masks[other].sum()) == larger else masks[other]

    return make


def nearest_half(of: str, to: str, spacing: Sequence[float]) -> Callable[[Masks], np.ndarray]:
    """The voxels of one structure whose distance to another is at most the median; none where either is empty."""

    def make(masks: Masks) -> np.ndarray:
        half = np.zeros_like(masks[of])
        if not masks[of].any() or not masks[to].any():
            return half
        spots = np.argwhere(masks[of] | masks[to])
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(spots.min(0), spots.max(0), strict=True))
        away = ndimage.distance_transform_edt(~masks[to][box], spacing)
        half[box] = masks[of][box] & (away <= np.median(away[masks[of][box]]))
        return half

    return make


def plural(base: str, family: str) -> str:
    return row_of(base, family).plural.split("|")[0] or f"{base}s"


def compositions(scan: Scan, rng: np.random.Generator, each: int) -> Iterator[Composition]:
    """Up to ``each`` a kind, of what the expert's masks of a scan allow."""
    family, truths = scan.family, scan.truths
    taught = ontology.taught(family)
    parts = [p for p in truths if any(p in group for group in ontology.exclusive())]
    pairs = [p[5:] for p in truths if p.startswith("left ") and ontology.flip(p) in truths]

    def some(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in rng.permutation(len(values))[:each]]

    def without(kind: str, question: str, kept: Sequence[str], excluded: Sequence[str]) -> Composition:
        return Composition(kind, question, (*kept, *excluded), union(kept), tuple(excluded))

    if 2 < len(taught) <= FEW and all(s.name in truths for s in taught):
        for base in some(list(dict.fromkeys(s.base for s in taught if s.name in parts))):
            gone = [s.name for s in taught if s.base == base]
            words = plural(base, family) if len(gone) > 1 else base
            kept = [p for p in parts if p not in gone]
            yield without("all but one", f"Segment everything except the {words}.", kept, gone)
    groups = [
        (group, base, [s.name for s in ontology.resolve(group.name, group.families[0])])
        for group in GROUPS
        if ontology.structure_family(family) in group.families and len(group.bases) > 1
        for base in group.bases
    ]
    for group, base, names in some([g for g in groups if all(name in truths for name in g[2])]):
        gone = [name for name in names if ontology.by_name()[name].base == base]
        question = f"Segment the {group.name} except the {base}."
        yield without("group but one", question, [name for name in names if name not in gone], gone)
    for base in some(pairs):
        side = str(rng.choice(ontology.SIDES))
        question = f"Show me the {plural(base, family)}, but not the {side} one."
        yield without("not that side", question, [f"{ontology.flip(side)} {base}"], [f"{side} {base}"])
    for _ in range(each if len(parts) > 2 else 0):
        a, b, c = (parts[i] for i in rng.permutation(len(parts))[:3])
        yield without("not the named", f"Segment the {a} and the {b}, not the {c}.", [a, b], [c])
    apart = [(a, b) for a in parts for b in parts if truths[a].sum() < (1 - APART) * truths[b].sum()]
    for larger, kind in ((True, "larger of two"), (False, "smaller of two")):
        for less, more in some(apart):
            one, other = rng.permutation([less, more]).tolist()
            twins = ontology.flip(less) == more
            both = f"two {plural(less[5:], family)}" if twins and less != more else f"{one} and the {other}"
            question = f"Show me only the {kind.split()[0]} of the {both}."
            yield Composition(kind, question, (one, other), of_two(one, other, larger), (less if larger else more,))
    for base in some(pairs):
        two = (f"left {base}", f"right {base}")
        question = f"Segment both {plural(base, family)} together as one mask."
        yield Composition("both as one", question, two, union(two))
    for _ in range(each if len(parts) > 1 else 0):
        a, b = (parts[i] for i in rng.permutation(len(parts))[:2])
        question = f"Segment the half of the {a} that is nearest to the {b}."
        yield Composition("nearest half", question, (a, b), nearest_half(a, b, scan.spacing))


def answer_of(reply: Reply) -> list[Finding]:
    """The masks that are a reply's answer: the last that was made of others, or the one that it comes back to at its
    end, else all."""
    present = [f for f in reply.findings if f.present]
    made = [f for f in present if f.made]
    said = [(f.id, f.phrase) for f in present]
    chosen = present[-1:] if said and said[-1] in said[:-1] else []
    return made[-1:] or chosen or present


def ask(session: Asked, scan: Scan, group: str, seed: int, each: int) -> Iterator[Composed]:
    """All :func:`compositions` of a scan, and the plain names that they are made of once; each taken back."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    shape = next(iter(scan.truths.values())).shape
    plain: dict[str, np.ndarray] = {}
    for composition in compositions(scan, rng, each):
        for phrase in composition.parts:
            if phrase not in plain:
                plain[phrase] = voxels(mask_for(session.ask(f"Segment the {phrase}."), phrase), shape)
                session.undo()
        truth = composition.make(scan.truths)
        reply = session.ask(composition.question)
        session.undo()
        found = answer_of(reply)
        mask = np.any([np.zeros(shape, bool), *(voxels(f, shape) for f in found)], axis=0)
        yield Composed(
            family=group,
            case=scan.case,
            kind=composition.kind,
            question=composition.question,
            dice=metrics.dice(mask, truth),
            plain=metrics.dice(composition.make(plain), truth),
            left_out=_left_out(composition, found, mask, scan.truths) if composition.excluded else None,
            masks=len({f.id for f in found}),
            named="; ".join(f.phrase for f in reply.findings),
            answer=reply.text,
        )


def _left_out(composition: Composition, found: Sequence[Finding], mask: np.ndarray, truths: Masks) -> bool:
    """An answer without any mask leaves nothing out: it is no answer."""
    named = any(same_structure(f.phrase, phrase) for f in found for phrase in composition.excluded)
    gone = union(composition.excluded)(truths)
    return bool(found) and not named and float((mask & gone).sum()) < 0.5 * float(gone.sum())


def summarise(rows: Sequence[Composed]) -> dict[str, Any]:
    """By kind: mean Dice of the answer, of the same operation on plain masks, and how often the excluded was left
    out."""
    kinds: dict[str, Any] = {}
    for kind in (kind for kind in KINDS if any(r.kind == kind for r in rows)):
        group = [r for r in rows if r.kind == kind]
        judged = [r for r in group if r.left_out is not None]
        kinds[kind] = {
            "n": len(group),
            "dice": metrics.mean(r.dice for r in group),
            "dice_interval95": list(metrics.mean_interval(r.dice for r in group)),
            "plain": metrics.mean(r.plain for r in group),
            "left_out": metrics.Rate(sum(bool(r.left_out) for r in judged), len(judged)).to_dict(),
        }
    return kinds
