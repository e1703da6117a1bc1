"""Rivals: masks of structures that exclude one another compete, on a tiny random segmenter."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from assistant import rivals
from assistant.layer import Layer
from assistant.preprocess import Grid
from assistant.prompt_encoder import Prompt
from assistant.rivals import Claims
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.study import Study
from assistant.volume import Volume
from tests.tiny_segmenter import drawing_segmenter
from training import metrics

GROUPS = (("a", "b", "c"), ("c", "d"))
STATES = torch.randn(12, 24, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """Names a, b, c, d are the first four of STATES; the other eight mean nothing that is taught."""
    model = drawing_segmenter(STATES, rival_threshold=0.0)
    model.fit_taught(GROUPS, (), model.whiten(STATES[:4]))
    return model.eval()


def without_rivals(segmenter: Segmenter) -> Segmenter:
    plain = Segmenter(dataclasses.replace(segmenter.config, exclusive=()))
    plain.load_state_dict({k: v for k, v in segmenter.state_dict().items() if k != "taught_codes"})
    return plain.eval()


def study(segmenter: Segmenter) -> Study:
    voxels = np.random.default_rng(0).uniform(0, 100, (96, 60, 70)).astype(np.float32)
    voxels[20:60, 10:50, 10:50] += 400
    return Study(Volume.from_array(voxels, np.diag([1.0, 1.5, 1.2, 1.0]), modality="MR"), segmenter)


def test_what_a_scan_shows_is_the_group_that_is_whole_and_fills_it(segmenter):
    """Of (a, b, c) and (c, d) the second where both are whole, which is the more particular one; a speck of it is no
    kind of scan."""
    rivals = study(segmenter).rivals
    assert rivals is not None
    rivals.filled = [1000, 1000]
    assert rivals.shown() == ["c", "d"]
    rivals.filled = [1000, 49]
    assert rivals.shown() == ["a", "b", "c"]
    rivals.filled = [1000, 1000]
    rivals._found = [[0, 1], [2, 3]]
    assert rivals.shown() == ["c", "d"]
    rivals.filled = [1000, 49]
    assert rivals.shown() == ["a", "b"]
    rivals.filled = [1000, 50]
    assert rivals.shown() == ["c", "d"]
    rivals._found = [[0, 1], [3]]
    assert rivals.shown() == ["a", "b"]
    assert rivals.shown(["d", "e"]) == ["d"]
    rivals._found = [[], []]
    assert rivals.shown() == []


def test_masks_of_one_group_share_no_voxel_and_others_may(segmenter):
    drawn = [d.mask for d in study(segmenter).decode(STATES[:4])]
    assert sum(mask.any() for mask in drawn) >= 2
    a, b, c, d = drawn
    for one, two in ((a, b), (a, c), (b, c), (c, d)):
        assert not (one & two).any()
    alone = [d.mask for d in study(without_rivals(segmenter)).decode(STATES[:4])]
    assert any((one & two).any() for i, one in enumerate(alone) for two in alone[:i])  # else this shows nothing
    layers = study(segmenter).view.drawing.layers("abcd")
    assert all((layer.logits <= layer.margins[0]).all() for layer in layers)  # competition only takes away


def test_far_rivals_that_compete_as_one_share_nothing_either(segmenter, monkeypatch):
    """With one near rival each the others are one far one; a mask can only lose by it."""
    one_by_one = [d.mask for d in study(segmenter).decode(STATES[:4])]
    monkeypatch.setattr(rivals, "NEIGHBOURS", 1)
    one = study(segmenter)
    assert [len(layer.margins) for layer in one.view.drawing.layers("abcd")] == [3, 3, 3, 2]
    a, b, c, d = drawn = [found.mask for found in one.decode(STATES[:4])]
    assert not ((a & b) | (a & c) | (b & c) | (c & d)).any()
    assert all((less <= more).all() for less, more in zip(drawn, one_by_one, strict=True))


def test_between_two_grid_voxels_that_go_to_others_a_third_may_be_the_strongest(segmenter):
    """Logits 2 beside (3, -10) on one side and (-10, 3) on the other: on the grid the mask is nobody's, half way it is
    over both (2 against -3.5). The grid's voxel i is the volume's 10 + 2 i, the border lies at 17."""
    margins = torch.full((3, 8, 6, 6), 2.0)
    margins[1, :4], margins[1, 4:] = 2 - 3, 2 + 10
    margins[2, :4], margins[2, 4:] = 2 + 10, 2 - 3
    layer = Layer(margins, Grid((8, 6, 6), 2.0, (10.0, 10.0, 10.0), (2.0, 2.0, 2.0)), np.zeros(3, int))
    ((where, values),) = layer.over_all(study(segmenter).view.extent, 0.0, 0.0)
    x = where[0].start + (values > 0).nonzero()[:, 0]
    assert set(x.tolist()) == {17}


def test_many_at_once_equal_one_at_a_time(segmenter):
    together = study(segmenter).decode(STATES[:6])
    for i, expected in enumerate(together):
        assert np.array_equal(study(segmenter).decode(STATES[i : i + 1])[0].mask, expected.mask)


def test_a_state_that_means_nothing_taught_does_not_compete(segmenter):
    assert segmenter.meant(segmenter.whiten(STATES[:4])) == [0, 1, 2, 3]
    far = -segmenter.whiten(STATES[:4]).sum(0, keepdim=True)  # unlike each of the four
    assert segmenter.meant(far) == [None]


def test_the_mask_is_of_what_the_text_names(segmenter):
    """A state that means b under the name "a" draws a; under its own name, or one that was not taught, it draws b."""
    one = study(segmenter)
    a, b = (d.mask for d in one.decode(STATES[:2]))
    assert not np.array_equal(a, b)
    for name, expected in (("a", a), ("b", b), ("unheard of", b), (None, b)):
        assert np.array_equal(one.decode(STATES[1:2], None, [name])[0].mask, expected), name


def test_the_same_thing_asked_differently_is_the_same_mask(segmenter):
    """What a context adds to a state changes no voxel as long as the state means the same."""
    other_words = STATES[:4] + 0.05 * torch.randn(4, 24, generator=torch.Generator().manual_seed(8))
    assert segmenter.meant(segmenter.whiten(other_words)) == [0, 1, 2, 3]
    for one, two in zip(study(segmenter).decode(STATES[:4]), study(segmenter).decode(other_words), strict=True):
        assert np.array_equal(one.mask, two.mask)
        assert one.presence == two.presence
    codes = segmenter.whiten(STATES)
    settled, meant = segmenter.settle(codes)
    for row, index in enumerate(meant):
        assert torch.equal(settled[row], codes[row] if index is None else segmenter.taught_codes[index])
    assert None in meant


def test_where_a_person_points_the_mask_is_theirs(segmenter):
    """A voxel that a rival claims is the mask's once it is clicked on; far from the click the rival keeps its own."""
    shown, plain = study(segmenter), study(segmenter).decode(STATES[:2])
    lost = plain[1].mask & ~plain[0].mask  # b's, and so not a's
    voxel = metrics.innermost(lost, shown.volume.spacing.tolist())
    click = Prompt(points_mm=shown.volume.to_world(voxel[None].astype(float)), labels=np.array([1]))
    mask = shown.decode(STATES[:1], [click])[0].mask
    assert mask[tuple(voxel)]
    far = np.linalg.norm((np.argwhere(lost) - voxel) * shown.volume.spacing, axis=1) > 60
    assert not mask[tuple(np.argwhere(lost)[far].T)].any()


