"""A study: one opened scan, and how it is looked at.

The first look is at the whole scan. Where it finds structures that are better seen from close by, a second one sees the
box around them (`assistant/focus.py`), and all that lies there is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from assistant.drawing import Decoded
from assistant.focus import focus_box
from assistant.prompt_encoder import Prompt
from assistant.rivals import Rivals
from assistant.segmenter import Segmenter
from assistant.view import View
from assistant.volume import Volume

VISUAL_SIDE = 4  # visual tokens are a 4 x 4 x 4 pooling of the coarsest features


class Study:
    """volume, and what the segmenter has seen of it. Not safe for two threads at once."""

    def __init__(self, volume: Volume, segmenter: Segmenter) -> None:
        self.volume = volume
        self.segmenter = segmenter.eval()
        self.whole = View(volume, segmenter)

    @cached_property
    def close(self) -> View | None:
        """The second look; None where the first found nothing to look at again."""
        if not self.segmenter.config.focus:
            return None
        box = focus_box(self.volume, self.whole.canonical, self.whole.rivals)
        return None if box is None else View(self.volume, self.segmenter, box, self.whole)

    @property
    def view(self) -> View:
        """The look that masks are drawn from, unless something outside it is pointed at."""
        return self.close or self.whole

    def _looks(self) -> Iterator[View]:
        """The looks that were taken so far."""
        yield self.whole
        close = vars(self).get("close")  # where cached_property keeps what was asked for already
        if close is not None:
            yield close

    @property
    def nbytes(self) -> int:
        """Bytes of what was computed of the volume so far, on whatever device it lies."""
        return sum(view.nbytes for view in self._looks())

    @property
    def encoded_tiles(self) -> int:
        """Fine tiles encoded so far."""
        return sum(view.encoded_tiles for view in self._looks())

    @property
    def rivals(self) -> Rivals | None:
        """What the taught structures claim of this study; None where the segmenter knows of none."""
        return self.view.rivals

    def encode_next(self) -> bool:
        """See `View.encode_next`: of the looks that masks are drawn from."""
        view = self.view
        return view.encode_next() or (view.wider is not None and view.wider.encode_next(view.box))

    # -- what the language model is given ---------------------------------------------------------------------------

    def visual_features(self) -> Tensor:
        """Visual tokens of the whole scan before projection: (64, visual_dim) float32, x slowest."""
        pooled = F.adaptive_avg_pool3d(self.whole.coarse.deep.float(), VISUAL_SIDE)[0]
        return pooled.flatten(1).T.clone()

    def pointed_at(self, prompt: Prompt) -> tuple[Tensor, str | None]:
        """Feature and name of what is pointed at: the mask, else the box, else the first positive point."""
        view, where = self.view_of(prompt), _where(prompt)
        return view.region_feature(**where), view.name_at(**where)

    def around(self, prompt: Prompt, among: Sequence[str]) -> tuple[np.ndarray, str | None, str | None]:
        """Up to 64 voxels (K, 3) of what is pointed at, its name, and where it has none the nearest of some taught
        structures (`View.nearest`)."""
        view, where = self.view_of(prompt), _where(prompt)
        spots, name = view.spots(**where), view.name_at(**where)
        return spots, name, None if name is not None else view.nearest(spots, among)

    def view_of(self, prompt: Prompt | None) -> View:
        """The look that shows all that a prompt points at."""
        view = self.view
        if view.box is None or prompt is None or prompt.is_empty:
            return view
        places = [self.volume.to_index(np.asarray(prompt.points_mm, float))]
        if prompt.box_mm is not None:
            corners = np.array(list(product(*np.asarray(prompt.box_mm, float).T)))
            places.append(self.volume.to_index(corners).clip(-0.5, np.array(self.volume.shape) - 0.5))
        if prompt.mask is not None:
            places.append(np.argwhere(prompt.mask))
        first, last = view.box
        inside = all(((at >= first - 0.5) & (at <= last - 0.5)).all() for at in places)
        return view if inside else self.whole

    def decode(
        self,
        states: Tensor,
        prompts: Sequence[Prompt | None] | None = None,
        names: Sequence[str | None] | None = None,
    ) -> list[Decoded]:
        """See `Drawing.decode`. Each mask is drawn from the look that shows what its own prompt points at."""
        given = list(prompts) if prompts is not None else [None] * len(states)
        called = list(names) if names is not None else [None] * len(states)
        views = [self.view_of(prompt) for prompt in given]
        found: dict[int, Decoded] = {}
        for view in dict.fromkeys(views):
            rows = [i for i, other in enumerate(views) if other is view]
            drawn = view.drawing.decode(states[rows], [given[i] for i in rows], [called[i] for i in rows])
            found.update(zip(rows, drawn, strict=True))
        return [found[i] for i in range(len(states))]


def _where(prompt: Prompt) -> dict[str, np.ndarray]:
    """What is pointed at, as the functions of a view take it."""
    if prompt.mask is not None:
        return {"mask": prompt.mask}
    if prompt.box_mm is not None:
        return {"box_mm": prompt.box_mm}
    positive = prompt.points_mm[prompt.labels == 1]
    return {"point_mm": (positive if len(positive) else prompt.points_mm)[0]}
