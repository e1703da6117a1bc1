"""Conversations without end: scans made up or measured, a first question, and often some more about it.

>>> conversation = next(conversations(seed=0, n=1))
>>> conversation.messages[0].role
'user'
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from data_recipes.instructions import (
    corrections,
    descriptions,
    exclusion,
    followups,
    longitudinal,
    pointing,
    presence,
    rationales,
    reasoning,
    references,
    refusals,
    reports,
    single,
    spatial,
)
from data_recipes.instructions.dialogue import Conversation, Thread
from data_recipes.instructions.facts import Facts, jittered, synthetic_facts

Family = Callable[[Thread], bool]

FIRST: Mapping[str, tuple[Family, float]] = {
    "show": (single.show, 24),
    "how big": (single.size, 11),
    "quantity": (single.quantity, 10),
    "is it there": (single.there, 12),
    "compare two": (single.compare, 15),
    "together": (single.together, 3),
    "is it normal": (single.normal, 3),
    "what is this": (single.region, 8),
    "function": (single.function, 7),
    "overview": (single.overview, 2),
    "everything": (single.everything, 1.2),
    "side of a crop": (single.crop_side, 1),
    "other languages": (single.foreign, 4),
    "small talk": (single.talk, 4),
    "no scan open": (single.no_scan, 1.5),
}
THEN: Mapping[str, tuple[Family, float]] = {
    "other side": (followups.other_side, 20),
    "also": (followups.also, 14),
    "both together": (followups.both_together, 18),
    "mask algebra": (followups.algebra, 10),
    "recall": (followups.recall, 16),
    "recall by id": (followups.recall_earlier, 10),
    "compare the last": (followups.compare_last, 14),
    "small talk": (single.talk, 4),
    "show": (single.show, 4),
    "is it there": (single.there, 4),
    "compare two": (single.compare, 4),
    "what is this": (single.region, 5),
}
# Families that the embedded model was not trained on. Those that need masks (where things lie, what is pointed at)
# decline a made-up scan.
FURTHER_FIRST: Mapping[str, tuple[Family, float]] = {
    "describe": (descriptions.describe, 6),
    "presence": (presence.presence, 10),
    "everything except": (exclusion.everything_except, 4),
    "not that side": (exclusion.not_that_side, 4),
    "which is not there": (exclusion.which_is_not_there, 4),
    "direction": (spatial.direction, 8),
    "touching": (spatial.touching, 4),
    "nearest": (spatial.nearest, 4),
    "by rule": (reasoning.by_rule, 4),
    "by function": (reasoning.by_function, 5),
    "point, box or mask": (pointing.point_at, 8),
    "report shown": (reports.ground, 4),
    "report checked": (reports.check, 8),
    "advice": (refusals.advice, 3),
    "never taught": (refusals.never_taught, 3),
    "explain a comparison": (rationales.compare, 5),
    "explain presence": (rationales.there, 4),
}
FURTHER_THEN: Mapping[str, tuple[Family, float]] = {
    "the other one": (references.other_one, 10),
    "both again": (references.both, 6),
    "the larger one": (references.larger_one, 8),
    "that without": (references.without, 16),
    "wrong side": (corrections.other_side, 8),
    "wrong structure": (corrections.another, 6),
    "wrong number": (corrections.number, 5),
    "wrong presence": (corrections.presence, 5),
    "describe": (descriptions.describe, 3),
    "direction": (spatial.direction, 4),
    "report checked": (reports.check, 3),
    "advice": (refusals.advice, 2),
    "point, box or mask": (pointing.point_at, 5),
}


@dataclass(frozen=True)
class Mixture:
    """What is asked first, and what then: name -> (family, weight); scans: family of a made-up scan -> weight."""

    first: Mapping[str, tuple[Family, float]]
    then: Mapping[str, tuple[Family, float]]
    scans: Mapping[str, float] = field(default_factory=lambda: SCANS)


SCANS: Mapping[str, float] = {"brain": 52, "head_neck": 18, "hippocampus": 11, "tumour_mr": 10, "tumour_pet": 9}
EMBEDDED = Mixture(FIRST, THEN)  # what the embedded model was trained on
FULL = Mixture({**FIRST, **FURTHER_FIRST}, {**THEN, **FURTHER_THEN})
TURNS = (1, 2, 3, 4)  # how many questions a conversation has ...
TURNS_WEIGHTS = (52, 24, 15, 9)  # ... and how often
MOST_TARGETS = 12  # grounded in one conversation: the rest of a language model's context is for words


def conversations(
    seed: int,
    n: int | None = None,
    facts: Sequence[Facts] = (),
    measured: float = 0.5,
    mixture: Mixture = EMBEDDED,
) -> Iterator[Conversation]:
    """n conversations (None: endless); the same seed gives the same ones.

    facts: scans that were measured; this part of the conversations (`measured`) is about one of them, its numbers
    jittered every other time. The others are about made-up scans.
    """
    rng = random.Random(seed)
    made = 0
    while n is None or made < n:
        yield conversation(random.Random(rng.getrandbits(64)), facts, measured, mixture)
        made += 1


def weighted(mixture: Mixture, weights: Mapping[str, float], temperature: float = 1.0) -> Mixture:
    """The same families with other weights; see `tempered`. weights may name kinds of first question and families of
    made-up scans. ValueError for a name that there is not."""
    unknown = sorted(set(weights) - mixture.first.keys() - mixture.scans.keys())
    if unknown:
        there = ", ".join((*mixture.first, *mixture.scans))
        raise ValueError(f"the mixture has no {', '.join(unknown)}: it has {there}")
    asked = tempered({kind: weight for kind, (_, weight) in mixture.first.items()}, weights, temperature)
    first = {kind: (mixture.first[kind][0], weight) for kind, weight in asked.items()}
    return Mixture(first, mixture.then, tempered(mixture.scans, weights, temperature))


def tempered(usual: Mapping[str, float], weights: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Weights to draw by: those given in place of the usual ones, to the power 1 / temperature. Above 1 the rare ones
    come oftener, at infinity all alike; below 1 the frequent ones do (Raffel et al. 2020, section 3.5.2)."""
    if temperature <= 0:
        raise ValueError(f"the mixture's temperature is {temperature}: it must be above 0 (1 leaves the weights)")
    if negative := {name: w for name, w in weights.items() if w < 0}:
        raise ValueError(f"weights of a mixture cannot be negative: {negative}")
    return {name: weights.get(name, weight) ** (1 / temperature) for name, weight in usual.items()}


