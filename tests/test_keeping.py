"""A session on disk: what comes back is what was saved, and what cannot be trusted is refused in one sentence."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest

from assistant import Session
from assistant.errors import QuestionError, ScanError
from assistant.keeping import MaskFolder, recall
from tests.conftest import STORED_AFFINE
from tests.test_session import CLICK

CORNER = (*(STORED_AFFINE[:3, :3] @ [1, 2, 1] + STORED_AFFINE[:3, 3]).tolist(), 0)  # not part of it: a mask of its own


@pytest.fixture
def session(tiny_scan, tiny_model) -> Session:
    session = Session.open(tiny_scan, model=tiny_model)
    session.ask("Show me the left block.")
    session.ask("What is this?", points=[CLICK, CORNER], seed=3)
    return session


def said(session: Session) -> list[object]:
    return [(t.question, t.reply.text, t.reply.corrections, dict(t.reply.timings)) for t in session.turns]


def test_a_restored_session_is_the_saved_one(session, tiny_model, tmp_path):
    session.save(tmp_path / "kept")
    again = Session.restore(tmp_path / "kept", model=tiny_model)
    assert said(again) == said(session)
    assert again.chat.messages == session.chat.messages
    for ours, theirs in zip(again.findings, session.findings, strict=True):
        assert (ours.id, ours.phrase, ours.volume_ml, ours.centroid_mm) == (
            theirs.id, theirs.phrase, theirs.volume_ml, theirs.centroid_mm,
        )  # fmt: skip
        assert np.array_equal(ours.mask, theirs.mask)
        assert not ours.mask.flags.writeable
    for ours, theirs in zip(again.turns, session.turns, strict=True):
        assert np.array_equal(ours.reply.findings[0].mask, theirs.reply.findings[0].mask)


def test_it_goes_on_and_takes_back_as_if_nothing_had_happened(session, tiny_model, tmp_path):
    session.save(tmp_path / "kept")
    again = Session.restore(tmp_path / "kept", model=tiny_model)
    ours, theirs = again.ask("And now?"), session.ask("And now?")  # "now" recalls m1: by its note
    assert (ours.text, ours.findings[0].id) == (theirs.text, theirs.findings[0].id)
    for one in (again, session):
        one.undo()
        one.undo()
        assert [finding.id for finding in one.findings] == ["m1"]
    ours, theirs = (one.ask("What is this?", points=[CLICK, CORNER]) for one in (again, session))
    assert (ours.text, ours.findings[0].id) == (theirs.text, "m2")
    assert np.array_equal(ours.findings[0].mask, theirs.findings[0].mask)


def test_saving_again_writes_what_is_new_and_drops_what_was_taken_back(session, tmp_path):
    session.save(tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "masks").iterdir()}
    assert len(before) == 2
    session.undo()
    session.save(tmp_path)
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "masks").iterdir()}
    assert len(after) == 1
    assert after.items() <= before.items()


def test_a_save_that_is_cut_off_leaves_the_last_one_whole(session, tiny_model, tmp_path, monkeypatch):
    session.save(tmp_path)
    session.ask("And now?")

    def killed(path, value):
        raise KeyboardInterrupt

    monkeypatch.setattr("assistant.keeping.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        session.save(tmp_path)
    assert len(Session.restore(tmp_path, model=tiny_model).turns) == 2


def test_how_the_scan_was_read_is_kept(tiny_scan, tiny_model, tmp_path):
    image = nibabel.load(tiny_scan)
    voxels = np.stack([np.asarray(image.dataobj), np.asarray(image.dataobj) * 2], axis=-1)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), tmp_path / "frames.nii.gz")
    session = Session.open(tmp_path / "frames.nii.gz", frame=1, modality="MR", model=tiny_model)
    session.save(tmp_path / "kept")
    again = Session.restore(tmp_path / "kept", model=tiny_model)
    assert again.reading == {"series": None, "frame": 1, "modality": "MR"}
    assert np.array_equal(again.volume.voxels, session.volume.voxels)


def test_a_scan_inside_the_folder_moves_with_it(tiny_scan, tiny_model, tmp_path):
    (tmp_path / "one").mkdir()
    scan = shutil.copy(tiny_scan, tmp_path / "one" / "scan_t1.nii.gz")
    Session.open(scan, model=tiny_model).save(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert Session.restore(tmp_path / "two", model=tiny_model).turns == []


def test_a_scan_that_is_gone_or_changed_is_refused(session, tiny_scan, tiny_model, tmp_path):
    session.save(tmp_path / "kept")
    moved = shutil.move(tiny_scan, tmp_path / "moved_t1.nii.gz")
    with pytest.raises(ScanError, match=r"tiny_t1.nii.gz, is gone: put it back"):
        Session.restore(tmp_path / "kept", model=tiny_model)
    assert len(Session.restore(tmp_path / "kept", scan=moved, model=tiny_model).turns) == 2
    image = nibabel.load(moved)
    voxels = np.array(image.dataobj)
    voxels[0, 0, 0] += 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), tiny_scan)
    with pytest.raises(ScanError, match="is not the scan of this session any more"):
        Session.restore(tmp_path / "kept", model=tiny_model)
    with pytest.raises(ScanError, match=r"is about tiny_t1: open that scan"):
        recall(Session.open(tiny_scan, model=tiny_model), tmp_path / "kept")


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', '{"format": "deixis-session-1"}'])
def test_a_damaged_folder_is_one_sentence(session, tiny_model, tmp_path, damage):
    with pytest.raises(ScanError, match="holds no saved session"):
        Session.restore(tmp_path / "nowhere", model=tiny_model)
    path = session.save(tmp_path)
    path.write_text(damage)
    with pytest.raises(ScanError, match=r"is damaged|is of the format 1") as error:
        Session.restore(tmp_path, model=tiny_model)
    assert "\n" not in str(error.value)


def test_a_damaged_or_missing_mask_is_said_and_nothing_outside_is_read(session, tiny_scan, tiny_model, tmp_path):
    path = session.save(tmp_path)
    mask = next((tmp_path / "masks").iterdir())
    whole = mask.read_bytes()
    for bad in (b"", whole[: len(whole) // 2]):
        mask.write_bytes(bad)
        with pytest.raises(ScanError, match="is damaged"):
            Session.restore(tmp_path, model=tiny_model)
    mask.write_bytes(whole)
    value = json.loads(path.read_text())
    value["found"][0]["mask"] = f"../../{tmp_path.name}/masks/{mask.stem}"
    path.write_text(json.dumps(value))
    with pytest.raises(ScanError, match="no mask's name"):
        Session.restore(tmp_path, model=tiny_model)
    session = Session.open(tiny_scan, model=tiny_model)
    with pytest.raises(ScanError, match="no mask's name"):
        recall(session, tmp_path)
    assert session.turns == []
    assert session.ask("Show me the left block.").findings[0].id == "m1"


def test_what_was_never_a_file_cannot_be_saved(tiny_volume, tiny_model, tmp_path):
    from assistant.volume import Volume

    array = Volume.from_array(tiny_volume.voxels, tiny_volume.affine, "MR")
    with pytest.raises(ScanError, match="was never a file"):
        Session.open(array, model=tiny_model).save(tmp_path / "kept")
    assert not (tmp_path / "kept" / "session.json").exists()


def test_nothing_is_saved_in_mid_answer(session, tmp_path):
    stream = session.stream("And now?")
    next(stream)
    with pytest.raises(QuestionError, match="still being answered"):
        session.save(tmp_path)
    stream.close()


def test_masks_of_any_shape_come_back(tmp_path):
    folder = MaskFolder(tmp_path)
    mask = np.random.default_rng(0).random((3, 5, 7)) > 0.5
    assert np.array_equal(folder.get(folder.put(mask)), mask)
    assert folder.put(np.asfortranarray(mask)) == folder.put(mask)
    assert folder.put(None) is None
