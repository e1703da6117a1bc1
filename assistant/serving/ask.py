"""A question as a client sends it, with the conversation it comes after."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """A question with everything that shapes its answer; points, box and mask_id as `Session.stream` takes them.
    most_tokens: after which the answer ends, None without a limit."""

    text: str
    points: tuple[tuple[float, ...], ...] = ()
    box: tuple[float, ...] | None = None
    mask_id: str | None = None
    temperature: float = 0.0
    seed: int = 0
    most_tokens: int | None = None

    @property
    def pointing(self) -> tuple[object, ...]:
        """What is pointed at; empty when nothing is."""
        what = (self.points, self.box, self.mask_id)
        return what if any(what) else ()


@dataclass(frozen=True)
class Past:
    """A turn of the conversation as a client tells it: it knows the words, and at most what was pointed at."""

    ask: Ask
    reply: str


@dataclass(frozen=True)
class Usage:
    """Tokens of the language model: the conversation up to the reply, and the reply with its notes."""

    prompt: int
    completion: int
