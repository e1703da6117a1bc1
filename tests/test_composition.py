"""What a question composes: which structures, in which order, and which of them is chosen by what was measured."""

from __future__ import annotations

import pytest

from assistant import composition
from assistant.composition import Plan
from assistant.errors import QuestionError
from assistant.evidence import Measurement, Note
from assistant.generate import Chat, Done, Grounded
from data_recipes import ontology
from tests.tiny_language import FakeStudy, tiny_model

GLOSSARY = ontology.glossary()
NECK = ["brainstem", "spinal cord", "left parotid gland", "right parotid gland", "larynx", "mandible"]
BRAIN = ["left hippocampus", "right hippocampus", "left thalamus", "right thalamus", "brainstem"]


def read(question: str, shown: list[str]) -> Plan | None:
    return composition.read(question, GLOSSARY, lambda among: shown)


def note(number: int, phrase: str, volume_ml: float | None) -> Note:
    m = None if volume_ml is None else Measurement(volume_ml, 10.0, 1.0, "", (0.0, 0.0, 0.0), None, 100, False)
    return Note("" if m is None else f"m{number}", phrase, 0.9, 0.9, m)


@pytest.mark.parametrize(
    ("question", "shown", "targets"),
    [
        ("Segment everything except the parotids.", NECK, ["brainstem", "spinal cord", "larynx", "mandible"]),
        ("All structures apart from the brainstem and the larynx, please",
         NECK, ["spinal cord", "left parotid gland", "right parotid gland", "mandible"]),
        ("Show both hippocampi, but not the left one.", BRAIN, ["right hippocampus"]),
        ("Show the parotids without the right parotid gland", NECK, ["left parotid gland"]),
        ("Outline the mandible and the larynx, not the spinal cord.", NECK, ["mandible", "larynx"]),
        ("Segment the salivary glands except the right parotid gland.", NECK, ["left parotid gland"]),
        ("Segment the medial temporal structures except the left amygdala",
         [*BRAIN, "left amygdala", "right amygdala"], ["left hippocampus", "right hippocampus", "right amygdala"]),
        # what was never included cannot be left out: it is asked for ...
        ("Show the parotids, but not the left one, and the mandible.", NECK, ["right parotid gland", "mandible"]),
        ("Segment the parotids except the right parotid gland plus the larynx", NECK, ["left parotid gland", "larynx"]),
        # ... unless nothing else is left out either, or the "not" is said of it too
        ("Show the mandible, but not the brainstem and the larynx.", NECK, ["mandible"]),
        ("Show the parotids, not the left one and not the mandible.", NECK, ["right parotid gland"]),
        ("Show the parotids and the mandible, but not the mandible and the left parotid.", NECK,
         ["right parotid gland"]),
    ],
)  # fmt: skip
def test_what_is_left_when_some_is_excluded(question, shown, targets):
    plan = read(question, shown)
    assert plan is not None
    assert (list(plan.targets), plan.choose) == (targets, "")


@pytest.mark.parametrize(
    "question",
    ["Mark everything on the right side only.", "segment all the right structures", "Show all structures on the right"],
)
def test_everything_on_one_side(question):
    plan = read(question, BRAIN)
    assert plan is not None
    assert plan.targets == ("right hippocampus", "right thalamus")


@pytest.mark.parametrize(
    ("question", "shown", "targets"),
    [
        ("Where is the mandible, and how big is the larynx?", NECK, ["mandible", "larynx"]),
        ("How big are the parotids and the mandible?", NECK, ["left parotid gland", "right parotid gland", "mandible"]),
        ("Wie groß sind der Unterkiefer und das Rückenmark?", NECK, ["mandible", "spinal cord"]),
        ("Is the left hippocampus smaller than the right, and how big is the brainstem?",
         BRAIN, ["left hippocampus", "right hippocampus", "brainstem"]),
        ("How big is the left thalamus and the right hippocampus?", BRAIN, ["left thalamus", "right hippocampus"]),
        ("Is there a mandible and a liver?", NECK, ["mandible", "liver"]),
        ("Where is the mandible?", NECK, []),
        ("Show the mandible and what is next to the larynx.", NECK, []),
        ("Which organ lies between the mandible and the larynx?", NECK, []),
        ("Show the mandible in front of the larynx.", NECK, []),
    ],
)  # fmt: skip
def test_what_is_asked_for_side_by_side(question, shown, targets):
    assert composition.coordinated(question, GLOSSARY, lambda among: shown) == targets


