"""The segmenter: encoder, prompt encoder and mask decoder in one module, still knowing nothing of language models.

Words arrive as `<SEG>` states (the language model's hidden state at a `<SEG>` token); `seg_query` maps them into the
space of mask queries. The See stage trains this module on states of the frozen language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.click_refiner import ClickRefiner
from assistant.encoders import make_encoder
from assistant.mask_decoder import Heads, MaskDecoder
from assistant.prompt_encoder import GridPrompt, PromptEncoder
from assistant.vision import Features

#: cosine between a `<SEG>` state's code and a taught structure's from which they mean the same. Codes of different
#: structures are nearly orthogonal.
SAME = 0.6


@dataclass(frozen=True)
class SegmenterConfig:
    lm_dim: int = 576
    state_dim: int = 128  # principal axes of the phrase states that are kept
    channels: tuple[int, ...] = (16, 32, 64, 128, 160)
    blocks: tuple[int, ...] = (1, 2, 2, 2, 1)
    pixel_dim: int = 32
    dim: int = 128
    decoder_depth: int = 2
    coarse_size: int = 64  # longest side of the coarse grid, voxels
    tile_size: int = 48  # side of a fine tile, voxels
    presence_threshold: float = 0.5
    presence_temperature: float = 1.0
    mask_threshold: float = 0.5  # least probability of a voxel of a mask, against the empty background
    mask_thresholds: tuple[float, ...] = ()  # likewise in each group of `exclusive`; () is mask_threshold in all
    mask_shifts: tuple[float, ...] = ()  # logits that each of `taught_names` gains wherever it is drawn; () is 0
    quality_scale: tuple[float, float] = (1.0, 0.0)  # calibrated quality = a * raw + b
    rival_threshold: float = 0.5  # least presence, uncalibrated, of a structure that others must compete with
    exclusive: tuple[tuple[str, ...], ...] = ()  # groups of taught phrases whose masks never share a voxel
    wholes: tuple[str, ...] = ()  # taught phrases whose masks hold others'
    #: groups of taught phrases in whose box a scan that shows them is looked at again (`assistant/focus.py`)
    focus: tuple[tuple[str, ...], ...] = ()
    encoder: str = "residual"  # or another of `encoders.KINDS`; `blocks` is of this one alone
    encoder_settings: dict[str, Any] = field(default_factory=dict)  # of another kind: see `encoders`

    @property
    def taught_names(self) -> tuple[str, ...]:
        """All taught phrases, each once: the rows of `Segmenter.taught_codes`."""
        return tuple(dict.fromkeys((*(name for group in self.exclusive for name in group), *self.wholes)))

    def background(self, row: int | None) -> float:
        """What the empty background claims of a voxel beside a structure, as a logit; row: its position in
        `taught_names`, None for one that was not taught."""
        group = None if row is None or not self.mask_thresholds else self.group_of(self.taught_names[row])
        threshold = self.mask_threshold if group is None else self.mask_thresholds[group]
        return math.log(threshold / (1 - threshold))

    def shifts(self, rows: Sequence[int | None]) -> list[float]:
        """`mask_shifts` of positions in `taught_names`; 0 for None."""
        return [self.mask_shifts[row] if self.mask_shifts and row is not None else 0.0 for row in rows]

    def group_of(self, name: str) -> int | None:
        """Position of the first group of `exclusive` that a structure belongs to."""
        return next((n for n, group in enumerate(self.exclusive) if name in group), None)

    @property
    def visual_dim(self) -> int:
        """Width of a visual token before the projector."""
        return self.channels[-1]

    @property
    def region_dim(self) -> int:
        """Width of a region feature: coarse and fine pixel embedding, pooled."""
        return 2 * self.pixel_dim

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> SegmenterConfig:
        return SegmenterConfig(**{k: _tuples(v) for k, v in values.items()})


def _tuples(value: Any) -> Any:
    """Lists, as a configuration file has them, as tuples all the way down."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


