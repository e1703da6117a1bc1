"""Question family: a sentence of a report. What does it speak of, and does the scan agree?

The sentences are of the plain kinds that `assistant.statements` reads: there or not, how large, smaller than which.
Half of those that are checked are made to contradict the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assistant.evidence import format_ml
from data_recipes.instructions import dialogue as d
from data_recipes.instructions.dialogue import Note, Thread

SHOW = (
    'Show what this sentence of the report speaks of: "{s}"', 'The report says: "{s}" Show it to me.',
    'Find the structures in this sentence: "{s}"', 'Ground this finding: "{s}"', 'Mark what is meant: "{s}"',
    'Which structures does this name? "{s}"', 'Link this sentence to the scan: "{s}"', 'From the report: "{s}" Where?',
)  # fmt: skip
CHECK = (
    'The report says: "{s}" Is that right?', 'Check this sentence against the scan: "{s}"', 'Does this hold? "{s}"',
    '"{s}" Does the scan agree?', 'Is this sentence of the report true: "{s}"', 'Verify: "{s}"',
    'A colleague wrote: "{s}" Can you confirm that?', 'Report: "{s}" Right or wrong?',
)  # fmt: skip
LESIONS = ("tumour", "lesion", "cyst", "metastasis", "nodule", "effusion", "edema", "necrosis")


@dataclass(frozen=True)
class Sentence:
    """text: of the report; phrases: what it speaks of; says: what the scan shows of that, from its notes."""

    text: str
    phrases: tuple[str, ...]
    says: Callable[[Sequence[Note]], str]


def seen(t: Thread, true: bool) -> Sentence | None:
    """ "The liver is visible." """
    phrase = _one(t, present=true)
    return None if phrase is None else Sentence(f"{_subject(phrase)} is visible.", (phrase,), _there)


def not_seen(t: Thread, true: bool) -> Sentence | None:
    """ "There is no tumour." / "The liver is not seen." """
    phrase = _one(t, present=not true)
    if phrase is None:
        return None
    lesion = any(word in phrase for word in LESIONS)
    text = f"There is no evidence of {_article(phrase)}." if lesion else f"The {phrase} is not seen."
    return Sentence(text, (phrase,), _there)


def measured(t: Thread, true: bool) -> Sentence | None:
    """ "The left hippocampus measures 2.9 mL." """
    phrase = _one(t, present=True)
    if phrase is None:
        return None
    volume = t.facts.found[phrase].volume_ml
    stated = format_ml(volume if true else volume * t.rng.choice([0.3, 0.5, 1.8, 2.6]))
    if (stated == format_ml(volume)) != true:
        return None
    return Sentence(f"The {phrase} measures {stated} mL.", (phrase,), _volume)


def compared(t: Thread, true: bool) -> Sentence | None:
    """ "The left hippocampus is smaller than the right hippocampus." """
    pairs = t.facts.pairs()
    if pairs and t.rng.random() < 0.7:
        base = t.rng.choice(pairs)
        one, other = t.rng.sample([f"left {base}", f"right {base}"], 2)
    elif len(t.facts.found) > 1:
        one, other = t.rng.sample(list(t.facts.found), 2)
    else:
        return None
    a, b = t.facts.found[one].volume_ml, t.facts.found[other].volume_ml
    if format_ml(a) == format_ml(b):
        return None
    word = "smaller" if (a < b) == true else "larger"
    return Sentence(f"The {one} is {word} than the {other}.", (one, other), d.compared_in_words)


SENTENCES: Mapping[str, Callable[[Thread, bool], Sentence | None]] = {
    "seen": seen, "not seen": not_seen, "measured": measured, "compared": compared,
}  # fmt: skip


def ground(t: Thread) -> bool:
    """Sentence -> targets: what it speaks of is shown."""
    sentence = SENTENCES[t.rng.choice(list(SENTENCES))](t, True)
    if sentence is None:
        return False
    notes = t.ground(sentence.phrases)
    t.turn(t.rng.choice(SHOW).format(s=sentence.text), notes, d.shown(notes))
    return True


def check(t: Thread) -> bool:
    """Whether a sentence agrees with the scan, and what the scan shows."""
    true = t.rng.random() < 0.5
    sentence = SENTENCES[t.rng.choice(list(SENTENCES))](t, true)
    if sentence is None:
        return False
    notes = t.ground(sentence.phrases)
    shows = sentence.says(notes)
    verdict = "The scan agrees" if true else "The scan contradicts this"
    t.turn(t.rng.choice(CHECK).format(s=sentence.text), notes, f"{verdict}: {shows[0].lower()}{shows[1:]}")
    return True


def _one(t: Thread, present: bool) -> str | None:
    able = list(t.facts.found if present else t.facts.absent)
    return t.rng.choice(able) if able else None


def _there(notes: Sequence[Note]) -> str:
    note = notes[0]
    return f"the {note.phrase} was found ({note.id}, {d.ml(note)})." if note.present else d.not_found(notes)


def _volume(notes: Sequence[Note]) -> str:
    return f"{d.called(notes[0])} is {d.ml(notes[0])}."


def _subject(phrase: str) -> str:
    return d.capital(_article(phrase)) if any(word in phrase for word in LESIONS) else f"The {phrase}"


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
