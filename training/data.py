"""Conversations as training batches: rendered, packed, joined with a scan's frozen features.

**Packs.** On a CPU the language model's time is proportional to the tokens it reads, so none may be wasted. Several
conversations about one scan are put in one row that starts with what they share, the system's sentence and the
scan's visual tokens, once. Each conversation sees the shared start and itself and nothing of its neighbours, and its
positions count on from the shared start: it gets exactly the states it would get alone. Rows are filled to one length,
so that padding is a few per cent and a compiled model sees one shape.

**Features.** A family of scans ("brain", "head_neck", ...) has a bank of cases with the frozen encoder's visual tokens
and region features (`training/features.py` writes it). A conversation is joined with a case of its family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from assistant import conversation
from assistant.conversation import IGNORED, Message, Rendered
from data_recipes.instructions.facts import Facts

PADDING = -1  # segment number of a pad token
SHARED = 0  # segment number of the shared start
_MASK_ID = re.compile(r"\bm\d+\b")


@dataclass(frozen=True)
class Talk:
    """A conversation that can be trained on.

    family names the feature bank's family; region is the phrase whose region feature `<REG>` carries (None without
    `<REG>`); kind is the question family it came from, for the figures.
    """

    messages: tuple[Message, ...]
    family: str
    region: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Example:
    """A talk as ids. ``shared`` ids at the start are equal for all talks about a scan (through its last visual token).

    phrases[i] is what `<SEG>` number i stands for, or None where the program computes the mask itself (mask algebra
    and recalled ids), so that its state prompts nothing.
    """

    talk: Talk
    rendered: Rendered
    phrases: tuple[str | None, ...]
    shared: int

    def __len__(self) -> int:
        return len(self.rendered)


def prepare(talk: Talk, tokenizer: PreTrainedTokenizerBase, image_tokens: int = conversation.IMAGE_TOKENS) -> Example:
    """Render a talk. ValueError when a `<SEG>` has no phrase, or `<REG>` no region."""
    rendered = conversation.render(talk.messages, tokenizer, image_tokens=image_tokens)
    named = [p for m in talk.messages if m.role == "assistant" for p in conversation.phrases(m.content)]
    if len(named) != len(rendered.seg_positions):
        raise ValueError(f"{len(rendered.seg_positions)} <SEG> but the phrases {named}: each needs its <p>..</p>")
    if bool(rendered.region_positions) != (talk.region is not None):
        raise ValueError(f"a talk with {len(rendered.region_positions)} <REG> has the region {talk.region!r}")
    image = rendered.image_positions
    return Example(talk, rendered, tuple(map(_canonical, named)), image[-1] + 1 if image else 0)


def _canonical(phrase: str) -> str | None:
    return None if _MASK_ID.search(phrase) else phrase.strip()


@dataclass(frozen=True)
class Pack:
    """One row of a batch. Tensors are (L,) long, L the same for all packs of a run.

    ids, labels   as `conversation.render` gives them (not shifted)
    positions     rotary position of each token
    segments      SHARED, 1.. for each conversation, PADDING
    image         indices of the visual tokens, in order; empty for talks with no scan
    regions       (index of `<REG>`, conversation number from 0)
    segs          (index of `<SEG>`, phrase or None)
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    segments: Tensor
    image: tuple[int, ...]
    regions: tuple[tuple[int, int], ...]
    segs: tuple[tuple[int, str | None], ...]
    examples: tuple[Example, ...]

    @property
    def family(self) -> str:
        return self.examples[0].talk.family

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segments != PADDING).sum())