class Segmenter(nn.Module):
    """Features of a level from `encode`; masks for N `<SEG>` states from `heads` + `coarse_logits` / `fine_logits`."""

    state_mean: Tensor
    state_axes: Tensor
    taught_codes: Tensor

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = make_encoder(
            config.encoder, config.encoder_settings, config.channels, config.blocks, config.pixel_dim, config.dim
        )
        self.prompt_encoder = PromptEncoder(config.dim, config.pixel_dim)
        self.mask_decoder = MaskDecoder(config.dim, config.pixel_dim, config.decoder_depth)
        self.query = nn.Linear(config.state_dim, config.dim)
        self.click_refiner = ClickRefiner()
        with torch.no_grad():  # whitened states are of unit variance along few axes: keep that scale
            self.query.weight.mul_(3)
        self.register_buffer("state_mean", torch.zeros(config.lm_dim))
        self.register_buffer("state_axes", torch.zeros(config.lm_dim, config.state_dim))
        codes = torch.zeros(len(config.taught_names), config.state_dim)
        self.fit_taught(config.exclusive, config.wholes, codes, config.focus)

    def fit_states(self, states: Tensor) -> None:
        """Set the whitening from one state for each canonical phrase (N, lm_dim).

        States of different phrases differ by little beside what they share ("left hippocampus" and "right hippocampus"
        have a cosine of 0.85 even after standardising). Whitened along the principal axes of the phrases themselves
        they are nearly orthogonal, and a linear map of them serves as well as a class number would."""
        self.state_mean.copy_(states.mean(0))
        _, size, axes = torch.linalg.svd(states - self.state_mean, full_matrices=False)
        variance = size.square() / len(states)
        kept = min(self.config.state_dim, len(states) - 1, states.shape[1])
        scale = (variance[:kept] + 0.02 * variance[:kept].mean()).rsqrt()
        self.state_axes.zero_()
        self.state_axes[:, :kept] = axes[:kept].T * scale

    def fit_taught(
        self,
        groups: tuple[tuple[str, ...], ...],
        wholes: tuple[str, ...],
        codes: Tensor,
        focus: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        """Set which phrases the masks were learned of, those that exclude one another in groups; codes (N, state_dim):
        `whiten` of the state of each of `taught_names`; focus: see `SegmenterConfig`."""
        fitted = dict(zip(self.config.exclusive, self.config.mask_thresholds, strict=False))
        thresholds = tuple(fitted.get(group, self.config.mask_threshold) for group in groups) if fitted else ()
        shifts = dict(zip(self.config.taught_names, self.config.mask_shifts, strict=False))
        config = replace(self.config, exclusive=groups, wholes=wholes, focus=focus, mask_thresholds=thresholds)
        moved = tuple(shifts.get(name, 0.0) for name in config.taught_names) if shifts else ()
        self.config = replace(config, mask_shifts=moved)
        self.register_buffer("taught_codes", codes, persistent=bool(groups or wholes))

    def meant(self, codes: Tensor) -> list[int | None]:
        """Which of `taught_names` each code (N, state_dim) means: its position, or None."""
        if not len(self.taught_codes):
            return [None] * len(codes)
        like = F.normalize(codes, dim=1) @ F.normalize(self.taught_codes, dim=1).T
        best = like.max(1)
        return [int(i) if float(v) >= SAME else None for v, i in zip(best.values, best.indices, strict=True)]

    def settle(self, codes: Tensor, names: Sequence[str | None] | None = None) -> tuple[Tensor, list[int | None]]:
        """Codes (N, state_dim) with the taught one in place of each that means a taught phrase, and which that is (its
        position in `taught_names`, or None). names: what a reply calls each. A taught name wins over the code: what is
        called "left hippocampus" must not be the mask of the right one.

        What a context leaves in a state beside the phrase is noise to the masks, which were learned of the phrases
        alone: with a cosine of 0.99 to the taught code, a hippocampus still differed by 8 % in volume with the
        wording of the question."""
        taught = {name: i for i, name in enumerate(self.config.taught_names)}
        meant = self.meant(codes)
        if names is not None:
            meant = [i if name is None else taught.get(name, i) for i, name in zip(meant, names, strict=True)]
        settled = codes.clone()
        for row, i in enumerate(meant):
            if i is not None:
                settled[row] = self.taught_codes[i]
        return settled, meant

    def whiten(self, states: Tensor) -> Tensor:
        """`<SEG>` states (N, lm_dim) -> codes (N, state_dim) in which phrases are far apart. Fixed once fitted: the
        Converse stage pulls in-context states onto the codes of their phrases here, whatever the See stage still
        learns."""
        return (states.float() - self.state_mean) @ self.state_axes

    def seg_query(self, states: Tensor) -> Tensor:
        """`<SEG>` states (N, lm_dim) -> mask queries (N, dim)."""
        return self.query(self.whiten(states))

    def encode(self, image: Tensor, context: Tensor | None = None) -> Features:
        """image (1, 10, X, Y, Z) as `preprocess.level_input` makes it -> Features."""
        return self.vision(image, context)

    def heads(self, query: Tensor, features: Features, prompts: Sequence[GridPrompt | None]) -> Heads:
        """Decode N queries (N, dim) against the coarse level's features, each with its own prompt.

        Queries never see each other: they are the batch axis of the transformer. Those with equally many prompt tokens
        go through in one call, so N at once equal N one at a time.
        """
        image = features.tokens[0]
        x, y, z = image.shape[1:]
        place = self.prompt_encoder.position.grid((x, y, z), 8, image.device, torch.float32)
        tokens = [
            self.prompt_encoder.tokens(p, features.pixel[0]) if p is not None else image.new_zeros(0, self.config.dim)
            for p in prompts
        ]
        groups: dict[int, list[int]] = {}
        for i, t in enumerate(tokens):
            groups.setdefault(len(t), []).append(i)
        parts, order = [], []
        for members in groups.values():
            extra = torch.stack([tokens[i] for i in members])
            parts.append(self.mask_decoder(query[members], extra, image, place))
            order += members
        return Heads.gather(parts, order)

    def coarse_logits(self, heads: Heads, features: Features, prompts: Sequence[GridPrompt | None]) -> Tensor:
        """Masks on the coarse grid: (N, x, y, z) logits."""
        return self._draw(heads.coarse, features.pixel[0], prompts, (0, 0, 0), 1.0, None)

    def fine_logits(
        self,
        fine: Tensor,
        pixel: Tensor,
        start: Sequence[int],
        prompts: Sequence[GridPrompt | None],
        masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Masks on a fine tile: fine (N, P + 1) of `Heads`; pixel (P, X, Y, Z); start: the tile's first voxel on the
        fine grid; masks: earlier masks on this tile where a prompt has one -> (N, X, Y, Z) logits."""
        return self._draw(fine, pixel, prompts, start, 0.5, masks)

    def _draw(
        self,
        hyper: Tensor,
        pixel: Tensor,
        prompts: Sequence[GridPrompt | None],
        start: Sequence[int],
        scale: float,
        masks: Sequence[Tensor | None] | None,
    ) -> Tensor:
        logits = self.mask_decoder.draw(hyper, pixel)
        if all(p is None for p in prompts):
            return logits
        # voxel i of a level of half the spacing lies at (i + 0.5) / 2 - 0.5 coarse voxels
        axes = [
            (torch.arange(n, device=pixel.device, dtype=torch.float32) + s + 0.5) * scale - 0.5
            for n, s in zip(pixel.shape[1:], start, strict=True)
        ]
        coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        rows = []
        for i, prompt in enumerate(prompts):
            if prompt is None:
                rows.append(logits[i])
                continue
            mask = prompt.mask if masks is None else masks[i]
            rows.append(logits[i] + self.prompt_encoder.dense(prompt, coordinates, mask))
        return torch.stack(rows)
