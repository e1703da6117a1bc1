"""How much of a long conversation the language model reads: its last turns, as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from assistant import conversation
from assistant.conversation import Message


def last_turns(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, image_tokens: int, room: int
) -> list[Message]:
    """As many of the last turns as fit into `room` tokens. Where one more does not, half of the room is made free, so
    that the cache need not be filled anew at every turn. The scan is shown with the first turn that is left."""
    image = image_tokens if any(message.image for message in messages) else 0
    system = len(conversation.render([], tokenizer))
    sizes = [len(conversation.render([one], tokenizer, image_tokens=0)) - system for one in messages]
    start, used = 0, system + image
    for at, size in enumerate(sizes):
        used += size
        while used > room and messages[at].role == "user" and start < at:
            while start < at and (used > room / 2 or messages[start].role != "user"):
                used, start = used - sizes[start], start + 1
    kept = list(messages[start:])
    return kept if start == 0 else [replace(kept[0], image=image > 0), *kept[1:]]
