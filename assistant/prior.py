"""Compare with an earlier scan of the same patient: has it grown?

    prior = session.open_prior("before.nii.gz")    # registered to the session's scan, or refused in one sentence
    comparison = prior.compare("left hippocampus")
    print(comparison.text)

The structure is asked of both scans, each in its own space, and measured there: a volume is never taken of a resampled
mask. The registration says that both show the same place, carries the earlier mask over for display, and gives the
overlap of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import QuestionError, ScanError
from assistant.evidence import format_ml, format_probability, shown_difference
from assistant.margin import differ, doubtful
from assistant.registration import Alignment, align, carry
from assistant.volume import Volume, open_volume

if TYPE_CHECKING:
    from assistant.findings import Finding
    from assistant.session import Session


@dataclass(frozen=True, eq=False)
class Change:
    """One structure then and now. now, before: its findings in the two sessions, each mask on its own file's grid.

    change_ml, change_percent: now less before, per cent of before; None where one of them was not found. overlap: Dice
    of both masks on the current scan, None likewise. carried: the earlier mask on the current file's own grid, for
    display.
    """

    phrase: str
    now: Finding
    before: Finding
    change_ml: float | None = None
    change_percent: float | None = None
    overlap: float | None = None
    carried: np.ndarray | None = None

    @property
    def text(self) -> str:
        """One sentence or two."""
        now, before = self.now, self.before
        if not now.taught:
            return f"I was never taught to find the {self.phrase}, so I cannot compare it."
        if now.volume_ml is None and before.volume_ml is None:
            return f"The {self.phrase} was found in neither scan."
        if now.volume_ml is None or before.volume_ml is None:
            when, other = ("before", "now") if now.volume_ml is None else ("now", "before")
            finding, absent = (before, now) if now.volume_ml is None else (now, before)
            size, presence = format_ml(finding.volume_ml or 0), format_probability(absent.presence)
            return f"The {self.phrase} was found {when} ({size} mL), and not {other} (presence {presence})."
        measured = f"{format_ml(now.volume_ml)} mL now, {format_ml(before.volume_ml)} mL before"
        size = shown_difference(now.volume_ml, before.volume_ml)
        weaker = min((q for q in (now.quality, before.quality) if q is not None), default=None)
        if not differ(now.volume_ml, before.volume_ml, weaker):
            words = f"a difference of {size} is within what masks like these can tell"
            return f"The {self.phrase} has not measurably changed: {measured}; {words}."
        grown = now.volume_ml > before.volume_ml
        text = f"The {self.phrase} has {'grown' if grown else 'shrunk'} by {size}: {measured}."
        doubts = [
            f"{when} {why}"
            for when, finding in (("now", now), ("before", before))
            if (why := doubtful(finding.presence, finding.quality))
        ]
        return f"{text} Doubtful: {'; '.join(doubts)}." if doubts else text


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was asked, the registration, the days between the scans (None without dates in the headers), each change."""

    question: str
    alignment: Alignment
    days: int | None
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        """The changes, the interval and how well the scans lie on each other."""
        interval = "" if self.days is None else f" Days between the scans: {self.days}."
        return " ".join(change.text for change in self.changes) + interval + " " + registration_text(self.alignment)


