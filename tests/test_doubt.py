"""A mask's uncertainty as a seat shows it: computed once asked for, gone with its mask, nothing after an error."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from assistant.desk import page
from assistant.desk.doubt import switch
from assistant.desk.files import write_overlay
from assistant.desk.seat import Seat
from assistant.desk.turnstile import Turnstile
from assistant.errors import QuestionError


class Session:
    """Sure of everything but one voxel; m2 was never taught."""

    def __init__(self, volume: Any) -> None:
        self.volume = volume

    def read_on(self) -> bool:
        return False

    def uncertainty(self, mask_id: str) -> Any:
        if mask_id == "m2":
            raise QuestionError("there is no uncertainty of 'this': the model was never taught it")
        entropy = np.zeros(self.volume.shape, np.float32)
        entropy[2, 3, 4] = 1.0
        return SimpleNamespace(entropy=self.volume.to_native(entropy))


@pytest.fixture
def seat(tiny_scan: Path, tmp_path: Path) -> Seat:
    made = Seat(Session, tmp_path, Turnstile())  # type: ignore[arg-type]
    made.open(tiny_scan)
    assert made.volume is not None
    mask = np.zeros(made.volume.shape, bool)
    mask[1:4, 1:4, 1:4] = True
    for name in ("m1", "m2"):
        made.overlay_files[name] = write_overlay(made.volume, mask, tmp_path)
    return made


def shown(seat: Seat) -> Any:
    return json.loads(page.viewer_state(seat))["doubt"]


def test_it_is_shown_when_computed_and_hidden_when_asked_again(seat: Seat) -> None:
    steps = switch(seat, "m1")
    next(steps)
    assert shown(seat) == {"id": "m1", "url": None, "file": None}  # the viewer says that it is computed
    list(steps)
    assert seat.doubt is not None
    assert shown(seat)["file"] == seat.doubt.file.name  # type: ignore[union-attr]
    image = nib.load(seat.doubt.file)  # type: ignore[arg-type]
    assert seat.volume is not None
    place = image.affine @ (*np.argwhere(image.get_fdata() > 0.99)[0], 1)
    np.testing.assert_allclose(place, seat.volume.affine @ (2, 3, 4, 1), atol=1e-4)
    list(switch(seat, "m1"))
    assert shown(seat) is None


def test_it_goes_with_its_mask(seat: Seat) -> None:
    list(switch(seat, "m1"))
    seat.overlay_files["m1"] = seat.overlay_files["m2"]  # taken back, and the id given to another mask
    assert shown(seat) is None


def test_a_refusal_leaves_nothing(seat: Seat) -> None:
    list(switch(seat, "m1"))
    with pytest.raises(QuestionError, match="never taught"):
        list(switch(seat, "m2"))
    assert shown(seat) is None
    with pytest.raises(QuestionError, match="no mask 'm9'"):
        list(switch(seat, "m9"))
    assert shown(seat) is None
