"""Writes a conversation: ids, notes and targets as the program will make them, and the few sentences of the replies.

The sentences are regular on purpose. A small language model is to read the notes and say what they say; one shape a
kind of question is what it learns best, and every shape copies its numbers from a note.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.conversation import Message, neutral
from assistant.evidence import Measurement, Note, compare_volumes, format_mean, format_ml, format_mm, format_probability
from data_recipes.instructions.facts import Facts, made_up
from data_recipes.schema import Pointer, Target


@dataclass(frozen=True)
class Conversation:
    """What a trainer reads: messages, targets in `<SEG>` order, the scan's family, the kind of its first question.

    `region` is the phrase whose region `<REG>` stands for (None without one), `pointer` how it was pointed at where
    that is known. `case` is the case the facts came from.
    """

    messages: tuple[Message, ...]
    targets: tuple[Target, ...]
    family: str
    modality: str
    kind: str
    region: str | None = None
    case: str = ""
    pointer: Pointer | None = None


class Thread:
    """A conversation being written. Ids run m1, m2, ... over its turns, as in a session."""

    def __init__(self, facts: Facts, rng: random.Random, scan_open: bool = True) -> None:
        self.facts, self.rng, self.scan_open = facts, rng, scan_open
        self.messages: list[Message] = []
        self.targets: list[Target] = []
        self.masks: list[Note] = []  # every mask made so far; masks[0].id is "m1"
        self.last: list[Note] = []  # what the last reply grounded, absent targets too
        self.region: str | None = None
        self.pointer: Pointer | None = None
        self.scan = 0  # number of the scan that is spoken of, among the conversation's scans
        self._shown = False  # whether that scan was shown
        self._made_before = 0  # how many masks there were before it

    def next_scan(self, facts: Facts) -> None:
        """Go on with another scan: the next question shows it, and its masks are new ones."""
        self.facts, self._shown, self._made_before = facts, False, len(self.masks)
        self.scan += 1

    def turn(self, question: str, notes: Sequence[Note], sentence: str, region: str | None = None) -> None:
        """Add a question and its reply. A name that a data set brings along is text, whatever it spells."""
        image = self.scan_open and not self._shown
        self._shown = True
        self.messages.append(Message("user", question, image=image, region=region is not None))
        if region is not None:
            self.region = region
        chips = [f"<p>{neutral(asked(n))}</p><SEG><obs>{neutral(str(n))}</obs>" for n in notes]
        self.messages.append(Message("assistant", " ".join([*chips, neutral(agreeing(sentence, notes))])))
        self.targets += [
            Target(neutral(asked(n)), n.present, self.facts.labels.get(n.phrase, ()) if n.present else (), self.scan)
            for n in notes
        ]
        self.last = [as_note(n) for n in notes]

    def ground(self, phrases: Sequence[str], pointed: bool = False, before: Note | None = None) -> list[Note]:
        """The notes of these phrases, each mask compared with the one before it in the reply (the first with `before`).

        A phrase that has a mask already keeps it and its id, unless something was pointed at. Masks of another scan
        count for the comparison alone.
        """
        notes: list[Note] = []
        for phrase in phrases:
            known = None if pointed else next((m for m in self.masks[self._made_before :] if m.phrase == phrase), None)
            if known is not None:
                before = replace(known, compare=compared(before))
                notes.append(before)
                continue
            measurement = self.facts.found.get(phrase)
            if measurement is None:
                notes.append(Note("", phrase, round(min(0.45, self.rng.expovariate(14)), 2)))
                continue
            note = Note(
                f"m{len(self.masks) + 1}", phrase, 1 - round(min(0.4, self.rng.expovariate(18)), 2),
                round(self.rng.betavariate(9, 2), 2), measurement, compared(before),
            )  # fmt: skip
            before = note
            self.masks.append(note)
            notes.append(note)
        return notes

    def recall(self, masks: Sequence[Note]) -> list[Note]:
        """The notes of earlier masks again, by id; no new mask."""
        notes: list[Note] = []
        for mask in masks:
            before = notes[-1] if notes else None
            notes.append(
                Recalled(mask.id, mask.phrase, mask.presence, mask.quality, mask.measurement, compared(before))
            )
        return notes

    def combine(self, one: Note, sign: str, other: Note) -> Note:
        """The note of "m1 + m2" (union), "m1 - m2" (difference) or "m1 & m2" (overlap) of two masks.

        Measured on the masks where there are any. Made-up masks of different structures do not overlap; a part lies in
        its whole ("anterior hippocampus").
        """
        phrase = f"{one.id} {sign} {other.id}"
        layout = self.facts.layout
        if layout is not None:
            return self._made(phrase, layout.combined(one.phrase, sign, other.phrase))
        a, b = one.measurement, other.measurement
        assert a is not None
        assert b is not None
        volume = self._combined_ml(one, sign, other)
        if volume <= 0.0005:
            return self._made(phrase, None)
        if sign == "+":
            longest = max(a.longest_diameter_mm, b.longest_diameter_mm) * self.rng.uniform(1.0, 1.9)
            mean = (a.mean_intensity * a.volume_ml + b.mean_intensity * b.volume_ml) / (a.volume_ml + b.volume_ml)
            result = replace(a, volume_ml=volume, longest_diameter_mm=longest, mean_intensity=mean)
        elif volume == a.volume_ml:
            result = a
        else:
            result = made_up(volume, a.mean_intensity, a.intensity_unit, self.rng)
        return self._made(phrase, result)

    def _made(self, phrase: str, measurement: Measurement | None) -> Note:
        """The note of a mask made of others, and its mask's id; nothing of it (None) is no mask."""
        if measurement is None:
            return Note("", phrase, 0.0)
        note = Note(f"m{len(self.masks) + 1}", phrase, None, None, measurement)
        self.masks.append(note)
        return note

    def _combined_ml(self, one: Note, sign: str, other: Note) -> float:
        a, b = one.measurement, other.measurement
        assert a is not None
        assert b is not None
        inside = overlap_ml(one, other)
        return {"+": a.volume_ml + b.volume_ml - inside, "-": a.volume_ml - inside, "&": inside}[sign]

    def done(self, kind: str) -> Conversation:
        """The finished conversation."""
        facts = self.facts
        return Conversation(
            tuple(self.messages), tuple(self.targets), facts.family, facts.modality, kind, self.region, facts.case,
            self.pointer,
        )  # fmt: skip


