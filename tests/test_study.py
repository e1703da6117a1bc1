"""A study on a tiny random segmenter: caching, zoom tiles, prompts in millimetres, regions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from assistant.drawing import without_specks
from assistant.errors import QuestionError
from assistant.prompt_encoder import Prompt
from assistant.segmenter import Segmenter
from assistant.study import Study
from assistant.tiles import blend_weights, cell_edges, live_voxels, tile_starts
from assistant.volume import Volume
from tests.tiny_segmenter import drawing_segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return drawing_segmenter()


def volume(shape=(96, 60, 70), spacing=(1.0, 1.5, 1.2)) -> Volume:
    voxels = np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)
    voxels[20:60, 10:50, 10:50] += 400
    return Volume.from_array(voxels, np.diag([*spacing, 1.0]), modality="MR")


STATES = torch.randn(5, 24, generator=torch.Generator().manual_seed(9))


def test_tiles_cover_every_voxel_with_overlap():
    for n in range(48, 161, 2):
        covered = np.zeros(n, int)
        starts = tile_starts(n, 48)
        for s in starts:
            assert s % 2 == 0
            assert s >= 0
            assert s + min(48, n) <= n
            covered[s : s + 48] += 1
        assert covered.min() >= 1
        assert all(b - a <= 48 - 16 for a, b in itertools.pairwise(starts))


def test_every_voxel_is_one_tiles_to_decide_and_none_of_a_tiles_rim():
    """Along an axis of n fine voxels the weights add up to 1, two tiles share two voxels at most, and the six at a
    tile's side (8, less half of what is shared and what rounding to even voxels costs) are its neighbour's."""
    for n in range(48, 161, 2):
        total, tiles = np.zeros(n), np.zeros(n, int)
        for s in tile_starts(n, 48):
            line = blend_weights((s, 0, 0), (48, 2, 2), (n, 2, 2))[:, 0, 0].numpy()
            assert (line[:6] == (0 if s > 0 else 1)).all()
            assert (line[-6:] == (0 if s + 48 < n else 1)).all()
            total[s : s + 48] += line
            tiles[s : s + 48] += line > 0
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert (tiles == 2).sum() <= 2 * (len(tile_starts(n, 48)) - 1)


def test_cells_are_of_one_size_and_no_more_than_needed():
    """128 fine voxels, a whole head's, are four cells of 32 (not the 37, 27, 27, 37 that evenly set tiles leave): a
    structure in the middle of the scan lies in as few tiles as one at its side."""
    assert cell_edges(128, 48) == [0, 32, 64, 96, 128]
    assert tile_starts(128, 48) == [0, 24, 56, 80]
    assert cell_edges(80, 48) == [0, 40, 80]
    assert tile_starts(80, 48) == [0, 32]
    assert tile_starts(48, 48) == [0]
    assert tile_starts(30, 30) == [0]


def test_all_encoded_beforehand_is_the_same_mask_for_less(segmenter):
    """`encode_next` goes through all tiles that show anything, once; a mask then encodes nothing and is the same."""
    ahead, lazy = Study(volume(), segmenter), Study(volume(), segmenter)
    parts = 0
    while ahead.encode_next():
        parts += 1
    assert parts == ahead.encoded_tiles > 0
    assert not ahead.encode_next()
    for one, two in zip(ahead.decode(STATES), lazy.decode(STATES), strict=True):
        assert (one.mask == two.mask).all()
    assert ahead.encoded_tiles == parts
    assert lazy.encoded_tiles <= parts


def test_air_is_not_encoded_ahead(segmenter):
    voxels = np.zeros((150, 60, 70), np.float32)
    voxels[:30] = np.random.default_rng(1).uniform(50, 100, (30, 60, 70))
    voxels[142:] = 80.0  # so that the field of view is not cut to the rest
    study = Study(Volume.from_array(voxels, np.eye(4), modality="MR"), segmenter)
    every = len(study.view.tile_grid())
    while study.encode_next():
        pass
    assert 0 < study.encoded_tiles < every


def test_many_at_once_equal_one_at_a_time_on_the_scan(segmenter):
    together = Study(volume(), segmenter).decode(STATES)
    assert sum(d.mask.any() for d in together) >= 3  # the random model draws something
    for i, expected in enumerate(together):
        alone = Study(volume(), segmenter).decode(STATES[i : i + 1])[0]
        assert (alone.mask == expected.mask).all()
        assert alone.presence == pytest.approx(expected.presence, abs=1e-3)


def test_a_second_question_encodes_nothing_anew(segmenter):
    study = Study(volume(), segmenter)
    first = study.decode(STATES[:1])[0]
    tiles, coarse = study.encoded_tiles, study.whole.coarse
    assert tiles > 0
    again = study.decode(STATES[:1])[0]
    assert (first.mask == again.mask).all()
    assert study.encoded_tiles == tiles
    assert study.whole.coarse is coarse


def test_a_positive_click_in_millimetres_lands_on_its_voxel(segmenter):
    scan = volume()
    study = Study(scan, segmenter)
    voxel = np.array([[70, 40, 60]])
    prompt = Prompt(points_mm=scan.to_world(voxel), labels=np.array([1]))
    assert not study.decode(STATES[:1])[0].mask[70, 40, 60]
    assert study.decode(STATES[:1], [prompt])[0].mask[70, 40, 60]


def test_a_point_outside_is_refused_with_its_place_and_the_scans(segmenter):
    study = Study(volume(), segmenter)
    with pytest.raises(QuestionError, match=r"\(500\.0, 0\.0, 0\.0\) mm lies outside the scan"):
        study.decode(STATES[:1], [Prompt(points_mm=np.array([[500.0, 0, 0]]), labels=np.array([1]))])


def test_below_the_presence_threshold_there_is_no_mask(segmenter):
    import dataclasses

    study = Study(volume(), segmenter)
    before = segmenter.config
    segmenter.config = dataclasses.replace(before, presence_threshold=1.1)
    try:
        found = study.decode(STATES)
    finally:
        segmenter.config = before
    assert not any(d.present or d.mask.any() for d in found)


def test_region_features_and_visual_tokens(segmenter):
    scan = volume()
    study = Study(scan, segmenter)
    assert study.visual_features().shape == (64, 16)
    at = study.view.region_feature(point_mm=scan.to_world(np.array([[30, 30, 30]]))[0])
    mask = np.zeros(scan.shape, bool)
    mask[30, 30, 30] = True
    assert at.shape == (segmenter.config.region_dim,)
    assert torch.allclose(study.view.region_feature(mask=mask), at, atol=1e-4)
    with pytest.raises(QuestionError, match="empty"):
        study.view.region_feature(mask=np.zeros(scan.shape, bool))


def test_a_scan_at_coarse_resolution_needs_no_tiles(segmenter):
    study = Study(volume((40, 44, 36), (1.0, 1.0, 1.0)), segmenter)
    study.decode(STATES)
    assert study.view.canonical.fine_grid is None
    assert study.encoded_tiles == 0


def test_live_voxels_are_what_is_drawn_and_a_voxel_around_it_without_specks():
    """Two parts, one at the border; a speck of a twentieth of the larger one's mass is left out."""
    logits = torch.full((20, 16, 12), -9.0)
    logits[0:4, 4:8, 4:8] = 6.0
    logits[12:16, 4:8, 4:7] = 6.0
    logits[18:20, 14, 10] = 6.0
    live = live_voxels(logits)
    expected = torch.zeros_like(live)
    expected[0:5, 3:9, 3:9] = expected[11:17, 3:9, 3:8] = True
    assert torch.equal(live, expected)
    assert not live_voxels(torch.full((8, 8, 8), -200.0)).any()


def test_specks_go_and_parts_stay():
    mask = np.zeros((20, 12, 12), bool)
    mask[1:6, 1:6, 1:5] = True  # 100 voxels
    mask[10:11, 1:6, 1:2] = True  # 5: a twentieth
    mask[15, 1:5, 8] = True  # 4
    mask[19, 11, 11] = True
    kept = mask.copy()
    kept[15:] = False
    assert np.array_equal(without_specks(mask), kept)
    assert mask[19, 11, 11]  # the given one is as it was
    assert not without_specks(np.zeros((4, 4, 4), bool)).any()
