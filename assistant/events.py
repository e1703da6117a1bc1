"""What a reply tells while it is made."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.findings import Finding


@dataclass(frozen=True)
class Delta:
    """More of the visible text."""

    text: str


@dataclass(frozen=True)
class Grounded:
    """A target was looked for; a recalled mask comes as the finding it was."""

    finding: Finding


@dataclass(frozen=True)
class Done:
    """The reply is whole. content: with markup; visible: what the deltas added up to.

    unsupported: numbers that the model wrote and no note has (they are not in the text); corrections: one sentence for
    each change of the model's words; stopped: by the user or by a guard, before the model ended.
    """

    content: str
    visible: str
    unsupported: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    stopped: bool = False


Event = Delta | Grounded | Done
