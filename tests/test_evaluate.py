"""Evaluation with a session made here, whose answers are known: what is counted, and what is not."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import pytest

from assistant.generate import Finding
from assistant.session import Reply
from assistant.volume import Volume
from training import evaluate
from training.evaluate import Results, data_identity, summarise, write
from training.masks import Row, examine, questions
from training.pointing import point_out
from training.scans import AAL_VALUES, Scan, scans, truths

SHAPE = (10, 8, 6)
ABOUT = {
    "command": "python -m training.evaluate", "split": "dev", "seed": 0, "timings": None, "specialists": {},
    "data": {"index_sha256": "cd" * 32, "cases": 1, "cases_sha256": "ef" * 32},
    "model": {"name": "default", "sha256": "ab" * 32, "base": "tiny"},
    "machine": {"torch": "2", "device": "cpu", "threads": 1},
}  # fmt: skip


def half(side: str) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[(slice(1, 4) if side == "left" else slice(6, 9)), 2:6, 1:5] = True
    return mask


def a_scan(absent: list[str] | None = None) -> Scan:
    masks = {"left hippocampus": half("left"), "right hippocampus": half("right")}
    gone = ["liver", "left kidney", "pancreas", "prostate"] if absent is None else absent
    return Scan("brain", "case 1", Path("case1.nii.gz"), masks, gone, spacing=(2.0, 2.0, 2.0))


def finding(phrase: str, mask: np.ndarray | None) -> Finding:
    values = dict.fromkeys(Finding.__dataclass_fields__)
    there = mask is not None
    values |= {"taught": True, "phrase": phrase, "present": there, "presence": 0.9 if there else 0.1}
    if mask is not None:
        values |= {"id": "m1", "mask": mask.astype(np.uint8), "volume_ml": float(mask.sum()) * 0.008, "quality": 0.8}
    return Finding(**values)  # type: ignore[arg-type]


@dataclass
class Answers:
    """A session that names what stands in ``says`` for the structure in the question: (phrase, mask) or nothing."""

    says: dict[str, tuple[str, np.ndarray | None] | None]
    asked: list[str] = field(default_factory=list)
    undone: int = 0
    pointed: list[tuple[float, ...]] | None = None

    def ask(self, text: str, points=None) -> Reply:
        self.asked.append(text)
        self.pointed = points
        answer = next((a for name, a in self.says.items() if name in text), None)
        findings = () if answer is None else (finding(*answer),)
        return Reply("text", findings, {})

    def undo(self) -> None:
        self.undone += 1


def test_questions_are_words_and_depend_on_the_case_and_the_seed_alone():
    asked = list(questions(a_scan(), seed=0, absent=4))
    assert asked == list(questions(a_scan(), seed=0, absent=4))
    assert asked != list(questions(a_scan(), seed=1, absent=4))
    assert [phrase for phrase, _, _ in asked[:2]] == ["left hippocampus", "right hippocampus"]
    assert all(phrase in question for phrase, question, _ in asked)
    assert [presupposed for _, _, presupposed in asked] == [False, False, False, True, False, True]
    assert len({phrase for phrase, _, _ in asked}) == 6


def test_points_at_the_inside_of_each_part_and_counts_the_name():
    """Millimetres of the scan's own affine; the whole is not asked for, since its parts are there."""
    volume = Volume.from_array(np.arange(480.0).reshape(SHAPE), np.diag([-2.0, 3.0, 1.0, 1.0]), modality="MR")
    scan = a_scan()
    scan.truths["brain"] = np.ones(SHAPE, bool)

    class Pointed(Answers):
        def ask(self, text: str, points=None) -> Reply:
            super().ask(text, points)
            index = np.rint(volume.to_index(np.array(points))[0]).astype(int)
            inside = [p for p, m in scan.truths.items() if p != "brain" and volume.from_native(m)[tuple(index)]]
            assert len(inside) == 1
            return Reply("text", (finding("left hippocampus", half("left")),), {})

    session = Pointed({})
    found = list(point_out(session, scan, "brain", volume))
    assert [(p.phrase, p.right) for p in found] == [("left hippocampus", True), ("right hippocampus", False)]
    assert session.undone == 2
    assert summarise(Results(pointing=found))["pointed_right"]["value"] == 0.5


