"""Questions with one right answer: yes or no, or one of two or three names.

The truth comes from the expert masks; yes and no, and the place of the right name, alternate, so that an answer that
never looks gets what chance gives. The answer is read from the visible text alone. It is held against the expert's
masks and against the reply's own: "right by its masks" but not by the expert's is an error of masks, the reverse an
error of language. Two volumes that differ by less than a tenth are not asked about: experts differ by as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistant.evidence import Measurement, measure
from assistant.session import Reply
from assistant.volume import Volume
from data_recipes import ontology
from training import metrics
from training.answers import Asked, mask_for, named_in, with_article, words_of, yes_or_no
from training.masks import TUMOUR
from training.scans import Scan

YES_NO = ("yes", "no")
APART = 0.1  # least difference of two volumes, of the larger
KINDS = ("larger", "smaller", "which is larger", "which is smaller", "largest of three", "is it there", "side")
_COMPARED = re.compile(r"\b(?:(?P<smaller>smaller)|larger|bigger) than\b", re.IGNORECASE)
_SUPERLATIVE = re.compile(r"\b(?:largest|biggest|larger|bigger|smallest|smaller)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """parts: the structures it is about, in order; side: what a question of the kind "side" claims."""

    kind: str
    text: str
    parts: tuple[str, ...]
    side: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        return self.parts if self.kind.startswith(("which", "largest")) else YES_NO


@dataclass(frozen=True)
class Closed:
    """A question, its right answer, what the text said ("" where it said neither), and what the reply's own masks say
    ("" where one of them is missing)."""

    family: str
    case: str
    kind: str
    question: str
    options: str
    truth: str
    said: str
    by_masks: str
    answer: str


def answer(question: Question, facts: Mapping[str, Measurement]) -> str:
    """The right answer where these structures measure so; "" where one that matters is missing or on the midline."""
    if question.kind == "is it there":
        return "yes" if question.parts[0] in facts else "no"
    if any(part not in facts for part in question.parts):
        return ""
    measured = [facts[part] for part in question.parts]
    if question.kind == "side":
        on = measured[0].side
        return "" if on not in ontology.SIDES else "yes" if on == question.side else "no"
    volumes = [m.volume_ml for m in measured]
    if question.kind == "larger":
        return "yes" if volumes[0] > volumes[1] else "no"
    if question.kind == "smaller":
        return "yes" if volumes[0] < volumes[1] else "no"
    return question.parts[int(np.argmin(volumes) if question.kind == "which is smaller" else np.argmax(volumes))]


def said(question: Question, text: str) -> str:
    """The option that a visible text chooses; "" where it chooses none."""
    if question.options == YES_NO:
        return yes_or_no(text)
    words = words_of(text)
    named = named_in(words, question.parts)
    if len(named) == 1:
        return named[0]
    for sentence in re.split(r"(?<=[.!?])\s+", words):
        compared = _COMPARED.search(sentence)
        if compared:
            before, after = (
                named_in(part, question.parts) for part in (sentence[: compared.start()], sentence[compared.end() :])
            )
            if before and after and len(question.parts) == 2:
                less, more = (before[0], after[0]) if compared["smaller"] else (after[0], before[0])
                return less if question.kind == "which is smaller" else more
        elif _SUPERLATIVE.search(sentence) and len(named_in(sentence, question.parts)) == 1:
            return named_in(sentence, question.parts)[0]
    return ""


def questions(
    facts: Mapping[str, Measurement], absent: Sequence[str], rng: np.random.Generator, each: int
) -> Iterator[Question]:
    """Up to ``each`` questions a kind about what measures so, answers alternating from a drawn start."""
    start = int(rng.integers(2))
    names = list(facts)
    pairs = [(a, b) for a in names for b in names if facts[a].volume_ml < (1 - APART) * facts[b].volume_ml]
    for kind in ("larger", "smaller"):
        for number, (less, more) in enumerate(_drawn(pairs, each, rng), start):
            yes = number % 2 == 0
            parts = (more, less) if (kind == "larger") == yes else (less, more)
            yield Question(kind, f"Is the {parts[0]} {kind} than the {parts[1]}?", parts)
    for kind in ("which is larger", "which is smaller"):
        for number, pair in enumerate(_drawn(pairs, each, rng), start):
            parts = pair if number % 2 == 0 else pair[::-1]
            yield Question(kind, f"Which is {kind.split()[-1]}, the {parts[0]} or the {parts[1]}?", parts)
    apart = set(pairs)
    threes = [(*pair, c) for pair in pairs for c in names if (pair[1], c) in apart]
    for number, three in enumerate(_drawn(threes, each, rng), int(rng.integers(3))):
        a, b, c = np.roll(three, number % 3).tolist()
        yield Question("largest of three", f"Which is the largest of the {a}, the {b} and the {c}?", (a, b, c))
    either = zip(_drawn(names, each, rng), _drawn(absent, each, rng), strict=False)
    for number, (there, gone) in enumerate(either, start):
        phrase = there if number % 2 == 0 else gone
        yield Question("is it there", f"Is there {with_article(phrase)} in this scan?", (phrase,))
    # what has a side of its own: a midline organ is to a side of the scan's middle by how the patient lay
    sided = [n for n in names if facts[n].side in ontology.SIDES and (ontology.flip(n) != n or n == TUMOUR)]
    for number, name in enumerate(_drawn(sided, each, rng), start):
        own = str(facts[name].side)
        side = own if number % 2 == 0 else ontology.flip(own)
        yield Question("side", f"Is the {name} on the {side} side of the scan?", (name,), side)


def _drawn(values: Sequence[Any], most: int, rng: np.random.Generator) -> list[Any]:
    """Up to ``most`` of the values, an even number of them where there are two, so that answers can alternate."""
    count = min(most, len(values))
    return [values[i] for i in rng.permutation(len(values))[: count - count % 2 or count]]


def expert_facts(scan: Scan, volume: Volume) -> dict[str, Measurement]:
    """What each target measures by the expert's mask."""
    return {phrase: measure(volume, volume.from_native(mask)) for phrase, mask in scan.truths.items()}


