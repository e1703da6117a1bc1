"""Sentences against measurements: what is wrong is seen, what is right is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant import claims
from assistant.evidence import Measurement, Note, unsupported_numbers


def measured(volume_ml: float, mean: float = 112.0) -> Measurement:
    return Measurement(volume_ml, 38.1, mean, "", (0.0, 0.0, 0.0), None, 100, False)


LEFT = Note("m1", "left hippocampus", 0.98, 0.87, measured(2.9))
RIGHT = Note("m2", "right hippocampus", 0.98, 0.87, measured(3.1), ("m1", measured(2.9)))
LIVER = Note("", "liver", 0.03)
SPLEEN = Note("", "spleen", 0.02)
EQUAL = Note("m3", "left amygdala", 0.98, 0.87, measured(3.1))
ASKED = "Is the left hippocampus smaller than the right hippocampus?"


def flaw(sentence: str, *targets: Note, said: str = "") -> str | None:
    return claims.flaw(sentence, targets, [str(note) for note in targets], said)


@pytest.mark.parametrize(
    "sentence",
    [
        "Yes, the left hippocampus (2.9 mL) is smaller than the right (3.1 mL), by 0.2 mL.",
        "The left hippocampus is smaller, by 0.2 mL (6 %).",
        "The right one is not smaller than the left one.",
        "The left hippocampus measures 2.9 mL and the right 3.1 mL, together 6.0 mL.",
        "m1 is smaller than m2.",
        "It helps to form new memories.",
        "The left hippocampus is 38.1 mm long.",
        "There are two of them, in T1.",
    ],
)
def test_what_is_right_is_left_alone(sentence):
    assert flaw(sentence, LEFT, RIGHT, said=ASKED) is None


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("The left hippocampus is 2.8 mL.", "2.8 stands in no measurement"),
        ("The left hippocampus is 3.1 mL.", "3.1 is not a number of the left hippocampus"),
        ("The left hippocampus is 2.9 mL and the right one is 2.9 mL.", "not a number of the right hippocampus"),
        ("The left hippocampus is larger than the right.", "left hippocampus is smaller"),
        ("The right hippocampus is smaller.", "right hippocampus is larger"),
        ("The left one is not smaller than the right one.", "left hippocampus is smaller"),
        ("The left and the right hippocampus have the same volume.", "left hippocampus is smaller"),
        ("No, it is not.", "left hippocampus is smaller"),
        ("The right hippocampus could not be found.", "right hippocampus was found"),
        ("I do not see the left hippocampus.", "left hippocampus was found"),
        ("The left is three mL.", "three stands in no measurement"),
    ],
)
def test_what_is_wrong_is_seen(sentence, problem):
    assert problem in (flaw(sentence, LEFT, RIGHT, said=ASKED) or "nothing")


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("No, the liver was not found in this scan.", False),
        ("There is no liver here.", False),
        ("Neither the liver nor the spleen is visible.", False),
        ("The liver is visible.", True),
        ("Yes, it is there.", True),
        ("The spleen is in the upper left.", True),
    ],
)
def test_absent_means_absent(sentence, wrong):
    assert (flaw(sentence, LIVER, SPLEEN, said="Is there a liver or a spleen?") is not None) == wrong


def test_a_mask_is_called_by_its_phrase():
    """A language model that never learned a name says the next best of its mask."""
    body = Note("m1", "hippocampal body", 0.98, 0.87, measured(1.1))
    assert flaw("The hippocampus is marked as m1: 1.1 mL.", body) == "m1 is the hippocampal body, not the hippocampus"
    assert flaw("Yes, the hippocampus (m1, 1.1 mL) is in this scan.", body) is not None
    assert flaw("The hippocampal body is marked as m1: 1.1 mL.", body) is None
    assert flaw("The left one (m1) is marked.", LEFT) is None


def test_found_and_absent_in_one_sentence():
    good = "The left hippocampus is 2.9 mL, but the liver was not found."
    assert flaw(good, LEFT, LIVER) is None
    assert flaw("The liver is 2.9 mL, but the left hippocampus was not found.", LEFT, LIVER) is not None


def test_presence_asked_for():
    assert flaw("No.", LEFT, said="Is there a left hippocampus?") == "what was asked for was found"
    assert flaw("Yes, there is.", LEFT, said="Is there a left hippocampus?") is None


@pytest.mark.parametrize(
    "question",
    [
        "Is there symmetry between the left and the right hippocampus?",
        "Is there a difference between the left hippocampus and the right hippocampus?",
        "Is there any asymmetry of the hippocampi?",
        "Do you see a discrepancy between the two?",
    ],
)
def test_a_relation_asked_for_is_no_presence(question):
    """Both were found, and yet "no" may be right; "yes" of two that are not there is still wrong."""
    answer = "No, the left hippocampus (2.9 mL) is smaller than the right hippocampus (3.1 mL), by 0.2 mL."
    assert flaw(answer, LEFT, RIGHT, said=question) is None
    assert flaw("No.", LEFT, RIGHT, said="Are there both hippocampi?") is not None
    assert flaw("Yes.", LIVER, SPLEEN, said=question) == "nothing asked for was found"


def test_equal_volumes():
    """As shown: 3.1 and 3.1 are equal, whatever lies behind the decimal."""
    assert flaw("The left amygdala is larger than the right hippocampus.", RIGHT, EQUAL) is not None
    assert flaw("The left amygdala and the right hippocampus have the same volume.", RIGHT, EQUAL) is None


def test_a_list_that_is_said_to_be_absent_is_read_name_by_name():
    assert flaw("The left hippocampus and the liver were not found.", LEFT, LIVER) == "the left hippocampus was found"
    assert flaw("The liver, the left hippocampus and the spleen were not found.", LEFT, LIVER, SPLEEN)
    assert flaw("The left hippocampus (m1) is 2.9 mL and the liver was not found.", LEFT, LIVER) is None
    assert flaw("The liver and the spleen were not found.", LEFT, LIVER, SPLEEN) is None


def test_numbers_of_the_user_may_be_said():
    assert flaw("You asked about 7 mL.", said="Is it 7 mL?") is None
    assert flaw("It is 7 mL.") is not None


def test_the_statement_is_made_of_the_notes():
    """It agrees with the rules, and each of its numbers stands in a note."""
    text = claims.statement([LEFT, RIGHT, LIVER, SPLEEN])
    assert text == (
        "The left hippocampus (m1) is 2.9 mL. The right hippocampus (m2) is 3.1 mL. "
        "The left hippocampus is smaller than the right hippocampus by 0.2 mL (6 %). "
        "The liver and the spleen were not found."
    )
    assert unsupported_numbers(text, [str(LEFT), str(RIGHT)]) == []
    for sentence in text.split(". "):
        assert flaw(sentence, LEFT, RIGHT, LIVER, SPLEEN) is None
    assert claims.statement([]) == ""
    assert claims.statement([LEFT, LEFT]) == "The left hippocampus (m1) is 2.9 mL."


def test_poor_outlines_are_named_with_their_estimate():
    """Below one half; absent targets and masks made of others have no quality; a recalled mask is named once."""
    poor = Note("m4", "left amygdala", 0.9, 0.42, measured(1))
    worse = Note("m5", "right amygdala", 0.9, 0.305, measured(1))
    made = Note("m6", "m4 + m5", None, None, measured(2))
    assert claims.caution([LEFT, LIVER, made]) == ""
    assert claims.caution([LEFT, poor, poor]) == (
        "The outline of m4 (left amygdala, 0.42) is uncertain: the number is the estimated overlap with an expert's."
    )
    both = claims.caution([poor, worse])
    assert both.startswith("The outlines of m4 (left amygdala, 0.42) and m5 (right amygdala, 0.30) are uncertain")
    assert unsupported_numbers(both, [str(poor), str(worse)]) == []


def test_where_is_told_by_the_centre_when_it_is_asked():
    """On which side of the scan only of what has no side in its name; nothing of what is not there."""
    tumour = Note("m1", "tumour", 0.9, 0.9, replace(measured(80), centroid_mm=(-91.64, 33.8, 17.7), side="left"))
    axes = "(x to the patient's right, y to the front, z up)"
    told = f"The centre of m1 is at x -91.6, y 33.8, z 17.7 mm {axes}"
    for question in ("Where is the tumour, and how big?", "On which side is it?", "Wo ist der Tumor?", "肿瘤在哪里？"):
        assert claims.places(question, [tumour, LIVER]) == f"{told}, to the left of the scan's middle."
    assert claims.places("How big is the tumour?", [tumour]) == ""
    assert claims.places("Where is the liver?", [LIVER]) == ""
    sided = replace(tumour, phrase="left thigh")
    assert claims.places("where?", [sided]) == f"{told}."
    middle = replace(tumour, measurement=replace(measured(1), side="midline"))
    assert claims.places("where?", [middle]).endswith("z 0.0 mm " + axes + ", in the scan's middle plane.")
    several = [replace(sided, id=f"m{n}", phrase=f"part {n}") for n in range(1, 6)]
    four = claims.places("where?", several[:4])
    assert four.startswith(f"{told}, to the left of the scan's middle; that of m2 at x -91.6, y 33.8, z 17.7")
    assert (four.count("mm"), four.count("(x to")) == (4, 1)
    assert claims.places("where?", several) == ""


def test_mentions_are_the_longest_ones():
    whole, front = Note("m1", "hippocampus", 1, 1, measured(3)), Note("m2", "anterior hippocampus", 1, 1, measured(1))
    found = claims.mentions("The anterior hippocampus is part of the hippocampus (m1).", [whole, front])
    assert [note.id for _, _, note in found] == ["m2", "m1", "m1"]


def test_a_side_is_a_name_only_where_it_is_unique():
    """With two left structures, "the left" names neither."""
    amygdala = Note("m3", "left amygdala", 1, 1, measured(1))
    assert claims.mentions("the left is small", [LEFT, amygdala]) == []
    assert [note.id for _, _, note in claims.mentions("the left is small", [LEFT, RIGHT])] == ["m1"]
    assert claims.mentions("on the left side of the body", [RIGHT, LEFT]) == []


def on(side: str, phrase: str = "tumour") -> Note:
    return Note("m1", phrase, 1, 1, Measurement(2.9, 38.1, 1.0, "", (0.0, 0.0, 0.0), side, 100, False))


@pytest.mark.parametrize(
    ("said", "note", "right"),
    [
        ("Is the tumour on the left side of the scan?", on("left"), "Yes"),
        ("Is the tumour on the left side of the scan?", on("right"), "No"),
        ("Is the tumour on the right?", on("right"), "Yes"),
        ("Is there a tumour on the left-hand side?", on("right"), "No"),
        # a crop of the left half of a head: the left hippocampus lies right of its middle, and is the left one
        ("Is the left hippocampus on the right side of the scan?", on("right", "left hippocampus"), "Yes"),
        ("Is the left hippocampus on the right side of the body?", on("right", "left hippocampus"), "No"),
    ],
)
def test_a_side_that_is_asked_for_is_the_measured_one(said, note, right):
    wrong = "No" if right == "Yes" else "Yes"
    assert flaw(f"{right}, it is.", note, said=said) is None
    assert "side of the" in (flaw(f"{wrong}, it is.", note, said=said) or "")
    corrected = claims.statement([note], said)
    assert corrected.startswith(f"{right}. The {note.phrase} (m1) is 2.9 mL. It is on the ")
    assert flaw(corrected, note, said=said) is None


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        ("Is the tumour on the left side of the scan?", [on("midline")]),  # neither
        ("Is the hippocampus on the left side smaller?", [on("left", "left hippocampus")]),
        ("Which side is it on?", [on("left")]),
        ("Are they on the left side?", [LEFT, RIGHT]),  # two were found
    ],
)
def test_other_questions_of_sides_are_left_alone(said, notes):
    assert claims.statement(notes, said) == claims.statement(notes)


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ("Does it touch the bone?", False),
        ("Is the airway open?", False),
        ("Has it spread?", False),
        ("Have they grown?", False),
        ("Has the left hippocampus spread to the lungs?", False),
        ("Has the patient a left hippocampus?", True),
        ("Is the left hippocampus covered by this scan?", True),
        ("does the patient have 海马?", True),
        ("Is there a left hippocampus?", True),
        ("Does the patient have a left hippocampus?", True),
        ("Is this the left hippocampus?", True),
        ("Can you see the left hippocampus?", True),
        ("Does the scan show the left hippocampus?", True),
        ("Gibt es einen linken Hippocampus?", True),
    ],
)
def test_that_something_is_there_is_no_yes_to_another_question(said, answers):
    sentence = "Yes, the left hippocampus (m1, 2.9 mL) is in this scan."
    assert (flaw(sentence, LEFT, said=said) is None) is answers


def test_a_comparison_that_was_asked_for_is_answered_with_yes_or_no():
    assert claims.statement([LEFT, RIGHT], ASKED).startswith("Yes. The left hippocampus (m1) is 2.9 mL.")
    assert claims.statement([LEFT, RIGHT], "Is the left hippocampus larger than the right one?").startswith("No. ")
    assert claims.statement([LEFT, RIGHT], "Compare the hippocampi.").startswith("The left")
    for said in (ASKED, "Is the left hippocampus larger than the right one?"):
        sentences = claims.statement([LEFT, RIGHT], said)
        assert claims.flaw(sentences, [LEFT, RIGHT], [str(LEFT), str(RIGHT)], said) is None


def test_of_many_only_what_is_missing_is_told():
    many = [Note(f"m{n}", f"structure {n}", 1, 1, measured(n)) for n in range(1, claims.LISTED + 1)]
    assert claims.statement(many).startswith("The structure 1 (m1) is 1.0 mL.")
    told = claims.statement([*many, SPLEEN])
    assert told.endswith("in the list of findings. The spleen was not found.")
    assert "structure 1" not in told


def test_only_the_mean_of_a_mask_is_known():
    """ "has a maximum intensity of 161" is wrong where 161 is the mean."""
    assert LEFT.measurement is not None
    mean = LEFT.measurement.mean_intensity
    assert flaw(f"The left hippocampus (m1) has a mean intensity of {mean:.0f}.", LEFT) is None
    wrong = flaw(f"The left hippocampus (m1) has a maximum intensity of {mean:.0f}.", LEFT)
    assert wrong == "a maximum intensity stands in no measurement"
