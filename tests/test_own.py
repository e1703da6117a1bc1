"""A user's own scans: what is wrong with them is said at once, and a model of them answers about the new name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from assistant.glossary import Glossary
from assistant.model import DeixisModel
from assistant.segmenter import Segmenter
from assistant.session import Session
from assistant.volume import Volume
from data_recipes import ontology
from tests.tiny_training import tiny_segmenter
from training import command, own, own_data, own_training
from training.own_data import DataError, OwnCase, pairs, read_cases, split
from training.own_names import OwnName, clashes, read_names, with_names
from training.own_training import OwnConfig
from training.samples import PackedCase

AFFINE = np.diag([-3.0, 3.0, 3.0, 1.0])  # stored from right to left: a reader that forgets it is seen
BLOCK = OwnName(1, "block", "left", ("blocks", "Klotz"))


def scan(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(image, labels) (24, 26, 20) in stored order: noise about 100 and a bright block that moves with the number."""
    image = np.random.default_rng(number).normal(100, 10, (24, 26, 20)).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    at = 8 + number % 4
    labels[at : at + 6, 9:17, 6:13] = 1
    image[labels == 1] += 300
    return image, labels


def save(array: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """images/ and labels/ with six scans of a block, and names.json."""
    for number in range(6):
        image, labels = scan(number)
        save(image, tmp_path / "images" / f"mr_{number}.nii.gz")
        save(labels, tmp_path / "labels" / f"mr_{number}.nii.gz")
    row = {"name": "block", "side": "left", "synonyms": ["blocks", "Klotz"]}
    (tmp_path / "names.json").write_text(json.dumps({"1": row}))
    return tmp_path


def read(folder: Path, **options: bool) -> tuple[list[OwnCase], list[str]]:
    cases, problems = read_cases(folder / "images", folder / "labels", [BLOCK], say=lambda line: None, **options)
    return cases, [f"{problem.where.name}: {problem.what}" for problem in problems]


# -- names ----------------------------------------------------------------------------------------------------------


def test_names_are_read_with_their_side_however_it_is_written(tmp_path):
    rows = {"2": "Right  Kidney", "1": {"name": "kidney", "side": "left", "synonyms": ["Niere"]}, "7": "spinal cord"}
    (tmp_path / "names.json").write_text(json.dumps(rows))
    names, problems = read_names(tmp_path / "names.json")
    assert problems == []
    assert [(n.value, n.phrase, n.base) for n in names] == [
        (1, "left kidney", "kidney"), (2, "right kidney", "kidney"), (7, "spinal cord", "spinal cord")
    ]  # fmt: skip
    assert names[0].synonyms == ("Niere",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is no JSON"),
        ("{}", "names no label value"),
        ('{"0": "cord"}', '"0": "cord" has no label value'),
        ('{"1": "<SEG>"}', "has the name '<SEG>'"),
        ('{"1": {"nam": "cord"}}', "is not in that form"),
        ('{"1": {"name": "cord", "side": "up"}}', "has the side 'up'"),
        ('{"1": "cord", "2": "Cord"}', "'cord' stands there twice"),
    ],
)
def test_a_names_file_that_is_wrong_says_how(tmp_path, text, what):
    (tmp_path / "names.json").write_text(text)
    (problem,) = read_names(tmp_path / "names.json")[1]
    assert what in str(problem)


def test_a_question_mentions_the_new_names():
    names = [BLOCK, replace(BLOCK, value=2, side="right")]
    glossary = with_names(ontology.glossary(), names)
    assert glossary.mentioned("Segment the left Klotz.") == [("left block",)]
    assert glossary.mentioned("How large are the blocks?") == [("left block", "right block")]
    assert glossary.mentioned("And the left hippocampus?") == ontology.glossary().mentioned("And the left hippocampus?")
    assert Glossary.from_json(glossary.to_json()).own == ("left block", "right block")
    # a name that the table has and nobody taught keeps its other languages
    eyes = with_names(ontology.glossary(), [OwnName(1, "eye", "left"), OwnName(2, "eye", "right")])
    assert eyes.mentioned("Wo ist das linke Auge?") == [("left eye",)]
    assert eyes.mentioned("Show me both eyes.") == [("left eye", "right eye")]


def test_a_synonym_of_something_taught_is_a_problem_and_its_own_name_is_not():
    glossary, taught = ontology.glossary(), ["spinal cord"]
    (problem,) = clashes(Path("names.json"), [OwnName(1, "medulla spinalis")], glossary, taught)
    assert "is a name of the spinal cord" in str(problem)
    assert 'call it "spinal cord"' in str(problem)
    assert clashes(Path("names.json"), [OwnName(1, "spinal cord")], glossary, taught) == []