def mask_facts(reply: Reply, parts: Sequence[str], volume: Volume) -> dict[str, Measurement]:
    """The same of a reply's own masks, for those parts that have one."""
    found = {part: mask_for(reply, part) for part in parts}
    return {
        part: measure(volume, volume.from_native(np.asarray(f.mask, dtype=bool)))
        for part, f in found.items()
        if f is not None and f.mask is not None
    }


def ask(
    session: Asked, scan: Scan, facts: Mapping[str, Measurement], volume: Volume, group: str, seed: int, each: int
) -> Iterator[Closed]:
    """All :func:`questions` of a scan, each taken back. facts: :func:`expert_facts`."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    for question in questions(facts, scan.absent, rng, each):
        reply = session.ask(question.text)
        session.undo()
        yield Closed(
            family=group,
            case=scan.case,
            kind=question.kind,
            question=question.text,
            options="|".join(question.options),
            truth=answer(question, facts),
            said=said(question, reply.text),
            by_masks=answer(question, mask_facts(reply, question.parts, volume)),
            answer=reply.text,
        )


def summarise(rows: Sequence[Closed]) -> dict[str, Any]:
    """By kind: how often the text answered, was right, was what its masks say, and the masks were right. balance: how
    often each place among the options is the right one; chance: of a guess among them."""
    kinds: dict[str, Any] = {}
    for kind in (kind for kind in KINDS if any(r.kind == kind for r in rows)):
        group = [r for r in rows if r.kind == kind]
        measured = [r for r in group if r.by_masks]
        places = [r.options.split("|").index(r.truth) for r in group]
        balance = [places.count(place) / len(group) for place in range(len(group[0].options.split("|")))]
        kinds[kind] = {
            "answered": metrics.Rate(sum(bool(r.said) for r in group), len(group)).to_dict(),
            "right": metrics.Rate(sum(r.said == r.truth for r in group), len(group)).to_dict(),
            "right_by_own_masks": metrics.Rate(sum(r.said == r.by_masks for r in measured), len(measured)).to_dict(),
            "masks_right": metrics.Rate(sum(r.by_masks == r.truth for r in measured), len(measured)).to_dict(),
            "balance": balance,
            "chance": 1 / len(balance),
        }
    return {"kinds": kinds, "right": metrics.Rate(sum(r.said == r.truth for r in rows), len(rows)).to_dict()}
