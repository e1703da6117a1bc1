"""Question family: reasoning, from what a structure does and by a published rule.

A rule is quoted by the user, with its threshold and its source; the reply says what was measured and whether the rule
holds, and leaves to a physician what that means. So every number of the reply stands in a note or in the question. Only
rules that can be read off one volume, one length or one mean are here; what their conditions are (no contrast agent,
adults) is said with them. Evans' index needs the width of the inner skull, which no mask has, and is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from assistant.evidence import format_mean, format_mm
from data_recipes import ontology
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import questions as q
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Note, Thread
from data_recipes.instructions.facts import Facts


@dataclass(frozen=True)
class Rule:
    """A published rule. modality: of the scans that it is for. targets: what it needs, in the order of the reply.
    quoted: as the user quotes it, with its source; asks: what is asked then; says: the sentence about the notes."""

    modality: str
    targets: tuple[str, ...]
    quoted: str
    asks: str
    says: Callable[[Sequence[Note]], str]

    def applies(self, facts: Facts) -> bool:
        return facts.modality == self.modality and all(phrase in facts.found for phrase in self.targets)


def _hippocampi(notes: Sequence[Note]) -> str:
    right, left = notes
    so = d.relation(right, left) == "larger"
    words_of = d.compared_in_words([right, left])
    return f"{'Yes' if so else 'No'}, {words_of[0].lower()}{words_of[1:]} An average says little about one person."


def _spleen(notes: Sequence[Note]) -> str:
    volume = Decimal(d.ml(notes[0]).split()[0])
    where = "above" if volume > Decimal("314.5") else "below" if volume < Decimal("107.2") else "within"
    return f"The spleen ({notes[0].id}) is {d.ml(notes[0])}, which is {where} that range."


def _liver(notes: Sequence[Note]) -> str:
    met = _mean(notes[0]) <= 40
    return (
        f"The liver ({notes[0].id}) has a mean intensity of {d.mean(notes[0])}, so the criterion is "
        f"{'' if met else 'not '}met, provided that no contrast agent was given."
    )


def _liver_and_spleen(notes: Sequence[Note]) -> str:
    liver, spleen = notes
    denser = _mean(liver) - _mean(spleen)
    where = "below" if denser < 1 else "above" if denser > 18 else "within"
    return (
        f"The liver ({liver.id}) has a mean intensity of {d.mean(liver)} and the spleen ({spleen.id}) of "
        f"{d.mean(spleen)}. The first less the second is {where} that range, provided that no contrast agent was given."
    )


def _kidneys(notes: Sequence[Note]) -> str:
    left, right = notes
    apart = abs(_length(left) - _length(right)) > 15
    return (
        f"The left kidney ({left.id}) has a longest diameter of {d.mm(left)} and the right kidney ({right.id}) of "
        f"{d.mm(right)}. They differ by {'more' if apart else 'no more'} than 15 mm."
    )


def _mean(note: Note) -> Decimal:
    assert note.measurement is not None
    return Decimal(format_mean(note.measurement.mean_intensity))


def _length(note: Note) -> Decimal:
    assert note.measurement is not None
    return Decimal(format_mm(note.measurement.longest_diameter_mm))


RULES: tuple[Rule, ...] = (
    # Pedraza, Bowers, Gilmore: Asymmetry of the hippocampus and amygdala in MRI volumetric measurements of normal
    # adults. J Int Neuropsychol Soc 10 (2004) 664-678: 82 studies, the right one larger by 0.21 standard deviations.
    Rule(
        "MR", ("right hippocampus", "left hippocampus"),
        "In healthy adults the right hippocampus is on average larger than the left one (Pedraza et al. 2004, a "
        "meta-analysis).", "Is that so here?", _hippocampi,
    ),
    # Prassopoulos et al.: Determination of normal splenic volume on computed tomography in relation to age, gender and
    # body habitus. Eur Radiol 7 (1997) 246-248: 140 patients without splenic disease, 107.2 to 314.5 cm3.
    Rule(
        "CT", ("spleen",),
        "The spleens of 140 patients whose CT had nothing to do with the spleen measured 107.2 to 314.5 mL "
        "(Prassopoulos et al. 1997).", "Is this spleen within that range?", _spleen,
    ),
    # Boyce et al.: Hepatic steatosis (fatty liver disease) in asymptomatic adults identified by unenhanced low-dose CT.
    # AJR, 2010: moderate to severe steatosis defined by a mean of at most 40 HU, in 3,357 adults without symptoms.
    Rule(
        "CT", ("liver",),
        "On CT without contrast agent, a liver of 40 HU or less was taken for moderate to severe steatosis (Boyce et "
        "al. 2010).", "Is that criterion met?", _liver,
    ),
    # Park et al.: Biopsy-proven nonsteatotic liver in adults: estimation of reference range for difference in
    # attenuation between the liver and the spleen at nonenhanced CT. Radiology 258 (2011) 760-766: 96 donors.
    Rule(
        "CT", ("liver", "spleen"),
        "On CT without contrast agent, livers free of steatosis were 1 to 18 HU denser than the spleen (Park et al. "
        "2011).", "Is this one within that range?", _liver_and_spleen,
    ),
    # Hirsch et al.: ACC/AHA 2005 practice guidelines for the management of patients with peripheral arterial disease,
    # published in 2006: an unexplained atrophic kidney, or a discrepancy in size of more than 1.5 cm between the two.
    Rule(
        "CT", ("left kidney", "right kidney"),
        "A difference in size of more than 15 mm between the kidneys is one reason to look for a renal artery stenosis "
        "(ACC/AHA guideline, Hirsch et al. 2006).", "Do these kidneys differ by that much in length?",
        _kidneys,
    ),
)  # fmt: skip
LEAVE = "What it means is for a physician to judge."


def by_rule(t: Thread) -> bool:
    """A quoted rule, measured: it holds or it does not."""
    able = [rule for rule in RULES if rule.applies(t.facts)]
    if not able:
        return False
    rule = t.rng.choice(able)
    notes = t.ground(rule.targets)
    t.turn(f"{rule.quoted} {rule.asks}", notes, d.joined(rule.says(notes), LEAVE))
    return True


def by_function(t: Thread) -> bool:
    """The structure that does something, in a scan of any family: named and grounded."""
    rng, looked_for = t.rng, {*t.facts.found, *t.facts.absent}
    known = ontology.by_name()
    able = [s for p in t.facts.found if (s := known.get(p)) and s.functions]
    if not able:
        return False
    structure = rng.choice(able)
    fragment = rng.choice(structure.functions)
    if structure.side and rng.random() < 0.5:
        names = [n for side in ontology.SIDES if (n := f"{side} {structure.base}") in looked_for]
        question = rng.choice(q.FUNCTION)
    else:
        names = [structure.name]
        question = rng.choice(q.FUNCTION_SIDE if structure.side else q.FUNCTION)
    if structure.side and question in q.FUNCTION and len(names) == 1:
        return False  # the other side was not looked for
    notes = t.ground(names)
    t.turn(words.rough(question.format(f=fragment, side=structure.side), rng), notes, d.named(notes))
    return True
