"""Names: canonical phrases, every synonym finds its own structure, sides never cross."""

from __future__ import annotations

import pytest

from data_recipes import ontology as o
from data_recipes.anatomy_body import FURTHER
from training.samples import absent_phrases

SIDED = [
    "cerebral white matter",
    "cerebral cortex",
    "lateral ventricle",
    "inferior lateral ventricle",
    "cerebellar white matter",
    "cerebellar cortex",
    "thalamus",
    "caudate nucleus",
    "putamen",
    "pallidum",
    "hippocampus",
    "amygdala",
    "nucleus accumbens",
    "ventral diencephalon",
]
MIDLINE = ["third ventricle", "fourth ventricle", "brainstem", "cerebrospinal fluid", "brain"]


def test_the_taught_phrases_are_exactly_these():
    assert {s.name for s in o.taught("brain")} == {f"{d} {b}" for b in SIDED for d in o.SIDES} | set(MIDLINE)
    assert [s.name for s in o.taught("head_neck")] == [
        "brainstem", "spinal cord", "left parotid gland", "right parotid gland", "esophagus", "larynx", "mandible",
    ]  # fmt: skip
    assert [s.name for s in o.taught("hippocampus")] == ["hippocampus", "anterior hippocampus", "posterior hippocampus"]
    assert [s.name for s in o.taught("tumour_mr")] == [s.name for s in o.taught("tumour_pet")] == ["tumour"]
    with pytest.raises(ValueError, match=r"'knee'.*one of brain"):
        o.taught("knee")


def test_every_taught_structure_has_names_to_learn_from():
    for s in o.all_structures():
        if s.taught:
            assert len(s.synonyms) + len(s.abbreviations) >= 4, s.name
            assert s.latin, s.name
            assert all(s.translations[x] for x in o.LANGUAGES), s.name
            assert s.function, s.name


def test_freesurfer_numbers_are_the_published_ones():
    number = {s.freesurfer[0]: s.name for s in o.all_structures() if s.freesurfer}
    assert (number[17], number[53], number[16], number[4], number[60]) == (
        "left hippocampus", "right hippocampus", "brainstem", "left lateral ventricle", "right ventral diencephalon",
    )  # fmt: skip
    assert len(number) == 2 * 14 + 4


@pytest.mark.parametrize("family", o.SCAN_FAMILIES)
def test_every_name_of_a_taught_structure_finds_it(family):
    for s in o.taught(family):
        for name in s.names:
            assert o.lookup(name, family) == s, name
            assert o.lookup(f" The {name.upper()}?", family) == s, name


def test_a_name_never_finds_the_other_side():
    for s in o.all_structures():
        if s.side:
            for name in s.names:
                found = o.lookup(name)
                assert found is not None, name
                assert found.side == s.side, name


def test_unsided_plural_and_group_words_mean_both_sides():
    def names(text, family="brain"):
        return [s.name for s in o.resolve(text, family)]

    both = ["left hippocampus", "right hippocampus"]
    assert names("hippocampi") == names("both hippocampi") == names("hippocampus") == names("bilateral HC") == both
    assert names("hippocampus", "hippocampus") == ["hippocampus"]
    assert names("left hippocampus") == ["left hippocampus"]
    assert names("striatum on the right") == ["right caudate nucleus", "right putamen"]
    assert names("all deep grey nuclei on the left") == [
        f"left {b}" for b in ("thalamus", "caudate nucleus", "putamen", "pallidum", "nucleus accumbens")
    ]
    assert names("ventricles")[-2:] == ["third ventricle", "fourth ventricle"]
    assert names("left ventricles") == ["left lateral ventricle", "left inferior lateral ventricle"]
    assert names("parotids", "head_neck") == ["left parotid gland", "right parotid gland"]
    assert names("flux capacitor") == []
    assert o.lookup("") is None


def test_other_languages_agree_in_gender():
    left = o.by_name()["left amygdala"]
    assert left.translations["de"][0] == "linke Amygdala"
    assert left.translations["fr"][0] == "amygdale gauche"
    assert o.by_name()["right hippocampus"].translations["es"][0] == "hipocampo derecho"
    assert o.lookup("左侧海马").name == "left hippocampus"
    assert o.lookup("hippocampe droit").name == "right hippocampus"


def test_flip_swaps_words_and_nothing_else():
    assert o.flip("Is the LEFT one bigger than the Right?") == "Is the RIGHT one bigger than the Left?"
    assert o.flip("left-sided, leftmost, bright, cleft, m1") == "right-sided, rightmost, bright, cleft, m1"
    for s in o.all_structures():
        assert o.flip(o.flip(s.name)) == s.name
        assert o.flip(s.name) in o.by_name()


@pytest.mark.parametrize("family", o.SCAN_FAMILIES)
def test_nothing_taught_in_a_family_is_called_surely_absent(family):
    absent = o.surely_absent(family)
    assert len(absent) >= 10
    assert not set(absent) & set(o.taught(family))


def test_structures_of_public_sets_are_named_and_never_asked_for_as_absent():
    """The embedded model's questions stay what they are, however many structures the recipes name."""
    further = {f"{side} {row.base}" if row.sided else row.base for row in FURTHER for side in o.SIDES}
    assert further <= set(o.by_name())
    assert not any(o.by_name()[name].taught for name in further)
    for family in o.SCAN_FAMILIES:
        assert not {s.name for s in o.surely_absent(family)} & further
        assert not set(absent_phrases(family)) & further
    assert {s.name for s in o.asked()} == set(o.by_name()) - further
    assert o.surely_absent("body_ct") == ()  # a scan of the belly shows a liver: nothing is known to be away
    for row in FURTHER:  # a synonym is drawn from these: an empty one would be a question about nothing
        assert row.en, row.base
    assert o.lookup("postcava").name == "inferior vena cava"
    assert o.lookup("linke 3. Rippe").name == "left rib 3"
    assert o.lookup("第4腰椎").name == "vertebra L4"
    assert [s.name for s in o.resolve("kidneys")] == ["left kidney", "right kidney"]


def test_a_mirrored_heart_keeps_the_names_of_its_chambers():
    asked = "Is the left atrium left of the left lung, and the Left Ventricle of the heart?"
    assert o.flip(asked) == "Is the left atrium right of the right lung, and the Left Ventricle of the heart?"
    assert o.flip("left lateral ventricle") == "right lateral ventricle"


def test_ranges_name_their_source():
    for s in o.all_structures():
        if s.reference_range_ml:
            low, high, source = s.reference_range_ml
            assert 0 < low < high
            assert "not a norm" in source


def test_exclusive_groups_are_parts_and_each_group_is_there_once():
    groups = o.exclusive()
    assert len(set(groups)) == len(groups)
    names = {name for group in groups for name in group}
    assert {"left hippocampus", "mandible", "anterior hippocampus", "tumour"} <= names
    assert not {"brain", "hippocampus"} & names
    assert ("tumour",) in groups
    for group in groups:  # a structure and its other side exclude each other
        assert {o.flip(name) for name in group} == set(group)
