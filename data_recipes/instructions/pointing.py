"""Question family: what is pointed at, with a point, a box or a drawn mask, each where the masks put it.

The program gives the language model what is at the point, in the box or in the mask as `<REG>`; `Conversation.pointer`
says where that is.
"""

from __future__ import annotations

import numpy as np

from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Thread
from data_recipes.instructions.exclusion import parts
from data_recipes.schema import POINTERS, Pointer

POINT = (
    "what is at this point?", "what did I click on?", "which structure is at the point?", "what is this spot?",
    "name what lies under the click", "what have I clicked?", "segment what is at this point", "and at this point?",
)  # fmt: skip
BOX = (
    "what is in this box?", "which structure does the box hold?", "name what is boxed", "what lies inside the box?",
    "segment what is in the box", "what is in the rectangle?", "which structure did I put a box around?",
    "what is inside the marked box?",
)  # fmt: skip
MASK = (
    "what is the marked region?", "which structure did I outline?", "name the outlined region",
    "what does this mask show?", "what is the region that I drew?", "which structure is painted?",
    "what did I contour?", "tell me what the marked area is",
)  # fmt: skip
ASKED = {"point": POINT, "box": BOX, "mask": MASK}
SLACK_MM = 4.0  # how far a box is drawn beyond what it holds, at most


def point_at(t: Thread) -> bool:
    """What is this: named and grounded, or measured."""
    layout, there = t.facts.layout, parts(t.facts)
    if t.region is not None or layout is None or not there:
        return False
    rng = t.rng
    phrase, kind = rng.choice(there), rng.choice(POINTERS)
    if kind == "point":
        inside = np.argwhere(layout.mask(phrase))
        place = layout.volume.to_world(inside[rng.randrange(len(inside))])
        pointer = Pointer(kind, tuple(round(float(x), 2) for x in place))
    elif kind == "box":
        surface = layout.surface(phrase)
        low = surface.min(axis=0) - [rng.uniform(0, SLACK_MM) for _ in range(3)]
        high = surface.max(axis=0) + [rng.uniform(0, SLACK_MM) for _ in range(3)]
        pointer = Pointer(kind, tuple(round(float(x), 2) for x in (*low, *high)))
    else:
        pointer = Pointer(kind)
    notes = t.ground([phrase], pointed=True)
    if rng.random() < 0.7:
        question, sentence = rng.choice(ASKED[kind]), f"This is the {phrase} ({notes[0].id}, {d.ml(notes[0])})."
    else:
        question, sentence = rng.choice(q.REGION_SIZE), d.sized(notes)
    t.pointer = pointer
    t.turn(words.rough(question, rng), notes, sentence, phrase)
    return True