def pack(examples: Sequence[Example], length: int, pad_id: int) -> Pack:
    """Examples with one shared start in one row of ``length``; ValueError when they do not fit or do not share it."""
    first = examples[0]
    start = first.rendered.ids[: first.shared]
    ids, labels = list(start), [IGNORED] * len(start)
    positions, segments = list(range(len(start))), [SHARED] * len(start)
    regions: list[tuple[int, int]] = []
    segs: list[tuple[int, str | None]] = []
    for number, example in enumerate(examples):
        if example.rendered.ids[: example.shared] != start or example.talk.family != first.talk.family:
            raise ValueError("talks of one pack must be about one scan and start alike")
        shift = len(ids) - example.shared
        own = slice(example.shared, None)
        ids += example.rendered.ids[own]
        labels += example.rendered.labels[own]
        positions += range(example.shared, len(example))
        segments += [number + 1] * (len(example) - example.shared)
        regions += [(i + shift, number) for i in example.rendered.region_positions]
        segs += [(i + shift, p) for i, p in zip(example.rendered.seg_positions, example.phrases, strict=True)]
    if len(ids) > length:
        raise ValueError(f"{len(examples)} talks have {len(ids)} tokens, more than a row's {length}")
    rest = length - len(ids)
    return Pack(
        ids=torch.tensor(ids + [pad_id] * rest),
        labels=torch.tensor(labels + [IGNORED] * rest),
        positions=torch.tensor(positions + [0] * rest),
        segments=torch.tensor(segments + [PADDING] * rest),
        image=tuple(first.rendered.image_positions),
        regions=tuple(regions),
        segs=tuple(segs),
        examples=tuple(examples),
    )


