"""Quantities that a question asks for of masks: "volume?", "how long is it?", "in mm3", "percent of the brain?", "by
how much?", "which is larger?". They are read by rules and told from the measurements; the language model has no part.

A question is read only where every word of it is understood; any other is the language model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from assistant.evidence import AXES, extent, format_mean, format_ml, format_mm, format_place, shown_difference
from assistant.findings import Finding
from assistant.glossary import Glossary, other_side, side_of
from assistant.reference import Known, blanked, check_ids, recalled, references
from assistant.sizes import Size

_WHERE = (r"where|position|location|located|wo|lage|où|dónde|posición|ubicación", "在哪|哪里|位置")
_INTENSITY = r"(?:density|intensity|uptake|signal|brightness|mean)"
# What is asked for -> how it is said, and how in Chinese, which parts no words. The first that is said counts.
_KINDS = {
    # of the voxels in a mask, beside their mean
    "values": (r"(?:highest|lowest)\W+(?:mean\W+)?(?:intensit(?:y|ies)|values?|suv|hu|uptake|signal|density)|"
               r"(?:suv ?)?(?:max(?:im(?:um|al))?|min(?:im(?:um|al))?|peak|median|range)"
               r"(?!\W+(?:\w+\W+)?(?:diameters?|axis|extent|lengths?|size|volumes?|width|height|depth|dimensions?))"
               r"(?:\W+(?:intensit(?:y|ies)|values?|suv|hu|uptake|signal|brightness|density|voxel))?|"
               r"standard deviation|std|sd|variance|histogram|heterogene\w+|maximalwert|médiane|desviación estándar",
               "最高|最低|标准差|中位数"),
    "slices": (r"(?:(?:axial|transverse|coronal|sagittal)\W+)?(?:slices?|sections?)|schichten?|schnitten?|coupes?|"
               r"cortes?", "层面?|切片"),
    "share": (r"per ?cent(?:age)?|%|fraction|share|proportion|prozent|anteil|pour ?cent(?:age)?|por ?ciento|porcentaje",
              "百分之几|百分比"),
    "ratio": (r"ratio|verhältnis|rapport|raz[oó]n", "比例|之比"),
    "asymmetry": (r"(?:asymmetry|laterality|asymmetrie)(?:[- ]?index)?|index of asymmetry|indice d['’]asymétrie|"
                  r"asymétrie|índice de asimetría|asimetría", "不对称指数|不对称性"),
    "difference": (r"by how much|how much (?:larger|bigger|smaller|more|less)|differences?|differ|compared?|"
                   r"(?:um )?wie ?viel (?:größer|kleiner)|unterschied|de combien|différence|diferencia",
                   "差多少|相差|[大小多少]多少"),
    "change": (r"(?:it |they )?(?:gain(?:ed)?|grow|grew|grown|lost|lose|shrink|shrunk|changed?|added|removed)", "变化"),
    "place": (rf"{_WHERE[0]}|lies?|centr(?:e|oid)|center|coordinates|side", _WHERE[1]),
    "overlap": (r"overlap(?:s|ping)?|intersects?|share voxels", "重叠"),
    "brightest": (r"brighter|brightest|denser|densest|hotter|hottest|heller|dichter|more intense|"
                  rf"(?:higher|highest|greater|greatest) (?:mean )?{_INTENSITY}", "更亮"),
    "darkest": (rf"darker|darkest|less dense|dunkler|less intense|(?:lower|lowest) (?:mean )?{_INTENSITY}", "更暗"),
    "longest": (r"longer|länger\w*|plus longue?|más larg[oa]", "更长"),
    "shortest": (r"shorter|kürzer\w*|plus courte?|más cort[oa]", "更短"),
    "largest": (r"larger|bigger|largest|biggest|größere?[rsn]?|größte\w*|plus grande?|más grande|mayor", "更大|最大"),
    "smallest": (r"smaller|smallest|kleinere?[rsn]?|kleinste\w*|plus petite?|más pequeñ[oa]|menor", "更小|最小"),
    "together": (r"together|(?:in )?total|combined|altogether|summed|sum|zusammen|insgesamt|ensemble|au total|juntos|"
                 r"juntas|en total", "一共|总共"),
    "width": (r"wide|width|broad|breadth|(?:transverse|left[- ]to[- ]right|lateral) (?:diameter|extent|size)|breite?|"
              r"largeur|anch[oa]|anchura", "多宽|宽度"),
    "depth": (r"deep|depth|(?:anteroposterior|ap|front[- ]to[- ]back) (?:diameter|extent|size)|tiefe?|profonde?ur|"
              r"profundidad", "多深|深度"),
    # "how high is the uptake?" asks for no length
    "height": (r"tall|height|high(?!.*(?:intensit|signal|brightness|uptake))|"
               r"(?:craniocaudal|vertical|head[- ]to[- ]foot) (?:diameter|extent|size)|hoch|höhe|hauteur|alt[oa]|"
               r"altura", "多高|高度"),
    "dimensions": (r"dimensions?|extents?|abmessungen|dimensiones", "尺寸"),
    "length": (r"long|lengths?|(?:longest|maximum|max) (?:diameters?|axis|extent)|diameters?|lang|länge|durchmesser|"
               r"longueur|longue?|diamètre|larg[oa]|longitud|diámetro", "长度|直径|多长"),
    "intensity": (r"(?:mean |average )?(?:intensit(?:y|ies)|signal|brightness|uptake)|bright|mean|average|"
                  r"intensität|intensité|intensidad", "强度"),
    "volume": (r"volumes?|volumen|volumina", "体积"),
    "size": (r"sizes?|big|large|measurements?|groß|größe|grande?|taille|gros(?:se)?|tamaño|mide[n]?|mesure(?:nt)?",
             "多大|大小"),
}  # fmt: skip
_UNITS = {
    "mm³": r"mm ?(?:3|³|\^3)|cubic milli(?:metre|meter)s?|立方毫米",
    "cm³": r"cm ?(?:3|³|\^3)|ccm|cc|cubic centi(?:metre|meter)s?|立方厘米",
    "mL": r"mls?|milli(?:litre|liter|litro)s?|毫升",
    "L": r"(?:litre|liter|litro)s?",
    "cm": r"cm|centi(?:metre|meter|mètre)s?|zentimetern?|centímetros?|厘米",
    "mm": r"mm|milli(?:metre|meter|mètre)s?|millimetern?|milímetros?|毫米",
    "HU": r"hu|hounsfield(?: units?)?",
    "SUV": r"suv",
}
_KIND_OF = {"mm³": "volume", "cm³": "volume", "mL": "volume", "L": "volume", "cm": "length", "mm": "length",
            "HU": "intensity", "SUV": "intensity"}  # fmt: skip
SAYS_NOTHING = re.compile(
    r"(?<![a-zà-ÿ0-9'])(?:what|which|is|are|was|were|does|do|did|the|an?|of|in|as|to|into|on|and|how|much|many|please|tell|me|"
    r"give|can|could|you|now|then|so|ok|okay|exactly|about|has|have|measured?|masks?|convert(?:ed)?|express(?:ed)?|'?s|"
    r"with|again|between|both|then|find|segment|outline|mark|locate|takes?(?: up)?|occup(?:y|ies)|makes? up|lies?|"
    r"liegt|liegen|befinde(?:t|n)|sich|se|trouve(?:nt)?|encuentran?|están?|"
    r"than|from|ones?|be|would|value|units?|each|show|say|for|two|also|same|or|"
    r"wie|viele?|ist|sind|das|der|die|von|des|und|oder|hat|haben|im|welche[rs]?|was|"
    r"quel(?:le)?s?|est|sont|sa|ses|leurs?|le|la|les|l|de|du|des|en|et|il|elle|a|c|qu|que|combien|lequel|laquelle|fait|"
    r"cu[aá]l(?:es)?|cu[aá]nt[oa]s?|es|son|el|los|las|del|y|qu[eé]|tiene[n]?)(?![a-zà-ÿ0-9])|[是的多少有它用呢吗为个]|哪一?[个侧边]",
    re.IGNORECASE,
)
# "how many tumours are there?", "is there a second one?": of how many pieces a mask is; a NUL is what is referred to
_PARTS = r"(?:pieces|parts|lesions|foci|components|fragments|masses)"
_COUNTED = re.compile(
    r"\W*(?:and |so )?(?:(?:how many(?: separate| different)?|what is the number of)\W+"
    rf"(?:{_PARTS}\W+(?:does|do|has|have|of|are there of)\W+(?:the\W+)?)?"
    r"\0(?:\W+(?:are there|do you see|can you (?:see|find)|has|have|consists? of))?"
    r"|(?:is|are) there\W+(?:an?(?:other| second| further)|more than one|only one|just one|multiple|several|more)\W+\0"
    r"|is\W+(?:the\W+)?\0\W+(?:multifocal|in one piece|one piece|a single (?:lesion|mass|piece)|solitary))"
    r"(?:\W+(?:here|in (?:this|the) (?:scan|image)))?\W*",
    re.IGNORECASE,
)
# what a share may be of beside structures
_OF_SCAN = re.compile(
    r"(?P<much>\bhow much\W+)?\bof\W+(?:the|this)\W+(?:(?:whole|entire|total|complete)\W+)?"
    r"(?:scan|image|field of view)(?:['’]s)?(?:\W+volume)?(?=\W|$)",
    re.IGNORECASE,
)
# asks on which side of the scan something lies that has no side of its own: see `assistant.relation`
WHICH_SIDE = re.compile(
    r"\b(?:which|what)\W+(?:side|half|leg|thigh|knee|arm|foot|hand|shoulder|hip|hemisphere)\b"
    r"|\bwelche[rnms]? (?:seite|bein)\b|\bquel(?:le)? (?:côté|jambe)\b|\bqué (?:lado|pierna)\b|哪一?[侧边]",
    re.IGNORECASE,
)
# beside what asks for slices
_ON_SLICES = re.compile(
    r"\b(?:on|through|across|over|contain(?:s|ing)?|spans?|covers?|visible|seen?|appears?|begins?|starts?|ends?|"
    r"reach(?:es)?|goes?|extends?|there|most|first|last|number|auf|sichtbar|zeigen|enthalten|sur|voit|contiennent|"
    r"se ve|contienen)\b",
    re.IGNORECASE,
)
PRONOUN = re.compile(r"\b(?:it|they|them|its|their|er|sie|es|ihn|ihr|ils?|elles?|ella|lo)\b|它", re.IGNORECASE)
_WHICH = re.compile(r"\W*(?:and |so |but )?(?:which|welche\w*|lequel|laquelle|cu[aá]l)\b|哪个", re.IGNORECASE)
_ASKS_WHICH = re.compile(r"\b(?:which|welche\w*|quel(?:le)?s?|lequel|laquelle|cu[aá]l(?:es)?)\b|哪", re.IGNORECASE)
_POLAR = re.compile(r"\W*(?:and |so |but )?(?:is|are|was|were|does|do|did|has|have)\b", re.IGNORECASE)
_ASKS_MEANING = re.compile(r"\b(?:do|does|did)\b.*\bmean\b", re.IGNORECASE)  # "what does that mean?" is about no mean
_ALONE = ("(?<![a-zà-ÿ0-9])", "(?![a-zà-ÿ0-9])")  # no part of a longer word; Chinese parts no words
# along which of the patient's axes -> the word for it, and from where to where
ACROSS = {"width": ("wide", "left to right"), "depth": ("deep", "front to back"), "height": ("high", "foot to head")}
# cuts of the scan -> from where they are counted
_PLANES = {"axial": "from the feet", "coronal": "from the back", "sagittal": "from the patient's left"}
_OF_TWO = ("ratio", "asymmetry", "difference", "overlap")
MOST_PIECES = 8  # of a mask whose volumes are told
#: kinds that are told of how far a mask reaches
EXTENTS = (*ACROSS, "dimensions")
# kinds that are asked of one thing
_OF_ONE = ("place", "size", "volume", "length", "intensity", *EXTENTS)
# what is compared by -> (of which words, whether the most is meant)
_SUPERLATIVE = {
    "longest": ("long", True), "shortest": ("short", False), "largest": ("larg", True), "smallest": ("small", False),
    "brightest": ("bright", True), "darkest": ("dark", False),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a question asks for. kind: a key of `_KINDS`; members: of which ids or phrases, in order; whole: of a share,
    of what; unit: in which, "" for the usual one; yes_or_no: whether the first is more, or less, than the second;
    of_scan: a share of all of the scan's voxels; bound: the size that is asked whether all of them keep."""

    kind: str
    members: tuple[str, ...]
    whole: tuple[str, ...] = ()
    unit: str = ""
    yes_or_no: bool = False
    of_scan: bool = False
    bound: Size | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that has to be there, each once."""
        return tuple(dict.fromkeys((*self.members, *self.whole)))


def measures_only(question: str, glossary: Glossary) -> bool:
    """Whether a question asks for a place or a size of structures that it names, and says nothing else."""
    kind, unit, left = _taken(PRONOUN.sub(" ", glossary.frame(question)))
    return (kind or _KIND_OF.get(unit, "")) in _OF_ONE and not re.search(r"\w", left)


def asks_for_quantity(question: str) -> bool:
    """Whether any word of a question asks for a quantity or names a unit."""
    kind, unit, _ = _taken(question)
    return bool(kind or unit)


def asks_of_unknown(question: str, glossary: Glossary) -> bool:
    """Whether a question asks for a place or a size of one thing, in a word or two, that the glossary has no name for:
    "how big is the grey matter?"."""
    kind, unit, left = _taken(PRONOUN.sub(" ", question))
    asked = kind or _KIND_OF.get(unit, "")
    words = re.findall(r"[^\W\d_]+", left)
    one = len(words) in (1, 2) and unread(question).split() == words
    return one and asked in _OF_ONE and not glossary.mentioned(question)


def asks_alone(text: str) -> bool:
    """Whether words ask for a quantity and refer to nothing: "volume?", "in cm?"."""
    kind, unit, left = _taken(text)
    return bool(kind or unit) and not re.search(r"\w", left)


def read(question: str, known: Known) -> Asked | None:
    """The quantity that a question asks for of masks that are there, or, in a unit or as a share, of structures; None
    where it asks for none, or says more than is understood here. QuestionError for a mask that there is not."""
    if _ASKS_MEANING.search(question):
        return None
    polar = _POLAR.match(question)
    # "which is the larger one?" asks what "the larger one" would refer to
    named = references(question, known, chosen=_WHICH.match(question) is None)
    text = blanked(question, named)
    sides: set[str] = set()
    if named and known.glossary is not None:  # "left" of "the left caudate" belongs to the name
        sides = {side for _, _, side in known.glossary.side_words(text)}
        text = known.glossary.without_sides(text)
    if _COUNTED.fullmatch(text) and all(len({_base(name, known) for name in one.names}) == 1 for one in named):
        return Asked("pieces", tuple(name for one in named for name in one.names))
    kind, unit, left = _taken(text)
    of_scan = _OF_SCAN.search(text)
    if of_scan is not None and (kind == "share" or of_scan["much"]):
        kind, (_, unit, left) = "share", _taken(_OF_SCAN.sub(" ", text))
    if re.search(r"\w", re.sub(r"\bm\d+\b", " ", left, flags=re.IGNORECASE)):
        return None
    groups = [one.names for one in named]
    members = tuple(dict.fromkeys(name for group in groups for name in group))
    check_ids(question, known)
    if not kind and not unit and (polar or not members or set(members) - set(recalled(question, known))):
        return None
    kind = kind or _KIND_OF.get(unit, "size")
    if kind == "values" and _WHICH.match(question):  # "which has the highest uptake?"
        kind = "darkest" if re.search(r"\blowest\b", text, re.IGNORECASE) else "brightest"
    if kind in ("size", "volume", *EXTENTS) and any(len(group) > 2 for group in groups):
        return None  # "the ventricles": all of them and their sum, which `assistant.composition` reads
    whole: tuple[str, ...] = ()
    if kind == "ratio" and len(groups) == 2 and len(members) > 2 and not set(groups[0]) & set(groups[1]):
        return Asked("share", groups[0], groups[1], unit)
    if kind == "share" and of_scan is None:
        of = _share_of(text)
        if of is None or of >= len(groups):
            return None
        whole = groups.pop(of)
        members = tuple(dict.fromkeys(name for group in groups for name in group))
    if polar and kind in _SUPERLATIVE:
        pair = _pair(groups, known)
        return Asked(kind, pair, yes_or_no=True) if pair and set(pair) & set(known.masks) else None
    if polar and kind != "overlap":
        return None
    members = members or unnamed(kind, known)
    members = tuple(name for name in members if name not in whole) or members
    if kind == "change":
        members = (members[0], known.base(members[0])) if len(members) == 1 and known.base(members[0]) else ()
    if kind == "place" and WHICH_SIDE.search(question) and any(not side_of(known.masks.get(m, m)) for m in members):
        return None
    if kind in ("ratio", "difference", "asymmetry") and len(members) == 1:
        members = _other_first(members[0], sides, known) or (known.several if members[0] in known.several else ())
    if kind == "asymmetry" and len({_base(name, known) for name in members}) != 1:
        return None
    least, most = {"together": (2, 99), **dict.fromkeys(_OF_TWO, (2, 2))}.get(kind, (1, 99))
    if kind in _SUPERLATIVE:
        least = 2
    if not least <= len(members) <= most:
        return None
    # "show me the larger of the two" is `assistant.composition`'s
    chosen = kind in _SUPERLATIVE and _ASKS_WHICH.search(question) is not None
    by_volume = kind in ("largest", "smallest") and len({_base(name, known) for name in members}) > 1
    told_of_any = ("share", "ratio", "asymmetry", "values", "slices", *EXTENTS)
    of_structures = unit or (chosen and not by_volume) or kind in told_of_any
    if not of_structures and not set(members) <= {*known.masks, *known.absent}:
        return None
    return Asked(kind, members, whole, unit, of_scan=kind == "share" and of_scan is not None)


def _pair(groups: Sequence[tuple[str, ...]], known: Known) -> tuple[str, ...]:
    """The two that "is the left one larger than m1?", "is it larger than the putamen?" and "is the left one larger?"
    compare: of two sides the one that the first has, and where no second is named the other of the last two; () where
    that is not clear."""
    if not groups or len(groups[0]) != 1 or len(groups) > 2:
        return ()
    (one,) = groups[0]
    if len(groups) == 1:
        rest = [other for other in known.several if other != one] if one in known.several else []
    else:
        side = side_of(known.masks.get(one, one))
        sided = [name for name in groups[1] if side_of(known.masks.get(name, name)) == side]
        rest = [name for name in (sided if len(groups[1]) == 2 else groups[1]) if name != one]
    return (one, rest[0]) if len(rest) == 1 else ()


def _base(name: str, known: Known) -> str:
    """A mask's (id) or a structure's name without its side."""
    phrase = known.masks.get(name, name)
    return phrase.removeprefix(f"{side_of(phrase)} ")


def _other_first(one: str, sides: set[str], known: Known) -> tuple[str, ...]:
    """Both sides of a structure of which a question names one and says the other: "of the left to the right
    hippocampus"; () where it does not."""
    mirrored = other_side(known.masks.get(one, one))
    if side_of(mirrored) not in sides:
        return ()
    return next((mask_id for mask_id, phrase in known.masks.items() if phrase == mirrored), mirrored), one


