"""Questions that only go on from the one before, made whole: "and the right?", "no, the left one", "I meant the
putamen".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from assistant.glossary import Glossary, other_side, side_of
from assistant.reference import PLACES, Known

# What such a question begins with
_LEAD = re.compile(
    r"[\s,;:.!?¿¡-]*(?:and|or|but|so|then|now|no|nope|sorry|wait|actually|rather|instead|i meant?|i want(?:ed)?|"
    r"not that(?: one)?|(?:what |how )?about|(?:the )?same (?:for|of|with)|"
    r"und|oder|nein|ich mein(?:e|te)|was ist mit|et|ou|non|je veux dire|y|quiero decir)(?![\w'])",
    re.IGNORECASE,
)
_SIDES = {"links": "left", "rechts": "right", "左": "left", "右": "right", "左边": "left", "右边": "right",
          "左侧": "left", "右侧": "right"}  # fmt: skip
_EMPTY = re.compile(
    r"\b(?:the|a|an|ones?|side|mask|too|also|as well|please|then|instead|der|die|das|den|dem|le|la|les|el|los|las|l|du|"
    r"de|of|on|for|in)\b|呢",
    re.IGNORECASE,
)
_ARTICLES = "the|an?|der|die|das|den|dem|le|la|les|el|los|las"
_ARTICLE = re.compile(rf"\s*(?:{_ARTICLES})\s+|\s*l['’]", re.IGNORECASE)
_IT = re.compile(r"\bit\b(?!')|\bits\b", re.IGNORECASE)

# "is the left hippocampus smaller?" is of two; a NUL is what is named
_SMALLER = re.compile(
    r"\W*(?:and|so|but)?\W*(?:is|was|looks?)\W+(?:the\W+)?\0\W+(?:the\W+)?(?:\w+ly\W+|much\W+|a bit\W+)?"
    r"(?:smaller|larger|bigger|shrunken|less voluminous|more voluminous)(?:\W+(?:one|side))?\W*",
    re.IGNORECASE,
)


def goes_on(question: str, glossary: Glossary) -> str:
    """What a question that only goes on puts in place of what was asked about: "right" of "and the right?", "left" of
    "no, the left one", "putamen" of "I meant the putamen". "" of a question that is whole."""
    text, leads = question.strip(), 0
    while (lead := _LEAD.match(text)) is not None:
        text, leads = text[lead.end() :], leads + 1
    plain = text.strip(" \t\n,;:.!?¿¡？。，")
    rest = " ".join(_EMPTY.sub(" ", plain).split())
    sides = [side for _, _, side in glossary.side_words(rest)] or [_SIDES.get(rest.lower(), "")]
    if sides[0] and len(rest.split()) == 1:
        return sides[0]
    if not leads:
        return ""
    named = [(one.start, one.end) for one in glossary.mentions(plain)]
    named += [match.span() for place in PLACES for match in place.finditer(plain)]
    parts = named + [(start, end) for start, end, _ in glossary.side_words(plain)]
    left = "".join(" " if any(a <= at < b for a, b in parts) else letter for at, letter in enumerate(plain))
    return _ARTICLE.sub("", plain, count=1) if named and not re.search(r"\w", _EMPTY.sub(" ", left)) else ""


def made_whole(question: str, before: Sequence[str], known: Known, asks: Callable[[str], bool]) -> str:
    """A question that only goes on from an earlier one as a whole one: "and the right?" after "How long is the left
    putamen?" is "How long is the right putamen?". Any other is returned as it is.

    before: the questions so far, the last one last. asks: whether words ask for a quantity and name nothing
    ("volume?"), so that a name may follow them."""
    glossary = known.glossary
    new = "" if glossary is None else goes_on(question, glossary)
    if not new or glossary is None:
        return question if glossary is None else _than_other(question, glossary)
    focus = [known.masks[mask_id] for mask_id in known.focus] or list(known.absent)
    if new in ("left", "right"):
        about = next((phrase for phrase in reversed(focus) if side_of(phrase)), "")
        if not about or known.meant in known.made:
            return question
        new = about if side_of(about) == new else other_side(about)
    elif not glossary.side_words(new):
        sides = {side_of(phrase) for phrase in focus}
        (meant,) = glossary.mentioned(new) if len(glossary.mentioned(new)) == 1 else ((),)
        there = [phrase for phrase in meant if sides == {side_of(phrase)}]
        new = there[0] if len(there) == 1 and len(meant) == 2 else new
    frame = next((text for text in reversed(before) if not goes_on(text, glossary)), "")
    return _about(frame, new if PLACES[0].fullmatch(new) else f"the {new}", glossary, asks)


def _than_other(question: str, glossary: Glossary) -> str:
    """"Is the left hippocampus smaller?" as "... than the right hippocampus?"; any other question as it is."""
    mentions = glossary.mentions(question)
    if len(mentions) != 1 or len(mentions[0].meant) != 1 or not side_of(mentions[0].meant[0]):
        return question
    (one,) = mentions
    if _SMALLER.fullmatch(glossary.frame(question)) is None:
        return question
    return f"{question.rstrip(' ?.!')} than the {other_side(one.meant[0])}?"


def _about(frame: str, name: str, glossary: Glossary, asks: Callable[[str], bool]) -> str:
    """A question, of something else now; "Show .." where it is not clear what that would be."""
    named = [(one.start, one.end) for one in glossary.mentions(frame)]
    named += [match.span() for match in (*PLACES[0].finditer(frame), *_IT.finditer(frame))]
    if not named and asks(frame):
        return f"{frame.rstrip(' ?.!')} of {name}?"
    if len(named) != 1:
        return f"Show {name}"
    start, end = named[0]
    head, tail = (glossary.without_sides(part) for part in (frame[:start], frame[end:]))
    head = re.sub(rf"\b(?:both|{_ARTICLES})\s*$", "", head, flags=re.IGNORECASE)
    return " ".join(f"{head} {name} {tail}".split()).replace(" ?", "?")
