"""The same reply with one fact turned round: what a trainer of preferences holds against the right one.

>>> contradicted("<p>m1</p><SEG><obs>m1 left hippocampus: 2.9 mL</obs> It is on the left.", "side", random.Random(0))
'<p>m1</p><SEG><obs>m1 left hippocampus: 2.9 mL</obs> It is on the right.'

Only the sentence after the notes is touched: names, masks and notes stay as they are, and so contradict it.
"""

from __future__ import annotations

import random
import re

from assistant.evidence import format_ml, format_mm

KINDS = ("side", "number", "presence", "comparison")

_SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_MORE = {"smaller": "larger", "larger": "smaller"}
_NUMBER = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)(?= (mL|mm|HU|SUV)\b)")
_FACTORS = (0.4, 0.6, 0.75, 1.3, 1.6, 2.4)
_NOTE_END = "</obs>"


def contradicted(content: str, kind: str, rng: random.Random) -> str | None:
    """An assistant's content with one fact of this kind wrong; None where its sentence states none."""
    notes, end, sentence = content.rpartition(_NOTE_END)
    if not end:
        return None
    wrong = {"side": _side, "number": _number, "presence": _presence, "comparison": _comparison}[kind](sentence, rng)
    return None if wrong is None or wrong == sentence else notes + end + wrong


def _side(sentence: str, rng: random.Random) -> str | None:
    return _swapped(sentence, list(re.finditer(r"\b(?:[Ll]eft|[Rr]ight)\b", sentence)), _SIDES, rng)


def _comparison(sentence: str, rng: random.Random) -> str | None:
    return _swapped(sentence, list(re.finditer(r"\b(?:smaller|larger)(?= than\b)", sentence)), _MORE, rng)


def _swapped(sentence: str, found: list[re.Match[str]], other: dict[str, str], rng: random.Random) -> str | None:
    return _put(sentence, hit := rng.choice(found), other[hit[0]]) if found else None


def _number(sentence: str, rng: random.Random) -> str | None:
    """Another number, by at least a quarter, written as the program writes such a number."""
    found = list(_NUMBER.finditer(sentence))
    if not found:
        return None
    hit = rng.choice(found)
    decimals = len(hit[1].partition(".")[2])
    written = {"mL": format_ml, "mm": format_mm}.get(hit[2], lambda value: f"{value:.{decimals}f}")
    others = [text for factor in _FACTORS if (text := written(float(hit[1]) * factor)) != hit[1]]
    return _put(sentence, hit, rng.choice(others)) if others else None


def _presence(sentence: str, rng: random.Random) -> str | None:
    there = re.fullmatch(r"(\s*)Yes, (.*?) (is|are) in this scan\.(.*)", sentence, re.DOTALL)
    if there:
        return f"{there[1]}No, {there[2]} {there[3]} not in this scan.{there[4]}"
    gone = re.search(r"\b(was|were) not found in this scan", sentence)
    if gone is None:
        return None
    return re.sub(r"^(\s*)No, ", r"\1Yes, ", _put(sentence, gone, f"{gone[1]} found in this scan"))


def _put(text: str, hit: re.Match[str], new: str) -> str:
    return text[: hit.start()] + new + text[hit.end() :]
