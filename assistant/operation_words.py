"""Which operation on masks a question asks for: "grow it by 5 mm", "m2 minus m1", "only the part above the hyoid".

Read by rules over what words refer to (`assistant.reference`); what they do not understand is the language model's.
`assistant.operations` does what is read.
"""

from __future__ import annotations

import re

from assistant.errors import QuestionError
from assistant.operations import SMOOTH_MM, Operation
from assistant.reference import Known, operands

MOST_MM = 200.0  # beyond this a margin is a slip of the pen

_ASKS = re.compile(
    r"\W*(?:what|which|where|when|why|who|how|is|are|was|were|does|do|did|has|have|should|"
    r"(?:can|could|would)(?! you))\b",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"\W*(?:please|now|then|and|so|ok|okay|next|(?:can|could|would) you|i(?:'d| would)? (?:want|like)(?: you)? to|"
    r"let'?s|show(?: me)?|give me|make|create|compute|calculate|draw|segment|outline|mark|highlight|find|get|just)\b",
    re.IGNORECASE,
)
_LENGTH = r"(?P<n>\d+(?:[.,]\d+)?)\s*-?\s*(?P<unit>mm|cm|millimet(?:re|er)s?|centimet(?:re|er)s?)\b"
_AMOUNT = re.compile(rf"(?:\bby\s+)?{_LENGTH}", re.IGNORECASE)
_SHAPES = (
    ("grow", re.compile(r"(?:grow|dilate|expand|enlarge|inflate)\b", re.IGNORECASE)),
    ("shrink", re.compile(r"(?:shrink|erode|contract|deflate)\b", re.IGNORECASE)),
    ("smooth", re.compile(r"smooth(?:en)?\b", re.IGNORECASE)),
    ("fill", re.compile(r"(?:fill\b|close\b.*\bholes?\b)", re.IGNORECASE)),
)
_MARGIN = re.compile(rf"(?:add\b.*\b(?:margin|rim)\b|.*{_LENGTH}\s+(?:margin|rim)\b)", re.IGNORECASE)
_LARGEST = re.compile(
    r"\b(?:largest|biggest|main)(?: connected)? (?:components?|parts?|pieces?|islands?|blobs?|chunks?)\b", re.IGNORECASE
)
_SPECKS = re.compile(
    r"(?:remove|drop|delete|clean(?: up| away)?)\s+(?:(?:all|the|any|small|tiny|little|loose|stray)\s+)*"
    r"(?:islands?|specks?|bits|pieces|parts|components|fragments)\b"
    r"(?!.*\b(?:above|below|behind|within|(?:left|right|front) of)\b)",
    re.IGNORECASE,
)
_JOIN = re.compile(r"(?:join|unite|merge|combine|fuse|add)\b|(?:the )?union (?:of|between)\b", re.IGNORECASE)
_TAKE = re.compile(
    r"(?:subtract|remove|cut(?: out)?|take(?: away| out)?|erase|exclude|drop)\b(?P<off>.+?)"
    r"\b(?:from|out of|off)\b(?P<x>.+)",
    re.IGNORECASE,
)
_LESS = re.compile(
    r"(?P<x>.+?)(?:\s(?:minus|without|except(?: for)?|excluding|less|apart from|other than)\s"
    r"|\s+[-\u2212]\s+)(?P<off>.+)",
    re.IGNORECASE,
)
_ALL_BUT = re.compile(r"(?P<x>everything|all)\s+but\s+(?P<off>.+)", re.IGNORECASE)
_MEET = re.compile(r"intersect\b|.*\bintersection\b|.*\boverlap (?:of|between)\b", re.IGNORECASE)
_MEET_INFIX = re.compile(r".+\s&\s|.+\bintersect(?:ed|ion)? (?:with|and)\b", re.IGNORECASE)
# not "plus grand", which is French for larger
_PLUS = re.compile(
    r".+(?:\s\+\s|\s+plus\s(?!\s*(?:grand|gros|petit|long|court|volumineu|clair|sombre|haut|bas|large)))", re.IGNORECASE
)
#: words for a side of something, by its direction in `operations.DIRECTIONS`
SIDES = (
    ("above", r"above|over|superior to"),
    ("below", r"below|under(?:neath)?|beneath|inferior to"),
    ("to the left of", r"(?:(?:to|on) the )?left of"),
    ("to the right of", r"(?:(?:to|on) the )?right of"),
    ("in front of", r"in front of|anterior to|ahead of"),
    ("behind", r"behind|posterior to|in back of"),
)
_SIDE = re.compile(
    "|".join(rf"(?P<side{n}>\b(?:{words})\b)" for n, (_, words) in enumerate(SIDES)), re.IGNORECASE
)
_NEAR = re.compile(rf"\bwithin\s+{_LENGTH}\s+(?:of|from|around)\b", re.IGNORECASE)
_INSIDE = re.compile(r"\b(?:inside(?: of)?|within)\b", re.IGNORECASE)
_PART = re.compile(
    r"\b(?:parts?|portion|only|keep|cut|crop|voxels|what(?:ever)? (?:is|lies)|rest|remove)\b", re.IGNORECASE
)
_ONLY = re.compile(r"(?:only|keep|cut|crop)\b", re.IGNORECASE)
_OFF = re.compile(r"(?:remove|delete|erase|drop|cut (?:away|off|out)|take (?:away|off|out))\b", re.IGNORECASE)
_EVERYTHING = re.compile(r"(?:everything|all(?: of)?(?: the| my)?(?: masks| structures)?|every mask)\W*", re.IGNORECASE)
_NEAREST = re.compile(
    r"\b(?:half|parts?|portion|end|side) of (?P<x>.+?)\W+(?:(?:that|which) (?:is|lies) )?"
    r"(?:nearest|closest|nearer|closer|next)(?: to)? (?P<y>.+)",
    re.IGNORECASE,
)
_HALVES = (("in front of", r"front|anterior"), ("behind", r"back|rear|posterior"), ("above", r"upper|top|superior"),
           ("below", r"lower|bottom|inferior"), ("to the left of", "left"), ("to the right of", "right"))  # fmt: skip
