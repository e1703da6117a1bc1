"""Which structure a question means that names none but says what it is for: "the fear centre", "what do I chew with?".

A checkpoint's glossary carries the roles. Their cues are words, so what they tell is a guess: the reply says what the
structure does, and the reader sees which one was taken.
"""

from __future__ import annotations

import re

from assistant.composition import Plan, Shown, on_scan, visible
from assistant.glossary import Glossary, Role, normalise

MAX_ROLES = 2  # that fit a question equally well; more are no answer
CHINESE_CHARACTER = 3  # Latin letters that say as much
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# What looks for a thing, in the five languages. "Can you speak German?" does not.
_LOOKS = re.compile(
    r"\b(?:what|which|where|show|find|segment|outline|mark|locate|label|highlight|display|contour|delineate"
    r"|how (?:big|large)|the (?:\w+ ){0,3}(?:thing|part|structure|region|organ|area|cent(?:re|er)|gland|bone|tube|bit)"
    r"|was|wo|womit|wodurch|wovon|welche[rsnm]?|zeig\w*|markiere|qu(?:el|elle|els|elles)|que"
    r"|ou|montre\w*|cual(?:es)?|donde|con que|muestra\w*)\b|什么|哪|何处|显示|标出",
    re.IGNORECASE,
)
_OF_ME = re.compile(
    r"\b(?:do|did|are|were|will|would|have|had) you\b"
    r"|\b(?:can|could) you (?!please|show|find|see|mark|outline|segment|point|tell)",
    re.IGNORECASE,
)
# "what carries food to the stomach?", "where does spit come from?" name what they are not about
_BY_DOING = re.compile(
    r"\W*(?:what|which \w+) (?!(?:is|was|does|has|structures|organs|parts|ventricles)\b)[a-z]+s\b"
    r"|\W*where (?:do|does) ",
    re.IGNORECASE,
)
# "what does the putamen do?", in the five languages
_ASKS_ROLE = re.compile(
    r"\b(?:what (?:do|does|did|would|can) .+ do|what (?:is|are) .+ for$|what (?:is|are) .+ responsible for"
    r"|what use (?:is|are)|why do (?:i|we|people) (?:have|need)"
    r"|(?:functions?|jobs?|roles?|purposes?|tasks?) of"
    r"|was (?:macht|machen|tut|tun)|wofur|wozu|(?:aufgaben?|funktion(?:en)?) (?:der|des|von|hat)"
    r"|a quoi (?:sert|servent)|(?:fonction|role) (?:de|du|d)|que hacen?|para que sirven?|funcion (?:de|del))\b"
    r"|有什么用|干什么|的作用|的功能|负责什么",
    re.IGNORECASE,
)  # fmt: skip
# "in the brain", "the brain's ...": where something is, not what is asked for
_PLACES = frozenset(("brain", "pelvis", "hippocampus"))


def meant(question: str, glossary: Glossary, shown: Shown) -> list[Role]:
    """The roles that a question describes, of structures that the scan shows where there are any. [] where it names a
    structure, looks for nothing, or describes too many."""
    words = f" {normalise(question)} "
    if not glossary.roles or not _LOOKS.search(words) or _OF_ME.search(question):
        return []
    named = {phrase for phrases in glossary.mentioned(question) for phrase in phrases}
    if named - _PLACES and not _BY_DOING.match(question):
        return []
    scores = {role: _covered(words, role) for role in glossary.roles}
    fitting = {role: score for role, score in scores.items() if score}
    there = shown(()) if fitting else ()
    fitting = {role: score for role, score in fitting.items() if visible(glossary.names[role.name], there)} or fitting
    best = [role for role, score in fitting.items() if score == max(fitting.values())]
    return best if len(best) <= MAX_ROLES else []


def read(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where the question describes a structure: look for that one, and say what it does."""
    roles = meant(question, glossary, shown)
    targets = [phrase for role in roles for phrase in sided(role, question, glossary, shown)]
    if not targets:
        return None
    may = " or ".join(f"the {role.name}, which {role.does}" for role in roles)
    one = len(roles) == 1 and len({phrase.removeprefix("left ").removeprefix("right ") for phrase in targets}) > 1
    return Plan(tuple(dict.fromkeys(targets)), "together" if one else "", f"You may mean {may}.")


def told(question: str, glossary: Glossary, shown: Shown) -> Plan | None:
    """Where the question asks what a structure does: what the glossary has of it, and the structure itself where the
    scan shows it. A language model of this size makes such things up."""
    mentions = [mention.meant for mention in glossary.mentions(question)]
    meant = tuple(dict.fromkeys(phrase for phrases in mentions for phrase in phrases))
    if not meant or not glossary.roles or _OF_ME.search(question) or not _ASKS_ROLE.search(normalise(question)):
        return None
    there = shown(())
    targets = tuple(phrase for phrase in on_scan(meant, there) if visible(meant, there))
    known = [role for role in glossary.roles if set(glossary.names[role.name]) & set(meant)]
    # a name of several structures, "basal ganglia", has those of one of them in it as well
    same = [role for role in known if set(glossary.names[role.name]) >= set(meant)] or known
    words = [f"The {role.name} {role.does}." for role in sorted(same, key=lambda r: len(glossary.names[r.name]))[:1]]
    return Plan(targets, saying=words[0] if words else "What that is for is not among the things that I was given.")


def sided(role: Role, question: str, glossary: Glossary, shown: Shown) -> list[str]:
    """The phrases of a role on this scan; those of one side where the question says which."""
    phrases = on_scan(glossary.names[role.name], shown(()))
    sides = {side for _, _, side in glossary.side_words(question)}
    return [phrase for phrase in phrases if phrase.split(" ", 1)[0] in sides] or phrases


def _covered(words: str, role: Role) -> int:
    """How many letters of a question (normalised, with a space at both ends) a role's cues are; a longer cue says
    more."""
    spots: set[int] = set()
    for cue in role.cues:
        if _CHINESE.search(cue):
            found = [match.span() for match in re.finditer(re.escape(cue), words)]
        else:
            end = r"\w*" if cue.endswith("*") else r"(?= )"
            found = [match.span() for match in re.finditer(rf"(?<= ){re.escape(cue.rstrip('*'))}{end}", words)]
            found = [(start, start + len(cue.rstrip("*"))) for start, _ in found]
        for start, stop in found:
            spots.update(range(start, stop))
    return sum(CHINESE_CHARACTER if _CHINESE.match(words[spot]) else 1 for spot in spots)
