"""Which conversations a stage reads, in which order, and which it never reads.

**Held-out wordings.** A question's wording is its text without the names in it ("how big is the {}"). Some wordings,
chosen by a hash, are never trained on, in any conversation: the probe asks with them, so it measures
words and not memory.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Container, Iterator
from functools import cache
from itertools import count

import numpy as np
from transformers import PreTrainedTokenizerBase

from assistant.conversation import Message
from data_recipes import instructions, ontology
from data_recipes.instructions.facts import jittered
from data_recipes.instructions.mixture import EMBEDDED, Mixture, about
from training.data import Example, FeatureBank, Pack, Talk, fill, prepare

HELD_OUT = 0.04  # share of wordings

# What the scans of a family are, in the words of Align.
DESCRIBED = {
    "brain": ("an MR scan of the brain", "MR", "the brain"),
    "head_neck": ("a CT scan of the head and neck", "CT", "the head and neck"),
    "hippocampus": ("a small MR crop around one hippocampus", "MR", "the region around one hippocampus"),
    "tumour_mr": ("an MR scan of a limb with a soft-tissue tumour", "MR", "a limb"),
    "tumour_pet": ("an FDG-PET scan of a limb with a soft-tissue tumour", "PET", "a limb"),
    "body_ct": ("a CT scan of the trunk", "CT", "the trunk"),
    "body_mr": ("an MR scan of the trunk", "MR", "the trunk"),
    "body_pet": ("an FDG-PET scan of the body", "PET", "the body"),
    "spine": ("a CT scan of the spine", "CT", "the spine"),
    "prostate": ("an MR scan of the prostate", "MR", "the pelvis"),
    "brain_tumour": ("an MR scan of a brain with a tumour", "MR", "the brain"),
    "brain_stroke": ("an MR scan of a brain after a stroke", "MR", "the brain"),
}
_WHAT_SCAN = (
    "What kind of scan is this?", "What am I looking at?", "Describe this scan.", "What does this image show?",
    "Which scan is this?", "Tell me what this is a scan of.",
)  # fmt: skip
_WHICH_MODALITY = ("Is this CT, MR or PET?", "Which modality is this?", "How was this image made?")
_WHICH_PART = (
    "Which part of the body is this?",
    "What part of the body does the scan show?",
    "Where in the body are we?",
)
_WHAT_REGION = (
    "What is this?", "What is here?", "Name this structure.", "What am I pointing at?", "Which structure is this?",
    "What did I click on?",
)  # fmt: skip


def caption(bank: FeatureBank, rng: np.random.Generator) -> Talk:
    """A talk of Align: what the scan is, or (half) what is pointed at. The answers are plain words without masks."""
    family = str(rng.choice(sorted(bank.families)))
    case = bank.draw(family, rng)
    if family in DESCRIBED:
        whole, modality, part = DESCRIBED[family]
    elif case.facts is not None:  # a heart is seen on CT and MR, a group's own scans show anything
        modality = case.facts.modality
        whole, part = f"{'an' if modality == 'MR' else 'a'} {modality} scan", ""
    else:
        raise ValueError(f"nothing is known of scans of the family {family!r}: make the features anew")
    if case.regions and rng.random() < 0.5:
        phrase = str(rng.choice(sorted(case.regions)))
        question, answer, kind = str(rng.choice(_WHAT_REGION)), f"This is the {phrase}.", "caption region"
        messages = (Message("user", question, image=True, region=True), Message("assistant", answer))
        return Talk(messages, family, phrase, kind)
    ask = int(rng.integers(3 if part else 2))
    questions, answer = (
        (_WHAT_SCAN, f"This is {whole}."),
        (_WHICH_MODALITY, f"This is {modality}."),
        (_WHICH_PART, f"It shows {part}."),
    )[ask]
    messages = (Message("user", str(rng.choice(questions)), image=True), Message("assistant", answer))
    return Talk(messages, family, None, "caption")


def talk_of(made: instructions.Conversation) -> Talk:
    """A recipe's conversation as a talk."""
    return Talk(made.messages, made.family, made.region, made.kind)


@cache
def _names() -> re.Pattern[str]:
    """Everything the ontology calls a structure, longest first."""
    names = {name.lower() for s in ontology.asked() for name in s.names}
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(names, key=lambda n: (-len(n), n)))) + r")(?!\w)")


def wording(text: str) -> str:
    """A question without the names, sides and mask ids in it."""
    bare = _names().sub("{}", text.lower())
    bare = re.sub(r"\b(left|right|both|l|r)\b|\bm\d+\b|\d+", "{}", bare)
    return " ".join(re.sub(r"\{\}(\s*\{\})*", "{}", bare).split())


def is_held_out(talk: Talk, share: float = HELD_OUT) -> bool:
    """Whether any question of a talk is worded in a way that is never trained on."""
    return any(_draw(wording(m.content)) < share for m in talk.messages if m.role == "user")


