"""Comparisons beyond two masks: groups and pairs as sums, other languages, lengths, and a bound in millilitres."""

from __future__ import annotations

import pytest

from assistant import claims, comparison
from assistant.comparison import Limit, Sides, Totals
from assistant.composition import Plan
from assistant.evidence import Measurement, Note
from assistant.generate import Chat, Done, Grounded
from data_recipes import ontology
from tests.tiny_language import FakeStudy, tiny_model

GLOSSARY = ontology.glossary()
BRAIN = ["left cerebellar white matter", "right cerebellar white matter", "left cerebellar cortex",
         "right cerebellar cortex", "left thalamus", "right thalamus", "left putamen", "right putamen", "brainstem",
         "third ventricle", "left lateral ventricle", "right lateral ventricle"]  # fmt: skip
CEREBELLUM = tuple(BRAIN[:4])
THALAMI = ("left thalamus", "right thalamus")


def read(question: str) -> Plan | None:
    return comparison.read(question, GLOSSARY, lambda among: BRAIN)


def note(number: int, phrase: str, volume_ml: float, longest_mm: float = 10.0) -> Note:
    m = Measurement(volume_ml, longest_mm, 1.0, "", (0.0, 0.0, 0.0), None, 100, False)
    return Note(f"m{number}", phrase, 0.9, 0.9, m)


@pytest.mark.parametrize(
    ("question", "terms", "word", "polar"),
    [
        ("Is the brainstem bigger than the cerebellum?", [("brainstem",), CEREBELLUM], "larger", True),
        ("Do the thalami together take less room than the brainstem?", [THALAMI, ("brainstem",)], "smaller", True),
        ("Which is larger, the cerebellum or the brainstem?", [CEREBELLUM, ("brainstem",)], "larger", False),
        ("Are the ventricles smaller than the thalami?",
         [("left lateral ventricle", "right lateral ventricle", "third ventricle"), THALAMI], "smaller", True),
        ("Ist der Hirnstamm größer als das Kleinhirn?", [("brainstem",), CEREBELLUM], "larger", True),
        ("Ist das linke Putamen größer als das rechte?", [("left putamen",), ("right putamen",)], "larger", True),
        ("How much of the cerebellum is cerebellar cortex?", None, "", False),  # a part of the whole is no other term
        ("Is the brainstem not bigger than the cerebellum?", [("brainstem",), CEREBELLUM], "larger", False),
        ("How much of the brain is cerebellum?", [("brain",), CEREBELLUM], "", False),
    ],
)  # fmt: skip
def test_what_is_compared(question, terms, word, polar):
    plan = read(question)
    if terms is None:
        assert plan is None
        return
    assert isinstance(plan, Totals)
    assert ([term.phrases for term in plan.terms], plan.word, plan.polar) == (terms, word, polar)
    assert plan.targets == tuple(phrase for phrases in terms for phrase in phrases)


def test_of_two_either_may_keep_a_bound_and_of_more_each_is_told():
    """"Either" is one of them; whether six ventricles are over 20 mL, each or all together, the measurements say."""
    notes = [note(1, "left thalamus", 6.1), note(2, "right thalamus", 5.3)]
    for question, verdict in (
        ("Is either thalamus smaller than 5.5 mL?", "Yes. "),
        ("Are both thalami smaller than 5.5 mL?", "No. "),
        ("Is either thalamus smaller than 5 mL?", "No. "),
    ):
        plan = read(question)
        assert isinstance(plan, Limit)
        assert plan.words(notes, question).startswith(verdict), question
    plan = read("Is the cerebellum larger than 100 mL?")
    assert isinstance(plan, Limit)
    told = plan.words([note(n, phrase, 40.0) for n, phrase in enumerate(CEREBELLUM, 1)], "")
    assert told.startswith("The left cerebellar white matter (m1) is 40.0 mL.")


@pytest.mark.parametrize(
    "question",
    [
        "Is the left putamen smaller than the right?",  # one English name with another: the language model's
        "Where is the cerebellum?",
        "Is the brainstem bigger than normal?",
        "Compare the brainstem with the cerebellum.",
        "Is the putamen larger than the thalamus or the brainstem?",
    ],
)
def test_what_is_left_to_the_language_model(question):
    assert read(question) is None


def test_a_length_is_compared_as_a_length():
    plan = read("Is the brainstem longer than the third ventricle?")
    assert isinstance(plan, Totals)
    notes = [note(1, "brainstem", 20.0, 60.0), note(2, "third ventricle", 30.0, 25.0)]
    assert plan.next(notes) == ""
    assert plan.words(notes, "") == (
        "Yes. The brainstem (m1) is 60.0 mm at its longest. The third ventricle (m2) is 25.0 mm at its longest. "
        "The larger diameter is that of the brainstem."
    )


