"""A report's sentences and their kinds."""

from __future__ import annotations

import pytest

from assistant.sentences import sentences_in

REPORT = """MRI BRAIN

TECHNIQUE: 3D T1 was acquired. Slice thickness 1 mm.
Clinical history:
67-year-old with memory complaints. Prior tumour.

FINDINGS:
The left hippocampus measures 2.9 mL and is smaller than
the right (3.3 mL). No evidence of tumour, e.g. a glioma.
- The liver is normal
1. Both thalami are seen
Lateral ventricles: not enlarged.

Impression
No mass. Follow-up in 6 months is recommended."""


def test_a_report_is_split_into_its_sentences_each_of_its_kind():
    sentences = sentences_in(REPORT)
    assert [(s.kind, s.text.replace("\n", " ")) for s in sentences] == [
        ("heading", "MRI BRAIN"),
        ("heading", "TECHNIQUE:"),
        ("technique", "3D T1 was acquired."),
        ("technique", "Slice thickness 1 mm."),
        ("heading", "Clinical history:"),
        ("history", "67-year-old with memory complaints."),
        ("history", "Prior tumour."),
        ("heading", "FINDINGS:"),
        ("statement", "The left hippocampus measures 2.9 mL and is smaller than the right (3.3 mL)."),
        ("statement", "No evidence of tumour, e.g. a glioma."),
        ("statement", "The liver is normal"),
        ("statement", "Both thalami are seen"),
        ("statement", "Lateral ventricles: not enlarged."),
        ("heading", "Impression"),
        ("statement", "No mass."),
        ("recommendation", "Follow-up in 6 months is recommended."),
    ]
    assert all(REPORT[s.start : s.end] == s.text for s in sentences)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Befund: Kein Tumor. Z. n. Resektion. Kontrolle in 6 Monaten.", "heading statement history recommendation"),
        ("Technique : coupes axiales.\nRésultats : Pas de tumeur.", "heading technique heading statement"),
        ("Hallazgos: Sin tumor. Se recomienda control.", "heading statement recommendation"),
        ("所见：未见肿瘤。建议随访。", "heading statement recommendation"),
        ("There is a 2.3 cm mass.", "statement"),
        ("Status post resection of the left parotid gland.", "history"),
        ("", ""),
        (" \n - \n ...", ""),
    ],
)
def test_kinds_in_other_languages_and_small_texts(text, kinds):
    assert " ".join(sentence.kind for sentence in sentences_in(text)) == kinds
