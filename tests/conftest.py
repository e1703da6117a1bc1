"""What several test files share: a small scan whose right answers are known, and a small real model.

Nothing here reads the user's cache or a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported anywhere: the tests are many small tensors, and more threads only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when transformers is imported, as in assistant/cli.py

import nibabel
import numpy as np
import pytest

from assistant.volume import Volume, open_volume

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from assistant import Session
    from assistant.model import DeixisModel
    from tests.chromium import Page

# Stored axes (i, j, k) run to the front, to the left and up, 3 x 2 x 2.5 mm: every axis swap or flip that is forgotten
# shows. The origin is chosen so that world 0 lies inside.
STORED_SHAPE = (18, 24, 16)
STORED_AFFINE = np.array([[0.0, -2.0, 0.0, 23.0], [3.0, 0.0, 0.0, -25.0], [0.0, 0.0, 2.5, -20.0], [0.0, 0.0, 0.0, 1.0]])


def stored_voxels() -> np.ndarray:
    """int16 (18, 24, 16): noise around 100 with a block of 600 at i 4-7, j 15-20, k 5-9 (on the patient's left)."""
    voxels = np.random.default_rng(7).normal(100, 10, STORED_SHAPE)
    voxels[4:8, 15:21, 5:10] = 600
    return voxels.astype(np.int16)


@pytest.fixture
def tiny_scan(tmp_path: Path) -> Path:
    """A 3 x 2 x 2.5 mm MR NIfTI whose axes are not RAS; see `stored_voxels`."""
    path = tmp_path / "tiny_t1.nii.gz"
    image = nibabel.Nifti1Image(stored_voxels(), STORED_AFFINE)
    image.set_qform(STORED_AFFINE, code=1)
    image.set_sform(STORED_AFFINE, code=2)
    nibabel.save(image, path)
    return path


@pytest.fixture
def tiny_volume(tiny_scan: Path) -> Volume:
    return open_volume(tiny_scan)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a language model of 2 layers and its tokenizer."""
    from tests import small_model

    return small_model.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_model(tiny_base: Path) -> DeixisModel:
    """A real model that answers every question with the left block; see tests/small_model.py. Do not change it."""
    from tests import small_model

    return small_model.make_model(tiny_base)


@pytest.fixture
def two_masks(tiny_scan: Path, tiny_model: DeixisModel) -> Session:
    """Three turns, two masks: m1 is everywhere, m2 was drawn with a click and kept in a box."""
    from assistant import Session

    session = Session.open(tiny_scan, model=tiny_model)
    session.ask("Show me the left block.")
    session.ask("Where is it?", points=[(-9.0, -7.0, -2.0)])  # in the bright block
    session.refine("m2", box=(-20.0, -18.0, -12.0, 8.0, 6.0, 6.0))
    return session


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model: DeixisModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a checkpoint folder that names its base by path."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model.save_pretrained(folder, seeds={"teach": 0})
    return folder


@pytest.fixture
def client(tiny_model: DeixisModel) -> Iterator[TestClient]:
    """A client of a server with that model and no key."""
    from tests.clients import client_of

    with client_of(tiny_model) as client:
        yield client


@pytest.fixture
def sentences_checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each sentence that the recipes write from now on must pass the program's own check of finished replies (`claims`)
    against the notes and the question that it is written for; those that passed."""
    from assistant import claims, conversation
    from data_recipes.instructions.dialogue import Thread

    passed: list[str] = []
    plain = Thread.turn

    def turn(self, question, notes, sentence, region=None):  # type: ignore[no-untyped-def]
        plain(self, question, notes, sentence, region)
        known = [n for m in self.messages if m.role == "assistant" for n in conversation.notes(m.content)]
        for part in re.split(r"(?<=[.!?])\s+", sentence):
            assert claims.flaw(part, list(notes), known, question) is None, (question, part)
            passed.append(part)

    monkeypatch.setattr(Thread, "turn", turn)
    return passed


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Iterator[Page]:
    """The module's own `browser` on a seat of its own; afterwards: no error in the console, no request to elsewhere."""
    browser.open(tmp_path)
    yield browser
    browser.check()
