"""The uncertainty of one mask over the scan: computed when it is asked for, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.desk.files import write_heat
from assistant.errors import QuestionError

if TYPE_CHECKING:
    from assistant.desk.seat import Seat


@dataclass(frozen=True)
class Doubt:
    """Of which mask, and its map as the viewer reads it; None while it is computed. overlay: the mask's own file (an
    id may come back with another mask after an undo)."""

    mask_id: str
    overlay: Path
    file: Path | None = None

    def shown_over(self, overlay_files: Mapping[str, Path]) -> bool:
        """Whether the mask that it belongs to is still there."""
        return overlay_files.get(self.mask_id) == self.overlay


def switch(seat: Seat, mask_id: str) -> Iterator[None]:
    """Show a mask's uncertainty, or stop showing it when it is what is shown. Yields when there is something new.

    Raises QuestionError for a mask that is not there, for one that the model did not draw by a taught name, and while
    something else is at work; then nothing is shown.
    """
    before, seat.doubt = seat.doubt, None
    overlay = seat.overlay_files.get(mask_id)
    if before is not None and before.mask_id == mask_id and before.shown_over(seat.overlay_files):
        return
    if overlay is None or seat.volume is None:
        raise QuestionError(f"There is no mask {mask_id!r} here any more; choose one of the list.")
    seat.doubt = computing = Doubt(mask_id, overlay)
    yield
    try:
        volume = seat.volume
        entropy = volume.from_native(seat.uncertainty(mask_id).entropy)
        if seat.doubt is computing:
            seat.doubt = Doubt(mask_id, overlay, write_heat(volume, entropy, seat.folder))
    finally:
        if seat.doubt is computing:
            seat.doubt = None
    yield
