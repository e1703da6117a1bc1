"""A second look at a part of a scan: which part, and that masks, points and millimetres mean the same in both looks."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assistant import focus, preprocess
from assistant.layer import NOWHERE, Layer
from assistant.prompt_encoder import Prompt
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.study import Study
from assistant.view import View
from assistant.volume import Volume
from tests.tiny_segmenter import drawing_segmenter

NAMES = ("a", "b", "c", "d")
OBLIQUE = np.array([[0.96, -0.2, 0.05, -50.0], [0.2, 1.45, 0.1, 20.0], [-0.05, -0.1, 1.2, 7.0], [0, 0, 0, 1]])


def volume(affine: np.ndarray = OBLIQUE) -> Volume:
    voxels = np.random.default_rng(0).uniform(0, 100, (96, 80, 90)).astype(np.float32)
    voxels[30:60, 30:50, 30:60] += 400
    return Volume.from_array(voxels, affine, modality="MR")


def found(where_of: dict[int, np.ndarray], there: list[int], groups=(NAMES,)) -> SimpleNamespace:
    """Stands for `Rivals`: structure i claims the coarse voxels where_of[i]."""
    config = SimpleNamespace(focus=groups, taught_names=NAMES)

    def where(row: int, company: tuple[str, ...]) -> np.ndarray:
        return where_of.get(row, np.zeros((0, 3)))

    return SimpleNamespace(segmenter=SimpleNamespace(config=config), there=set(there), where=where)


def within(box: preprocess.Box) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(*box, strict=True))


def part(scan: Volume, box: preprocess.Box) -> Volume:
    """A scan cut to a box, at its place."""
    affine = scan.affine.copy()
    affine[:3, 3] = scan.to_world(box[0][None])[0]
    return Volume.from_array(np.ascontiguousarray(scan.voxels[within(box)]), affine, modality="MR")


def block(low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
    """All voxels from low up to high."""
    return np.array(list(itertools.product(*(range(a, b) for a, b in zip(low, high, strict=True)))), float)


def test_the_box_is_that_of_all_that_was_found_and_a_margin():
    scan = volume(np.diag([1.0, 1.5, 1.2, 1.0]))
    seen = preprocess.canonical(scan)
    parts = {0: block((20, 20, 20), (25, 28, 26)), 1: block((30, 22, 30), (34, 30, 40))}
    first, last = focus.focus_box(scan, seen, found(parts, [0, 1]))
    grid = seen.coarse_grid
    low = grid.to_index(np.array([20, 20, 20]) - 0.5) + 0.5  # edges: a voxel reaches half of one to either side
    high = grid.to_index(np.array([33, 29, 39]) + 0.5) + 0.5
    spacing = np.asarray(scan.spacing)
    assert np.array_equal(first, np.floor(low - focus.MARGIN_MM / spacing).clip(0))
    assert np.array_equal(last, np.minimum(np.ceil(high + focus.MARGIN_MM / spacing), scan.shape))


def test_there_is_no_second_look_for_a_part_of_a_group_nor_for_nearly_all_of_the_scan():
    scan = volume()
    seen = preprocess.canonical(scan)
    small = block((20, 20, 20), (26, 26, 26))
    assert focus.focus_box(scan, seen, found({0: small}, [0])) is None  # one of four
    assert focus.focus_box(scan, seen, found({0: small, 1: small}, [0, 1])) is not None  # half of them
    assert focus.focus_box(scan, seen, found({}, [0, 1])) is None  # thought to be there, and drawn nowhere
    whole = block((0, 0, 0), seen.coarse_grid.shape)
    assert focus.focus_box(scan, seen, found({0: whole, 1: whole}, [0, 1])) is None
    assert focus.focus_box(scan, seen, None) is None
    crop = Volume.from_array(scan.voxels[:40, :40, :40], np.eye(4), modality="MR")  # its grid is 48 voxels of 1 mm
    assert focus.focus_box(crop, preprocess.canonical(crop), found({0: small, 1: small}, [0, 1])) is None


def test_a_few_stray_voxels_do_not_widen_the_box():
    scan = volume()
    seen = preprocess.canonical(scan)
    parts = {0: block((20, 20, 20), (30, 30, 30)), 1: block((20, 20, 20), (30, 30, 30))}
    plain = focus.focus_box(scan, seen, found(parts, [0, 1]))
    parts[0] = np.concatenate([parts[0], [[60.0, 50.0, 50.0]] * 5])  # 5 of 1,005
    assert np.array_equal(focus.focus_box(scan, seen, found(parts, [0, 1])), plain)


def test_of_two_groups_the_one_that_was_found_more_completely_counts():
    scan = volume()
    seen = preprocess.canonical(scan)
    parts = {0: block((5, 5, 5), (9, 9, 9)), 1: block((5, 5, 5), (9, 9, 9)), 3: block((40, 40, 40), (46, 46, 46))}
    box = focus.focus_box(scan, seen, found(parts, [0, 1, 3], (("a", "b", "c"), ("d",))))
    assert np.array_equal(box, focus.focus_box(scan, seen, found({3: parts[3]}, [3], (("d",),))))


def test_a_part_is_seen_as_a_scan_of_that_part_alone_and_lies_where_it_lay():
    """Windows, grid and both levels of a box are those of a volume cut to it; the grid's places on the volume are
    those of the cut one, moved by the cut: the same millimetres."""
    scan = volume()
    box = np.array([10, 20, 5]), np.array([70, 64, 71])
    cut = part(scan, box)
    seen = preprocess.canonical(scan, 32, box)
    alone = preprocess.canonical(cut, 32, (np.zeros(3, int), np.array(cut.shape)))
    assert torch.equal(seen.coarse, alone.coarse)
    assert torch.equal(seen.fine, alone.fine)
    for one, two in ((seen.coarse_grid, alone.coarse_grid), (seen.fine_grid, alone.fine_grid)):
        corners = np.array([[0, 0, 0], np.array(one.shape) - 1.0, [3, 9, 4]])
        assert np.allclose(scan.to_world(one.to_index(corners)), cut.to_world(two.to_index(corners)))


STATES = torch.randn(4, 24, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    model = drawing_segmenter(rival_threshold=0.0)
    model.fit_taught((NAMES,), (), model.whiten(STATES), (NAMES,))
    return model.eval()


@pytest.fixture
def study(segmenter, monkeypatch) -> Study:
    """A study whose second look is at a box of which nothing reaches the scan's borders."""
    box = np.array([20, 20, 20]), np.array([70, 60, 72])
    monkeypatch.setattr("assistant.study.focus_box", lambda *given: box)
    return Study(volume(), segmenter)


