"""Evidence-first decoding: the reply names a target, the target is found and measured, then the sentence is written.

When the language model closes ``<p>left hippocampus</p>``, the program feeds ``<SEG>``, decodes a mask from that
token's state, measures it and feeds the note ``<obs>..</obs>`` through the same KV cache. The model goes on from there,
so it knows what was measured before it says it. Each finished sentence is checked against the notes before it is shown.

The cache always holds a prefix of the whole conversation as ``conversation.render`` gives it: before a reply, what
differs is cropped and what is new is fed. Undoing a turn or correcting a sentence needs no other bookkeeping.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from assistant import claims, comparison, composition, conversation, diagnoses, roles, unmeasured
from assistant.composition import Plan, coordinated, on_scan
from assistant.conversation import Message
from assistant.draft import Draft
from assistant.ellipsis import made_whole
from assistant.errors import QuestionError
from assistant.events import Delta, Done, Event, Grounded
from assistant.evidence import Note
from assistant.findings import Finding, Findings, FindingsState
from assistant.glossary import normalise, other_side
from assistant.language import phrase_states
from assistant.likely import as_before
from assistant.model import DeixisModel
from assistant.prompt_encoder import Prompt
from assistant.quantity import asks_alone, asks_of_unknown, measures_only, unread
from assistant.reference import Known, meant_by, operands, recalled, sought, with_names
from assistant.token_cache import TokenCache, common_start
from assistant.window import last_turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from assistant.study import Study

__all__ = ["Chat", "Delta", "Done", "Event", "Finding", "Grounded"]

MAX_NEW_TOKENS = 400
MAX_PHRASE = 24  # tokens between <p> and </p>
MAX_TARGETS = 16  # that a reply looks for of the model's own accord
TOKENS_PER_TARGET = 24  # of a plan: its name and what is said of it; its note is as long again
# In doubt a reply begins by looking. Measured on the embedded default: questions about structures put `<p>` at most 2
# below the likeliest first token when they miss it, greetings and refusals 5 to 10 below.
LOOK_FIRST = 3.5
# What the question mentions by a name of the glossary is what a reply names, unless the model is very sure of another.
MENTIONED = 8.0
# A name that it never learned: 8 left "hippocampal body" the hippocampus, 12 did not
MENTIONED_OWN = 16.0
_ID = re.compile(r"\bm\d+\b")
_OF_MASKS = re.compile(r"[m\d\s+&-]+")  # "m1 + m2"
MARKED = "marked region"
_POINTERS = ("this", "that", "it", "here", "this region", "this structure", "this area")
_NOTHING = "I have no measurement that answers this."


@dataclass(frozen=True, eq=False)
class ChatState:
    """A conversation as it stood at a time; messages and masks are shared. earlier: as it stood before each turn."""

    messages: tuple[Message, ...]
    regions: tuple[Tensor, ...]
    findings: FindingsState | None
    earlier: tuple[ChatState, ...]


class Chat:
    """A conversation about a study, or about nothing when ``study`` is None (then nothing can be grounded).

    messages: user and assistant in turn. findings: every target looked for, in order; a recalled mask is there once.
    """

    def __init__(self, model: DeixisModel, study: Study | None = None) -> None:
        self.model = model
        self.study = study
        self.messages: list[Message] = []
        self._targets = None if study is None else Findings(study)
        self._earlier: list[ChatState] = []  # before each turn
        self.tokens = TokenCache(model, study)
        vocabulary = model.tokenizer
        self._open = conversation.token_id(vocabulary, conversation.NAME)
        self._close = conversation.token_id(vocabulary, conversation.NAME_END)
        self._seg = conversation.token_id(vocabulary, conversation.SEG)
        self._ends = {conversation.token_id(vocabulary, conversation.END)} | {
            token for token in (vocabulary.eos_token_id,) if token is not None
        }
        # The model writes words, <p>, </p> and its end; all other special tokens are the program's
        # with a scan open no reply begins with a verdict: whatever it is about has not been looked at yet
        words = (model.tokenizer.encode(word, add_special_tokens=False) for word in ("Yes", "No"))
        self._verdicts = {ids[0] for ids in words if len(ids) == 1}
        self._never = sorted(self.tokens.special - {self._open, self._close} - self._ends)

    @property
    def targets(self) -> Findings | None:
        """What was found, and how; None where no scan is open."""
        return self._targets

    @property
    def findings(self) -> list[Finding]:
        return [] if self._targets is None else self._targets.found

    @property
    def nbytes(self) -> int:
        """Bytes of the cache and of the masks found."""
        masks = [finding.mask for finding in self.findings if finding.mask is not None]
        return self.tokens.nbytes + sum(mask.nbytes for mask in masks)

    def prepare(self) -> None:
        """Run what every first question starts with (the system's sentence and the scan), so that it need not wait."""
        if not self.messages and self.study is not None:
            ids, image_positions = self._start()
            self.tokens.bring(ids, image_positions)

    def _start(self) -> tuple[list[int], list[int]]:
        """What every conversation about a scan starts with, through its last visual token; and where those are."""
        first = conversation.render_user_turn(
            Message("user", "", image=True),
            self.model.tokenizer,
            first=True,
            image_tokens=self.model.config.image_tokens,
        )
        return first.ids[: first.image_positions[-1] + 1], first.image_positions

    def reply(
        self,
        text: str,
        prompt: Prompt | None = None,
        region: Tensor | None = None,
        name: str | None = None,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        seed: int = 0,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Ask; events come while the reply is made, `Done` last.

        prompt: clicks, box or mask for the first target that is looked for. region (region_dim,): the feature behind
        ``<REG>``. name: what the masks say is there, which the reply then looks at first. temperature 0 is greedy.
        should_stop is asked at every token; the reply then ends where it is.
        A reply that is broken off (an error, or the iterator closed) leaves the conversation as it was before it.
        """
        if not text.strip():
            raise QuestionError("the question is empty: type a question")
        before = self.state
        image = self.study is not None and not self.messages
        self.messages.append(Message("user", text, image=image, region=region is not None))
        if region is not None:
            self.tokens.regions.append(region)
        whole = False
        try:
            for event in self._answer(prompt, name, max_new_tokens, temperature, seed, should_stop):
                if isinstance(event, Done):
                    self.messages.append(Message("assistant", event.content))
                    self._earlier.append(before)
                    whole = True
                yield event
        finally:
            if not whole:
                self.restore(before)

    @contextlib.contextmanager
    def turn(self) -> Iterator[int]:
        """All that happens in the block is one turn, of the number that the block gets; `undo` takes it back. A block
        that is left by an error leaves nothing behind."""
        before = self.state
        whole = False
        try:
            yield len(self._earlier)
            self._earlier.append(before)
            whole = True
        finally:
            if not whole:
                self.restore(before)

    @contextlib.contextmanager
    def looking(self) -> Iterator[Callable[[str], Finding]]:
        """Look for structures by their names alone: the block gets a function from a phrase to its finding.

        All that is found in the block is one turn, which `undo` takes back; a block that is left by an error leaves
        nothing behind. The language model is asked for the names' states and writes nothing.
        """
        targets = self._targets
        if targets is None:
            raise QuestionError("no scan is open: open one to look for a structure")
        with self.turn() as number:
            yield lambda phrase: targets.ground(phrase, self.phrase_state(phrase), None, [], number)[0]

    def phrase_state(self, phrase: str) -> Tensor:
        """The state (1, lm_dim) of a name alone, with no image and no conversation."""
        language_model = cast("PreTrainedModel", self.model.language_model)
        return phrase_states(language_model, self.model.tokenizer, [phrase])

    def phrases(self, text: str) -> list[str]:
        """What a text asks for, each once: the canonical names that it mentions, "it" being what was found last; the
        text itself where it mentions none."""
        glossary = self.model.glossary
        mentioned = [] if glossary is None else glossary.mentioned(with_names(text, self.known()))
        return list(dict.fromkeys(phrase for meant in mentioned for phrase in meant)) or [" ".join(text.split())]

    def undo(self) -> None:
        """Take back the last question with its reply and findings. QuestionError when there is none."""
        if not self._earlier:
            raise QuestionError("there is nothing to undo: no question has been answered")
        self.restore(self._earlier[-1])

    @property
    def state(self) -> ChatState:
        """The conversation as it stands, for `restore`."""
        findings = None if self._targets is None else self._targets.state
        return ChatState(tuple(self.messages), tuple(self.tokens.regions), findings, tuple(self._earlier))

    def restore(self, state: ChatState) -> None:
        """Make the conversation what it was at another time, earlier or later, or on another way from there."""
        both = zip(self.messages, state.messages, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], both))
        self.messages[:] = state.messages[:same]
        self._earlier[:] = state.earlier
        if self._targets is not None and state.findings is not None:
            self._targets.restore(state.findings)
        # at once, not at the next question: a <REG> of the next question would be the same id with another feature
        kept: list[int] = []
        if self.messages:
            kept = self._render(reply_next=False).ids
        elif self.study is not None:
            kept = self._start()[0]
        self.tokens.crop(common_start(self.tokens.ids, kept))
        self.messages[:] = state.messages
        self.tokens.regions[:] = state.regions

    def _answer(
        self,
        prompt: Prompt | None,
        name: str | None,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        should_stop: Callable[[], bool] | None,
    ) -> Iterator[Event]:
        model, question = self.model, self.whole(self.messages[-1].content)
        said = with_names(question, self.known())
        notes = [note for message in self.messages for note in conversation.notes(message.content)]
        draft = Draft(model.tokenizer, said, notes, model.glossary)
        sampler = torch.Generator(device=model.device).manual_seed(seed) if temperature > 0 else None
        targets: list[Note] = []
        added: set[str] = set()  # phrases that were looked for because the question asks for them too
        phrase_start: int | None = None  # step at which <p> was opened
        may_ground = self._targets is not None
        stopped = False
        # What is pointed at is named by the masks that claim it, as far as they know it: ground first, then speak
        given: list[int] = []
        mentioned = self._mentioned(said)
        plan: Plan | None = None
        if name is not None and self._targets is not None:
            given = self._named(name)
        elif self._targets is not None and prompt is None:
            recalled = self._recall(question, self.messages[-1].content)
            plan = self._plan(said) if recalled is None else self._not_told(said) or recalled
            if plan is not None:
                given = self._planned(plan, targets, said)
        needed = max_new_tokens + (0 if plan is None else 2 * TOKENS_PER_TARGET * len(plan.targets))
        rendered = self._render(reply_next=True, needed=needed)
        self._check_room(len(rendered.ids) + needed)
        # most replies begin with what the question mentions first
        first = [self._open, *next(iter(mentioned.values()))] if mentioned and may_ground else []
        self.tokens.likely = []
        logits, _ = self.tokens.bring(rendered.ids, rendered.image_positions, self._next_name(given or first))
        written: list[int] = []
        # what a plan looks for is as long as it is: the limit is for what the model writes of itself
        for step in range(max_new_tokens + (0 if plan is None else TOKENS_PER_TARGET * len(plan.targets))):
            if (should_stop is not None and should_stop()) or _loops(written):
                stopped = True
                break
            in_phrase = phrase_start is not None
            banned = set(self._ends) if in_phrase else {self._close}
            if in_phrase or not may_ground:
                banned.add(self._open)
            if not written and self._targets is not None:
                banned |= self._verdicts
                logits = logits.clone()
                logits[self._open] += LOOK_FIRST
            if in_phrase:
                logits = self._leaning(logits, draft.run, mentioned, {note.phrase for note in targets})
            if phrase_start is not None and not draft.run:
                banned.add(self._close)  # a phrase has a word at least
            token = given.pop(0) if given else self._pick(logits, banned, temperature, sampler)
            if token == self._open and not given and self._all_done(said, targets):
                given = [*conversation.encode_text(model.tokenizer, claims.statement(targets, said)), min(self._ends)]
                token, may_ground = given.pop(0), False
            if phrase_start is not None and step - phrase_start > MAX_PHRASE:
                token = self._close
            if token in self._ends:
                break
            if not all(note.taught for note in targets) and phrase_start is None and self._is_word(token):
                break  # that it cannot tell is the program's to say: the model knows "found" and "not found" alone
            written.append(token)
            if token == self._close and self._targets is not None:
                phrase_start = None
                wrote = _phrase(draft.pending)
                phrase = wrote
                if plan is None:
                    phrase = self._as_asked(meant_by(wrote, said, self.known()), said)
                    if prompt is not None and phrase.lower() in _POINTERS:
                        phrase = MARKED  # no sentence is about "the this (m1)"
                    phrase, *others = self._all_of(phrase, said) if prompt is None else [phrase]
                    space, done = conversation.encode_text(model.tokenizer, " "), {note.phrase for note in targets}
                    given = [token for name in others if name not in done for token in (*space, *self._named(name))]
                    added.update(others)
                before, _, spelled = draft.pending.rpartition(conversation.NAME)
                if phrase != spelled:
                    draft.pending = f"{before}{conversation.NAME}{phrase}"
                draft.add_markup(conversation.NAME_END)
                yield from draft.news(draft.preview)
                _, hidden = self.tokens.feed([self._close, self._seg])
                state = conversation.seg_states(hidden, [1])
                if phrase != wrote and self._is_unheard_of(phrase):
                    state = self.phrase_state(phrase)  # that of what the model wrote would draw something else
                finding, note, decoded = self._targets.ground(phrase, state, prompt, targets, len(self._earlier))
                if decoded:
                    prompt = None  # it was for the first target that is looked for
                # the second time a reply names a target it has nothing new to look at: on with the sentence
                known_before = {other.phrase for other in targets}
                may_ground = note.phrase not in known_before and len(targets) + 1 < MAX_TARGETS
                targets.append(note)
                if plan is not None:
                    given, may_ground = self._planned(plan, targets, said), False
                draft.add_markup(f"{conversation.SEG}{conversation.NOTE}{note}{conversation.NOTE_END}")
                yield Grounded(finding)
                yield from draft.news(draft.preview)
                noted = conversation.render_note(str(note), model.tokenizer)
                replies = [message.content for message in self.messages if message.role == "assistant"]
                words = as_before(replies, [str(target) for target in targets])
                self.tokens.likely = [noted[-1], *conversation.encode_text(model.tokenizer, words)]
                logits, _ = self.tokens.feed(noted, self._next_name(given) or self.tokens.guess(noted))
                continue
            if token == self._open:
                phrase_start = step
                draft.add_markup(conversation.NAME)
            else:
                draft.add_text(token)
            if draft.settle(targets):
                stopped = True  # what would follow a wrong sentence was thought from it
                break
            yield from draft.news(draft.preview)
            logits = self.tokens.advance(token, given)
        else:
            stopped = True
        if phrase_start is not None:  # stopped inside a name: an unfinished target is no target
            draft.run.clear()
            draft.pending = draft.pending[: draft.pending.rindex(conversation.NAME)]
        draft.settle(targets, last=True)
        if not conversation.split_reply(draft.accepted)[1].strip():
            draft.accepted = f"{draft.accepted.rstrip()} {claims.statement(targets) or _NOTHING}".lstrip()
        told = claims.mentions(conversation.split_reply(draft.accepted)[1], targets)
        untold = [note for note in targets if note.phrase in added and note not in [other for *_, other in told]]
        draft.accepted = f"{draft.accepted} {claims.statement(untold)}".rstrip()
        # said to the reader alone: the model has the quality in its notes
        said_alone = [claims.places(said, targets), claims.caution(targets)]
        visible = " ".join(filter(None, [conversation.visible(draft.accepted).rstrip(), *said_alone]))
        yield from draft.news(visible)
        yield Done(draft.accepted, visible, tuple(draft.removed), tuple(draft.corrections), stopped)

    def known(self, selected: str = "") -> Known:
        """What words of a question may refer to. selected: the id of the mask that "it" is, or ""."""
        masks = {} if self._targets is None else self._targets.masks
        drawn = () if self._targets is None else [m for m in masks if self._targets.drawn(m) is not None]
        made = {mask_id: finding.made for mask_id, finding in masks.items() if mask_id not in drawn}
        told = [ids for ids in map(conversation.told, self.messages) if ids]
        last = told[-1] if told else []
        focus = [name for name in last if name in masks]
        return Known(
            {mask_id: finding.phrase for mask_id, finding in masks.items()},
            made, selected if selected in masks else "", self.model.glossary, self.shown,
            _by_last_mention([name for ids in told for name in ids if name in masks]),
            _by_last_mention(focus), () if focus else tuple(last),
            {mask_id: finding.volume_ml for mask_id, finding in masks.items() if finding.volume_ml is not None},
        )  # fmt: skip

    def whole(self, question: str) -> str:
        """The question; in whole where it only goes on from the one before: "and the right?"."""
        answered = self.messages[:-1] if self.messages and self.messages[-1].role == "user" else self.messages
        before = [message.content for message in answered if message.role == "user"]
        return made_whole(question, before, self.known(), asks_alone)

    def _recall(self, question: str, asked: str) -> Plan | None:
        """The masks that the question refers to without naming a structure, and what one that only went on (asked) is
        to show."""
        known = self.known()
        names = recalled(question, known)
        if not names and question != asked and question.startswith("Show "):
            names = tuple(dict.fromkeys(name for group in operands(question, known) for name in group))
        return Plan(names) if names else None

    def _not_told(self, said: str) -> Plan | None:
        """Where a question asks of masks, by their ids, what no mask tells: "is m1 within normal limits?"."""
        glossary, known = self.model.glossary, self.known()
        if glossary is None or self.study is None:
            return None
        named = _ID.sub(lambda mask: mask[0] if mask[0] in known.made else known.masks.get(mask[0], mask[0]), said)
        return diagnoses.read(named, glossary, self.shown) or unmeasured.read(named, glossary, self.shown)

    def _plan(self, said: str) -> Plan | None:
        """What the question composes of structures that the scan shows."""
        glossary = self.model.glossary
        if glossary is None or self.study is None:
            return None
        readers = (diagnoses.read, unmeasured.read, comparison.read, roles.told, composition.read, roles.read)
        return next((plan for read in readers if (plan := read(said, glossary, self.shown)) is not None), None)

    def shown(self, among: Sequence[str] = ()) -> list[str]:
        """The structures, each excluding the others, that the scan shows, as far as the segmenter knows of any; see
        `Rivals.shown`."""
        rivals = None if self.study is None else self.study.rivals
        return [] if rivals is None else rivals.shown(among)

    def _planned(self, plan: Plan, targets: Sequence[Note], said: str) -> list[int]:
        """What a reply with a plan goes on with: what is looked at next, or what was measured, in given words."""
        tokenizer = self.model.tokenizer
        wanted = plan.next(targets)
        if wanted:
            return [*(conversation.encode_text(tokenizer, " ") if targets else []), *self._named(wanted)]
        words = plan.words(targets, said)
        return [*conversation.encode_text(tokenizer, f" {words}" if targets else words), min(self._ends)]

    def _as_asked(self, phrase: str, said: str) -> str:
        """A phrase that the model wrote; where it is another name for one structure alone, that; where it is no known
        name, and of no word of the question (said), the words that the question has for it: "Balken" of "wie groß ist
        der Balken?", not "Balkon". So too where the question asks whether something is there that has no known name."""
        glossary, words = self.model.glossary, normalise(said).split()
        if glossary is None or not glossary.names:
            return phrase
        unknown = sought(said)
        if unknown and not glossary.mentioned(unknown):
            return unknown  # "is there a lymph node?" is not answered by whether there is a tumour
        whole = unread(said)
        if set(normalise(phrase).split()) < set(normalise(whole).split()) and not glossary.mentioned(said):
            return whole  # "corpus" of "where is the corpus callosum?"
        if glossary.mentioned(phrase):
            if asks_of_unknown(said, glossary) and not _alike(phrase, whole):
                return whole  # "how big is the grey matter?" is not answered with the brain
            meant = glossary.names.get(normalise(phrase), ())
            return meant[0] if len(meant) == 1 else phrase
        if _OF_MASKS.fullmatch(phrase) or set(normalise(phrase).split()) & set(words):
            return phrase
        return whole or phrase

    def _is_unheard_of(self, phrase: str) -> bool:
        """Neither a name of the glossary nor masks put together."""
        glossary = self.model.glossary
        return glossary is not None and not glossary.mentioned(phrase) and not _OF_MASKS.fullmatch(phrase)

    def _all_of(self, phrase: str, said: str) -> list[str]:
        """A phrase that the model wrote, and what goes with it on this scan: the other side where the question (said)
        names no side; both where it is a whole that another kind of scan shows; and what the question asks for beside
        it."""
        shown = self.shown()
        beside = [] if self.model.glossary is None else coordinated(said, self.model.glossary, self.shown)
        if phrase in beside:
            return [phrase, *(name for name in beside if name != phrase)]
        meant = [] if self.model.glossary is None else self.model.glossary.mentioned(said)
        for phrases in (*meant, tuple(f"{side} {phrase}" for side in ("left", "right"))):
            pair = [name for name in on_scan(phrases, shown) if name in shown]
            paired = len(pair) == 2 and pair[1] == other_side(pair[0]) != pair[0]
            if paired and (phrase in pair or phrase == pair[0].partition(" ")[2]):
                return [phrase, other_side(phrase)] if phrase in pair else pair
        return [phrase]

    def _all_done(self, said: str, targets: Sequence[Note]) -> bool:
        """Whether a question asks for places and sizes alone, of what it names, and all that is done: "how big is the
        left hippocampus?" is not asked of the right one."""
        glossary = self.model.glossary
        if glossary is None or not targets:
            return False
        meant = {phrase for phrases in glossary.mentioned(said) for phrase in phrases}
        return bool(meant) and meant <= {note.phrase for note in targets} and measures_only(said, glossary)

    def _next_name(self, ids: Sequence[int]) -> list[int]:
        """Those before the first `</p>`, behind which the program goes on."""
        return list(takewhile(lambda token: token != self._close, ids))

    def _named(self, name: str) -> list[int]:
        """A name in the markup of a target."""
        return [self._open, *conversation.encode_text(self.model.tokenizer, name), self._close]

    def _is_word(self, token: int) -> bool:
        """Neither markup nor white space."""
        word = conversation.decode_text(self.model.tokenizer, [token]).strip()
        return bool(word) and token not in self.tokens.special

    def _mentioned(self, said: str) -> dict[str, list[int]]:
        """The phrases that the question mentions, as they would be written, with the `</p>` behind them."""
        glossary, tokenizer = self.model.glossary, self.model.tokenizer
        if glossary is None:
            return {}
        phrases = dict.fromkeys(p for meant in glossary.mentioned(said) for p in meant)
        return {p: [*conversation.encode_text(tokenizer, p), self._close] for p in phrases}

    def _leaning(
        self, logits: Tensor, written: Sequence[int], mentioned: Mapping[str, Sequence[int]], done: set[str]
    ) -> Tensor:
        """Logits inside a name of which `written` is there, leaning towards what was mentioned and is not done yet."""
        n = len(written)
        own = self.model.glossary.own if self.model.glossary is not None else ()
        on: dict[int, float] = {}
        for phrase, ids in mentioned.items():
            if phrase not in done and list(ids[:n]) == list(written):
                on[ids[n]] = max(on.get(ids[n], 0.0), MENTIONED_OWN if phrase in own else MENTIONED)
        if on:
            logits = logits.clone()
            for token, lean in on.items():
                logits[token] += lean
        return logits

    def _render(self, *, reply_next: bool, needed: int = MAX_NEW_TOKENS) -> conversation.Rendered:
        """What the language model reads: the conversation, or its last turns where there is no room for all of it and
        `needed` tokens more. The masks of turns that it does not read any more are there still."""
        tokenizer, image_tokens, room = self.model.tokenizer, self.model.config.image_tokens, self._room
        messages = self.messages if room is None else last_turns(self.messages, tokenizer, image_tokens, room - needed)
        return conversation.render(messages, tokenizer, image_tokens=image_tokens, reply_next=reply_next)

    @property
    def _room(self) -> int | None:
        """Tokens that the language model reads at most."""
        return self.model.language_model.config.get_text_config().max_position_embeddings

    def _check_room(self, tokens: int) -> None:
        room = self._room
        if room is not None and tokens > room:
            raise QuestionError(
                f"the question would need {tokens} tokens and the language model reads {room}: shorten it"
            )

    def _pick(self, logits: Tensor, banned: set[int], temperature: float, sampler: torch.Generator | None) -> int:
        logits = logits.clone()
        logits[[*self._never, *banned]] = -torch.inf
        logits[len(self.model.tokenizer) :] = -torch.inf  # bases pad their vocabulary with rows that are no tokens
        if sampler is None:
            return int(logits.argmax())
        return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=sampler))


def _phrase(pending: str) -> str:
    return " ".join(pending[pending.rindex(conversation.NAME) + len(conversation.NAME) :].split())


def _by_last_mention(ids: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order in which they were mentioned last."""
    return tuple(dict.fromkeys(reversed(ids)))[::-1]


def _loops(ids: Sequence[int]) -> bool:
    """The last tokens are one run of up to 16, four times over."""
    return any(len(ids) >= 4 * n and list(ids[-4 * n :]) == list(ids[-n:]) * 4 for n in range(1, 17))


def _alike(one: str, other: str) -> bool:
    """Whether a word of one is nearly one of the other: "hipocampas" and "hippocampus"."""
    pairs = ((a, b) for a in normalise(one).split() for b in normalise(other).split())
    return any(difflib.SequenceMatcher(None, a, b).ratio() > 0.6 for a, b in pairs)
