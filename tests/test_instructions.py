"""Conversations for training: right by construction, regular replies, wordings that mean what they are paired with."""

from __future__ import annotations

import random
import re

import nibabel as nib
import numpy as np
import pytest

from assistant import claims, conversation
from assistant.evidence import Note, unsupported_numbers
from data_recipes import ontology
from data_recipes.instructions import (
    conversations,
    dialogue,
    measured_facts,
    mixture,
    questions,
    small_talk,
    synthetic_facts,
    words,
)
from data_recipes.instructions import followups as f
from data_recipes.instructions import single as s
from data_recipes.instructions.mixture import FIRST, THEN
from data_recipes.schema import Case

MANY = list(conversations(seed=5, n=500))


def thread(family="brain", seed=0, **found):
    """A thread about a scan with given volumes (mL); everything else taught is absent."""
    rng = random.Random(seed)
    facts = synthetic_facts(family, rng)
    measured = {k.replace("_", " "): dialogue.made_up(v, 100.0, facts.unit, rng) for k, v in found.items()}
    names = [x.name for x in ontology.taught(family) if x.name not in measured]
    return dialogue.Thread(dialogue.Facts(family, facts.modality, measured, tuple(names)), rng)


def replies(talk):
    return [m.content for m in talk.messages if m.role == "assistant"]


def test_the_same_seed_gives_the_same_conversations():
    assert list(conversations(seed=5, n=20)) == MANY[:20]
    assert list(conversations(seed=6, n=20)) != MANY[:20]