def conversation(
    rng: random.Random, facts: Sequence[Facts] = (), measured: float = 0.5, mixture: Mixture = EMBEDDED
) -> Conversation:
    """One conversation; its kind is a name in `mixture.first`, with " ..." after it when more was asked."""
    while True:
        if facts and rng.random() < measured:
            scan = rng.choice(facts)
            scan = jittered(scan, rng) if rng.random() < 0.5 else scan
        else:
            scan = synthetic_facts(rng.choices(list(mixture.scans), list(mixture.scans.values()))[0], rng)
        kind = _draw(mixture.first, rng)
        thread = Thread(scan, rng, scan_open=kind != "no scan open")
        if not mixture.first[kind][0](thread):
            continue
        turns = 1 if kind == "no scan open" else rng.choices(TURNS, TURNS_WEIGHTS)[0]
        if _go_on(thread, turns, mixture.then):
            return thread.done(kind if len(thread.messages) == 2 else kind + " ...")


# Kinds that ask nothing of a scan but what was looked for in it: any family will do.
OF_ANY_SCAN = (
    "show", "how big", "quantity", "is it there", "compare two", "together", "other languages", "small talk",
    *FURTHER_FIRST,
)  # fmt: skip


def about(scan: Facts, rng: random.Random, before: Facts | None = None) -> Conversation:
    """One conversation about a measured scan of any family, of all kinds: only of what was looked for in it.

    before: an earlier scan of the same patient; every other conversation then is about what has changed.
    """
    if before is not None and rng.random() < 0.5:
        pair = longitudinal.has_it_grown(before, scan, rng)
        if pair is not None:
            return pair
    first = {kind: FULL.first[kind] for kind in OF_ANY_SCAN}
    then = {kind: family for kind, family in FULL.then.items() if kind != "what is this"}  # points nowhere
    while True:
        thread = Thread(scan, rng)
        kind = _draw(first, rng)
        if first[kind][0](thread) and _go_on(thread, rng.choices(TURNS, TURNS_WEIGHTS)[0], then):
            return thread.done(kind if len(thread.messages) == 2 else kind + " ...")


def _go_on(thread: Thread, turns: int, then: Mapping[str, tuple[Family, float]]) -> bool:
    """Ask more, up to this many questions; False when more was grounded than a conversation holds."""
    for _ in range(20):
        if len(thread.messages) >= 2 * turns or len(thread.targets) >= MOST_TARGETS:
            break
        then[_draw(then, thread.rng)][0](thread)
    return len(thread.targets) <= MOST_TARGETS


def _draw(table: Mapping[str, tuple[Family, float]], rng: random.Random) -> str:
    return rng.choices(list(table), [weight for _, weight in table.values()])[0]
