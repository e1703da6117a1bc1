"""Does a reply say what its masks show? Every number, every "found" and "larger", every structure that it names.

Checked from what a user has: the visible text and the masks, which are measured again here. Decoding has rules of its
own for the same (`assistant.claims`); these are others on purpose, so that an error there is not an error here.

- **Numbers**: each number of the text must be one of the masks' measurements, the position of a centre, an extent, a
  difference, sum or share, or the user's own.
- **Statements**: "not found" must have no mask, a name that is spoken of otherwise must have one, "m1" must be the mask
  of that name, and "A is larger than B" must hold for the volumes as shown.
- **Hallucinated structures** (after CHAIR, Rohrbach et al. 2018): of the structures that a reply speaks of as found,
  those without a mask, and those that the expert says are not there; per structure named and per reply.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from assistant.evidence import (
    Measurement,
    Note,
    compare_volumes,
    extent,
    format_ml,
    format_mm,
    format_place,
    measure,
    numbers_in,
    unsupported_numbers,
)
from assistant.glossary import Glossary
from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from training import metrics
from training.answers import Asked, named_in, same_structure

_CHIP = r"[^\s,()][^,()\n]* \((?:m\d+|not found|never taught)\)"  # of the line of what was looked for
_CHIPS = re.compile(rf"{_CHIP}(?:, {_CHIP})*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_CLAUSE = re.compile(r",?\s+(?=(?:so|but|while|whereas)\b)|;\s+")
_GONE = re.compile(r"\b(?:not (?:be )?(?:found|visible|seen|present)|never taught|absent|no sign of)\b", re.IGNORECASE)
_COMPARED = re.compile(r"\b(?P<negated>not )?(?:(?P<less>smaller)|(?P<more>larger|bigger)) than\b", re.IGNORECASE)
_CALLED = re.compile(r" \((m\d+)\b")
WORST = 20  # offending replies that a summary quotes


@dataclass(frozen=True)
class Checked:
    """One reply. numbers, statements: how many, and how many of them hold; named: structures spoken of as found, of
    which unfound have no mask and untrue are not there. wrong: what does not hold, "; " between."""

    family: str
    case: str
    question: str
    answer: str
    numbers: int
    supported: int
    statements: int
    agreeing: int
    named: int
    unfound: int
    untrue: int
    wrong: str


@dataclass(frozen=True)
class _Mask:
    id: str
    phrase: str
    measured: Measurement
    extent_mm: tuple[float, float, float]


@cache
def _glossary() -> Glossary:
    return ontology.glossary()


def clauses(text: str) -> Iterator[str]:
    """The parts of a visible text that each say one thing: every name of its first line, then clause by clause."""
    first, _, rest = text.partition("\n")
    if _CHIPS.fullmatch(first):
        yield from re.findall(_CHIP, first)
    else:
        rest = text
    for sentence in _SENTENCE.split(rest):
        yield from (clause for clause in _CLAUSE.split(sentence) if clause.strip())


def check(
    question: str, replies: Sequence[Reply], volume: Volume, scan: str, group: str, absent: Collection[str]
) -> Checked:
    """The last of a conversation's replies; the masks of all of them may be spoken of. absent: names of what is not
    there for sure."""
    text = replies[-1].text
    masks = _masks(replies, volume)
    numbers = numbers_in(text)
    lost = unsupported_numbers(text, _notes(masks, replies), [question])
    wrong = [f"{number} is no measurement" for number in lost]
    held: list[bool] = []
    spoken: dict[tuple[str, ...], bool] = {}  # spoken of as found: whether there is a mask
    for clause in clauses(text):
        gone = bool(_GONE.search(clause))
        for meant in _structures(clause, replies):
            mask = next((m for m in masks if any(same_structure(m.phrase, phrase) for phrase in meant)), None)
            held.append((mask is not None) != gone)
            if mask is not None and gone:
                wrong.append(f"{mask.phrase} has a mask: {clause.strip()}")
            if mask is None and not gone:
                wrong.append(f"{meant[0]} has no mask: {clause.strip()}")
            if not gone:
                spoken[meant] = mask is not None
        for problem in (*_called(clause, masks), *_compared(clause, masks)):
            held.append(not problem)
            wrong += [problem] if problem else []
    untrue = [meant[0] for meant in spoken if all(phrase in absent for phrase in meant)]
    wrong += [f"{phrase} is not there" for phrase in untrue]
    return Checked(
        family=group,
        case=scan,
        question=question,
        answer=text,
        numbers=len(numbers),
        supported=len(numbers) - len(lost),
        statements=len(held),
        agreeing=sum(held),
        named=len(spoken),
        unfound=sum(not found for found in spoken.values()),
        untrue=len(untrue),
        wrong="; ".join(wrong),
    )


def _masks(replies: Sequence[Reply], volume: Volume) -> list[_Mask]:
    """All masks of a conversation, each measured again from its voxels."""
    by_id: dict[str, _Mask] = {}
    for finding in (f for reply in replies for f in reply.findings):
        if finding.mask is not None and finding.id not in by_id:
            mask = volume.from_native(np.asarray(finding.mask, dtype=bool))
            by_id[finding.id] = _Mask(finding.id, finding.phrase, measure(volume, mask), extent(mask, volume.affine))
    return list(by_id.values())


def _notes(masks: Sequence[_Mask], replies: Sequence[Reply]) -> list[str]:
    """What may be said in numbers: each mask, each two of them compared, and the heads' own estimates."""
    notes = [str(Note(mask.id, mask.phrase, None, None, mask.measured)) for mask in masks]
    notes += [
        compare_volumes((a.id, a.measured), (b.id, b.measured)) for a in masks for b in masks if a.id != b.id
    ]
    estimates = [value for reply in replies for f in reply.findings for value in (f.presence, f.quality)]
    places = [format_place(mask.measured.centroid_mm) for mask in masks]
    places += [f"{format_mm(mm)} mm" for mask in masks for mm in mask.extent_mm]
    return [*notes, *places, *(f"{value:.2f}" for value in estimates if value is not None)]