def fill(examples: Iterable[Example], length: int, pad_id: int, rng: np.random.Generator) -> list[Pack]:
    """All examples in as few packs as first-fit-decreasing finds, in random order.

    A pack holds one family, and examples with an equal shared start. ValueError for an example longer than a row.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[Example]] = {}
    for example in examples:
        if len(example) > length:
            raise ValueError(
                f"a talk of {len(example)} tokens is longer than a row of {length}: raise pack_length or shorten it"
            )
        groups.setdefault((example.talk.family, tuple(example.rendered.ids[: example.shared])), []).append(example)
    packs = []
    for (_, start), members in groups.items():
        bins: list[tuple[int, list[Example]]] = []
        for index in np.argsort([-len(e) for e in members], kind="stable"):
            example = members[index]
            need = len(example) - len(start)
            for b, (used, inside) in enumerate(bins):
                if used + need <= length:
                    bins[b] = (used + need, [*inside, example])
                    break
            else:
                bins.append((len(example), [example]))
        packs += [pack(inside, length, pad_id) for _, inside in bins]
    return [packs[i] for i in rng.permutation(len(packs))]


def attention_mask(
    segments: Tensor, dtype: torch.dtype, positions: Tensor | None = None, window: int | None = None
) -> Tensor:
    """Who sees whom in rows of packs: segments (B, L) -> additive mask (B, 1, L, L), 0 or the type's lowest value.

    A token sees itself and what is before it in its own conversation and in the shared start. Padding sees padding
    (some row must not be empty, or softmax makes NaN of it). With a sliding ``window`` it sees that many positions
    back, itself among them: distances are those of the conversation alone, not of the row.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    query, key = segments[:, :, None], segments[:, None, :]
    seen = causal & ((query == key) | ((key == SHARED) & (query != PADDING)))
    if window is not None:
        assert positions is not None
        seen &= positions[:, :, None] - positions[:, None, :] < window
    mask = torch.zeros(seen.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


@dataclass(frozen=True)
class CaseFeatures:
    """One scan through the frozen segmenter: visual (T, C_vis), regions {phrase: (K, C_reg)}, K ways of pointing at it;
    float32. facts: what its masks measure, where conversations about its kind of scan need that."""

    case: str
    visual: Tensor
    regions: dict[str, Tensor]
    facts: Facts | None = None


class FeatureBank:
    """Cases by family, as `training/features.py` saved them: never opened again as images."""

    def __init__(self, families: dict[str, list[CaseFeatures]], made_by: str = "") -> None:
        if not families or not all(families.values()):
            raise ValueError("a feature bank needs at least one case in each of its families")
        self.families, self.made_by = families, made_by

    @property
    def image_tokens(self) -> int:
        return next(iter(self.families.values()))[0].visual.shape[0]

    def save(self, path: Path) -> None:
        saved = {
            "made_by": self.made_by,
            "families": {
                name: [
                    {
                        "case": c.case, "visual": c.visual.half(), "facts": c.facts and c.facts.to_dict(),
                        "regions": {p: r.half() for p, r in c.regions.items()},
                    }
                    for c in cases
                ]
                for name, cases in self.families.items()
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(saved, path)

    @staticmethod
    def load(path: Path) -> FeatureBank:
        saved = torch.load(path, weights_only=True)
        return FeatureBank(
            {
                name: [
                    CaseFeatures(
                        c["case"], c["visual"].float(), {p: r.float() for p, r in c["regions"].items()},
                        Facts.from_dict(c["facts"]) if c.get("facts") else None,
                    )
                    for c in cases
                ]
                for name, cases in saved["families"].items()
            },
            saved["made_by"],
        )

    def has_region(self, family: str, phrase: str) -> bool:
        return any(phrase in case.regions for case in self.families.get(family, []))

    def draw(self, family: str, rng: np.random.Generator) -> CaseFeatures:
        """A random case; KeyError naming the families there are."""
        if family not in self.families:
            raise KeyError(f"no features of family {family!r}: the bank has {', '.join(self.families)}")
        cases = self.families[family]
        return cases[int(rng.integers(len(cases)))]

    def draw_region(self, family: str, phrase: str, rng: np.random.Generator, near: CaseFeatures) -> Tensor:
        """A region feature (C_reg,) of the phrase: of the case ``near`` if it has one, else of a random case."""
        having = [near] if phrase in near.regions else [c for c in self.families[family] if phrase in c.regions]
        if not having:
            raise KeyError(f"no case of family {family!r} has a region {phrase!r}")
        ways = having[int(rng.integers(len(having)))].regions[phrase]
        return ways[int(rng.integers(len(ways)))]


@dataclass(frozen=True)
class Batch:
    """B packs with features. Row-major: visual (B, T, C_vis); regions (R, C_reg) at region_index (R, 2) = (row, index);
    seg_index (S, 2); phrases of the S `<SEG>`s; the packs' tensors as (B, L)."""

    ids: Tensor
    labels: Tensor
    positions: Tensor
    segments: Tensor
    visual: Tensor
    image_index: Tensor  # (B * T, 2), row-major like visual
    regions: Tensor
    region_index: Tensor
    seg_index: Tensor
    phrases: tuple[str | None, ...]
    tokens: int
    talks: int

    def to(self, device: torch.device) -> Batch:
        moved: dict[str, Any] = {n: value.to(device) for n, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def collate(packs: Sequence[Pack], bank: FeatureBank, rng: np.random.Generator) -> Batch:
    """Packs of one length, each joined with a case of its family drawn by ``rng``."""
    visual, image_index, regions, region_index, seg_index = [], [], [], [], []
    phrases: list[str | None] = []
    for row, one in enumerate(packs):
        case = bank.draw(one.family, rng)
        if one.image:
            if len(one.image) != len(case.visual):
                raise ValueError(f"{len(one.image)} places for {len(case.visual)} visual tokens of case {case.case}")
            visual.append(case.visual)
            image_index += [(row, i) for i in one.image]
        for index, number in one.regions:
            phrase = one.examples[number].talk.region
            assert phrase is not None  # prepare() has seen to it
            regions.append(bank.draw_region(one.family, phrase, rng, case))
            region_index.append((row, index))
        for index, named in one.segs:
            seg_index.append((row, index))
            phrases.append(named)
    some = next(iter(bank.families.values()))[0]
    region_width = next((r.shape[-1] for c in bank.families.values() for k in c for r in k.regions.values()), 0)
    return Batch(
        ids=torch.stack([p.ids for p in packs]),
        labels=torch.stack([p.labels for p in packs]),
        positions=torch.stack([p.positions for p in packs]),
        segments=torch.stack([p.segments for p in packs]),
        visual=torch.stack(visual) if visual else some.visual.new_zeros(0, *some.visual.shape),
        image_index=torch.tensor(image_index, dtype=torch.long).view(-1, 2),
        regions=torch.stack(regions) if regions else torch.zeros(0, region_width),
        region_index=torch.tensor(region_index, dtype=torch.long).view(-1, 2),
        seg_index=torch.tensor(seg_index, dtype=torch.long).view(-1, 2),
        phrases=tuple(phrases),
        tokens=sum(p.tokens for p in packs),
        talks=sum(len(p.examples) for p in packs),
    )
