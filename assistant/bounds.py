"""Bounds that a question asks whether a mask keeps: "is it wider than 7 mm?", "is m1 under 5 mL?". Read by rules, as
`assistant.quantity` reads quantities; the answer is yes or no with what was measured.
"""

from __future__ import annotations

import math
import re

from assistant.comparison import ANY, DENIED, POLAR
from assistant.quantity import ACROSS, PRONOUN, SAYS_NOTHING, Asked, unnamed
from assistant.reference import Known, blanked, check_ids, references
from assistant.sizes import sizes_in

# What is measured against the bound -> how it is said; without such a word, what its unit measures
_KINDS = {
    "width": r"wider|wide|width|broader|broad|narrower|narrow|breiter|breit|breite|large|largeur|anch[oa]",
    "height": r"taller|tall|higher|high|height|höher|hoch|höhe|haute?|hauteur|alt[oa]",
    "depth": r"deeper|deep|depth|tiefer|tief|tiefe",
    "length": r"longer|long|shorter|short|length|diameters?|longest|maximum|länger|lang|länge|durchmesser",
    "volume": r"volume|volumen",
}
_THAN = (
    r"less|more|larger|bigger|greater|smaller|than|under|below|above|over|at|least|most|up|to|exceeds?|"
    r"als|mehr|weniger|größer|kleiner|mindestens|höchstens|über|unter|plus|moins|menos|que"
)
_WORDS = re.compile(rf"\b(?:{'|'.join([*_KINDS.values(), _THAN])})\b|[<>≤≥]", re.IGNORECASE)


def read(question: str, known: Known) -> Asked | None:
    """A bound asked of masks that are there, or, across, of structures as well; None where a question asks for none, or
    says more than is understood here. Other bounds of structures are `assistant.comparison`'s."""
    bounds = [size for size in sizes_in(question) if 0 in size.spans[0] or math.inf in size.spans[0]]
    if len(bounds) != 1 or not POLAR.match(question) or DENIED.search(question) or ANY.search(question):
        return None
    (bound,) = bounds
    check_ids(question, known)
    rest = f"{question[: bound.start]} {question[bound.end :]}"
    named = references(rest, known)
    members = tuple(dict.fromkeys(name for one in named for name in one.names)) or unnamed("size", known)
    text = blanked(rest, named)
    if named and known.glossary is not None:  # "left" of "the left putamen" belongs to the name
        text = known.glossary.without_sides(text)
    usual = "length" if bound.unit == "mm" else "volume"
    kind = next((k for k, words in _KINDS.items() if re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)), usual)
    if not members or len(named) > 1 or (kind == "volume") != (usual == "volume"):
        return None
    left = SAYS_NOTHING.sub(" ", PRONOUN.sub(" ", _WORDS.sub(" ", text)).replace("\0", " "))
    if re.search(r"\w", left):
        return None
    if kind not in ACROSS and not set(members) <= {*known.masks, *known.absent}:
        return None
    in_cm = re.search(r"(?:cm|centi\w+|zenti\w+)(?!\s*[3³^])\W*$", bound.text, re.IGNORECASE)
    return Asked(kind, members, unit="cm" if in_cm and usual == "length" else "", bound=bound)
