"""A reply while it is made: what of it was checked against the masks, and what may be shown.

A sentence is checked when it is finished; one that contradicts the measurements gives way to what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from assistant import claims, conversation
from assistant.events import Delta
from assistant.evidence import Note, unsupported_numbers
from assistant.glossary import Glossary

_SENTENCE_END = re.compile(r"[.!?]+[)\"']*(?=\s)|\n+")


@dataclass
class Draft:
    """The reply while it is made: ``accepted`` was checked, ``pending`` is the sentence in the making.

    said: the question, with its references resolved; earlier: the notes of the conversation before it; glossary: what
    other names a sentence may have for a target. corrections,
    removed: as in `Done`, where the latter are called unsupported.
    """

    tokenizer: PreTrainedTokenizerBase
    said: str = ""
    earlier: Sequence[str] = ()
    glossary: Glossary | None = None
    accepted: str = ""
    pending: str = ""
    run: list[int] = field(default_factory=list)  # text ids at the end of pending, decoded together
    before_run: str = ""
    shown: str = ""
    corrections: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        return self.accepted + self.pending

    def add_text(self, token: int) -> None:
        if not self.run:
            self.before_run = self.pending
        self.run.append(token)
        self.pending = self.before_run + conversation.neutral(conversation.decode_text(self.tokenizer, self.run))

    def add_markup(self, markup: str) -> None:
        self.run.clear()
        self.pending += markup

    def accept(self, length: int, checked: str) -> None:
        """Take the first ``length`` characters of pending, as ``checked`` puts them."""
        self.accepted += checked
        self.pending = self.pending[length:]
        self.before_run = self.before_run[length:] if len(self.before_run) >= length else ""
        self.run.clear()

    def news(self, text: str) -> Iterator[Delta]:
        """The part of the visible ``text`` that was not shown yet."""
        if len(text) > len(self.shown):
            delta = Delta(text[len(self.shown) :])
            self.shown = text
            yield delta

    @property
    def preview(self) -> str:
        """What may be shown now: what was accepted, and the name of a target that is being looked for."""
        if conversation.split_reply(self.accepted)[1].strip():
            return conversation.visible(self.accepted)
        grounding, words = conversation.split_reply(self.content)
        if words.lstrip().startswith(conversation.NAME):
            return conversation.visible(self.content)
        return conversation.visible(grounding)

    def settle(self, targets: Sequence[Note], *, last: bool = False) -> bool:
        """Check the sentences that are finished (with ``last``: all there is). True when one had to be replaced."""
        if self.pending.endswith("\ufffd"):  # half a character: wait for the rest, or do without
            if not last:
                return False
            self.pending = self.pending.rstrip("\ufffd")
        while self.pending:
            if not conversation.split_reply(self.accepted)[1].strip():
                grounding, words = conversation.split_reply(self.pending)
                if words.lstrip().startswith(conversation.NAME):
                    return False  # still grounding
                if grounding and (words.strip() or last):
                    self.accepted += grounding
                    self.pending = words
                    self.before_run = self.before_run[len(grounding) :]
            end = _SENTENCE_END.search(self.pending, len(self.pending) - len(self.pending.lstrip()))
            if end is None and not last:
                return False
            length = end.end() if end else len(self.pending)
            sentence = self.pending[:length]
            if not sentence.strip():
                self.accept(length, sentence)
                continue
            plain = conversation.visible(sentence).strip()
            known = [*self.earlier, *map(str, targets)]
            checked = plain
            if self.glossary is not None:
                checked = self.glossary.canonical(plain, {note.phrase for note in targets})
            problem = claims.flaw(checked, targets, known, self.said)
            if problem is None:
                self.accept(length, sentence)
                continue
            self.removed += unsupported_numbers(plain, known, [self.said])
            self.corrections.append(f"{plain!r} was taken out: {problem}.")
            # the sentence goes, the masks it grounded stay
            chips = "".join(conversation.chips(sentence))
            self.accept(len(self.pending), f"{chips} {claims.statement(targets, self.said) or ''}".rstrip())
            return True
        return False
