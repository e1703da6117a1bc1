"""Does a sentence of a reply agree with what was measured? If not, what would the measurements say?

A small language model copies numbers well and compares them badly, so each finished sentence is checked before it is
shown: its numbers must stand in a note, a number said of a structure must be that structure's, "smaller" must be
smaller, "not found" must be absent, and a yes or no must answer the question as the masks do. The rules read plain
English sentences about the reply's own targets; what they do not understand they leave alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.evidence import (
    AXES,
    Note,
    compare_volumes,
    format_ml,
    format_place,
    format_probability,
    numbers_in,
    unsupported_numbers,
)
from assistant.glossary import side_of
from assistant.margin import LOW_QUALITY
from assistant.quantity import asks_where

LISTED = 10  # structures whose volumes are told in sentences
PLACED = 4  # structures whose places are told
_SMALLER = r"smaller|less voluminous|shrunken|littler"
_LARGER = r"larger|bigger|greater|more voluminous"
_COMPARED = re.compile(rf"\b(?:(?P<smaller>{_SMALLER})|(?P<larger>{_LARGER}))\b", re.IGNORECASE)
_EQUAL = re.compile(r"\b(?:equal in (?:volume|size)|the same (?:volume|size)|equally (?:large|big))\b", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(?:not|no|never|cannot|can't|couldn't|isn't|aren't|wasn't|doesn't|don't|didn't|without|absent|missing|neither|nor)\b",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    r"\b(?:(?:not|n't|never) (?:be )?(?:found|present|visible|seen|there|in (?:this|the) (?:scan|image|volume))"
    r"|(?:can(?:no|')t|could ?n[o']t|do(?:es)?(?: not|n't)|did(?: not|n't)) (?:find|see|show|contain)"
    r"|is absent|are absent|is missing|are missing|no sign of|there (?:is|are) no)\b",
    re.IGNORECASE,
)
_POLAR = re.compile(r"^\s*(?P<word>yes|no)\b", re.IGNORECASE)
_ASKED = re.compile(r"^\W*(?:(?:and|so|but|then)\W+)?(?:is|are)\b", re.IGNORECASE)
_ASKED_THERE = re.compile(r"^\W*(?:(?:is|are) there|(?:can|do) you (?:see|find))\b", re.IGNORECASE)
# "is there a difference between A and B?" asks how two relate, not whether they are there: "no" may be right
_ASKED_RELATION = re.compile(
    r"\b(?:between|differ\w*|a?symmetr\w*|discrepanc\w*|mismatch\w*|imbalance\w*|compar\w*)\b"
    rf"|\b(?:{_SMALLER}|{_LARGER})\b",
    re.IGNORECASE,
)
_ASKED_SIDE = re.compile(
    r"\b(?:on|in|at|to) (?:the|its|their) (?P<side>left|right)"
    r"(?: |-)?(?:(?:hand|half|side)\b(?P<of>[^?.!]*)|(?=\W*$))",
    re.IGNORECASE,
)
# An answer to whether something is there, and the English questions that ask it (or point at something)
_SAYS_THERE = re.compile(
    r"\b(?:is|are|was|were) (?:in (?:this|the) (?:scan|image)|found|there|present|visible|seen)\b", re.IGNORECASE
)
_ENGLISH_POLAR = re.compile(
    r"^\W*(?:(?:and|so|but|then)\W+)?(?:is|are|was|were|does|do|did|has|have|can|could)\b", re.IGNORECASE
)
_PRESENCE = re.compile(
    r"\b(?:there|present|visible|exists?|contain\w*|includ\w*|cover\w*|shows?|shown|seen?|spot|find|found|detect\w*"
    r"|identif\w*|any|here|(?:with)?in (?:this|the) (?:scan|image|volume)"
    r"|(?<=\w )ha(?:s|ve) (?:an?|any|the)|has (?:the )?(?:patient|person|scan|image|he|she) (?:got )?(?:an?|any)"
    r"|(?:patient|person|he|she|they|you|scan|image) (?:have|got)"
    r"|(?:is|are) (?:this|that|it|these|those) (?:an?|the))\b",
    re.IGNORECASE,
)
# of the voxels in a mask a note has the mean alone
_OTHER_VALUE = re.compile(
    r"\b(?:max(?:imum|imal)?|min(?:imum|imal)?|peak|highest|lowest|median) "
    r"(?:intensit(?:y|ies)|values?|suv|hu|uptake|signal|brightness|density)\b|\bstandard deviation\b",
    re.IGNORECASE,
)
# What stands between two names that are not of one list
_PREDICATE = re.compile(
    r"\d|\b(?:is|are|was|were|has|have|measures?|found|seen|but|while|whereas|although)\b", re.IGNORECASE
)
_NOT_OF_IT = re.compile(
    r"\b(?:by|than|difference|differ|together|total|sum|combined|smaller|larger|bigger|greater)\b", re.IGNORECASE
)
# words that may stand for any structure
_ANYTHING = {"one", "ones", "mask", "structure", "region", "segmentation", "target", "left", "right", "other", "first",
             "second", "latter", "former"}  # fmt: skip
_CLAUSE = re.compile(
    r"[;,]\s+(?=but\b|while\b|whereas\b|and\b|the\b)|\s+(?=but\b|while\b|whereas\b)|;\s+", re.IGNORECASE
)


def flaw(sentence: str, targets: Sequence[Note], known: Sequence[str], said: str) -> str | None:
    """What is wrong with a sentence, in one phrase, or None.

    targets: what this reply grounded, absent ones included. known: the texts of all notes of the conversation.
    said: the user's question.
    """
    unsupported = unsupported_numbers(sentence, known, [said])
    if unsupported:
        return f"{', '.join(unsupported)} stands in no measurement"
    other = _OTHER_VALUE.search(sentence)
    if other is not None and re.search(r"\d", sentence[other.end() :]):
        return f"a {other[0].lower()} stands in no measurement"
    problem = _naming(sentence, targets)
    if problem:
        return problem
    for clause in _CLAUSE.split(sentence):
        problem = _presence(clause, targets) or _attribution(clause, targets) or _comparison(clause, targets)
        if problem:
            return problem
    return _polarity(sentence, targets, said)


def _naming(sentence: str, targets: Sequence[Note]) -> str | None:
    """A mask is called by its phrase: "the hippocampus (m1)" and "the hippocampus is marked as m1" are wrong of the
    hippocampal body."""
    for note in targets:
        if note.measurement is None:
            continue
        named = re.search(rf"\bthe (?P<name>[\w' -]+?)(?: \(| is marked as ){note.id}\b", sentence, re.IGNORECASE)
        words = named["name"].lower() if named else ""
        if words and note.phrase.lower() not in words and words.split()[-1] not in _ANYTHING:
            return f"{note.id} is the {note.phrase}, not the {words}"
    return None


def statement(targets: Sequence[Note], said: str = "") -> str:
    """What was measured, as sentences: the text that takes the place of one that contradicts it. "" without targets.

    said: the user's question; where it asks for a side or which of two is larger, they begin with the answer."""
    if len(targets) > LISTED:
        return _overview(targets)
    present = _distinct([note for note in targets if note.measurement is not None])
    absent = _distinct([note for note in targets if note.measurement is None and note.taught])
    unknown = _distinct([note for note in targets if not note.taught])
    parts = [f"The {n.phrase} ({n.id}) is {format_ml(n.measurement.volume_ml)} mL." for n in present if n.measurement]
    sided, related = _side_asked(said, targets), _relation_asked(said, targets)
    if sided is not None:
        asked, true, where = sided
        parts.insert(0, "Yes." if asked == true else "No.")
        parts.append(f"It is on the {true} side of the {where}.")
    if related is not None:
        one, word, other = related
        parts.insert(0, "Yes." if _true_relation(one, other) == word else "No.")
    if len(present) == 2:
        first, second = present
        words = _compared(first, second).rsplit(", together", 1)[0]
        for note in present:
            words = re.sub(rf"\b{note.id}\b", f"the {note.phrase}", words, count=1)
        parts.append(words[0].upper() + words[1:] + ".")
    if absent:
        listed = _listed(absent, "and")
        parts.append(f"{listed[0].upper()}{listed[1:]} {'was' if len(absent) == 1 else 'were'} not found.")
    if unknown:
        it = "it is" if len(unknown) == 1 else "they are"
        parts.append(f"I was never taught to find {_listed(unknown, 'or')}, so I cannot say whether {it} there.")
    return " ".join(parts)


