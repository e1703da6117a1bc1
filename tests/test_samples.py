"""What the See stage is shown: geometry without half-voxel shifts, sides that follow a mirror, honest absence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_recipes.synthesis import contrast, geometry, lesion
from training import samples
from training.samples import PackedCase, Query, draw, members, owners
from training.see import Samples, SeeConfig, ending


def heads() -> PackedCase:
    """A toy head: left and right thalamus and a tissue shell, 1 mm, FreeSurfer numbers 0, 10, 49, 500."""
    labels = np.zeros((100, 110, 90), np.uint8)
    labels[5:95, 5:105, 5:85] = 3
    labels[20:40, 40:70, 30:60] = 1  # x below the middle: the patient's left
    labels[60:80, 40:70, 30:60] = 2
    names = {10: "left thalamus", 49: "right thalamus"}
    return PackedCase(
        "toy", "brain", "MR", None, torch.from_numpy(labels), np.array([0, 10, 49, 500]), names, np.ones(3)
    )


def scan() -> PackedCase:
    case = heads()
    image = torch.where(case.labels == 3, 300.0, 700.0) * (case.labels > 0)
    return PackedCase(
        "scan",
        "tumour_mr",
        "MR",
        image,
        (case.labels == 1).to(torch.uint8),
        np.array([0, 1]),
        {1: "tumour"},
        np.ones(3),
    )


def test_a_focused_sample_shows_all_that_is_named_with_a_margin_on_every_side():
    """Edges in voxels of 1 mm: both thalami fill 20..80, 40..70, 30..60."""
    for seed in range(20):
        low, high = samples._focus(heads(), np.random.default_rng(seed))
        least, most = samples.FOCUS_MARGINS_MM
        assert (np.array([20, 40, 30]) - low >= least).all()
        assert (np.array([20, 40, 30]) - low <= most).all()
        beyond = high - np.array([80, 70, 60])
        assert ((beyond >= least) & (beyond <= most) | (high == np.array([100, 110, 90]))).all()
    wide = [draw(heads(), np.random.default_rng(seed), focus=f).spacing for f in (0.0, 1.0) for seed in range(12)]
    assert np.median(wide[12:]) < np.median(wide[:12])  # the same voxels on less of the head


def query(sample, phrase: str) -> Query:
    return next(q for q in sample.queries if q.phrase == phrase)


def test_a_mirrored_sample_swaps_the_words_with_the_sides():
    """Whatever the warp did, the structure called left lies at smaller x than the one called right: RAS+."""
    for seed in range(8):
        sample = draw(heads(), np.random.default_rng(seed), tiles=1)
        left, right = query(sample, "left thalamus"), query(sample, "right thalamus")
        if left.presence == right.presence == 1:
            at = [
                float(members(sample.coarse_labels, q.label_indices).nonzero()[:, 0].float().mean())
                for q in (left, right)
            ]
            assert at[0] < at[1]


def test_coarse_and_fine_labels_lie_on_each_other():
    """A fine tile's labels, averaged 2 x 2 x 2, are the coarse labels of the same place: a half-voxel shift between the
    levels would lose a tenth of the overlap of small structures."""
    compared = 0
    for sample in (draw(heads(), np.random.default_rng(seed), tiles=1) for seed in range(8)):
        for start, labels in zip(sample.tile_starts, sample.tile_labels, strict=True):
            box = tuple(slice(s // 2, (s + n) // 2) for s, n in zip(start, labels.shape, strict=True))
            for phrase in ("left thalamus", "right thalamus"):
                indices = query(sample, phrase).label_indices
                fine = torch.nn.functional.avg_pool3d(members(labels, indices).float()[None], 2)[0] >= 0.5
                coarse = members(sample.coarse_labels, indices)[box]
                if coarse.sum() > 200:
                    assert 2 * (fine & coarse).sum() / (fine.sum() + coarse.sum()) > 0.93
                    compared += 1
    assert compared > 3


def test_voxels_of_any_size_can_be_synthesised_from():
    """Slices are thickened up to 6 mm: voxels that are thicker stay as they are, with and without lesions."""
    image = torch.rand(24, 20, 16)
    for spacing in (6.0, 6.1, 12.0):
        for seed in range(3):
            assert torch.equal(contrast.thick_slices(np.random.default_rng(seed), image, spacing), image)
    thin = [contrast.thick_slices(np.random.default_rng(seed), image, 1.5) for seed in range(3)]
    assert all(one.shape == image.shape and not torch.equal(one, image) for one in thin)
    coarse = replace(heads(), labels=heads().labels[::8, ::8, ::8].contiguous(), spacing=np.full(3, 8.0))
    for seed in range(20):  # of which 3 in 10 have thick slices
        assert draw(coarse, np.random.default_rng(seed), size=32).coarse.isfinite().all()


def test_a_sample_depends_on_its_seed_alone():
    one, two = (draw(heads(), np.random.default_rng(5), tiles=1) for _ in range(2))
    assert torch.equal(one.coarse, two.coarse)
    assert torch.equal(one.tiles[0], two.tiles[0])
    assert not torch.equal(one.coarse, draw(heads(), np.random.default_rng(6), tiles=1).coarse)


def test_absent_phrases_have_no_voxels_and_present_ones_have():
    for case in (heads(), scan()):
        for seed in range(4):
            sample = draw(case, np.random.default_rng(seed), tiles=1)
            for q in sample.queries:
                voxels = int(members(sample.coarse_labels, q.label_indices).sum())
                assert voxels > 0 if q.presence == 1 else (q.presence is None or voxels == 0)
            assert sum(q.presence == 0 for q in sample.queries) >= 5


def test_the_warp_without_randomness_is_the_identity():
    """No rotation, scale or displacement: coordinates are the source's own indices."""
    warp = geometry.random_warp(
        np.random.default_rng(0), (5, 6, 7), 1.0, np.array([2.0, 2.5, 3.0]), np.ones(3), degrees=0, scale=0, shear=0,
        elastic_mm=0,
    )  # fmt: skip
    expected = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in (5, 6, 7)), indexing="ij"))
    assert torch.allclose(warp.coordinates, expected, atol=1e-5)
    values = torch.arange(210.0).view(5, 6, 7)
    assert torch.allclose(geometry.linear(values, warp.coordinates, 0.0), values, atol=1e-3)
    assert torch.equal(geometry.nearest(values.long(), warp.coordinates), values.long())