def _taken(text: str) -> tuple[str, str, str]:
    """(kind, unit, what is left of a text without both and without the words that say nothing)."""
    found = ""
    text = re.sub(r"['’]s\b", " is", text)
    unit = next((name for name, said in _UNITS.items() if re.search(rf"\bin (?:{said})\W*$", text, re.IGNORECASE)), "")
    for name, pattern in _UNITS.items():
        text, there = re.subn(rf"{_ALONE[0]}(?:{pattern})(?![a-zà-ÿ0-9³^])", " ", text, flags=re.IGNORECASE)
        unit = unit or (name if there else "")
    for kind, (words, chinese) in _KINDS.items():
        text, there = re.subn(rf"{_ALONE[0]}(?:{words}){_ALONE[1]}|{chinese}", " \1 ", text, flags=re.IGNORECASE)
        found = found or (kind if there else "")
    if found == "slices":
        text = _ON_SLICES.sub(" ", text)
    return found, unit, SAYS_NOTHING.sub(" ", text.replace("\1", " ").replace("\0", " "))


def asks_where(text: str) -> bool:
    """Whether words ask, among other things, where something lies or on which side."""
    words, chinese = _WHERE
    asked = rf"{_ALONE[0]}(?:{words}|(?:which|what) side){_ALONE[1]}|{chinese}"
    return re.search(asked, text, re.IGNORECASE) is not None


