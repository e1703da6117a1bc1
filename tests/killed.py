"""A training run that dies: what a kill leaves on disk is the last save, and nothing that came after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from training import run


class Killed(Exception):
    """Stands for the kill."""


@contextmanager
def dies(at: int, saved: int) -> Iterator[None]:
    """The run in this block saves when it has made `saved` steps, and dies when it has made `at`. It must get there."""

    def dying(self: run.Run, step: int, parameters: object, optimizer: object) -> bool:
        if step == saved:
            self.save(step, parameters, optimizer)  # type: ignore[arg-type]
        if step == at:
            raise Killed
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Run, "save_when_due", dying)
        with pytest.raises(Killed):
            yield
