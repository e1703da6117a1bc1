"""Messages to token ids and back: the one place that knows the special tokens, the template, what is supervised.

An assistant's content is markup. First the grounding, then the sentence::

    <p>left hippocampus</p><SEG><obs>m1 left hippocampus: 2.9 mL, ...</obs> The left hippocampus is 2.9 mL.

``<p>..</p>`` names a target, ``<SEG>`` is the token whose hidden state prompts the mask decoder, and
``<obs>..</obs>`` is the program's own note of what it measured, which the model reads and never learns to write.
A user's words are text all the way: a marker somebody types is encoded as its letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from assistant.errors import ModelError

IMAGE, REGION, NAME, NAME_END, SEG, NOTE, NOTE_END = SPECIAL = (
    "<image>",
    "<REG>",
    "<p>",
    "</p>",
    "<SEG>",
    "<obs>",
    "</obs>",
)
START, END = CHAT_MARKS = ("<|im_start|>", "<|im_end|>")
SOFT = "<soft{}>"  # learned tokens before every conversation, where an adapter has them (prompt tuning)

# What each added token stands for: language.py starts its embedding at the mean of these words' embeddings, so
# that an untrained model already has states that make sense and every run starts at the same place.
DESCRIBED = {
    IMAGE: " medical scan volume",
    REGION: " this region here",
    NAME: " the anatomical structure",
    NAME_END: " named structure",
    SEG: " segmentation mask",
    NOTE: " measured note:",
    NOTE_END: " end of note.",
    START: " message from",
    END: " end of message.",
}

# One short sentence: every token of it is run again for every new conversation, on a CPU too.
SYSTEM = "You are Deixis. Ground each structure before you speak of it."
IMAGE_TOKENS = 64
IGNORED = -100  # torch's ignore_index

_MARKUP = (NAME, NAME_END, SEG, NOTE, NOTE_END)
_MARKER = re.compile("(" + "|".join(re.escape(mark) for mark in _MARKUP) + ")")
_CHIP = re.compile(
    re.escape(NAME) + r"(?P<phrase>.*?)" + re.escape(NAME_END) + re.escape(SEG)
    + r"(?:" + re.escape(NOTE) + r"(?P<note>.*?)" + re.escape(NOTE_END) + r")?",
    re.DOTALL,
)  # fmt: skip
_OPEN = re.compile(r"\s*<p>((?:(?!</p>).)*)</p>", re.DOTALL)  # a phrase whose <SEG> is still to come
_UNFINISHED = re.compile(r"<p>(?:(?!</p>).)*\Z|<obs>(?:(?!</obs>).)*\Z", re.DOTALL)
NEVER_TAUGHT = "never taught"  # ends the note of what the model cannot tell
_PRESENT_NOTE = re.compile(r"(?P<id>m\d+) (?P<name>.*?):")
_TOLD = re.compile(r"(?P<absent>.*): not found|(?P<id>m\d+) ")


@dataclass(frozen=True)
class Message:
    """One turn's words. ``role`` is "system", "user" or "assistant".

    ``image`` puts the scan's visual tokens and ``region`` one ``<REG>`` before a user's words; only an
    assistant's content is markup.
    """

    role: str
    content: str
    image: bool = False
    region: bool = False

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant"):
            raise ValueError(f"message role {self.role!r} is none of system, user, assistant")
        if (self.image or self.region) and self.role != "user":
            raise ValueError(f"only a user's message carries an image or a region, not the {self.role}'s")


@dataclass
class Rendered:
    """Token ids with what a trainer and a generator must know of them; all positions index ``ids``.

    ``labels[i]`` is ``ids[i]`` where token i is supervised, else -100 (not shifted: the loss shifts).
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    seg_positions: list[int] = field(default_factory=list)
    image_positions: list[int] = field(default_factory=list)
    region_positions: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[int], *, supervised: bool = False) -> None:
        self.ids.extend(ids)
        self.labels.extend(ids if supervised else [IGNORED] * len(ids))

    def __add__(self, other: Rendered) -> Rendered:
        shift = len(self)
        return Rendered(
            self.ids + other.ids,
            self.labels + other.labels,
            self.seg_positions + [shift + i for i in other.seg_positions],
            self.image_positions + [shift + i for i in other.image_positions],
            self.region_positions + [shift + i for i in other.region_positions],
        )


