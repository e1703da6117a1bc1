"""What counts as an answer about a target, once for all studies of an evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from assistant.generate import Finding
from assistant.session import Reply
from data_recipes import ontology

_POLAR = re.compile(r"^\W*(yes|no)\b", re.IGNORECASE)


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


def words_of(text: str) -> str:
    """A visible text without its first line, which says what was looked for."""
    return text.partition("\n")[2] or text


def yes_or_no(text: str) -> str:
    """ "yes" or "no" where a visible text begins with it, else ""."""
    polar = _POLAR.match(words_of(text))
    return polar[1].lower() if polar else ""


def named_in(text: str, names: Sequence[str]) -> list[str]:
    """Which names stand in a text, in order of appearance; a longer one hides those inside it."""
    found: dict[str, int] = {}
    for name in sorted(names, key=len, reverse=True):
        match = re.search(rf"\b{re.escape(name)}\b", text)
        if match:
            found[name] = match.start()
            text = text[: match.start()] + " " * len(name) + text[match.end() :]
    return sorted(found, key=found.__getitem__)


def with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
