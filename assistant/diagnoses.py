"""Questions after a disease: "does the patient have Alzheimer's disease?", "rule out hydrocephalus", "is the spinal
cord compressed?".

A mask is no diagnosis, and a disease is no structure that could be looked for. The reply says so, and measures what
such a question is about, where the scan shows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.composition import Plan, Shown, on_scan, visible
from assistant.glossary import Glossary

# disease as a question writes it -> the names of what to measure for it, "" for nothing that a mask shows
_DISEASES = {
    r"alzheimer\w*(?:['’]s)?(?: disease)?|demen[tz]\w*|démence\w*|demencia|阿尔茨海默病?|痴呆": "hippocampus",
    r"epilep\w+|mesial temporal sclerosis|癫痫": "hippocampus",
    r"hydroceph\w+|hydrozephalus|hidrocefalia|脑积水": "lateral ventricle",
    r"huntington\w*(?:['’]s)?(?: disease)?|亨廷顿病?": "caudate nucleus",
    r"cerebellar (?:ataxia|degeneration)": "cerebellum",
    r"mumps|parotitis|sialadenitis|sj[oö]gren\w*(?:['’]s)?(?: syndrome)?": "parotid gland",
    r"laryngitis": "larynx",
    r"o?esophagitis": "esophagus",
    r"myelitis|myelopathy|spinal cord compression": "spinal cord",
    r"cancer\w*|malignan\w+|benign|metasta\w+|krebs\w*|bösartig\w*|gutartig\w*"
    r"|malin[es]?|malign[oa]s?|癌症?|恶性|良性": "tumour",
    r"atroph\w+|parkinson\w*(?:['’]s)?(?: disease)?|multiple sclerosis|multiple sklerose"
    r"|sclérose en plaques|esclerosis múltiple"
    r"|strokes?|infarct\w*|schlaganf[aä]ll\w*|avc|derrame|ich?tus|isch(?:a)?emi\w+|h(?:a)?emorrhag\w+|bleed(?:ing|s)?"
    r"|blutung\w*|aneurysms?|thrombos[ei]s|trauma|concussion"
    r"|schizophren\w+|depression|autis\w+|migraine|infection|fractures?"
    r"|中风|脑卒中|脑梗死?|出血|帕金森病?|多发性硬化"
    r"|(?:ab)?normal|healthy|pathologic\w*|gesund|krankhaft|normale?|anormale?|sano|正常|异常"
    r"|\w{3,}itis|(?:\w+(?:['’]s)? )?(?:disease|disorder|syndrome)s?|\w+krankheit|maladie(?: d[e'’] ?\w+)?": "",
}  # fmt: skip
_DISEASE = re.compile("|".join(rf"(?P<d{n}>{words})" for n, words in enumerate(_DISEASES)), re.IGNORECASE)
# how a structure may be, which no mask tells, after "is" and its name
_STATE = re.compile(
    r"\W*(?:(?:and|so|but|und|et|y)\W+)*(?:is|are|was|were|looks?|does|do|ist|sind|est|sont|está|están|es|son)\b.*\b(?P<state>open|patent|block(?:ed|age)|obstruct(?:ed|ion)"
    r"|compress(?:ed|ion)|inflam(?:ed|mation)|swollen|swelling|enlarged|dilated|dilatation|narrow(?:ed|ing)|stenos(?:ed|is)"
    r"|displaced|deviated|infiltrat(?:ed|ion)|invaded|invasion|calcifi(?:ed|cation)|ruptured?|intact|damaged?|injur(?:ed|y)"
    r"|degenerat(?:ed|ion)|necro(?:tic|sis)|o?edema(?:tous)?|affected|involved"
    r"|too (?:large|big|wide|small|thick|thin|short|long)"
    r"|verletzt|vergrößert|verkleinert|entzündet|geschwollen|gebrochen|verengt|verkalkt|erweitert|befallen"
    r"|agrandie?s?|dilatée?s?|enflée?s?|comprimée?s?|fracturée?s?|atteinte?s?|élargie?s?|inflammée?s?|enflammée?s?"
    r"|agrandad[oa]s?|dilatad[oa]s?|inflamad[oa]s?|fracturad[oa]s?|comprimid[oa]s?|rot[oa]s?|afectad[oa]s?)"
    r"\W*(?:here|in this scan)?(?:\W+(?:for|at|given|considering|in)\b[^?.!]*)?\W*$",
    re.IGNORECASE,
)
# what kind of disease it is, how far it has come, how it goes on
_NATURE = re.compile(
    r"\b(?:what|which) (?P<nature>type|kind|sort|subtype|grade|stage)s?"
    r"(?: of (?:an? )?(?:tumou?r|lesion|cancer|mass|growth|neoplasm|sarcoma))?\W+(?:is|are|was|does|has)\b"
    r"|^\W*(?:please )?(?P<grade>grade|stage|classify)\b"
    r"|\b(?P<course>spread(?:ing)?|metastasi[sz]ed?|recurred|relapsed?|progressed|invade[ds]?|resectable|operable|curable"
    r"|prognosis|survival)\b",
    re.IGNORECASE,
)
# What wants a yes or no, or an opinion; not "which part shrinks in Alzheimer's disease?"
_ASKS = re.compile(
    r"^\W*(?:(?:and|so|but|please)\W+)*(?:is|are|was|were|does|do|did|has|have|had|could|can|might|may|would|exclude"
    r"|diagnose|check for|confirm|hat|haben|ist|sind|liegt|est|souffre|tiene|padece|hay|es|sufre)\b"
    r"|\b(?:signs?|evidence|suspicion|risk|likelihood|probability) (?:of|for)\b|\brule out\b"
    r"|\best-ce qu|\by a-t-il\b|吗|有没有|是否",
    re.IGNORECASE,
)


def read(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where a question asks for a diagnosis: that none is made, and what of it can be measured on the scan. None where
    the word is a structure's name in the glossary."""
    asked = _DISEASE.search(question)
    if asked is None or not _ASKS.search(question):
        return _state(question, glossary, shown) or _nature(question, glossary, shown)
    about = list(_DISEASES.values())[int(str(asked.lastgroup)[1:])]
    meant = glossary.names.get(about, ())
    mentions = glossary.mentions(question)
    inside = [mention for mention in mentions if mention.start < asked.end() and asked.start() < mention.end]
    if any(set(mention.meant) - set(meant) for mention in inside):
        return None
    named = [mention.meant for mention in mentions if mention not in inside] or [meant]
    there = shown(())
    targets = [phrase for phrases in named if visible(phrases, there) for phrase in on_scan(phrases, there)]
    return _judged(asked[0], targets)


