"""A report's sentences, and what kind each is: a statement about the scan, or something that no mask can show.

Sentences end at a full stop, an exclamation or a question mark before white space, at a line that stands alone (a
heading, an item of a list) and at an empty line; a line that only wraps goes on. Headings are read in English, German,
French, Spanish and Chinese; under one that opens the technique, the history or the comparison, nothing is a finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECTIONS = {
    "technique": r"techni(?:que|cal)\w*|procedure|protocol|examination|sequences?|technik|untersuchung\w*|protokoll|"
    r"protocole|técnica|protocolo|exploración|检查技术|检查方法|技术",
    "history": r"(?:clinical )?(?:history|information|indication|details|question)|reason for (?:exam\w*|study)|"
    r"anamnese|klinische (?:angaben|fragestellung)|indikation|fragestellung|renseignements cliniques|antécédents|"
    r"indication|historia(?: clínica)?|antecedentes|indicación|病史|临床资料|临床诊断",
    "comparison": r"comparison(?: studies)?|prior(?:s| studies)?|vergleich|voraufnahmen|comparaison|comparación|对比",
    "recommendation": r"recommendations?|empfehlung\w*|recommandations?|recomendaci(?:ón|ones)|建议",
    "findings": r"findings?|results?|report|description|impression|conclusions?|opinion|summary|assessment|befund\w*|"
    r"beurteilung|ergebnis\w*|zusammenfassung|résultats?|constatations|hallazgos|resultados|impresión|conclusión|"
    r"informe|résumé|影像所见|所见|影像表现|诊断意见|印象|结论|意见",
}
_HEADING = {name: re.compile(rf"(?:{words})", re.IGNORECASE) for name, words in _SECTIONS.items()}
# a heading, alone on its line or with the text behind its colon
_LABEL = re.compile(r"\s*(?:[#*]+\s*)?(?P<label>[^\n:：.;,!?。，]{2,50}?)\s*\**\s*[:：](?P<rest>.*)", re.DOTALL)

_RECOMMENDATION = re.compile(
    r"\b(?:recommend\w*|suggest(?:ed)? (?:a )?(?:follow|further|correlation|clinical)|advis(?:e|ed|able)|"
    r"follow[- ]?up (?:in|is|with|after|imaging|mri?|ct|scan)|correlat(?:e|ion) (?:clinically|with clinical)|"
    r"clinical correlation|please (?:compare|correlate)|empf(?:ohlen|ehle\w*)|kontrolle in|verlaufskontrolle|"
    r"recommand\w*|à contrôler|contrôle (?:à|dans|par)|se (?:recomienda|sugiere|aconseja)|control en)\b|建议|随访|复查",
    re.IGNORECASE,
)
_HISTORY = re.compile(
    r"\b(?:history of|status post|s/p|known case of|(?:patient|man|woman|male|female) (?:with|presents)|year[- ]old|"
    r"zustand nach|z\. ?n\.|bekannte[rsn]?|jährige[rs]?|antécédents? de|âgée? de|antecedentes? de|de \d+ años)(?!\w)|"
    r"病史|主诉",
    re.IGNORECASE,
)
_TECHNIQUE = re.compile(
    r"\b(?:(?:was|were|is|are) (?:acquired|obtained|performed|reconstructed|administered)|slice thickness|"
    r"intravenous contrast|contrast (?:agent|medium|material)|gadolinium|axial images|multiplanar|field strength|"
    r"sequences?|kontrastmittel\w*|schichtdicke|durchgeführt|angefertigt|produit de contraste|coupes axiales|"
    r"contraste intravenoso|cortes axiales|se realiz\w+)\b|对比剂|扫描|层厚",
    re.IGNORECASE,
)
NORMAL = re.compile(
    r"\b(?:unremarkable|normal|normally|intact|within (?:normal )?limits|no (?:acute |other )?abnormalit\w+|"
    r"unauffällige?[rsn]?|regelrechte?[rsn]?|regelgerechte?[rsn]?|altersentsprechend\w*|normal (?:weit|groß)|"
    r"normale[rsn]?|"
    r"sans (?:particularité|anomalie)s?|normaux|normales?|sin (?:alteraciones|particularidades|anomalías))\b|"
    r"未见(?:明显)?异常|正常",
    re.IGNORECASE,
)
_ABBREVIATIONS = frozenset(
    ("e.g", "i.e", "approx", "ca", "vs", "dr", "prof", "fig", "no", "nr", "z.b", "z.n", "v.a", "bzw", "ggf", "inkl",
     "max", "min", "st", "vgl", "etc", "cf", "env", "p.ej", "aprox", "resp", "incl")
)  # fmt: skip
_END = re.compile(r"[.!?]+[)\"'”]*(?=\s|$)|[。！？；]")
# "MRI OF THE BRAIN", "CT neck with contrast" on a line of its own
_TITLE = re.compile(
    r"(?:MRI?|CTA?|PET(?:[-/ ]CT)?|IRM|TDM|TAC|RM|MRT)(?: (?!shows|reveals|demonstrates|is|was|zeigt|montre|muestra)"
    r"[\w/()+-]+){0,5}|[A-ZÄÖÜÉÈÍÓ][A-ZÄÖÜÉÈÍÓ0-9 ,/()+-]{3,60}"
)
# "Lateral ventricles: not enlarged": an item of a list without a mark
_NAMED_ITEM = re.compile(r"\s*[A-ZÄÖÜÉÈÍÓ][\w-]*(?: [\w-]+){0,3}: ")
_ITEM = re.compile(r"\s*(?:[-*•–]|\d{1,2}[.)])\s+")


@dataclass(frozen=True)
class Sentence:
    """start, end: its characters in the report. kind: "heading", "technique", "history", "comparison",
    "recommendation", or "statement", which may say something of the scan."""

    start: int
    end: int
    text: str
    kind: str


def sentences_in(report: str) -> list[Sentence]:
    """The sentences of a report in order; white space and list marks belong to none."""
    out: list[Sentence] = []
    section = "findings"
    for start, end in _blocks(report):
        label = _LABEL.match(report, start, end)
        named = _section(label["label"]) if label is not None else None
        if label is not None and (named is not None or not label["rest"].strip()):
            section = named or section
            out.append(_sentence(report, label.start("label"), label.start("rest"), "heading"))
            start = label.start("rest")
        elif (alone := _alone(report[start:end])) is not None:
            section = alone
            out.append(_sentence(report, start, end, "heading"))
            continue
        for a, b in _split(report, start, end):
            text = report[a:b]
            kind = section if section in ("technique", "history", "comparison", "recommendation") else _kind(text)
            out.append(_sentence(report, a, b, kind))
    return [sentence for sentence in out if re.search(r"\w", sentence.text)]


def _section(label: str) -> str | None:
    return next((name for name, pattern in _HEADING.items() if pattern.fullmatch(label.strip())), None)


def _alone(line: str) -> str | None:
    """The section that a heading on a line of its own opens; None where the line is no heading."""
    words = line.strip("#* \t\n")
    return _section(words) or ("findings" if _TITLE.fullmatch(words) else None)


def _kind(text: str) -> str:
    if _RECOMMENDATION.search(text):
        return "recommendation"
    if _HISTORY.search(text):
        return "history"
    return "technique" if _TECHNIQUE.search(text) else "statement"


def _sentence(report: str, start: int, end: int, kind: str) -> Sentence:
    text = report[start:end]
    start += len(text) - len(text.lstrip())
    return Sentence(start, start + len(text.strip()), text.strip(), kind)


def _blocks(report: str) -> list[tuple[int, int]]:
    """(start, end) of runs of lines that belong together: a line that only wraps goes on in the next."""
    out: list[tuple[int, int]] = []
    start: int | None = None
    for match in re.finditer(r"[^\n]*(?:\n|$)", report):
        line = match[0]
        if not line.strip():
            if start is not None:
                out.append((start, match.start()))
            start = None
            continue
        item, label = _ITEM.match(line), _LABEL.match(line)
        begins = item or _NAMED_ITEM.match(line) or (label is not None and _section(label["label"]) is not None)
        if start is not None and begins:
            out.append((start, match.start()))
            start = None
        if start is None:
            start = match.start() + (item.end() if item else 0)
        if line.rstrip().endswith((".", "!", "?", ":", "：", "。")) or _alone(line) is not None:
            out.append((start, match.end()))
            start = None
    if start is not None:
        out.append((start, len(report)))
    return out


def _split(report: str, start: int, end: int) -> list[tuple[int, int]]:
    """A block at the ends of its sentences; "e.g." and "Z. n." end none."""
    out: list[tuple[int, int]] = []
    at = start
    for match in _END.finditer(report, start, end):
        before = report[at : match.start()]
        last = re.search(r"[^\s(]*$", before)
        word = last[0].lower() if last is not None else ""
        if match[0] == "." and (word in _ABBREVIATIONS or (len(word) == 1 and not word.isdigit())):
            continue
        following = report[match.end() : end].lstrip()
        if match[0] == "." and following[:1].islower():
            continue
        out.append((at, match.end()))
        at = match.end()
    if report[at:end].strip():
        out.append((at, end))
    return out
