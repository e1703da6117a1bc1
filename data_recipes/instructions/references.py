"""Question family: what "the other one", "both", "the larger one" and "that without the cyst" mean after earlier turns.

Each adds one turn, or returns False where there is nothing that the words can mean.
"""

from __future__ import annotations

from data_recipes.instructions import dialogue as d
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Note, Thread
from data_recipes.instructions.followups import last_two, rest_reply

OTHER = (
    "the other one?", "and the other one?", "what about the other one?", "how big is the other one?",
    "now the other of the two", "the other one again", "go to the other one", "same for the other one",
    "and the other of them?", "numbers of the other one",
)  # fmt: skip
BOTH = (
    "both?", "show both again", "both again, with their sizes", "how big are both?", "the two again", "recall both",
    "both of them please", "remind me of both", "the sizes of both again", "both side by side",
)  # fmt: skip
CHOICE = (
    "the {w} of the two", "only the {w} one", "show the {w} one again", "which of them is the {w} one? show it",
    "back to the {w} one", "just the {w} one, please", "take the {w} one", "the {w} one again",
)  # fmt: skip
WITHOUT = (
    "that without {x}", "and without {x}?", "the same without {x}", "that one without {x}",
    "how big is it without {x}?", "take {x} out of it",
    "now leave {x} out", "and if {x} is not counted?", "minus {x}?", "it, but without {x}",
)  # fmt: skip


def other_one(t: Thread) -> bool:
    """After one of two masks was spoken of: the other of them, by its id."""
    there = d.found(t.last)
    if len(t.masks) != 2 or len(there) != 1 or any(d.combined(n) for n in t.masks):
        return False
    others = [m for m in t.masks if m.id != there[0].id]
    if len(others) != 1:
        return False
    notes = t.recall(others)
    t.turn(words.rough(t.rng.choice(OTHER), t.rng), notes, d.sized(notes))
    return True


def both(t: Thread) -> bool:
    """The two masks again, each with its volume."""
    two = last_two(t)
    if two is None or two[0].id == two[1].id:
        return False
    notes = t.recall(two)
    t.turn(words.rough(t.rng.choice(BOTH), t.rng), notes, _volumes(notes))
    return True


def _volumes(notes: list[Note]) -> str:
    return d.capital(d.listed([f"{d.called(n)} is {d.ml(n)}" for n in notes])) + "."


def larger_one(t: Thread) -> bool:
    """The larger or smaller of the two, by what their notes say; equal ones are said to be equal."""
    two = last_two(t)
    if two is None or two[0].id == two[1].id or any(d.combined(n) for n in two):
        return False
    word = t.rng.choice(["larger", "smaller", "bigger"])
    notes = t.recall(two)
    true = d.relation(*two)
    if true == "equal":
        sentence = d.compared_in_words(notes)
    else:
        first = (true == "smaller") == (word == "smaller")
        chosen = notes[0 if first else 1]
        sentence = f"The {'smaller' if word == 'smaller' else 'larger'} of them is {d.called(chosen)}: {d.ml(chosen)}."
    t.turn(words.rough(t.rng.choice(CHOICE).format(w=word), t.rng), notes, sentence)
    return True


def without(t: Thread) -> bool:
    """ "That without the cyst": the part is looked for, then taken out of the last mask."""
    there = d.found(t.last)
    if len(there) != 1 or d.combined(there[0]):
        return False
    whole = there[0]
    able = [p for p in t.facts.found if p != whole.phrase and _inside(t, p, whole.phrase)]
    if not able:
        return False
    part = t.rng.choice(able)
    notes = t.ground([part])
    rest = t.combine(whole, "-", notes[0])
    said = words.one(part, t.rng)
    t.turn(words.ask(WITHOUT, t.rng, said), [*notes, rest], rest_reply(rest))
    return True


def _inside(t: Thread, part: str, whole: str) -> bool:
    """Whether one is part of the other: by their label values, or as made-up scans have it."""
    labels = t.facts.labels
    if labels:
        return part in labels and whole in labels and set(labels[part]) < set(labels[whole])
    return whole == "brain" or (whole == "hippocampus" and part.endswith("rior hippocampus"))