def test_left_and_right_share_a_contrast_and_classes_do_not():
    means, _ = contrast.draw_means(np.random.default_rng(0), np.array([10, 49, 17, 53, 4]), None)
    assert means[0] == means[1]
    assert means[2] == means[3]
    assert means[0] != means[2]


def test_t1_prior_orders_the_tissues():
    means, _ = contrast.draw_means(np.random.default_rng(0), np.array([2, 3, 4]), "T1")
    assert means[0] > means[1] > means[2]


def test_a_lesion_stays_in_its_tissue():
    tissue = torch.zeros(40, 40, 40, dtype=torch.bool)
    tissue[10:30, 10:30, 10:30] = True
    image, mask = lesion.implant(np.random.default_rng(0), torch.rand(40, 40, 40), tissue, 2.0)
    assert mask.any()
    assert not (mask & ~tissue).any()
    assert torch.isfinite(image).all()
    same, none = lesion.implant(np.random.default_rng(0), image, torch.zeros_like(tissue), 2.0)
    assert same is image
    assert not none.any()


def test_pets_are_seen_in_boxes_of_several_widths():
    """A hot middle of 12 SUV in a warm body of 0.4 SUV: some views hold the body, some the middle and its margin."""
    image = torch.zeros(40, 40, 40)
    image[4:36, 4:36, 4:36] = 0.4
    image[16:24, 16:24, 16:24] = 12.0
    labels = (image > 3).to(torch.uint8)
    case = PackedCase("pet", "tumour_pet", "PET", image, labels, np.array([0, 1]), {1: "tumour"}, np.full(3, 4.0))
    widths = set()
    for seed in range(20):
        low, high = samples._content(case, False, np.random.default_rng(seed))
        assert (low <= 16).all()
        assert (high >= 24).all()
        widths.update((high - low).round(1).tolist())
    assert widths == {10.5, 34.5}  # 8 and 32 voxels, and 5 mm on either side


def test_a_tumour_in_another_shade_leaves_its_surroundings_alone():
    image, tumour = torch.full((12, 12, 12), 100.0), torch.zeros(12, 12, 12, dtype=torch.bool)
    tumour[4:8, 4:8, 4:8] = True
    shades = [samples._recolour(np.random.default_rng(seed), image, tumour) for seed in range(12)]
    middles = [float(shade[5, 5, 5]) for shade in shades]
    assert 2 < middles.count(100.0) < 10  # half of them stay as they are
    assert max(middles) > 105
    assert min(middles) < 95
    assert all(bool((shade[:3] == 100).all()) for shade in shades)


def test_owners_number_the_exclusive_queries_in_order():
    queries = [
        Query("a", (2,), 1, True),
        Query("all", (1, 2), 1, False),
        Query("b", (1,), 1, True),
    ]
    assert owners(torch.tensor([0, 1, 2, 3]), queries).tolist() == [0, 2, 1, 0]


def test_workers_and_restarts_see_the_same_samples():
    """Sample i is the same whoever makes it: a resumed run goes on with what an unbroken one would have seen."""
    config = SeeConfig(steps=3, tiles=1, mixture={"brain": 0.5, "tumour_mr": 0.5})
    whole = list(Samples([heads(), scan()], config, 0))
    rest = list(Samples([heads(), scan()], config, 2))
    assert torch.equal(whole[2].coarse, rest[0].coarse)
    assert whole[2].family == rest[0].family


def test_rates_hold_and_end_at_zero():
    config = SeeConfig(steps=100, decay_steps=20)
    assert ending(config, 0) == ending(config, 80) == 1.0
    assert ending(config, 90) == pytest.approx(0.5)
    assert ending(config, 100) == 0.0