class Recalled(Note):
    """A note of an earlier mask: asked for by its id, not by its phrase."""


def asked(note: Note) -> str:
    """What stands between `<p>` and `</p>`: the phrase, or the id of a recalled mask."""
    return note.id if isinstance(note, Recalled) else note.phrase


def as_note(note: Note) -> Note:
    """The note without its comparison and without having been recalled: the mask itself."""
    return Note(note.id, note.phrase, note.presence, note.quality, note.measurement, taught=note.taught)


def compared(before: Note | None) -> tuple[str, Measurement] | None:
    return None if before is None or before.measurement is None else (before.id, before.measurement)


def overlap_ml(one: Note, other: Note) -> float:
    """Shared volume: all of the smaller one where one is part of the other, none otherwise."""
    assert one.measurement is not None
    assert other.measurement is not None
    if one.phrase == other.phrase:
        return one.measurement.volume_ml
    for part, whole in ((one, other), (other, one)):
        assert part.measurement is not None
        if whole.phrase == "brain" or (whole.phrase == "hippocampus" and part.phrase.endswith("rior hippocampus")):
            return part.measurement.volume_ml
    return 0.0


# ---- sentences


def ml(note: Note) -> str:
    assert note.measurement is not None
    return format_ml(note.measurement.volume_ml) + " mL"


def mm(note: Note) -> str:
    assert note.measurement is not None
    return format_mm(note.measurement.longest_diameter_mm) + " mm"


def mean(note: Note) -> str:
    assert note.measurement is not None
    return (format_mean(note.measurement.mean_intensity) + " " + note.measurement.intensity_unit).strip()


_PLURAL = re.compile(  # words, and no rule of spelling: the pons, the pancreas and the biceps are one each
    r"\b(?:arter|vertebra|vein|vessel|cartilage|disc|rib|lung|lobe|kidney|gland|bone|muscle|lesion|tumou?r|nodule|cyst|"
    r"ventricle)(?:s|ies|e)$"
)
_VERBS = {"is": "are", "has": "have", "was": "were", "lies": "lie"}


def agreeing(sentence: str, notes: Sequence[Note]) -> str:
    """The sentence with its verbs in the plural where a name is one: "the costal cartilages (m1) have ..."."""
    for name in {n.phrase for n in notes if _PLURAL.search(n.phrase) and not n.phrase.startswith("pair ")}:
        subject = rf"(?P<name>\bthe {re.escape(name)}(?: \(m\d+\))?) (?P<verb>{'|'.join(_VERBS)})\b"
        sentence = re.sub(subject, lambda m: f"{m['name']} {_VERBS[m['verb']]}", sentence, flags=re.IGNORECASE)
    return sentence


def found(notes: Sequence[Note]) -> list[Note]:
    return [n for n in notes if n.present]


def missing(notes: Sequence[Note]) -> list[Note]:
    return [n for n in notes if not n.present]


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def called(note: Note) -> str:
    """ "the left hippocampus (m1)"; a mask made of masks is "m3 (m1 + m2)"."""
    return f"{note.id} ({note.phrase})" if combined(note) else f"the {note.phrase} ({note.id})"


def combined(note: Note) -> bool:
    """Whether a mask was made of other masks: it has no presence of its own."""
    return re.match(r"m\d+ [-+&] m\d+", note.phrase) is not None


def not_found(notes: Sequence[Note]) -> str:
    """ "The liver was not found in this scan."; "" when all were found."""
    gone = missing(notes)
    if not gone:
        return ""
    return f"{capital(gone_words(gone))} not found in this scan."


def gone_words(gone: Sequence[Note]) -> str:
    """ "the liver was", "the liver and spleen were": one article, so that a list reads as one clause."""
    return f"the {listed([n.phrase for n in gone])} {'was' if len(gone) == 1 else 'were'}"


