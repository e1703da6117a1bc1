"""`deixis data verify | build | inspect`, the Arrow that a build writes, and the guard against leaks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from assistant.volume import Volume
from data_recipes import arrow, command, leakage, overlay, registry
from data_recipes.arrow import Settings
from data_recipes.leakage import LeakError, Scan
from data_recipes.schema import SPLITS, Damaged, RecipeError, load_record, mask_of
from data_recipes.units import Source
from data_recipes.verify import verify
from tests import public_sets
from tests.test_recipes import patient

README = Path(registry.__file__).with_name("README.md")


def sources(root, *names):
    """Tiny downloads, made where they are not there yet."""
    makers = {**public_sets.MASKS, **public_sets.WORDS}
    for name in names:
        if not (root / name).exists():
            makers[name](root / name)
    return [Source(name, root / name) for name in names]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_readmes_table_is_made_of_the_recipes_own_facts():
    text = README.read_text(encoding="utf-8")
    assert registry.table() in text, "write registry.table() into data_recipes/README.md"


def test_a_build_is_streamed_by_datasets(tmp_path):
    from datasets import load_dataset

    given = sources(tmp_path, "amos", "slake")
    built = arrow.build(given, tmp_path / "built", Settings(per_case=3))
    assert (built.records, built.left_out, built.duplicates) == (3 * 3 + 2, (), ())
    records = records_of(built, tmp_path / "built")
    assert {r.split for r in records if r.dataset == "slake"} == {"train", "dev"}
    files = {"train": str(tmp_path / "built" / "train-*.arrow")}
    streamed = load_dataset("arrow", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path / "cache"))
    assert [arrow.record_of(row) for row in streamed] == [r for r in records if r.split == "train"]
    assert arrow.roots(tmp_path / "built") == {"amos": tmp_path / "amos", "slake": tmp_path / "slake"}


def test_conversations_of_a_build_speak_only_of_what_was_looked_for(tmp_path):
    """AMOS outlines no prostate as such and no ribs: nothing is said of them, and no word stands for them."""
    given = sources(tmp_path, "amos")
    arrow.build(given, tmp_path / "built", Settings(per_case=60))
    (first, *_), labels = list(arrow.read(tmp_path / "built", "train")), registry.MASKS["amos"].LABELS
    assert first.masks == {}
    assert (tmp_path / "amos" / first.label).is_file()
    known = set(labels.values())
    for record in arrow.read(tmp_path / "built", "train"):
        if record.kind.startswith("never taught"):  # a word that nobody outlines: nothing is said of its presence
            continue
        for target in record.targets:
            if re.match(r"m\d", target.phrase):  # an earlier mask again, or masks added up
                continue
            assert target.phrase in known
            assert target.present == (target.phrase in ("spleen", "liver"))
            assert all(record.values[v] == target.phrase for v in target.labels)


def test_a_build_that_was_killed_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    given = sources(tmp_path, "kits23", "msd", "vqa_rad")
    settings = Settings(per_case=2, per_shard=2)
    arrow.build(given, tmp_path / "whole", settings)

    class Killed(BaseException):
        pass

    read, count = arrow.Unit.read, 0

    def reading(unit, per_case, seed):
        nonlocal count
        count += 1
        if count == 4:
            raise Killed
        return read(unit, per_case, seed)

    monkeypatch.setattr(arrow.Unit, "read", reading)
    with pytest.raises(Killed):
        arrow.build(given, tmp_path / "resumed", settings)
    left = contents(tmp_path / "resumed")
    assert any(name.endswith(".part") for name in left)
    said: list[str] = []
    arrow.build(given, tmp_path / "resumed", settings, said.append)
    assert said[0] == f"2 of {len(arrow_units(given))} there already"
    assert count == 4 + len(arrow_units(given)) - 2  # what was whole is not read again
    resumed, whole = contents(tmp_path / "resumed"), contents(tmp_path / "whole")
    assert {n: b for n, b in resumed.items() if not n.endswith(".part")} == whole
    assert arrow.build(given, tmp_path / "resumed", settings) == arrow.build(given, tmp_path / "whole", settings)


def records_of(built, folder):
    records = [r for split in SPLITS for r in arrow.read(folder, split)]
    assert len(records) == built.records
    return records


def arrow_units(given):
    return [unit for split in SPLITS for unit in arrow.units(given, split)]


def test_two_scans_of_a_patient_are_talked_of_together(tmp_path):
    """A list that says which case came before: both scans are shown, each mask on its own label map."""
    lines = []
    for number, size in ((1, 3), (2, 8)):
        folder = tmp_path / "train" / "clinic" / f"visit_{number}"
        folder.mkdir(parents=True)
        labels = np.zeros((16, 16, 16), np.uint8)
        labels[2 : 2 + size, 2:6, 2:6] = 1
        for name, values in (("image", labels * 40.0 + 10 + number), ("label", labels)):
            nib.save(nib.Nifti1Image(values, np.diag([5.0, 5.0, 5.0, 1.0])), folder / f"{name}.nii.gz")
        line = {"split": "train", "case": f"clinic/visit_{number}", "modality": "MR", "labels": {"1": "tumour"},
                "image": True, "label": True, "licence": "x", "source": "x", "patient": "p"}  # fmt: skip
        lines.append(line if number == 1 else {**line, "earlier": "clinic/visit_1"})
    (tmp_path / "index.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    built = arrow.build([Source("local", tmp_path)], tmp_path / "built", Settings(per_case=12))
    records = records_of(built, tmp_path / "built")
    pairs = [r for r in records if len(r.images) == 2]
    assert pairs
    assert {r.kind for r in pairs} == {"has it grown"}
    for record in pairs:
        reply = record.messages[-1].content
        assert reply.endswith("The tumour has grown by 10.0 mL: 16.0 mL now (m2), 6.0 mL before (m1).")
        assert [m.image for m in record.messages] == [True, False, True, False]
        for number, target in enumerate(record.targets):
            assert target.image == number
            volume, labels = load_record(tmp_path, record, target.image)
            assert labels is not None
            assert mask_of(labels, target.labels).sum() * volume.voxel_ml == pytest.approx((6.0, 16.0)[number])
    pointed = [r for r in records if r.pointer is not None]
    assert all(r.region == "tumour" for r in pointed)


def test_a_folder_of_another_build_is_left_alone(tmp_path):
    given = sources(tmp_path, "vqa_rad")
    arrow.build(given, tmp_path / "built", Settings())
    with pytest.raises(RecipeError, match="a build with other settings"):
        arrow.build(given, tmp_path / "built", Settings(seed=1))
    with pytest.raises(RecipeError, match=r"not empty and holds no build\.json"):
        arrow.build(given, tmp_path / "vqa_rad", Settings())
    with pytest.raises(RecipeError, match="give the folder of a build"):
        list(arrow.read(tmp_path, "train"))


def test_a_damaged_case_stops_a_build_unless_it_may_be_skipped(tmp_path):
    given = sources(tmp_path, "kits23")
    (tmp_path / "kits23" / "dataset" / "case_00001" / "segmentation.nii.gz").write_bytes(b"cut")
    with pytest.raises(Damaged, match=r"case_00001/segmentation\.nii\.gz cannot be read"):
        arrow.build(given, tmp_path / "a", Settings())
    built = arrow.build(given, tmp_path / "b", Settings(skip=True))
    assert built.records == 4
    assert len(built.left_out) == 1
    assert "case_00001" in built.left_out[0]


def test_progress_tells_rate_and_time_left():
    assert arrow.progress(30, 100, 20, 10.0) == "30 of 100 read, 2 a second, 35 s left"
    assert arrow.progress(10, 1000, 10, 5.0) == "10 of 1000 read, 2 a second, 8 min left"
    assert arrow.progress(5, 9, 0, 0.0) == "5 of 9 there already"


# ---- leaks


def scan(dataset, name, split, volume="", space=""):
    return Scan(dataset, space or dataset, name, name, split, volume)


def test_a_patient_in_two_splits_is_refused_by_name():
    shared = [
        scan("totalsegmentator", "s0011", "train"),
        scan("m3d_refseg", "s0011", "dev", space="totalsegmentator"),
    ]
    with pytest.raises(LeakError, match=r"patient s0011 of totalsegmentator .*m3d_refseg/s0011 \(dev\)"):
        leakage.check(shared)
    leakage.check([scan("amos", "p1", "train"), scan("btcv", "p1", "dev")])  # two people who are called p1


def test_the_same_voxels_in_two_splits_are_refused_whatever_the_file(tmp_path):
    """The other copy is uncompressed, of another type, stored in another order of axes, and has another name."""
    given = sources(tmp_path, "amos")
    where = {u.item.id: u for u in arrow_units(given)}
    train, dev = where["amos_0001"], next(u for u in where.values() if u.item.split == "dev")
    stored = nib.load(train.item.image)
    turned = nib.as_closest_canonical(stored)
    copy = nib.Nifti1Image(turned.get_fdata().astype(np.float32), turned.affine)
    nib.save(copy, tmp_path / "copy.nii")
    assert leakage.voxel_hash(Volume.open(tmp_path / "copy.nii", modality="CT").voxels) == leakage.voxel_hash(
        Volume.open(train.item.image, modality="CT").voxels
    )
    target = dev.item.image
    shutil.copy(train.item.image, target)
    named = rf"the volume [0-9a-f]{{12}} .*amos/amos_0001 \(train\).*{dev.item.id} \(dev\)"
    with pytest.raises(LeakError, match=named):
        arrow.build(given, tmp_path / "built", Settings(per_case=1, per_shard=1))
    assert any("is in both splits" in problem for problem in verify(given).problems)
    without = Settings(per_case=1, leave_out=("amos/amos_0001",))
    assert {r.id for r in records_of(arrow.build(given, tmp_path / "without", without), tmp_path / "without")} == {
        f"{u.name}/0" for u in where.values() if u.item.id != "amos_0001"
    }


def test_one_volume_in_two_sets_of_one_split_is_said_and_no_leak():
    found = leakage.duplicates([scan("btcv", "a", "train", "h"), scan("abdomenatlas", "b", "train", "h")])
    assert found == ["btcv/a (train) and abdomenatlas/b (train) are one volume"]
    assert leakage.leaks([scan("brats", "t1", "train", "h"), scan("brats", "t2", "train", "h")]) == []


# ---- the command


def test_verify_names_each_problem_by_its_file(tmp_path, capsys):
    sources(tmp_path, "amos", "slake")
    assert command.main(["verify", f"amos={tmp_path / 'amos'}", f"slake={tmp_path / 'slake'}"]) == 0
    out = capsys.readouterr().out
    assert "note: amos: the label value 15 is in 3 cases and has no name in the recipe" in out
    assert "amos train: 2 read; amos dev: 1 read; slake train: 1 read; slake dev: 1 read" in out
    folder = tmp_path / "amos" / "amos22"
    (folder / "labelsTr" / "amos_0001.nii.gz").unlink()
    public_sets.label(folder / "labelsVa" / "amos_0008.nii.gz", 1, shape=(2, 2, 2))
    (tmp_path / "slake" / "Slake1.0" / "imgs" / "xmlab3" / "source.jpg").write_bytes(b"")
    assert command.main(["verify", f"amos={tmp_path / 'amos'}", f"slake={tmp_path / 'slake'}"]) == 2
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 3
    for file, fix in (
        ("labelsTr/amos_0001.nii.gz", "unpack"), ("labelsVa/amos_0008.nii.gz", "resample"),
        ("xmlab3/source.jpg", "download"),
    ):  # fmt: skip
        assert any(file in line and fix in line for line in problems)


def test_one_damaged_case_does_not_hide_the_next(tmp_path):
    """A CSV that is no table is a problem of its patient; the other patient is read, built and drawn all the same."""
    for name in ("pt_1", "pt_2"):
        patient(tmp_path / "provided-data" / "train-pats" / name)
    patient(tmp_path / "provided-data" / "validation-pats" / "pt_201")
    (tmp_path / "provided-data" / "train-pats" / "pt_1" / "Brainstem.csv").write_text("no table")
    given = [Source("openkbp", tmp_path)]
    verdict = verify(given)
    assert "pt_1/Brainstem.csv does not start with the header" in verdict.problems[0]
    assert verdict.read["openkbp train"] == 2
    built = arrow.build(given, tmp_path / "built", Settings(per_case=1, skip=True, leave_out=("openkbp/pt_201",)))
    (record,) = records_of(built, tmp_path / "built")
    assert record.id == "openkbp/pt_2/0"
    assert len(built.left_out) == 1
    assert overlay.of_record(tmp_path, record).height == overlay.HEIGHT


def test_build_and_inspect_at_the_command_line(tmp_path, capsys):
    sources(tmp_path, "kits23", "vqa_rad")
    given = [f"kits23={tmp_path / 'kits23'}", f"vqa_rad={tmp_path / 'vqa_rad'}"]
    assert command.main(["build", *given, "--out", str(tmp_path / "built"), "--per-case", "2"]) == 0
    said = capsys.readouterr()
    assert said.out == f"5 records in {tmp_path / 'built'}\n"
    assert "kits23: commercial use: no (CC BY-NC-SA 4.0)" in said.err
    assert "vqa_rad" not in said.err.split("read")[0]
    pictures = tmp_path / "pictures"
    assert command.main(["inspect", str(tmp_path / "built"), "-n", "5", "--out", str(pictures)]) == 0
    text = capsys.readouterr().out
    assert text.count("# ") == 5
    assert "user: Is the liver enlarged?" in text
    assert "       4   80.0%  kits23" in text
    assert "       1   20.0%  VQA-RAD: CC0 1.0" in text
    assert sorted(p.name for p in pictures.iterdir()) == [f"00{n}.png" for n in range(5)]
    assert command.main(["inspect", *given, "-n", "1"]) == 0
    assert "       2   66.7%  kits23" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["chaos", "abdomenatlas", "msd", "m3d_refseg", "medmnist3d"])
def test_a_builds_records_are_read_back_with_their_masks(name, tmp_path):
    """Slices with pictures, a file a structure, a channel of a 4D image, an archive of arrays: what was measured when
    the conversation was made is what its label values give."""
    arrow.build(sources(tmp_path, name), tmp_path / "built", Settings(per_case=3))
    for record in [r for split in SPLITS for r in arrow.read(tmp_path / "built", split)]:
        volume, labels = load_record(tmp_path / name, record)
        assert leakage.voxel_hash(volume.voxels) == record.volume
        for target in record.targets:
            if target.present and target.labels:
                assert mask_of(labels, target.labels).any()
        assert overlay.of_record(tmp_path / name, record).height == overlay.HEIGHT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "amos"], "'amos' is not NAME=FOLDER"),
        (["verify", "mri=/x"], "'mri=/x' is not NAME=FOLDER with one of these names: freesurfer, openkbp"),
        (["inspect", "nowhere"], "holds no build.json"),
        (["build", "amos=/nowhere", "--out", "x"], "/nowhere has no imagesTr"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert said in error[0]


def test_a_picture_shows_the_mask_on_its_own_side():
    """Display is radiological: the patient's right, at high x, is at the left of the axial plane."""
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[0, 0, 0] = 1.0
    mask = np.zeros((8, 8, 8), bool)
    mask[6:, 6:, 3:5] = True  # right, front
    volume = Volume.from_array(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), modality="MR")
    shown = np.asarray(overlay.picture(volume, [mask]))
    axial = shown[:, : overlay.HEIGHT].astype(int)
    coloured = np.argwhere(axial[..., 0] > axial[..., 2] + 40)
    assert coloured[:, 0].max() < overlay.HEIGHT / 2  # the front is up
    assert coloured[:, 1].max() < overlay.HEIGHT / 2
    assert Image.fromarray(shown.astype(np.uint8)).size == (3 * overlay.HEIGHT + 8, overlay.HEIGHT)
