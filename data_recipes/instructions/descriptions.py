"""Question family: describe a structure. The reply is every measurement of it, each read off its note."""

from __future__ import annotations

from data_recipes.instructions import dialogue as d
from data_recipes.instructions import single, words
from data_recipes.instructions.dialogue import Thread

DESCRIBE = (
    "describe {x} in numbers", "characterise {x}", "give me a full description of {x}",
    "describe what you measure of {x}", "all measurements of {x}",
    "what can you tell me about {x} in this scan?", "how does {x} look in this scan?",
    "describe the size and the signal of {x}", "give the findings for {x}", "everything you measured of {x}",
    "profile of {x}", "write down what {x} measures", "{x}: volume, length and intensity",
    "I need a complete description of {x}", "describe {x} for the report",
)  # fmt: skip


def describe(t: Thread) -> bool:
    """Volume, longest diameter and mean intensity of one structure or two."""
    said = single.target(t, 0.1) if t.rng.random() < 0.75 else single.listing(t, 2)
    notes = t.ground(said.phrases)
    there = d.found(notes)
    told = [
        f"{d.capital(d.called(n))} has a volume of {d.ml(n)}, a longest diameter of {d.mm(n)} and a mean intensity of "
        f"{d.mean(n)}."
        for n in there
    ]
    t.turn(words.ask(DESCRIBE, t.rng, said), notes, d.joined(*told, d.not_found(notes)))
    return True
