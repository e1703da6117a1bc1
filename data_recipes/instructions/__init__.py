"""Instruction families: what users ask, and the reply the measurements call for.

`conversations(seed, n)` is all a trainer needs; `mixture.FIRST` and `mixture.THEN` are the families and their shares.
"""

from data_recipes.instructions.dialogue import Conversation, Thread
from data_recipes.instructions.facts import Facts, measured_facts, synthetic_facts
from data_recipes.instructions.mixture import conversation, conversations

__all__ = [
    "Conversation",
    "Facts",
    "Thread",
    "conversation",
    "conversations",
    "measured_facts",
    "synthetic_facts",
]
