"""One scan's conversation, as clients have it who send all of it with every question.

The session's turns are brought to where such a client's messages say they are: turns that stand are kept with all that
is cached for them, others are taken back, and what is missing is asked again. At temperature 0, and with the seed that
is remembered above it, the same question after the same turns gets the same answer; so it does not matter to a client
who else asked about the scan in between, nor whether the session was closed to save memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence

from assistant.conversation import render, render_reply
from assistant.generate import Event
from assistant.model import DeixisModel
from assistant.serving.ask import Ask, Past, Usage
from assistant.session import Session
from assistant.volume import Volume

REMEMBERED = 1000  # turns


class Talk:
    """read: reads the scan, when it was not or its session was closed. For the worker's thread alone, but for `close`
    and `nbytes` while nothing is at work on it."""

    def __init__(self, model: DeixisModel, read: Callable[[], Volume], volume: Volume | None = None) -> None:
        self._model = model
        self._read = read
        self._volume = volume
        self._session: Session | None = None
        self._asked: list[Ask] = []  # what the session's turns answer
        self._known: dict[str, Ask] = {}  # by all that was said up to the reply to it
        self.is_read = False  # nothing is left to do ahead
        self.was_cut = False  # the last turn ended at its limit of tokens

    @property
    def nbytes(self) -> int:
        """Bytes of the session, or of the voxels that wait for it."""
        if self._session is not None:
            return self._session.nbytes
        return 0 if self._volume is None else self._volume.voxels.nbytes

    @property
    def session(self) -> Session:
        if self._session is None:
            volume = self._volume or self._read()
            self._session, self._volume, self._asked, self.is_read = Session(volume, self._model), None, [], False
        return self._session

    def close(self) -> None:
        """Give the session's memory back; the next question opens another and asks again what it builds on."""
        self._session, self._volume, self._asked = None, None, []

    def read_on(self) -> bool:
        """Do ahead one part of what answers will need; False when nothing is left."""
        if not self.session.turns and self.session.chat.nbytes == 0:
            self.session.prepare()
            return True
        self.is_read = not self.session.read_on()
        return not self.is_read

    def answer(
        self, past: Sequence[Past], ask: Ask, check: Callable[[], None], notes: list[str] | None = None
    ) -> Iterator[Event]:
        """Answer a question that comes after `past`; the events are those of `Session.stream`.

        check: called at every token of old and new replies; what it raises breaks off, and the conversation is as it
        was. notes: gets a sentence for each old reply that was not the one the client tells of.
        """
        check()
        session, wanted = self.session, self._resolved(past)
        same = 0
        while same < min(len(wanted), len(self._asked), len(session.turns)) and self._asked[same] == wanted[same]:
            same += 1
        while len(session.turns) > same:
            session.undo()
        del self._asked[same:]
        for again in wanted[same:]:
            for _ in self._turn(session, again, check):
                pass
        for number, (told, turn) in enumerate(zip(past, session.turns, strict=True), 1):
            if notes is not None and turn.reply.text.strip() != told.reply.strip():
                notes.append(f"answer {number} of the history is not this scan's: the question was asked again")
        yield from self._turn(session, ask, check)
        self._remember(past, ask, session.turns[-1].reply.text)

    def usage(self) -> Usage:
        """Of the last turn."""
        model, messages = self.session.model, self.session.chat.messages
        prompt = render(
            messages[:-1], model.tokenizer, image_tokens=model.config.image_tokens, reply_next=True
        )  # fmt: skip
        return Usage(len(prompt), len(render_reply(messages[-1].content, model.tokenizer)))

    def _turn(self, session: Session, ask: Ask, check: Callable[[], None]) -> Iterator[Event]:
        steps = 0
        self.was_cut = False

        def enough() -> bool:  # asked once a token
            nonlocal steps
            check()
            steps += 1
            self.was_cut = ask.most_tokens is not None and steps > ask.most_tokens
            return self.was_cut

        events = session.stream(
            ask.text, ask.points, ask.box, ask.mask_id,
            temperature=ask.temperature, seed=ask.seed, should_stop=enough,
        )  # fmt: skip
        with contextlib.closing(events):
            yield from events
        self._asked.append(ask)

    def _resolved(self, past: Sequence[Past]) -> list[Ask]:
        """What was asked, in full: as the client tells it where it points, else as it was asked here."""
        asks, key = [], ""
        for turn in past:
            key = _key(key, turn.ask.text, turn.reply)
            known = self._known.get(key, turn.ask)
            asks.append(known if turn.ask.pointing in ((), known.pointing) else turn.ask)
        return asks

    def _remember(self, past: Sequence[Past], ask: Ask, reply: str) -> None:
        key = ""
        for turn in past:
            key = _key(key, turn.ask.text, turn.reply)
        self._known[_key(key, ask.text, reply)] = ask
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


def _key(before: str, question: str, reply: str) -> str:
    """Names everything said so far."""
    return hashlib.sha256(json.dumps([before, question.strip(), reply.strip()]).encode()).hexdigest()
