"""The gallery's scans: drawn the same each time, opened as what they are, never half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from assistant import examples
from assistant.errors import ResourceError
from assistant.examples import EXAMPLES, example_scan
from assistant.phantoms import head_and_neck_ct, thigh_pet
from assistant.volume import open_volume


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEIXIS_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("key", "modality", "unit"), [("neck", "CT", "HU"), ("tumour", "PET", "SUV")])
def test_an_example_is_opened_as_what_it_is(key: str, modality: str, unit: str, cache: Path) -> None:
    path = example_scan(key)
    volume = open_volume(path)
    assert volume.modality == modality
    assert volume.intensity_unit in (unit, "")
    assert path.stat().st_size < 4 * 2**20
    written = path.stat().st_mtime_ns
    assert example_scan(key) == path == cache / "examples" / EXAMPLES[key].file
    assert path.stat().st_mtime_ns == written  # once
    assert sorted(file.name for file in path.parent.iterdir()) == [EXAMPLES[key].file]


def test_the_neck_is_a_neck() -> None:
    voxels, affine = head_and_neck_ct()
    again, _ = head_and_neck_ct()
    assert np.array_equal(voxels, again)
    assert voxels[0, 0, -1] < -900  # air around
    jaw = voxels[:, :, int((-30 - affine[2, 3]) / 2.5)] > 500
    sides = [np.count_nonzero(half) for half in (jaw[:56], jaw[56:])]
    assert min(sides) > 0.8 * max(sides)  # both halves of the arch
    labels, count = ndimage.label(voxels > 150)
    assert count >= 1
    assert np.bincount(labels.ravel())[1:].max() * 2 * 2 * 2.5 / 1000 > 300  # mL of bone


def test_the_tumour_is_on_the_left_and_nowhere_else() -> None:
    voxels, affine = thigh_pet()
    hot = np.argwhere(voxels > 3.5) @ affine[:3, :3].T + affine[:3, 3]
    assert np.allclose(hot.mean(axis=0), (-92, 34, 18), atol=5)
    assert hot[:, 0].max() < 0


@pytest.mark.slow
def test_the_embedded_model_answers_what_the_page_offers_to_ask() -> None:
    """The drawings' own sizes: cord 10 mL in a canal of 35, jaw 50, parotid glands 16 each, tumour 80; the liver was
    never taught. Experts draw a cord somewhat wider than it is: all of it must be in the mask, and none of the mask
    outside the canal."""
    from assistant.desk.texts import QUESTIONS
    from assistant.session import Session

    session = Session.open(example_scan("neck"))
    found = {f.phrase: f for question in QUESTIONS["CT"] for f in session.ask(question).findings}
    for phrase, low, high in (("spinal cord", 7, 25), ("mandible", 20, 80), ("left parotid gland", 7, 25)):
        assert low < found[phrase].volume_ml < high, phrase
    volume = open_volume(example_scan("neck"))
    x, y, z = np.moveaxis(volume.to_world(np.argwhere(np.ones(volume.shape))).reshape(*volume.shape, 3), -1, 0)
    y = y + 36 - 0.0016 * (z + 20) ** 2  # from the middle of the canal
    cord = ((x / 6.5) ** 2 + (y / 4.5) ** 2 < 1) & (np.abs(z + 65) < 57)
    canal = (x / 11) ** 2 + (y / 9) ** 2 < 1
    mask = volume.from_native(found["spinal cord"].mask).astype(bool)
    assert (mask & cord).sum() > 0.95 * cord.sum()
    assert (mask & canal).sum() > 0.98 * mask.sum()
    assert found["left parotid gland"].centroid_mm[0] < 0 < found["right parotid gland"].centroid_mm[0]
    assert not found["liver"].taught
    session = Session.open(example_scan("tumour"), model=session.model)
    for question in QUESTIONS["PET"]:
        (tumour,) = session.ask(question).findings
        assert 40 < tumour.volume_ml < 160
        assert np.allclose(tumour.centroid_mm, (-92, 34, 18), atol=12)


def test_a_full_disk_is_told_and_leaves_no_half_scan(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(examples, "_write", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        example_scan("neck")
    assert list((cache / "examples").iterdir()) == []
