"""Numbers of masks in patient space, the notes they are written in, and numbers that no note supports."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from assistant.errors import ScanError
from assistant.evidence import (
    Measurement,
    compare_volumes,
    format_mean,
    format_ml,
    longest_diameter,
    measure,
    note_absent,
    note_present,
    numbers_in,
    unsupported_numbers,
)
from assistant.volume import Volume


def volume_of(affine: np.ndarray, shape: tuple[int, int, int] = (8, 9, 10)) -> Volume:
    return Volume.from_array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine, modality="MR")


def test_block_in_anisotropic_voxels() -> None:
    volume = volume_of(np.diag([2.0, 3.0, 5.0, 1.0]))
    mask = np.zeros(volume.shape, bool)
    mask[2:4, 1:5, 3:6] = True  # 2 x 4 x 3 voxels of 30 mm3
    m = measure(volume, mask)
    assert m.voxels == 24
    assert m.volume_ml == pytest.approx(0.72)
    assert m.longest_diameter_mm == pytest.approx(np.sqrt(2.0**2 + 9.0**2 + 10.0**2))
    assert m.mean_intensity == pytest.approx(volume.voxels[mask].mean())
    assert m.centroid_mm == pytest.approx((5.0, 7.5, 20.0))
    assert not m.touches_edge


def test_shear_counts_in_volume_and_diameter() -> None:
    affine = np.eye(4)
    affine[1, 2] = 1.0  # each slice is 1 mm further to the front: the volume of a voxel stays 1 mm3
    volume = volume_of(affine)
    mask = np.zeros(volume.shape, bool)
    mask[4, 4, 2:6] = True
    m = measure(volume, mask)
    assert m.volume_ml == pytest.approx(0.004)
    assert m.longest_diameter_mm == pytest.approx(3 * np.sqrt(2))


def test_same_numbers_however_the_scan_is_stored() -> None:
    rng = np.random.default_rng(0)
    voxels, mask = rng.normal(size=(7, 8, 9)), rng.random((7, 8, 9)) > 0.8
    plain = Volume.from_array(voxels, np.diag([1.0, 2.0, 3.0, 1.0]), modality="MR")
    affine = np.array([[0, 0, -1.0, 6], [2.0, 0, 0, 0], [0, -3.0, 0, 24], [0, 0, 0, 1]])
    turned = Volume.from_array(np.flip(voxels.transpose(1, 2, 0), (1, 2)), affine, modality="MR")
    one = measure(plain, mask)
    other = measure(turned, turned.from_native(np.flip(mask.transpose(1, 2, 0), (1, 2))))
    assert one.centroid_mm == pytest.approx(other.centroid_mm)
    assert (one.volume_ml, one.longest_diameter_mm, one.mean_intensity, one.side) == pytest.approx(
        (other.volume_ml, other.longest_diameter_mm, other.mean_intensity, other.side)
    )


def test_longest_diameter_is_exact_on_points_plane_line_and_one_voxel() -> None:
    rng = np.random.default_rng(1)
    for scale in ((1, 1, 1), (1, 1, 0), (1, 0, 0)):  # a cloud, a plane, a line
        points = rng.normal(size=(200, 3)) * scale @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        brute = max(float(np.linalg.norm(a - b)) for a, b in combinations(points, 2))
        assert longest_diameter(points) == pytest.approx(brute, rel=1e-9)
    assert longest_diameter(np.zeros((1, 3))) == 0.0


def test_side_follows_the_patient_not_the_array() -> None:
    flipped = volume_of(np.diag([-1.0, 1.0, 1.0, 1.0]), (40, 4, 4))  # stored from right to left
    mask = np.zeros((40, 4, 4), bool)
    mask[2:5, 1:3, 1:3] = True  # small x index is left after reordering
    assert measure(flipped, mask).side == "left"
    assert measure(flipped, mask[::-1]).side == "right"
    middle = np.zeros((40, 4, 4), bool)
    middle[19:21, 1:3, 1:3] = True
    assert measure(flipped, middle).side == "midline"


def test_edge_is_told_but_not_for_the_only_slice() -> None:
    volume = volume_of(np.eye(4), (6, 6, 1))
    mask = np.zeros((6, 6, 1), bool)
    mask[2:4, 2:4] = True
    assert not measure(volume, mask).touches_edge
    mask[0, 2] = True
    assert measure(volume, mask).touches_edge


def test_empty_and_misfit_masks_are_refused() -> None:
    volume = volume_of(np.eye(4))
    with pytest.raises(ValueError, match="empty"):
        measure(volume, np.zeros(volume.shape, bool))
    with pytest.raises(ScanError, match="does not fit"):
        measure(volume, np.ones((2, 2, 2), bool))


def ml(volume_ml: float, unit: str = "", mean: float = 112.3) -> Measurement:
    return Measurement(volume_ml, 38.06, mean, unit, (0.0, 0.0, 0.0), "left", 10, False)


def test_the_format_of_notes() -> None:
    assert note_present("m1", "left hippocampus", ml(2.94), 0.98, 0.871) == (
        "m1 left hippocampus: 2.9 mL, 38.1 mm, mean 112, presence 0.98, quality 0.87"
    )
    assert note_present("m2", "brainstem", ml(24.04, "HU", 45.2), 1.0, None).endswith("mean 45 HU, presence 1.00")
    assert note_present("m2", "tumour", ml(2.0, "SUV", 4.13), 1.0, 0.5).startswith(
        "m2 tumour: 2.0 mL, 38.1 mm, mean 4.1 SUV"
    )
    assert note_absent("left hippocampus", 0.031) == "left hippocampus: not found, presence 0.03"
    # the earlier mask first, as a sentence about "the left and the right" names them
    assert note_present("m2", "a", ml(3.06), 0.98, 0.87, ("m1", ml(2.94))).endswith(
        "quality 0.87; m1 is smaller than m2 by 0.2 mL (6 %), together 6.0 mL"
    )


def test_comparison_is_of_the_numbers_as_shown() -> None:
    assert compare_volumes(("m1", ml(3.04)), ("m2", ml(2.96))) == "m1 is equal in volume to m2, together 6.0 mL"
    assert (
        compare_volumes(("m1", ml(0.47)), ("m2", ml(2.9))) == "m1 is smaller than m2 by 2.4 mL (84 %), together 3.4 mL"
    )
    assert compare_volumes(("m1", ml(1000.1)), ("m2", ml(1000.0))) == (
        "m1 is larger than m2 by 0.1 mL (less than 1 %), together 2000.1 mL"
    )


def test_decimal_rule() -> None:
    assert [format_ml(v) for v in (1234.56, 2.95001, 0.999, 0.4704, 0.0996, 0.0342, 0.00002, 0.0)] == [
        "1234.6", "3.0", "1.0", "0.47", "0.10", "0.034", "0.00002", "0.000",
    ]  # fmt: skip
    assert [format_mean(v) for v in (377075.0, -45.2, 4.13, -0.3, -0.0)] == ["377075", "-45", "4.1", "-0.30", "0.00"]


def test_numbers_leave_ids_and_names_alone() -> None:
    text = "m1 at T1, L3-L4, in 3D, the 2nd of (m12): 2.9 mL, 38.1mm, -45 HU, \u221250 HU, 3-5, 1,423.5, three mL, 6 %."
    assert numbers_in(text) == ["2.9", "38.1", "-45", "\u221250", "3", "5", "1,423.5", "three", "6"]
    assert numbers_in("one of them is here, m1 - m2") == []
    assert numbers_in("\u5de6\u6d77\u9a6c\u4f53\u79ef 2.9 \u6beb\u5347") == ["2.9"]


NOTES = ["m1 left hippocampus: 2.9 mL, 38.1 mm, mean 112, presence 0.98, quality 0.87"]


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ("It is 2.9 mL and 38.1 mm long.", []),
        ("It is 2.90 mL.", []),
        ("2,9 mL", []),  # a decimal comma
        ("It is 2.9.", []),
        ("It is 3.0 mL.", ["3.0"]),
        ("It is 38.1 mL.", ["38.1"]),  # a length is no volume
        ("It is 0.98 mL.", ["0.98"]),  # a probability is no volume
        ("It is three mL.", ["three"]),
        ("Yes, m1, on T1, one of two.", []),
        ("It is 12th.", []),
        ("Version 1.2.3", ["1.2.3"]),
    ],
)
def test_unsupported_numbers(reply: str, wrong: list[str]) -> None:
    assert unsupported_numbers(reply, NOTES) == wrong


def test_the_users_own_numbers_may_be_repeated() -> None:
    assert unsupported_numbers("No, it is not over 5 mL.", NOTES, ["Is it over 5 mL?"]) == []
    assert unsupported_numbers("No, it is not over 5 mL.", NOTES, ["Is it over 5?"]) == []
    assert unsupported_numbers("It is 5 mL.", NOTES, ["Is it over 5 mm?"]) == ["5"]


def test_every_number_of_a_note_is_supported_by_it() -> None:
    note = note_present("m2", "tumour", ml(0.47, "HU", -45.0), 0.98, 0.87, ("m1", ml(2.9)))
    assert unsupported_numbers(note, [note]) == []
    assert len(numbers_in(note)) == 8
