"""One target, asked for in many ways: does the mask depend on the words?

Names come from the ontology, which is also what Converse learned from: this measures how far what was taught holds in
use, not how the model takes to words that it never met. The typing errors are made here; lay questions are held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_recipes import ontology
from data_recipes.ontology import LANGUAGES, Structure
from training import metrics
from training.answers import Asked, mask_for, voxels
from training.lay_questions import LAY_QUESTIONS
from training.scans import Scan

PLAIN = "name"
_PER_LANGUAGE = {
    "de": "Wo ist {}? Bitte markieren.", "fr": "Montre-moi : {}.", "es": "Muéstrame: {}.", "zh": "请标出{}。"
}  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """One way of asking and what came of it. kind: "name" (the plain one), "synonym", "latin", "abbreviation",
    "function", "lay" (held out), "typing error", "sentence", or a language."""

    family: str
    case: str
    phrase: str
    kind: str
    question: str
    found: bool
    dice: float


def wordings(structure: Structure, rng: np.random.Generator) -> dict[str, str]:
    """{kind: question} for a structure, of the kinds that it has names for."""

    def one(names: Sequence[str]) -> str:
        return str(rng.choice(np.array(names)))

    asked = {PLAIN: f"Segment the {structure.name}."}
    if structure.synonyms:
        asked["synonym"] = f"Segment the {one(structure.synonyms)}."
    if structure.latin:
        asked["latin"] = f"Segment: {one(structure.latin)}."
    if structure.abbreviations:
        asked["abbreviation"] = f"Segment {one(structure.abbreviations)}."
    if structure.functions:
        side = f", on the {structure.side}" if structure.side else ""
        asked["function"] = f"Segment the structure that {one(structure.functions)}{side}."
    asked["typing error"] = f"Segment the {mistyped(structure.name, rng)}."
    asked["sentence"] = (
        f"I am writing up this patient and would like to know where exactly the {structure.name} is; could you outline "
        "it for me, please?"
    )
    for language in LANGUAGES:
        if structure.translations.get(language):
            asked[language] = _PER_LANGUAGE[language].format(one(structure.translations[language]))
    if structure.base in LAY_QUESTIONS:
        question = one(LAY_QUESTIONS[structure.base])
        asked["lay"] = f"{question[:-1]}, on the {structure.side}{question[-1]}" if structure.side else question
    return asked


def mistyped(name: str, rng: np.random.Generator) -> str:
    """A name with two neighbouring letters swapped, inside its longest word, never the first or the last letter."""
    words = name.split()
    longest = max(range(len(words)), key=lambda i: len(words[i]))
    word = words[longest]
    places = [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]
    if places:
        i = int(rng.choice(places))
        words[longest] = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return " ".join(words)


def ask_in_other_words(session: Asked, scan: Scan, group: str, seed: int, targets: int) -> Iterator[Wording]:
    """Up to ``targets`` structures of a scan, each in all of its wordings, each question taken back."""
    rng = np.random.default_rng([seed, *scan.case.encode()])
    known = [(phrase, s) for phrase in scan.truths if (s := ontology.lookup(phrase)) is not None]
    for index in sorted(rng.permutation(len(known))[:targets]):
        phrase, structure = known[index]
        truth = scan.truths[phrase]
        for kind, question in wordings(structure, rng).items():
            finding = mask_for(session.ask(question), phrase)
            session.undo()
            score = metrics.dice(voxels(finding, truth.shape), truth)
            yield Wording(group, scan.case, phrase, kind, question, finding is not None, score)


def summarise(rows: Sequence[Wording]) -> dict[str, Any]:
    """By kind: how many, how many were understood, mean Dice, and the median difference to the plain name's Dice."""
    plain = {(r.family, r.case, r.phrase): r.dice for r in rows if r.kind == PLAIN}
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(r.kind for r in rows):
        group = [r for r in rows if r.kind == kind]
        kinds[kind] = {
            "n": len(group),
            "found": metrics.Rate(sum(r.found for r in group), len(group)).to_dict(),
            "dice": metrics.mean(r.dice for r in group),
            "dice_interval95": list(metrics.mean_interval(r.dice for r in group)),
            "less_than_plain_median": metrics.median(
                plain[(r.family, r.case, r.phrase)] - r.dice for r in group
            ),
        }
    targets: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        targets.setdefault((row.family, row.case, row.phrase), []).append(row.dice)
    return {
        "kinds": kinds,
        "targets": len(targets),
        "median_over_wordings": metrics.mean(metrics.median(values) for values in targets.values()),
        "plain_name": metrics.mean(plain.values()),
        "spread": metrics.mean(max(values) - min(values) for values in targets.values()),
    }