# -- files ----------------------------------------------------------------------------------------------------------


def test_files_without_a_partner_are_named(folder):
    (folder / "labels" / "mr_1.nii.gz").rename(folder / "labels" / "mr_9.nii.gz")
    (folder / "images" / "mr_2.nii.gz").rename(folder / "images" / "mr_2_0000.nii.gz")  # as nnU-Net names it
    found, problems = pairs(folder / "images", folder / "labels")
    assert sorted(found) == ["mr_0", "mr_2", "mr_3", "mr_4", "mr_5"]
    assert [(p.where.name, p.what) for p in problems] == [
        ("mr_1.nii.gz", "has no label map"), ("mr_9.nii.gz", "has no image")
    ]  # fmt: skip


def test_all_problems_are_told_at_once(folder):
    save(scan(0)[1][:-1], folder / "labels" / "mr_0.nii.gz")
    save(scan(1)[1], folder / "labels" / "mr_1.nii.gz", np.diag([3.0, 3.0, 3.0, 1.0]))
    save(scan(2)[1] * 4, folder / "labels" / "mr_2.nii.gz")
    (folder / "labels" / "mr_3.nii.gz").write_bytes(b"no scan")
    save(scan(4)[1] * 0, folder / "labels" / "mr_4.nii.gz")
    save(scan(5)[1] * 0.5, folder / "labels" / "mr_5.nii.gz")
    save(scan(5)[0], folder / "images" / "mr_6.nii.gz")
    save(scan(5)[1], folder / "labels" / "mr_6.nii.gz")
    cases, problems = read(folder)
    assert [case.name for case in cases] == ["mr_6"]
    assert problems == [
        "mr_0.nii.gz: has 23 x 26 x 20 voxels (RAS+ order), its image mr_0 has 24 x 26 x 20",
        "mr_1.nii.gz: lies up to 69.0 mm away from its image mr_1: their affines differ",
        "mr_2.nii.gz: holds 4 (336 voxels), which no name stands for",
        "mr_3.nii.gz: cannot be read",
        "mr_4.nii.gz: is empty: it holds none of the named values",
        "mr_5.nii.gz: holds 0.5",
        "mr_6.nii.gz: is the same scan as mr_5.nii.gz",
    ]


def test_an_empty_label_map_says_absent_only_where_all_are_complete(folder):
    save(scan(4)[1] * 0, folder / "labels" / "mr_4.nii.gz")
    cases, problems = read(folder, complete=True)
    assert problems == []
    assert [case.packed.names for case in cases] == [{1: "left block"}] * 6


def test_a_packed_case_keeps_image_and_labels_together(folder):
    """A scan with more voxels than training needs is made smaller: the block stays bright, and where it was."""
    labels = np.zeros((400, 20, 20), np.float32)
    labels[100:160, 5:15, 5:15] = 1
    image = 20 + 50 * labels
    image[:4] = 0  # air, or all but the block would be taken for it
    volume = Volume.from_array(image, np.eye(4), modality="MR")
    packed = own_data.pack("long", volume, labels, [BLOCK], complete=False)
    assert packed.labels.shape == (160, 8, 8)
    assert packed.spacing.tolist() == [2.5, 2.5, 2.5]
    inside = np.flatnonzero(packed.labels[:, 4, 4])
    assert 2.5 * len(inside) == 60
    assert (inside.mean() + 0.5) * 2.5 == pytest.approx(130, abs=1.3)  # the middle of voxels 100 to 159, by their edges
    assert float(packed.image[packed.labels == 1].min()) > 45  # 88 % of a voxel at a face is block


def case(name: str, patient: str) -> OwnCase:
    packed = PackedCase(name, "own", "MR", torch.zeros(1), torch.zeros(1), np.zeros(1), {}, np.ones(3))
    return OwnCase(name, patient, Path(name), Path(name), name, packed)


def test_a_patient_is_on_one_side_only_and_the_seed_decides():
    cases = [case(f"sub-{p}_ses-{s}", f"sub-{p}") for p in range(10) for s in (1, 2)]
    learned, held = split(cases, 0.2, seed=0)
    assert {c.patient for c in learned} & {c.patient for c in held} == set()
    assert (len(learned), len(held)) == (16, 4)
    assert [c.name for c in split(cases, 0.2, seed=0)[1]] == [c.name for c in held]
    assert any([c.name for c in split(cases, 0.2, seed=s)[1]] != [c.name for c in held] for s in (1, 2, 3))
    assert [c.name for c in split(cases, ["sub-3_ses-1"], seed=0)[1]] == ["sub-3_ses-1", "sub-3_ses-2"]


