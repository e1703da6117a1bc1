"""Questions that compare sizes beyond two masks: a group with a structure, a pair with a pair, a mask with a number.

"Is the brainstem bigger than the cerebellum?" asks for the sum of the cerebellum's parts: they are looked for, joined
into one mask, and that mask is measured. A comparison of one English name with another is the language model's; what it
says is checked by `assistant.claims`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistant import claims
from assistant.composition import Plan, Shown, on_scan
from assistant.evidence import Measurement, Note, format_ml, format_mm
from assistant.glossary import Glossary, other_side, side_of
from assistant.sizes import Size, sizes_in
from assistant.statements import Named, comparison_in, named_in

POLAR = re.compile(
    r"\W*(?:(?:and|so|but|then)\W+)?(?:is|are|was|were|does|do|did|has|have|ist|sind|hat|haben"
    r"|est|sont|es|son)\b|.*(?:吗|\best-ce qu|\best-(?:il|elle)\b|\bsont-(?:ils|elles)\b)"
    r"|\W*¿(?!.*\b(?:qué|cuál|cuánt|dónde|cómo))",
    re.IGNORECASE,
)
_BRAIN = r"(?:\W+(?:the|this|his|her)\W+(?:brain|scan|image|head|neck|patient|hemispheres?))"
# of everything: "is the brain symmetric?", "compare all left structures with the right ones"
_ALL_SIDES = re.compile(
    rf"\W*(?:(?:is|are){_BRAIN}\W+(?:a?symmetric(?:al)?|lopsided)"
    rf"|(?:is|are)\W+there\W+(?:an?y?\W+)?(?:left[- ]right\W+)?asymmetr(?:y|ies)(?:\W+(?:in|of){_BRAIN})?"
    r"|(?:what|which)(?:\W+(?:structures?|parts?))?\W+(?:is|are)\W+(?:the\W+most\W+)?asymmetric(?:al)?"
    r"|compare\W+(?:all\W+)?(?:of\W+)?(?:the\W+)?left(?:\W+(?:structures|side|half|hemisphere|ones))?\W+"
    r"(?:with|and|to|against)\W+(?:all\W+)?(?:the\W+)?right(?:\W+(?:structures|side|half|hemisphere|ones))?"
    rf"(?:\W+(?:in|of){_BRAIN})?)(?:\W+here)?\W*",
    re.IGNORECASE,
)
MOST_ASYMMETRIC = 3  # pairs that are told
# yes or no to what?
DENIED = re.compile(r"\b(?:not|no|never|nicht|kein\w*|pas)\b|n[o']t\b|不|没", re.IGNORECASE)
# "is either hippocampus under 3 mL?"
ANY = re.compile(r"\b(?:either|any|one of|eine[rs]? (?:der|von)|l['’]une? des|algun[oa])\b", re.IGNORECASE)
_SHARE = re.compile(
    r"\b(?:how much|(?:what|which) (?:part|share|fraction|percentage|proportion|per ?cent)) of\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Term:
    """One side of a comparison. name: as the question has it; phrases: what it stands for on this scan."""

    name: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Totals(Plan):
    """terms: two, each measured as one. word: whether the first is "smaller" or "larger" was asked, "" where not;
    polar: for yes or no; longest: by the longest diameter instead of the volume."""

    terms: tuple[Term, ...] = ()
    word: str = ""
    polar: bool = False
    longest: bool = False

    def next(self, notes: Sequence[Note]) -> str:
        if len(notes) < len(self.targets):
            return self.targets[len(notes)]
        sums = [joined for term in self.terms if " + " in (joined := self._joined(term, notes))]
        done = len(notes) - len(self.targets)
        return sums[done] if done < len(sums) else ""

    def words(self, notes: Sequence[Note], said: str) -> str:
        measured = notes[: len(self.targets)]
        missing = claims.statement([note for note in measured if note.measurement is None])
        first, second = (self._whole(term, notes) for term in self.terms)
        if first is None or second is None:
            return claims.statement(measured)
        told = [self._told(term, note) for term, note in zip(self.terms, (first, second), strict=True)]
        true = self._relation(first, second)
        if self.polar and self.word:
            told.insert(0, "Yes." if true == self.word else "No.")
        if self.word:
            told.append(self._verdict(true))
        return " ".join([*told, missing]).rstrip()

    def _joined(self, term: Term, notes: Sequence[Note]) -> str:
        """The found masks of a term: "m1 + m2", or "m1"."""
        here = [note.id for note in notes[: len(self.targets)] if note.phrase in term.phrases and note.id]
        return " + ".join(dict.fromkeys(here))

    def _whole(self, term: Term, notes: Sequence[Note]) -> Note | None:
        joined = self._joined(term, notes)
        return next((note for note in notes if joined and joined in (note.id, note.phrase)), None)

    def _told(self, term: Term, note: Note) -> str:
        assert note.measurement is not None
        if self.longest:
            return _length(note.phrase, note.id, note.measurement)
        volume = format_ml(note.measurement.volume_ml)
        if " + " in note.phrase:
            return f"The volume of the {term.name} in total is {volume} mL ({note.id})."
        return f"The {note.phrase} ({note.id}) is {volume} mL."

    def _verdict(self, true: str) -> str:
        if true == "equal":
            return f"They are equal in {'diameter' if self.longest else 'volume'}."
        of = self.terms[0 if true == self.word else 1].name
        return f"The {self.word} {'diameter' if self.longest else 'volume'} is that of the {of}."

    def _relation(self, first: Note, second: Note) -> str:
        """By the numbers as shown, so that equal numbers are equal."""
        assert first.measurement is not None
        assert second.measurement is not None
        sizes = [note.longest_diameter_mm if self.longest else note.volume_ml
                 for note in (first.measurement, second.measurement)]  # fmt: skip
        one, other = (format_mm(size) if self.longest else format_ml(size) for size in sizes)
        return "equal" if one == other else "smaller" if sizes[0] < sizes[1] else "larger"


@dataclass(frozen=True)
class Sides(Plan):
    """All that the scan shows of both sides, each against its other side."""

    def words(self, notes: Sequence[Note], said: str) -> str:
        found = {note.phrase: note.measurement.volume_ml for note in notes if note.measurement is not None}
        ids = {note.phrase: note.id for note in notes}
        pairs = [(one, other_side(one)) for one in found if side_of(one) == "left" and other_side(one) in found]
        if not pairs:
            return claims.statement(notes)
        pairs.sort(key=lambda pair: -_asymmetry(found[pair[0]], found[pair[1]]))
        told = [
            " and ".join(f"the {one} ({ids[one]}, {format_ml(found[one])} mL)" for one in (left, right))
            for left, right in pairs[:MOST_ASYMMETRIC]
        ]
        return (
            "I measured every structure of two sides against its other side. For their size those that differ most are "
            f"{'; '.join(told)}. Whether that is normal is for a physician to judge."
        )


@dataclass(frozen=True)
class Limit(Plan):
    """size: the bound that the question asks whether each of the targets keeps, or (one) any of them."""

    size: Size | None = None
    one: bool = False

    def words(self, notes: Sequence[Note], said: str) -> str:
        found = [note.measurement for note in notes if note.measurement is not None]
        told = claims.statement(notes)
        if len(found) < len(notes) or self.size is None:
            return told
        by_length = self.size.unit == "mm"
        kept = [self.size.holds(m.longest_diameter_mm if by_length else m.volume_ml) for m in found]
        if by_length:
            told = " ".join(_length(n.phrase, n.id, n.measurement) for n in notes if n.measurement is not None)
        if len(found) > 2 and not self.one:  # each of them, or all together? What was measured says either
            return told
        return f"{'Yes' if (any if self.one else all)(kept) else 'No'}. {told}"


def _asymmetry(one: float, other: float) -> float:
    """By how much two volumes differ, as a share of their mean."""
    return 2 * abs(one - other) / (one + other)


def _length(phrase: str, mask_id: str, m: Measurement) -> str:
    return f"The {phrase} ({mask_id}) is {format_mm(m.longest_diameter_mm)} mm at its longest."


def read(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """What a question compares; None where it compares nothing, or one name with another in English."""
    about = {phrase for meant in glossary.mentioned(question) for phrase in meant}
    if _ALL_SIDES.fullmatch(question) and about <= {"brain"}:
        there = shown(())
        pairs = tuple(phrase for phrase in there if side_of(phrase) and other_side(phrase) in there)
        return Sides(pairs) if pairs else None
    named = named_in(question, glossary)
    polar = POLAR.match(question) is not None and DENIED.search(question) is None
    bounds = [size for size in sizes_in(question) if size.spans[0][0] == 0 or size.spans[0][1] == float("inf")]
    if polar and len(named) == len(bounds) == 1:
        return Limit(_phrases(named[0], shown), size=bounds[0], one=ANY.search(question) is not None)
    if len(named) != 2:
        return None
    compared = comparison_in(question, named)
    if compared is None and not _SHARE.search(question):
        return None
    first, second = (_term(one, question, shown) for one in (compared.terms if compared else named))
    single = len(first.phrases) == len(second.phrases) == 1
    if set(first.phrases) & set(second.phrases):
        return None
    if single and compared and claims.compares(question) and not compared.longest:
        return None
    both = (*first.phrases, *second.phrases)
    if compared is None:
        return Totals(both, terms=(first, second))
    longest = single and compared.longest
    return Totals(both, terms=(first, second), word=compared.word, polar=polar, longest=longest)


def _term(one: Named, question: str, shown: Shown) -> Term:
    phrases = _phrases(one, shown)
    return Term(phrases[0] if len(phrases) == 1 else question[one.start : one.end], phrases)


def _phrases(one: Named, shown: Shown) -> tuple[str, ...]:
    meant = (*one.phrases, *one.otherwise)
    return tuple(on_scan(meant, shown(()))) if len(meant) > 1 else meant
