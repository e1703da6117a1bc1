"""Pairs for stage Prefer: a right reply and the same with one fact wrong, after the same conversation.

A pair is one pack: what both share, the scan and the words up to the first difference, stands in it once, and each
ending sees it and nothing of the other. Facts come from measured cases, whose images the packed folder has.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from transformers import PreTrainedTokenizerBase

from assistant.conversation import IGNORED
from assistant.evidence import measure
from assistant.volume import Volume
from data_recipes import instructions, ontology
from data_recipes.instructions.contradictions import KINDS, contradicted
from data_recipes.instructions.facts import Facts
from training.data import Example, Pack, Talk, pack, prepare
from training.samples import PackedCase
from training.talks import is_held_out, talk_of

HELD_OUT_CASES = 0.1  # share of measured cases that no pair is trained on


@dataclass(frozen=True)
class Pair:
    """right and wrong: the conversation up to a reply, and that reply; they differ in one fact of this kind."""

    right: Talk
    wrong: Talk
    kind: str


def measured(case: PackedCase) -> Facts:
    """What was measured on a packed case. ValueError for a label map without an image, which has no intensities."""
    if case.image is None:
        raise ValueError(f"{case.id} is a label map without an image: nothing can be measured on it")
    volume = Volume.from_array(case.image.numpy(), np.diag([*case.spacing, 1.0]), modality=case.modality)
    found, missing = {}, []
    for value, phrase in case.names.items():
        mask = (case.labels == int(np.searchsorted(case.values, value))).numpy()
        if mask.any():
            found[phrase] = measure(volume, mask)
        else:
            missing.append(phrase)
    away = tuple(s.name for s in ontology.surely_absent(case.family))
    return Facts(case.family, case.modality, found, (*missing, *away), case.id)


def split(facts: Sequence[Facts]) -> tuple[list[Facts], list[Facts]]:
    """Those that pairs are trained on, and those held out: by a hash of the case."""
    held = [_draw(f.case) < HELD_OUT_CASES for f in facts]
    return [f for f, h in zip(facts, held, strict=True) if not h], [f for f, h in zip(facts, held, strict=True) if h]


def _draw(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def pairs(seed: int, facts: Sequence[Facts], share: float, *, held_out: bool) -> Iterator[Pair]:
    """Pairs without end, the kinds in turn. facts: measured scans, which this share of the conversations is about; the
    others are made up. held_out: of questions worded as never trained on, or of all others."""
    rng = random.Random(seed)
    waiting = list(KINDS)
    for made in instructions.conversations(seed, None, facts, share):
        talk = talk_of(made)
        if is_held_out(talk) != held_out:
            continue
        for kind in waiting[:2]:  # those that have waited longest: most replies would do for a wrong number
            pair = pair_of(talk, kind, rng)
            if pair is not None:
                waiting.remove(kind)
                waiting.append(kind)
                yield pair
                break


def pair_of(talk: Talk, kind: str, rng: random.Random) -> Pair | None:
    """A pair that ends with the talk's last reply that states a fact of this kind."""
    for index in reversed(range(len(talk.messages))):
        message = talk.messages[index]
        if message.role != "assistant":
            continue
        wrong = contradicted(message.content, kind, rng)
        if wrong is None:
            continue
        before = talk.messages[:index]
        region = talk.region if any(m.region for m in before) else None
        right = Talk((*before, message), talk.family, region, talk.kind)
        return Pair(right, replace(right, messages=(*before, replace(message, content=wrong))), kind)
    return None


def packed_pair(pair: Pair, tokenizer: PreTrainedTokenizerBase, image_tokens: int, length: int) -> Pack | None:
    """The pair in one row, the right ending as conversation 1, the wrong one as 2; None when it is too long.

    Only the endings are labelled: what both share is as likely in both.
    """
    right, wrong = (prepare(t, tokenizer, image_tokens) for t in (pair.right, pair.wrong))
    ids = zip_longest(right.rendered.ids, wrong.rendered.ids)
    same = next(i for i, (a, b) in enumerate(ids) if a != b)
    if len(right) + len(wrong) - same + 1 > length:
        return None
    return pack([_ending(right, same), _without_marks(_ending(wrong, same))], length, int(tokenizer.pad_token_id or 0))


def _ending(example: Example, same: int) -> Example:
    """An example whose labels start at ``same`` and whose shared start ends one token before: the next token is
    predicted from the one before it in the row, which must be its own."""
    r = example.rendered
    labels = [IGNORED] * same + r.labels[same:]
    if any(i >= same for i in (*r.seg_positions, *r.region_positions)):
        raise ValueError("a pair must differ after its last <SEG>")
    return replace(example, rendered=replace(r, labels=labels), shared=same - 1)


def _without_marks(example: Example) -> Example:
    """An example whose `<SEG>` and `<REG>` stand in the part that it shares with the one before it."""
    rendered = replace(example.rendered, seg_positions=[], region_positions=[])
    return replace(example, rendered=rendered, phrases=())
