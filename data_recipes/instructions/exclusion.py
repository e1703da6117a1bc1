"""Question family: what is not wanted. "Everything except the parotids", "both, but not the left one", "which is not
there?".

The replies to the first two are what the program itself says where its rules read such a question
(`assistant.composition`): `claims.statement`.
"""

from __future__ import annotations

from assistant import claims
from assistant.glossary import other_side
from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import single, words
from data_recipes.instructions.dialogue import Thread
from data_recipes.instructions.facts import Facts
from data_recipes.instructions.words import Said

MOST = 8  # structures that one reply shows
EVERYTHING = (
    "everything except {x}", "segment everything except {x}", "all structures except {x}", "all organs apart from {x}",
    "show me everything other than {x}", "every structure excluding {x}", "all structures but not {x}",
    "everything without {x}, please", "mark all structures, leaving out {x}", "everything, but not {x}",
)  # fmt: skip
GROUP = (
    "the {g} except {x}", "all {g} except {x}", "{g} apart from {x}", "show the {g} excluding {x}", "{g} but not {x}",
    "segment the {g}, leaving out {x}", "the {g} without {x}", "{g} other than {x}",
)  # fmt: skip
PAIR = (
    "both {xs}, but not the {side} one", "the {xs}, not the {side} one", "the {xs} except the {side} one",
    "{xs}, but not the one on the {side}", "show the {xs}, excluding the {side} one", "both {xs} except the {side} one",
    "segment the {xs}, leaving out the {side} one", "the {xs} without the {side} one",
)  # fmt: skip
NOT_THERE = (
    "which of these is not in the scan: {x}?", "what is missing here: {x}?", "which of {x} can not be found?",
    "{x}: which are not there?", "of {x}, which is not in this scan?", "tell me what of this is absent: {x}",
    "what is not shown: {x}?", "is anything missing of {x}?",
)  # fmt: skip


def parts(facts: Facts) -> list[str]:
    """What was found, without what is a whole of other things that were found."""
    found = [p for p in facts.found if p not in ("brain", "pair of kidneys")]
    if not facts.labels:  # made up: a crop's hippocampus is of its two parts, a tumour lies in something
        return [p for p in found if p not in ("hippocampus", "tumour")]
    values = {p: set(facts.labels[p]) for p in found if p in facts.labels}
    return [p for p in values if not any(values[o] < values[p] for o in values if o != p)]


def everything_except(t: Thread) -> bool:
    """All of the scan's structures but one or two; where they are too many, all of a group."""
    rng, there = t.rng, parts(t.facts)
    if 3 <= len(there) <= MOST + 1:
        out = rng.sample(there, 1 if len(there) == 3 or rng.random() < 0.7 else 2)
        said = words.several([_plain(p) for p in out], rng) if len(out) == 1 else _both(out)
        _reply(t, rng.choice(EVERYTHING).format(x=said.words), [p for p in there if p not in out])
        return True
    groups = [
        (group, [s.name for s in ontology.resolve(group.name, group.families[0])])
        for group in ontology.GROUPS
        if t.facts.family in group.families
    ]
    looked_for = {*t.facts.found, *t.facts.absent}
    able = [(g, names) for g, names in groups if set(names) <= looked_for and len({_base(n) for n in names}) > 1]
    if not able:
        return False
    group, names = rng.choice(able)
    base = rng.choice(sorted({_base(n) for n in names}))
    left_out = [n for n in names if _base(n) == base]
    kept = [n for n in names if _base(n) != base]
    if len(kept) > MOST:
        return False
    x = f"the {base}" if len(left_out) == 1 else f"the {words.plural(base)}"
    _reply(t, rng.choice(GROUP).format(g=group.name, x=x), kept)
    return True


def not_that_side(t: Thread) -> bool:
    """ "Both X, but not the left one": the other one."""
    rng = t.rng
    known = ontology.by_name()
    sides = [s for p in (*t.facts.found, *t.facts.absent) if (s := known.get(p)) and s.side]
    able = [s for s in sides if other_side(s.name) in t.facts.found]
    if not able:
        return False
    out = rng.choice(able)
    assert out.side is not None
    _reply(t, rng.choice(PAIR).format(xs=words.plural(out.base), side=out.side), [other_side(out.name)])
    return True


def which_is_not_there(t: Thread) -> bool:
    """A list of which some are missing: all are looked for, then what was not found is named."""
    said = single.listing(t, t.rng.randint(2, 4))
    gone = [p for p in t.facts.absent if p not in said.phrases]
    if gone and all(p in t.facts.found for p in said.phrases):
        said = words.several([words.one(p, t.rng) for p in (*said.phrases, t.rng.choice(gone))], t.rng)
    if len(said.phrases) < 2:
        return False
    notes = t.ground(said.phrases)
    missing, there = d.missing(notes), d.found(notes)
    rest = ""
    if there:
        rest = f"{d.capital(d.listed([d.called(n) for n in there]))} {'is' if len(there) == 1 else 'are'} in this scan."
    sentence = d.not_found(notes) if missing else "None of them is missing."
    t.turn(words.ask(NOT_THERE, t.rng, said), notes, d.joined(sentence, rest))
    return True


def _reply(t: Thread, question: str, phrases: list[str]) -> None:
    notes = t.ground(phrases)
    t.turn(words.rough(question, t.rng), notes, claims.statement([d.as_note(n) for n in notes]))


def _plain(phrase: str) -> Said:
    return Said(f"the {phrase}", (phrase,))


def _both(phrases: list[str]) -> Said:
    return Said(" and ".join(f"the {p}" for p in phrases), tuple(phrases))


def _base(phrase: str) -> str:
    return ontology.by_name()[phrase].base
