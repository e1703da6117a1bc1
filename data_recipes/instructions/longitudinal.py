"""Question family: two scans of one patient. What was measured before is measured again: grown, shrunk, unchanged, new.

The conversation shows both scans, the earlier one first. A change counts where masks like these can tell it
(`assistant.margin`), as `deixis compare` has it; the numbers are those of the two notes.
"""

from __future__ import annotations

import random
import re

from assistant.margin import differ
from data_recipes.instructions import dialogue as d
from data_recipes.instructions import words
from data_recipes.instructions.dialogue import Conversation, Note, Thread
from data_recipes.instructions.facts import Facts

KIND = "has it grown"
BEFORE = (
    "This is the earlier scan. How big is {x}?", "First the old scan: measure {x}.", "The scan from before: {x}?",
    "Here is the previous scan. Find {x}.", "Earlier scan. Show {x} and its size.", "Baseline: how large is {x}?",
    "This one was made first. Measure {x}, please.", "Prior study: size of {x}?",
)  # fmt: skip
NOW = (
    "And this is the scan of today. Has it grown?", "Now the current scan: what has changed?",
    "This is the follow-up. By how much did it grow?", "Today's scan. Is it larger than before?",
    "The new scan: has it changed?", "Follow-up: grown or shrunk?", "Compare it with this one, made later.",
    "And now? How does it compare with before?",
)  # fmt: skip


def has_it_grown(before: Facts, now: Facts, rng: random.Random) -> Conversation | None:
    """A conversation about what both scans were looked through for; None where they have nothing in common."""
    either = [p for p in (*now.found, *before.found) if _looked_for(now, p) and _looked_for(before, p)]
    if not either:
        return None
    thread = Thread(before, rng)
    phrase = rng.choice(list(dict.fromkeys(either)))
    first = thread.ground([phrase])
    thread.turn(words.ask(BEFORE, rng, words.one(phrase, rng)), first, d.sized(first))
    thread.next_scan(now)
    second = thread.ground([phrase], before=first[0] if first[0].present else None)
    thread.turn(words.rough(rng.choice(NOW), rng), second, change(first[0], second[0]))
    return thread.done(KIND)


def _looked_for(facts: Facts, phrase: str) -> bool:
    return phrase in facts.found or phrase in facts.absent


def change(before: Note, now: Note) -> str:
    """What has become of a structure, in one sentence."""
    name = now.phrase
    if not now.present and not before.present:
        return f"The {name} was found in neither scan."
    if not now.present:
        return f"The {name} was not found now; before, it was {d.ml(before)} ({before.id})."
    if not before.present:
        return f"The {name} is there now ({now.id}, {d.ml(now)}); it was not found before."
    assert before.measurement is not None
    assert now.measurement is not None
    numbers = f"{d.ml(now)} now ({now.id}), {d.ml(before)} before ({before.id})"
    quality = min((n.quality for n in (now, before) if n.quality is not None), default=None)
    if not differ(now.measurement.volume_ml, before.measurement.volume_ml, quality):
        return f"The {name} has not measurably changed: {numbers}."
    by = re.sub(r" \(.*", "", d.difference(before, now))
    verb = "grown" if now.measurement.volume_ml > before.measurement.volume_ml else "shrunk"
    return f"The {name} has {verb} by {by}: {numbers}."
