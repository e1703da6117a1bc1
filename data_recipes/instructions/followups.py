"""Question families that need an earlier turn: the other side, sums and differences of masks, "how big was it?".

Each adds one turn to a thread, or returns False when the thread so far does not allow it. Masks are spoken of by their
ids, and the program computes what is made of them: the phrase is then an expression ("m1 + m2") or a bare id.
"""

from __future__ import annotations

from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import single, words
from data_recipes.instructions.dialogue import Note, Thread

ORDER = ("first", "second", "third", "fourth")


def other_side(t: Thread) -> bool:
    """ "now the right one": after a reply about one sided structure."""
    last = [n.phrase for n in t.last]
    if len(last) != 1:
        return False
    structure = ontology.by_name().get(last[0])
    if structure is None or structure.side is None:
        return False
    side = "right" if structure.side == "left" else "left"
    if f"{side} {structure.base}" not in (*t.facts.found, *t.facts.absent):
        return False  # nobody looked for it in this scan
    template = t.rng.choice(q.OTHER_SIDE[1:] if side == "left" else q.OTHER_SIDE)
    notes = t.ground([f"{side} {structure.base}"])
    t.turn(words.rough(template.format(side=side), t.rng), notes, d.shown(notes))
    return True


def also(t: Thread) -> bool:
    """ "and the amygdala?": another structure; without a side in the words it takes the side last spoken of."""
    rng = t.rng
    said = single.wanted(t, 0.15, 0.15)
    last = {s.side for n in t.last if (s := ontology.by_name().get(n.phrase)) and s.side}
    if len(t.last) == 1 and len(last) == 1 and rng.random() < 0.35:
        side = last.pop()
        bases = [b for b in t.facts.pairs() if f"{side} {b}" != t.last[0].phrase]
        if bases:
            base = rng.choice(bases)
            row = words.row_of(base, "brain")
            said = words.Said(f"the {rng.choice([base, base, *row.en.split('|')])}", (f"{side} {base}",))
    notes = t.ground(said.phrases)
    t.turn(words.ask(q.ALSO, rng, said), notes, d.shown(notes))
    return True


def last_two(t: Thread) -> tuple[Note, Note] | None:
    """The two masks that "they" means: of the last reply, or of the last two replies with one each."""
    there = d.found(t.last)
    if len(there) == 2:
        return there[0], there[1]
    if len(there) == 1 and len(t.masks) == 2:
        return t.masks[0], t.masks[1]
    return None


def both_together(t: Thread) -> bool:
    """ "and both together?" -> m1 + m2."""
    two = last_two(t)
    if two is None or any(d.combined(n) for n in two):
        return False
    template = t.rng.choice(q.BOTH_TOGETHER)
    if "m1" in template and [n.id for n in two] != ["m1", "m2"]:
        return False
    notes = [t.combine(two[0], "+", two[1])]
    t.turn(words.rough(template, t.rng), notes, together_reply(notes[0]))
    return True


def together_reply(note: Note) -> str:
    return f"Together they are {d.ml(note)} ({note.id})."


def rest_reply(note: Note) -> str:
    return f"The rest is {d.ml(note)} ({note.id})." if note.present else "Nothing is left over."


def overlap_reply(note: Note) -> str:
    return f"They share {d.ml(note)} ({note.id})." if note.present else "They do not overlap."


def algebra(t: Thread) -> bool:
    """Sum, difference or overlap of two masks called by their ids."""
    if len(t.masks) < 2:
        return False
    one, other = t.rng.sample(t.masks[:8], 2)
    sign = t.rng.choices("+-&", [45, 35, 20])[0]
    templates = {"+": q.IDS_TOGETHER, "-": q.IDS_MINUS, "&": q.IDS_OVERLAP}[sign]
    question = t.rng.choice(templates)
    if sign == "-" and t.rng.random() < 0.3:
        two = last_two(t)
        if two is not None:
            one, other, question = two[0], two[1], t.rng.choice(q.FIRST_WITHOUT)
    if d.combined(one) or d.combined(other):
        return False  # a mask made of masks: what it overlaps with is not worked out here
    notes = [t.combine(one, sign, other)]
    reply = {"+": together_reply, "-": rest_reply, "&": overlap_reply}[sign]
    t.turn(words.rough(question.format(i=one.id, j=other.id), t.rng), notes, reply(notes[0]))
    return True


def recall(t: Thread) -> bool:
    """ "how big was it?" -> the last mask again, by id; after an absent one, asked again and not found again."""
    if len(t.last) != 1:
        return False
    rng = t.rng
    what = rng.choice(["size", "size", "volume", "diameter", "intensity", "confidence"])
    templates = {
        "size": q.RECALL_SIZE, "volume": q.RECALL_VOLUME, "diameter": q.RECALL_DIAMETER,
        "intensity": q.RECALL_INTENSITY, "confidence": q.RECALL_CONFIDENCE,
    }[what]  # fmt: skip
    last = t.last[0]
    if last.present:
        if what == "confidence" and d.combined(last):
            return False
        notes = t.recall([last])
    elif d.combined(last):
        return False
    else:
        notes = t.ground([last.phrase])
    t.turn(words.rough(rng.choice(templates), rng), notes, d.sized(notes) if what == "size" else d.each(notes, what))
    return True


def recall_earlier(t: Thread) -> bool:
    """ "how big was m2?", "the first one again": any earlier mask, by id or by its place."""
    if not t.masks:
        return False
    rng = t.rng
    index = rng.randrange(len(t.masks))
    notes = t.recall([t.masks[index]])
    if index < len(ORDER) and len(t.masks) > 1 and rng.random() < 0.4:
        question = rng.choice(q.RECALL_ORDER).format(n=ORDER[index])
    else:
        question = rng.choice(q.RECALL_ID).format(i=t.masks[index].id)
    t.turn(words.rough(question, rng), notes, d.sized(notes))
    return True


def compare_last(t: Thread) -> bool:
    """ "which is bigger?" of the two masks last spoken of -> both recalled, compared in their notes."""
    two = last_two(t)
    if two is None or any(d.combined(n) for n in two):
        return False
    verdict = t.rng.choice(["smaller", "larger", "same", "", ""])
    templates = {"smaller": q.SMALLER_LAST, "larger": q.LARGER_LAST, "same": q.SAME_LAST, "": q.COMPARE_LAST}[verdict]
    notes = t.recall(two)
    question = t.rng.choice(templates).format(i=two[0].id, j=two[1].id)
    t.turn(words.rough(question, t.rng), notes, d.compared_in_words(notes, verdict))
    return True
