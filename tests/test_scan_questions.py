"""What is asked about the scan, its patient and its files, and what only sounds like it."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.scan_questions import answer
from assistant.volume import Volume
from data_recipes import ontology
from tests.test_reference import Known

VALUES = np.linspace(-1000, 1500, 24, dtype=np.float32).reshape(2, 3, 4)
SCAN = Volume.from_array(VALUES, np.diag([1, 2, 0.5, 1.0]), "CT")
KNOWN = Known({}, glossary=ontology.glossary())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("What is the voxel size of this scan?", "1.0 x 2.0 x 0.5 mm"),
        ("What's the spacing?", "1.0 x 2.0 x 0.5 mm"),
        ("slice thickness", "1.0 x 2.0 x 0.5 mm"),
        ("How thick are the slices?", "1.0 x 2.0 x 0.5 mm"),
        ("Wie groß ist die Auflösung?", "1.0 x 2.0 x 0.5 mm"),
        ("体素大小是多少？", "1.0 x 2.0 x 0.5 mm"),
        ("How many slices are there?", "2 sagittal, 3 coronal and 4 axial slices"),
        ("what are the dimensions of the scan", "2 x 3 x 4 voxels"),
        ("How big is this scan?", "covers 2.0 x 6.0 x 2.0 mm"),
        ("What is the field of view?", "covers 2.0 x 6.0 x 2.0 mm"),
        ("Is this an MRI or a CT?", "This is CT (as given)."),
        ("What modality is this?", "This is CT (as given)."),
        ("What is the intensity range?", "from -1000 to 1500 HU"),
        ("How old is this patient?", "I cannot tell"),
        ("What is the patient's name?", "I cannot tell"),
        ("Is the patient a man or a woman?", "I cannot tell"),
        ("When was this scan made?", "I cannot tell"),
        ("Wie alt ist der Patient?", "I cannot tell"),
        ("Can you export the mask?", "session.export(folder)"),
        ("How do I save the segmentation as NIfTI?", "session.export(folder)"),
        ("Has it grown since last time?", "Compare with a prior"),
        ("Is the tumour larger than in the previous scan?", "Compare with a prior"),
        ("Delete m1.", "Undo takes back the last question"),
        ("Hide the left hippocampus and the brainstem", "Undo takes back the last question"),
        ("hide it", "Undo takes back the last question"),
    ],
)
def test_the_scan_answers(text, told):
    assert told in answer(text, SCAN, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "How big is the tumour?",
        "How many voxels does the left hippocampus have?",
        "What is the size of the larynx in this scan?",
        "Is this a tumour?",
        "Is this the brainstem or the spinal cord?",
        "What is the intensity range of the putamen?",
        "Is the hippocampus small for the patient's age?",
        "Save me some time and show the mandible.",
        "Remove m1 from m2.",
        "Remove the left hippocampus from m2.",
        "Is it larger than the first one?",
        "Which structure stores memories?",
        "What is this?",
    ],
)
def test_what_is_about_something_else_is_left_alone(text):
    assert answer(text, SCAN, KNOWN) == ""
