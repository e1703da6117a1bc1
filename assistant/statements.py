"""What a sentence of a report states: which structures, on which side, there or not, how large, smaller than which.

Names come from the checkpoint's glossary. The rest are small rules for English, German, French, Spanish and Chinese:
what they do not understand they leave out, so that nothing is checked that was not said.

- **Absence.** "No evidence of" and its like deny the names that follow, up to the next preposition ("no bleeding in the
  left thalamus" denies no thalamus) or clause; a comma goes on only to a short item of a list. "Is not seen" denies the
  subject before it.
- **Side.** The side word nearest to a name; "left and right X" and "both X" are two. "The right" alone, after a name,
  is that structure's other side. What lies "in the left X" is stated to be on the left.
- **Size.** A size belongs to the name right behind it ("a 2 cm mass"), else to the last one before, else to the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from assistant.glossary import Glossary, normalise, other_side, side_of
from assistant.sentences import NORMAL
from assistant.sizes import Size, sizes_in

_NO = re.compile(
    r"\b(?:no|without|negative for|free of|absence of|neither|nor|"
    r"(?:does|do|did|is|are|was|were|can|could)(?: not|n[o']t) (?:show|see|reveal|demonstrate|identify|detect|find)|"
    r"kein(?:e[rsnm]?)?|ohne|frei von|weder|sans|pas d(?:e\b|')|aucune?|absence d(?:e\b|')|sin|"
    r"no se (?:observan?|identifican?|aprecian?|visualizan?|evidencian?|ven?)|no hay|ausencia de|ning(?:ún|una)|"
    r"sine)\b\W*"
    r"(?:(?:definite|convincing|clear|other|sichere[rn]?|claire?)\s+)?"
    r"(?:(?:evidence|signs?|suggestion|suspicion|indication|anhalt|hinweise?|nachweis|zeichen|signes?|argument|"
    r"evidencia|"
    r"signos?|datos)\s+(?:of|for|für|auf|von|eine[rs]?|en faveur d(?:e|')|d(?:e\b|')|pour)\s*)?"
    r"|未见(?:到|明显)?|未发现|未显示|没有|无",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:no|without|sans|sin|keine?)\s+(?:\w+\s+)?(?:longer|change|interval|änderung|changement|cambios?)\b",
    re.IGNORECASE,
)
_SCOPE_END = re.compile(
    r"[.;:]|\b(?:in|within|inside|at|of|involving|affecting|on|from|with|near|around|along|im|am|an|auf|bei|des|"
    r"der|dans|"
    r"au|aux|du|en|del?|but|however|although|except|aber|jedoch|mais|pero|is|are|was|were|has|have|measur\w+|shows?|"
    r"appears?|ist|sind|misst|est|sont|mesure\w*|es|son|mide\w*)\b|但|内|中",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"is|are|was|were|has|have|measur|show|appear|ist|sind|misst|est|sont|mesur|es|son|mide", re.IGNORECASE
)
_OR = re.compile(r"\b(?:or|nor|and|oder|und|noch|ou|ni|o|y)\b", re.IGNORECASE)
_NOT_SEEN = re.compile(
    r"\b(?:(?:not|no longer|never)(?: \w+ly| well)? (?:be )?(?:seen|visible|visuali[sz]ed|identified|found|"
    r"present|detected|"
    r"demonstrated|appreciated|shown)|(?:is|are|was|were) (?:surgically )?absent|(?:was|were|has been|have been) "
    r"(?:surgically )?(?:removed|resected)|nicht (?:mehr )?(?:sicher )?(?:sichtbar|abgrenzbar|nachweisbar|vorhanden|"
    r"erkennbar|zu sehen|dargestellt)|fehlt|fehlen|(?:est|sont) absente?s?|(?:non|pas) (?:visibles?|visualisée?s?|"
    r"retrouvée?s?|identifiée?s?)|(?:está|están|es) ausentes?|no (?:es |son )?visibles?|no se (?:observa|identifica|"
    r"visualiza|ve)n?\s*\.?$)(?!\w)|缺如|不可见",
    re.IGNORECASE,
)
_PERHAPS = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|likely|suspicious|suspected|suspicion of|may|might|cannot be (?:excluded|ruled out)|"
    r"questionable|equivocal|v\. ?a\.|verdacht auf|fraglich\w*|möglich\w*|wahrscheinlich|suspicion d|évocat\w+|"
    r"posible(?:mente)?|probablemente|sospech\w+)\b|\?|可疑|疑似|可能|不除外",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"\b(?:unchanged|stable|progress\w+|regress\w+|interval|(?:has|have) (?:increased|decreased|grown|shrunk|enlarged)|"
    r"since (?:the )?(?:prior|previous|last)|(?:than|to|with) (?:before|previously|(?:the |on the )?(?:prior|"
    r"previous|last))|"
    r"new|newly|unverändert\w*|größenprogredient|progredient|im vergleich zu[rm]? vor\w*|inchangée?s?|par rapport "
    r"(?:à|au)|estables?|sin cambios|respecto al)\b|较前",
    re.IGNORECASE,
)
_BOTH = re.compile(
    r"\b(?:both|bilateral\w*|each side|beide[rn]?|beidseit\w*|les deux|bilatéra\w+|ambos|ambas)\b|双侧|两侧",
    re.IGNORECASE,
)
# sides that glossaries do not have: adverbs, further endings
_MORE_SIDES = {"links": "left", "linkem": "left", "linksseitig": "left", "linksseitige": "left", "gauches": "left",
               "izquierdos": "left", "rechts": "right", "rechtem": "right", "rechtsseitig": "right",
               "rechtsseitige": "right", "droits": "right", "derechos": "right", "droites": "right"}  # fmt: skip
_JOINED = re.compile(r"\s*(?:,|/|&|and|und|et|y|e|or|oder|ou|o)\s*(?:(?:the|der|die|das|le|la|el)\s+)?", re.IGNORECASE)
_AT = re.compile(r"\b(?:on|to|at|in|auf|à|a)(?: (?:the|der|die|la|le))? $", re.IGNORECASE)
_WITHIN = re.compile(r"\W*(?:\w+\s+){0,3}?(?:in|within|of|inside|im|in der|dans|de|du|en|del)\b", re.IGNORECASE)
# what follows "the right" where that stands for a structure: nothing, "one", a verb, a number; no further noun
_ALONE = re.compile(
    r"\s*(?:one|side|counterpart|hand one|seite)?\s*(?:$|[.,;:()?!？\d<>=]|(?:and|by|at|is|was|measures?|being|has|"
    r"und|um|mit|"
    r"misst|ist|est|mesure|et|avec|de|mide|es|y|con)\b)",
    re.IGNORECASE,
)
_SMALLER = r"smaller|shorter|less voluminous|kleiner(?:e[rsn]?)?|plus petite?s?|más pequeñ[oa]s?|menor(?:es)?"
_LARGER = (
    r"larger|bigger|greater|longer|more voluminous|größer(?:e[rsn]?)?|grösser(?:e[rsn]?)?|plus (?:grande?|volumineux|"
    r"volumineuse)s?|más grandes?|mayor(?:es)?"
)
_COMPARED = re.compile(
    rf"\b(?:(?P<smaller>{_SMALLER})|(?P<larger>{_LARGER}))\b|(?P<less>小于|[<＜])|(?P<more>大于|[>＞])",
    re.IGNORECASE,
)
_MORE_ROOM = re.compile(r"\b(?:more|(?P<less>less)) (?:room|space|volume)\b", re.IGNORECASE)
_LENGTH = re.compile(r"\b(?:longer|shorter)\b", re.IGNORECASE)
_CHINESE_THAN = re.compile(r"比[^，。；]*?(?:较|更)?(?:(?P<less>小)|(?P<more>大))")
_EQUAL = re.compile(
    r"\b(?:(?:the )?same (?:size|volume)|equal(?:ly)? (?:in (?:size|volume)|large|big)|symmetric(?:al)?|gleich groß|"
    r"symmetrisch|(?:de )?même (?:taille|volume)|symétriques?|mismo (?:tamaño|volumen)|simétric[oa]s?)\b|对称|大小相等",
    re.IGNORECASE,
)
_THAN = re.compile(r"\b(?:than|als|que|compared (?:to|with)|relative to)\b|[<>＜＞于]", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|nicht|no|non|pas)\b[^,;.]{0,20}$|不$", re.IGNORECASE)
_TOGETHER = re.compile(
    r"\b(?:together|total|combined|sum|zusammen|insgesamt|ensemble|au total|juntos|en total)\b|共|总", re.IGNORECASE
)


# between "2 cm" and "mass": three words at most, none that opens another part of the sentence
_RIGHT_BEHIND = re.compile(r"(?:[\s-]+(?!(?:and|und|et|y|in|is|while|of)\b)\w+){0,3}?[\s-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """One structure that a sentence speaks of.

    start, end: of the words. phrases: canonical, those that are meant together ("both hippocampi" are two). every: all
    of them are stated; False where one is enough ("the hippocampus"). otherwise: what else the words may mean, where
    none of these is found ("the hippocampus" of a scan that shows only one). side, within: stated of what has no side
    in its name ("a mass in the left parotid gland": "left", that gland). stated: "there", "absent" or "perhaps".
    """

    start: int
    end: int
    phrases: tuple[str, ...]
    every: bool = True
    otherwise: tuple[str, ...] = ()
    side: str | None = None
    within: tuple[str, ...] = ()
    stated: str = "there"
    sizes: tuple[Size, ...] = ()


@dataclass(frozen=True)
class Relation:
    """`one` is "smaller", "larger" or "equal" than `other`, phrases both; denied: the sentence says that it is not."""

    one: str
    word: str
    other: str
    denied: bool = False


@dataclass(frozen=True)
class Statement:
    """normal: says only that something is as it should be. earlier: compares with another time. together: its sizes are
    of all structures at once."""

    named: tuple[Named, ...]
    relations: tuple[Relation, ...] = ()
    normal: bool = False
    earlier: bool = False
    together: bool = False


@dataclass(frozen=True)
class Compared:
    """terms: the two that are compared, in the order of the question; word: "smaller" or "larger" of the first;
    longest: by length ("longer") instead of volume."""

    terms: tuple[Named, Named]
    word: str
    longest: bool = False


def named_in(text: str, glossary: Glossary) -> list[Named]:
    """The structures that a sentence or a question names, in order."""
    return _named(re.sub(r"\s", " ", text), glossary)


def comparison_in(text: str, named: Sequence[Named]) -> Compared | None:
    """The sizes of which two names a question compares: "is A larger than B?", "which is larger, A or B?", "A比B大吗".
    None where it does not."""
    text = re.sub(r"\s", " ", text)
    compared = _MORE_ROOM.search(text) or _COMPARED.search(text) or _CHINESE_THAN.search(text)
    if compared is None or len(named) != 2:
        return None
    known = compared.groupdict()
    word = "smaller" if known.get("smaller") or known["less"] else "larger"
    return Compared((named[0], named[1]), word, _LENGTH.search(compared[0]) is not None)


def read_statement(text: str, glossary: Glossary) -> Statement:
    """What one sentence states, with the names of a glossary."""
    text = re.sub(r"\s", " ", text)
    named = _with_sizes(text, _with_presence(text, _named(text, glossary)))
    relations = _relations(text, named)
    denies = any(one.stated == "absent" for one in named)
    says_normal = NORMAL.search(text) is not None or (_NO.search(text) is not None and not _CHANGE.search(text))
    measured = relations or any(one.sizes for one in named)
    return Statement(
        tuple(named),
        tuple(relations),
        normal=says_normal and not denies and not measured,
        earlier=_EARLIER.search(text) is not None,
        together=_TOGETHER.search(text) is not None,
    )


def _named(text: str, glossary: Glossary) -> list[Named]:
    words = _side_words(text, glossary)
    used: set[int] = set()
    found: list[Named] = []
    for mention in glossary.mentions(text):
        found += _of_mention(text, mention.start, mention.end, mention.meant, words, used)
    for n, (one, place) in enumerate(pairwise(found)):
        between = text[one.end : place.start]
        if not side_of(one.phrases[0]) and _WITHIN.match(between) and len(between.split()) <= 6:
            found[n] = replace(one, within=place.phrases)
    for n, (start, end, side) in enumerate(words):  # "... than the right": the other side of what was named
        if n in used or not _ALONE.match(text, end):
            continue
        before = [one for one in found if one.end <= start and len(one.phrases) == 1 and side_of(one.phrases[0])]
        if before:
            phrase = before[-1].phrases[0]
            found.append(Named(start, end, (phrase if side_of(phrase) == side else other_side(phrase),)))
            found.sort(key=lambda one: one.start)
    return found


def _side_words(text: str, glossary: Glossary) -> list[tuple[int, int, str]]:
    more = [
        (match.start(), match.end(), _MORE_SIDES[normalise(match[0])])
        for match in re.finditer(r"[^\W\d_]+", text)
        if normalise(match[0]) in _MORE_SIDES
    ]
    return sorted({*glossary.side_words(text), *more})


def _of_mention(
    text: str, start: int, end: int, meant: Sequence[str], words: Sequence[tuple[int, int, str]], used: set[int]
) -> list[Named]:
    """One mention as what it names; marks the side words that belong to it as used."""
    sided = [phrase for phrase in meant if side_of(phrase)]
    plain = tuple(phrase for phrase in meant if not side_of(phrase))
    inside = [n for n, (a, b, _) in enumerate(words) if start <= a and b <= end]
    used.update(inside)
    if not sided:
        return [Named(start, end, plain[:1], side=_stated_side(text, start, end, words))]
    before = [n for n, (_, b, _) in enumerate(words) if b <= start and _close(text[b:start])]
    after = [n for n, (a, _, _) in enumerate(words) if a >= end and _close(text[end:a])]
    for nearest in (inside or before[-1:])[:1]:  # the name may hold its own side: "the left and the right hippocampus"
        pair = (nearest - 1, nearest)
        if nearest and nearest - 1 not in used and _joined_sides(text, words[nearest - 1], words[nearest]):
            used.update(pair)
            return [_one_side(sided, words[n], end if n == nearest else words[n][1]) for n in pair]
    own = inside or before[-1:] or after[:1]
    if own and (kept := [phrase for phrase in sided if side_of(phrase) == words[own[0]][2]]):
        used.update(own)
        return [Named(start, end, (kept[0],))]
    both = len(sided) > 1 and _BOTH.search(text[:start]) is not None
    return [Named(start, end, tuple(sided), both, () if both else plain)]


def _joined_sides(text: str, one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """ "left and the right", of two words for sides; not "the cyst on the left and the right X"."""
    joined = one[2] != other[2] and _JOINED.fullmatch(text[one[1] : other[0]]) is not None
    return joined and _AT.search(text[: one[0]]) is None


def _one_side(sided: Sequence[str], word: tuple[int, int, str], end: int) -> Named:
    phrase = sided[0]
    return Named(word[0], end, (phrase if side_of(phrase) == word[2] else other_side(phrase),))


def _close(between: str) -> bool:
    """Two words at most between a side and its name, and no new clause."""
    return len(between.split()) <= 2 and not re.search(r"[.,;:()，。]|\b(?:is|than|ist|als|est|que|es)\b", between)


def _stated_side(text: str, start: int, end: int, words: Sequence[tuple[int, int, str]]) -> str | None:
    """The side on which something without a side of its own is said to be: "left-sided mass", "mass in the left X"."""
    for _, b, side in reversed(words):
        if b <= start and _close(text[b:start]):
            return side
    for a, _, side in words:
        if a >= end and a - end <= 40 and (_close(text[end:a]) or _WITHIN.match(text[end:a])):
            return side
    return None


def _with_presence(text: str, named: Sequence[Named]) -> list[Named]:
    """Which of them the sentence denies, and which it is not sure of."""
    denied: set[int] = set()
    for cue in _NO.finditer(text):
        if _CHANGE.match(text, cue.start()):
            continue
        stop = _SCOPE_END.search(text, cue.end())
        at = cue.end()
        for n, chunk in enumerate(re.split(r"(?<=[,，、])", text[at : stop.start() if stop else len(text)])):
            # ", the left hippocampus is small" begins a clause; ", mass or infarct is seen" ends the list
            new_clause = stop is not None and stop.start() == at + len(chunk) and _VERB.match(stop[0])
            if n and (len(chunk.split()) > 4 or NORMAL.search(chunk) or sizes_in(chunk)):
                break
            if n and new_clause and not _OR.search(chunk):
                break
            denied.update(i for i, one in enumerate(named) if at <= one.start < at + len(chunk))
            at += len(chunk)
    for cue in _NOT_SEEN.finditer(text):
        clause = max(text.rfind(mark, 0, cue.start()) for mark in ",;，；") + 1
        subjects = [i for i, one in enumerate(named) if clause <= one.start and one.end <= cue.start()]
        for i in subjects:
            if i == subjects[0] or _JOINED.fullmatch(text[named[i - 1].end : named[i].start]):
                denied.add(i)
            else:
                break
    doubtful = _PERHAPS.search(text) is not None
    return [
        replace(one, stated="absent" if i in denied else "perhaps" if doubtful else "there")
        for i, one in enumerate(named)
    ]


def _with_sizes(text: str, named: list[Named]) -> list[Named]:
    """Each size with the structure that it is said of."""
    out = list(named)
    if not out:
        return out
    waiting = sizes_in(text)
    while waiting:
        first = waiting[0]
        limit = next((one.start for one in named if one.start >= first.end), len(text) + 1)
        run = [size for size in waiting if size.start < limit]
        waiting = waiting[len(run) :]
        before = [i for i, one in enumerate(named) if one.end <= first.start]
        start = max([size.end for one in out for size in one.sizes if size.end <= first.start], default=0)
        fresh = [i for i in before if named[i].start >= start]
        following = next((i for i, one in enumerate(named) if one.start >= run[-1].end), None)
        if len(run) == len(fresh) > 1:
            owners = fresh
        else:
            behind = following is not None and _RIGHT_BEHIND.fullmatch(text[run[-1].end : named[following].start])
            owner = before[-1] if before and not behind else following
            owners = [] if owner is None else [owner] * len(run)
        for size, i in zip(run, owners, strict=False):
            out[i] = replace(out[i], sizes=(*out[i].sizes, size))
    return out


def _relations(text: str, named: Sequence[Named]) -> list[Relation]:
    """"A is smaller than B", "A kleiner als B", "left > right", "A比B小", "the X are symmetric"."""
    out: list[Relation] = []
    for match in _COMPARED.finditer(text):
        word = "smaller" if match["smaller"] or match["less"] else "larger"
        before = [one for one in named if one.end <= match.start()]
        after = [one for one in named if one.start >= match.end()]
        than = _THAN.search(text, match.start(), after[0].start) if after else None
        if than is not None and re.search(r"\d", text[match.end() : after[0].start]) is None:
            out += _relation(before, word, after[0], _NOT.search(text[: match.start()]) is not None)
    for match in _CHINESE_THAN.finditer(text):
        before = [one for one in named if one.end <= match.start()]
        after = [one for one in named if match.start() < one.start < match.end()]
        if after:
            out += _relation(before, "smaller" if match["less"] else "larger", after[0], False)
    if equal := _EQUAL.search(text):
        pair = [phrase for one in named for phrase in one.phrases]
        if len(pair) == 2:
            denied = _NOT.search(text[: equal.start()]) is not None
            out.append(Relation(pair[0], "equal", pair[1], denied))
    return out


def _relation(before: Sequence[Named], word: str, other: Named, denied: bool) -> list[Relation]:
    """Between single structures; the subject is the first name before the word."""
    one = next((one for one in before if len(one.phrases) == 1), None)
    if one is None or len(other.phrases) != 1 or one.phrases == other.phrases:
        return []
    return [Relation(one.phrases[0], word, other.phrases[0], denied)]