def test_right_masks_right_refusals():
    session = Answers({p: (p, m) for p, m in a_scan().truths.items()})
    rows = list(examine(session, a_scan(), "brain", absent=4))
    assert session.undone == len(session.asked) == 6
    summary = summarise(Results(rows))
    assert summary["families"]["brain"]["dice_mean_over_structures"] == 1.0
    assert (
        summary["refused_absent"]["value"] == summary["kept_present"]["value"] == summary["named_right"]["value"] == 1.0
    )
    assert summary["refused_absent_presupposed"]["total"] == 2
    assert summary["sides_swapped"]["hits"] == 0
    assert rows[0].truth_ml == pytest.approx(rows[0].predicted_ml) == pytest.approx(48 * 0.008)


def test_swapped_sides_are_seen():
    swapped = {
        "left hippocampus": ("left hippocampus", half("right")),
        "right hippocampus": ("right hippocampus", half("right")),
    }
    rows = list(examine(Answers(swapped), a_scan(), "brain"))
    assert [row.sides_swapped for row in rows if row.there] == [True, False]
    assert summarise(Results(rows))["sides_swapped"]["hits"] == 1


def test_a_mask_under_another_name_does_not_count_for_the_target():
    rows = list(examine(Answers({"left hippocampus": ("right hippocampus", half("left"))}), a_scan([]), "brain"))
    left = rows[0]
    assert (left.found, left.dice, left.named) == (False, 0.0, "right hippocampus")
    assert summarise(Results(rows))["named_right"]["hits"] == 0


def test_a_synonym_in_the_reply_counts():
    rows = list(examine(Answers({"left hippocampus": ("Hippocampus sinister", half("left"))}), a_scan([]), "brain"))
    assert rows[0].found
    assert rows[0].dice == 1.0


def test_a_refused_present_target_scores_nothing_and_is_still_named():
    rows = list(examine(Answers({"left hippocampus": ("left hippocampus", None)}), a_scan([]), "brain"))
    assert (rows[0].found, rows[0].dice, rows[0].volume_error) == (False, 0.0, -1.0)
    summary = summarise(Results(rows))
    assert summary["named_right"]["hits"] == 1  # the left one; the right one was answered with nothing at all
    assert summary["kept_present"]["value"] == 0.0


def test_any_mask_for_an_absent_target_is_a_false_finding():
    rows = list(examine(Answers({"liver": ("left hippocampus", half("left"))}), a_scan(["liver"]), "brain"))
    assert rows[-1].found
    assert math.isnan(rows[-1].dice)
    assert summarise(Results(rows))["refused_absent"] == {
        "value": 0.0,
        "hits": 0,
        "total": 1,
        "interval95": pytest.approx([0, 0.793], abs=1e-3),
    }