def test_every_conversation_is_well_formed():
    for talk in MANY:
        roles = [m.role for m in talk.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert [m.image for m in talk.messages].count(True) == (0 if talk.kind == "no scan open" else 1)
        assert sum(m.region for m in talk.messages) == (talk.region is not None)
        assert all(m.content.strip() for m in talk.messages)
        asked = [p for content in replies(talk) for p in conversation.phrases(content)]
        assert [t.phrase for t in talk.targets] == asked


def test_ids_count_up_and_recalled_ids_exist():
    for talk in MANY:
        made = 0
        for content in replies(talk):
            for phrase, note in zip(conversation.phrases(content), conversation.notes(content), strict=True):
                given = None if ": not found" in note else re.match(r"m(\d+) ", note)
                if given and int(given[1]) == made + 1 and phrase != f"m{given[1]}":
                    made += 1
                elif given:
                    assert int(given[1]) <= made


def test_every_number_of_a_reply_stands_in_a_note():
    for talk in MANY:
        known = []
        for content in replies(talk):
            known += conversation.notes(content)
            assert unsupported_numbers(conversation.split_reply(content)[1], known) == []


def test_no_sentence_disagrees_with_its_notes(sentences_checked):
    """The program's own check of finished replies finds nothing to correct in what the model is taught."""
    list(conversations(seed=9, n=500))
    assert len(sentences_checked) > 700


def test_absent_targets_are_said_to_be_absent():
    absent = 0
    for talk in MANY:
        for content in replies(talk):
            notes = conversation.notes(content)
            gone = [n for n in notes if ": not found" in n and not n.startswith("m")]
            absent += bool(gone)
            assert not gone or "not found" in conversation.split_reply(content)[1]
    assert absent > 60


def test_a_comparison_reads_as_the_notes_do():
    t = thread(left_hippocampus=2.9, right_hippocampus=3.1)
    notes = t.ground(["left hippocampus", "right hippocampus"])
    assert str(notes[1]).endswith("m1 is smaller than m2 by 0.2 mL (6 %), together 6.0 mL")
    same = "the left hippocampus (2.9 mL) is smaller than the right hippocampus (3.1 mL), by 0.2 mL."
    assert dialogue.compared_in_words(notes, "smaller") == "Yes, " + same
    assert dialogue.compared_in_words(notes, "larger") == "No, " + same
    assert dialogue.compared_in_words(notes, "same") == "No, " + same
    assert dialogue.compared_in_words(notes) == "T" + same[1:]
    equal = thread(left_putamen=4.01, right_putamen=4.02).ground(["left putamen", "right putamen"])
    text = "the left putamen and the right putamen are equal in volume: 4.0 mL."
    assert dialogue.compared_in_words(equal, "same") == "Yes, " + text
    assert dialogue.compared_in_words(equal, "smaller") == "No, " + text
    one = thread(left_putamen=4.0).ground(["liver", "left putamen"])
    assert dialogue.compared_in_words(one, "larger") == (
        "The liver was not found in this scan, so it cannot be compared with the left putamen (m1, 4.0 mL)."
    )


def test_masks_of_masks():
    t = thread("hippocampus", hippocampus=3.3, anterior_hippocampus=1.8)
    t.turn("both", t.ground(["hippocampus", "anterior hippocampus"]), "...")
    whole, front = t.masks
    assert str(t.combine(whole, "-", front)).startswith("m3 m1 - m2: 1.5 mL")
    assert str(t.combine(whole, "&", front)).startswith("m4 m1 & m2: 1.8 mL")
    assert str(t.combine(front, "-", whole)) == "m2 - m1: not found, presence 0.00"
    assert str(t.combine(whole, "+", front)).startswith("m5 m1 + m2: 3.3 mL")
    apart = thread(left_putamen=4.0, right_putamen=5.0)
    apart.turn("both", apart.ground(["left putamen", "right putamen"]), "...")
    assert str(apart.combine(apart.masks[0], "&", apart.masks[1])) == "m1 & m2: not found, presence 0.00"


def test_follow_ups_speak_of_what_came_before():
    t = thread(left_putamen=4.0, right_putamen=5.0)
    t.turn("left putamen", t.ground(["left putamen"]), "...")
    assert f.other_side(t)
    assert t.messages[-1].content.startswith("<p>right putamen</p><SEG><obs>m2 right putamen: 5.0 mL")
    assert f.both_together(t)
    assert t.messages[-1].content.startswith("<p>m1 + m2</p><SEG><obs>m3 m1 + m2: 9.0 mL")
    assert t.messages[-1].content.endswith("Together they are 9.0 mL (m3).")
    assert f.recall_earlier(t)
    assert re.match(r"<p>(m\d)</p><SEG><obs>\1 ", t.messages[-1].content)
    assert not f.compare_last(thread())


def test_a_structure_keeps_its_mask_unless_it_is_pointed_at_again():
    t = thread(left_putamen=4.0, right_putamen=5.0)
    t.turn("both", t.ground(["left putamen", "right putamen"]), "...")
    again = t.ground(["right putamen", "left putamen"])
    assert [n.id for n in again] == ["m2", "m1"]
    assert "m2 is larger than m1" in str(again[1])
    assert t.ground(["left putamen"], pointed=True)[0].id == "m3"


@pytest.mark.parametrize("family", ontology.SCAN_FAMILIES)
def test_wordings_mean_their_phrases(family):
    rng = random.Random(2)
    for structure in ontology.taught(family):
        for _ in range(60):
            said = words.one(structure.name, rng).words
            said = re.sub(r"^(the|my|this) ", "", said)
            assert ontology.lookup(said, family) == structure, said
    for base in thread("brain", **{f"left_{b}": 1.0 for b in ("x",)}).facts.pairs() or [
        "thalamus",
        "lateral ventricle",
    ]:
        for _ in range(80):
            said = words.both(base, rng)
            found = [x.name for x in ontology.resolve(said.words.replace("/", " ").replace("+", " "), "brain")]
            assert sorted(found) == sorted(said.phrases), said
            if re.search(r"\bR(?:ight)?\b.*\bL(?:eft)?\b", said.words, re.IGNORECASE):
                assert said.phrases[0].startswith("right ")


def test_typing_roughly_never_swaps_the_side():
    rng = random.Random(1)
    for side in ontology.SIDES:
        for _ in range(400):
            text = words.rough(f"is the {side} hippocampus there?", rng).lower()
            assert side in text.split()
            assert not set(text.split()) & {x for x in ontology.SIDES if x != side}


def test_hippocampus_means_both_sides_in_a_brain_and_one_in_a_crop():
    said = {words.both("hippocampus", random.Random(i)).words.lower() for i in range(200)}
    assert {"hippocampus", "the hippocampus", "both hippocampi"} <= said
    crop = [t for t in conversations(seed=3, n=400) if t.family == "hippocampus"]
    assert not [p for t in crop for p in t.targets if p.phrase in ("left hippocampus", "right hippocampus")]


def test_kinds_have_twenty_question_templates():
    short = {"FIRST_WITHOUT", "SMALLER_LAST", "LARGER_LAST", "SAME_LAST", "INTENSITY_CT", "INTENSITY_PET"}
    kinds = {name: value for name, value in vars(questions).items() if isinstance(value, tuple)}
    for name, templates in kinds.items():
        assert len(set(templates)) == len(templates), name
        assert len(templates) >= (8 if name in short else 20), name
    assert len(kinds) > 40
    for name, (asked, reply) in small_talk.KINDS.items():
        assert len(set(asked)) >= 20, name
        assert reply.endswith(".")


def test_the_mixture_reaches_every_family():
    kinds = {talk.kind.removesuffix(" ...") for talk in conversations(seed=1, n=1500)}
    assert kinds == set(FIRST)
    t = thread(left_putamen=4.0, right_putamen=5.0)
    for family in (*FIRST.values(), *THEN.values()):
        family[0](t)  # whatever a family cannot do here it declines, and nothing breaks
    assert len(t.messages) > 20


def test_half_of_the_asked_for_is_absent_in_is_it_there():
    rng = random.Random(4)
    found = []
    for _ in range(400):
        t = dialogue.Thread(synthetic_facts(rng.choice(ontology.SCAN_FAMILIES), rng), rng)
        s.there(t)
        found += [target.present for target in t.targets]
    assert 0.35 < np.mean(found) < 0.65


def test_facts_of_a_real_case(tmp_path):
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[1:3, 2:4, 2:4] = 1
    for name, values in (("image", labels * 40.0 + 10), ("label", labels)):
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / f"{name}.nii.gz")
    phrases = {"tumour": (1,), "spinal cord": (9,)}
    image, label = tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"
    case = Case("c", "c", "tumour_mr", "MR", image, label, phrases, ("liver",), "", "", "train")
    facts = measured_facts(case)
    assert facts.found["tumour"].volume_ml == pytest.approx(8 * 0.008)
    assert facts.found["tumour"].mean_intensity == pytest.approx(50)
    assert "spinal cord" in facts.absent
    assert "liver" not in facts.absent
    talk = next(conversations(0, 1, [facts], measured=1.0))
    assert talk.case == "c"


