"""Question family: where things lie to one another, as the masks show it (`layout.py`); none without masks.

The notes hold no places, so these sentences state what the masks show and no number. Only what is plain is asked.
"""

from __future__ import annotations

from assistant.glossary import side_of
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Note, Thread
from data_recipes.instructions.exclusion import parts
from data_recipes.instructions.layout import OPPOSITE

TRIES = 12  # pairs that are drawn to find one whose relation is plain
IS_IT = (
    "is {a} {r} {b}?", "does {a} lie {r} {b}?", "{a} {r} {b}?", "would you say that {a} lies {r} {b}?",
    "check whether {a} is {r} {b}", "I think {a} lies {r} {b}. True?", "is {a} located {r} {b}?",
    "can you tell whether {a} is {r} {b}?",
)  # fmt: skip
WHERE = (
    "where does {a} lie with respect to {b}?", "where is {a} relative to {b}?", "how does {a} lie to {b}?",
    "describe where {a} is, seen from {b}", "in which direction of {b} is {a}?", "position of {a} relative to {b}?",
    "which way is {a} from {b}?", "place {a} with respect to {b}",
)  # fmt: skip
TOUCH = (
    "does {a} touch {b}?", "do {a} and {b} touch?", "is {a} in contact with {b}?", "does {a} border on {b}?",
    "are {a} and {b} next to each other, touching?", "is there contact between {a} and {b}?",
    "do {a} and {b} share a border?", "does {a} abut {b}?",
)  # fmt: skip
NEAREST = (
    "which of {xs} is nearest to {b}?", "what lies closest to {b}: {xs}?", "nearest to {b}: {xs}?",
    "of {xs}, which is the closest to {b}?", "which one is nearest to {b}, {xs}?", "closest to {b} among {xs}?",
    "{xs}: which is the nearest to {b}?", "from {b}, what is nearest: {xs}?",
)  # fmt: skip


def direction(t: Thread) -> bool:
    """Above, below, in front of, behind, medial to, lateral to: asked openly, or to be confirmed."""
    rng = t.rng
    drawn = _plain_pair(t)
    if drawn is None:
        return False
    one, other, true = drawn
    notes = t.ground([one, other])
    sentence = f"{d.called(notes[0])} lies {true} {d.called(notes[1])}."
    if rng.random() < 0.4:
        template, words_of = rng.choice(WHERE), d.capital(sentence)
    else:
        asked = true if rng.random() < 0.5 else OPPOSITE[true]
        template = rng.choice(IS_IT).replace("{r}", asked)
        words_of = f"{'Yes' if asked == true else 'No'}, {sentence}"
    t.turn(words.rough(template.format(a=_the(t, one), b=_the(t, other)), rng), notes, words_of)
    return True


def _plain_pair(t: Thread) -> tuple[str, str, str] | None:
    """Two structures and how the first plainly lies to the second; None where a few draws give none."""
    layout, there = t.facts.layout, list(t.facts.found)
    if layout is None or len(there) < 2:
        return None
    for _ in range(TRIES):
        one, other = t.rng.sample(there, 2)
        # sides say themselves where a left one lies; of one side the distance from the middle is asked
        along = ["above", "in front of", "lateral to"]
        if side_of(one) is None and side_of(other) is None:
            along.append("to the right of")
        t.rng.shuffle(along)
        for relation in along:
            lies = layout.direction(one, other, relation)
            if lies is not None:
                return one, other, relation if lies else OPPOSITE[relation]
    return None


def touching(t: Thread) -> bool:
    """Whether two structures touch: a face of a voxel of one is a face of a voxel of the other."""
    layout, there = t.facts.layout, list(t.facts.found)
    if layout is None or len(there) < 2:
        return False
    wanted = t.rng.random() < 0.5
    for _ in range(TRIES):
        one, other = t.rng.sample(there, 2)
        touch = layout.touch(one, other)
        if touch is None or touch != wanted:
            continue
        notes = t.ground([one, other])
        both = f"{d.called(notes[0])} and {d.called(notes[1])}"
        sentence = f"Yes, {both} touch." if touch else f"No, {both} do not touch."
        question = t.rng.choice(TOUCH).format(a=_the(t, one), b=_the(t, other))
        t.turn(words.rough(question, t.rng), notes, sentence)
        return True
    return False


def nearest(t: Thread) -> bool:
    """Which of two or three lies nearest to another."""
    layout, there = t.facts.layout, parts(t.facts)
    if layout is None or len(there) < 3:
        return False
    for _ in range(TRIES // 3):
        to, *among = t.rng.sample(there, min(len(there), t.rng.choice([3, 4])))
        near = layout.nearest(to, among)
        if near is None:
            continue
        notes = t.ground([to, *among])
        by_phrase: dict[str, Note] = {n.phrase: n for n in notes}
        others = [d.called(by_phrase[p]) for p in among if p != near]
        sentence = (
            f"{d.capital(d.called(by_phrase[near]))} is the nearest to {d.called(notes[0])}; {d.listed(others)} "
            f"{'is' if len(others) == 1 else 'are'} farther away."
        )
        question = t.rng.choice(NEAREST).format(xs=d.listed([_the(t, p) for p in among]), b=_the(t, to))
        t.turn(words.rough(question, t.rng), notes, sentence)
        return True
    return False


def _the(t: Thread, phrase: str) -> str:
    return words.one(phrase, t.rng).words if t.rng.random() < 0.4 else f"the {phrase}"