def unread(text: str) -> str:
    """The last words of a question that neither ask nor join: "corpus callosum" of "how big is the corpus callosum?".
    Of more than three together the last."""
    runs = [run.split() for run in re.split(r"\s{2,}|[^\w\s'-]", _taken(text)[2]) if run.strip()]
    last = runs[-1] if runs else []
    return " ".join(last if len(last) <= 3 else last[-1:])


def _share_of(text: str) -> int | None:
    """Which of the references (each a NUL) is the whole: the one behind "percent of"."""
    words = re.search(rf"(?:{_KINDS['share'][0]})\s+(?:of|von|du|de la|de|des|del|vom)\b[^\0]*\0", text, re.IGNORECASE)
    return None if words is None else text[: words.end()].count("\0") - 1


def unnamed(kind: str, known: Known) -> tuple[str, ...]:
    """What is asked about where nothing is named: all that was just spoken of, or the mask that is selected."""
    if kind in (*_SUPERLATIVE, *_OF_TWO, "together"):
        return known.several
    if known.selected:
        return (known.selected,)
    return known.absent or tuple(mask_id for mask_id in known.masks if mask_id in known.focus)


def told(asked: Asked, found: Mapping[str, Finding], union: tuple[str, float], parts_ml: float = 0.0) -> str:
    """The answer. found: the finding of each name; union: id ("" where it has none) and mL of the whole that a share
    is of, of the members together, or of what they share; parts_ml: of all members whose share is asked for."""
    members = _members(asked, found)
    if asked.kind in _SUPERLATIVE:
        return _verdict(asked, members) if asked.yes_or_no else _chosen(asked, members)
    if asked.kind == "share":
        whole = "the scan, air and all" if asked.of_scan else listed([found[name] for name in asked.whole])
        of = f"{whole}, {_volume(union[1], asked.unit)}"
        shares = [
            f"{_the(one)} is {percent_of(_ml(one), union[1])} % ({_volume(_ml(one), asked.unit)})" for one in members
        ]
        together = f"; together {percent_of(parts_ml, union[1])} % ({_volume(parts_ml, asked.unit)})"
        return f"Of the volume of {of}, {_joined(shares)}{together if len(shares) > 1 else ''}."
    if asked.kind == "together":
        return f"Together, {listed(members)} are {_volume(union[1], asked.unit)} ({union[0]})."
    if asked.kind == "overlap":
        one, other = members
        if not union[1]:
            return f"No voxel belongs both to {_the(one)} and to {_the(other)}."
        parts = _joined([f"{percent_of(union[1], _ml(each))} % of {_the(each)}" for each in members])
        return f"They share {_volume(union[1], asked.unit)}: {parts}."
    if asked.kind == "ratio":
        one, other = members
        times = float(format_ml(_ml(one))) / float(format_ml(_ml(other)))
        return (
            f"{_The(one)} is {_volume(_ml(one))} and {_the(other)} {_volume(_ml(other))}: "
            f"a ratio of {times:.2f} to 1."
        )
    if asked.kind == "asymmetry":
        one, other = members
        a, b = (float(format_ml(_ml(each))) for each in members)
        if a == b:
            return _difference(one, other)
        percent = percent_of(abs(a - b), (a + b) / 2)
        return f"{_difference(one, other)} That is {percent} % of their mean, an asymmetry index of {percent} %."
    if asked.kind in ("difference", "change"):
        return _difference(*members)
    words = " ".join(f"{_The(one)} {_told_of(one, asked)}." for one in members)
    sizes = (_ml(one) if asked.kind == "volume" else _number(one.longest_diameter_mm) for one in members)
    return _answered(asked, sizes, words)