def _state(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where a question asks whether a structure is in a state that no mask tells: "is the spinal cord compressed?"."""
    asked, mentions = _STATE.match(question), glossary.mentioned(question)
    if asked is None or not mentions:
        return None
    there = shown(())
    return _judged(asked["state"], [p for meant in mentions if visible(meant, there) for p in on_scan(meant, there)])


def _nature(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where a question asks of what kind a tumour is, how far it has come, or what becomes of it."""
    asked = _NATURE.search(question)
    mentions = [meant for meant in glossary.mentioned(question) if "tumour" in meant]
    if asked is None or not mentions:
        return None
    there = shown(())
    targets = [phrase for meant in mentions if visible(meant, there) for phrase in on_scan(meant, there)]
    if asked["nature"]:
        left = "what kind of tumour it is, is"
    else:
        left = "its grade and stage are" if asked["grade"] else "whether it has spread, and what will become of it, is"
    judged = f"I do not diagnose: {left} for a physician to judge."
    return Plan(tuple(targets), saying=f"{judged} What I can measure:" if targets else judged)


def _judged(what: str, targets: Sequence[str]) -> Plan:
    judged = f"I do not diagnose: whether this is {what} is for a physician to judge."
    return Plan(tuple(dict.fromkeys(targets)), saying=f"{judged} What I can measure:" if targets else judged)
