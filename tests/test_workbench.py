"""Operations and clicks as turns of a session: masks with ids, measured, said by the program, taken back and brought
again. With a real small model; see tests/small_model.py."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from assistant import Session, conversation, operations, workbench
from assistant.errors import QuestionError
from assistant.evidence import format_ml, format_mm, measure, unsupported_numbers
from assistant.generate import Done, Grounded
from tests.test_session import CLICK, STORED_SHAPE

OTHER = (9.0, 7.0, 4.0)  # outside the box that m2 was kept in


@pytest.fixture
def session(two_masks) -> Session:
    return two_masks


def texts(session: Session) -> list[tuple[str, str]]:
    return [(turn.question.text, turn.reply.text) for turn in session.turns]


def masks(session: Session) -> dict[str, np.ndarray]:
    return {finding.id: np.array(finding.mask) for finding in session.findings}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[key], other[key]) for key in one)


def test_an_operation_is_done_on_the_masks_measured_and_said(session):
    reply = session.ask("Shrink m2 by 4 mm.")
    (finding,) = reply.findings
    ras = session.volume.from_native(finding.mask)
    before = session.volume.from_native(session.native_mask("m2"))
    np.testing.assert_array_equal(ras, operations.shrink(before, session.volume.affine, 4.0))
    assert finding.mask.shape == STORED_SHAPE
    assert (finding.id, finding.phrase, finding.made) == ("m3", "left block shrunk by 4 mm", "m2 shrunk by 4 mm")
    m = measure(session.volume, ras)
    assert (finding.volume_ml, finding.longest_diameter_mm) == (m.volume_ml, m.longest_diameter_mm)
    assert reply.text.startswith("left block shrunk by 4 mm (m3)\nThe left block shrunk by 4 mm (m3) is ")
    assert f"is {format_ml(m.volume_ml)} mL and " in reply.text
    assert "less than m2" in reply.text
    content = session.chat.messages[-1].content
    assert conversation.phrases(content) == ["left block shrunk by 4 mm"]
    again = session.ask("m1 - m2").findings[0]
    np.testing.assert_array_equal(again.mask, session.native_mask("m1") & ~session.native_mask("m2"))
    assert (again.id, again.made, again.phrase) == ("m4", "m1 - m2", "left block - left block")
    nested = session.ask("Smooth it").findings[0]
    assert (nested.made, nested.phrase) == ("m4 smoothed by 1.5 mm", "m4 smoothed by 1.5 mm")


def test_the_numbers_of_the_sentence_are_those_of_the_notes_and_differences_of_them(session):
    reply = session.ask("Shrink m2 by 4 mm.")
    notes = conversation.notes(session.chat.messages[-1].content)
    difference = reply.text.split("That is ")[1].split(" less")[0]
    assert unsupported_numbers(reply.text.replace(difference, ""), notes) == []


def test_places_pieces_and_the_scan_are_told_by_the_program(session, monkeypatch):
    """In the patient's directions and the scan's own numbers; the language model is not asked."""
    monkeypatch.setattr(session.chat, "_answer", lambda *_: pytest.fail("the language model was asked"))
    affine = session.volume.affine
    ras = {name: session.volume.from_native(session.native_mask(name)) for name in ("m1", "m2")}
    y = {name: float(affine[1, :3] @ np.argwhere(mask).mean(0)) for name, mask in ras.items()}
    back, front = sorted(y, key=lambda name: y[name])
    pieces = ndimage.label(ras["m2"], np.ones((3, 3, 3)))[1]
    for question, told in (
        ("Which is further back, m1 or m2?",
         f"({back}): its centre is {format_mm(y[front] - y[back])} mm behind that of the left block ({front})."),
        ("Where is m2 relative to m1?", f"{format_mm(abs(y['m2'] - y['m1']))} mm"),
        ("Is m2 inside m1?", "Yes. Of the left block (m2), 100 % lies in the left block (m1)."),
        ("How many slices contain m2?", "The left block (m2) is in "),
        ("Is m2 wider than 100 cm?", "No. The left block (m2) is "),
        ("Is m2 in one piece?", "one connected piece" if pieces == 1 else f"{pieces} separate pieces"),
        ("Is m2 on the left or the right?", "The centre of m2 is at x "),
        ("What is next to m2?", "not of any other mask"),  # the model knows of no structures
        ("What is the voxel size?", " x ".join(format_mm(mm) for mm in session.volume.spacing)),
        ("How far is m2 from the skin?", "no second structure to measure the left block (m2) against"),
    ):  # fmt: skip
        assert told in session.ask(question).text, question
    assert set(masks(session)) == {"m1", "m2"}
    session.undo()
    assert session.turns[-1].question.text == "What is the voxel size?"


@pytest.mark.parametrize(
    ("question", "there", "said"),
    [
        ("Is m1 in m2?", "m1", "No. The brain was not found. What this scan shows, the left block (m1), lies "
         "elsewhere."),
        ("Is m1 in m2?", "m2", "No. The brain was not found."),
    ],
)
def test_nothing_lies_in_what_is_not_there(session, monkeypatch, question, there, said):
    """One of the two is taken away: what the scan does show is not said to lie in what it does not."""
    looked_at = workbench._looked_at

    def without(*arguments):
        found, notes = yield from looked_at(*arguments)
        for n, name in enumerate(("m1", "m2")):
            if name != there:
                found[name] = dataclasses.replace(found[name], phrase="brain", present=False, mask=None)
                notes[n] = dataclasses.replace(notes[n], phrase="brain", measurement=None)
        return found, notes

    monkeypatch.setattr(workbench, "_looked_at", without)
    assert said in session.ask(question).text


def test_the_conversation_goes_on_after_an_operation(session):
    """The cache, the ids and the language model's turn are as after any reply; "it" is the mask that was made."""
    session.ask("Shrink m2 by 4 mm.")
    reply = session.ask("How large is it?")
    assert [finding.id for finding in reply.findings] == ["m3"]
    assert "The left block shrunk by 4 mm (m3) is " in reply.text
    rendered = session.chat._render(reply_next=False).ids
    assert session.chat.tokens.ids == rendered[: len(session.chat.tokens.ids)]
    assert session.ask("And now?").text


