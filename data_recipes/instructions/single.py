"""Question families that stand alone. Each adds a turn to a thread or returns False where the scan has none of it."""

from __future__ import annotations

from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import small_talk, words
from data_recipes.instructions.dialogue import Thread
from data_recipes.instructions.words import Said


def target(t: Thread, absent: float = 0.1) -> Said:
    """Words for one thing: usually of the scan, sometimes not there, sometimes a word that nobody knows."""
    rng = t.rng
    there = list(t.facts.found)
    if there and rng.random() >= absent:
        return words.one(rng.choice(there), rng)
    # elsewhere than in the families of the table, a word that nobody knows may well name something in the scan
    if t.facts.family in ontology.SCAN_FAMILIES and rng.random() < 0.35:
        return words.one(rng.choice(small_talk.UNKNOWN), rng)
    return words.one(rng.choice(t.facts.absent or there), rng)


def targets(t: Thread) -> Said:
    """Words for several: both sides, a group, or a list of three to eight."""
    rng, pairs = t.rng, t.facts.pairs()
    kind = rng.choices(["both", "group", "two", "list"], [34 if pairs else 0, 22, 20, 24])[0]
    if kind == "both":
        return words.both(rng.choice(pairs), rng)
    if kind == "group":
        said = words.group(t.facts.family, rng, 10 if rng.random() < 0.2 else 6)
        if said is not None:
            return said
    return listing(t, 2 if kind == "two" else rng.randint(3, 8))


def listing(t: Thread, count: int) -> Said:
    """A list of wanted things, no phrase twice, at most `count` phrases."""
    rng = t.rng
    parts: list[Said] = []
    seen: set[str] = set()
    pairs = t.facts.pairs()
    for _ in range(3 * count):
        room = count - len(seen)
        part = words.both(rng.choice(pairs), rng) if pairs and room >= 2 and rng.random() < 0.2 else target(t, 0.14)
        if not seen & set(part.phrases):
            parts.append(part)
            seen |= set(part.phrases)
        if len(seen) >= count:
            break
    return words.several(parts, rng)


def wanted(t: Thread, many: float = 0.35, absent: float = 0.12) -> Said:
    return targets(t) if t.rng.random() < many else target(t, absent)


def show(t: Thread) -> bool:
    """Name it, sided, several targets, unknown words: the reply grounds and says the volume."""
    said = wanted(t, 0.4)
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.SHOW, t.rng, said), notes, d.shown(notes))
    return True


def size(t: Thread) -> bool:
    said = wanted(t, 0.2)
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.SIZE, t.rng, said), notes, d.sized(notes))
    return True


def quantity(t: Thread) -> bool:
    """One asked number: volume, longest diameter, mean intensity, or how sure the program is."""
    rng = t.rng
    what = rng.choice(["volume", "diameter", "intensity", "confidence"])
    templates = {"volume": q.VOLUME, "diameter": q.DIAMETER, "intensity": q.INTENSITY, "confidence": q.CONFIDENCE}[what]
    if what == "intensity":
        templates += {"CT": q.INTENSITY_CT, "PET": q.INTENSITY_PET, "MR": ()}[t.facts.modality]
    said = wanted(t, 0.12, 0.08)
    if len(said.phrases) > 3:
        said = target(t)
    notes = t.ground(said.phrases)
    t.turn(words.ask(templates, rng, said), notes, d.each(notes, what))
    return True


def there(t: Thread) -> bool:
    """Is it there: half of them are not."""
    rng = t.rng
    if "tumour" in (*t.facts.found, *t.facts.absent) and rng.random() < 0.3:
        notes = t.ground(["tumour"])
        t.turn(words.rough(rng.choice(q.TUMOUR_THERE), rng), notes, d.there_or_not(notes))
        return True
    said = wanted(t, 0.08, 0.55)
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.THERE, rng, said), notes, d.there_or_not(notes))
    return True


def compare(t: Thread) -> bool:
    """Compare two: open, or a yes-or-no question; half of them left against right."""
    rng, facts = t.rng, t.facts
    verdict = rng.choice(["smaller", "larger", "same", "", ""])
    pairs = facts.pairs()
    if pairs and rng.random() < 0.6:
        return _compare_sides(t, rng.choice(pairs), verdict)
    a = target(t, 0.08)
    b = target(t, 0.08)
    if a.phrases == b.phrases:
        return False
    templates = {"smaller": q.SMALLER, "larger": q.LARGER, "same": q.SAME, "": q.COMPARE}[verdict]
    notes = t.ground([*a.phrases, *b.phrases])
    question = words.rough(rng.choice(templates).format(a=a.words, b=b.words), rng)
    t.turn(question, notes, d.compared_in_words(notes, verdict))
    return True