def _members(asked: Asked, found: Mapping[str, Finding]) -> list[Finding]:
    """What is asked about, each mask once."""
    return list({found[name].id: found[name] for name in asked.members}.values())


def across(asked: Asked, found: Mapping[str, Finding], affine: np.ndarray) -> str:
    """The answer to one of EXTENTS; affine: of the grid of the masks."""
    told, reached = [], []
    for one in _members(asked, found):
        assert one.mask is not None
        far = dict(zip(ACROSS, extent(one.mask, affine), strict=True))
        kinds = ACROSS if asked.kind == "dimensions" else (asked.kind,)
        reached += [far[kind] for kind in kinds]
        parts = [f"{_length(far[kind], asked.unit)} {ACROSS[kind][0]} (from {ACROSS[kind][1]})" for kind in kinds]
        told.append(f"{_The(one)} is {_joined(parts)}.")
    return _answered(asked, reached, " ".join(told))


def _answered(asked: Asked, sizes: Iterable[float], told: str) -> str:
    """What is told, behind yes or no where it is asked whether all sizes keep a bound."""
    return told if asked.bound is None else f"{'Yes' if all(map(asked.bound.holds, sizes)) else 'No'}. {told}"


def slices(asked: Asked, found: Mapping[str, Finding]) -> str:
    """In how many slices of the scan's RAS+ grid each mask is, in which, and where its cut is largest."""
    told = []
    for one in _members(asked, found):
        assert one.mask is not None
        parts = []
        for axis, (plane, start) in zip((2, 1, 0), _PLANES.items(), strict=True):
            areas = one.mask.sum(axis=tuple(a for a in range(3) if a != axis))
            numbers = np.flatnonzero(areas) + 1
            where = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"number {numbers[0]}"
            largest = f", the largest cut in {int(areas.argmax()) + 1}" if len(numbers) > 1 else ""
            parts.append(f"{len(numbers)} {plane} slice{'s' * (len(numbers) > 1)} ({where} {start}{largest})")
        told.append(f"{_The(one)} is in {_joined(parts)}.")
    return f"{' '.join(told)} Slices are counted from 1."