def test_the_second_look_by_itself_is_a_look_at_a_scan_cut_to_the_box(study, segmenter):
    """What it draws equals what a scan cut to the box shows, voxel for voxel, and nothing lies outside."""
    study.close.wider = None
    inside, cut = within(study.view.box), part(study.volume, study.view.box)
    alone = Study(cut, Segmenter(dataclasses.replace(segmenter.config, focus=())))
    alone.segmenter.load_state_dict(segmenter.state_dict())
    alone.whole.box = (np.zeros(3, int), np.array(cut.shape))
    drawn = study.decode(STATES)
    assert sum(d.mask.any() for d in drawn) >= 2
    for one, two in zip(drawn, alone.decode(STATES), strict=True):
        assert np.array_equal(one.mask[inside], two.mask)
        assert one.mask.sum() == two.mask.sum()
        assert one.presence == two.presence


def test_both_looks_have_a_say_where_they_draw():
    """The mean of two layers on grids of 2 and 3 voxels: 4 and -1 are 1.5 where both are, and where the wider one draws
    nothing at all the closer one is right."""
    fine, coarse = (preprocess.Grid((12, 12, 12), s, (0.0,) * 3, (s,) * 3) for s in (2.0, 3.0))
    own = Layer(torch.full((1, 4, 4, 4), 4.0), fine, np.array([3, 3, 3]))  # 6 to 12 of the volume
    other = Layer(torch.full((1, 6, 6, 6), -1.0), coarse, np.array([1, 1, 1]))  # 3 to 18
    mean = own.mean(other)
    assert torch.allclose(mean.logits, torch.full((4, 4, 4), 1.5))
    assert (mean.grid, mean.low.tolist()) == (fine, [3, 3, 3])
    aside = own.mean(Layer(other.margins, coarse, np.array([6, 1, 1])))  # from 18 on: nothing there
    assert torch.allclose(aside.logits, torch.full((4, 4, 4), (4 + NOWHERE) / 2))
    nothing = Layer(torch.full((1, 6, 6, 6), NOWHERE), coarse, np.array([1, 1, 1]))
    assert own.mean(nothing) is own
    assert own.mean(Layer(torch.zeros(1, 0, 0, 0), coarse, np.zeros(3, int))) is own


