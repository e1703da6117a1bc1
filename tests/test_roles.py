"""Which structure a question means that says what it is for, and what the reply says of it."""

from __future__ import annotations

import pytest

from assistant import roles
from assistant.composition import Plan
from assistant.generate import Chat, Done, Grounded
from assistant.glossary import Glossary, Role
from data_recipes import ontology
from tests.tiny_language import FakeStudy, tiny_model

SMALL = Glossary(
    {"amygdala": ("left amygdala", "right amygdala"), "larynx": ("larynx",), "brainstem": ("brainstem",),
     "jaw": ("mandible",), "ear": ("ear",), "cord": ("spinal cord",), "brain": ("brain",)},
    {},
    {"left": "left"},
    roles=(
        Role("amygdala", "processes fear", ("fear*", "angst*", "恐惧")),
        Role("larynx", "makes the voice", ("voice", "breathe", "atm*")),
        Role("brainstem", "controls breathing", ("breath*", "alive")),
        Role("jaw", "moves when we chew", ("chew*", "bite")),
        Role("ear", "hears", ("bite", "hear*")),
        Role("cord", "carries messages", ("messages", "bite")),
    ),
)  # fmt: skip
HEAD = ["left amygdala", "right amygdala", "brainstem"]
FEAR = Plan(("left amygdala", "right amygdala"), saying="The amygdala processes fear.")
NECK = ["larynx", "brainstem", "mandible"]


@pytest.mark.parametrize(
    ("question", "shown", "names"),
    [
        ("Show me the fear centre.", HEAD, ["amygdala"]),
        ("Wo sitzt die Angst?", HEAD, ["amygdala"]),
        ("哪里负责恐惧?", HEAD, ["amygdala"]),
        ("Where is the brain's fear centre?", HEAD, ["amygdala"]),  # the brain is where, not what
        ("What do I breathe with?", HEAD, ["brainstem"]),  # of two that fit, what the scan shows
        ("What do I breathe with?", NECK, ["larynx"]),  # the longer cue
        ("Which part controls breathing?", NECK, ["brainstem"]),
        ("What do I chew with?", HEAD, ["jaw"]),  # not on this scan: to be looked for and not found
        ("What do you hear and chew with?", NECK, []),  # the program is asked about itself
        ("Can you hear?", NECK, []),
        ("I fear that this is wrong.", HEAD, []),  # nothing is looked for
        ("Where is the larynx, which makes me fear?", NECK, []),  # a structure is named
        ("What carries messages from the brain to the larynx?", NECK, ["cord"]),  # named, but not what it is about
        ("What do I bite with?", HEAD, []),  # three fit equally well
        ("What do I chew and hear with?", HEAD, ["jaw", "ear"]),
        ("Where is it?", HEAD, []),
    ],
)
def test_the_role_that_a_question_describes(question, shown, names):
    if names == ["jaw", "ear"]:  # two that fit equally well, as none is on the scan
        assert {role.name for role in roles.meant(question, SMALL, lambda _: [])} == set(names)
        return
    assert [role.name for role in roles.meant(question, SMALL, lambda _: shown)] == names


def test_a_plan_looks_for_it_and_says_what_it_does():
    assert roles.read("Show me the fear centre.", SMALL, lambda _: HEAD) == Plan(
        ("left amygdala", "right amygdala"), saying="You may mean the amygdala, which processes fear."
    )
    left = roles.read("Show me the fear centre on the left.", SMALL, lambda _: HEAD)
    assert left is not None
    assert left.targets == ("left amygdala",)
    assert roles.read("How are you?", SMALL, lambda _: HEAD) is None


@pytest.mark.parametrize(
    ("question", "shown", "plan"),
    [
        ("What does the amygdala do?", HEAD, FEAR),
        ("Was macht die Amygdala?", HEAD, FEAR),
        ("What is the larynx for?", HEAD, Plan((), saying="The larynx makes the voice.")),  # not on this scan
        ("What is the function of the brain?", [],
         Plan((), saying="What that is for is not among the things that I was given.")),
        ("What can you do?", HEAD, None),
        ("What do you do with the amygdala?", HEAD, None),
        ("What is the volume of the amygdala?", HEAD, None),
        ("What is the usual volume for an amygdala?", HEAD, None),
        ("What is the larynx's volume?", NECK, None),
    ],
)  # fmt: skip
def test_what_a_structure_does_is_told_from_the_glossary(question, shown, plan):
    assert roles.told(question, SMALL, lambda _: shown) == plan


def test_the_ontology_knows_what_its_roles_are_of():
    """Each role is of a name in the glossary, and its cues are written as questions are compared with them."""
    glossary = ontology.glossary()
    assert len(glossary.roles) > 15
    for role in glossary.roles:
        assert role.name in glossary.names
        assert all(cue == cue.lower().strip() and cue for cue in role.cues)
        others = {phrase for phrases in glossary.mentioned(role.does) for phrase in phrases}
        assert others <= set(glossary.names[role.name]), role  # a reply says it, and names what it looked for alone
    brain = lambda _: ["left hippocampus", "right hippocampus", "brainstem"]  # noqa: E731
    crop = lambda _: ["anterior hippocampus", "posterior hippocampus"]  # noqa: E731
    memory = "Where are memories formed?"
    assert [p.targets for shown in (brain, crop) if (p := roles.read(memory, glossary, shown))] == [
        ("left hippocampus", "right hippocampus"), ("hippocampus",),
    ]  # fmt: skip
    assert Glossary.from_json(glossary.to_json()).roles == glossary.roles


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        ([3, 5], "You may mean the amygdala, which processes fear. The left amygdala (m1) is 3.0 mL. "
         "The right amygdala (m2) is 5.0 mL. The left amygdala is smaller than the right amygdala by 2.0 mL (40 %)."),
        ([0, 0], "The left amygdala and the right amygdala were not found."),
    ],
)  # fmt: skip
def test_a_reply_names_what_it_took_the_question_for(volumes, said):
    """An untrained model looks first, and what is absent is not spoken of as if it were there."""
    model = tiny_model()
    model.glossary = SMALL
    *events, done = Chat(model, FakeStudy(volumes)).reply("Which structure makes me feel fear?")
    assert isinstance(done, Done)
    assert [e.finding.phrase for e in events if isinstance(e, Grounded)] == ["left amygdala", "right amygdala"]
    assert done.visible.partition("\n")[2] == said
    assert done.corrections == ()