def test_conversations_about_any_scan_ask_only_for_what_was_looked_for():
    """A heart: its chambers are no pair of sides, nothing else was outlined, and one kidney was, the other was not."""
    rng = random.Random(0)
    names = ("left atrium", "right atrium", "left kidney")
    found = {name: dialogue.made_up(60.0, 100.0, "HU", rng) for name in names}
    facts = dialogue.Facts("heart", "CT", found, ("ascending aorta",))
    assert facts.pairs() == []
    talks = [mixture.about(facts, random.Random(n)) for n in range(300)]
    # what the program says it was never taught is no statement about the scan
    asked = {t.phrase for talk in talks if not talk.kind.startswith("never taught") for t in talk.targets}
    plain = {phrase for phrase in asked if not re.match(r"m\d", phrase)}
    assert plain == {*names, "ascending aorta"}


def test_weights_and_temperature_of_the_mixture():
    """Weights replace the usual ones; the temperature evens out what is drawn."""
    assert mixture.tempered({"a": 16, "b": 4}, {}, 1.0) == {"a": 16, "b": 4}
    assert mixture.tempered({"a": 16, "b": 4}, {"b": 1}, 2.0) == {"a": 4, "b": 1}
    only = dict.fromkeys(mixture.FIRST, 0.0) | {"how big": 1.0} | dict.fromkeys(mixture.SCANS, 0.0) | {"brain": 2.0}
    made = list(mixture.conversations(0, 30, mixture=weighted(only)))
    assert {c.family for c in made} == {"brain"}
    assert {c.kind.removesuffix(" ...") for c in made} == {"how big"}
    usual, even = (
        [c.kind.startswith("overview") for c in mixture.conversations(1, 1500, mixture=weighted({}, t))]
        for t in (1.0, 1e6)
    )
    assert np.mean(usual) < 0.04  # 2 of 107
    assert np.mean(even) > 0.05  # one of 15 kinds
    assert list(mixture.conversations(3, 5)) == list(mixture.conversations(3, 5, mixture=weighted({})))
    with pytest.raises(ValueError, match="the mixture has no brian"):
        weighted({"brian": 1.0})
    with pytest.raises(ValueError, match="temperature is 0"):
        weighted({}, 0.0)
    with pytest.raises(ValueError, match="negative"):
        weighted({"brain": -1.0})


def weighted(weights: dict[str, float], temperature: float = 1.0) -> mixture.Mixture:
    return mixture.weighted(mixture.EMBEDDED, weights, temperature)


@pytest.mark.parametrize("name", ["the kidney tumour", "病灶"])
def test_a_yes_answers_every_wording_of_is_it_there(name):
    note = Note("m1", "kidney tumour", 0.96, 0.84, dialogue.made_up(0.8, 100.0, "HU", random.Random(0)))
    for wording in questions.THERE + questions.TUMOUR_THERE:
        asked = wording.format(x=name, Is="Is", it="it", **{"is": "is"})
        assert claims.flaw("Yes, the kidney tumour (m1) is in this scan.", [note], [], asked) is None, asked