def test_follow_ups_are_measured_and_the_language_model_is_not_asked(session):
    read = list(session.chat.tokens.ids)
    reply = session.ask("volume?")  # of the mask last spoken of
    one, two = session.findings
    assert [finding.id for finding in reply.findings] == ["m2"]
    assert reply.text.startswith(f"left block (m2)\nThe left block (m2) is {format_ml(two.volume_ml)} mL.")
    reply = session.ask("and of m1 in mm3?")
    assert f"The left block (m1) is {1000 * one.volume_ml:.0f} mm³." in reply.text
    reply = session.ask("Is it smaller than m2?")
    assert "\nNo. The left block (m1) is larger than the left block (m2) by " in reply.text
    together = session.ask("both of them together?").findings[-1]
    assert (together.id, together.made) == ("m3", "m1 + m2")
    np.testing.assert_array_equal(together.mask, session.native_mask("m1") | session.native_mask("m2"))
    assert session.ask("m1 and m2 together?").findings[-1].id == "m3"  # not once more
    reply = session.ask("what did you find so far?")
    assert [finding.id for finding in reply.findings] == ["m1", "m2", "m3"]
    assert "3 masks so far:\n- m1 left block: " in reply.text
    assert session.chat.tokens.ids == read
    for _ in range(6):
        session.undo()
    assert [finding.id for finding in session.findings] == ["m1", "m2"]


def test_words_do_not_undo_and_an_unknown_mask_has_no_volume(session):
    for question, words in (("undo that", "taken back with Undo"), ("volume of m7?", "there is no mask 'm7'")):
        with pytest.raises(QuestionError, match=words):
            session.ask(question)
    assert len(session.turns) == 3