def values(asked: Asked, found: Mapping[str, Finding], voxels: np.ndarray) -> str:
    """Lowest, highest and middle value of the voxels (X, Y, Z) in each mask, and how they vary (standard deviation)."""
    told = []
    for one in _members(asked, found):
        assert one.mask is not None
        inside = voxels[one.mask].astype(np.float64)
        figures = (inside.min(), inside.max(), np.median(inside), inside.std())
        low, high, middle, spread = (format_mean(float(figure)) for figure in figures)
        unit = f" {one.intensity_unit}" if one.intensity_unit else ""
        told.append(
            f"The voxels of {_the(one)} are from {low} to {high}{unit}, with a median of {middle}{unit}, a mean of "
            f"{format_mean(_number(one.mean_intensity))}{unit} and a standard deviation of {spread}{unit}."
        )
    return " ".join(told)


def pieces(asked: Asked, found: Mapping[str, Finding], voxel_ml: float) -> str:
    """Of how many connected pieces (26 neighbours) each mask is, and how large they are."""
    told = []
    for one in _members(asked, found):
        assert one.mask is not None
        parts, count = ndimage.label(one.mask, np.ones((3, 3, 3)))
        if count == 1:
            told.append(f"The mask of {_the(one)} is one connected piece.")
            continue
        sizes = sorted(np.bincount(parts.ravel())[1:] * voxel_ml, reverse=True)
        shown = [_volume(ml) for ml in sizes[:MOST_PIECES]] + (["smaller ones"] if count > MOST_PIECES else [])
        told.append(f"The mask of {_the(one)} is {count} separate pieces: {_joined(shown)}.")
    if not all(one.made for one in _members(asked, found)):
        told.append("Pieces of under a twentieth of the largest are not drawn.")
    return " ".join(told)


