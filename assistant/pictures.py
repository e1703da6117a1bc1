"""Pictures of masks for a page without a viewer: the slice through a mask in each of three planes, as PNG.

Radiological convention: the patient's right is on the left of the picture, and a sagittal plane looks to the left. The
letters at the edges say so.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from assistant.volume import Volume

SIDE = 260  # pixels of a picture's longer side
TINT = 0.45  # how much of a mask's colour lies over the grey
_PLANES = {  # column axis, row axis, axis through the plane, letters at left, right, top, bottom
    "axial": (0, 1, 2, "RLAP"),
    "coronal": (0, 2, 1, "RLSI"),
    "sagittal": (1, 2, 0, "APSI"),
}


def mask_picture(
    volume: Volume, masks: Mapping[str, np.ndarray], of: str, window: tuple[float, float], colours: Mapping[str, str]
) -> bytes:
    """PNG of three planes side by side through the widest place of one mask, all masks drawn.

    masks: id -> (X, Y, Z) bool on the volume's RAS grid; of: the id to cut through; window: black and white; colours:
    id -> "#rrggbb".
    """
    tiles = [_tile(volume, masks, masks[of], plane, window, colours) for plane in _PLANES]
    sheet = Image.new("RGB", (sum(tile.width for tile in tiles) + 8, max(tile.height for tile in tiles)), (8, 9, 11))
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, (sheet.height - tile.height) // 2))
        left += tile.width + 4
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _tile(
    volume: Volume, masks: Mapping[str, np.ndarray], cut: np.ndarray, plane: str, window: tuple[float, float],
    colours: Mapping[str, str],
) -> Image.Image:  # fmt: skip
    across, down, through, letters = _PLANES[plane]
    at = widest(cut, through)
    low, high = window
    grey = np.clip((_slice(volume.voxels, through, at, across, down) - low) / max(high - low, 1e-9), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, axis=2)
    for mask_id, mask in masks.items():
        drawn = _slice(mask, through, at, across, down)
        rgb = np.array([int(colours[mask_id][k : k + 2], 16) for k in (1, 3, 5)])
        picture[drawn] = (1 - TINT) * picture[drawn] + TINT * rgb
    spacing = volume.spacing
    size = np.array([picture.shape[1] * spacing[across], picture.shape[0] * spacing[down]])
    width, height = (max(1, round(v)) for v in size * SIDE / size.max())
    tile = Image.fromarray(picture.astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(tile)
    for letter, place, anchor in zip(
        letters,
        ((3, height / 2), (width - 3, height / 2), (width / 2, 2), (width / 2, height - 2)),
        ("lm", "rm", "mt", "mb"),
        strict=True,
    ):
        pen.text(place, letter, fill=(219, 227, 237), anchor=anchor)
    return tile


def widest(mask: np.ndarray, axis: int) -> int:
    """The index along an axis at which a mask has most voxels."""
    return int(mask.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())


def _slice(array: np.ndarray, through: int, at: int, across: int, down: int) -> np.ndarray:
    """(rows, columns) of a plane: rows from the top, columns from the patient's right or front."""
    plane = np.take(array, at, axis=through)  # (the lower axis, the higher axis): across is the lower one
    assert across < down
    return plane.T[::-1, ::-1]