def _structures(clause: str, replies: Sequence[Reply]) -> list[tuple[str, ...]]:
    """What a clause names, each as the phrases it may mean: names of the table, and unknown words that were looked
    for."""
    named = _glossary().mentioned(clause)
    others = {f.phrase for reply in replies for f in reply.findings if ontology.lookup(f.phrase) is None}
    named += [(phrase,) for phrase in others if re.search(rf"\b{re.escape(phrase)}\b", clause)]
    return list(dict.fromkeys(named))


def _called(clause: str, masks: Sequence[_Mask]) -> Iterator[str]:
    """For each "name (m1)": what is wrong with it, or "". Other words before an id ("together 6 mL (m3)") are no
    name."""
    for match in _CALLED.finditer(clause):
        named = [mask for mask in masks if clause[: match.start()].endswith(mask.phrase)]
        if not any(mask.id == match[1] for mask in masks):
            yield f"there is no {match[1]}"
        elif named:
            yield "" if any(mask.id == match[1] for mask in named) else f"{match[1]} is not the {named[0].phrase}"


def _compared(clause: str, masks: Sequence[_Mask]) -> Iterator[str]:
    """For "A is larger than B": what is wrong with it, or "". Nothing where A or B is not one of the masks."""
    match = _COMPARED.search(clause)
    if match is None:
        return
    before, after = _spoken(clause[: match.start()], masks), _spoken(clause[match.end() :], masks)
    if not before or not after:
        return
    one, other = before[0], after[0]
    a, b = (Decimal(format_ml(mask.measured.volume_ml)) for mask in (one, other))
    holds = a < b if match["less"] else a > b
    wrong = holds == bool(match["negated"])
    yield f"{one.phrase} {a} mL, {other.phrase} {b} mL: {clause.strip()}" if wrong else ""


def _spoken(text: str, masks: Sequence[_Mask]) -> list[_Mask]:
    """The masks that a text speaks of by name or id, in order of appearance."""
    known = {name: mask for mask in masks for name in (mask.phrase, mask.id)}
    return [known[name] for name in named_in(text, list(known))]


class Checking:
    """A session whose replies are checked as they pass: ``rows`` has a line for each."""

    def __init__(self, session: Asked, volume: Volume, case: str, group: str, absent: Collection[str]) -> None:
        self.session = session
        self.rows: list[Checked] = []
        self._about = (volume, case, group, absent)
        self._replies: list[Reply] = []

    def ask(self, text: str, points: Sequence[Sequence[float]] | None = None) -> Reply:
        reply = self.session.ask(text, points)
        self._replies.append(reply)
        self.rows.append(check(text, self._replies, *self._about))
        return reply

    def undo(self) -> object:
        self._replies.pop()
        return self.session.undo()


def summarise(rows: Sequence[Checked]) -> dict[str, Any]:
    """Shares of numbers supported, of statements that hold, of structures named in vain; and who said what."""
    named = sum(r.named for r in rows)
    return {
        "replies": len(rows),
        "numbers_supported": metrics.Rate(sum(r.supported for r in rows), sum(r.numbers for r in rows)).to_dict(),
        "statements_agree": metrics.Rate(sum(r.agreeing for r in rows), sum(r.statements for r in rows)).to_dict(),
        "named_without_mask": metrics.Rate(sum(r.unfound for r in rows), named).to_dict(),
        "named_not_there": metrics.Rate(sum(r.untrue for r in rows), named).to_dict(),
        "replies_hallucinating": metrics.Rate(sum(r.unfound + r.untrue > 0 for r in rows), len(rows)).to_dict(),
        "wrong": [{"question": r.question, "answer": r.answer, "wrong": r.wrong} for r in rows if r.wrong][:WORST],
    }
