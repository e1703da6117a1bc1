"""A view: one look at a scan, of all of it or of a box, with everything that is computed for it once.

The coarse level is encoded when first needed, fine tiles when a mask first reaches them or while nothing else is to do
(`encode_next`); both stay. A further mask then costs its prompt tokens and dot products with pixels that are already
there.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import product

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from assistant import preprocess
from assistant.drawing import Drawing
from assistant.errors import QuestionError
from assistant.preprocess import Box, Canonical
from assistant.prompt_encoder import sample
from assistant.question import world_bounds
from assistant.rivals import Claims, Rivals
from assistant.segmenter import Segmenter
from assistant.tiles import cell_edges, tile_starts
from assistant.vision import Features
from assistant.volume import Volume

NEAR_MM = 30.0  # from a place within which a structure is near it


class View:
    """What the segmenter sees of a volume, or of a box of it. Not safe for two threads at once."""

    def __init__(
        self, volume: Volume, segmenter: Segmenter, box: Box | None = None, wider: View | None = None
    ) -> None:
        """wider: a look at more of the volume, which has a say in every mask (`Drawing.layers_of`)."""
        self.volume = volume
        self.segmenter = segmenter.eval()
        self.box = box
        self.wider = wider
        self._tiles: dict[tuple[int, int, int], Tensor] = {}
        self._tile_claims: dict[tuple[int, int, int], list[Claims | None]] = {}
        self.encoded_tiles = 0

    @property
    def extent(self) -> Box:
        """What of the volume it may draw on: nothing is known beyond its box."""
        return (np.zeros(3, int), np.array(self.volume.shape)) if self.box is None else self.box

    @property
    def side(self) -> int:
        return self.segmenter.config.tile_size

    @property
    def device(self) -> torch.device:
        return self.segmenter.state_mean.device

    @property
    def nbytes(self) -> int:
        """Bytes of what was computed of the volume so far, on whatever device it lies."""
        tensors = [*self._tiles.values()]
        for claims in self._tile_claims.values():
            tensors += [tensor for c in claims if c is not None for tensor in (c.best, c.owner)]
        computed = vars(self)  # where cached_property keeps what was asked for already
        if "canonical" in computed:
            c = self.canonical
            tensors += [t for t in (c.coarse, c.coarse_inside, c.fine, c.fine_inside) if t is not None]
        if "coarse" in computed:
            tensors += [self.coarse.pixel, self.coarse.tokens, self.coarse.deep]
        if computed.get("rivals") is not None:
            tensors.append(computed["rivals"].logits)
        return sum(tensor.nbytes for tensor in tensors)

    def autocast(self) -> torch.autocast:
        # The weights were trained under bf16 autocast. Without hardware bf16 it is slower than float32 and no better.
        kind = self.device.type
        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported() if kind == "cpu" else kind == "cuda"
        return torch.autocast(kind if fast else "cpu", torch.bfloat16, enabled=bool(fast))

    @cached_property
    def canonical(self) -> Canonical:
        """Both levels of the volume, resampled in float32 whoever asks for them first."""
        with torch.autocast("cpu", enabled=False):
            return preprocess.canonical(self.volume, self.segmenter.config.coarse_size, self.box)

    @cached_property
    def coarse(self) -> Features:
        """The coarse level's features, encoded once."""
        c = self.canonical
        image = preprocess.level_input(
            c.coarse, c.coarse_inside, c.coarse_grid.spacing, c.modality, (0, 0, 0), c.coarse_grid.shape
        )
        with torch.inference_mode(), self.autocast():
            return self.segmenter.encode(image.to(self.device))

    def tile(self, start: tuple[int, int, int]) -> Tensor:
        """Pixel embedding (P, X, Y, Z) of the fine tile that begins at fine voxel `start`."""
        if start not in self._tiles:
            c = self.canonical
            assert c.fine is not None
            assert c.fine_inside is not None
            assert c.fine_grid is not None
            box = tuple(slice(s, s + n) for s, n in zip(start, self.tile_shape, strict=True))
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
            with torch.inference_mode(), self.autocast():
                self._tiles[start] = self.segmenter.encode(image.to(self.device), context).pixel[0]
            self.encoded_tiles += 1
        return self._tiles[start]

    @torch.inference_mode()
    def encode_next(self, within: Box | None = None) -> bool:
        """Encode one more fine tile, of those that show anything the nearest to what was looked at so far (at first, to
        the middle); within: of those alone that show some of this part of the volume. False when there is none left: a
        further mask then costs no more than its prompt tokens."""
        c = self.canonical
        if c.fine is None or c.fine_grid is None:
            return False
        low, high = within or self.extent
        low, high = c.fine_grid.from_index(low - 0.5), c.fine_grid.from_index(high - 0.5)
        left = [
            start
            for start in self.tile_grid()
            if start not in self._tiles
            and (np.array(start) <= high).all()
            and (np.array(start) + self.side > low).all()
            and self._shows(start)
        ]
        if not left:
            return False
        middle = [tuple((n - self.side) / 2 for n in c.fine_grid.shape)]
        looked_at = np.array([*self._tiles] or middle, float)
        start = min(left, key=lambda s: float(np.abs(looked_at - np.array(s)).sum(1).min()))
        if self.rivals is None:
            self.tile(start)
        else:
            self.claims(start)
        return True

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Fine voxels of each tile: its side, or less where the fine grid has less."""
        assert self.canonical.fine_grid is not None
        return tuple(min(self.side, n) for n in self.canonical.fine_grid.shape)

    def tile_grid(self) -> list[tuple[int, int, int]]:
        """Where the fine tiles begin."""
        assert self.canonical.fine_grid is not None
        x, y, z = (tile_starts(n, self.side) for n in self.canonical.fine_grid.shape)
        return list(product(x, y, z))

    def _shows(self, start: tuple[int, int, int]) -> bool:
        """Whether a fine tile is more than air."""
        assert self.canonical.fine is not None
        x, y, z = (slice(s, s + self.side) for s in start)
        part = self.canonical.fine[:, x, y, z].flatten(1)
        return bool((part.amax(1) - part.amin(1) > 0.02).any())

    def region_feature(
        self, *, point_mm: np.ndarray | None = None, box_mm: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """What a point (3,), a box (2, 3) (RAS+ mm) or a mask (X, Y, Z) covers, pooled: (region_dim,) float32.

        The mean of coarse and of fine pixel embeddings at up to 64 positions."""
        spots = self.spots(point_mm, box_mm, mask)
        c = self.canonical
        with torch.inference_mode():
            at = torch.as_tensor(c.coarse_grid.from_index(spots), dtype=torch.float32, device=self.device)
            coarse = sample(self.coarse.pixel[0], at).float().mean(0)
            if c.fine_grid is None:
                return torch.cat([coarse, coarse])
            positions = c.fine_grid.from_index(spots)
            rows = []
            for position in positions:
                start = self.tile_of(position)
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
        here = set(self.rivals.shown())  # a crop around a hippocampus is no brain, whatever its edges look like
        grid = c.coarse_grid if c.fine_grid is None else c.fine_grid
        for position in grid.from_index(self.spots(point_mm, box_mm, mask)):
            start = (0, 0, 0) if c.fine_grid is None else self.tile_of(position)
            claims = self.rivals.coarse if c.fine_grid is None else self.claims(start)
            votes[self.rivals.owner(claims, np.rint(position - np.array(start)).astype(int), here)] += 1
        return votes.most_common(1)[0][0]

    def nearest(self, spots: np.ndarray, among: Sequence[str]) -> str | None:
        """The taught structure, of some, whose claim on the coarse level comes nearest to some of the volume's voxels
        (K, 3); None where none comes within NEAR_MM."""
        if self.rivals is None:
            return None
        taught, places = self.segmenter.config.taught_names, self.volume.to_world(spots)
        best, nearest = NEAR_MM, None
        for name in among:
            held = self.rivals.where(taught.index(name), [name])
            if len(held):
                tree = cKDTree(self.volume.to_world(self.canonical.coarse_grid.to_index(held)))
                far = float(tree.query(places)[0].min())
                if far < best:
                    best, nearest = far, name
        return nearest

    def spots(
        self, point_mm: np.ndarray | None = None, box_mm: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Up to 64 voxel indices (K, 3) of what is pointed at."""
        if mask is not None:
            spots = np.argwhere(mask)
            if not len(spots):
                raise QuestionError("the mask asked about is empty: choose one that has voxels")
            return spots[np.linspace(0, len(spots) - 1, min(64, len(spots))).astype(int)]
        if box_mm is not None:
            low, high = np.sort(np.asarray(box_mm, float), axis=0)
            steps = [np.linspace(a, b, 6)[1:-1] for a, b in zip(low, high, strict=True)]
            return self.inside(np.array(list(product(*steps))), "box")
        if point_mm is not None:
            return self.inside(np.asarray(point_mm, float)[None], "point")
        raise ValueError("nothing is pointed at: give a point, a box or a mask")

    def tile_of(self, position: np.ndarray) -> tuple[int, int, int]:
        """The tile that decides about a fine voxel position."""
        grid = self.canonical.fine_grid
        assert grid is not None
        return tuple(  # type: ignore[return-value]
            tile_starts(n, self.side)[bisect(cell_edges(n, self.side)[1:-1], p + 0.5)]
            for n, p in zip(grid.shape, position, strict=True)
        )

    def inside(self, points_mm: np.ndarray, what: str) -> np.ndarray:
        """World points -> voxel indices; those outside are refused (a point) or left out (of a box)."""
        good = self.volume.inside(points_mm)
        if not good.any() or (what == "point" and not good.all()):
            place, low, high = (
                ", ".join(f"{v:.1f}" for v in at) for at in (points_mm[~good][0], *world_bounds(self.volume))
            )
            raise QuestionError(
                f"the {what} ({place}) mm lies outside the scan, which reaches from ({low}) to ({high}) mm (RAS+): "
                "give a position inside"
            )
        return self.volume.to_index(points_mm)[good]

    def tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    @cached_property
    def rivals(self) -> Rivals | None:
        """What the taught structures claim of this view; None where the segmenter knows of none."""
        if not self.segmenter.config.exclusive:
            return None
        with torch.inference_mode(), self.autocast():
            return Rivals(self.segmenter, self.coarse)

    def claims(self, start: tuple[int, int, int]) -> list[Claims | None]:
        """What the rivals claim of a fine tile."""
        if start not in self._tile_claims:
            assert self.rivals is not None
            with self.autocast():
                self._tile_claims[start] = self.rivals.fine(self.tile(start), start)
        return self._tile_claims[start]

    @cached_property
    def drawing(self) -> Drawing:
        return Drawing(self)
