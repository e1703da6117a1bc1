"""What no mask measures is not answered with something else."""

from __future__ import annotations

import pytest

from assistant import unmeasured
from data_recipes import ontology

GLOSSARY = ontology.glossary()
BRAIN = ["left hippocampus", "right hippocampus", "left cerebral cortex", "right cerebral cortex", "brainstem"]


@pytest.mark.parametrize(
    ("question", "what", "targets"),
    [
        ("How thick is the left cerebral cortex?", "thickness", ("left cerebral cortex",)),
        ("What does the brainstem weigh?", "weight", ("brainstem",)),
        ("How heavy are the hippocampi?", "weight", ("left hippocampus", "right hippocampus")),
        ("What is the surface area of the right hippocampus?", "surface area", ("right hippocampus",)),
        ("What is the dose to the brainstem?", "dose", ("brainstem",)),
        ("脑干多重？", "weight", ("brainstem",)),
        ("How thick is the liver?", "thickness", ("liver",)),  # not on this scan: it is looked for, and said not to be
    ],
)
def test_what_is_not_measured_is_said_and_the_structure_measured(question, what, targets):
    plan = unmeasured.read(question, GLOSSARY, lambda among: BRAIN)
    assert plan is not None
    assert (plan.targets, plan.saying) == (targets, f"I do not measure {what}. What I can measure:")


@pytest.mark.parametrize(
    "question",
    [
        "How big is the brainstem?",
        "How thick are the slices through the brainstem?",
        "How thick is it?",
        "Show the surface of the brainstem in 3D.",
    ],
)
def test_anything_else_is_left_alone(question):
    assert unmeasured.read(question, GLOSSARY, lambda among: BRAIN) is None