def test_what_leaves_nothing_or_finds_nothing_makes_no_mask(session):
    reply = session.ask("Shrink m2 by 150 mm.")
    assert reply.findings == ()
    assert "is empty, so no mask was made" in reply.text
    assert [finding.id for finding in session.findings] == ["m1", "m2"]
    with pytest.raises(QuestionError, match="there is no mask 'm8'"):
        session.ask("Grow m8 by 3 mm")
    assert len(session.turns) == 4


def test_the_selected_mask_is_it(session):
    reply = session.ask("Grow it by 3 mm", selected="m2")
    assert reply.findings[0].made == "m2 grown by 3 mm"
    assert session.turns[-1].question.selected == "m2"


def test_undo_and_redo_are_exact(session):
    start = (texts(session), masks(session))
    session.ask("m1 - m2")
    session.refine("m2", points=[(*CLICK, 1), (*OTHER, 1)])
    end = (texts(session), masks(session))
    assert session.undo().question.refines == "m2"
    assert session.undo().question.text == "m1 - m2"
    assert texts(session) == start[0]
    assert same(masks(session), start[1])
    assert session.redo().question.text == "m1 - m2"
    session.redo()
    assert texts(session) == end[0]
    assert same(masks(session), end[1])
    with pytest.raises(QuestionError, match="nothing to redo"):
        session.redo()
    assert session.ask("Fill the holes of m1").findings[0].id == "m4"


def test_another_way_has_its_own_masks_and_the_first_is_still_there(session):
    session.ask("Shrink m2 by 4 mm.")
    first = (session.step, texts(session), masks(session))
    session.rewind(3)
    session.ask("Grow m2 by 4 mm.")
    second = (session.step, texts(session), masks(session))
    assert list(first[2]) == list(second[2]) == ["m1", "m2", "m3"]
    assert not np.array_equal(first[2]["m3"], second[2]["m3"])
    assert session.ways(4) == [first[0], second[0]]
    for step, said, there in (first, second, first):
        session.way(step)
        assert session.step == step
        assert texts(session) == said
        assert same(masks(session), there)
        rendered = session.chat._render(reply_next=False).ids  # the cache is that way's, or a part of it
        assert session.chat.tokens.ids == rendered[: len(session.chat.tokens.ids)]
    with pytest.raises(QuestionError, match="4 questions to go back over, not 9"):
        session.rewind(9)


def test_an_answer_made_again_on_another_way_is_the_same(session):
    """Nothing of a way leaks into another: what is asked after going back is answered as if never asked otherwise."""
    session.undo()
    fresh = session.ask("And now?").text
    session.rewind(1)
    session.ask("Where is it?", points=[OTHER])
    session.rewind(1)
    session.ask("Where is it?", points=[CLICK])
    assert session.ask("And now?").text == fresh


def test_retry_asks_the_same_again_and_keeps_the_first_answer(session):
    session.undo()
    before = masks(session)
    step = session.step
    events = list(session.retry())
    assert isinstance(events[-1], Done)
    assert [turn.question.text for turn in session.turns] == ["Show me the left block.", "Where is it?"]
    assert (session.turns[-1].question.temperature, session.turns[-1].question.seed) == (0.7, 1)
    assert session.turns[-1].question.points == (CLICK,)
    assert session.ways(2) == [step, session.step]
    session.go(step)
    assert same(masks(session), before)
    assert session.turns[-1].question.temperature == 0