@pytest.mark.parametrize(
    ("count", "dev", "message"),
    [(4, 0.2, "4 labelled scans of 4 patients are too few"), (6, ["nobody"], "'nobody', which is no case"),
     (6, 2.0, "no share"), (6, [f"c{i}" for i in range(6)], "holds all patients out")],
)  # fmt: skip
def test_a_split_that_leaves_nothing_to_learn_or_measure_is_refused(count, dev, message):
    with pytest.raises(DataError, match=message):
        split([case(f"c{i}", f"c{i}") for i in range(count)], dev, 0)


# -- training -------------------------------------------------------------------------------------------------------


def taught_start() -> Segmenter:
    """A tiny segmenter that was taught two structures that exclude each other and a whole."""
    segmenter = tiny_segmenter()
    codes = torch.randn(3, segmenter.config.state_dim, generator=torch.Generator().manual_seed(4))
    segmenter.fit_taught((("left ear", "right ear"),), ("head",), codes)
    return segmenter


def test_a_new_name_joins_in_a_group_of_its_own_and_the_old_codes_stay():
    start = taught_start()
    codes = torch.randn(2, start.config.state_dim)
    segmenter = own_training.extended(start, ["left block", "head"], codes)
    assert segmenter.config.exclusive == (("left ear", "right ear"), ("left block",))
    assert segmenter.config.taught_names == ("left ear", "right ear", "left block", "head")
    # "head" was taught before: it keeps its code
    assert torch.equal(segmenter.taught_codes[[0, 1, 3]], start.taught_codes)
    assert torch.equal(segmenter.taught_codes[2], codes[0])
    assert start.config.taught_names == ("left ear", "right ear", "head")


def test_a_view_depends_on_the_seed_and_its_number_alone(folder):
    packed = [c.packed for c in read(folder)[0]]
    for index in range(4):
        (one, kind), (two, same) = (own_training.view(packed, [], OwnConfig(), index, 48) for _ in range(2))
        assert kind == same
        assert torch.equal(one.coarse, two.coarse)
    assert {own_training.view(packed, [], OwnConfig(), i, 48)[1] for i in range(6)} == {True, False}


def test_a_disguised_case_shows_the_same_things_in_other_values(folder):
    packed = read(folder)[0][0].packed
    found = [own_training.disguised(packed, np.random.default_rng(seed)) for seed in range(20)]
    assert {c.modality for c in found} == {"CT", "MR", "PET"}
    assert all(c.image.shape == c.labels.shape for c in found)
    assert any(c.labels.shape != packed.labels.shape for c in found)
    whole = [c for c in found if c.modality == "CT" and c.image.shape == packed.image.shape]
    assert whole
    assert all(float(c.image.min()) == -1000 for c in whole)


def train(folder: Path, name: str, stop_at: int | None = None, rank: int = 0) -> tuple[bool, dict[str, torch.Tensor]]:
    start = taught_start()
    segmenter = own_training.extended(start, ["left block"], torch.ones(1, start.config.state_dim))
    checks = iter(range(100))
    config = OwnConfig(steps=3, save_every=1, encoder_rank=rank)
    done = own_training.train(
        start, segmenter, ["left block"], [c.packed for c in read(folder)[0]], [], config,
        folder / f"{name}.pt", stopped=lambda: next(checks) == stop_at, say=lambda line: None,
    )  # fmt: skip
    return done, segmenter.state_dict()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_stopped_run_goes_on_to_the_same_weights(folder, rank):
    """Also with LoRA on the encoder, which is in its weights afterwards: of these only kernels and maps changed."""
    done, whole = train(folder, "whole", rank=rank)
    assert done
    stopped, _ = train(folder, "stopped", stop_at=2, rank=rank)
    assert not stopped
    done, other = train(folder, "stopped", rank=rank)
    assert done
    start = taught_start().state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.items())
    assert {name for name in whole if "taught" not in name} == {name for name in start if "taught" not in name}
    changed = [name for name in start if "vision" in name and not torch.equal(whole[name], start[name])]
    assert "vision.attention.qkv.weight" in changed
    assert any("norm" in name for name in changed) == (rank == 0)