def test_what_is_pointed_at_is_named_by_who_claims_it(segmenter, monkeypatch):
    """Most of a mask that competition left is claimed by its own name; a point by whoever claims its voxel, of what the
    scan shows."""
    shown = study(segmenter)
    monkeypatch.setattr(shown.rivals, "shown", lambda: [*"abcd"])
    named = [
        (name, shown.view.name_at(mask=found.mask))
        for name, found in zip("abcd", shown.decode(STATES[:4]), strict=True)
        if found.mask.sum() > 1000
    ]
    assert named
    # d does not exclude a and b, so where it claims more it is named instead of them
    assert all(said == name or {said, name} in ({"a", "d"}, {"b", "d"}) for name, said in named), named
    claims = Claims(torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[1, 0]]]), torch.tensor([[[0.0, -2.0]]]))
    assert shown.rivals.owner([claims, None], np.array([0, 0, 0])) == "b"
    assert shown.rivals.owner([claims, None], np.array([0, 0, 5])) is None  # the nearest voxel is background's
    assert shown.rivals.owner([claims, claim(0.5, 3)], np.array([0, 0, 0]), "cd") == "d"
    assert shown.rivals.owner([claims, None], np.array([0, 0, 0]), "cd") is None
    monkeypatch.setattr(shown.rivals, "shown", lambda: ["c"])
    assert shown.view.name_at(mask=np.ones(shown.volume.shape, bool)) in ("c", None)
    unknowing = study(without_rivals(segmenter))
    assert unknowing.view.name_at(point_mm=np.array([40.0, 40.0, 40.0])) is None


