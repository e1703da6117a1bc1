"""Conversations without end: scans made up or measured, a first question, and often some more about it.

>>> conversation = next(conversations(seed=0, n=1))
>>> conversation.messages[0].role
'user'
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from data_recipes.instructions import followups, single
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
SCANS: Mapping[str, float] = {"brain": 52, "head_neck": 18, "hippocampus": 11, "tumour_mr": 10, "tumour_pet": 9}
TURNS = (1, 2, 3, 4)  # how many questions a conversation has ...
TURNS_WEIGHTS = (52, 24, 15, 9)  # ... and how often
MOST_TARGETS = 12  # grounded in one conversation: the rest of a language model's context is for words


def conversations(
    seed: int,
    n: int | None = None,
    facts: Sequence[Facts] = (),
    measured: float = 0.5,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
) -> Iterator[Conversation]:
    """n conversations (None: endless); the same seed gives the same ones.

    facts: scans that were measured; this part of the conversations (`measured`) is about one of them, its numbers
    jittered every other time. The others are about made-up scans. weights, temperature: see `tempered`; weights may
    name kinds of first question (FIRST) and families of made-up scans (SCANS).
    """
    unknown = sorted(set(weights or ()) - FIRST.keys() - SCANS.keys())
    if unknown:
        raise ValueError(f"the mixture has no {', '.join(unknown)}: it has {', '.join((*FIRST, *SCANS))}")
    asked = tempered({kind: weight for kind, (_, weight) in FIRST.items()}, weights or {}, temperature)
    first = {kind: (FIRST[kind][0], weight) for kind, weight in asked.items()}
    scans = tempered(SCANS, weights or {}, temperature)
    rng = random.Random(seed)
    made = 0
    while n is None or made < n:
        yield conversation(random.Random(rng.getrandbits(64)), facts, measured, first, scans)
        made += 1


def tempered(usual: Mapping[str, float], weights: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Weights to draw by: those given in place of the usual ones, to the power 1 / temperature. Above 1 the rare ones
    come oftener, at infinity all alike; below 1 the frequent ones do (Raffel et al. 2020, section 3.5.2)."""
    if temperature <= 0:
        raise ValueError(f"the mixture's temperature is {temperature}: it must be above 0 (1 leaves the weights)")
    if negative := {name: w for name, w in weights.items() if w < 0}:
        raise ValueError(f"weights of a mixture cannot be negative: {negative}")
    return {name: weights.get(name, weight) ** (1 / temperature) for name, weight in usual.items()}


def conversation(
    rng: random.Random,
    facts: Sequence[Facts] = (),
    measured: float = 0.5,
    first: Mapping[str, tuple[Family, float]] = FIRST,
    scans: Mapping[str, float] = SCANS,
) -> Conversation:
    """One conversation; its kind is a name in FIRST, with " ..." after it when more was asked."""
    while True:
        if facts and rng.random() < measured:
            scan = rng.choice(facts)
            scan = jittered(scan, rng) if rng.random() < 0.5 else scan
        else:
            scan = synthetic_facts(rng.choices(list(scans), list(scans.values()))[0], rng)
        kind = _draw(first, rng)
        thread = Thread(scan, rng, scan_open=kind != "no scan open")
        if not first[kind][0](thread):
            continue
        turns = 1 if kind == "no scan open" else rng.choices(TURNS, TURNS_WEIGHTS)[0]
        if _go_on(thread, turns):
            return thread.done(kind if len(thread.messages) == 2 else kind + " ...")


# Kinds that ask nothing of a scan but what was looked for in it: any family will do.
OF_ANY_SCAN = (
    "show", "how big", "quantity", "is it there", "compare two", "together", "what is this", "other languages",
)  # fmt: skip


def about(scan: Facts, rng: random.Random) -> Conversation:
    """One conversation about a measured scan of any family, as `conversation`: only of what was looked for in it."""
    first = {kind: FIRST[kind] for kind in OF_ANY_SCAN}
    while True:
        thread = Thread(scan, rng)
        kind = _draw(first, rng)
        if FIRST[kind][0](thread) and _go_on(thread, rng.choices(TURNS, TURNS_WEIGHTS)[0]):
            return thread.done(kind if len(thread.messages) == 2 else kind + " ...")


def _go_on(thread: Thread, turns: int) -> bool:
    """Ask more, up to this many questions; False when more was grounded than a conversation holds."""
    for _ in range(20):
        if len(thread.messages) >= 2 * turns or len(thread.targets) >= MOST_TARGETS:
            break
        THEN[_draw(THEN, thread.rng)][0](thread)
    return len(thread.targets) <= MOST_TARGETS


def _draw(table: Mapping[str, tuple[Family, float]], rng: random.Random) -> str:
    return rng.choices(list(table), [weight for _, weight in table.values()])[0]
