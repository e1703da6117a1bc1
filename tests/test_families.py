"""Instruction families, each exact on a scan that the test makes; what holds of all is in `test_all_families.py`."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from assistant import composition, conversation
from assistant.evidence import format_ml
from assistant.statements import read_statement
from data_recipes import ontology
from data_recipes.instructions import (
    corrections,
    descriptions,
    dialogue,
    exclusion,
    longitudinal,
    pointing,
    presence,
    rationales,
    reasoning,
    references,
    refusals,
    reports,
    spatial,
    synthetic_facts,
)
from data_recipes.instructions.dialogue import Conversation, Facts, Thread
from tests.labelled import BELLY, belly, of

GLOSSARY = ontology.glossary()


def asked(family, facts: Facts, seeds=range(60), before=None) -> list[Conversation]:
    """One conversation a seed for which the family has something to ask; `before` sets the stage."""
    out = []
    for seed in seeds:
        t = Thread(facts, random.Random(seed))
        if before is not None:
            before(t)
        if family(t):
            out.append(t.done("x"))
    assert out
    return out


def said(talk: Conversation) -> str:
    """The last reply without its grounding."""
    return conversation.split_reply(talk.messages[-1].content)[1].strip()


def every(family, facts: Facts, **more) -> set[str]:
    return {said(talk) for talk in asked(family, facts, **more)}


def about_one(phrase):
    """A first turn that grounds these phrases."""

    def turn(t):
        phrases = [phrase] if isinstance(phrase, str) else phrase
        notes = t.ground(phrases)
        t.turn("?", notes, dialogue.shown(notes))

    return turn


def test_a_description_is_every_measurement():
    facts = of({"liver": 1400.4}, modality="CT", family="abdomen", means={"liver": 55.2}, lengths={"liver": 210.06})
    assert every(descriptions.describe, facts) == {
        "The liver (m1) has a volume of 1400.4 mL, a longest diameter of 210.1 mm and a mean intensity of 55 HU."
    }


def test_absent_structures_are_chosen_in_three_strengths():
    facts = of({"left kidney": 150.0}, ("right kidney", "prostate", "tumour"), family="abdomen")
    assert presence.any_absent(facts) == ["right kidney", "prostate", "tumour"]
    assert presence.popular(facts) == ["tumour"]
    assert presence.adversarial(facts) == ["right kidney"]
    brain = of({"left putamen": 4.0}, ("left pallidum", "liver", "larynx"))
    assert presence.adversarial(brain) == ["left pallidum"]  # of its group; the others are of other parts of the body
    talks = asked(presence.presence, facts, range(400))
    there = np.mean([talk.targets[0].present for talk in talks])
    assert 0.4 < there < 0.6
    assert {said(talk) for talk in talks} == {
        "Yes, the left kidney (m1, 150.0 mL) is in this scan.", "No, the right kidney was not found in this scan.",
        "No, the prostate was not found in this scan.", "No, the tumour was not found in this scan.",
    }  # fmt: skip


def test_everything_but_one_is_what_the_programs_own_rules_read():
    """The phrases of the reply are those that `composition` plans for the same question, and its words are the same."""
    facts = of({"liver": 1400.0, "spleen": 200.0, "stomach": 300.0, "left kidney": 150.0}, family="abdomen")
    for template in exclusion.EVERYTHING:
        plan = composition.read(template.format(x="the spleen"), GLOSSARY, lambda among: list(facts.found))
        assert plan is not None, template
        assert plan.targets == ("liver", "stomach", "left kidney"), template
    for talk in asked(exclusion.everything_except, facts):
        assert len(talk.targets) in (2, 3)
    plain = Thread(of({"liver": 1400.0, "spleen": 200.0, "stomach": 300.0}, family="abdomen"), random.Random(0))
    assert exclusion.everything_except(plain)
    assert len(plain.targets) == 2


def test_a_group_without_one_of_its_members():
    facts = synthetic_facts("brain", random.Random(1))
    talks = [t for t in asked(exclusion.everything_except, facts) if "basal ganglia" in t.messages[0].content.lower()]
    assert talks
    for talk in talks:
        kept = {ontology.by_name()[t.phrase].base for t in talk.targets}
        members = {"caudate nucleus", "putamen", "pallidum", "nucleus accumbens"}
        assert len(members - kept) == 1
        assert kept < members


def test_not_the_left_one_is_the_right_one():
    facts = of({"left kidney": 150.0, "right kidney": 160.0}, family="abdomen", modality="CT")
    for template in exclusion.PAIR:
        plan = composition.read(template.format(xs="kidneys", side="left"), GLOSSARY, lambda among: list(facts.found))
        assert plan is not None, template
        assert plan.targets == ("right kidney",), template
    for talk in asked(exclusion.not_that_side, facts):
        question, (target,) = talk.messages[0].content.lower(), talk.targets
        assert ("left" in question) != ("right" in question)
        assert target.phrase == ("right kidney" if "left" in question else "left kidney")


def test_what_is_missing_of_a_list_is_named():
    facts = of({"liver": 1400.0}, ("spleen",), family="abdomen")
    assert every(exclusion.which_is_not_there, facts) == {
        "The spleen was not found in this scan. The liver (m1) is in this scan."
    }


def test_a_list_of_which_nothing_is_there_is_told_to_be_missing():
    """As a trunk with two organs outlined may be asked: no sentence about what is there then."""
    facts = Facts("body_ct", "CT", {}, ("liver", "spleen", "left kidney", "pancreas"))
    for talk in asked(exclusion.which_is_not_there, facts):
        assert talk.messages[1].content.endswith(" not found in this scan.")


def test_where_things_lie_is_what_the_masks_show():
    """Every sentence about the belly is held against its boxes."""
    axis = {"above": (2, 1), "below": (2, -1), "in front of": (1, 1), "behind": (1, -1), "to the right of": (0, 1),
            "to the left of": (0, -1)}  # fmt: skip
    seen = set()
    for talk in asked(spatial.direction, belly(), range(300)):
        match = re.fullmatch(r"(Yes, |No, )?[tT]he (.*) \(m1\) lies (.*) the (.*) \(m2\)\.", said(talk))
        assert match, said(talk)
        answer, one, along, other = match.groups()
        a, b = BELLY[one], BELLY[other]
        if along in axis:
            n, sign = axis[along]
            assert sign * (sum(a[n]) - sum(b[n])) > 0, said(talk)
        else:
            assert along in ("medial to", "lateral to")
            nearer = abs(sum(a[0])) < abs(sum(b[0]))
            assert nearer == (along == "medial to"), said(talk)
        asked_for = re.search(r"(above|below|in front of|behind|medial to|lateral to|to the (?:left|right) of)",
                              talk.messages[0].content.lower())  # fmt: skip
        if answer and asked_for:
            assert (asked_for[1] == along) == (answer == "Yes, "), talk.messages
        seen.add(along)
    assert {"above", "below", "in front of", "behind", "medial to", "lateral to"} <= seen
    assert not spatial.direction(Thread(of({"liver": 1.0, "spleen": 2.0}), random.Random(0)))  # no masks, no places


def test_touching_and_nearest():
    touch = every(spatial.touching, belly(), seeds=range(200))
    yes = {s for s in touch if s.startswith("Yes")}
    assert {frozenset(re.findall(r"the ([\w ]+) \(m", s)) for s in yes} <= {
        frozenset({"left adrenal gland", "left kidney"}), frozenset({"gallbladder", "liver"}),
        frozenset({"kidney tumour"}),
    }  # fmt: skip
    assert yes
    assert "No, the liver (m1) and the spleen (m2) do not touch." in touch
    near = every(spatial.nearest, belly(), seeds=range(200))
    assert near
    for sentence in near:
        names = re.findall(rf"({'|'.join(sorted(BELLY, key=len, reverse=True))}) \(m", sentence)
        assert belly().layout is not None
        gaps = {n: belly().layout.gap_mm(names[1], n) for n in (names[0], *names[2:])}
        assert min(gaps, key=gaps.__getitem__) == names[0], sentence


def test_a_rule_is_quoted_with_its_source_and_measured():
    def rule(facts):
        return every(reasoning.by_rule, facts, seeds=range(20))

    end = " " + reasoning.LEAVE
    spleen = {v: of({"spleen": v}, modality="CT", family="abdomen") for v in (107.1, 107.2, 314.5, 314.6)}
    assert rule(spleen[314.6]) == {f"The spleen (m1) is 314.6 mL, which is above that range.{end}"}
    assert rule(spleen[314.5]) == {f"The spleen (m1) is 314.5 mL, which is within that range.{end}"}
    assert rule(spleen[107.2]) == {f"The spleen (m1) is 107.2 mL, which is within that range.{end}"}
    assert rule(spleen[107.1]) == {f"The spleen (m1) is 107.1 mL, which is below that range.{end}"}
    provided = ", provided that no contrast agent was given."
    for mean, met in ((40.4, ""), (40.6, "not ")):  # 40 and 41 HU as shown
        facts = of({"liver": 1400.0}, modality="CT", family="abdomen", means={"liver": mean})
        shown = "40" if met == "" else "41"
        assert rule(facts) == {
            f"The liver (m1) has a mean intensity of {shown} HU, so the criterion is {met}met{provided}{end}"
        }
    both = of({"liver": 1400.0, "spleen": 150.0}, modality="CT", family="x", means={"liver": 60.0, "spleen": 50.0})
    assert (
        "The liver (m1) has a mean intensity of 60 HU and the spleen (m2) of 50 HU. The first less the second is "
        f"within that range{provided}{end}"
    ) in rule(both)
    kidneys = {"left kidney": 110.0, "right kidney": 94.9}
    facts = of(dict.fromkeys(kidneys, 150.0), modality="CT", family="abdomen", lengths=kidneys)
    assert rule(facts) == {
        "The left kidney (m1) has a longest diameter of 110.0 mm and the right kidney (m2) of 94.9 mm. They differ by "
        f"more than 15 mm.{end}"
    }
    less = of(dict.fromkeys(kidneys, 150.0), modality="CT", family="x", lengths={**kidneys, "right kidney": 95.0})
    assert "differ by no more than 15 mm" in next(iter(rule(less)))
    hippocampi = of({"left hippocampus": 2.9, "right hippocampus": 3.1})
    assert rule(hippocampi) == {
        "Yes, the right hippocampus (3.1 mL) is larger than the left hippocampus (2.9 mL), by 0.2 mL. An average says "
        f"little about one person.{end}"
    }
    for one in reasoning.RULES:
        assert re.search(r"\(.*et al\. \d{4}.*\)\.$", one.quoted), "a rule names its source"


def test_a_structure_is_found_by_what_it_does_in_any_scan():
    facts = of({"left kidney": 150.0, "right kidney": 160.0, "liver": 1400.0}, family="abdomen", modality="CT")
    talks = asked(reasoning.by_function, facts)
    for talk in talks:
        phrases = {t.phrase for t in talk.targets}
        if "urine" in talk.messages[0].content.lower():
            assert phrases <= {"left kidney", "right kidney"}
        else:
            assert phrases == {"liver"}
    assert {len(t.targets) for t in talks} == {1, 2}


def test_what_is_pointed_at_is_where_the_pointer_is():
    layout = belly().layout
    assert layout is not None
    kinds = set()
    for talk in asked(pointing.point_at, belly(), range(120)):
        assert talk.pointer is not None
        assert talk.region is not None
        kinds.add(talk.pointer.kind)
        mask = layout.mask(talk.region)
        if talk.pointer.kind == "point":
            index = np.rint(layout.volume.to_index(np.array([talk.pointer.mm]))[0]).astype(int)
            assert mask[tuple(index)]
        elif talk.pointer.kind == "box":
            places = layout.volume.to_world(np.argwhere(mask))
            low, high = np.array(talk.pointer.mm[:3]), np.array(talk.pointer.mm[3:])
            assert (places >= low - 0.01).all()
            assert (places <= high + 0.01).all()
            assert (places.min(axis=0) - low <= pointing.SLACK_MM + 0.01).all()
        else:
            assert talk.pointer.mm == ()
        assert [m.region for m in talk.messages] == [True, False]
        assert talk.targets[0].phrase == talk.region
    assert kinds == {"point", "box", "mask"}


def test_references_mean_what_was_spoken_of():
    facts = of({"left putamen": 4.0, "right putamen": 5.0})
    two = about_one(["left putamen", "right putamen"])

    def one_of_two(t):
        two(t)
        t.turn("m1?", t.recall([t.masks[0]]), "...")

    assert every(references.other_one, facts, before=one_of_two) == {
        "The right putamen (m2) is 5.0 mL, with a longest diameter of 30.0 mm."
    }
    assert every(references.both, facts, before=two) == {
        "The left putamen (m1) is 4.0 mL and the right putamen (m2) is 5.0 mL."
    }
    small, large = "The smaller of them is the left putamen (m1): 4.0 mL.", (
        "The larger of them is the right putamen (m2): 5.0 mL."
    )
    for talk in asked(references.larger_one, facts, before=two):
        question = talk.messages[-2].content.lower()
        assert said(talk) in (small, large)
        if "smaller" in question or "larger" in question:  # no slip of the finger in the word
            assert said(talk) == (small if "smaller" in question else large)
    equal = of({"left putamen": 4.01, "right putamen": 4.02})
    assert every(references.larger_one, equal, before=two) == {
        "The left putamen and the right putamen are equal in volume: 4.0 mL."
    }
    assert not references.other_one(Thread(facts, random.Random(0)))


def test_that_without_the_tumour_is_measured_on_the_masks():
    talks = asked(references.without, belly(), before=about_one("left kidney"))
    assert {said(talk) for talk in talks} == {"The rest is 24.6 mL (m3)."}  # 25.344 mL less 0.768 mL
    assert [t.phrase for t in talks[0].targets] == ["left kidney", "kidney tumour", "m1 - m2"]
    assert "m3 m1 - m2: 24.6 mL" in talks[0].messages[-1].content


def test_a_users_slip_is_followed_and_a_measured_fact_stands():
    facts = of({"left putamen": 4.0, "right putamen": 5.0}, ("liver",))
    left, gone = about_one("left putamen"), about_one("liver")
    assert every(corrections.other_side, facts, before=left) == {"The right putamen is marked as m2: 5.0 mL."}
    assert every(corrections.another, facts, before=left) == {
        "The right putamen is marked as m2: 5.0 mL.", "The liver was not found in this scan."
    }  # fmt: skip
    assert every(corrections.number, facts, before=left) == {
        "That is not what was measured: the left putamen (m1) is 4.0 mL."
    }
    for talk in asked(corrections.number, facts, before=left):
        assert "4.0" not in talk.messages[-2].content
    assert every(corrections.presence, facts, before=left) == {
        "It was found: the left putamen is marked as m1, 4.0 mL."
    }
    assert every(corrections.presence, facts, before=gone) == {
        "I looked again: the liver was not found in this scan."
    }


def test_two_scans_of_a_patient_tell_what_has_grown():
    def change(before, now):
        talks = [longitudinal.has_it_grown(before, now, random.Random(n)) for n in range(12)]
        assert all(talks)
        return talks

    small, large = of({"tumour": 10.0}, family="tumour_mr"), of({"tumour": 20.0}, family="tumour_mr")
    for talk in change(small, large):
        assert said(talk) == "The tumour has grown by 10.0 mL: 20.0 mL now (m2), 10.0 mL before (m1)."
        assert [m.image for m in talk.messages] == [True, False, True, False]
        assert [(t.phrase, t.image) for t in talk.targets] == [("tumour", 0), ("tumour", 1)]
        assert "m1 is smaller than m2 by 10.0 mL (50 %)" in talk.messages[-1].content
    assert {said(t) for t in change(large, small)} == {
        "The tumour has shrunk by 10.0 mL: 10.0 mL now (m2), 20.0 mL before (m1)."
    }
    same = of({"tumour": 10.4}, family="tumour_mr")
    assert {said(t) for t in change(small, same)} == {
        "The tumour has not measurably changed: 10.4 mL now (m2), 10.0 mL before (m1)."
    }
    none = of({}, ("tumour",), family="tumour_mr")
    assert {said(t) for t in change(none, small)} == {
        "The tumour is there now (m1, 10.0 mL); it was not found before."
    }
    assert {said(t) for t in change(small, none)} == {
        "The tumour was not found now; before, it was 10.0 mL (m1)."
    }
    assert longitudinal.has_it_grown(of({"liver": 1.0}), of({"spleen": 1.0}), random.Random(0)) is None


def test_sentences_of_a_report_are_read_as_the_program_reads_them_and_judged_by_the_masks():
    facts = of({"left kidney": 150.0, "right kidney": 160.0}, ("tumour", "spleen"), family="abdomen", modality="CT")
    for name, kind in reports.SENTENCES.items():
        for true in (True, False):
            for seed in range(20):
                sentence = kind(Thread(facts, random.Random(seed)), true)
                if sentence is None:
                    continue
                read = read_statement(sentence.text, GLOSSARY)
                assert tuple(p for one in read.named for p in one.phrases) == sentence.phrases, sentence.text
                there = sentence.phrases[0] in facts.found
                if name == "not seen":
                    assert all(one.stated == "absent" for one in read.named), sentence.text
                    assert there != true
                elif name == "measured":
                    (size,) = read.named[0].sizes
                    shown = float(format_ml(facts.found[sentence.phrases[0]].volume_ml))
                    ((low, high),) = size.spans
                    assert (low <= shown <= high) == true
                elif name == "compared":
                    (relation,) = read.relations
                    a, b = (facts.found[p].volume_ml for p in sentence.phrases)
                    assert (relation.word == ("smaller" if a < b else "larger")) == true
    talks = asked(reports.check, facts, range(200))
    agreeing = [t for t in talks if said(t).startswith("The scan agrees: ")]
    against = [t for t in talks if said(t).startswith("The scan contradicts this: ")]
    assert len(agreeing) + len(against) == len(talks)
    assert min(len(agreeing), len(against)) > 60
    assert asked(reports.ground, facts)


def test_what_the_program_does_not_do_is_said_so():
    facts = of({"tumour": 10.0}, family="tumour_mr")
    for talk in asked(refusals.advice, facts):
        assert said(talk).endswith("I give no diagnosis and no treatment advice: please ask a physician.")
        assert talk.targets
    for talk in asked(refusals.never_taught, facts):
        (target,) = talk.targets
        (note,) = conversation.notes(talk.messages[-1].content)
        assert note == f"{target.phrase}: not found, never taught"
        assert said(talk) == f"I was never taught to find the {target.phrase}, so I cannot say whether it is there."


def test_a_rationale_looks_then_measures_then_concludes():
    facts = of({"left putamen": 4.0, "right putamen": 5.0}, ("liver",))
    compared = every(rationales.compare, facts, seeds=range(200))
    assert (
        "Looking: the left putamen was found as m1 and the right putamen was found as m2. Measuring: m1 is 4.0 mL and "
        "m2 is 5.0 mL. So the left putamen is smaller than the right putamen, by 1.0 mL."
    ) in compared
    assert every(rationales.there, of({}, ("liver",), family="abdomen")) == {
        "Looking: the liver was not found. So the liver is not in this scan, as far as I can tell."
    }
    assert "Looking: the liver was not found" in " ".join(every(rationales.there, facts, seeds=range(40)))


def test_verbs_agree_with_names_in_the_plural():
    facts = of({"costal cartilages": 50.0}, family="x", modality="CT")
    assert every(reports.check, facts, seeds=range(40)) >= {
        "The scan agrees: the costal cartilages were found (m1, 50.0 mL).",
        "The scan contradicts this: the costal cartilages (m1) are 50.0 mL.",
    }
    for single in ("left nucleus accumbens", "pancreas", "pair of kidneys", "pons", "biceps"):
        (note,) = Thread(of({single: 5.0}), random.Random(0)).ground([single])
        assert dialogue.agreeing(f"The {single} (m1) is 5.0 mL.", [note]) == f"The {single} (m1) is 5.0 mL."


@pytest.mark.parametrize("module", [
    descriptions, exclusion, spatial, pointing, references, corrections, longitudinal, reports, refusals, rationales,
])  # fmt: skip
def test_questions_have_eight_wordings_at_least(module):
    kinds = {
        name: value for name, value in vars(module).items()
        if name.isupper() and isinstance(value, tuple) and name not in ("LESIONS", "ORDER", "POINTERS")
    }  # fmt: skip
    assert kinds
    for name, templates in kinds.items():
        assert len(set(templates)) == len(templates) >= 8, name
