"""The earlier scan of a comparison as the viewer shows it beside the present one: resampled to the present scan's grid.

It is for looking alone: what is measured is measured in the earlier scan's own space (`assistant/prior.py`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.desk.display import display_grid
from assistant.desk.files import windows, write_voxels
from assistant.prior import Comparison

if TYPE_CHECKING:
    from assistant.desk.seat import Seat
    from assistant.volume import Volume

_NAMED = "earlier-{}.nii"


def file_of(seat: Seat) -> Path | None:
    """Where the last comparison's earlier scan lies or would lie; None without a comparison.

    Its name tells the earlier scan and the registration, so one of another comparison is never shown.
    """
    comparison = seat.last(Comparison)
    if comparison is None or seat.prior_path is None or seat.scan_file is None:
        return None
    made_of = f"{seat.scan_file.name} {seat.prior_path} {comparison.alignment.matrix.tolist()}"
    return seat.folder / _NAMED.format(hashlib.sha256(made_of.encode()).hexdigest()[:24])


def prepare(seat: Seat) -> None:
    """Write the file, where it is not there yet, and delete those of other comparisons. Raises DeixisError when the
    earlier scan cannot be read."""
    from assistant.volume import open_volume

    path, comparison = file_of(seat), seat.last(Comparison)
    for old in seat.folder.glob(_NAMED.format("*")):
        if old != path:
            old.unlink()
    if path is None or path.is_file() or seat.volume is None or seat.prior_path is None:
        return
    before = open_volume(seat.prior_path, modality=seat.volume.modality)
    voxels = carried(before, seat.volume, comparison.alignment.matrix)
    write_voxels(voxels, display_grid(seat.volume).affine, path)


def carried(before: Volume, now: Volume, matrix: np.ndarray) -> np.ndarray:
    """The earlier scan on the grid that the viewer shows of the current one: (X, Y, Z) float32, linear interpolation.

    matrix: of `Alignment`, RAS+ mm of the current scan -> of the earlier one. MR has no unit: its default window is
    laid on the current scan's, so that one window shows both alike.
    """
    from scipy import ndimage

    grid = display_grid(now)
    step = np.linalg.inv(before.affine) @ matrix @ grid.affine  # index of the display grid -> of the earlier scan
    voxels = before.voxels.astype(np.float32, copy=False)
    out = ndimage.affine_transform(
        voxels, step[:3, :3], step[:3, 3], grid.shape, order=1, cval=float(voxels.min())
    )  # fmt: skip
    if now.modality != "MR":
        return out
    (low, high), (black, white) = (_default_window(volume) for volume in (before, now))
    return (out - low) * ((white - black) / (high - low)) + black


def _default_window(volume: Volume) -> np.ndarray:
    return np.asarray(windows(volume)[0]["range"], float)