@pytest.mark.parametrize(
    ("question", "shown", "targets", "choose"),
    [
        ("Show me the larger of the two parotids.", NECK, ["left parotid gland", "right parotid gland"], "largest"),
        ("the smaller one of the thalami", BRAIN, ["left thalamus", "right thalamus"], "smallest"),
        ("Which is smallest: brainstem, larynx or mandible?", NECK, ["brainstem", "larynx", "mandible"], "smallest"),
        ("What is the largest structure?", NECK, NECK, "largest"),
        ("Contour the OARs.", NECK, NECK, ""),
        ("Show all organs at risk", NECK, NECK, ""),
        ("What's the biggest organ you can see in this scan?", NECK, NECK, "largest"),
        ("Which organ is the smallest in this scan?", NECK, NECK, "smallest"),
    ],
)
def test_which_one_is_chosen_among(question, shown, targets, choose):
    plan = read(question, shown)
    assert plan is not None
    assert (list(plan.targets), plan.choose) == (targets, choose)


@pytest.mark.parametrize(
    "question",
    [
        "Where is the left hippocampus?",
        "Is the left hippocampus not smaller than the right?",
        "Is everything there except the parotids?",
        "Is the left parotid gland the larger of the two?",
        "What is the largest difference?",
        "Which is larger, the left or the right parotid gland?",
        "Leave it out, but not now.",
        "Everything except nothing.",
    ],
)
def test_what_is_left_to_the_language_model(question):
    assert read(question, NECK) is None


def test_more_than_a_reply_shows_is_refused_with_the_number():
    many = [f"structure {n}" for n in range(41)] + ["larynx"]
    with pytest.raises(QuestionError, match="that is 41 structures, and a reply shows 40 at most"):
        read("Segment everything but not the larynx", many)


def test_the_choice_is_made_on_volumes_as_shown():
    """Two that read the same are equal; what was not found leaves nothing to choose."""
    left, right = note(1, "left parotid gland", 21.04), note(2, "right parotid gland", 28.7)
    both = Plan(("left parotid gland", "right parotid gland"), "largest")
    assert both.chosen([left, right]) is right
    assert both.verdict([left, right, right]) == "The larger of them is the right parotid gland (m2)."
    least = Plan(("a", "b", "c"), "smallest")
    three = [right, left, note(3, "c", 30)]
    assert least.chosen(three) is left
    assert least.verdict([*three, left]) == "The smallest of them is the left parotid gland (m1)."
    assert both.chosen([left, note(2, "right parotid gland", 21.0)]) is None
    assert both.chosen([left, note(2, "right parotid gland", None)]) is None
    assert Plan(("a", "b")).chosen([left, right]) is None