def test_keeping_costs_nothing_where_the_answers_are_the_start_models(folder):
    start = taught_start()
    sample, _ = own_training.view([c.packed for c in read(folder)[0]], [], OwnConfig(replay=0.0), 0, 48)
    with torch.no_grad():
        seen = own_training.look(start, sample, start.taught_codes)
        moved = replace(seen, logits=seen.logits + torch.tensor([2.0, 0.0, -2.0])[:, None, None, None])
        floor = torch.nn.functional.binary_cross_entropy(seen.presence.sigmoid(), seen.presence.sigmoid()) * 0.3
        same, other = (own_training.kept_loss(s, seen, [[0, 1]], [2], 0) for s in (seen, moved))
    assert float(same - floor) == pytest.approx(0, abs=1e-4)
    assert float(other) > float(same) + 0.05


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tiny_checkpoint: Path, tiny_base: Path, tmp_path: Path) -> Path:
    """The small model, which answers everything with the left block, taught something else so far."""
    model = DeixisModel.from_pretrained(tiny_checkpoint, tiny_base, trainable=True)
    generator = torch.Generator().manual_seed(0)
    model.segmenter.fit_states(torch.randn(70, model.segmenter.config.lm_dim, generator=generator))
    code = torch.randn(1, model.segmenter.config.state_dim, generator=generator)
    model.segmenter.fit_taught((("ear",),), (), code)
    model.config = replace(model.config, segmenter=model.segmenter.config)
    model.glossary = Glossary({"ear": ("ear",)}, {}, {"left": "left"})
    model.save_pretrained(tmp_path / "start", seeds={"teach": 0})
    return tmp_path / "start"


def arguments(folder: Path, start: Path, base: Path, *more: str) -> list[str]:
    return [
        "--images", str(folder / "images"), "--labels", str(folder / "labels"), "--names", str(folder / "names.json"),
        "--out", str(folder / "my-model"), "--model", str(start), "--base", str(base), "--steps", "2", *more,
    ]  # fmt: skip


def test_a_name_that_reads_like_another_gets_a_code_of_its_own(start, tiny_base):
    model = DeixisModel.from_pretrained(start, tiny_base)
    code = own.new_codes(model, ["block"])[0]
    model.segmenter.fit_taught((("ear",),), (), code)
    codes, notes = own.new_codes(model, ["block", "ear"])
    assert "'block' almost like 'ear' (1.00)" in notes[0]
    like = torch.nn.functional.cosine_similarity(codes[0], code[0], dim=0)
    assert abs(float(like)) < 0.01


def test_one_command_from_labelled_scans_to_an_answer(folder, start, tiny_base, monkeypatch, capsys):
    monkeypatch.setattr(own, "example_scan", lambda: folder / "images" / "mr_0.nii.gz")
    assert command.main(arguments(folder, start, tiny_base)) == 0
    text = capsys.readouterr().out
    assert "5 scans to learn from, 1 held out: " in text
    assert "step 2 of 2" in text
    assert "left block: Dice 0.00 before" in text
    assert "Where is the left block, and how large is it?" in text
    model = DeixisModel.from_pretrained(folder / "my-model", tiny_base)
    assert model.segmenter.config.taught_names == ("ear", "left block")
    assert model.manifest.seeds == {"teach": 0, "own": 0}
    assert "left block" in (folder / "my-model" / "README.md").read_text()
    session = Session.open(folder / "images" / "mr_1.nii.gz", model=model)
    (finding,) = session.ask("Segment the Klotz.").findings
    assert finding.phrase == "left block"
    assert finding.taught
    assert finding.mask is None or finding.mask.shape == (24, 26, 20)
    # the same again has nothing left to do; other settings are another run
    assert command.main(arguments(folder, start, tiny_base)) == 0
    assert "is finished" in capsys.readouterr().out
    assert command.main(arguments(folder, start, tiny_base, "--seed", "1")) == 2
    assert "was begun with other settings" in capsys.readouterr().err


def test_problems_come_before_anything_is_written(folder, start, tiny_base, capsys):
    (folder / "labels" / "mr_1.nii.gz").unlink()
    save(scan(2)[1] * 4, folder / "labels" / "mr_2.nii.gz")
    assert own.main(arguments(folder, start, tiny_base)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert lines[-1] == "deixis train: 2 problem(s) to put right first, listed above: nothing was trained"
    assert not (folder / "my-model").exists()


def test_ctrl_c_is_noted_once_and_interrupts_the_second_time():
    import os
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    with own.stop_on_interrupt() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_folder_of_something_else_is_not_written_into(folder, start, tiny_base, capsys):
    (folder / "my-model").mkdir()
    (folder / "my-model" / "thesis.txt").write_text("mine")
    assert own.main(arguments(folder, start, tiny_base)) == 2
    assert "is not empty and not a run of this command" in capsys.readouterr().err