def test_clicks_refine_a_mask_under_its_id(session):
    """The words stay, the mask is drawn from them with all points so far, and the earlier version comes back."""
    before = masks(session)
    reply = session.refine("m2", points=[(*CLICK, 0)])
    (finding,) = reply.findings
    assert (finding.id, finding.phrase, finding.version) == ("m2", "left block", 3)
    assert finding.made == "refined with a box; refined with 1 point outside"
    assert f"With 1 point outside the left block (m2) is {format_ml(finding.volume_ml)} mL: " in reply.text
    assert [f.id for f in session.findings] == ["m1", "m2"]
    drawn = session.chat.targets.drawn("m2")
    assert drawn.prompt.labels.tolist() == [1, 0]  # the click that it was drawn with, and the new one
    assert not finding.mask[before["m2"] == 0].any()  # the box still holds
    index = np.rint(session.volume.to_index(np.array(CLICK))).astype(int)
    assert not session.volume.from_native(finding.mask)[tuple(index)]
    np.testing.assert_array_equal(finding.mask, session.native_mask("m2"))
    session.undo()
    assert same(masks(session), before)
    assert session.ask("Where is it?", points=[CLICK]).findings[0].id == "m3"


def test_a_point_outside_an_earlier_box_takes_the_box_back(session):
    finding = session.refine("m2", points=[(*OTHER, 1)]).findings[0]
    index = np.rint(session.volume.to_index(np.array(OTHER))).astype(int)
    assert session.volume.from_native(finding.mask)[tuple(index)]
    assert session.chat.targets.drawn("m2").boxes == ()


def test_a_box_keeps_what_lies_in_it(session):
    low, high = np.array([-12.0, -10.0, -6.0]), np.array([4.0, 3.0, 2.0])
    whole = session.volume.from_native(session.native_mask("m1"))
    finding = session.refine("m1", box=(*high, *low)).findings[0]
    centres = session.volume.to_world(np.argwhere(whole))
    inside = np.zeros_like(whole)
    inside[tuple(np.argwhere(whole)[((centres >= low) & (centres <= high)).all(1)].T)] = True
    np.testing.assert_array_equal(session.volume.from_native(finding.mask), inside)
    assert "With a box the left block (m1) is " in session.turns[-1].reply.text


def test_a_computed_mask_changes_around_the_click_alone(session):
    made = session.ask("Shrink m1 by 6 mm").findings[0]
    before = session.volume.from_native(made.mask)
    index = np.rint(session.volume.to_index(np.array(CLICK))).astype(int)
    assert before[tuple(index)]
    after = session.volume.from_native(session.refine("m3", points=[(*CLICK, 0)]).findings[0].mask)
    assert not after[tuple(index)]
    assert session.findings[2].made == "m1 shrunk by 6 mm; refined with 1 point outside"
    assert not (after & ~before).any()


def test_what_cannot_be_refined_is_said_and_changes_nothing(session):
    before = masks(session)
    for call, words in (
        (lambda: session.refine("m2"), "nothing to refine m2 with"),
        (lambda: session.refine("m9", points=[CLICK]), "there is no mask 'm9'"),
        (lambda: session.refine("m2", points=[(900, 0, 0)]), "outside the scan"),
    ):
        with pytest.raises(QuestionError, match=words):
            call()
    assert same(masks(session), before)
    assert len(session.turns) == 3


def test_the_manifest_says_how_a_mask_was_made(session, tmp_path):
    session.ask("Shrink m2 by 4 mm.")
    session.refine("m2", points=[(*OTHER, 1)])
    manifest = json.loads(session.export(tmp_path / "out").read_text())
    assert [(mask["id"], mask["made"], mask["version"]) for mask in manifest["masks"]] == [
        ("m1", None, 1), ("m2", "refined with a box; refined with 1 point inside", 3), ("m3", "m2 shrunk by 4 mm", 1),
    ]  # fmt: skip
    assert [turn["refines"] for turn in manifest["turns"]] == [None, None, "m2", None, "m2"]


def test_a_turn_broken_off_leaves_nothing_behind(session):
    before = (texts(session), masks(session), session.step)
    events = session.stream("m1 - m2")
    assert isinstance(next(events), Grounded)
    events.close()
    assert (texts(session), session.step) == (before[0], before[2])
    assert same(masks(session), before[1])
    kept = session.stream("m1 - m2")
    while not isinstance(next(kept), Done):
        pass
    kept.close()  # what was done is done
    assert len(session.turns) == 4
    assert session.undo().question.text == "m1 - m2"