def test_a_reply_follows_its_plan_in_the_programs_words():
    """An untrained model grounds both in order, comes back to the larger one, and says what was measured; the next
    question's cache holds it all. With one of them absent nothing is chosen."""
    model = tiny_model()
    model.glossary = GLOSSARY
    chat = Chat(model, FakeStudy([3, 5, 2, 0]))
    *events, done = chat.reply("Show me the larger of the liver and the spleen.")
    assert isinstance(done, Done)
    found = [event.finding for event in events if isinstance(event, Grounded)]
    assert [(f.id, f.phrase) for f in found] == [("m1", "liver"), ("m2", "spleen"), ("m2", "spleen")]
    assert done.visible.endswith(
        "The liver (m1) is 3.0 mL. The spleen (m2) is 5.0 mL. The liver is smaller than the spleen by 2.0 mL (40 %). "
        "The larger of them is the spleen (m2)."
    )
    assert (done.corrections, done.unsupported, done.stopped) == ((), (), False)
    rendered = chat._render(reply_next=False).ids
    assert chat.tokens.ids == rendered[: len(chat.tokens.ids)]
    assert len(rendered) - len(chat.tokens.ids) == 2  # the end mark and its newline
    *events, done = chat.reply("Show me the larger of the pancreas and the stomach.")
    assert len([event for event in events if isinstance(event, Grounded)]) == 2
    assert done.visible.endswith("The pancreas (m3) is 2.0 mL. The stomach was not found.")


@pytest.mark.parametrize(
    "question",
    [
        "Show me everything.", "segment all structures", "Please outline every organ you can see",
        "What structures are visible in this scan?", "Which organs can you segment?", "what do you see here?",
        "Segment all the structures in the scan.",
    ],
)  # fmt: skip
def test_everything_is_all_that_the_scan_shows(question):
    assert read(question, NECK) == Plan(tuple(NECK))


@pytest.mark.parametrize(
    "question", ["Is everything all right?", "Show me everything about the larynx.", "What can you see of the larynx?"]
)
def test_not_every_everything_is_one(question):
    assert read(question, NECK) is None


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("Show me the medial temporal structures.", Plan(("left hippocampus", "right hippocampus", "left amygdala"))),
        ("How big are the swallowing organs?", None),  # of which the scan shows one
        ("Show me the salivary glands.", None),
        ("Segment the parotids.", None),  # two sides of one structure: the language model's
        ("What do the salivary glands do?", None),
        ("Are the salivary glands visible?", None),
    ],
)
def test_a_group_is_all_that_is_in_it(question, plan):
    assert read(question, [*BRAIN, "left amygdala", "larynx"]) == plan


@pytest.mark.parametrize(
    ("question", "chosen"),
    [
        ("Show the cerebellum.", ""), ("Zeige das Kleinhirn.", ""), ("Montre le cervelet.", ""), ("显示小脑", ""),
        ("Muestra el cerebelo.", ""), ("Wie groß ist das Kleinhirn?", "together"),
        ("¿Qué tamaño tiene el cerebelo?", "together"), ("Quelle est la taille du cervelet ?", "together"),
    ],
)  # fmt: skip
def test_a_word_for_several_structures_is_all_of_them_in_other_languages(question, chosen):
    """The language model shows one of them."""
    parts = [f"{side} cerebellar {what}" for what in ("white matter", "cortex") for side in ("left", "right")]
    assert read(question, [*BRAIN, *parts]) == Plan(tuple(parts), chosen)


def test_the_sum_of_a_group_is_one_more_mask():
    plan = read("What is the volume of the medial temporal structures?", [*BRAIN, "left amygdala"])
    assert plan == Plan(("left hippocampus", "right hippocampus", "left amygdala"), "together")
    notes = [note(1, "left hippocampus", 3.0), note(2, "right hippocampus", 4.0), note(3, "left amygdala", None)]
    assert plan.last(notes) == "m1 + m2"
    assert plan.verdict(notes) == ""
    assert plan.verdict([*notes, note(4, "m1 + m2", 7.0)]) == "Together they are 7.0 mL (m4)."
    assert plan.last([*notes[:1], note(2, "right hippocampus", None), notes[2]]) == ""  # one is no sum


@pytest.mark.parametrize(
    ("question", "targets"),
    [
        ("Is the left hippocampus on the right side of the scan?", ("left hippocampus",)),
        ("Is the larynx on the left?", ("larynx",)),
        ("Are the hippocampi on the left side?", None),
    ],
)
def test_a_question_of_a_side_looks_for_what_it_names(question, targets):
    plan = read(question, BRAIN)
    assert (plan and plan.targets) == targets