_HALF = re.compile(
    rf"\b(?:{'|'.join(rf'(?P<half{n}>{words})' for n, (_, words) in enumerate(_HALVES))}) half of (?P<x>.+)",
    re.IGNORECASE,
)


def read(question: str, known: Known) -> list[Operation]:
    """The operations that a question asks for; [] where it asks for none. More than one where the same is to be done
    with each of several masks. QuestionError for a mask that is not there, and where a length is missing."""
    if _ASKS.match(question):
        return []
    text = question.strip().rstrip(".!?").strip()
    while (polite := _POLITE.match(text)) is not None:
        text = text[polite.end() :].lstrip(" ,")
    text = text.strip()
    for reader in (_shapes, _sets, _halves, _parts):
        operations = reader(text, known)
        if operations:
            return operations
    return []


def _shapes(text: str, known: Known) -> list[Operation]:
    """What is done to one mask, or to each of several."""
    kind = next((kind for kind, pattern in _SHAPES if pattern.match(text)), "")
    if not kind and _MARGIN.match(text):
        kind = "grow"
    if not kind and (_LARGEST.search(text) or _SPECKS.match(text)):
        kind = "largest"
    if not kind:
        return []
    length = _AMOUNT.search(text)
    mm = 0.0
    if kind in ("grow", "shrink", "smooth"):
        mm = _millimetres(length) if length else SMOOTH_MM
        if length is None and kind != "smooth":
            raise QuestionError(f'by how many millimetres? Say, for example, "{kind} it by 5 mm"')
    rest = text if length is None else text[: length.start()] + " " + text[length.end() :]
    members = [name for group in operands(rest, known) for name in group] or [known.meant]
    if members == [""]:
        raise QuestionError(f"there is no mask yet to {kind}: ask for a structure first, or name one")
    return [Operation(kind, ((name,),), mm) for name in dict.fromkeys(members)]


