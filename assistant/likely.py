"""What a reply is likely to say: what an earlier one said of its masks, in terms of those that were measured now.

Nothing of it is shown. It is run ahead of the language model (`TokenCache.advance`), and forgotten where the model says
something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant import conversation

_NOTE = re.compile(r"(?:(?P<id>m\d+) )?(?P<name>[^:]*):(?P<rest>.*)", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def as_before(contents: Sequence[str], notes: Sequence[str]) -> str:
    """contents: of the assistant's messages; notes: of the reply in the making, so far -> the words that followed as
    many notes the last time, with the id, name and numbers of these in the place of those; "" where none did."""
    for content in reversed(contents):
        grounding, words = conversation.split_reply(content)
        before = conversation.notes(grounding)
        if words.strip() and len(before) == len(notes):
            return _in_terms(words, before, notes)
    return ""


def _in_terms(words: str, before: Sequence[str], now: Sequence[str]) -> str:
    """Words about some notes, said of as many others."""
    terms: dict[str, str] = {}
    for one, other in zip(before, now, strict=True):
        for then, instead in zip(_terms(one), _terms(other), strict=False):
            terms.setdefault(then, instead)
    known = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    return re.sub(rf"(?<![\w.])(?:{known})(?!\w|\.\d)", lambda term: terms[term[0]], words)


def _terms(note: str) -> list[str]:
    """Id (where there is one), name and numbers of a note."""
    read = _NOTE.fullmatch(note)
    return [] if read is None else [*filter(None, (read["id"], read["name"])), *_NUMBER.findall(read["rest"])]