def test_rivals_share_no_voxel_after_both_looks_and_a_half_is_the_masks_border(study):
    drawn = study.decode(STATES)
    assert sum(d.mask.any() for d in drawn) >= 2
    assert np.sum([d.mask for d in drawn], axis=0).max() == 1
    alone = View(study.volume, study.segmenter, study.close.box).drawing.decode(STATES)
    assert any(not np.array_equal(one.mask, two.mask) for one, two in zip(drawn, alone, strict=True))
    for name, one in zip(NAMES, drawn, strict=True):
        assert not (one.mask & (study.view.drawing.probability(name) <= 0.5)).any()


def test_what_is_pointed_at_outside_the_box_is_drawn_and_read_from_the_first_look(study):
    inside, outside = (study.volume.to_world(np.array([at]))[0] for at in ([40, 40, 40], [85, 10, 10]))
    click = Prompt(points_mm=outside[None], labels=np.array([1]))
    assert study.view_of(click) is study.whole
    assert study.view_of(Prompt(points_mm=inside[None], labels=np.array([1]))) is study.close
    assert study.view_of(None) is study.view_of(Prompt()) is study.close
    plain, clicked = study.decode(STATES[[0, 0]], [None, click])
    assert clicked.mask[85, 10, 10]
    assert np.array_equal(plain.mask, study.decode(STATES[:1])[0].mask)  # the other one is drawn as it was
    feature, _ = study.pointed_at(click)
    assert torch.equal(feature, study.whole.region_feature(point_mm=outside))
    mask = np.zeros(study.volume.shape, bool)
    mask[30:40, 30:40, 30:40] = True
    assert study.view_of(Prompt(mask=mask)) is study.close
    mask[90, 40, 40] = True
    assert study.view_of(Prompt(mask=mask)) is study.whole
    corners = study.volume.to_world(np.array([[30, 30, 30], [50, 50, 50]]))
    assert study.view_of(Prompt(box_mm=np.sort(corners, 0))) is study.close
    wide = study.volume.to_world(np.array([[2, 2, 2], [90, 75, 80]]))
    assert study.view_of(Prompt(box_mm=np.sort(wide, 0))) is study.whole


def test_both_looks_count_for_memory_and_tiles_and_the_second_is_read_on(study):
    before = study.nbytes
    assert study.encode_next()
    assert study.close.encoded_tiles == study.encoded_tiles == 1
    while study.encode_next():
        pass
    tiles = study.encoded_tiles
    assert tiles > study.close.encoded_tiles
    study.decode(STATES)
    assert study.encoded_tiles == tiles  # nothing was left to do
    assert study.nbytes == study.whole.nbytes + study.close.nbytes > before
    assert study.visual_features().shape == (64, 16)


def test_a_model_that_learned_nothing_from_close_by_looks_once(segmenter):
    plain = Segmenter(dataclasses.replace(segmenter.config, focus=()))
    plain.load_state_dict(segmenter.state_dict())
    study = Study(volume(), plain)
    assert study.close is None
    assert study.view is study.whole


def test_what_is_learned_from_close_by_survives_the_configuration(segmenter):
    assert SegmenterConfig.from_dict(segmenter.config.to_dict()).focus == (NAMES,)
