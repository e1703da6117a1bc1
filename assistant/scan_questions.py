"""Questions about the scan itself, its patient and its files: "what is the voxel size?", "how old is the patient?",
"can I save the masks?".

They name no structure, so there is nothing to ground. The header answers, or the reply says what the program does not
read, or where the thing is done; a language model of this size would look for a structure, or make the answer up.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from assistant.evidence import format_mean, format_mm
from assistant.recap import plain
from assistant.reference import Known
from assistant.volume import Volume

# All are read as `recap.plain` gives a text
_SCAN = r"(?:(?:the|this|my|that) )?(?:scan|image|volume|picture|file)"
_ASKS = (
    r"(?:(?:(?:can|could) you )?(?:tell|give|show) me |do you know |what (?:is|are|about) |which is "
    r"|wie (?:groß |hoch )?(?:ist|sind) |was ist |qu(?:el|elle)s? (?:est|sont) |cu[aá]l(?:es)? (?:es|son) )?"
    r"(?:the |its |die |der |das |la |le |l |el )?"
)
_OF_SCAN = (
    r"(?: (?:of|in|on|for|from|des|der|von|de|du|del) (?:the |this |my |dem )?"
    rf"(?:{_SCAN}|scans?|bildes|imagen?|it))?"
)
_KINDS = r"(?:an? )?(?:mri?|mrt|irm|ct|tac|pet|magnetic resonance|tomography|ultrasound|x ray)(?: scan| image)?"
_BODY = r"(?:man|woman|male|female|child|adult|boy|girl)"
_PERSON = r"(?:the |this |my |that )?(?:patient|person|subject|man|woman|child)"

_VOXEL = re.compile(
    rf"{_ASKS}(?:"
    r"(?:(?:voxel|pixel|image|scan|spatial|slice)s? )?(?:spacing|resolution)|(?:voxel|pixel)s? (?:size|dimensions?)"
    r"|slice (?:thickness|distance)|size of (?:an?|the|each|one) (?:voxel|pixel)s?"
    r"|voxelgröße|auflösung|schichtdicke|taille des? voxels?|résolution|épaisseur de coupe"
    rf"|tamaño del? v[oó]xel(?:es)?|resoluci[oó]n|grosor de corte){_OF_SCAN}"
    rf"|how (?:big|large|thick|far apart) (?:is|are) (?:an?|the|each|one|its) (?:voxel|pixel|slice)s?{_OF_SCAN}"
    r"|(?:(?:体素|像素)(?:大小|尺寸)|层厚|分辨率)(?:是多少)?"
)
_SHAPE = re.compile(
    r"how many (?:slices|voxels|pixels|images)"
    rf"(?: are there| are| does (?:it|{_SCAN}) have| has (?:it|{_SCAN}))?{_OF_SCAN}"
    rf"|{_ASKS}(?:(?:number|count) of (?:slices|voxels)|(?:matrix|scan|image|volume) (?:size|dimensions?|shape)"
    rf"|(?:size|dimensions?|shape) of {_SCAN}|matrix|field of view|fov){_OF_SCAN}"
    rf"|how (?:big|large) is {_SCAN}"
    r"|wie viele (?:schichten|voxel) (?:hat|gibt|sind).*|combien de (?:coupes|voxels).*"
    r"|cu[aá]ntos (?:cortes|v[oó]xeles).*|有?多少层|图像尺寸(?:是多少)?"
)
_KIND = re.compile(
    rf"{_ASKS}(?:modality|(?:kind|type|sort) of {_SCAN}){_OF_SCAN}|(?:what|which) modality is (?:it|that|{_SCAN}|this)"
    rf"|(?:is|ist) (?:this|it|that|das|dies|{_SCAN})(?: ein)? {_KINDS}(?: (?:or|oder)(?: ein)? {_KINDS})*"
    r"|这是什么(?:扫描|模态)|这是(?:mr|ct|pet)吗"
)
_VALUES = re.compile(
    rf"{_ASKS}(?:(?:intensity|values?|gr[ae]y|hu|hounsfield|suv)(?: value)? range"
    r"|range of (?:the )?(?:intensit(?:y|ies)|(?:gr[ae]y )?values)"
    r"|(?:(?:min(?:imum)?|max(?:imum)?|highest|lowest)(?: and | or | )){1,2}(?:intensity|(?:gr[ae]y )?values?))"
    rf"{_OF_SCAN}"
)
_PATIENT = re.compile(
    rf"how (?:old|tall|heavy) (?:is|was) (?:he|she|{_PERSON})|who is (?:this|{_PERSON})|whose scan is (?:this|it)"
    rf"|(?:{_ASKS})(?:{_PERSON}|his|her)(?: is)? (?:age|sex|gender|name|weight|height|birthday|identity|id)"
    rf"|{_ASKS}(?:age|sex|gender|name|identity|date of birth) of {_PERSON}|what (?:age|sex|gender) (?:is|has) .*"
    rf"|is (?:this|it|he|she|{_PERSON}) (?:an? )?(?:old |young )?{_BODY}(?: or (?:an? )?{_BODY})?"
    rf"|(?:when|where|by whom) was (?:this|it|{_SCAN}) (?:taken|made|acquired|recorded|done|scanned)(?: .*)?"
    r"|wie alt ist (?:der|die|dieser|diese) patient(?:in)?|quel âge a .*|cu[aá]ntos años tiene .*"
    r"|(?:病人|患者)(?:多大了?|几岁了?|的?年龄.*|是男是女|的?性别.*)"
)
_RESULTS = (
    r"(?:masks?|segmentations?|results?|findings?|labels?(?: map)?|table|measurements?|volumes?|numbers|conversation)"
)
_SAVED = re.compile(
    r"(?:(?:can|could|may|how (?:do|can|could|should)|i (?:want|would like|need)|is it possible|how)"
    r"(?: (?:i|you|we))?(?: to)? )?(?:export|save|download|store)"
    rf" (?:it|this|that|them|these|everything|all|both|(?:all )?(?:the|this|my|your|these|those) {_RESULTS})"
    r"(?: (?:as|to|in|into) .*)?(?: please)?|(?:masken?|ergebnisse) (?:speichern|exportieren|herunterladen)"
)
_EARLIER = re.compile(
    r".*\b(?:since|compared (?:to|with)|than|from|after) (?:in |on |at )?(?:the |my |an? |his |her )?"
    r"(?:(?:last|previous|prior|earlier|first|baseline|old) (?:time|scan|exam\w*|visit|study|image|mri?|ct|pet)"
    r"|before|baseline)"
)
_VERBS = r"(?:(?:can|could) you )?(?:please )?(?:delete|erase|discard|hide|get rid of|remove)"
_DELETED = re.compile(
    rf"{_VERBS}(?: the)?(?: masks?)? "
    r"(?:m ?\d+(?:(?: and)? m ?\d+)*|it|them|(?:this|that)(?: mask| one)?|(?:all (?:of )?)?(?:the )?masks?|all)"
)

# NUL for a structure
_HIDDEN = re.compile(
    rf"\W*{_VERBS}(?:\W+(?:the )?masks? of)?(?:\W+the|\W+both)?\W+\0(?:\W+masks?)?(?:\W+and(?:\W+the)?\W+\0)*"
    r"(?:\W+please)?\W*",
    re.IGNORECASE,
)


def answer(text: str, volume: Volume, known: Known) -> str:
    """What the program says itself to a question about the scan, its patient or its files; "" where it is about
    anything else, a structure above all."""
    words = plain(text)
    if _EARLIER.fullmatch(words) and not known.masks.keys() & set(words.split()):
        return _beside_a_prior(volume)
    if known.glossary is not None and known.glossary.mentioned(text):
        return _hiding(volume) if _HIDDEN.fullmatch(known.glossary.frame(text)) else ""
    return next((said(volume) for asked, said in _ANSWERS if asked.fullmatch(words)), "")


def _voxel(volume: Volume) -> str:
    across = " x ".join(format_mm(mm) for mm in volume.spacing)
    return f"Its voxels are {across} mm (x, y, z in RAS+ order: left to right, back to front, foot to head)."


def _shape(volume: Volume) -> str:
    x, y, z = volume.shape
    reach = " x ".join(format_mm(mm) for mm in volume.extent_mm)
    return (
        f"It has {x} x {y} x {z} voxels, which is {x} sagittal, {y} coronal and {z} axial slices, and covers {reach} "
        "mm (x, y, z in RAS+ order)."
    )


def _kind(volume: Volume) -> str:
    how = {"header": "its header says so", "estimated": "estimated, since its header does not say", "given": "as given"}
    return f"This is {volume.modality} ({how[volume.modality_source]})."


def _values(volume: Volume) -> str:
    low, high = (format_mean(float(value)) for value in (volume.voxels.min(), volume.voxels.max()))
    return f"Its values go from {low} to {high} {volume.intensity_unit or '(in no unit that the file names)'}."


def _nobody(_: Volume) -> str:
    return (
        "I cannot tell: of a scan I read its voxels, where they lie and what kind of scan it is, not who the patient "
        "is, or when and where it was made."
    )


def _keeping(_: Volume) -> str:
    return (
        'Masks and measurements are saved outside the conversation: with "Download masks" on the desk, /export in '
        "`deixis chat`, --out in `deixis ask`, or session.export(folder) in Python."
    )


def _beside_a_prior(_: Volume) -> str:
    return (
        "That takes the earlier scan: open it in Compare with a prior on the desk, with `deixis compare`, or with "
        "session.compare(prior, question) in Python."
    )


def _hiding(_: Volume) -> str:
    return (
        "Words delete no mask. Undo takes back the last question with its masks (/undo in `deixis chat`, "
        "session.undo() in Python), and the list of findings on the desk shows or hides each mask."
    )


_ANSWERS: tuple[tuple[re.Pattern[str], Callable[[Volume], str]], ...] = (
    (_VOXEL, _voxel), (_SHAPE, _shape), (_KIND, _kind), (_VALUES, _values),
    (_PATIENT, _nobody), (_SAVED, _keeping), (_DELETED, _hiding),
)  # fmt: skip
