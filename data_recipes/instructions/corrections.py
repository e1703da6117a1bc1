"""Question family: the user corrects. A slip of the user's own is followed; a fact that was measured stands.

Each adds one turn, or returns False where there is nothing to correct.
"""

from __future__ import annotations

from assistant.evidence import format_ml
from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Thread

SIDE = (
    "no, I meant the {side} one", "sorry, the {side} one", "I said {side}", "not that side, the {side} one",
    "wrong side: {side}", "no, {side}!", "I wanted the {side} one", "oops, I meant {side}",
    "no, not the {other} one, the {side} one", "correction: the {side} one",
)  # fmt: skip
ANOTHER = (
    "no, I meant {x}", "sorry, {x}", "not that, {x}", "I wanted {x}", "wrong one: {x}", "correction: {x}",
    "oops, I meant {x}", "no, {x}!", "that is not what I asked for, I asked for {x}", "I mistyped: {x}",
)  # fmt: skip
NUMBER = (
    "that is wrong, it is {n} mL", "no, it should be {n} mL", "I measured {n} mL", "are you mistaken? it is {n} mL",
    "the report says {n} mL", "but it has {n} mL", "my colleague got {n} mL", "it must be {n} mL",
)  # fmt: skip
IS_THERE = (
    "but it is there", "no, it is there", "look again, it is there", "I can see it", "you are wrong, there is one",
    "it must be there", "I am sure that it is there", "that can't be, it is there",
)  # fmt: skip
IS_NOT_THERE = (
    "but there is none", "no, that is not there", "you are wrong, it is not there", "I don't see it",
    "that can't be, there is none", "there is no such thing here", "I am sure that it is not there",
    "no, that is nothing",
)  # fmt: skip


def other_side(t: Thread) -> bool:
    """ "No, I meant the right one": the other side is looked for."""
    structure = ontology.by_name().get(t.last[0].phrase) if len(t.last) == 1 else None
    if structure is None or structure.side is None:
        return False
    side = "right" if structure.side == "left" else "left"
    phrase = f"{side} {structure.base}"
    if phrase not in (*t.facts.found, *t.facts.absent):
        return False
    notes = t.ground([phrase])
    t.turn(words.rough(t.rng.choice(SIDE).format(side=side, other=structure.side), t.rng), notes, d.shown(notes))
    return True


def another(t: Thread) -> bool:
    """ "Not that, the pallidum": another structure is looked for."""
    rng, last = t.rng, {n.phrase for n in t.last}
    able = [p for p in (*t.facts.found, *t.facts.absent) if p not in last]
    if len(t.last) != 1 or d.combined(t.last[0]) or not able:
        return False
    there = [p for p in able if p in t.facts.found]
    said = words.one(rng.choice(there if there and rng.random() < 0.85 else able), rng)
    notes = t.ground(said.phrases)
    t.turn(words.ask(ANOTHER, rng, said), notes, d.shown(notes))
    return True


def number(t: Thread) -> bool:
    """ "No, it is 5 mL": what was measured is said again."""
    there = d.found(t.last)
    if len(there) != 1:
        return False
    notes = t.recall(there)
    assert notes[0].measurement is not None
    measured = notes[0].measurement.volume_ml
    claimed = format_ml(measured * t.rng.choice([0.4, 0.6, 1.5, 1.9, 2.5]))
    if claimed == format_ml(measured):
        return False
    sentence = f"That is not what was measured: {d.called(notes[0])} is {d.ml(notes[0])}."
    t.turn(words.rough(t.rng.choice(NUMBER).format(n=claimed), t.rng), notes, sentence)
    return True


def presence(t: Thread) -> bool:
    """The user says the contrary of what was found: the finding stands."""
    if len(t.last) != 1 or d.combined(t.last[0]) or not t.last[0].taught:
        return False
    last = t.last[0]
    notes = t.recall([last]) if last.present else t.ground([last.phrase])
    if last.present:
        sentence = f"It was found: the {last.phrase} is marked as {last.id}, {d.ml(last)}."
    else:
        sentence = f"I looked again: {d.not_found(notes)[0].lower()}{d.not_found(notes)[1:]}"
    t.turn(words.rough(t.rng.choice(IS_NOT_THERE if last.present else IS_THERE), t.rng), notes, sentence)
    return True