def _overview(targets: Sequence[Note]) -> str:
    """What was found of many: their numbers are in the findings, and sentences of them would not be read."""
    missing = _distinct([note for note in targets if note.measurement is None])
    told = statement(missing) if 0 < len(missing) <= LISTED else ""
    return f"Each of them was outlined and measured; their volumes are in the list of findings. {told}".rstrip()


def _listed(notes: Sequence[Note], word: str) -> str:
    names = [f"the {note.phrase}" for note in notes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def mentions(text: str, targets: Sequence[Note]) -> list[tuple[int, int, Note]]:
    """(start, end, target) of each mention, in order: by phrase, by id, or by side where the rest is shared.

    "the left" means the left hippocampus when the other targets are no left ones.
    """
    found: list[tuple[int, int, Note]] = []
    for note in _distinct(targets):
        names = [re.escape(note.phrase)]
        if note.id:
            names.append(re.escape(note.id))
        side = re.match(r"(left|right)\b", note.phrase)
        rivals = [other for other in _distinct(targets) if other is not note]
        if side and not any(re.match(side[1] + r"\b", other.phrase) for other in rivals):
            names.append(rf"the {side[1]}(?: one| side)?(?! (?:\w+ ){{0,2}}(?:side|of)\b)")
        pattern = re.compile(r"\b(?:" + "|".join(names) + r")\b", re.IGNORECASE)
        found += [(match.start(), match.end(), note) for match in pattern.finditer(text)]
    found.sort(key=lambda mention: (mention[0], -mention[1]))
    kept: list[tuple[int, int, Note]] = []
    for mention in found:  # "anterior hippocampus" is no mention of "hippocampus" too: the outer one counts
        if any(mention[0] < end and start < mention[1] for start, end, _ in kept):
            continue
        inside = [other for other in found if other[0] <= mention[0] and mention[1] < other[1]]
        if not inside:
            kept.append(mention)
    return kept


def _presence(clause: str, targets: Sequence[Note]) -> str | None:
    named = [note for _, _, note in mentions(clause, targets)]
    if not named:
        return None
    if all(note.present for note in named) and _ABSENCE.search(clause):
        return f"the {named[0].phrase} was found"
    if all(not note.present for note in named) and not _NEGATED.search(clause):
        return f"the {named[0].phrase} was not found"
    absence = _ABSENCE.search(clause)
    for note in _listed_before(clause, absence.start(), targets) if absence else []:
        if note.present:
            return f"the {note.phrase} was found"
    return None


def _listed_before(clause: str, stop: int, targets: Sequence[Note]) -> list[Note]:
    """The targets of the list that ends before a place: "the A, B and C were " names three."""
    named = [mention for mention in mentions(clause, targets) if mention[1] <= stop]
    listed: list[Note] = []
    following = stop
    for start, end, note in reversed(named):
        if listed and _PREDICATE.search(re.sub(r"\(m\d+\)", "", clause[end:following])):
            break
        listed.append(note)
        following = start
    return listed


def _attribution(clause: str, targets: Sequence[Note]) -> str | None:
    """A number that directly follows a structure's name must stand in that structure's own note."""
    named = mentions(clause, targets)
    for index, (_, end, note) in enumerate(named):
        stop = named[index + 1][0] if index + 1 < len(named) else len(clause)
        after = clause[end:stop]
        other = _NOT_OF_IT.search(after)
        if other:
            after = after[: other.start()]
        if note.present and numbers_in(after):
            wrong = unsupported_numbers(after, [str(note)])
            if wrong and len(targets) > 1:
                return f"{wrong[0]} is not a number of the {note.phrase}"
    return None


def _comparison(clause: str, targets: Sequence[Note]) -> str | None:
    read = _relation(clause, targets)
    if read is None:
        return None
    one, word, other = read
    true = _true_relation(one, other)
    claimed = word
    if _NEGATED.search(clause) and not _POLAR.match(clause):
        return None if claimed != true else f"the {one.phrase} is {true} than the {other.phrase}"
    if claimed == true:
        return None
    if true == "equal":
        return f"the {one.phrase} and the {other.phrase} are equal in volume"
    return f"the {one.phrase} is {true} than the {other.phrase}"


def _relation(text: str, targets: Sequence[Note]) -> tuple[Note, str, Note] | None:
    """(A, "smaller" | "larger" | "equal", B) when the text puts A in that relation to B; both must be measured.

    "A is smaller than B", "A is smaller" (B is the other of two), "A and B have the same volume".
    """
    present = _distinct([note for note in targets if note.present])
    named = [mention for mention in mentions(text, targets) if mention[2].present]
    compared, equal = _COMPARED.search(text), _EQUAL.search(text)
    if compared and named:
        word = "smaller" if compared["smaller"] else "larger"
        before = [note for _, end, note in named if end <= compared.start()]
        after = [note for start, _, note in named if start >= compared.end()]
        if not before:  # "the smaller one is ...", "which is larger": says nothing that can be read safely
            return None
        one = before[0]
        if re.match(r"\s+(?:\w+\s+){0,3}?than\b", text[compared.end() :]) and after:
            other = after[0]
        elif len(present) == 2:
            other = next(note for note in present if note is not one)
        else:
            return None
        return None if other is one else (one, word, other)
    distinct = _distinct([note for _, _, note in named])
    if equal and len(distinct) == 2:
        return distinct[0], "equal", distinct[1]
    return None


def _true_relation(one: Note, other: Note) -> str:
    """By the volumes as shown, so that equal numbers are equal."""
    words = _compared(one, other)
    return "equal" if " is equal " in words else "smaller" if " is smaller " in words else "larger"


def _compared(one: Note, other: Note) -> str:
    if one.measurement is None or other.measurement is None:
        raise ValueError(f"{one.phrase} and {other.phrase} cannot be compared: one was not found")
    return compare_volumes((one.id, one.measurement), (other.id, other.measurement))


def _polarity(sentence: str, targets: Sequence[Note], said: str) -> str | None:
    """A leading yes or no against the question, where the question is understood."""
    polar = _POLAR.match(sentence)
    if polar is None or not targets:
        return None
    yes = polar["word"].lower() == "yes"
    if yes and not any(note.present for note in targets):
        return "nothing asked for was found"
    read = _relation_asked(said, targets)
    if read is not None:
        truth = _true_relation(read[0], read[2])
        if (truth == read[1]) != yes:
            return f"the {read[0].phrase} is {truth} {'to' if truth == 'equal' else 'than'} the {read[2].phrase}"
    sided = _side_asked(said, targets)
    if sided is not None:
        asked, true, where = sided
        return None if (asked == true) == yes else f"it is on the {true} side of the {where}"
    if yes and _SAYS_THERE.search(sentence) and _ENGLISH_POLAR.match(said) and not _PRESENCE.search(said):
        return "that it is there does not answer the question"
    asked_there = _ASKED_THERE.match(said) and not _ASKED_RELATION.search(said)
    if asked_there and not yes and all(note.present for note in targets):
        return "what was asked for was found"
    return None


def _relation_asked(said: str, targets: Sequence[Note]) -> tuple[Note, str, Note] | None:
    """`_relation` of a question that asks whether it is so."""
    return _relation(said, targets) if _ASKED.match(said) and not _NEGATED.search(said) else None


def compares(said: str) -> bool:
    """Whether the rules understand a question as one that compares two sizes."""
    return _COMPARED.search(said) is not None


def side_question(said: str) -> re.Match[str] | None:
    """Where a question that wants yes or no asks for a side: "on the left" of "is the tumour on the left?" """
    asking = _ASKED.match(said) or _ASKED_THERE.match(said)
    if not asking or _ASKED_RELATION.search(said) or _NEGATED.search(said):
        return None
    return _ASKED_SIDE.search(said)


def _side_asked(said: str, targets: Sequence[Note]) -> tuple[str, str, str] | None:
    """(side asked for, true side, of what) where the question asks whether the one thing that was found is on a side.

    What has a side in its name is on that side of the body; on which side of the scan it lies, and where anything else
    lies, was measured. None for what lies in the middle, and for any other question."""
    asked = side_question(said)
    present = _distinct([note for note in targets if note.present])
    if asked is None or len(present) != 1:
        return None
    (note,) = present
    named = side_of(note.phrase)
    if named and not re.search(r"\b(?:scan|image|volume|picture)\b", asked["of"] or "", re.IGNORECASE):
        return asked["side"].lower(), named, "body"
    measured = note.measurement.side if note.measurement is not None else None
    return (asked["side"].lower(), measured, "scan") if measured in ("left", "right") else None


def caution(targets: Sequence[Note]) -> str:
    """What a reader must be told of the outlines: which of the masks are expected to be poor; "" where none is."""
    poor = [n for n in _distinct(targets) if n.present and n.quality is not None and n.quality < LOW_QUALITY]
    if not poor:
        return ""
    named = [f"{n.id} ({n.phrase}, {format_probability(n.quality or 0.0)})" for n in poor]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    one = len(named) == 1
    return (
        f"The outline{'' if one else 's'} of {listed} {'is' if one else 'are'} uncertain: the number is the estimated "
        "overlap with an expert's."
    )


def places(question: str, targets: Sequence[Note]) -> str:
    """Where the targets that are there lie, each by its centre, when the question asks for it; "" otherwise, and for
    more than a few. On which side of the scan is told where a name has no side of its own."""
    there = [(note, note.measurement) for note in _distinct(targets) if note.measurement is not None]
    if len(there) > PLACED or not asks_where(question):
        return ""
    told: list[str] = []
    for note, m in there:
        half = "in the scan's middle plane" if m.side == "midline" else f"to the {m.side} of the scan's middle"
        side = f", {half}" if m.side is not None and side_of(note.phrase) is None else ""
        place = format_place(m.centroid_mm)
        first = f"The centre of {note.id} is at {place} {AXES}{side}"
        told.append(f"that of {note.id} at {place}{side}" if told else first)
    return "; ".join(told) + "." if told else ""


def _distinct(targets: Sequence[Note]) -> list[Note]:
    """The targets with each phrase once: a recalled mask is the same structure."""
    return list({note.phrase: note for note in targets}.values())