def extend_tokenizer(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Add the special tokens, and ChatML's marks where the base has none; return those that are Deixis's own.

    Safe to call twice: what is there already stays where it is.
    """
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*SPECIAL, *CHAT_MARKS)], special_tokens=True
    )
    vocabulary = tokenizer.get_vocab()
    # those added just now, or in an earlier call, stand behind all that the base came with
    return [*SPECIAL, *(mark for mark in CHAT_MARKS if vocabulary[mark] > vocabulary[NOTE_END])]


def add_soft_tokens(tokenizer: PreTrainedTokenizerBase, count: int) -> list[str]:
    """Add ``count`` soft tokens: from now on every conversation starts with them. Safe to call twice."""
    soft = [SOFT.format(i) for i in range(count)]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in soft], special_tokens=True)
    return soft


def soft_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the soft tokens; of most tokenizers none."""
    ids: list[int] = []
    while True:
        found = cast("int | None", tokenizer.convert_tokens_to_ids(SOFT.format(len(ids))))
        if found is None or found == tokenizer.unk_token_id:
            return ids
        ids.append(found)


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Id of a special token; ModelError when the tokenizer was not extended."""
    # not get_vocab(): it makes a dictionary of the whole vocabulary, and a conversation asks some forty times
    found = cast("int | None", tokenizer.convert_tokens_to_ids(token))
    if found is None or found == tokenizer.unk_token_id:
        raise ModelError(f"this tokenizer has no {token} token: load it with assistant.language.load_base")
    return found


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of plain text. A special token spelt out in ``text`` becomes letters, never the token."""
    if not text:
        return []
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def decode_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Inverse of :func:`encode_text`."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def render(
    messages: Sequence[Message],
    tokenizer: PreTrainedTokenizerBase,
    *,
    image_tokens: int = IMAGE_TOKENS,
    reply_next: bool = False,
) -> Rendered:
    """A whole conversation as ids and labels; ``reply_next`` ends it where the assistant is to speak.

    Supervised: an assistant's words, ``<p>``, ``</p>``, ``<SEG>`` and the end mark. Not supervised: everything
    else, and of the assistant's own content the notes with both of their marks, which the program forces.
    """
    rendered = Rendered()
    rendered.add(soft_ids(tokenizer))
    if not messages or messages[0].role != "system":
        rendered += _render_message(Message("system", SYSTEM), tokenizer, image_tokens)
    for message in messages:
        rendered += _render_message(message, tokenizer, image_tokens)
    if reply_next:
        rendered += _reply_header(tokenizer)
    return rendered


def render_user_turn(
    message: Message, tokenizer: PreTrainedTokenizerBase, *, first: bool, image_tokens: int = IMAGE_TOKENS
) -> Rendered:
    """The new ids of one question, up to where the reply starts; ``first`` puts the system's sentence before."""
    if message.role != "user":
        raise ValueError(f"a user turn is rendered from a user's message, not from the {message.role}'s")
    if first:
        return render([message], tokenizer, image_tokens=image_tokens, reply_next=True)
    return _render_message(message, tokenizer, image_tokens) + _reply_header(tokenizer)


