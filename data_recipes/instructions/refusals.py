"""Question family: what the program does not do. Advice about something that it can measure is measured and not given;
what it was never taught is said to be so, and not said to be absent.

Small talk about advice and a missing scan are `small_talk.py`'s.
"""

from __future__ import annotations

from dataclasses import replace

from assistant import claims
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import single, small_talk, words
from data_recipes.instructions.dialogue import Note, Thread

ADVICE = (
    "should {x} be operated on?", "how should {x} be treated?", "what dose may {x} get?", "does {x} need treatment?",
    "would you biopsy {x}?", "what is the prognosis with {x} like that?", "which drug is best for {x}?",
    "is {x} a reason for surgery?", "can {x} be left alone?", "is radiotherapy right for {x}?",
    "what would you do about {x}?", "does {x} have to be removed?",
)  # fmt: skip
NO_ADVICE = "I give no diagnosis and no treatment advice: please ask a physician."


def advice(t: Thread) -> bool:
    """Advice about a structure: measured, and left to a physician."""
    said = single.target(t, 0.05)
    notes = t.ground(said.phrases)
    t.turn(words.ask(ADVICE, t.rng, said), notes, d.joined(d.sized(notes), NO_ADVICE))
    return True


def never_taught(t: Thread) -> bool:
    """A structure that the model has no mask for: the note says so, and nothing is said of its presence."""
    there = {*t.facts.found, *t.facts.absent}
    able = [name for name in small_talk.UNKNOWN if not any(name in p or p in name for p in there)]
    name = t.rng.choice(able)
    notes = [replace(Note("", name, 0.0), taught=False)]
    said = words.Said(f"the {name}", (name,))
    t.turn(words.ask(t.rng.choice([q.SHOW, q.SIZE, q.THERE]), t.rng, said), notes, claims.statement(notes))
    return True
