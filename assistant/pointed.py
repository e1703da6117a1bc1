"""What is pointed at, as far as masks tell: "what is this?" where no mask claims the place, "is this the mandible?".

Told by the program: the language model, given the features of a place, names a structure for any place, air too.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from assistant.evidence import format_ml
from assistant.findings import Finding
from assistant.glossary import Glossary
from assistant.quantity import asks_for_quantity
from assistant.question import asks_what_is_pointed_at

_NAME = re.compile(
    r"\b(?:what|which|name|identify|label|recogni[sz]e|was|welche\w*|wie hei(?:ß|ss)t|quel\w*|qué|cuál)\b|\bqu['’]est"
    r"|什么|哪",
    re.IGNORECASE,
)
_IS_IT = re.compile(
    r"\W*(?:(?:and|so|or|but|und|et|y)\W+)*(?:is|isn['’]t|was|ist|est|es)\W+"
    r"(?:this|that|it|das|dies(?:es)?|ce|est[eo])\b\W*(?:(?:part of|inside|in|within|teil)\W+)?"
    r"(?:(?:the|an?|der|die|das|le|la|l|el|eine?|une?|una?)\b\W*)*(?:here\W*)?",
    re.IGNORECASE,
)
BESIDE_MM = 5.0  # from a place within which a mask is right beside it


@dataclass(frozen=True)
class Asked:
    """phrases: of which it is asked whether what is pointed at is one; () where its name is asked for."""

    phrases: tuple[str, ...] = ()


def read(question: str, glossary: Glossary | None) -> Asked | None:
    """What a question that points asks of the name of what is there; None where it asks for anything else."""
    mentioned = [] if glossary is None else glossary.mentioned(question)
    if glossary is not None and len(mentioned) == 1 and _IS_IT.fullmatch(glossary.frame(question)):
        return Asked(tuple(mentioned[0]))
    if not mentioned and asks_what_is_pointed_at(question) and _NAME.search(question):
        return None if asks_for_quantity(question) else Asked()
    return None


def told(asked: Asked, near: tuple[Finding, float] | None, taught: Collection[str]) -> str:
    """The answer. near: what is nearest to the place, and how far (mm, 0 where it holds it); taught: all that the
    segmenter was taught."""
    if near is not None and not near[1]:
        verdict = ("Yes. " if near[0].phrase in asked.phrases else "No. ") if asked.phrases else ""
        return f"{verdict}This is the {_called(near[0])}."
    if asked.phrases and not set(asked.phrases) & set(taught):
        listed = " or ".join(f"the {phrase}" for phrase in asked.phrases)
        first = f"I was never taught to find {listed}, so I cannot say whether this is it."
    else:
        first = f"{'No. ' if asked.phrases else ''}None of the structures that I was taught holds that place."
    if near is None:
        return f"{first} None is near it either."
    one, far = near  # how far in figures no note has, and every number of a reply stands in one
    return f"{first} The nearest is the {_called(one)}{', right beside it' if far <= BESIDE_MM else ''}."


def _called(one: Finding) -> str:
    assert one.volume_ml is not None
    return f"{one.phrase} ({one.id}, {format_ml(one.volume_ml)} mL)"
