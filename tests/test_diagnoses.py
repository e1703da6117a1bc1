"""Questions after a disease get no diagnosis, and no search for the disease as though it were a structure."""

from __future__ import annotations

import pytest

from assistant import diagnoses
from assistant.generate import Chat, Done, Grounded
from assistant.glossary import Glossary
from data_recipes import ontology
from tests.tiny_language import FakeStudy, tiny_model

GLOSSARY = ontology.glossary()
HIPPOCAMPI = ("left hippocampus", "right hippocampus")
BRAIN = [*HIPPOCAMPI, "left lateral ventricle", "right lateral ventricle", "brainstem"]


@pytest.mark.parametrize(
    ("question", "said", "targets"),
    [
        ("Does the patient have Alzheimer's disease?", "Alzheimer's disease", HIPPOCAMPI),
        ("Rule out hydrocephalus.", "hydrocephalus", ("left lateral ventricle", "right lateral ventricle")),
        ("Hat der Patient eine Demenz?", "Demenz", HIPPOCAMPI),
        ("Is there evidence of multiple sclerosis?", "multiple sclerosis", ()),
        ("Does she have encephalitis of the brainstem?", "encephalitis", ("brainstem",)),  # what the question names
        ("Could this be mumps?", "mumps", ()),  # no parotids on this scan
        ("Is it malignant?", "malignant", ()),
        ("Is the brainstem compressed?", "compressed", ("brainstem",)),
        ("Ist der Hirnstamm vergrößert?", "vergrößert", ("brainstem",)),
        ("Is the brainstem too small for a 70 year old?", "too small", ("brainstem",)),
        ("Are the lateral ventricles enlarged?", "enlarged", ("left lateral ventricle", "right lateral ventricle")),
        ("病人有阿尔茨海默病吗?", "阿尔茨海默病", HIPPOCAMPI),
    ],
)
def test_a_disease_is_not_judged(question, said, targets):
    plan = diagnoses.read(question, GLOSSARY, lambda among: BRAIN)
    assert plan is not None
    judged = f"I do not diagnose: whether this is {said} is for a physician to judge."
    assert (plan.targets, plan.saying) == (targets, f"{judged} What I can measure:" if targets else judged)


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("What type of tumour is it?", "what kind of tumour it is, is"),
        ("Grade the tumour.", "its grade and stage are"),
        ("Has the tumour spread to the lungs?", "whether it has spread, and what will become of it, is"),
    ],
)
def test_of_what_kind_a_tumour_is_is_not_judged(question, left):
    plan = diagnoses.read(question, GLOSSARY, lambda among: ["tumour"])
    assert plan is not None
    said = f"I do not diagnose: {left} for a physician to judge. What I can measure:"
    assert (plan.targets, plan.saying) == (("tumour",), said)


@pytest.mark.parametrize(
    "question",
    [
        "What kind of scan shows a tumour?", "Which structure spreads signals?",
        "Which part shrinks in Alzheimer's disease?", "Is there a tumour?", "Is the left hippocampus smaller?",
        "Where is the brainstem?", "Show me the hippocampus of this Alzheimer patient.",
    ],
)  # fmt: skip
def test_what_is_no_question_after_a_disease(question):
    assert diagnoses.read(question, GLOSSARY, lambda among: BRAIN) is None


def test_a_disease_that_was_taught_as_a_structure_is_looked_for():
    own = Glossary({"infarct": ("infarct",)}, {}, {})
    assert diagnoses.read("Is there an infarct?", own, lambda among: ["infarct"]) is None


def test_a_reply_without_anything_to_measure_is_the_sentence_alone():
    model = tiny_model()
    model.glossary = GLOSSARY
    *events, done = Chat(model, FakeStudy([])).reply("Does he have schizophrenia?")
    assert isinstance(done, Done)
    assert not any(isinstance(event, Grounded) for event in events)
    assert done.visible == "I do not diagnose: whether this is schizophrenia is for a physician to judge."
    assert (done.corrections, done.stopped) == ((), False)


def test_a_mask_s_id_stands_for_its_structure():
    model = tiny_model()
    model.glossary = GLOSSARY
    chat = Chat(model, FakeStudy([5]))
    chat.shown = lambda among=(): ["brainstem"]  # type: ignore[method-assign]
    list(chat.reply("Is the brainstem compressed?"))
    for question, saying in (
        ("Is m1 within normal limits?", "I do not diagnose: whether this is normal is for a physician to judge."),
        ("How thick is m1?", "I do not measure thickness."),
    ):
        *events, done = chat.reply(question)
        assert isinstance(done, Done)
        assert [event.finding.id for event in events if isinstance(event, Grounded)] == ["m1"]
        assert f"{saying} What I can measure: The brainstem (m1) is 5.0 mL." in done.visible