class Prior:
    """An earlier scan, open in a session of its own (`before`) and registered to the current one (`now`)."""

    def __init__(self, now: Session, before: Session, alignment: Alignment, days: int | None) -> None:
        self.now = now
        self.before = before
        self.alignment = alignment
        self.days = days

    @staticmethod
    def open(now: Session, prior: str | Path | Volume, *, modality: str | None = None) -> Prior:
        """Open an earlier scan with the session's own model and register it.

        Raises ScanError where the two cannot be compared: of two patients, of different modalities, the "prior" is the
        later or the very same scan, or the registration finds no common place.
        """
        from assistant.session import Session

        volume = prior if isinstance(prior, Volume) else open_volume(prior, modality=modality)
        days = check_pair(now.volume, volume)
        alignment = align(now.volume, volume)
        if alignment.verdict == "poor":
            raise ScanError(
                f"{volume.name} does not fit {now.volume.name} (correlation {alignment.correlation:.2f}, overlap "
                f"{alignment.overlap:.2f}): open an earlier scan of the same patient and part of the body."
            )
        return Prior(now, Session.open(volume, model=now.model), alignment, days)

    def compare(self, question: str) -> Comparison:
        """Find what a question asks for ("the left hippocampus", "has it grown?") in both scans and compare.

        "it" is what was found last in the current scan. Raises QuestionError for an empty question.
        """
        if not question.strip():
            raise QuestionError('the question is empty: name a structure, for example "left hippocampus"')
        phrases = self.now.chat.phrases(question)
        with self.now.looking(question) as find_now, self.before.looking(question) as find_before:
            found = [(phrase, find_now(phrase), find_before(phrase)) for phrase in phrases]
        if len(found) > 1:  # "the hippocampus" may mean three: what neither scan shows was not meant
            found = [one for one in found if one[1].present or one[2].present] or found[:1]
        return Comparison(question, self.alignment, self.days, tuple(self._change(*one) for one in found))

    def _change(self, phrase: str, now: Finding, before: Finding) -> Change:
        carried = None
        if before.mask is not None:
            volume = self.before.volume
            carried = carry(volume.from_native(before.mask), volume, self.now.volume, self.alignment.matrix)
        if now.mask is None or before.mask is None or now.volume_ml is None or before.volume_ml is None:
            return Change(phrase, now, before, carried=None if carried is None else self.now.volume.to_native(carried))
        assert carried is not None
        here = self.now.volume.from_native(now.mask)
        change = now.volume_ml - before.volume_ml
        return Change(
            phrase=phrase,
            now=now,
            before=before,
            change_ml=change,
            change_percent=100 * change / before.volume_ml,
            overlap=2 * float((here & carried).sum()) / float(here.sum() + carried.sum()),
            carried=self.now.volume.to_native(carried),
        )


def check_pair(now: Volume, before: Volume) -> int | None:
    """Days from the earlier scan to the current one, None where a header has no date. ScanError for what cannot be a
    prior of it."""
    if now.patient and before.patient and now.patient != before.patient:
        raise ScanError(
            f"{before.name} is of another patient ({before.patient}) than {now.name} ({now.patient}): open an earlier "
            "scan of the same patient."
        )
    if now.modality != before.modality:
        raise ScanError(
            f"{before.name} is {before.modality} and {now.name} is {now.modality}: volumes of the two cannot be "
            "compared; open an earlier scan of the same kind."
        )
    if now.sha256 == before.sha256:
        raise ScanError(f"{before.name} and {now.name} are the same scan: open an earlier one.")
    if not now.date or not before.date:
        return None
    days = (date.fromisoformat(now.date) - date.fromisoformat(before.date)).days
    if days < 0:
        raise ScanError(f"{before.name} ({before.date}) is later than {now.name} ({now.date}): swap the two.")
    return days


def registration_text(alignment: Alignment) -> str:
    """How well the two scans lie on each other, for people."""
    return (
        f"Registration: {alignment.verdict} (correlation {alignment.correlation:.2f}, overlap {alignment.overlap:.2f}, "
        f"mutual information {alignment.information:.2f}); it cannot show that both are of one patient."
    )


def comparison_facts(comparison: Comparison) -> dict[str, object]:
    """A comparison without its masks, ready for JSON."""
    from assistant.export import finding_facts

    alignment = comparison.alignment
    return {
        "question": comparison.question,
        "text": comparison.text,
        "days": comparison.days,
        "registration": {
            "verdict": alignment.verdict,
            "correlation": alignment.correlation,
            "overlap": alignment.overlap,
            "mutual_information": alignment.information,
            "matrix_ras_mm_now_to_before": alignment.matrix.tolist(),
        },
        "changes": [
            {
                "phrase": change.phrase,
                "text": change.text,
                "now": finding_facts(change.now),
                "before": finding_facts(change.before),
                "change_ml": change.change_ml,
                "change_percent": change.change_percent,
                "overlap": change.overlap,
            }
            for change in comparison.changes
        ],
    }
