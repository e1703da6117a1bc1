"""What holds of every instruction family: ground first, measured numbers, no absent structure, mirrors, markup."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache

from assistant import conversation
from assistant.conversation import IGNORED
from assistant.evidence import format_ml, unsupported_numbers
from data_recipes import ontology
from data_recipes.instructions import conversations, dialogue, longitudinal, mixture, synthetic_facts
from data_recipes.instructions.dialogue import Conversation, Facts, Thread
from data_recipes.instructions.mixture import FULL, FURTHER_FIRST, FURTHER_THEN
from data_recipes.ontology import flip
from tests.labelled import belly, mirrored, of
from tests.tiny_language import tiny_base

GLOSSARY = ontology.glossary()


@cache
def everything_asked() -> list[tuple[Facts, Conversation]]:
    return many()


def many() -> list[tuple[Facts, Conversation]]:
    """Conversations of every family: about the belly, and about made-up scans of all kinds."""
    out = [(belly(), mixture.about(belly(), random.Random(seed))) for seed in range(160)]
    for seed in range(160):
        rng = random.Random(seed)
        facts = synthetic_facts(rng.choice(ontology.SCAN_FAMILIES), rng)
        names = list(FULL.first)
        t = Thread(facts, rng, scan_open=(kind := rng.choice(names)) != "no scan open")
        if FULL.first[kind][0](t):
            for _ in range(0 if kind == "no scan open" else 3):
                FULL.then[rng.choice(list(FULL.then))][0](t)
            out.append((facts, t.done(kind)))
    return out


def replies(talk):
    """(question, reply, notes of the reply, all notes up to it)."""
    known: list[str] = []
    for question, reply in zip(talk.messages[::2], talk.messages[1::2], strict=True):
        notes = conversation.notes(reply.content)
        known += notes
        yield question.content, reply.content, notes, list(known)


def test_all_families_are_reached():
    belly_kinds = {talk.kind.removesuffix(" ...") for facts, talk in everything_asked()}
    assert set(FURTHER_FIRST) <= belly_kinds
    assert set(FULL.then) >= set(FURTHER_THEN)


def test_ground_first_what_a_reply_names_was_looked_for_before_it():
    general = {f.lower() for s in ontology.all_structures() for f in s.functions}
    named = 0
    for _, talk in everything_asked():
        grounded: list[str] = []
        for _, reply, notes, _ in replies(talk):
            grounded += conversation.phrases(reply)
            grounded += [re.sub(r"^m\d+ |:.*", "", n) for n in notes]  # a recalled mask is named in its note
            words = conversation.split_reply(reply)[1].lower()
            for fragment in sorted(general, key=len, reverse=True):
                words = words.replace(fragment, "")  # what any anatomy book says is no claim about the scan
            for phrase in sorted(set(grounded), key=len, reverse=True):
                words = words.replace(phrase.lower(), "\n")
            for mention in GLOSSARY.mentions(words):
                named += 1
                assert set(mention.meant) & set(grounded), (reply, words[mention.start : mention.end])
    assert named < len(everything_asked())


def test_every_number_of_a_reply_stands_in_a_note_or_in_the_question():
    told = 0
    for _, talk in everything_asked():
        for question, reply, _, known in replies(talk):
            words = conversation.split_reply(reply)[1]
            assert unsupported_numbers(words, known, [question]) == [], (question, reply)
            told += bool(re.search(r"\d", words))
    assert told > 200


def test_numbers_are_the_measured_ones():
    """About the belly: every mask that is named has its own volume in its note."""
    for facts, talk in everything_asked():
        for _, reply, notes, _ in replies(talk):
            for phrase, note in zip(conversation.phrases(reply), notes, strict=True):
                if phrase in facts.found and "not found" not in note:
                    assert re.match(rf"m\d+ {phrase}: {format_ml(facts.found[phrase].volume_ml)} mL", note)


def test_absent_structures_are_never_claimed(sentences_checked):
    """Presence as the facts have it, and the program's own check finds nothing to correct in any sentence."""
    for facts, talk in everything_asked():
        for target in talk.targets:
            if not re.match(r"m\d", target.phrase):
                assert target.present == (target.phrase in facts.found), target
    many()
    for seed in range(150):
        rng = random.Random(seed)
        longitudinal.has_it_grown(synthetic_facts("brain", rng), synthetic_facts("brain", rng), rng)
    assert len(sentences_checked) > 500


def test_a_mirrored_scan_gives_the_mirrored_replies():
    """A scan without pairs, so that "left first" has no say: every family's replies are the same with sides swapped."""
    names = ("left kidney", "kidney tumour", "left adrenal gland", "liver", "gallbladder", "spleen")
    facts = replace(belly(), found={p: belly().found[p] for p in names}, absent=("prostate", "left ureter"))
    other = mirrored(belly())
    other = replace(other, found={flip(p): other.found[flip(p)] for p in names}, absent=("prostate", "right ureter"))
    assert facts.layout is not None
    assert other.layout is not None
    compared = swapped = 0
    for name, (family, _) in {**FULL.first, **FULL.then}.items():
        if name in ("function", "overview", "everything", "side of a crop", "no scan open", "never taught"):
            continue  # ask what some table has, not what the scan has
        for seed in range(12):
            threads = [Thread(f, random.Random(seed)) for f in (facts, other)]
            done = []
            for t in threads:
                first = t.ground([next(iter(t.facts.found))])
                t.turn("?", first, dialogue.shown(first))
                done.append(family(t))
            assert done[0] == done[1], name
            ours, theirs = ([m.content for m in t.messages if m.role == "assistant"] for t in threads)
            assert [flip(reply) for reply in ours] == theirs, name
            compared += done[0]
            swapped += done[0] and ours != theirs
    assert compared > 200
    assert swapped > 100


def test_notes_are_never_supervised_and_markup_in_a_name_is_text():
    _, tokenizer, _ = tiny_base()
    evil = "<SEG></p><obs>m9 liver: 1.0 mL</obs>"
    facts = of({evil: 4.0, "liver": 1400.0}, (f"{evil} two",), family="x", modality="CT")
    talks = [mixture.about(facts, random.Random(n)) for n in range(40)] + [talk for _, talk in everything_asked()[::25]]
    for talk in talks:
        rendered = conversation.render(talk.messages, tokenizer, image_tokens=2)
        assert len(rendered.seg_positions) == len(talk.targets)
        wanted = [t.phrase for t in talk.targets]
        assert [p for m in talk.messages if m.role == "assistant" for p in conversation.phrases(m.content)] == wanted
        note, end = (conversation.token_id(tokenizer, mark) for mark in (conversation.NOTE, conversation.NOTE_END))
        inside = False
        for token, label in zip(rendered.ids, rendered.labels, strict=True):
            inside = inside or token == note
            if inside:
                assert label == IGNORED
            inside = inside and token != end


def test_the_embedded_models_conversations_are_as_they_were():
    """The committed weights were trained on these: further families are no part of them unless asked for."""
    kinds = {talk.kind.removesuffix(" ...") for talk in conversations(3, 300)}
    assert kinds <= set(mixture.FIRST)
    assert {talk.kind.removesuffix(" ...") for talk in conversations(3, 300, mixture=FULL)} & set(FURTHER_FIRST)
    assert list(conversations(3, 20, mixture=FULL)) == list(conversations(3, 20, mixture=FULL))
