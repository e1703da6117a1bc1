"""Names of structures: canonical phrase, side, synonyms, Latin, abbreviations, other languages, codes, what it is for.

Canonical phrases are lower case, side first ("left caudate nucleus"); they are the exact strings between `<p>` and
`</p>`. `lookup` turns any spelling the table knows into the one structure meant; `resolve` also answers words that mean
several ("hippocampi", "basal ganglia", "left deep grey nuclei"); `flip` swaps the sides in a sentence, for left-right
flipped images.

>>> lookup("L HC").name
'left hippocampus'
>>> [s.name for s in resolve("both amygdalae", "brain")]
['left amygdala', 'right amygdala']
>>> flip("Left is smaller than right.")
'Right is smaller than left.'
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from assistant.glossary import Glossary, normalise
from data_recipes.anatomy import GROUPS, RANGE_SOURCES, TAUGHT, UNTAUGHT, Group
from data_recipes.anatomy_body import FURTHER
from data_recipes.anatomy_row import Row
from data_recipes.roles import ROLES

SIDES = ("left", "right")
LANGUAGES = ("de", "fr", "es", "zh")
# Families of scans (what a conversation is about) and the family of structures that each can show.
SCAN_FAMILIES = ("brain", "head_neck", "hippocampus", "tumour_mr", "tumour_pet")

_ADJECTIVE = {
    ("de", "left"): {"m": "linker {}", "f": "linke {}", "n": "linkes {}"},
    ("de", "right"): {"m": "rechter {}", "f": "rechte {}", "n": "rechtes {}"},
    ("fr", "left"): {"m": "{} gauche", "f": "{} gauche"},
    ("fr", "right"): {"m": "{} droit", "f": "{} droite"},
    ("es", "left"): {"m": "{} izquierdo", "f": "{} izquierda"},
    ("es", "right"): {"m": "{} derecho", "f": "{} derecha"},
    ("la", "left"): {"m": "{} sinister", "f": "{} sinistra", "n": "{} sinistrum"},
    ("la", "right"): {"m": "{} dexter", "f": "{} dextra", "n": "{} dextrum"},
}
_SIDE_WORDS = {
    "left": "left", "l": "left", "lt": "left", "lh": "left", "sin": "left", "sinister": "left", "sinistra": "left",
    "sinistrum": "left", "linke": "left", "linker": "left", "linkes": "left", "linken": "left", "gauche": "left",
    "izquierdo": "left", "izquierda": "left",
    "right": "right", "r": "right", "rt": "right", "rh": "right", "dex": "right", "dexter": "right", "dextra": "right",
    "dextrum": "right", "rechte": "right", "rechter": "right", "rechtes": "right", "rechten": "right",
    "droit": "right", "droite": "right", "derecho": "right", "derecha": "right",
}  # fmt: skip
_BOTH_WORDS = {"both", "bilateral", "bilaterally", "beide", "beiden", "les", "deux", "ambos", "ambas", "two", "paired"}
_FILLERS = {
    "the", "a", "an", "of", "on", "in", "at", "side", "sides", "sided", "hand", "hemisphere", "hemispheres", "der",
    "die", "das", "den", "le", "la", "el", "los", "las", "du", "de", "del", "all",
    "and", "und", "et", "y", "each",
}  # fmt: skip


@dataclass(frozen=True)
class Structure:
    """One thing a user can ask for.

    `name` is the canonical phrase; `base` the name without its side; `side` "left", "right" or None. `taught` says
    whether the embedded model has masks for it. `functions` complete "the structure that ...". `freesurfer` are label
    numbers of an aseg map. `codes` maps "SCT" and "UBERON" to the code of the unsided structure where one is known.
    `reference_range_ml` is (low, high, where it was measured): what some scans showed, not a clinical norm.
    """

    name: str
    base: str
    side: str | None
    families: tuple[str, ...]
    taught: bool
    synonyms: tuple[str, ...]
    abbreviations: tuple[str, ...]
    latin: tuple[str, ...]
    translations: Mapping[str, tuple[str, ...]] = field(compare=False)
    functions: tuple[str, ...] = ()
    freesurfer: tuple[int, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict, compare=False)
    reference_range_ml: tuple[float, float, str] | None = None

    @property
    def function(self) -> str:
        """First function fragment, or "" where none is known."""
        return self.functions[0] if self.functions else ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that means this structure, the canonical one first; no repeats."""
        other = [n for names in self.translations.values() for n in names]
        return tuple(dict.fromkeys([self.name, *self.synonyms, *self.abbreviations, *self.latin, *other]))