def test_what_is_not_there_does_not_compete(segmenter):
    strict = Segmenter(dataclasses.replace(segmenter.config, rival_threshold=1.1))
    strict.load_state_dict(segmenter.state_dict())
    none = study(strict.eval()).rivals
    assert none.groups == [[], []]
    assert none.against(0) == ((), ())
    logits = torch.randn(2, 2, 2)
    assert torch.equal(none.contested(logits, 0), logits)


def claim(best: float, owner: int, second: float = -9.0) -> Claims:
    return Claims(torch.tensor([[[best]]]), torch.tensor([[[owner]]]), torch.tensor([[[second]]]))


def test_on_the_coarse_level_the_strongest_other_claim_of_all_groups_counts(segmenter):
    """c is in both groups: what it must beat is the larger of the two other claims, once, and never below 0."""
    found, mine = study(segmenter).rivals, torch.tensor([[[5.0]]])
    found.coarse = [claim(5, 2, 3), claim(4, 3, 1)]
    assert found.contested(mine, 2).item() == 1  # 5 - max(3, 4)
    found.coarse = [claim(5, 2, -3), claim(5, 2, -4)]
    assert found.contested(mine, 2).item() == 5
    found.coarse = [claim(5, 0, 3), claim(9, 3, 1)]
    assert found.contested(mine, 0).item() == 2  # the second group has no a


def test_who_competes_is_of_the_same_groups_and_those_that_border_most_come_first(segmenter, monkeypatch):
    """c is in both groups and meets each other member once. Of ten voxels where it is 0, d is the strongest other in
    seven and b in three; where c is 9 below a, they have no border."""
    found = study(segmenter).rivals
    found.logits = torch.full((4, 1, 1, 20), -3.0)
    found.logits[2] = 0
    found.logits[3, ..., :7] = 1
    found.logits[1, ..., 7:10] = 1
    found.logits[0, ..., 10:] = 9
    found.coarse = [found._claims(found.logits[group], group) for group in found.groups]
    assert found.against(2) == ((3, 1, 0), ())
    monkeypatch.setattr(rivals, "NEIGHBOURS", 1)
    assert found.against(2) == ((3,), (1, 0))
    assert found.against(3) == ((2,), ())  # the second group has no a and b
    assert found.against(None) == ((), ())


def test_a_low_threshold_widens_masks_and_lets_them_share_nothing(segmenter):
    """The threshold of a group is what the empty background claims: at 0.02 masks hold those at a half, what is claimed
    by another stays the other's, and a voxel is named as it is drawn. Other groups keep to `mask_threshold`."""
    low = Segmenter(dataclasses.replace(segmenter.config, mask_thresholds=(0.02, 0.5)))
    low.load_state_dict(segmenter.state_dict())
    config = low.config
    assert config.background(0) == pytest.approx(math.log(0.02 / 0.98))
    assert config.background(3) == config.background(None) == 0
    wide, narrow = study(low.eval()), study(segmenter)
    drawn = [[found.mask for found in one.decode(STATES[:3])] for one in (wide, narrow)]
    more, less = drawn
    assert all((after >= before).all() for after, before in zip(more, less, strict=True))
    assert sum(mask.sum() for mask in more) > sum(mask.sum() for mask in less)
    assert (np.sum(more, axis=0) <= 1).all()
    here = np.zeros(3, int)
    assert wide.rivals.owner([claim(-1, 0), claim(-0.5, 3)], here) == "a"  # over the 0.02 of its own group
    assert wide.rivals.owner([claim(-4, 0), None], here) is None
    assert narrow.rivals.owner([claim(-1, 0), None], here) is None