def _difference(one: Finding, other: Finding) -> str:
    a, b = format_ml(_ml(one)), format_ml(_ml(other))
    if a == b:
        return f"{_The(one)} and {_the(other)} are equal in volume: {a} mL."
    word = "larger" if _ml(one) > _ml(other) else "smaller"
    by = shown_difference(_ml(one), _ml(other))
    return f"{_The(one)} is {word} than {_the(other)} by {by}: {a} mL against {b} mL."


def _verdict(asked: Asked, members: Sequence[Finding]) -> str:
    one, other = members
    a, b = (_shown(asked.kind, each, asked.unit) for each in members)
    most = _SUPERLATIVE[asked.kind][1]
    right = a != b and (_value(asked.kind, one) > _value(asked.kind, other)) == most
    by_volume = asked.kind in ("largest", "smallest")
    words = _difference(one, other) if by_volume else f"{_The(one)} has {a}, {_the(other)} {b}."
    return f"{'Yes' if right else 'No'}. {words}"


def _value(kind: str, one: Finding) -> float:
    if kind in ("longest", "shortest"):
        return _number(one.longest_diameter_mm)
    return _number(one.mean_intensity) if kind in ("brightest", "darkest") else _ml(one)


def _shown(kind: str, one: Finding, unit: str) -> str:
    if kind in ("longest", "shortest"):
        return _length(_number(one.longest_diameter_mm), unit)
    if kind in ("brightest", "darkest"):
        return f"a mean of {format_mean(_number(one.mean_intensity))} {one.intensity_unit}".rstrip()
    return _volume(_ml(one), unit)


