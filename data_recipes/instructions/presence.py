"""Question family: is it there, where the absent ones are chosen in three strengths.

As POPE (Polling-based Object Probing Evaluation, Li et al., EMNLP 2023) polls a model: **random** is any structure
that is known not to be there; **popular** one that the training asks for most, so that a habit of saying yes shows;
**adversarial** one whose company is there: its other side, the rest of its group, or its neighbours in the body. Half
of the questions ask for what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Thread
from data_recipes.instructions.facts import Facts


def any_absent(facts: Facts) -> list[str]:
    """All that is known not to be there."""
    return list(facts.absent)


def popular(facts: Facts) -> list[str]:
    """What most conversations ask for, of the absent ones: what the embedded model has masks for."""
    known = ontology.by_name()
    return [p for p in facts.absent if p in known and known[p].taught]


def adversarial(facts: Facts) -> list[str]:
    """The absent ones whose other side, group or region of the body is there."""
    known = ontology.by_name()
    bases = {known[p].base for p in facts.found if p in known}
    company = {base for group in ontology.GROUPS if bases & set(group.bases) for base in group.bases} | bases
    regions = {family for p in facts.found if p in known for family in known[p].families} - {"body"}
    return [p for p in facts.absent if p in known and (known[p].base in company or regions & set(known[p].families))]


STRENGTHS: Mapping[str, Callable[[Facts], list[str]]] = {
    "random": any_absent, "popular": popular, "adversarial": adversarial,
}  # fmt: skip


def presence(t: Thread) -> bool:
    """Is it there: yes with the mask, or no."""
    strength = t.rng.choice(list(STRENGTHS))
    choice = STRENGTHS[strength](t.facts) if t.rng.random() < 0.5 else list(t.facts.found)
    if not choice:
        return False
    said = words.one(t.rng.choice(choice), t.rng)
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.THERE, t.rng, said), notes, d.there_or_not(notes))
    return True