def _split(names: str) -> list[str]:
    return [n for n in names.split("|") if n]


def _gendered(names: str, language: str, side: str | None) -> tuple[str, ...]:
    out = []
    for entry in _split(names):
        gender, noun = entry.split(" ", 1)
        out.append(noun if side is None else _ADJECTIVE[language, side][gender].format(noun))
    return tuple(out)


def _chinese(names: str, side: str | None) -> tuple[str, ...]:
    prefixes = {None: [""], "left": ["左", "左侧"], "right": ["右", "右侧"]}[side]
    return tuple(prefix + name for name in _split(names) for prefix in prefixes)


def _structure(row: Row, side: str | None, taught: bool) -> Structure:
    english, abbreviations = _split(row.en), _split(row.abbr)
    if side is None:
        synonyms, short = tuple(english), tuple(abbreviations)
    else:
        letter = side[0].upper()
        words = [row.base, *english]
        synonyms = tuple(
            [f"{side} {n}" for n in english]
            + [f"{letter} {n}" for n in words]
            + [f"{side}-sided {n}" for n in words]
            + [f"{n} on the {side}" for n in words]
            + [f"{n} ({side})" for n in words]
            + [f"{n}, {side}" for n in words]
            + [f"{side}-hand {n}" for n in words]
        )
        short = tuple(
            form for n in abbreviations for form in (f"{letter} {n}", f"{side} {n}", f"{letter}-{n}", f"{n}_{letter}")
        )
    index = SIDES.index(side) if side else 0
    codes = {key: value for key, value in (("SCT", row.sct), ("UBERON", row.uberon)) if value}
    return Structure(
        name=f"{side} {row.base}" if side else row.base,
        base=row.base,
        side=side,
        families=tuple(_split(row.families)),
        taught=taught,
        synonyms=synonyms,
        abbreviations=short,
        latin=_gendered(row.latin, "la", side),
        translations={
            "de": _gendered(row.de, "de", side),
            "fr": _gendered(row.fr, "fr", side),
            "es": _gendered(row.es, "es", side),
            "zh": _chinese(row.zh, side),
        },
        functions=tuple(_split(row.functions)),
        freesurfer=row.freesurfer[index : index + 1] if row.freesurfer else (),
        codes=codes,
        reference_range_ml=(row.ml[0], row.ml[1], RANGE_SOURCES[row.ml[2]]) if row.ml else None,
    )


@cache
def all_structures() -> tuple[Structure, ...]:
    """Every structure, taught ones first, in table order, left before right."""
    out = []
    for rows, taught in ((TAUGHT, True), (UNTAUGHT, False)):
        for row in rows:
            out += [_structure(row, side, taught) for side in (SIDES if row.sided else (None,))]
    return tuple(out)


@cache
def asked() -> tuple[Structure, ...]:
    """The structures that the embedded model's training speaks of, in table order: all but those of `anatomy_body.py`.

    What its phrase states are whitened with and which wordings it never reads depend on these names.
    """
    further = {row.base for row in FURTHER}
    return tuple(s for s in all_structures() if s.base not in further)


@cache
def by_name() -> Mapping[str, Structure]:
    """Canonical phrase -> structure."""
    return {s.name: s for s in all_structures()}


@cache
def _name_index() -> Mapping[str, tuple[Structure, ...]]:
    """Normalised name -> structures it names; the first is the one meant when no family of scan is given."""
    index: dict[str, list[Structure]] = {}
    for s in all_structures():
        index.setdefault(normalise(s.name), []).insert(0, s)  # a canonical phrase outranks any synonym
    for s in all_structures():
        for name in s.names:
            entry = index.setdefault(normalise(name), [])
            if s not in entry:
                entry.append(s)
    return {key: tuple(value) for key, value in index.items()}


@cache
def _base_index() -> Mapping[str, tuple[Row, ...]]:
    """Normalised unsided name, singular or plural, any language -> rows."""
    index: dict[str, list[Row]] = {}
    for row in (*TAUGHT, *UNTAUGHT):
        plain = [e.split(" ", 1)[1] for names in (row.latin, row.de, row.fr, row.es) for e in _split(names)]
        for name in [row.base, *_split(row.en), *_split(row.plural), *_split(row.abbr), *plain, *_split(row.zh)]:
            entry = index.setdefault(_sides_in(normalise(name))[2], [])
            if row not in entry:
                entry.append(row)
    return {key: tuple(value) for key, value in index.items()}