def _told_of(one: Finding, asked: Asked) -> str:
    unit = asked.unit
    if asked.kind == "intensity":
        return f"has a mean intensity of {format_mean(_number(one.mean_intensity))} {one.intensity_unit}".rstrip()
    if asked.kind == "place":
        assert one.centroid_mm is not None
        side = f"is on the patient's {side_of(one.phrase)} and " if side_of(one.phrase) and not one.made else ""
        return f"{side}has its centre at {format_place(one.centroid_mm)} {AXES}"
    length = f"{_length(_number(one.longest_diameter_mm), unit)} at its longest"
    if asked.kind == "length":
        return f"is {length}"
    volume = f"is {_volume(_ml(one), unit)}"
    return f"{volume} and {length}" if asked.kind == "size" or _KIND_OF.get(unit) == "length" else volume


def _chosen(asked: Asked, members: Sequence[Finding]) -> str:
    stem, most = _SUPERLATIVE[asked.kind]
    ordered = sorted(members, key=lambda one: _value(asked.kind, one), reverse=most)
    first, second = ordered[:2]
    best, next_best = (_shown(asked.kind, one, asked.unit) for one in (first, second))
    if best == next_best:
        return f"{_The(first)} and {_the(second)} are equal as measured: {best}."
    word = stem + ("er" if len(ordered) == 2 else "est")
    rest = f", against {next_best} of {_the(second)}" if len(ordered) == 2 else ""
    return f"The {word} of them is {_the(first)}: {best}{rest}."


def _volume(ml: float, unit: str = "") -> str:
    if unit == "mm³":
        return f"{ml * 1000:.0f} mm³"
    if unit == "L":
        return f"{ml / 1000:.3g} L"
    return f"{format_ml(ml)} {unit if unit == 'cm³' else 'mL'}"


def _length(mm: float, unit: str) -> str:
    return f"{float(format_mm(mm)) / 10:.2f} cm" if unit == "cm" else f"{format_mm(mm)} mm"


def percent_of(part: float, whole: float) -> str:
    percent = 100 * part / whole
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}"


def _ml(one: Finding) -> float:
    return _number(one.volume_ml)


def _number(value: float | None) -> float:
    assert value is not None
    return value


def _the(one: Finding) -> str:
    return f"the {one.phrase} ({one.id})"


def _The(one: Finding) -> str:
    return f"The {one.phrase} ({one.id})"


def listed(found: Sequence[Finding]) -> str:
    """Findings with their ids, as a sentence names them."""
    return _joined([_the(one) for one in found])


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
