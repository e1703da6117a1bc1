"""A record as a picture: three planes of its scan with its masks in colour.

Display is radiological: the patient's right is at the left of the axial and coronal planes, the front at the left of
the sagittal one; up is front (axial) or head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from assistant.volume import Volume
from data_recipes.schema import Record, load_record, mask_of

COLOURS = ((230, 75, 60), (60, 160, 230), (90, 200, 90), (240, 190, 50), (170, 100, 220), (240, 130, 190))
HEIGHT = 256  # pixels of each plane
HU = (-160.0, 240.0)  # the usual soft-tissue window
OPACITY = 0.45


def picture(volume: Volume, masks: Sequence[np.ndarray]) -> Image.Image:
    """Axial, coronal and sagittal plane side by side, through the middle of the masks (or of the scan).

    masks: (X, Y, Z) bool each, coloured in their order.
    """
    grey = _grey(volume)
    centre = _centre(volume, masks)
    panels = [_plane(grey, masks, volume.spacing, axis, centre[axis]) for axis in (2, 1, 0)]
    whole = Image.new("RGB", (sum(p.width for p in panels) + 4 * (len(panels) - 1), HEIGHT))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, 0))
        left += panel.width + 4
    return whole


def of_record(root: Path, record: Record) -> Image.Image:
    """The picture of a record whose paths begin at `root`; its present targets are the masks, those
    of its first image where it has two."""
    volume, labels = load_record(root, record)
    masks: dict[tuple[int, ...], np.ndarray] = {}  # a mask that is spoken of again ("m1") has the same label values
    for target in record.targets:
        if labels is not None and target.present and target.labels and target.image == 0:
            masks.setdefault(target.labels, mask_of(labels, target.labels))
    return picture(volume, list(masks.values()))


def _grey(volume: Volume) -> np.ndarray:
    """(X, Y, Z) uint8: CT in its window, others between their 1st and 99th percentile."""
    low, high = HU if volume.intensity_unit == "HU" else np.percentile(volume.voxels, (1, 99))
    span = max(float(high - low), 1e-6)
    return np.asarray(np.clip((volume.voxels - low) / span, 0, 1) * 255, np.uint8)


def _centre(volume: Volume, masks: Sequence[np.ndarray]) -> tuple[int, int, int]:
    spots = [np.argwhere(mask) for mask in masks if mask.any()]
    x, y, z = np.median(np.concatenate(spots), axis=0) if spots else (np.asarray(volume.shape) - 1) / 2
    return int(x), int(y), int(z)


def _plane(grey: np.ndarray, masks: Sequence[np.ndarray], spacing: np.ndarray, axis: int, index: int) -> Image.Image:
    """One plane, rows from the top, columns from the left, in square pixels."""

    def turned(array: np.ndarray) -> np.ndarray:
        return np.take(array, index, axis).T[::-1, ::-1]

    colour = np.repeat(turned(grey)[..., None], 3, axis=2).astype(np.float32)
    for number, mask in enumerate(masks):
        inside = turned(mask)
        tint = np.array(COLOURS[number % len(COLOURS)], np.float32)
        colour[inside] = (1 - OPACITY) * colour[inside] + OPACITY * tint
    across, up = (spacing[a] for a in range(3) if a != axis)
    rows, columns = colour.shape[:2]
    width = max(1, round(HEIGHT * (columns * across) / (rows * up)))
    return Image.fromarray(colour.astype(np.uint8)).resize((min(width, 4 * HEIGHT), HEIGHT), Image.Resampling.NEAREST)