def joined(*sentences: str) -> str:
    return " ".join(s for s in sentences if s)


def shown(notes: Sequence[Note]) -> str:
    """Reply to "show me", "segment", "where is": each mask with its volume; beyond four only the ids."""
    there = found(notes)
    if not there:
        return not_found(notes)
    if len(there) == 1:
        return joined(f"The {there[0].phrase} is marked as {there[0].id}: {ml(there[0])}.", not_found(notes))
    if len(there) <= 4:
        parts = [f"the {n.phrase} ({n.id}) is {ml(n)}" for n in there]
        return joined(capital(listed(parts)) + ".", not_found(notes))
    words = "The others are marked" if missing(notes) else "All are marked"
    return joined(f"{words}, {there[0].id} to {there[-1].id}.", not_found(notes))


def sized(notes: Sequence[Note]) -> str:
    """Reply to "how big": volume and longest diameter of one; volumes of several."""
    there = found(notes)
    if len(there) != 1:
        return shown(notes)
    n = there[0]
    return joined(f"{capital(called(n))} is {ml(n)}, with a longest diameter of {mm(n)}.", not_found(notes))


def each(notes: Sequence[Note], what: str) -> str:
    """Reply to one asked quantity: "volume", "diameter", "intensity" or "confidence"."""
    there = found(notes)
    said = {
        "volume": lambda n: f"{called(n)} has a volume of {ml(n)}",
        "diameter": lambda n: f"{called(n)} has a longest diameter of {mm(n)}",
        "intensity": lambda n: f"{called(n)} has a mean intensity of {mean(n)}",
        "confidence": lambda n: (
            f"the {n.phrase} ({n.id}) was found with presence {format_probability(n.presence or 0)}"
            f" and quality {format_probability(n.quality or 0)}"
        ),
    }[what]
    words = capital(listed([said(n) for n in there])) + "." if there else ""
    return joined(words, not_found(notes))


def there_or_not(notes: Sequence[Note]) -> str:
    """Reply to "is there": yes with the masks, or no."""
    there, gone = found(notes), missing(notes)
    if not there:
        return f"No, {gone_words(gone)} not found in this scan."
    parts = listed([f"the {n.phrase} ({n.id}, {ml(n)})" for n in there])
    return joined(f"Yes, {parts} {'is' if len(there) == 1 else 'are'} in this scan.", not_found(notes))


def relation(one: Note, other: Note) -> str:
    """ "smaller", "larger" or "equal", by the volumes as shown."""
    assert one.measurement is not None
    assert other.measurement is not None
    words = compare_volumes(("a", one.measurement), ("b", other.measurement))
    return "equal" if " is equal " in words else "smaller" if " is smaller " in words else "larger"


def difference(one: Note, other: Note) -> str:
    """ "0.2 mL": as the later note's comparison has it, which names the earlier mask first."""
    assert one.measurement is not None
    assert other.measurement is not None
    words = compare_volumes((one.id, one.measurement), (other.id, other.measurement))
    return words.split(" by ", 1)[1].split(", together", 1)[0].split(" (", 1)[0]


def together_ml(one: Note, other: Note) -> str:
    assert one.measurement is not None
    assert other.measurement is not None
    return compare_volumes((one.id, one.measurement), (other.id, other.measurement)).rsplit("together ", 1)[1]


def compared_in_words(notes: Sequence[Note], verdict: str = "") -> str:
    """Reply to a comparison of two, in the order asked. `verdict`: "smaller", "larger", "same" if asked, or ""."""
    one, other = notes
    if not (one.present and other.present):
        there, gone = found(notes), missing(notes)
        if not there:
            return not_found(notes)
        return (
            f"The {gone[0].phrase} was not found in this scan, so it cannot be compared with the {there[0].phrase} "
            f"({there[0].id}, {ml(there[0])})."
        )
    true = relation(one, other)
    if true == "equal":
        words = f"the {one.phrase} and the {other.phrase} are equal in volume: {ml(one)}"
    else:
        words = (
            f"the {one.phrase} ({ml(one)}) is {true} than the {other.phrase} ({ml(other)}), by {difference(one, other)}"
        )
    yes = {"smaller": true == "smaller", "larger": true == "larger", "same": true == "equal"}.get(verdict)
    return capital(words if yes is None else f"{'yes' if yes else 'no'}, {words}") + "."


def summed(notes: Sequence[Note]) -> str:
    """Reply to "both together" where both are asked for in one question."""
    one, other = notes
    if not (one.present and other.present):
        return shown(notes)
    return f"The {one.phrase} ({ml(one)}) and the {other.phrase} ({ml(other)}) are together {together_ml(one, other)}."


def named(notes: Sequence[Note]) -> str:
    """Reply to a description or a function: says what it is."""
    there = found(notes)
    if not there:
        verb = "was" if len(notes) == 1 else "were"
        return f"That would be the {listed([n.phrase for n in notes])}, which {verb} not found in this scan."
    return joined(f"That is {listed([f'the {n.phrase} ({n.id}, {ml(n)})' for n in there])}.", not_found(notes))
