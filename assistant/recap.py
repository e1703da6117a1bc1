"""What was found so far, told again: as a list, and where it is doubted.

A doubt changes no measurement. The answer says what was measured, how sure the outline is, and how it can be changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.ellipsis import goes_on
from assistant.evidence import format_ml, format_mm, format_probability
from assistant.findings import Finding
from assistant.glossary import other_side
from assistant.reference import Known, references
from assistant.volume import Volume

# Read in lower case, apostrophes undone ("it is", "do not"), without punctuation
_THINGS = r"(?:masks?|findings?|results?|measurements?|numbers|volumes)"
_ALL_OF = rf"(?: (?:it|this|that|them|all|everything|(?:all )?(?:the |your |our |my )?{_THINGS}))"
_FOUND = r"(?:found|find|seen|see|measured|measure|segmented|outlined|have|got)"
_ASKS_FOR_ALL = re.compile(
    r"(?:what|which)(?: structures| masks| organs)? (?:have|did|do|has|was|were|is|are)(?: you| we| been)?"
    rf"(?: {_FOUND})? (?:so far|until now|up to now|already|yet)"
    rf"|what (?:have|did) (?:you|we) {_FOUND}|which masks (?:are there|do (?:you|we) have)"
    rf"|(?:list|show|give|tell|repeat)(?: me)?(?: all)?(?: of)?(?: the| my| our| your)? {_THINGS}"
    rf"|(?:summari[sz]e|sum up|recapitulate|recap){_ALL_OF}?"
    r"|(?:(?:give|write|make|show)(?: me)? )?(?:an? |the )?(?:short |brief )?(?:summary|recap|overview)"
    rf"(?: of{_ALL_OF})?"
    r"|fass(?:e|en sie)?(?: es| das| alles)? zusammen|zusammenfassung|was hast du (?:bisher |bis jetzt )?gefunden"
    r"|résume[zr]?|résumé|qu as tu trouvé|resumen|resume|qué has encontrado|总结(?:一下)?|(?:你)?(?:找到|发现)了什么"
)
_SCAN = r"(?:scan|image|volume|picture)"
_ASKS_TO_DESCRIBE = re.compile(
    rf"(?:describe|explain) (?:it|(?:this|the|my)(?: {_SCAN})?)|what am i looking at"
    rf"|what (?:kind|type|sort) of {_SCAN} is (?:this|it)|what (?:does|can) (?:this|the) {_SCAN} show"
    rf"|what is (?:in|on|visible (?:in|on)) (?:this|the) {_SCAN}|tell me about (?:this|the) {_SCAN}"
    r"|how many (?:different )?(?:structures|organs|regions) (?:can (?:you|i) (?:see|find|show|segment|outline)"
    r"|do you (?:see|find|know)|are (?:there|visible|shown|here))"
    rf"(?: (?:here|in (?:this|the) {_SCAN}))?"
    r"|beschreibe? (?:diesen|den|das) (?:scan|bild)|was zeigt (?:dieser|der|das) (?:scan|bild)"
    r"|décris (?:ce|cette|l) (?:scan|image|scanner)|describe (?:esta|la) imagen"
    r"|描述(?:一下)?(?:这个|这张)?(?:扫描|图像)"
)
_DOUBTS = re.compile(
    r"(?:that|this|it) is(?: just| simply| clearly)? (?:wrong|incorrect|false|impossible|not (?:right|true|correct))\b"
    r"|(?:that|this|it) can ?not be (?:right|true|correct)\b|(?:wrong|incorrect|really|not true|i disagree)$"
    r"|you (?:are (?:wrong|mistaken)|made a mistake)\b|(?:are you )?(?:really |quite )?(?:sure|certain)\b"
    r"|is that (?:really )?(?:right|correct|true)\b|i (?:do not|can ?not) (?:believe|agree|trust)\b|i doubt\b"
    r"|(?:i (?:think|believe|say|know)(?: that)? )?(?:it|this|that|they|these) "
    r"(?:(?:must|should|has to|have to|ought to) be|(?:is|are)(?: much| far| clearly| really| a lot| not| too)* "
    r"(?:bigger|larger|smaller|longer|shorter|more|less|big|large|small|on the (?:other|left|right)))\b"
    r"|bist du sicher|das (?:stimmt nicht|ist falsch)|(?:tu es|es tu|êtes vous) sûre?\b|c est faux"
    r"|est[aá]s segur[oa]|es (?:falso|incorrecto)|你确定|不对"
)
_UNDOES = re.compile(
    r"(?:undo|redo|revert|take back|discard|cancel)(?: (?:it|that|this|the last(?: one| step| answer| operation)?))?"
    r"|take (?:it|that|this) back|rückgängig(?: machen)?|annuler?|deshacer|撤销"
)
_LEADS = re.compile(r"(?:(?:please|now|ok|okay|so|and|but|no|nope|well|hm+|can you|could you) )+")
_TAILS = re.compile(r"(?: (?:so far|until now|please|again|jusqu ici|hasta ahora))+$")
_SHORT = (("n['’]t\\b", " not"), ("['’]s\\b", " is"), ("['’]re\\b", " are"), (r"[^\w]+", " "))
MOST_DOUBTED = 4  # of more masks nobody doubts each


def plain(text: str) -> str:
    """A text in lower case, apostrophes undone, without punctuation and without what leads up to a request."""
    text = text.lower()
    for written, meant in _SHORT:
        text = re.sub(written, meant, text)
    return _LEADS.sub("", text.strip(), count=1) if _LEADS.match(text.strip()) else text.strip()


def asks_for_all(text: str) -> bool:
    """Whether a text asks for everything that was found so far, or for a summary of it."""
    said = plain(text)
    return any(_ASKS_FOR_ALL.fullmatch(words) for words in (said, _TAILS.sub("", said)))


def asks_to_describe(text: str) -> bool:
    """Whether a text asks what the scan is and shows, and nothing more."""
    return _ASKS_TO_DESCRIBE.fullmatch(_TAILS.sub("", plain(text))) is not None


def described(volume: Volume, shown: Sequence[str]) -> str:
    """The scan's kind and grid, and the taught structures that it shows, sides together."""
    shape = " x ".join(str(n) for n in volume.shape)
    spacing = " x ".join(format_mm(mm) for mm in volume.spacing)
    words = f"This is {volume.modality} of {shape} voxels, {spacing} mm each (in RAS+ order)."
    names = []
    for name in shown:
        mirrored = other_side(name)
        bare = name.partition(" ")[2]
        if mirrored != name and mirrored in shown:
            names += [] if f"{bare} (left and right)" in names else [f"{bare} (left and right)"]
        else:
            names.append(name)
    if not names:
        return f"{words} I know none of what I was taught to find by a first look: ask for a structure by its name."
    return (
        f"{words} Of what I was taught to find, a first look shows {len(shown)}: {', '.join(names)}. "
        "Ask for any of them, or for everything; what I was never taught may be there as well."
    )