def _sets(text: str, known: Known) -> list[Operation]:
    """Union, minus, intersection."""
    if _SIDE.search(text) is None and _NEAR.search(text) is None:
        taken = _TAKE.match(text) or _LESS.match(text) or _ALL_BUT.match(text)
        if taken is not None:
            if taken.re is _TAKE and operands(taken["x"], known) and not operands(taken["off"], known):
                raise _unknown(taken["off"], known)
            return _less(taken["x"], taken["off"], known)
    kind = ""
    if _MEET.match(text) or _MEET_INFIX.match(text):
        kind = "intersect"
    elif _JOIN.match(text) or _PLUS.match(text):
        kind = "union"
    groups = operands(text, known) if kind else []
    members = tuple(dict.fromkeys(name for group in groups for name in group))
    if len(members) < 2:
        return []
    if kind == "union":
        return [Operation("union", (members,))]
    return [Operation("intersect", tuple(groups) if len(groups) > 1 else tuple((name,) for name in members))]


def _less(head: str, tail: str, known: Known) -> list[Operation]:
    """All of the head without the tail."""
    off = [group for group in operands(tail, known) if group]
    left_out = {name for group in off for name in group}
    if not off:
        return []
    if _EVERYTHING.fullmatch(head):  # of what was found so far; where nothing was, of what the scan shows: composition
        rest = tuple(m for m in known.masks if m not in known.made and m not in left_out)
        found = left_out <= set(known.masks)
        return [Operation("minus", (rest, *off))] if rest and found else []
    if _PLUS.match(tail):
        raise QuestionError("that is two operations: ask for the first, then add to the mask it makes")
    groups = operands(head, known)
    members = {name for group in groups for name in group}
    if _PLUS.match(head):
        groups = [tuple(dict.fromkeys(name for group in groups for name in group))]
    # "both parotids without the left one" chooses among structures, and is read by assistant.composition
    if len(groups) != 1 or members & left_out:
        return []
    return [Operation("minus", (groups[0], *off))]


def _halves(text: str, known: Known) -> list[Operation]:
    """The half of a mask that is nearest to another, or on one side of itself."""
    nearest, half = _NEAREST.search(text), _HALF.search(text)
    found = nearest or half
    if found is None:
        return []
    whose = operands(found["x"], known)
    if len(whose) != 1 or not whose[0]:
        return []
    if nearest is None:
        direction = next(name for n, (name, _) in enumerate(_HALVES) if found[f"half{n}"])
        return [Operation("half", (whose[0],), direction=direction)]
    second = tuple(dict.fromkeys(name for group in operands(nearest["y"], known) for name in group))
    return [Operation("nearest", (whose[0], second))] if second else []


def _parts(text: str, known: Known) -> list[Operation]:
    """The part of a mask that lies somewhere."""
    near, side = _NEAR.search(text), _SIDE.search(text)
    where = near or side or _INSIDE.search(text)
    if where is None or not _PART.search(text[: where.start()]):
        return []
    whose = operands(text[: where.start()], known)
    than = operands(text[where.end() :], known)
    if not than and (whose or _ONLY.match(text)):
        raise _unknown(text[where.end() :], known)
    first = whose[0] if whose else ((known.meant,) if known.meant else ())
    if not than or not first or len(whose) > 1:
        return []
    second = tuple(dict.fromkeys(name for group in than for name in group))
    if near is not None:
        return [Operation("near", (first, second), _millimetres(near))]
    if side is None:
        return [Operation("intersect", (first, second))]
    direction = next(name for n, (name, _) in enumerate(SIDES) if side[f"side{n}"])
    return [Operation("cut" if _OFF.match(text) else "part", (first, second), direction=direction)]


def _unknown(words: str, known: Known) -> QuestionError:
    there = ", ".join(known.masks) or "none yet"
    return QuestionError(
        f'"{words.strip()}" is no structure that I know and no mask; the masks of this session are: {there}'
    )


def _millimetres(length: re.Match[str]) -> float:
    mm = float(length["n"].replace(",", ".")) * (10 if length["unit"].lower().startswith("c") else 1)
    if not 0 < mm <= MOST_MM:
        raise QuestionError(f"{mm:g} mm is no length to work with: give one between 0 and {MOST_MM:g} mm")
    return mm