def test_the_files(tmp_path):
    rows = list(examine(Answers({p: (p, m) for p, m in a_scan().truths.items()}), a_scan(), "brain"))
    about = ABOUT | {
        "timings": {
            "scan": "a template", "threads": 1, "cold_start_s": 9.0, "open_s": 2.0, "first_answer_s": 4.0,
            "second_answer_s": 1.0, "reading_on_s": 3.0, "second_answer_after_reading_on_s": 0.5,
            "first_decode_1_s": 1.0, "first_decode_8_s": 1.5,
            "decode_1_s": 0.2, "decode_8_s": 0.3, "peak_memory_gb": 1.5,
        },
    }  # fmt: skip
    write(tmp_path, Results(rows), about)
    report = (tmp_path / "report.md").read_text()
    assert "| left hippocampus | 1 | 1 | 1.000 |" in report
    assert "| Hausdorff, mm | HD95, mm |" in report
    assert f"Data: 1 cases, list {'ef' * 8}, index {'cd' * 8} (SHA-256)." in report
    assert "0.25 of the first" in report
    assert "| absent targets refused | 100.0 % | 4 of 4 |" in report
    assert json.loads((tmp_path / "summary.json").read_text())["kept_present"]["hits"] == 2
    with (tmp_path / "cases.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["phrase"] for line in lines] == [row.phrase for row in rows]
    assert set(lines[0]) == set(Row.__dataclass_fields__)


def test_a_specialist_stands_beside_the_family_it_was_trained_on(tmp_path):
    """Compared over what both were asked: the specialist knows no right hippocampus, the model reaches 1 of its 0.8."""
    rows = list(examine(Answers({p: (p, m) for p, m in a_scan().truths.items()}), a_scan(), "brain"))
    figures = {"structures": {"left hippocampus": 0.8, "liver": 0.1}, "scans": 3, "steps": 40, "minutes": 2.0,
               "parameters": 1_500_000}  # fmt: skip
    write(tmp_path, Results(rows), ABOUT | {"specialists": {"brain": figures, "openkbp": figures}})
    (line,) = [line for line in (tmp_path / "report.md").read_text().splitlines() if "specialist" in line]
    assert line == (
        "A specialist (40 steps, 2 minutes, 1.5 M parameters, 3 scans): 0.800 over 1 structures, of which this model "
        "reaches 1.25. By structure: left hippocampus 0.800."
    )


def test_the_data_are_known_by_the_hash_of_their_index_and_of_the_cases(tmp_path):
    assert data_identity(tmp_path, ["a"])["index_sha256"] is None
    (tmp_path / "index.jsonl").write_text("{}\n")
    one, other = data_identity(tmp_path, ["brain a", "brain b"]), data_identity(tmp_path, ["brain b", "brain a"])
    assert one["cases"] == 2
    assert one["cases_sha256"] != other["cases_sha256"]
    assert one["index_sha256"] == other["index_sha256"] == hashlib.sha256(b"{}\n").hexdigest()


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def test_a_truth_lies_on_the_grid_of_the_file(tmp_path):
    """A case whose stored axes run left and down: truth[i, j, k] is the file's own voxel."""
    stored = np.zeros((35, 40, 36), np.uint8)
    stored[3:9, 10:20, 5:9] = 1
    stored[3:9, 20:25, 5:9] = 2
    affine = np.diag([-1.0, 1.0, -1.0, 1.0])
    image = np.random.default_rng(0).normal(100, 20, stored.shape).astype(np.float32)
    save(tmp_path / "dev" / "msd_hippocampus" / "hippocampus_9" / "image.nii.gz", image, affine)
    save(tmp_path / "dev" / "msd_hippocampus" / "hippocampus_9" / "label.nii.gz", stored, affine)
    line = {
        "split": "dev", "case": "msd_hippocampus/hippocampus_9", "modality": "MR-T1w (crop)", "image": True,
        "label": True, "labels": {"1": "hippocampus_anterior", "2": "hippocampus_posterior"}, "licence": "mine",
        "source": "here",
    }  # fmt: skip
    (tmp_path / "index.jsonl").write_text(json.dumps(line) + "\n")
    (scan,) = scans("hippocampus", tmp_path)
    assert scan.voxel_ml == pytest.approx(0.001)
    assert set(scan.truths) == {"hippocampus", "anterior hippocampus", "posterior hippocampus"}
    np.testing.assert_array_equal(scan.truths["anterior hippocampus"], stored == 1)
    np.testing.assert_array_equal(scan.truths["hippocampus"], stored > 0)
    assert not set(scan.truths) & set(scan.absent)


def test_colin_names_the_sides_of_the_atlas(tmp_path):
    stored = np.zeros((20, 20, 20), np.uint8)
    for index, value in enumerate(AAL_VALUES.values()):
        stored[2:6, index * 3 : index * 3 + 3, 2:9] = value  # AAL's odd numbers are left
        stored[13:17, index * 3 : index * 3 + 3, 2:9] = value + 1
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = -85
    folder = tmp_path / "dev" / "mricron_colin27_aal"
    save(folder / "image.nii.gz", np.random.default_rng(0).normal(100, 20, stored.shape).astype(np.float32), affine)
    save(folder / "label.nii.gz", stored, affine)
    (scan,) = scans("colin", tmp_path)
    assert len(scan.truths) == 12
    x = {
        phrase: (np.argwhere(mask) @ affine[:3, :3] + affine[:3, 3]).mean(0)[0] for phrase, mask in scan.truths.items()
    }
    assert all((x[phrase] < 0) == phrase.startswith("left") for phrase in x)


def test_what_is_not_there_is_no_target(tmp_path):
    from assistant.volume import Volume

    labels = np.ones((4, 4, 4), np.int32)
    volume = Volume.from_array(np.random.default_rng(0).random((4, 4, 4)), np.eye(4), modality="MR")
    assert set(truths(volume, labels, {"mandible": (1,), "larynx": (2,)})) == {"mandible"}


def test_unknown_families_are_named(capsys, tmp_path):
    assert evaluate.main(["--data", str(tmp_path), "--out", str(tmp_path), "--families", "openkbp,legs"]) == 2
    assert "legs" in capsys.readouterr().err
