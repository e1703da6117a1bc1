"""What was found: masks under stable ids, their measurements, and what a grounded phrase means.

A phrase is a structure's name, the id of an earlier mask ("m1": that mask again), or an expression over ids
("m1 + m2": computed exactly, not predicted). The same name again, with nothing newly pointed at, is the same mask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from assistant.evidence import Measurement, Note, measure
from assistant.prompt_encoder import Prompt

if TYPE_CHECKING:
    from assistant.study import Study

_ID = re.compile(r"m\d+")
_ALGEBRA = re.compile(r"m\d+(?:\s*[+&-]\s*m\d+)+")


@dataclass(frozen=True, eq=False)
class Finding:
    """One target of a reply. Absent: id "", present False, no numbers, no mask. taught: False where the model
    was never taught such a thing, so that its absence (presence 0) says nothing.

    mask: bool (X, Y, Z) on the volume's RAS grid; centroid_mm: RAS+ mm; turn: number of the question, from 0.
    made: of what other masks it was computed, and how ("m1 grown by 5 mm"), or how it was changed; "" where it was
    drawn.
    version: 1, and one more each time it was changed under its id.
    """

    id: str
    phrase: str
    present: bool
    presence: float
    quality: float | None
    volume_ml: float | None
    longest_diameter_mm: float | None
    mean_intensity: float | None
    intensity_unit: str
    mask: np.ndarray | None
    centroid_mm: tuple[float, float, float] | None
    turn: int
    taught: bool = True
    made: str = ""
    version: int = 1


@dataclass(frozen=True, eq=False)
class Drawn:
    """How a mask was drawn: the state (1, lm_dim) at its ``<SEG>``, what was pointed at then and since, and the boxes
    (2, 3) of RAS+ mm that it was kept within since."""

    state: Tensor
    prompt: Prompt | None
    boxes: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, eq=False)
class FindingsState:
    """What `Findings` held at a time; the masks are shared."""

    found: tuple[Finding, ...]
    notes: Mapping[str, Note]
    drawn: Mapping[str, Drawn]


class Findings:
    """All targets that a conversation looked for, in order; ids count m1, m2, ... over new masks. A mask that is
    changed is there once more, under its id, with the next version."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.found: list[Finding] = []
        self._notes: dict[str, Note] = {}  # by mask id, of its last version
        self._drawn: dict[str, Drawn] = {}  # by mask id, those that were drawn and not computed

    @property
    def state(self) -> FindingsState:
        return FindingsState(tuple(self.found), dict(self._notes), dict(self._drawn))

    def restore(self, state: FindingsState) -> None:
        """Be as it was at another time. In place: others hold the list."""
        self.found[:] = state.found
        self._notes, self._drawn = dict(state.notes), dict(state.drawn)

    @property
    def masks(self) -> dict[str, Finding]:
        """The findings that have a mask, by id, m1 first, each in its last version."""
        return {finding.id: finding for finding in self.found if finding.present}

    def ground(
        self, phrase: str, state: Tensor, prompt: Prompt | None, earlier: Sequence[Note], turn: int
    ) -> tuple[Finding, Note, bool]:
        """Find what a phrase means -> (finding, its note, whether a mask was decoded).

        state (1, lm_dim): at the phrase's ``<SEG>``. earlier: this reply's notes, the last mask of which the new one
        is compared with.
        """
        by_id = self.masks
        if _ID.fullmatch(phrase):
            known = by_id.get(phrase)
            return (*self._absent(phrase, 0.0, None, turn), False) if known is None else self._recalled(known, earlier)
        if _ALGEBRA.fullmatch(phrase):
            return (*self._computed(phrase, by_id, earlier, turn), False)
        if prompt is None or prompt.is_empty:
            for finding in by_id.values():
                if finding.phrase == phrase:
                    return self._recalled(finding, earlier)
        decoded = self.study.decode(state.float(), None if prompt is None else [prompt], [phrase])[0]
        if not decoded.present:
            return (*self._absent(phrase, decoded.presence, decoded.quality, turn, decoded.taught), True)
        m = measure(self.study.volume, decoded.mask)
        note = Note(self._next_id(), phrase, decoded.presence, decoded.quality, m)
        self._drawn[note.id] = Drawn(state.float(), prompt)
        return (*self._present(note, decoded.mask, decoded.presence, decoded.quality, m, earlier, turn), True)

    def told_again(self, name: str) -> tuple[Finding, Note]:
        """A mask by its id, in its last version, or by its phrase what was looked for and not found; with its note."""
        if name in self._notes:
            return self.masks[name], self._notes[name]
        finding = next(one for one in reversed(self.found) if one.phrase == name and not one.present)
        return finding, Note("", name, finding.presence, taught=finding.taught)

    def _next_id(self) -> str:
        return f"m{1 + len(self.masks)}"

    def _recalled(self, finding: Finding, earlier: Sequence[Note]) -> tuple[Finding, Note, bool]:
        first = self._notes[finding.id]
        return finding, _compared(first, earlier), False

    def _computed(
        self, expression: str, by_id: dict[str, Finding], earlier: Sequence[Note], turn: int
    ) -> tuple[Finding, Note]:
        """Mask algebra, left to right: + union, - minus, & intersection."""
        parts = [by_id[name] for name in _ID.findall(expression) if name in by_id]
        masks = [part.mask for part in parts if part.mask is not None]
        if len(masks) < len(_ID.findall(expression)):
            return self._absent(expression, 0.0, None, turn)
        mask = masks[0].copy()
        for operator, other in zip(re.findall(r"[+&-]", expression), masks[1:], strict=True):
            if operator == "+":
                mask |= other
            elif operator == "-":
                mask &= ~other
            else:
                mask &= other
        if not mask.any():
            return self._absent(expression, 0.0, None, turn)
        return self.computed(expression, expression, mask, parts, earlier, turn)

    def computed(
        self, phrase: str, made: str, mask: np.ndarray, parts: Sequence[Finding], earlier: Sequence[Note], turn: int
    ) -> tuple[Finding, Note]:
        """A mask (X, Y, Z) that is not empty and was made of others -> (finding with a new id, its note)."""
        m = measure(self.study.volume, mask)
        # The note has no presence and quality: those are predictions, and this mask was computed. The finding has the
        # least of its parts', since a chain of masks is as good as its worst.
        note = Note(self._next_id(), phrase, None, None, m)
        quality = min((part.quality for part in parts if part.quality is not None), default=None)
        return self._present(note, mask, min(part.presence for part in parts), quality, m, earlier, turn, made)

    def drawn(self, mask_id: str) -> Drawn | None:
        """How a mask was drawn; None where it was computed of others."""
        return self._drawn.get(mask_id)

    def changed(
        self, finding: Finding, mask: np.ndarray, quality: float | None, how: str, drawn: Drawn | None, turn: int
    ) -> tuple[Finding, Note]:
        """Another mask (X, Y, Z), not empty, under the id and the name of a finding -> (its next version, the note).

        how: what changed it; drawn: of the new version."""
        m = measure(self.study.volume, mask)
        known = drawn is not None
        note = Note(finding.id, finding.phrase, finding.presence if known else None, quality if known else None, m)
        made = "; ".join(part for part in (finding.made, how) if part)
        if drawn is not None:
            self._drawn[finding.id] = drawn
        return self._present(note, mask, finding.presence, quality, m, [], turn, made, finding.version + 1)

    def _absent(
        self, phrase: str, presence: float, quality: float | None, turn: int, taught: bool = True
    ) -> tuple[Finding, Note]:
        finding = Finding("", phrase, False, presence, quality, None, None, None, "", None, None, turn, taught)
        self.found.append(finding)
        return finding, Note("", phrase, presence, taught=taught)

    def _present(
        self,
        note: Note,
        mask: np.ndarray,
        presence: float,
        quality: float | None,
        m: Measurement,
        earlier: Sequence[Note],
        turn: int,
        made: str = "",
        version: int = 1,
    ) -> tuple[Finding, Note]:
        finding = Finding(
            id=note.id,
            phrase=note.phrase,
            present=True,
            presence=presence,
            quality=quality,
            volume_ml=m.volume_ml,
            longest_diameter_mm=m.longest_diameter_mm,
            mean_intensity=m.mean_intensity,
            intensity_unit=m.intensity_unit,
            mask=mask,
            centroid_mm=m.centroid_mm,
            turn=turn,
            made=made,
            version=version,
        )
        self.found.append(finding)
        self._notes[note.id] = note
        return finding, _compared(note, earlier)


def _compared(note: Note, earlier: Sequence[Note]) -> Note:
    """The note with the comparison to the last other mask of this reply, if there is one."""
    for other in reversed(earlier):
        if other.measurement is not None and other.id != note.id:
            return Note(
                note.id, note.phrase, note.presence, note.quality, note.measurement, (other.id, other.measurement)
            )
    return note
