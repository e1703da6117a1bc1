"""Several readers at one desk: places in line, isolation, limits, and what is found again after a kill."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.desk import diary
from assistant.desk.room import Limits, Room, Shelf
from assistant.desk.seat import Seat
from assistant.desk.turn import Turn
from assistant.desk.turnstile import Left, Turnstile
from assistant.desk.uploads import gathered
from assistant.errors import ScanError
from assistant.keeping import MaskFolder
from tests.test_desk import save_phantom
from tests.test_registration import rigid


@pytest.fixture
def room(tiny_model: Any, tmp_path: Path) -> Room:
    return room_of(tiny_model, tmp_path / "kept")


def room_of(model: Any, root: Path, **limits: Any) -> Room:
    from assistant.session import Session

    return Room(lambda volume: Session.open(volume, model=model), Shelf(root), Limits(**limits))


def answered(seat: Seat, text: str) -> Turn:
    (*_, turn) = seat.ask(text)
    return turn


def test_the_line_is_first_come_first_served_and_each_knows_its_place() -> None:
    turnstile, told, order = Turnstile(), {1: [], 2: [], 3: []}, []
    inside, go_on = threading.Event(), threading.Event()

    def work(number: int) -> None:
        with turnstile.waiting(told[number].append):
            order.append(number)
            inside.set()
            go_on.wait(10)

    threads = []
    for number in told:
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        while turnstile.count < number:
            time.sleep(0.01)
        inside.wait(10)
    deadline = time.monotonic() + 10
    while told != {1: [0], 2: [1], 3: [2]}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == [1, 2, 3]
    assert (told[3][0], told[3][-1]) == (2, 0)
    assert turnstile.count == 0


def test_who_gives_up_leaves_the_line() -> None:
    turnstile = Turnstile()
    with turnstile, pytest.raises(Left), turnstile.waiting(given_up=lambda: True):
        raise AssertionError("it went in")
    assert turnstile.count == 0


def test_a_question_waits_for_another_reader_and_can_be_stopped_meanwhile(room: Room, tiny_scan: Path) -> None:
    one, other = room.sit(None, ""), room.sit(None, "")
    assert one.folder != other.folder
    for seat in (one, other):
        seat.open(tiny_scan)
    with room.turnstile:
        turns = other.ask("Show me the left block.")
        while next(turns).ahead != 1:
            pass
        other.stop()
        (*_, turn) = turns
    assert turn.footnote == ["stopped while it waited"]
    assert answered(other, "Show me the left block.").found


def test_two_readers_share_nothing(room: Room, tiny_scan: Path, tmp_path: Path) -> None:
    one, other = room.sit(None, ""), room.sit(None, "")
    one.open(tiny_scan)
    save_phantom(tmp_path / "head.nii.gz", np.eye(4), 0)
    other.open(tmp_path / "head.nii.gz")
    turn = answered(one, "Show me the left block.")
    assert turn.found
    assert (other.log, other.findings, list(other.overlay_files)) == ([], [], [])
    assert other.volume is not None
    assert other.volume.shape == (44, 52, 40)
    assert not {file.name for file in one.folder.rglob("*.nii*")} & {file.name for file in other.folder.rglob("*.nii*")}


def test_a_token_opens_one_seat_and_a_wrong_one_none(room: Room, tiny_scan: Path) -> None:
    seat = room.sit(None, "ada")
    assert room.sit(seat.folder.name, "ada") is seat
    others = [room.sit(seat.folder.name, "bob")]  # another reader's name
    for bad in ("", "0" * 32, "../" + seat.folder.name, seat.folder.name.upper() + "x", 7, ["a"], {"a": 1}):
        others.append(room.sit(bad, "ada"))
    assert len({one.folder for one in [seat, *others]}) == len(others) + 1


def test_a_seat_is_found_again_when_the_desk_was_killed(
    room: Room, tiny_model: Any, tiny_scan: Path, tmp_path: Path
) -> None:
    """Nothing is closed or told: a second desk on the same folder sees what was on disk."""
    seat = room.sit(None, "")
    seat.open(gathered([str(tiny_scan)], seat.folder, 2**20))
    tiny_scan.unlink()  # the browser's temporary file
    answered(seat, "Show me the left block.")
    assert seat.volume is not None
    seat.add_point(seat.volume.centre_mm, 1)
    answered(seat, "Where is it?")
    seat.toggle("m2")
    third = answered(seat, "And now?")
    again = room_of(tiny_model, tmp_path / "kept").sit(seat.folder.name, "")
    assert again.restore()
    assert not again.restore()  # it is there already
    assert [written(entry, tmp_path) for entry in again.log] == [written(entry, tmp_path) for entry in seat.log]
    assert again.overlay_files == seat.overlay_files
    assert (again.hidden, again.windows, again.scan_file) == ({"m2"}, seat.windows, seat.scan_file)
    assert again.undo() == "And now?"
    assert answered(again, "And now?").answer == third.answer
    assert [again.undo() for _ in range(3)] == ["And now?", "Where is it?", "Show me the left block."]
    assert again.overlay_files == {}


def test_a_question_under_way_when_the_desk_was_killed_is_told(
    room: Room, tiny_model: Any, tiny_scan: Path, tmp_path: Path
) -> None:
    seat = room.sit(None, "")
    seat.open(tiny_scan)
    with room.turnstile:
        turns = seat.ask("Show me the left block.")
        next(turns)
        again = room_of(tiny_model, tmp_path / "kept").sit(seat.folder.name, "")
        again.restore()
        seat.stop()
    (turn,) = again.log
    assert isinstance(turn, Turn)
    assert (turn.question, turn.done) == ("Show me the left block.", True)
    assert "stopped before this was answered" in turn.error
    list(turns)


def test_reports_and_comparisons_are_found_again(
    room: Room, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assistant.glossary import Glossary
    from assistant.prior import Comparison
    from assistant.report import Report

    monkeypatch.setattr(tiny_model, "glossary", Glossary({"left block": ("left block",)}, {}, {"left": "left"}))
    seat = room.sit(None, "")
    now, before = tmp_path / "now.nii.gz", tmp_path / "before.nii.gz"
    save_phantom(now, np.eye(4), 0)
    save_phantom(before, rigid((3, 0, 2), (4, -3, 2)), 1)
    seat.open(now)
    seat.ground_report("The left block is seen. It is well.")
    seat.open_prior(before)
    seat.compare("left block")
    again = room_of(tiny_model, tmp_path / "kept").sit(seat.folder.name, "")
    again.restore()
    for kind in (Report, Comparison):
        ours, theirs = (written(Turn("", result=one.last(kind)), tmp_path) for one in (again, seat))
        assert ours == theirs
    assert (again.prior_name, again.prior_overlays) == ("before.nii.gz", seat.prior_overlays)
    again.compare("left block")  # the earlier scan is opened and registered again
    assert again.last(Comparison).text == seat.last(Comparison).text
    assert again.export_report(tmp_path).is_file()


def written(entry: Any, folder: Path) -> Any:
    """An entry of a log as it is saved; findings have no equality."""
    return diary._entry_state(entry, MaskFolder(folder / "compared"))


def test_a_scan_that_changed_meanwhile_is_told(room: Room, tiny_model: Any, tiny_scan: Path, tmp_path: Path) -> None:
    seat = room.sit(None, "")
    seat.open(tiny_scan)
    save_phantom(tiny_scan, np.eye(4), 0)
    again = room_of(tiny_model, tmp_path / "kept").sit(seat.folder.name, "")
    with pytest.raises(ScanError, match="is not the scan of this session any more"):
        again.restore()
    assert again.volume is None
    again.open(tiny_scan)
    assert answered(again, "Show me the left block.").kept


def test_a_full_disk_loses_nothing_and_is_told(room: Room, tiny_scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seat = room.sit(None, "")
    seat.open(tiny_scan)

    def full(self: Path, *arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        turn = answered(seat, "Show me the left block.")
    assert turn.kept
    assert any("not saved" in line and "No space left" in line for line in turn.footnote)
    assert not seat.rest()  # what is not on disk stays in memory
    assert "left block" in answered(seat, "And now?").answer
    assert seat.rest()


def test_memory_is_given_back_by_who_asked_longest_ago(tiny_model: Any, tiny_scan: Path, tmp_path: Path) -> None:
    room = room_of(tiny_model, tmp_path / "kept", memory_bytes=1)
    one, other = room.sit(None, ""), room.sit(None, "")
    for seat in (one, other):
        seat.open(tiny_scan)
        answered(seat, "Show me the left block.")
    assert one._session is None
    assert other._session is not None
    turn = answered(one, "And now?")  # it goes on where it was
    assert turn.answer == answered(other, "And now?").answer
    assert "m1" in turn.answer


def test_an_answer_over_its_time_is_ended_with_a_sentence(tiny_model: Any, tiny_scan: Path, tmp_path: Path) -> None:
    seat = room_of(tiny_model, tmp_path / "kept", answer_seconds=0.0).sit(None, "")
    seat.open(tiny_scan)
    turn = answered(seat, "Show me the left block.")
    assert turn.footnote[0] == "ended after 0 s, the limit; ask for less at once"
    assert turn.done
    assert not turn.error


def test_pages_of_one_seat_leave_one_after_the_other(room: Room, tiny_scan: Path) -> None:
    seat = room.sit(None, "")
    seat.open(tiny_scan)
    answered(seat, "Show me the left block.")
    assert room.sit(seat.folder.name, "") is seat  # the page was loaded anew
    room.leave(seat)
    assert seat._session is not None
    room.leave(seat)
    assert seat._session is None
    assert diary.is_kept(seat.folder)
    empty = room.sit(None, "")
    empty.open(tiny_scan)  # looked at, and left without a question
    room.leave(empty)
    assert not empty.folder.exists()


def test_folders_go_by_age_and_by_size_but_never_under_a_reader(room: Room, tiny_scan: Path) -> None:
    seats = [room.sit(None, "") for _ in range(4)]
    for seat in seats:
        seat.open(tiny_scan)
        answered(seat, "Show me the left block.")
    for seat, days in zip(seats, (9, 9, 2, 1), strict=True):
        os.utime(seat.folder, (time.time() - days * 86400,) * 2)
    size = sum(file.stat().st_size for file in seats[2].folder.rglob("*") if file.is_file())
    used = {seats[0].folder}
    (room.shelf.root / "mine").mkdir()  # not a seat's: it stays
    for name, hours in (("old", 3), ("new", 1)):
        (room.shelf.incoming / name).mkdir(parents=True)
        os.utime(room.shelf.incoming / name, (time.time() - hours * 3600,) * 2)
    room.shelf.sweep(Limits(keep_seconds=7 * 86400), used.__contains__)
    assert [seat.folder.exists() for seat in seats] == [True, False, True, True]
    room.shelf.sweep(Limits(keep_bytes=2 * size + size // 2), used.__contains__)
    assert [seat.folder.exists() for seat in seats] == [True, False, False, True]
    assert (room.shelf.root / "mine").is_dir()
    assert [folder.name for folder in room.shelf.incoming.iterdir()] == ["new"]


def test_uploads_are_looked_at_before_they_are_kept(room: Room, tiny_scan: Path, tmp_path: Path) -> None:
    seat = room.sit(None, "")
    with pytest.raises(ScanError, match=r"tiny_t1.nii.gz: 0.0 MiB are over the limit of 0.0 MiB; crop"):
        gathered([str(tiny_scan)], seat.folder, 10)
    seat.open(gathered([str(tiny_scan)], seat.folder, 2**20))
    opened = seat.volume
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    with pytest.raises(ScanError, match=r"bad\.nii\.gz"):
        seat.open(gathered([str(bad)], seat.folder, 2**20))
    assert seat.volume is opened
    assert [file.name for file in (seat.folder / "upload").rglob("*.nii.gz")] == ["tiny_t1.nii.gz"]
    (tmp_path / "again").mkdir()
    second = shutil.copy(tiny_scan, tmp_path / "again")
    assert sorted(file.name for file in gathered([str(tiny_scan), second], seat.folder, 2**20).iterdir()) == [
        "1-tiny_t1.nii.gz", "tiny_t1.nii.gz",
    ]  # fmt: skip