def _draw(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


class Talks:
    """Batches without end, the same for the same seed. ``captions``: the share of Align's talks (1: Align itself).
    ``mixture``, ``temperature``: of what is trained on, see `instructions.conversations`; the probe asks the usual one.

    A batch is ``rows`` packs of ``pack_length``; a talk too long for one has a batch whose only pack is ``rows`` times
    as long, so that every batch costs about the same and there are two shapes in all.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        bank: FeatureBank,
        pack_length: int,
        rows: int,
        chunk: int,
        captions: float,
        known: Container[str],
        mixture: Mixture = EMBEDDED,
    ) -> None:
        self.tokenizer, self.bank, self.known = tokenizer, bank, known
        self.pack_length, self.rows, self.chunk, self.captions = pack_length, rows, chunk, captions
        self.mixture = mixture
        self.left_out: dict[str, int] = {}  # reason -> talks that could not be used

    def talks(self, seed: int, chunk: int, *, usual: bool = False) -> list[Talk]:
        """One chunk: recipes' conversations and captions, held-out ones included. usual: in their own mixture."""
        rng = np.random.default_rng([seed, chunk, 1])
        described = int(rng.binomial(self.chunk, self.captions))
        found = [caption(self.bank, rng) for _ in range(described)]
        if described < self.chunk:
            number = int(rng.integers(2**31))
            found += self._conversations(number, self.chunk - described, usual)
        return found

    def _conversations(self, seed: int, count: int, usual: bool) -> list[Talk]:
        """About scans with made-up facts where the recipes can make them up, measured ones of the other families; each
        family of the others as often as one of these. usual: the probe's, whatever is trained on."""
        measured = {f: [c.facts for c in cases if c.facts] for f, cases in self.bank.families.items()}
        others = sorted(family for family, facts in measured.items() if facts)
        draw = random.Random(seed)
        share = round(count * len(others) / len(self.bank.families))
        found = []
        for _ in range(share):
            facts = draw.choice(measured[draw.choice(others)])
            found.append(talk_of(about(jittered(facts, draw), draw)))
        mixture = EMBEDDED if usual else self.mixture
        return found + [talk_of(r) for r in instructions.conversations(seed, count - share, mixture=mixture)]

    def examples(self, seed: int, chunk: int, *, held_out: bool) -> list[Example]:
        """The chunk's talks of one kind that fit a row and whose scan there are features of."""
        kept = []
        for talk in self.talks(seed, chunk, usual=held_out):
            if is_held_out(talk) != held_out:
                continue
            reason, example = self._usable(talk)
            if example is None:
                self.left_out[reason] = self.left_out.get(reason, 0) + 1
            else:
                kept.append(example)
        return kept

    def _usable(self, talk: Talk) -> tuple[str, Example | None]:
        if talk.family not in self.bank.families:
            return f"no features of family {talk.family}", None
        if talk.region is not None and not self.bank.has_region(talk.family, talk.region):
            return f"no region feature of {talk.region} in family {talk.family}", None
        example = prepare(talk, self.tokenizer, self.bank.image_tokens)
        if len(example) > self.rows * self.pack_length:
            return f"longer than {self.rows * self.pack_length} tokens", None
        for phrase in example.phrases:
            if phrase is not None and phrase not in self.known:
                return f"no frozen state of {phrase!r}", None
        return "", example

    def batches(self, seed: int, skip: int = 0) -> Iterator[list[Pack]]:
        """Training batches, from number ``skip`` on. Skipping makes them and throws them away."""
        number = 0
        for chunk in count():
            rng = np.random.default_rng([seed, chunk, 2])
            # a last batch with fewer rows would be a shape of its own: its few talks are left out
            made = [b for b in self._grouped(self.examples(seed, chunk, held_out=False), rng) if self._whole(b)]
            if not made:
                raise ValueError(f"chunk {chunk} makes no whole batch: raise chunk; left out so far: {self.left_out}")
            for one in made:
                if number >= skip:
                    yield one
                number += 1

    def _grouped(self, examples: list[Example], rng: np.random.Generator) -> list[list[Pack]]:
        short = [e for e in examples if len(e) <= self.pack_length]
        long = [e for e in examples if len(e) > self.pack_length]
        packs = fill(short, self.pack_length, self._pad_id(), rng)
        made = [packs[i : i + self.rows] for i in range(0, len(packs), self.rows)]
        made += [[one] for one in fill(long, self.rows * self.pack_length, self._pad_id(), rng)]
        return [made[i] for i in rng.permutation(len(made))]

    def _whole(self, batch: list[Pack]) -> bool:
        return sum(len(one.ids) for one in batch) == self.rows * self.pack_length

    def held_out_examples(self, seed: int, most: int) -> list[Example]:
        """The first ``most`` held-out talks, from chunks of their own."""
        found: list[Example] = []
        for chunk in range(100_000, 100_200):
            found += self.examples(seed, chunk, held_out=True)
            if len(found) >= most:
                return found[:most]
        return found

    def held_out(self, seed: int, most: int) -> list[list[Pack]]:
        """These in batches, the last of which may be smaller."""
        return self._grouped(self.held_out_examples(seed, most), np.random.default_rng(seed))

    def _pad_id(self) -> int:
        # padding is seen by nothing but padding, so any id will do for a tokenizer without one
        return int(self.tokenizer.pad_token_id or 0)
