"""A study: one opened scan with everything that is computed for it once.

The coarse level is encoded when first needed, fine tiles when a mask first reaches them or while nothing else is to do
(`encode_next`); both stay. A further mask then costs its prompt tokens and dot products with pixels that are already
there.

Zoom (SegVol's zoom-out-zoom-in, Du et al. 2024, with one set of weights): the coarse mask says which fine tiles matter,
and the fine logits replace the coarse ones there. Tiles overlap and are blended linearly, each voxel by how far it is
from its tile's border. Which tiles a mask uses depends on that mask alone, so asking for several at once changes
nothing.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from assistant import preprocess
from assistant.errors import QuestionError
from assistant.preprocess import Canonical, Grid
from assistant.prompt_encoder import GridPrompt, Prompt, sample
from assistant.rivals import Claims, Rivals
from assistant.segmenter import Segmenter
from assistant.vision import Features
from assistant.volume import Volume

OVERLAP = 16  # fine voxels that neighbouring tiles share at least
MARGIN = 6  # of them, those at a tile's side that its neighbour alone decides
VISUAL_SIDE = 4  # visual tokens are a 4 x 4 x 4 pooling of the coarsest features
NOWHERE = -10.0  # logit where nothing was drawn


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
class _Drawing:
    """One mask to be drawn. fine (P + 1,) hypernetwork row; coarse (x, y, z) logits; meant: of
    `Segmenter.meant`."""

    fine: Tensor
    coarse: Tensor
    prompt: GridPrompt | None
    given: Prompt | None
    meant: int | None


def tile_starts(n: int, tile: int) -> list[int]:
    """First voxels of the tiles of side `tile` that cover n fine voxels: even, about OVERLAP shared by neighbours."""
    if n <= tile:
        return [0]
    count = int(np.ceil((n - OVERLAP) / (tile - OVERLAP)))
    return [2 * round(s / 2) for s in np.linspace(0, n - tile, count)]


@lru_cache(maxsize=256)
def blend_weights(start: tuple[int, ...], size: tuple[int, ...], whole: tuple[int, ...]) -> Tensor:
    """Weight of each voxel of the tile of `size` that begins at `start` of a level of `whole` voxels (X, Y, Z): towards
    a side where it has a neighbour it falls linearly, to 0 in the last MARGIN voxels."""
    axes = []
    for s, n, end in zip(start, size, whole, strict=True):
        at, line = torch.arange(n) + 0.5 - MARGIN, torch.ones(n)
        if s > 0:
            line = line.minimum(at / (OVERLAP - 2 * MARGIN))
        if s + n < end:
            line = line.minimum(at.flip(0) / (OVERLAP - 2 * MARGIN))
        axes.append(line.clamp_min(0))
    return torch.einsum("i,j,k->ijk", *axes)


def live_voxels(logits: Tensor) -> Tensor:
    """Where the fine level is worth a look: coarse logits (x, y, z) -> bool, one voxel wider than what they draw.

    Specks are left out: a connected part of less than a tenth of the largest one's mass costs a tile and is an error
    far more often than a find."""
    spread = logits.sigmoid()
    drawn = spread > min(0.2, 0.5 * float(spread.max()))
    live = torch.zeros_like(drawn)
    spots = drawn.nonzero()
    if not len(spots):
        return live
    # all that follows happens in the box of what is drawn, and one voxel around it
    box = tuple(
        slice(max(0, int(a) - 1), int(b) + 2) for a, b in zip(spots.amin(0), spots.amax(0), strict=True)
    )
    parts, _ = ndimage.label(drawn[box].numpy(), np.ones((3, 3, 3)))
    mass = np.bincount(parts.ravel(), spread[box].numpy().ravel())
    mass[0] = 0
    kept = torch.from_numpy((mass >= 0.1 * mass.max())[parts] & (parts > 0))
    live[box] = F.max_pool3d(kept[None, None].float(), 3, 1, 1)[0, 0] > 0
    return live


def without_specks(mask: np.ndarray) -> np.ndarray:
    """A mask (X, Y, Z) less its connected parts (26 neighbours) of under a twentieth of the largest one: errors
    far more often than finds, and far away they spoil every distance."""
    spots = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not len(spots[0]):
        return mask
    box = tuple(slice(int(s[0]), int(s[-1]) + 1) for s in spots)
    parts, count = ndimage.label(mask[box], np.ones((3, 3, 3)))
    if count > 1:
        size = np.bincount(parts.ravel())
        size[0] = 0
        mask = mask.copy()
        mask[box] = (size >= 0.05 * size.max())[parts]
    return mask


class Study:
    """volume, and what the segmenter has seen of it. Not safe for two threads at once."""

    def __init__(self, volume: Volume, segmenter: Segmenter) -> None:
        self.volume = volume
        self.segmenter = segmenter.eval()
        self._tiles: dict[tuple[int, int, int], Tensor] = {}
        self._tile_claims: dict[tuple[int, int, int], list[Claims | None]] = {}
        self.encoded_tiles = 0

    @property
    def _side(self) -> int:
        return self.segmenter.config.tile_size

    @property
    def device(self) -> torch.device:
        return self.segmenter.state_mean.device

    @property
    def nbytes(self) -> int:
        """Bytes of what was computed of the volume so far, on whatever device it lies."""
        tensors = [*self._tiles.values()]
        for claims in self._tile_claims.values():
            tensors += [tensor for c in claims if c is not None for tensor in (c.best, c.owner, c.second)]
        computed = vars(self)  # where cached_property keeps what was asked for already
        if "canonical" in computed:
            c = self.canonical
            tensors += [t for t in (c.coarse, c.coarse_inside, c.fine, c.fine_inside) if t is not None]
        if "coarse" in computed:
            tensors += [self.coarse.pixel, self.coarse.tokens, self.coarse.deep]
        return sum(tensor.nbytes for tensor in tensors)

    def _autocast(self) -> torch.autocast:
        # The weights were trained under bf16 autocast. Without hardware bf16 it is slower than float32 and no better.
        kind = self.device.type
        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported() if kind == "cpu" else kind == "cuda"
        return torch.autocast(kind if fast else "cpu", torch.bfloat16, enabled=bool(fast))

    @cached_property
    def canonical(self) -> Canonical:
        """Both levels of the volume, resampled in float32 whoever asks for them first."""
        with torch.autocast("cpu", enabled=False):
            return preprocess.canonical(self.volume, self.segmenter.config.coarse_size)

    @cached_property
    def coarse(self) -> Features:
        """The coarse level's features, encoded once."""
        c = self.canonical
        image = preprocess.level_input(
            c.coarse, c.coarse_inside, c.coarse_grid.spacing, c.modality, (0, 0, 0), c.coarse_grid.shape
        )
        with torch.inference_mode(), self._autocast():
            return self.segmenter.encode(image.to(self.device))

    def tile(self, start: tuple[int, int, int]) -> Tensor:
        """Pixel embedding (P, X, Y, Z) of the fine tile that begins at fine voxel `start`."""
        if start not in self._tiles:
            c = self.canonical
            assert c.fine is not None
            assert c.fine_inside is not None
            assert c.fine_grid is not None
            box = tuple(slice(s, min(s + self._side, n)) for s, n in zip(start, c.fine_grid.shape, strict=True))
            half = tuple(slice(b.start // 2, b.stop // 2) for b in box)
            image = preprocess.level_input(
                c.fine[(slice(None), *box)],
                c.fine_inside[box],
                c.fine_grid.spacing,
                c.modality,
                start,
                c.fine_grid.shape,
            )
            context = self.coarse.pixel[(slice(None), slice(None), *half)]
            with torch.inference_mode(), self._autocast():
                self._tiles[start] = self.segmenter.encode(image.to(self.device), context).pixel[0]
            self.encoded_tiles += 1
        return self._tiles[start]

    @torch.inference_mode()
    def encode_next(self) -> bool:
        """Encode one more fine tile, of those that show anything the nearest to what was looked at so far (at first, to
        the middle). False when there is none left: a further mask then costs no more than its prompt tokens."""
        c = self.canonical
        if c.fine is None or c.fine_grid is None:
            return False
        left = [start for start in self._tile_grid() if start not in self._tiles and self._shows(start)]
        if not left:
            return False
        middle = [tuple((n - self._side) / 2 for n in c.fine_grid.shape)]
        looked_at = np.array([*self._tiles] or middle, float)
        start = min(left, key=lambda s: float(np.abs(looked_at - np.array(s)).sum(1).min()))
        if self.rivals is None:
            self.tile(start)
        else:
            self._claims(start)
        return True

    def _tile_grid(self) -> list[tuple[int, int, int]]:
        """Where the fine tiles begin."""
        assert self.canonical.fine_grid is not None
        x, y, z = (tile_starts(n, self._side) for n in self.canonical.fine_grid.shape)
        return list(product(x, y, z))

    def _shows(self, start: tuple[int, int, int]) -> bool:
        """Whether a fine tile is more than air."""
        assert self.canonical.fine is not None
        x, y, z = (slice(s, s + self._side) for s in start)
        part = self.canonical.fine[:, x, y, z].flatten(1)
        return bool((part.amax(1) - part.amin(1) > 0.02).any())

    # -- what the language model is given ---------------------------------------------------------------------------

    def visual_features(self) -> Tensor:
        """Visual tokens before projection: (64, visual_dim) float32, x slowest."""
        pooled = F.adaptive_avg_pool3d(self.coarse.deep.float(), VISUAL_SIDE)[0]
        return pooled.flatten(1).T.clone()

    def region_feature(
        self, *, point_mm: np.ndarray | None = None, box_mm: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """What a point (3,), a box (2, 3) (RAS+ mm) or a mask (X, Y, Z) covers, pooled: (region_dim,) float32.

        The mean of coarse and of fine pixel embeddings at up to 64 positions."""
        spots = self._spots(point_mm, box_mm, mask)
        c = self.canonical
        with torch.inference_mode():
            at = torch.as_tensor(c.coarse_grid.from_index(spots), dtype=torch.float32, device=self.device)
            coarse = sample(self.coarse.pixel[0], at).float().mean(0)
            if c.fine_grid is None:
                return torch.cat([coarse, coarse])
            positions = c.fine_grid.from_index(spots)
            rows = []
            for position in positions:
                start = self._tile_of(position)
                local = torch.as_tensor(position - np.array(start), dtype=torch.float32, device=self.device)[None]
                rows.append(sample(self.tile(start), local)[0].float())
            return torch.cat([coarse, torch.stack(rows).mean(0)])

    def name_at(
        self, *, point_mm: np.ndarray | None = None, box_mm: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> str | None:
        """The taught structure that claims what a point, a box or a mask covers (as for `region_feature`), by most of
        up to 64 positions. None where none does, or none is known."""
        if self.rivals is None:
            return None
        c, votes = self.canonical, Counter[str | None]()
        grid = c.coarse_grid if c.fine_grid is None else c.fine_grid
        for position in grid.from_index(self._spots(point_mm, box_mm, mask)):
            start = (0, 0, 0) if c.fine_grid is None else self._tile_of(position)
            claims = self.rivals.coarse if c.fine_grid is None else self._claims(start)
            votes[self.rivals.owner(claims, np.rint(position - np.array(start)).astype(int))] += 1
        return votes.most_common(1)[0][0]

    def _spots(self, point_mm: np.ndarray | None, box_mm: np.ndarray | None, mask: np.ndarray | None) -> np.ndarray:
        """Up to 64 voxel indices (K, 3) of what is pointed at."""
        if mask is not None:
            spots = np.argwhere(mask)
            if not len(spots):
                raise QuestionError("the mask asked about is empty: choose one that has voxels")
            return spots[np.linspace(0, len(spots) - 1, min(64, len(spots))).astype(int)]
        if box_mm is not None:
            low, high = np.sort(np.asarray(box_mm, float), axis=0)
            steps = [np.linspace(a, b, 6)[1:-1] for a, b in zip(low, high, strict=True)]
            return self._inside(np.array(list(product(*steps))), "box")
        if point_mm is not None:
            return self._inside(np.asarray(point_mm, float)[None], "point")
        raise ValueError("nothing is pointed at: give a point, a box or a mask")

    def _tile_of(self, position: np.ndarray) -> tuple[int, int, int]:
        """The tile in which a fine voxel position lies deepest."""
        grid = self.canonical.fine_grid
        assert grid is not None
        return tuple(  # type: ignore[return-value]
            min(tile_starts(n, self._side), key=lambda s: abs(s + min(self._side, n) / 2 - p))
            for n, p in zip(grid.shape, position, strict=True)
        )

    def _inside(self, points_mm: np.ndarray, what: str) -> np.ndarray:
        """World points -> voxel indices; those outside are refused (a point) or left out (of a box)."""
        index = self.volume.to_index(points_mm)
        size = np.array(self.volume.shape)
        good = ((index >= -0.5) & (index <= size - 0.5)).all(1)
        if not good.any() or (what == "point" and not good.all()):
            low, high = self.volume.to_world(np.array([np.zeros(3), size - 1]))
            shown = ", ".join(f"{v:.1f}" for v in points_mm[~good][0])
            raise QuestionError(
                f"the {what} ({shown}) mm lies outside the scan, which reaches from "
                f"({', '.join(f'{v:.1f}' for v in np.minimum(low, high))}) to "
                f"({', '.join(f'{v:.1f}' for v in np.maximum(low, high))}) mm (RAS+): give a position inside"
            )
        return index[good]

    # -- masks ------------------------------------------------------------------------------------------------------

    def _grid_prompt(self, prompt: Prompt | None) -> GridPrompt | None:
        if prompt is None or prompt.is_empty:
            return None
        grid = self.canonical.coarse_grid
        points = np.zeros((0, 3))
        if len(prompt.points_mm):
            points = grid.from_index(self._inside(np.asarray(prompt.points_mm, float), "point"))
        box = None
        if prompt.box_mm is not None:
            corners = np.array(list(product(*np.asarray(prompt.box_mm, float).T)))
            index = self.volume.to_index(corners)
            if (index.max(0) < 0).any() or (index.min(0) > np.array(self.volume.shape) - 1).any():
                self._inside(corners, "box")
            at = grid.from_index(index)
            box = self._tensor(np.stack([at.min(0), at.max(0)]))
        mask = None
        if prompt.mask is not None:
            mask = self._mask_on(prompt.mask, grid)
        labels = self._tensor(np.asarray(prompt.labels))
        return GridPrompt(self._tensor(points), labels, box, mask)

    def _mask_on(self, mask: np.ndarray, grid: Grid) -> Tensor:
        """A mask of the volume (X, Y, Z) on a grid, 0..1."""
        return preprocess.to_grid(torch.from_numpy(mask.astype(np.float32))[None], grid)[0][0].to(self.device)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    @cached_property
    def rivals(self) -> Rivals | None:
        """What the taught structures claim of this study; None where the segmenter knows of none."""
        if not self.segmenter.config.exclusive:
            return None
        with torch.inference_mode(), self._autocast():
            return Rivals(self.segmenter, self.coarse)

    def _claims(self, start: tuple[int, int, int]) -> list[Claims | None]:
        """What the rivals claim of a fine tile."""
        if start not in self._tile_claims:
            assert self.rivals is not None
            with self._autocast():
                self._tile_claims[start] = self.rivals.fine(self.tile(start), start)
        return self._tile_claims[start]

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
        on_grid = [self._grid_prompt(p) for p in given]
        model, config = self.segmenter, self.segmenter.config
        codes, meant = model.settle(model.whiten(states.to(self.device)), names)
        with self._autocast():
            heads = model.heads(model.query(codes), self.coarse, on_grid)
            coarse = model.coarse_logits(heads, self.coarse, on_grid)
        logit, quality = model.mask_decoder.judge(heads, coarse)
        presence = (logit / config.presence_temperature).sigmoid()
        chosen: dict[int, _Drawing] = {}
        unknown = [bool(config.taught_names) and m is None and p is None for m, p in zip(meant, on_grid, strict=True)]
        for i, prompt in enumerate(on_grid):
            # a positive click or a given mask says by itself that something is there
            shown = prompt is not None and bool((prompt.labels > 0.5).any() or prompt.mask is not None)
            if not unknown[i] and (shown or float(presence[i]) >= config.presence_threshold):
                own = coarse[i].float()
                chosen[i] = _Drawing(heads.fine[i], own, prompt, given[i], self._competing(own, meant[i], prompt))
        drawn = dict(zip(chosen, self._draw(list(chosen.values())), strict=True))
        for i, wanted in chosen.items():
            if wanted.prompt is None:  # else a small part may be what was pointed at
                drawn[i] = without_specks(drawn[i])
        a, b = config.quality_scale
        return [
            Decoded(
                drawn[i] if i in drawn else np.zeros(self.volume.shape, bool),
                0.0 if unknown[i] else float(presence[i]),
                min(1.0, max(0.0, a * float(quality[i]) + b)),
                bool(i in drawn and drawn[i].any()),
                not unknown[i],
            )
            for i in range(len(states))
        ]

    def _competing(self, logits: Tensor, meant: int | None, prompt: GridPrompt | None) -> int | None:
        """`meant`, or None where competition would take what a person clicked on: the mask is theirs to decide."""
        if meant is None or prompt is None:
            return meant
        inside = prompt.points[prompt.labels > 0.5]
        kept = sample(self._contested(logits, meant, None)[None], inside) if len(inside) else inside
        return meant if bool((kept > 0).all()) else None

    def _draw(self, wanted: list[_Drawing]) -> list[np.ndarray]:
        """N masks on the volume (X, Y, Z) bool. A tile is visited once and draws every mask that needs it in one
        product."""
        c = self.canonical
        cut = float(np.log(self.segmenter.config.mask_threshold / (1 - self.segmenter.config.mask_threshold)))
        out = [np.zeros(self.volume.shape, bool) for _ in wanted]
        coarse = [self._contested(w.coarse, w.meant, None).cpu() for w in wanted]
        if c.fine_grid is None:
            for mask, logits in zip(out, coarse, strict=True):
                self._to_volume(mask, logits, c.coarse_grid, np.zeros(3, int), cut)
            return out
        live = [live_voxels(logits) for logits in coarse]
        lows, sums, weights = [], [], []
        for where in live:
            spots = where.nonzero()
            low = high = np.zeros(3, int)
            if len(spots):
                low, high = 2 * spots.amin(0).numpy(), 2 * (spots.amax(0).numpy() + 1)
            lows.append(low)
            sums.append(torch.zeros(tuple(int(n) for n in high - low)))
            weights.append(torch.zeros_like(sums[-1]))
        size = tuple(min(self._side, n) for n in c.fine_grid.shape)
        for start in self._tile_grid():
            window = blend_weights(start, size, c.fine_grid.shape)
            half = tuple(slice(s // 2, (s + n) // 2) for s, n in zip(start, size, strict=True))
            counts = window[::2, ::2, ::2] + window[1::2, 1::2, 1::2] > 0
            near = [
                i
                for i, low in enumerate(lows)
                if all(s < a + n and a < s + m for s, m, a, n in zip(start, size, low, sums[i].shape, strict=True))
            ]
            users = [i for i in near if bool((live[i][half] & counts).any())]
            if not users:
                continue
            grid = _shifted(c.fine_grid, start, size)
            earlier = [
                self._mask_on(g.mask, grid) if (g := wanted[i].given) is not None and g.mask is not None else None
                for i in users
            ]
            with self._autocast():
                fine = torch.stack([wanted[i].fine for i in users])
                rows = self.segmenter.fine_logits(
                    fine, self.tile(start), start, [wanted[i].prompt for i in users], earlier
                )
            for i, row in zip(users, rows.float(), strict=True):
                logits = self._contested(row, wanted[i].meant, start).cpu()
                low, high = lows[i], lows[i] + np.array(sums[i].shape)
                spans = [(max(s, a), min(s + n, b)) for s, n, a, b in zip(start, size, low, high, strict=True)]
                mine = tuple(slice(a - s, b - s) for (a, b), s in zip(spans, start, strict=True))
                there = tuple(slice(a - s, b - s) for (a, b), s in zip(spans, low, strict=True))
                sums[i][there] += logits[mine] * window[mine]
                weights[i][there] += window[mine]
        for mask, where, low, total, weight in zip(out, live, lows, sums, weights, strict=True):
            # what the coarse level judged empty stays so, even where a tile shows it
            box = where[tuple(slice(a // 2, (a + n) // 2) for a, n in zip(low, total.shape, strict=True))]
            seen = F.interpolate(box[None, None].float(), size=total.shape)[0, 0] > 0
            logits = torch.where(seen, total / weight.clamp_min(1e-6), torch.full_like(total, NOWHERE))
            self._to_volume(mask, logits, c.fine_grid, low, cut)
        return out

    def _contested(self, logits: Tensor, meant: int | None, start: tuple[int, int, int] | None) -> Tensor:
        """Logits of one mask on a fine tile (or on the coarse level: start None), less its strongest rival's."""
        if self.rivals is None or meant is None:
            return logits
        return self.rivals.contested(logits, meant, self.rivals.coarse if start is None else self._claims(start))

    def _to_volume(self, out: np.ndarray, logits: Tensor, grid: Grid, first: np.ndarray, cut: float) -> None:
        """Threshold logits of a box of a grid (its first voxel `first`) on the volume's own voxels, into `out`."""
        spots = (logits > cut).nonzero()
        if not len(spots):
            return
        a = np.maximum(spots.amin(0).numpy() - 2, 0)
        b = np.minimum(spots.amax(0).numpy() + 3, np.array(logits.shape))
        part = logits[tuple(slice(i, j) for i, j in zip(a, b, strict=True))].clamp(NOWHERE, -NOWHERE)
        here = _shifted(grid, first + a, tuple(part.shape))
        low = np.floor(here.to_index(np.full(3, -1.0))).astype(int).clip(0)
        high = (np.ceil(here.to_index(np.array(part.shape, float))).astype(int) + 1).clip(max=self.volume.shape)
        if (high <= low).any():
            return
        values = preprocess.from_grid(part[None], here, low, high, NOWHERE)[0]
        out[tuple(slice(i, j) for i, j in zip(low, high, strict=True))] = (values > cut).numpy()


def _shifted(grid: Grid, first: Sequence[int] | np.ndarray, shape: Sequence[int]) -> Grid:
    """The part of a grid that begins at its voxel `first`."""
    x, y, z = (float(s + f * d) for s, f, d in zip(grid.start, first, grid.step, strict=True))
    a, b, c = (int(n) for n in shape)
    return dataclasses.replace(grid, shape=(a, b, c), start=(x, y, z))