def _sides_in(text: str) -> tuple[set[str], bool, str]:
    """Sides named in a normalised text, whether it says both, and the text without those words and fillers."""
    chinese = {"左侧": "left", "左": "left", "右侧": "right", "右": "right"}
    sides, both, rest = set(), False, []
    for word in text.split():
        for mark, side in chinese.items():
            if word.startswith(mark):
                sides.add(side)
                word = word[len(mark) :]
        if word.startswith("双侧"):
            both, word = True, word[2:]
        if word in _SIDE_WORDS:
            sides.add(_SIDE_WORDS[word])
        elif word in _BOTH_WORDS:
            both = True
        elif word and word not in _FILLERS:
            rest.append(word)
    return sides, both or len(sides) == 2, " ".join(rest)


def _can_show(scan_family: str | None, families: tuple[str, ...]) -> bool:
    return scan_family is None or structure_family(scan_family) in families


def structure_family(scan_family: str) -> str:
    """Family of structures a scan of this family shows: "tumour_mr" and "tumour_pet" both show "tumour"."""
    return "tumour" if scan_family.startswith("tumour") else scan_family


def lookup(text: str, family: str | None = None) -> Structure | None:
    """The one structure that `text` names, in any known spelling or language; None if unknown or if it names several.

    `family` (one of SCAN_FAMILIES) settles names shared by two families. "hippocampus" without a side is the whole
    hippocampus of a crop, so in a "brain" scan it is None here and both sides in `resolve`.
    """
    found = resolve(text, family)
    return found[0] if len(found) == 1 else None


def resolve(text: str, family: str | None = None) -> tuple[Structure, ...]:
    """All structures that `text` means, left before right, in the order a reply grounds them; () if unknown."""
    key = normalise(text).removeprefix("the ")
    exact = _name_index().get(key, ())
    shown = [s for s in exact if _can_show(family, s.families)]
    if shown:
        return (shown[0],)
    sides, both, rest = _sides_in(key)
    group = _group_index().get(rest)
    if group and _can_show(family, group.families):
        wanted = [s for s in SIDES if s in sides] if sides and not both else list(SIDES)
        found = [s for base in group.bases for s in _sided(base, wanted, group.families[0])]
        if found:
            return tuple(found)
    rows = _base_index().get(rest, ())
    for row in sorted(rows, key=lambda r: not _can_show(family, tuple(_split(r.families)))):
        names = by_name()
        if not row.sided:
            # "left liver" is no name of the liver, and a crop's hippocampus has no side; but "both" is harmless
            if not sides and (family is None or _can_show(family, tuple(_split(row.families)))):
                return (names[row.base],)
            continue
        wanted = [s for s in SIDES if s in sides] if sides and not both else list(SIDES)
        return tuple(names[f"{side} {row.base}"] for side in wanted)
    return (exact[0],) if exact else ((by_name()[rows[0].base],) if rows and not rows[0].sided and not sides else ())


# Names of the table that mostly stand for other words: French for the spleen, abbreviations at a sentence's start,
# Spanish for "without"
_WORDS_TOO = {"rate", "Am", "Hip", "Pal", "Par", "Put", "Tu", "sin"}


