"""What a sentence states: structures, sides, absence, sizes, comparisons; and what it does not."""

from __future__ import annotations

import pytest

from assistant.glossary import Glossary
from assistant.statements import read_statement

GLOSSARY = Glossary(
    {
        **dict.fromkeys(
            ("hippocampus", "hippocampe", "hipocampo", "海马"), ("left hippocampus", "right hippocampus", "hippocampus")
        ),
        "hippocampi": ("left hippocampus", "right hippocampus"),
        "parotid gland": ("left parotid gland", "right parotid gland"),
        "thalamus": ("left thalamus", "right thalamus"),
        "lateral ventricles": ("left lateral ventricle", "right lateral ventricle"),
        "左侧海马": ("left hippocampus",), "右侧海马": ("right hippocampus",),
        **dict.fromkeys(("tumour", "mass", "tumor", "tumeur", "肿瘤"), ("tumour",)),
        "liver": ("liver",), "spleen": ("spleen",), "larynx": ("larynx",),
    },
    {},
    {"left": "left", "right": "right", "linke": "left", "linker": "left", "rechte": "right", "gauche": "left",
     "droit": "right", "izquierdo": "left", "derecho": "right"},
)  # fmt: skip
LEFT, RIGHT = ("left hippocampus",), ("right hippocampus",)


def named(text: str) -> list[tuple[tuple[str, ...], str, list[str]]]:
    """(phrases, stated, sizes) of each structure that a sentence names."""
    statement = read_statement(text, GLOSSARY)
    return [(one.phrases, one.stated, [size.text for size in one.sizes]) for one in statement.named]


def relations(text: str) -> list[tuple[str, str, str, bool]]:
    return [(r.one, r.word, r.other, r.denied) for r in read_statement(text, GLOSSARY).relations]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The left hippocampus measures 4.1 mL.", [(LEFT, "there", ["4.1 mL"])]),
        ("Left hippocampus 2.9 mL, right hippocampus 3.1 mL.",
         [(LEFT, "there", ["2.9 mL"]), (RIGHT, "there", ["3.1 mL"])]),
        ("The left and right hippocampus measure 2.9 and 3.1 mL.",
         [(LEFT, "there", ["2.9 mL"]), (RIGHT, "there", ["3.1 mL"])]),
        ("The left and the right hippocampus measure 2.9 and 3.1 mL.",
         [(LEFT, "there", ["2.9 mL"]), (RIGHT, "there", ["3.1 mL"])]),
        ("Der rechte und der linke Hippocampus sind sichtbar.", [(RIGHT, "there", []), (LEFT, "there", [])]),
        ("A mass on the left and the right hippocampus are seen.", [(("tumour",), "there", []), (RIGHT, "there", [])]),
        ("The left hippocampus is 2.9 mL, the right 3.1 mL.",
         [(LEFT, "there", ["2.9 mL"]), (RIGHT, "there", ["3.1 mL"])]),
        ("Both hippocampi are seen.", [((*LEFT, *RIGHT), "there", [])]),
        ("A 2 cm enhancing mass in the left parotid gland.",
         [(("tumour",), "there", ["2 cm"]), (("left parotid gland",), "there", [])]),
        ("The left parotid gland contains a 2 cm mass.",
         [(("left parotid gland",), "there", []), (("tumour",), "there", ["2 cm"])]),
        ("The mass (2 cm) is in the liver.", [(("tumour",), "there", ["2 cm"]), (("liver",), "there", [])]),
        ("Tumor links, 3 x 2 cm.", [(("tumour",), "there", ["3 x 2 cm"])]),
        ("L'hippocampe gauche mesure 2,9 ml.", [(LEFT, "there", ["2,9 ml"])]),
        ("左侧海马体积3.1毫升。", [(LEFT, "there", ["3.1毫升"])]),
        ("Nothing is said of anything.", []),
    ],
)  # fmt: skip
def test_names_sides_and_sizes(text, expected):
    assert named(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "No evidence of tumour.", "There is no definite mass.", "Without tumour.", "The tumour is not seen.",
        "Negative for mass.", "Kein Tumor.", "Kein Hinweis auf einen Tumor.", "Ein Tumor ist nicht nachweisbar.",
        "Pas de tumeur.", "Sans tumeur.", "Absence de tumeur.", "Sin tumor.", "Sin evidencia de tumor.",
        "No se observa tumor.", "未见肿瘤。", "No bleeding, mass or infarct.", "Sine tumor.",
    ],
)  # fmt: skip
def test_absence_in_five_languages(text):
    assert named(text) == [(("tumour",), "absent", [])]


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("No mass in the left thalamus.", ["absent", "there"]),
        ("The mass in the left thalamus is not seen.", ["absent", "there"]),
        ("Neither the liver nor the spleen is visible.", ["absent", "absent"]),
        ("The liver and the spleen are not seen.", ["absent", "absent"]),
        ("No hydrocephalus, the left hippocampus is small.", ["there"]),
        ("No mass, liver 15 cm.", ["absent", "there"]),
        ("No bleeding, mass or infarct is seen.", ["absent"]),
        ("No change of the tumour.", ["there"]),
        ("No enlargement of the liver.", ["there"]),
        ("A mass cannot be excluded.", ["perhaps"]),
        ("Possible tumour.", ["perhaps"]),
    ],
)
def test_what_is_denied_and_what_is_not(text, stated):
    assert [one.stated for one in read_statement(text, GLOSSARY).named] == stated