def asks_to_undo(text: str) -> bool:
    """Whether a text wants what was done last taken back, or brought again."""
    return _UNDOES.fullmatch(plain(text)) is not None


def all_found(found: Sequence[Finding]) -> str:
    """Every mask with its numbers, in its last version, a line each; then what was not found."""
    masks = {one.id: one for one in found if one.present}
    names = {one.phrase for one in masks.values()}
    absent = dict.fromkeys(one.phrase for one in found if one.taught and one.phrase not in names)
    untaught = dict.fromkeys(one.phrase for one in found if not one.taught and one.phrase not in names)
    count = f"{len(masks)} mask{'' if len(masks) == 1 else 's'} so far:"
    parts = [count, *map(_line, masks.values())] if masks else []
    if absent:
        parts.append(f"Looked for and not found: {', '.join(absent)}.")
    if untaught:
        parts.append(f"Never taught, so that nothing can be said of them: {', '.join(untaught)}.")
    return "\n".join(parts) or "Nothing has been looked for yet: ask for a structure, or for everything."


def _line(one: Finding) -> str:
    made = f" ({one.made})" if one.made not in ("", one.phrase) else ""
    return f"- {one.id} {one.phrase}{made}: {_size(one)}"


def _size(one: Finding) -> str:
    assert one.volume_ml is not None
    assert one.longest_diameter_mm is not None
    return f"{format_ml(one.volume_ml)} mL, {format_mm(one.longest_diameter_mm)} mm at its longest"


def doubted(text: str, known: Known) -> tuple[str, ...]:
    """The masks (ids) or the structures that were not found (phrases) of which a text denies or doubts what was said,
    and asks for nothing else; () where it does not."""
    if known.glossary is None or _DOUBTS.match(plain(text)) is None or goes_on(text, known.glossary):
        return ()
    about = known.absent or tuple(mask_id for mask_id in known.masks if mask_id in known.focus)
    if known.selected:
        about = (known.selected,)
    named = {name for one in references(text, known) for name in one.names}
    return about if len(about) <= MOST_DOUBTED and named <= set(about) else ()


def stood_by(found: Sequence[Finding]) -> str:
    """What was measured, how sure it is, and how it can be changed."""
    parts = [_again(one) for one in found]
    present = [one.id for one in found if one.present]
    if present:
        parts.append(
            "These numbers are measured on the mask, and saying otherwise does not change them. If it is drawn "
            f'wrongly, refine it with points or a box, or say, for example, "grow {present[0]} by 2 mm".'
        )
    else:
        parts.append('If you see it, click on it or draw a box around it, and ask "What is this?".')
    return " ".join(parts)


def _again(one: Finding) -> str:
    if not one.taught:
        return f"I was never taught to find the {one.phrase}, so I cannot say whether it is there."
    if not one.present:
        return f"The {one.phrase} was looked for and not found: its presence is {format_probability(one.presence)}."
    sure = ""
    if not one.made and one.quality is not None:
        sure = (
            f" Its presence is {format_probability(one.presence)}, and the estimated overlap of its outline with an "
            f"expert's {format_probability(one.quality)}."
        )
    return f"The {one.phrase} ({one.id}) measures {_size(one)}.{sure}"