def _compare_sides(t: Thread, base: str, verdict: str) -> bool:
    rng = t.rng
    first, second = rng.sample(["left", "right"], 2)
    row = words.row_of(base, "brain")
    plural = rng.choice(row.plural.split("|") if row.plural else [base + "s"])
    x = rng.choice([base, base, *row.en.split("|")])
    if verdict in ("", "same") and rng.random() < 0.6:
        template = rng.choice(q.SIDES_SAME if verdict else q.SIDES_COMPARE)
        question, order = template.format(x=x, xs=plural), ["left", "right"]
    else:
        templates = {"smaller": q.SMALLER, "larger": q.LARGER, "same": q.SAME, "": q.COMPARE}[verdict]
        a = f"the {first} {x}"
        b = rng.choice(
            [f"the {second}", f"the {second}", f"the {second} one", f"the {second} {x}", f"its {second} counterpart"]
        )
        if rng.random() < 0.3:
            a, b = words.one(f"{first} {base}", rng).words, words.one(f"{second} {base}", rng).words
        question, order = rng.choice(templates).format(a=a, b=b), [first, second]
    notes = t.ground([f"{side} {base}" for side in order])
    t.turn(words.rough(question, rng), notes, d.compared_in_words(notes, verdict))
    return True


def together(t: Thread) -> bool:
    """The sum of two, asked for at once."""
    pairs = t.facts.pairs()
    if pairs and t.rng.random() < 0.7:
        said = words.both(t.rng.choice(pairs), t.rng)
    else:
        said = listing(t, 2)
    if len(said.phrases) != 2:
        return False
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.TOGETHER, t.rng, said), notes, d.summed(notes))
    return True


def normal(t: Thread) -> bool:
    """Is it normal: measured, and left to a physician."""
    said = wanted(t, 0.15, 0.06)
    notes = t.ground(said.phrases)
    words_of = d.sized(notes)
    if d.found(notes):
        words_of += " Whether that is normal is for a physician to judge."
    t.turn(words.ask(q.NORMAL, t.rng, said), notes, words_of)
    return True


def region(t: Thread) -> bool:
    """What is this: the program gets the pointed-at region as `<REG>`; the reply names it, then grounds it."""
    if t.region is not None or not t.facts.found:
        return False
    rng = t.rng
    phrase = rng.choice([p for p in t.facts.found if p != "brain"] or list(t.facts.found))
    notes = t.ground([phrase], pointed=True)
    if rng.random() < 0.7:
        sentence = "This is " + _naming(notes) if notes[0].present else d.not_found(notes)
        t.turn(words.rough(rng.choice(q.REGION), rng), notes, sentence, phrase)
    else:
        t.turn(words.rough(rng.choice(q.REGION_SIZE), rng), notes, d.sized(notes), phrase)
    return True


def _naming(notes: list[d.Note]) -> str:
    return f"the {notes[0].phrase} ({notes[0].id}, {d.ml(notes[0])})."


def function(t: Thread) -> bool:
    """Reasoning from what a structure is for, and the other way round."""
    rng, facts = t.rng, t.facts
    known = [s for s in ontology.taught(facts.family) if s.functions]
    away = [s for s in ontology.surely_absent(facts.family) if s.functions and not s.taught]
    structure = rng.choice(away) if rng.random() < 0.15 else rng.choice(known)
    if structure.side and rng.random() < 0.6:
        phrases: tuple[str, ...] = (f"left {structure.base}", f"right {structure.base}")
    else:
        phrases = (structure.name,)
    base = structure.base
    fragment = rng.choice(structure.functions)
    if rng.random() < 0.7:
        if len(phrases) == 1 and structure.side:
            question = rng.choice(q.FUNCTION_SIDE).format(f=fragment, side=structure.side)
        else:
            question = rng.choice(q.FUNCTION).format(f=fragment)
        notes = t.ground(phrases)
        t.turn(words.rough(question, rng), notes, d.named(notes))
        return True
    said = words.both(base, rng) if len(phrases) == 2 else words.one(phrases[0], rng)
    notes = t.ground(said.phrases)
    saying = f"The {base} {structure.function}."
    sentence = d.joined(saying, d.shown(notes)) if d.found(notes) else d.not_found(notes)
    t.turn(words.ask(q.DOES, rng, said), notes, sentence)
    return True


