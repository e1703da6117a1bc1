"""Question family: explain. The reply looks, then measures, then concludes, each step from the notes before it."""

from __future__ import annotations

from data_recipes.instructions import dialogue as d
from data_recipes.instructions import single, words
from data_recipes.instructions.dialogue import Note, Thread

COMPARE = (
    "which is larger, {a} or {b}? explain step by step", "compare {a} with {b} and show your reasoning",
    "is {a} larger than {b}? how do you know?", "explain how {a} and {b} compare", "reason it out: {a} against {b}",
    "step by step: is {a} smaller than {b}?", "tell me how {a} compares with {b}, and why",
    "think aloud: which has more volume, {a} or {b}?",
)  # fmt: skip
THERE = (
    "is {x} there? explain how you know", "how do you know whether {x} is in this scan?",
    "step by step: does the scan show {x}?", "explain whether {x} can be seen", "is {x} present? give your reasons",
    "reason it out: is {x} in this scan?", "why do you think that {x} is there or not?", "justify: is {x} visible?",
)  # fmt: skip


def compare(t: Thread) -> bool:
    """Two structures: looked for, measured, compared."""
    pairs = t.facts.pairs()
    if pairs and t.rng.random() < 0.6:
        base = t.rng.choice(pairs)
        a, b = (words.one(f"{side} {base}", t.rng) for side in t.rng.sample(["left", "right"], 2))
    else:
        a, b = single.target(t, 0.08), single.target(t, 0.08)
    if a.phrases == b.phrases:
        return False
    notes = t.ground([*a.phrases, *b.phrases])
    question = t.rng.choice(COMPARE).format(a=a.words, b=b.words)
    conclusion = _verdict(notes) if all(n.present for n in notes) else "So they cannot be compared."
    t.turn(words.rough(question, t.rng), notes, d.joined(looked(notes), measured(notes), conclusion))
    return True


def there(t: Thread) -> bool:
    """One structure: looked for, and what speaks for it."""
    said = single.target(t, 0.4)
    notes = t.ground(said.phrases)
    note = notes[0]
    if note.present:
        conclusion = f"So the {note.phrase} is in this scan."
    else:
        conclusion = f"So the {note.phrase} is not in this scan, as far as I can tell."
    t.turn(words.ask(THERE, t.rng, said), notes, d.joined(looked(notes), measured(notes), conclusion))
    return True


def looked(notes: list[Note]) -> str:
    """ "Looking: the left putamen was found as m1. The liver was not found." Two sentences, for "A was found and B was
    not" is read of both."""
    there, gone = d.found(notes), d.missing(notes)
    seen = d.listed([f"the {n.phrase} was found as {n.id}" for n in there]) if there else ""
    lost = f"{d.gone_words(gone)} not found" if gone else ""
    return f"Looking: {'. '.join([seen, d.capital(lost)] if seen and lost else [seen or lost])}."


def measured(notes: list[Note]) -> str:
    """ "Measuring: m1 is 4.0 mL." "" where nothing was found."""
    there = d.found(notes)
    return f"Measuring: {d.listed([f'{n.id} is {d.ml(n)}' for n in there])}." if there else ""


def _verdict(notes: list[Note]) -> str:
    one, other = notes
    true = d.relation(one, other)
    if true == "equal":
        return f"So the {one.phrase} and the {other.phrase} are equal in volume."
    return f"So the {one.phrase} is {true} than the {other.phrase}, by {d.difference(one, other)}."