def glossary() -> Glossary:
    """All names of the table, for `assistant.glossary` to find in a question.

    A name without a side stands for both sides (and for the whole where there is one), a plural too, a group's name for
    all that is in it. What the table calls an abbreviation counts as it is spelled."""
    names: dict[str, list[str]] = {}
    short: dict[str, list[str]] = {}

    def enter(name: str, phrase: str, abbreviation: bool) -> None:
        chinese = not name.isascii() and any("\u4e00" <= c <= "\u9fff" for c in name)
        exact = abbreviation and not chinese
        if name in _WORDS_TOO:
            return
        entry = (short if exact else names).setdefault(name if exact or chinese else normalise(name), [])
        if phrase not in entry:
            entry.append(phrase)

    for row in (*TAUGHT, *UNTAUGHT):
        phrases = [f"{side} {row.base}" for side in SIDES] if row.sided else [row.base]
        plain = [e.split(" ", 1)[1] for group in (row.latin, row.de, row.fr, row.es) for e in _split(group)]
        for phrase in phrases:
            for name in (row.base, *_split(row.en), *_split(row.plural), *plain, *_split(row.zh)):
                enter(name, phrase, False)
            for name in (part for abbreviation in _split(row.abbr) for part in abbreviation.split("/")):
                enter(name, phrase, " " not in name)
    for structure in all_structures():
        for name in (*structure.synonyms, *structure.latin, *(n for t in structure.translations.values() for n in t)):
            enter(name, structure.name, False)
    for group in GROUPS:
        members = [s.name for base in group.bases for s in _sided(base, list(SIDES), group.families[0])]
        for name in (group.name, *group.synonyms):
            if normalise(name) not in names and " and " not in name:  # what names one structure means that one
                for phrase in members:
                    enter(name, phrase, False)
    sides = {word: side for word, side in _SIDE_WORDS.items() if word not in _WORDS_TOO}
    long, exact = ({k: tuple(v) for k, v in table.items()} for table in (names, short))
    return Glossary(long, exact, sides, roles=ROLES)


@cache
def _group_index() -> Mapping[str, Group]:
    return {_sides_in(normalise(n))[2]: g for g in GROUPS for n in (g.name, *g.synonyms)}


def _sided(base: str, sides: list[str], family: str) -> list[Structure]:
    names = by_name()
    if f"left {base}" in names:
        return [names[f"{side} {base}"] for side in sides]
    # a midline member belongs to a group asked for on both sides, not to "the left ventricles"
    return [names[base]] if base in names and family in names[base].families and len(sides) == 2 else []


def taught(family: str) -> tuple[Structure, ...]:
    """Structures that the embedded model has masks for in a scan of this family (one of SCAN_FAMILIES)."""
    if family not in SCAN_FAMILIES:
        raise ValueError(f"unknown scan family {family!r}; it must be one of {', '.join(SCAN_FAMILIES)}")
    return tuple(s for s in all_structures() if s.taught and structure_family(family) in s.families)


WHOLES = {"brain", "hippocampus"}  # taught structures that others are parts of


def exclusive(families: Sequence[str] = SCAN_FAMILIES) -> tuple[tuple[str, ...], ...]:
    """Taught structures that never share a voxel, a group for each kind of scan: neighbours, without what is a whole of
    others. A tumour grows into its neighbours and is a group of its own."""
    groups = (tuple(s.name for s in taught(family) if s.name not in WHOLES) for family in families)
    return tuple(dict.fromkeys(group for group in groups if group))


def surely_absent(family: str) -> tuple[Structure, ...]:
    """Structures that a scan of this family cannot show, so that "not found" is the right answer.

    Conservative: what a scan's edge may just include (a cord below a brain scan, eyes in front of it) is left out, and
    of a family that is none of SCAN_FAMILIES nothing is known: ().
    """
    if family not in SCAN_FAMILIES:
        return ()
    away = {"abdomen", "pelvis", "thorax"}
    brain_too = {"tumour_mr", "tumour_pet"}
    out = []
    for s in all_structures():
        far = bool(away & set(s.families)) and not (family in brain_too and s.families[0] in ("pelvis", "thorax"))
        head = family in brain_too and s.families[0] in ("brain", "head_neck") and s.name != "spinal cord"
        neck = family in ("brain", "hippocampus") and s.name in ("larynx", "esophagus", "thyroid gland", "trachea")
        if family == "head_neck" and s.families[0] == "thorax":
            far = False  # lung apices, the aortic arch and the trachea may be in the field of view
        if far or head or neck:
            out.append(s)
    return tuple(out)


@cache
def _flipped_words() -> re.Pattern[str]:
    """Words of a side, but not where they are part of a name: a mirrored left atrium is still the left atrium."""
    names = (s.name.split(" ", 1) for s in all_structures() if s.side is None)
    kept = "|".join(re.escape(name[1]) for name in names if name[0] in SIDES)
    return re.compile(rf"\b(left|right)(?! (?:{kept})\b)(?=\b|-|ward|most)", re.IGNORECASE)


def flip(text: str) -> str:
    """Swap left and right in English words, case kept ("Left" -> "Right"); everything else is untouched.

    The heart's chambers keep their names, which are not those of a side.
    """

    def swap(match: re.Match[str]) -> str:
        word = match.group(1)
        other = "right" if word.lower() == "left" else "left"
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return _flipped_words().sub(swap, text)
