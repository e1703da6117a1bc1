"""What counts as an answer about a target, once for all studies of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from assistant.generate import Finding
from assistant.session import Reply
from data_recipes import ontology


class Asked(Protocol):
    """What is evaluated: `assistant.session.Session`, or anything that answers like one."""

    def ask(self, text: str, points: Sequence[Sequence[float]] | None = None) -> Reply: ...

    def undo(self) -> object: ...


def same_structure(said: str, asked: str) -> bool:
    """Whether two phrases name one structure."""
    if said == asked:
        return True
    one, other = ontology.lookup(said), ontology.lookup(asked)
    return one is not None and one == other


def mask_for(reply: Reply, phrase: str) -> Finding | None:
    """The first mask of a reply under the target's own name; a mask under another name is none of its."""
    return next((f for f in reply.findings if f.present and same_structure(f.phrase, phrase)), None)


def voxels(finding: Finding | None, shape: tuple[int, ...]) -> np.ndarray:
    """A finding's mask, bool; an empty one where there is none."""
    if finding is None or finding.mask is None:
        return np.zeros(shape, bool)
    return np.asarray(finding.mask, dtype=bool)