@pytest.mark.parametrize(
    ("question", "volumes", "said"),
    [
        ("Is the left putamen less than 4 mL?", [3.9], "Yes. The left putamen (m1) is 3.9 mL."),
        ("Is the left putamen less than 4 mL?", [4.1], "No. The left putamen (m1) is 4.1 mL."),
        ("Is the brainstem more than 0.02 l?", [20.4], "Yes. The brainstem (m1) is 20.4 mL."),
        ("Le tronc cérébral est-il plus grand que 20 ml ?", [20.4], "Yes. The brainstem (m1) is 20.4 mL."),
        ("¿Mide el tronco encefálico más de 20 ml?", [19.4], "No. The brainstem (m1) is 19.4 mL."),
        ("Is the brainstem bigger than 5 cm?", [20.4], "No. The brainstem (m1) is 10.0 mm at its longest."),
    ],
)
def test_a_bound_is_kept_or_not(question, volumes, said):
    plan = read(question)
    assert isinstance(plan, Limit)
    notes = [note(n + 1, phrase, v) for n, (phrase, v) in enumerate(zip(plan.targets, volumes, strict=True))]
    assert plan.words(notes, question) == said



@pytest.mark.parametrize(
    "question",
    ["Is the brain symmetric?", "Compare all left structures with the right ones.", "Are there any asymmetries?",
     "Which structures are the most asymmetric?"],
)  # fmt: skip
def test_all_sides_are_measured_and_the_most_unlike_are_told(question):
    plan = read(question)
    assert isinstance(plan, Sides)
    sided = [phrase for phrase in BRAIN if phrase.split()[0] in ("left", "right")]
    assert plan.targets == tuple(sided)
    volumes = dict(zip(sided, (20.0, 21.0, 70.0, 70.0, 8.0, 9.0, 5.0, 5.0, 3.0, 2.0), strict=True))
    notes = [note(n, phrase, volumes[phrase]) for n, phrase in enumerate(sided, 1)]
    told = (
        "I measured every structure of two sides against its other side. For their size those that differ most are the "
        "left lateral ventricle (m9, 3.0 mL) and the right lateral ventricle (m10, 2.0 mL); the left thalamus (m5, 8.0 "
        "mL) and the right thalamus (m6, 9.0 mL); the left cerebellar white matter (m1, 20.0 mL) and the right "
        "cerebellar white matter (m2, 21.0 mL). Whether that is normal is for a physician to judge."
    )
    assert plan.words(notes, question) == told
    assert claims.flaw(told, notes, [str(one) for one in notes], question) is None


@pytest.mark.parametrize("question", ["Is the thalamus symmetric?", "Is there asymmetry of the thalami?"])
def test_the_symmetry_of_one_structure_is_no_question_of_all(question):
    assert not isinstance(read(question), Sides)


def test_equal_as_shown_is_equal_and_what_is_missing_is_said():
    plan = read("Are the thalami larger than the brainstem?")
    assert isinstance(plan, Totals)
    notes = [note(1, "left thalamus", 20.04), Note("", "right thalamus", 0.1), note(2, "brainstem", 20.0)]
    assert plan.next(notes) == ""  # one is no sum
    assert plan.words(notes, "") == (
        "No. The left thalamus (m1) is 20.0 mL. The brainstem (m2) is 20.0 mL. They are equal in volume. "
        "The right thalamus was not found."
    )
    absent = [note(1, "left thalamus", 9.0), note(2, "right thalamus", 9.0), Note("", "brainstem", 0.1)]
    assert plan.words([*absent, note(3, "m1 + m2", 18.0)], "").endswith("The brainstem was not found.")


def test_a_reply_measures_the_sums():
    """An untrained model looks for all parts, joins those of the group, and is told what to say; none of it is taken
    for a contradiction. The fake's masks lie in one another, so the sum of 2, 3, 5 and 7 is 7."""
    model = tiny_model()
    model.glossary = GLOSSARY
    study = FakeStudy([4, 2, 3, 5, 7])
    *events, done = Chat(model, study).reply("Is the brainstem bigger than the cerebellum?")
    assert isinstance(done, Done)
    found = [e.finding.phrase for e in events if isinstance(e, Grounded)]
    assert found == ["brainstem", *CEREBELLUM, "m2 + m3 + m4 + m5"]
    assert done.visible.endswith(
        "No. The brainstem (m1) is 4.0 mL. The volume of the cerebellum in total is 7.0 mL (m6). "
        "The larger volume is that of the cerebellum."
    )
    assert (done.corrections, done.unsupported, done.stopped) == ((), (), False)
