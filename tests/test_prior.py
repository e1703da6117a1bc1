"""An earlier scan: what may be compared, what is said of the change; one real small model through the whole path."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import QuestionError, ScanError
from assistant.findings import Finding
from assistant.prior import Change, Comparison, Prior, check_pair, comparison_facts
from assistant.registration import Alignment
from assistant.session import Session
from assistant.volume import Volume
from tests.test_registration import NOW, NOW_SHAPE, rigid, scan

GOOD = Alignment(np.eye(4), 0.8, 0.95, 0.97)


def volume(name: str, **changes: object) -> Volume:
    made = Volume.from_array(np.arange(27.0).reshape(3, 3, 3), np.eye(4), "MR", name=name)
    return dataclasses.replace(made, sha256=name, **changes)  # type: ignore[arg-type]


def found(volume_ml: float | None, presence: float = 0.98, quality: float = 0.9, taught: bool = True) -> Finding:
    there = volume_ml is not None
    return Finding(
        "m1" if there else "", "tumour", there, presence, quality, volume_ml, None, None, "", None, None, 0, taught
    )


def change(now: Finding, before: Finding) -> str:
    a, b = now.volume_ml, before.volume_ml
    both = a is not None and b is not None
    return Change("tumour", now, before, a - b if both else None, 100 * (a - b) / b if both else None).text


def test_the_days_between_come_from_the_headers():
    dated = [volume(name, date=day) for name, day in (("now", "2024-03-01"), ("before", "2024-02-01"))]
    assert check_pair(*dated) == 29
    assert check_pair(volume("now"), dated[1]) is None
    with pytest.raises(ScanError, match=r"now \(2024-03-01\) is later than before \(2024-02-01\): swap"):
        check_pair(dated[1], dated[0])


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (volume("before", patient="B7"), r"of another patient \(B7\) than now \(A12\)"),
        (volume("before", modality="CT"), "before is CT and now is MR"),
        (volume("now"), "the same scan"),
    ],
)
def test_what_is_no_prior_is_refused_in_one_sentence(before, words):
    with pytest.raises(ScanError, match=words) as caught:
        check_pair(volume("now", patient="A12"), before)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (found(4.0), found(3.0), "The tumour has grown by 1.0 mL (33 %): 4.0 mL now, 3.0 mL before."),
        (found(3.0), found(4.0), "The tumour has shrunk by 1.0 mL (25 %): 3.0 mL now, 4.0 mL before."),
        (found(3.1), found(3.0), "The tumour has not measurably changed: 3.1 mL now, 3.0 mL before; a difference of "
         "0.1 mL (3 %) is within what masks like these can tell."),
        (found(4.0), found(None, 0.04), "The tumour was found now (4.0 mL), and not before (presence 0.04)."),
        (found(None, 0.04), found(4.0), "The tumour was found before (4.0 mL), and not now (presence 0.04)."),
        (found(None), found(None), "The tumour was found in neither scan."),
        (found(None, 0.0, taught=False), found(None, 0.0, taught=False),
         "I was never taught to find the tumour, so I cannot compare it."),
        (found(4.0, quality=0.6), found(3.3), "The tumour has not measurably changed: 4.0 mL now, 3.3 mL before; a "
         "difference of 0.7 mL (21 %) is within what masks like these can tell."),
        (found(6.0, quality=0.3), found(3.0), "The tumour has grown by 3.0 mL (100 %): 6.0 mL now, 3.0 mL before. "
         "Doubtful: now its mask has a quality of only 0.30."),
    ],
)  # fmt: skip
def test_what_is_said_of_a_change(now, before, text):
    assert change(now, before) == text


def test_the_text_names_the_registration_and_what_it_cannot_show():
    comparison = Comparison("tumour", GOOD, 29, (Change("tumour", found(4.0), found(3.0), 1.0, 33.3, 0.6),))
    assert "Days between the scans: 29." in comparison.text
    assert "Registration: good (correlation 0.95, overlap 0.97" in comparison.text
    assert "cannot show that both are of one patient" in comparison.text
    facts = comparison_facts(comparison)
    assert facts["changes"][0]["change_ml"] == 1.0
    assert facts["registration"]["verdict"] == "good"


@pytest.fixture
def pair(tiny_model) -> tuple[Session, Volume]:
    """A session on the phantom, and the phantom scanned earlier from elsewhere, thick slices."""
    now = Session.open(scan(NOW_SHAPE, NOW, np.eye(4)), model=tiny_model)
    affine = NOW @ np.diag([1, 1, 2, 1])
    return now, scan((52, 62, 24), affine, rigid((4, 0, 3), (6, -4, 2)), seed=1)


def test_both_scans_are_asked_and_measured_in_their_own_space(pair):
    now, earlier = pair
    prior = now.open_prior(earlier)
    comparison = prior.compare("left block")
    (one,) = comparison.changes
    assert (one.now.phrase, one.before.phrase) == ("left block", "left block")
    assert one.now.mask.shape == now.volume.native.shape
    assert one.before.mask.shape == earlier.native.shape  # not resampled
    assert one.before.volume_ml == pytest.approx(one.before.mask.sum() * earlier.voxel_ml)
    assert one.change_ml == pytest.approx(one.now.volume_ml - one.before.volume_ml)
    assert one.carried.shape == now.volume.native.shape
    both = (one.carried & one.now.mask).sum()
    assert one.overlap == pytest.approx(2 * both / (one.carried.sum() + one.now.mask.sum()))
    assert [finding.id for finding in now.findings] == ["m1"]  # remembered like an answer's
    assert now.compare(prior, "left block").changes[0].now.id == "m1"
    with pytest.raises(QuestionError, match="the question is empty"):
        prior.compare(" ")
    now.undo()
    now.undo()
    assert now.findings == ()


def test_a_scan_of_something_else_is_refused(pair):
    other = np.zeros((40, 40, 40), np.float32)
    other[8:32, 12:20, 16:30] = np.random.default_rng(3).uniform(50, 200, (24, 8, 14))
    box = Volume.from_array(other, np.diag([4.0, 4.0, 4.0, 1.0]), "MR", name="box")
    with pytest.raises(ScanError, match=r"box does not fit scan0 \(correlation .*same patient and part of the body"):
        Prior.open(pair[0], box)


def test_a_file_that_is_no_scan_is_refused(pair, tmp_path: Path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    with pytest.raises(ScanError, match=r"bad\.nii\.gz"):
        pair[0].compare(bad, "left block")
