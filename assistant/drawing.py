"""From `<SEG>` states and prompts to masks on the volume's own voxels.

Zoom (SegVol's zoom-out-zoom-in, Du et al. 2024, with one set of weights): the coarse mask says which fine tiles matter,
and the fine logits replace the coarse ones there. Tiles overlap and are blended linearly, each voxel by how far it is
from its tile's border. Which tiles a mask uses depends on that mask alone, so asking for several at once changes
nothing. Of rivals each voxel goes to the one that claims it most strongly, on the volume's own grid: between a grid
voxel that goes to one and one that goes to another, a third may be the strongest. Clicks act last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from assistant import preprocess
from assistant.click_refiner import NEAREST, Clicks
from assistant.layer import NOWHERE, Layer, Slices, box_at, on_volume, overlap
from assistant.preprocess import Grid
from assistant.prompt_encoder import GridPrompt, Prompt
from assistant.tiles import blend_weights, live_voxels

if TYPE_CHECKING:
    from assistant.view import View

SURELY = 4.0  # logit at which a mask that was not drawn counts as sure
TOGETHER = 8  # masks drawn at a time: their margins over all rivals are large
BLANK = -4.0  # logit where nothing is known: a click has it all before it


@dataclass(frozen=True)
class Decoded:
    """One mask: on the volume's RAS grid (X, Y, Z) bool, empty where `present` is False.

    taught: False where the segmenter knows no such thing, and its absence says nothing; presence is 0 then."""

    mask: np.ndarray
    presence: float
    quality: float
    present: bool
    taught: bool = True


@dataclass(frozen=True)
class Wanted:
    """One mask to be drawn. fine (P + 1,) hypernetwork row; coarse (x, y, z) logits; clicks: on the coarse level;
    meant: of `Segmenter.meant`; near, far: the taught structures that it competes with (`Rivals.against`); wider: the
    same mask in the wider view, where there is one."""

    fine: Tensor
    coarse: Tensor
    prompt: GridPrompt | None = None
    given: Prompt | None = None
    clicks: Clicks | None = None
    meant: int | None = None
    near: tuple[int, ...] = ()
    far: tuple[int, ...] = ()
    wider: Wanted | None = None


def without_specks(mask: np.ndarray) -> np.ndarray:
    """A mask (X, Y, Z) less its connected parts (26 neighbours) of under a twentieth of the largest one: errors
    far more often than finds, and far away they spoil every distance."""
    plane = np.logical_or.reduce(mask, axis=2)
    x, y = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    if not len(x):
        return mask
    z = np.flatnonzero(mask[x[0] : x[-1] + 1, y[0] : y[-1] + 1].any((0, 1)))
    box = tuple(slice(int(s[0]), int(s[-1]) + 1) for s in (x, y, z))
    parts, count = ndimage.label(mask[box], np.ones((3, 3, 3)))
    if count > 1:
        size = np.bincount(parts.ravel())
        size[0] = 0
        mask = mask.copy()
        mask[box] = (size >= 0.05 * size.max())[parts]
    return mask


class Drawing:
    """Draws masks of a view. It holds nothing of its own: what was encoded is the view's."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.segmenter = view.segmenter

    def _grid_prompt(self, prompt: Prompt | None) -> GridPrompt | None:
        if prompt is None or (prompt.box_mm is None and prompt.mask is None):
            return None
        grid = self.view.canonical.coarse_grid
        box = None
        if prompt.box_mm is not None:
            corners = np.array(list(product(*np.asarray(prompt.box_mm, float).T)))
            index = self.view.volume.to_index(corners)
            if (index.max(0) < 0).any() or (index.min(0) > np.array(self.view.volume.shape) - 1).any():
                self.view.inside(corners, "box")
            at = grid.from_index(index)
            box = self.view.tensor(np.stack([at.min(0), at.max(0)]))
        mask = None
        if prompt.mask is not None:
            mask = self._mask_on(prompt.mask, grid)
        return GridPrompt(box, mask)

    def _clicks(self, prompt: Prompt | None) -> Clicks | None:
        if prompt is None or not len(prompt.points_mm):
            return None
        index = self.view.inside(np.asarray(prompt.points_mm, float), "point")
        at = self.view.tensor(self.view.canonical.coarse_grid.from_index(index))
        return Clicks(at, self.view.tensor(np.asarray(prompt.labels)) > 0.5)

    def _mask_on(self, mask: np.ndarray, grid: Grid) -> Tensor:
        """A mask of the volume (X, Y, Z) on a grid, 0..1."""
        return preprocess.to_grid(torch.from_numpy(mask.astype(np.float32))[None], grid)[0][0].to(self.view.device)

    @torch.inference_mode()
    def decode(
        self,
        states: Tensor,
        prompts: Sequence[Prompt | None] | None = None,
        names: Sequence[str | None] | None = None,
    ) -> list[Decoded]:
        """`<SEG>` states (N, lm_dim), each with its own prompt or None -> N masks, all in one call.

        names: what the text calls each; where that is a taught structure, no other one is drawn."""
        given = list(prompts) if prompts is not None else [None] * len(states)
        model, config = self.segmenter, self.segmenter.config
        codes, meant = model.settle(model.whiten(states.to(self.view.device)), names)
        every, logit, quality = self._wanted(codes, meant, given)
        presence = (logit / config.presence_temperature).sigmoid()
        unknown = [
            bool(config.taught_names) and m is None and (p is None or p.is_empty)
            for m, p in zip(meant, given, strict=True)
        ]
        chosen = []
        for i, one in enumerate(every):
            # a positive click or a given mask says by itself that something is there
            shown = _pointed(one.clicks) or (one.prompt is not None and one.prompt.mask is not None)
            if not unknown[i] and (shown or float(presence[i]) >= config.presence_threshold):
                chosen.append(i)
        drawn = dict(zip(chosen, self._draw(self._in_company(chosen, every, codes)), strict=True))
        for i in chosen:
            if every[i].prompt is None and every[i].clicks is None:  # else a small part may be what was pointed at
                drawn[i] = without_specks(drawn[i])
        a, b = config.quality_scale
        return [
            Decoded(
                drawn[i] if i in drawn else np.zeros(self.view.volume.shape, bool),
                0.0 if unknown[i] else float(presence[i]),
                min(1.0, max(0.0, a * float(quality[i]) + b)),
                bool(i in drawn and drawn[i].any()),
                not unknown[i],
            )
            for i in range(len(states))
        ]

    def _wanted(
        self, codes: Tensor, meant: Sequence[int | None], given: Sequence[Prompt | None]
    ) -> tuple[list[Wanted], Tensor, Tensor]:
        """N codes (N, state_dim), each with its prompt, against the coarse level: what there is to draw, presence
        logits (N,) and quality (N,)."""
        on_grid, clicks = [self._grid_prompt(p) for p in given], [self._clicks(p) for p in given]
        model = self.segmenter
        with self.view.autocast():
            heads = model.heads(model.query(codes), self.view.coarse, on_grid)
            coarse = model.coarse_logits(heads, self.view.coarse, on_grid)
        logit, quality = model.mask_decoder.judge(heads, coarse)
        shifts = torch.tensor(model.config.shifts(meant), device=coarse.device)
        heads, coarse = heads.shifted(shifts), coarse.float() + shifts[:, None, None, None]
        wanted = []
        for i, (prompt, clicked) in enumerate(zip(on_grid, clicks, strict=True)):
            fine, drawn = heads.fine[i], coarse[i]
            if _pointed(clicked) and prompt is None and meant[i] is None and model.config.taught_names:
                # a word that no mask was learned of says nothing: what is clicked on is all there is to go by
                fine, drawn = blank(fine), torch.full_like(drawn, BLANK)
            rivals, row = self.view.rivals, meant[i]
            if rivals is not None and row is not None and prompt is None:
                # what it is to others it is itself, to the last digit: of two in step both could claim a voxel
                fine, drawn = rivals.heads.fine[row], rivals.logits[row].float()
            wanted.append(Wanted(fine, drawn, prompt, given[i], clicked, row))
        return wanted, logit, quality

    def _in_company(self, chosen: Sequence[int], every: Sequence[Wanted], codes: Tensor) -> list[Wanted]:
        """Those of `every` that are to be drawn, each with whom it competes with and with what the wider view draws of
        it; codes (N, state_dim) of all."""
        view, some = self.view, [every[i] for i in chosen]
        wider: Sequence[Wanted | None] = [None] * len(some)
        if view.wider is not None and some:
            rows = codes[[*chosen]]
            wider, _, _ = view.wider.drawing._wanted(rows, [one.meant for one in some], [one.given for one in some])
        out = []
        for one, other in zip(some, wider, strict=True):
            near, far = ((), ()) if view.rivals is None else view.rivals.against(one.meant)
            # against the same ones in both looks, or the mean could share a voxel with one that only one of them knows
            both = None if other is None else replace(other, near=near, far=far)
            out.append(replace(one, near=near, far=far, wider=both))
        return out

    def _draw(self, wanted: list[Wanted]) -> list[np.ndarray]:
        """N masks on the volume (X, Y, Z) bool."""
        out = []
        for first in range(0, len(wanted), TOGETHER):
            some = wanted[first : first + TOGETHER]
            for one, layer in zip(some, self.layers_of(some), strict=True):
                mask = np.zeros(self.view.volume.shape, bool)
                if one.clicks is not None:
                    # what is nearer to the mask is so over every rival: between two of them it is as before
                    moved = self.refined(layer, one.clicks).cpu() - layer.logits
                    layer = replace(layer, margins=layer.margins + moved)
                for where, values in layer.over_all(self.view.extent, 0.0, 0.0):
                    mask[where] = (values > 0).numpy()
                out.append(mask)
        return out

    @torch.inference_mode()
    def layers(self, names: Sequence[str]) -> list[Layer]:
        """What is drawn of taught phrases, whatever their presence and before any click."""
        model = self.segmenter
        rows = [model.config.taught_names.index(name) for name in names]
        codes, given = model.taught_codes[rows], [None] * len(rows)
        wanted, _, _ = self._wanted(codes, rows, given)
        return self.layers_of(self._in_company(range(len(rows)), wanted, codes))

    def probability(self, name: str) -> np.ndarray:
        """How likely each voxel of the volume belongs to a taught structure, whatever its presence: (X, Y, Z) float32,
        over a half in its mask; 0 where nothing is drawn."""
        (layer,) = self.layers([name])
        values = np.full(self.view.volume.shape, NOWHERE, np.float32)
        for where, logits in layer.over_all(self.view.extent, 0.9 * NOWHERE, -NOWHERE):
            values[where] = logits.numpy()
        return np.where(values > 0.9 * NOWHERE, 1 / (1 + np.exp(-values)), 0).astype(np.float32)

    def refined(self, layer: Layer, clicks: Clicks) -> Tensor:
        """A layer's logits (X, Y, Z) after clicks (on the coarse level)."""
        here = (clicks.on_finer() if layer.fine else clicks).moved(self.view.tensor(layer.low))
        return self.segmenter.click_refiner(
            layer.logits.to(self.view.device), lambda box: self.pixels(layer, box), here
        )

    @torch.inference_mode()
    def retouched(self, mask: np.ndarray, prompt: Prompt) -> np.ndarray:
        """A mask (X, Y, Z) bool, however it was made, after the clicks of a prompt: it changes around them alone."""
        c, clicks = self.view.canonical, self._clicks(prompt)
        if clicks is None:
            return mask.copy()
        grid = c.coarse_grid if c.fine_grid is None else c.fine_grid
        logits = 2 * SURELY * (self._mask_on(mask, grid).cpu() - 0.5)
        layer = Layer(logits[None], grid, np.zeros(3, int), fine=c.fine_grid is not None)
        after, before = self.refined(layer, clicks).cpu(), layer.logits
        # what the clicks leave as it is has the mask's own voxels, not those of the grid
        moved, out = np.zeros((2, *mask.shape), bool), mask.copy()
        for values, drawn in zip((before, after), moved, strict=True):
            for where, logit in on_volume(values, grid, self.view.extent, values > 0):
                drawn[where] = (logit > 0).numpy()
        changed = moved[0] != moved[1]
        out[changed] = moved[1][changed]
        # of a mask that is thinner than the grid's voxels the grid may hold nothing: a click is heeded all the same
        voxels = np.rint(self.view.volume.to_index(np.asarray(prompt.points_mm, float))).astype(int)
        for voxel, label in zip(voxels.clip(0, np.array(out.shape) - 1), prompt.labels, strict=True):
            out[tuple(voxel)] = label > 0.5
        return out

    def pixels(self, layer: Layer, box: Slices) -> Tensor:
        """The embedding (P, x, y, z) of a part of a layer, each voxel from the tile that counts most there."""
        level = tuple(slice(b.start + a.start, b.stop + a.start) for a, b in zip(layer.box, box, strict=True))
        if not layer.fine:
            return self.view.coarse.pixel[0][(slice(None), *level)]
        shape = tuple(s.stop - s.start for s in level)
        out = torch.zeros((self.segmenter.config.pixel_dim, *shape), device=self.view.device)
        most = torch.zeros(shape, device=self.view.device)
        size = self.view.tile_shape
        for start in self.view.tile_grid():
            common = overlap(box_at(start, size), level)
            if common is None:
                continue
            mine, there = common
            weight = blend_weights(start, size, layer.grid.shape)[mine].to(self.view.device)
            better, part = weight > most[there], (slice(None), *there)
            if not bool(better.any()):
                continue
            out[part] = torch.where(better, self.view.tile(start)[(slice(None), *mine)].float(), out[part])
            most[there] = torch.maximum(weight, most[there])
        return out

    def layers_of(self, wanted: list[Wanted]) -> list[Layer]:
        """N masks' logits: in a view that has a wider one the mean of both, which is right more often than either
        (training/LOG.md). Rivals still share no voxel, since in either view what one of two claims by x costs the
        other x at least. Where the wider one draws nothing of a mask, this one is taken at its word."""
        layers = self._layers_of(wanted)
        others = [one.wider for one in wanted]
        if self.view.wider is None or None in others:
            return layers
        wider = self.view.wider.drawing.layers_of([one for one in others if one is not None])
        return [own.mean(other) for own, other in zip(layers, wider, strict=True)]

    def _layers_of(self, wanted: list[Wanted]) -> list[Layer]:
        """N masks' logits in this view. A tile is visited once, by every mask that needs it."""
        c = self.view.canonical
        rivals = self.view.rivals
        if c.fine_grid is None:
            whole = np.zeros(3, int)
            claims = [[] if rivals is None else [rivals.logits[[*one.near, *one.far]]] for one in wanted]
            return [
                Layer(self._margins(one, torch.cat([one.coarse[None], *others])), c.coarse_grid, whole)
                for one, others in zip(wanted, claims, strict=True)
            ]
        live = [live_voxels(self._contested(one).cpu()) | _clicked(one.clicks, one.coarse.shape) for one in wanted]
        lows, boxes, sums, weights = [], [], [], []
        for one, where in zip(wanted, live, strict=True):
            spots = where.nonzero()
            low = high = np.zeros(3, int)
            if len(spots):
                low, high = 2 * spots.amin(0).numpy(), 2 * (spots.amax(0).numpy() + 1)
            lows.append(low)
            weights.append(torch.zeros(tuple(int(n) for n in high - low)))
            boxes.append(box_at(low, tuple(weights[-1].shape)))
            sums.append(torch.zeros((1 + len(one.near) + bool(one.far), *weights[-1].shape)))
        size = self.view.tile_shape
        for start in self.view.tile_grid():
            window = blend_weights(start, size, c.fine_grid.shape)
            half = tuple(slice(s // 2, (s + n) // 2) for s, n in zip(start, size, strict=True))
            counts = window[::2, ::2, ::2] + window[1::2, 1::2, 1::2] > 0
            for i, one in enumerate(wanted):
                common = overlap(box_at(start, size), boxes[i])
                if common is None or not bool((live[i][half] & counts).any()):
                    continue
                mine, there = common
                competing = [*one.near, *one.far]
                rows = [one.fine[None]] if rivals is None else [one.fine[None], rivals.heads.fine[competing]]
                none = [None] * len(competing)
                first = [s + m.start for s, m in zip(start, mine, strict=True)]
                earlier = None
                if one.given is not None and one.given.mask is not None:
                    shape = [m.stop - m.start for m in mine]
                    earlier = self._mask_on(one.given.mask, c.fine_grid.part(first, shape))
                with self.view.autocast():
                    drawn = self.segmenter.fine_logits(
                        torch.cat(rows),
                        self.view.tile(start)[(slice(None), *mine)],
                        first,
                        [one.prompt, *none],
                        [earlier, *none],
                    )
                sums[i][(slice(None), *there)] += self._margins(one, drawn) * window[mine]
                weights[i][there] += window[mine]
        out = []
        for where, low, total, weight in zip(live, lows, sums, weights, strict=True):
            # what the coarse level judged empty stays so, even where a tile shows it
            box = where[tuple(slice(a // 2, (a + n) // 2) for a, n in zip(low, weight.shape, strict=True))]
            seen = F.interpolate(box[None, None].float(), size=weight.shape)[0, 0] > 0
            margins = total.div_(weight.clamp_min(1e-6)).masked_fill_(~seen, NOWHERE)
            out.append(Layer(margins, c.fine_grid, low, fine=True))
        return out

    def _contested(self, one: Wanted) -> Tensor:
        """Logits of one mask on the coarse level, over 0 where it is."""
        rivals = self.view.rivals
        if rivals is None:
            return one.coarse - self.segmenter.config.background(None)
        return rivals.contested(one.coarse, one.meant)

    def _margins(self, one: Wanted, drawn: Tensor) -> Tensor:
        """Logits of one mask, of its near and of its far rivals (1 + K, X, Y, Z): the margins of a `Layer`, on the CPU.
        To have the far ones as one costs a mask some voxels, never gives it any of theirs."""
        own, others = drawn[0].float(), drawn[1:]
        count = len(one.near)
        parts = [own - self.segmenter.config.background(one.meant), *(own - other for other in others[:count])]
        if one.far:
            parts.append(own - others[count:].amax(0))
        return torch.stack(parts).cpu()


def _pointed(clicks: Clicks | None) -> bool:
    """Whether something is said to be there."""
    return clicks is not None and bool(clicks.positive.any())


def _clicked(clicks: Clicks | None, shape: Sequence[int]) -> Tensor:
    """Where positive clicks must be able to draw, on the coarse level: (x, y, z) bool."""
    out = torch.zeros(tuple(shape), dtype=torch.bool)
    if clicks is not None:
        axes = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
        for at in clicks.at[clicks.positive].cpu():
            out |= sum((a - x).square() for a, x in zip(axes, at, strict=True)) <= (NEAREST / 2) ** 2
    return out


def blank(fine: Tensor) -> Tensor:
    """A hypernetwork row (P + 1,) that draws BLANK everywhere."""
    row = torch.zeros_like(fine)
    row[-1] = BLANK
    return row
