"""Questions after what no mask measures: how thick a layer is, what an organ weighs, how large its surface is.

The reply says that it is not measured, and measures of the structure what a mask does tell.
"""

from __future__ import annotations

import re

from assistant.composition import Plan, Shown, on_scan, visible
from assistant.glossary import Glossary

# what is asked for -> how a question says it
_UNMEASURED = {
    "thickness": r"thick(?:ness|er|est)?|thin(?:ner|nest)?|dicke?|épaisseur|épaisse?|grosor|gruesa|厚度|多厚",
    "weight": r"weigh(?:s|t)?|how heavy|heavier|wiegt|gewicht|poids|pèse|peso|pesa|重量|多重",
    "surface area": r"surface area|oberfläche|aire de surface|área de superficie|表面积",
    "shape": r"roundness|sphericity|shape index|curvature|folding|gyrification",
    "dose": r"dose|doses|dosis|grays?|gy|剂量",
    "blood flow": r"perfusion|blood (?:flow|volume)|durchblutung|débit sanguin|flujo sanguíneo|血流",
}
_WAYS = "|".join(f"(?P<k{n}>{words})" for n, words in enumerate(_UNMEASURED.values()))
_ASKED = re.compile(f"(?<![a-zà-ÿ])(?:{_WAYS})(?![a-zà-ÿ])", re.IGNORECASE)
_SLICE = re.compile(r"\bslices?\b|\bschicht\w*|\bcoupes?\b|\bcortes?\b|层", re.IGNORECASE)


def read(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where a question asks a structure for what is not measured: that, and the structure's own measurements."""
    asked = _ASKED.search(question)
    mentions = glossary.mentioned(question)
    if asked is None or not mentions or _SLICE.search(question):
        return None
    what = list(_UNMEASURED)[int(str(asked.lastgroup)[1:])]
    there = shown(())
    here = [on_scan(phrases, there) if visible(phrases, there) else phrases[:1] for phrases in mentions]
    targets = [phrase for phrases in here for phrase in phrases]
    return Plan(tuple(dict.fromkeys(targets)), saying=f"I do not measure {what}. What I can measure:")