def test_a_shifted_structure_takes_from_its_rivals_and_shares_nothing(segmenter):
    """Two logits more for b: its mask gains voxels of its rivals and of nobody, no voxel is anybody's twice, and
    presence and quality, which are judged before, stay to the last digit."""
    moved = Segmenter(dataclasses.replace(segmenter.config, mask_shifts=(0.0, 2.0, 0.0, 0.0)))
    moved.load_state_dict(segmenter.state_dict())
    before, after = (study(model.eval()).decode(STATES[:3]) for model in (segmenter, moved))
    for one, other in zip(before, after, strict=True):
        assert (one.presence, one.quality) == (other.presence, other.quality)
    won = after[1].mask & ~before[1].mask
    assert (won & (before[0].mask | before[2].mask)).any()
    assert (won & ~before[0].mask & ~before[2].mask).any()
    assert (np.sum([found.mask for found in after], axis=0) <= 1).all()
    # where a box is given too, the word still means b, and is shifted like its rivals
    box = Prompt(box_mm=np.array([[20.0, 15.0, 12.0], [60.0, 70.0, 60.0]]))
    boxed = [study(model).decode(STATES[1:2], [box])[0].mask.sum() for model in (segmenter, moved)]
    assert boxed[1] > boxed[0]


def test_shifts_stay_with_their_names_when_more_is_taught(segmenter):
    taught = Segmenter(dataclasses.replace(segmenter.config, mask_shifts=(0.5, 0.0, -0.5, 1.0)))
    taught.fit_taught((*GROUPS, ("e",)), (), taught.whiten(STATES[:5]))
    assert taught.config.mask_shifts == (0.5, 0.0, -0.5, 1.0, 0.0)
    taught.fit_taught(GROUPS[1:], (), taught.whiten(STATES[2:4]))
    assert taught.config.mask_shifts == (-0.5, 1.0)
    assert taught.config.shifts([1, None, 0]) == [1.0, 0.0, -0.5]
    assert segmenter.config.shifts([1, None]) == [0.0, 0.0]


def test_thresholds_stay_with_their_groups_when_more_is_taught(segmenter):
    """A new group has the threshold of what has none of its own, until it is calibrated."""
    taught = Segmenter(dataclasses.replace(segmenter.config, mask_threshold=0.45, mask_thresholds=(0.2, 0.3)))
    taught.fit_taught((*GROUPS, ("e",)), (), taught.whiten(STATES[:5]))
    assert taught.config.mask_thresholds == (0.2, 0.3, 0.45)
    taught.fit_taught(GROUPS[1:], (), taught.whiten(STATES[2:4]))
    assert taught.config.mask_thresholds == (0.3,)


def test_one_alone_competes_with_nobody_and_has_a_name(segmenter):
    alone = Segmenter(dataclasses.replace(segmenter.config, exclusive=(("a",),)))
    alone.load_state_dict({**segmenter.state_dict(), "taught_codes": segmenter.taught_codes[:1]})
    one, plain = study(alone.eval()), study(without_rivals(segmenter))
    mask = one.decode(STATES[:1])[0].mask
    assert np.array_equal(mask, plain.decode(STATES[:1])[0].mask)
    assert one.view.name_at(mask=mask) == "a"


def test_groups_survive_the_configuration_file(segmenter):
    import json

    values = json.loads(json.dumps(segmenter.config.to_dict()))
    assert SegmenterConfig.from_dict(values) == segmenter.config
    again = Segmenter(SegmenterConfig.from_dict(values))
    again.load_state_dict(segmenter.state_dict())
    assert torch.equal(again.taught_codes, segmenter.taught_codes)


def test_what_was_never_taught_is_not_found_unless_pointed_at(segmenter):
    """A state unlike every taught one has no mask whatever its presence head says; a click still draws one."""
    one = study(segmenter)
    far = STATES[4:].clone()
    unlike = [i for i, m in enumerate(segmenter.meant(segmenter.whiten(far))) if m is None]
    assert unlike  # the threshold of presence is 0 here: anything else would be drawn
    state = far[unlike[:1]]
    refused = one.decode(state)[0]
    assert (refused.present, refused.presence, refused.taught, refused.mask.any()) == (False, 0.0, False, False)
    alone = study(without_rivals(segmenter)).decode(state)[0]
    assert alone.presence > 0
    click = Prompt(points_mm=np.array([[40.0, 40.0, 40.0]]), labels=np.array([1]))
    assert one.decode(state, [click])[0].presence > 0