def overview(t: Thread) -> bool:
    """What is in this scan: the family's landmark is grounded, and more is offered."""
    landmarks = {
        "brain": ("brain",), "head_neck": ("mandible", "spinal cord"), "hippocampus": ("hippocampus",),
        "tumour_mr": ("tumour",), "tumour_pet": ("tumour",),
    }[t.facts.family]  # fmt: skip
    notes = t.ground(landmarks)
    t.turn(words.rough(t.rng.choice(q.OVERVIEW), t.rng), notes, d.shown(notes) + " Ask me for a structure by its name.")
    return True


def everything(t: Thread) -> bool:
    """Segment everything: all that the family has where that is few, else the whole brain and an offer."""
    family = t.facts.family
    phrases = {"brain": ("brain",), "hippocampus": ("anterior hippocampus", "posterior hippocampus")}.get(
        family, tuple(s.name for s in ontology.taught(family))
    )
    notes = t.ground(phrases)
    more = " Ask me for a structure by its name." if family == "brain" else ""
    t.turn(words.rough(t.rng.choice(q.EVERYTHING), t.rng), notes, d.shown(notes) + more)
    return True


def crop_side(t: Thread) -> bool:
    """A side asked of a crop that shows one hippocampus: the whole one is grounded, and the side left open."""
    if t.facts.family != "hippocampus":
        return False
    rng = t.rng
    side = rng.choice(ontology.SIDES)
    form = rng.choice(["{} hippocampus", "the {} hippocampus", "{} hippocampal formation", "hippocampus on the {}"])
    said = Said(form.format(side), ("hippocampus",))
    notes = t.ground(["hippocampus"])
    sentence = d.shown(notes) + (" This crop does not tell its side." if d.found(notes) else "")
    t.turn(words.ask(q.SHOW, rng, said), notes, sentence)
    return True


def foreign(t: Thread) -> bool:
    """A whole question in German, French, Spanish or Chinese; answered in English."""
    rng = t.rng
    kind, templates = rng.choice([("show", q.FOREIGN_SHOW), ("size", q.FOREIGN_SIZE), ("there", q.FOREIGN_THERE)])
    language, template = rng.choice(templates)
    known = [p for p in (*t.facts.found, *t.facts.absent) if p in ontology.by_name()]
    able = [p for p in known if ontology.by_name()[p].translations[language]]
    if not able:
        return False
    there_now = [p for p in able if p in t.facts.found]
    phrase = rng.choice(there_now if there_now and rng.random() < 0.75 else able)
    name = rng.choice(ontology.by_name()[phrase].translations[language])
    notes = t.ground([phrase])
    reply = {"show": d.shown, "size": d.sized, "there": d.there_or_not}[kind]
    question = template.format(x=name)
    t.turn(question.lower() if rng.random() < 0.3 else question, notes, reply(notes))
    return True


def talk(t: Thread) -> bool:
    """Small talk and what the program does not do: no mask. Half a question is unclear only at the start."""
    unclear = 0 if t.messages else 16
    kind = t.rng.choices(list(small_talk.KINDS), [16, 20, 14, 22, unclear, 12])[0]
    asked, reply = small_talk.KINDS[kind]
    t.turn(words.rough(t.rng.choice(asked), t.rng) if kind != "unclear" else t.rng.choice(asked), [], reply)
    return True


def no_scan(t: Thread) -> bool:
    """No scan is open: said so, whatever was asked (small talk aside)."""
    rng = t.rng
    kind = rng.choice(["show", "size", "there", "overview", "ability", "greeting"])
    if kind in small_talk.KINDS:
        asked, reply = small_talk.KINDS[kind]
        t.turn(words.rough(rng.choice(asked), rng), [], reply if kind == "ability" else f"Hello. {small_talk.NO_SCAN}")
        return True
    said = wanted(t, 0.2)
    templates = {"show": q.SHOW, "size": q.SIZE, "there": q.THERE}.get(kind)
    question = words.ask(templates, rng, said) if templates else words.rough(rng.choice(q.OVERVIEW), rng)
    t.turn(question, [], small_talk.NO_SCAN)
    return True