@pytest.mark.parametrize(
    ("text", "side", "within"),
    [
        ("Left-sided mass.", "left", ()),
        ("A mass in the right parotid gland.", "right", ("right parotid gland",)),
        ("A mass of the liver.", None, ("liver",)),
        ("A mass.", None, ()),
        ("The right thalamus is next to a mass.", None, ()),
    ],
)
def test_where_something_without_a_side_is_said_to_be(text, side, within):
    (mass,) = (one for one in read_statement(text, GLOSSARY).named if one.phrases == ("tumour",))
    assert (mass.side, mass.within) == (side, within)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The left hippocampus is smaller than the right.", [(*LEFT, "smaller", *RIGHT, False)]),
        ("The left hippocampus is not smaller than the right hippocampus.", [(*LEFT, "smaller", *RIGHT, True)]),
        ("Der linke Hippocampus ist größer als der rechte.", [(*LEFT, "larger", *RIGHT, False)]),
        ("L'hippocampe gauche est plus petit que le droit.", [(*LEFT, "smaller", *RIGHT, False)]),
        ("El hipocampo derecho es más grande que el izquierdo.", [(*RIGHT, "larger", *LEFT, False)]),
        ("左侧海马比右侧海马小。", [(*LEFT, "smaller", *RIGHT, False)]),
        ("左侧海马小于右侧海马。", [(*LEFT, "smaller", *RIGHT, False)]),
        ("Hippocampus left < right.", [(*LEFT, "smaller", *RIGHT, False)]),
        ("Both hippocampi are of the same size.", [(*LEFT, "equal", *RIGHT, False)]),
        ("The left hippocampus is smaller than before.", []),
        ("The left hippocampus is smaller.", []),
    ],
)
def test_comparisons(text, expected):
    assert relations(text) == expected


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The liver is unremarkable.", True),
        ("Der Larynx ist unauffällig, liver normal.", True),
        ("No bleeding in the left thalamus.", True),
        ("No hydrocephalus, lateral ventricles normal.", True),
        ("The left hippocampus is normal, 3.1 mL.", False),
        ("No tumour.", False),
        ("The liver is abnormal.", False),
        ("The hippocampi are symmetric and normal.", False),
    ],
)
def test_a_normal_statement_is_one_that_says_nothing_else(text, normal):
    assert read_statement(text, GLOSSARY).normal is normal


def test_a_comparison_with_another_time_is_seen():
    assert read_statement("The tumour is unchanged since the prior scan.", GLOSSARY).earlier
    assert not read_statement("The tumour measures 3 cm.", GLOSSARY).earlier