def render_reply(content: str, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """The ids that follow :func:`render_user_turn` once the reply is ``content``."""
    rendered = Rendered()
    in_note = False
    for piece in _MARKER.split(content):
        if piece in _MARKUP:
            in_note = piece == NOTE or (in_note and piece != NOTE_END)
            if piece == SEG:
                rendered.seg_positions.append(len(rendered))
            rendered.add([token_id(tokenizer, piece)], supervised=not in_note and piece != NOTE_END)
        else:
            rendered.add(encode_text(tokenizer, piece), supervised=not in_note)
    rendered.add([token_id(tokenizer, END)], supervised=True)
    rendered.add(encode_text(tokenizer, "\n"))
    return rendered


def render_note(note: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """``<obs>note</obs>`` as ids, the way :func:`render_reply` gives them."""
    return [token_id(tokenizer, NOTE), *encode_text(tokenizer, note), token_id(tokenizer, NOTE_END)]


def render_phrase(phrase: str, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """``<p>phrase</p><SEG>`` alone, with no conversation around it."""
    rendered = Rendered()
    rendered.add(
        [token_id(tokenizer, NAME), *encode_text(tokenizer, phrase), token_id(tokenizer, NAME_END)],
        supervised=True,
    )
    rendered.seg_positions.append(len(rendered))
    rendered.add([token_id(tokenizer, SEG)], supervised=True)
    return rendered


def _render_message(message: Message, tokenizer: PreTrainedTokenizerBase, image_tokens: int) -> Rendered:
    if message.role == "assistant":
        return _reply_header(tokenizer) + render_reply(message.content, tokenizer)
    rendered = Rendered()
    rendered.add([token_id(tokenizer, START), *encode_text(tokenizer, message.role + "\n")])
    if message.image:
        rendered.image_positions.extend(range(len(rendered), len(rendered) + image_tokens))
        rendered.add([token_id(tokenizer, IMAGE)] * image_tokens)
        rendered.add(encode_text(tokenizer, "\n"))
    if message.region:
        rendered.region_positions.append(len(rendered))
        rendered.add([token_id(tokenizer, REGION)])
    rendered.add(encode_text(tokenizer, message.content))
    rendered.add([token_id(tokenizer, END), *encode_text(tokenizer, "\n")])
    return rendered


def _reply_header(tokenizer: PreTrainedTokenizerBase) -> Rendered:
    rendered = Rendered()
    rendered.add([token_id(tokenizer, START), *encode_text(tokenizer, "assistant\n")])
    return rendered


def seg_states(hidden: Tensor, seg_positions: Sequence[int]) -> Tensor:
    """The mask decoder's prompts: last-layer states AT the ``<SEG>`` tokens (not before, not after).

    hidden (L, D), seg_positions N indices into L -> (N, D). Training and generation both call this.
    """
    if hidden.dim() != 2:
        raise ValueError(f"seg_states takes one conversation's (L, D), got {tuple(hidden.shape)}")
    return hidden[list(seg_positions)]


def neutral(text: str) -> str:
    """Text in which spelt-out markup is harmless, so that it can stand inside an assistant's content."""
    return _MARKER.sub(lambda mark: "\u2039" + mark[0][1:-1] + "\u203a", text)


def notes(content: str) -> list[str]:
    """The notes of an assistant's content, in order."""
    return re.findall(re.escape(NOTE) + r"(.*?)" + re.escape(NOTE_END), content, flags=re.DOTALL)


def told(message: Message) -> list[str]:
    """What an assistant's notes are about, in order: the ids of masks, and the names of what was not found."""
    found = [_TOLD.match(note) for note in notes(message.content)] if message.role == "assistant" else []
    return [match["id"] or match["absent"] for match in found if match is not None]


def phrases(content: str) -> list[str]:
    """The grounded phrases of an assistant's content, in ``<SEG>`` order."""
    return [chip["phrase"] for chip in _CHIP.finditer(content)]


def chips(content: str) -> list[str]:
    """The groundings of an assistant's content as markup, each from ``<p>`` to ``</obs>``."""
    return [chip[0] for chip in _CHIP.finditer(content)]


def split_reply(content: str) -> tuple[str, str]:
    """(leading grounding, the words after it); both together are the content."""
    end = 0
    for chip in _CHIP.finditer(content):
        if content[end : chip.start()].strip():
            break
        end = chip.end()
    return content[:end], content[end:]


def visible(content: str) -> str:
    """What a user is shown of an assistant's content: names with their mask's id, no markers, no notes.

    The leading grounding is a line of its own: ``left hippocampus (m1), gallbladder (not found)``. Content that
    is still being made may be given: each longer content shows what the shorter one showed, and more.
    """
    grounding, words = split_reply(content)
    chips = [_chip_text(chip) for chip in _CHIP.finditer(grounding)]
    open_phrase = _OPEN.fullmatch(words)
    if open_phrase:
        return ", ".join([*chips, open_phrase[1]])
    text = _UNFINISHED.sub("", _CHIP.sub(_chip_text, words))
    text = _MARKER.sub("", text).strip()
    return ", ".join(chips) + ("\n" if chips and text else "") + text


def _chip_text(chip: re.Match[str]) -> str:
    phrase, note = chip["phrase"], chip["note"]
    if note is None:
        return phrase
    present = _PRESENT_NOTE.match(note)
    if present is None:
        return f"{phrase} (never taught)" if note.endswith(NEVER_TAUGHT) else f"{phrase} (not found)"
    return f"{phrase} ({present['name'] if present['id'] == phrase.strip() else present['id']})"
