"""Evidence-first decoding, with tiny models: the same <SEG> state as in training, a cache that equals no cache, and
replies in which every number was measured."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from assistant import conversation, generate, token_cache
from assistant.errors import QuestionError
from assistant.evidence import numbers_in, unsupported_numbers
from assistant.generate import Chat, Delta, Done, Grounded
from assistant.glossary import Glossary
from assistant.prompt_encoder import Prompt
from assistant.segmenter import Segmenter
from assistant.study import Study
from tests.tiny_language import IMAGE_TOKENS, TINY_SEGMENTER, FakeStudy, tiny_model

BOTH = "<p>left hippocampus</p> <p>right hippocampus</p> The left hippocampus is 3.0 mL and the right is 4.0 mL."
Scripted = Callable[..., tuple[Chat, FakeStudy]]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def scripted(model, monkeypatch) -> Scripted:
    """A chat whose language model says the given replies: its own choice of words, nothing else, is replaced."""

    def make(*replies: str, volumes: tuple[int, ...] = (), study: object = "fake") -> tuple[Chat, FakeStudy]:
        fake = FakeStudy(list(volumes))
        chat = Chat(model, fake if study == "fake" else study)
        said: list[int] = []
        for reply in replies:
            for piece in re.split(r"(</?p>)", reply):
                said += (
                    [conversation.token_id(model.tokenizer, piece)]
                    if piece in ("<p>", "</p>")
                    else conversation.encode_text(model.tokenizer, piece)
                )
            said.append(conversation.token_id(model.tokenizer, conversation.END))

        def pick(logits, banned, temperature, sampler):
            token = said.pop(0)
            assert token not in banned
            return token

        monkeypatch.setattr(chat, "_pick", pick)
        return chat, fake

    return make


def ask(chat: Chat, text: str, **more: object) -> tuple[Done, list[Grounded], str]:
    events = list(chat.reply(text, **more))
    assert isinstance(events[-1], Done)
    streamed = "".join(event.text for event in events if isinstance(event, Delta))
    assert streamed == events[-1].visible
    return events[-1], [event for event in events if isinstance(event, Grounded)], streamed


def test_a_name_without_a_side_is_both_sides(scripted, monkeypatch):
    """Asked for the hippocampus, a reply that looks at one of the two looks at the other as well, once."""
    reply = "<p>left hippocampus</p> The left hippocampus is 3.0 mL and the right is 4.0 mL."
    chat, _ = scripted(reply, reply, volumes=(3, 4, 3))
    names = {"hippocampus": ("left hippocampus", "right hippocampus")}
    monkeypatch.setattr(chat.model, "glossary", Glossary(names, {}, {"left": "left"}))
    monkeypatch.setattr(chat, "shown", lambda among=(): ["left hippocampus", "right hippocampus"])
    monkeypatch.setattr(chat, "_plan", lambda said: None)
    _, grounded, _ = ask(chat, "Can I have the hippocampus?")
    assert [event.finding.phrase for event in grounded] == ["left hippocampus", "right hippocampus"]
    chat.undo()
    _, grounded, _ = ask(chat, "Can I have the left hippocampus?")
    assert [event.finding.phrase for event in grounded] == ["left hippocampus"]


def test_a_question_of_one_sides_size_is_not_answered_with_the_others_as_well(scripted, monkeypatch):
    """Where the model would look at more than was asked for, the program says what was measured."""
    chat, _ = scripted(BOTH, volumes=(3, 4))
    names = {"hippocampus": ("left hippocampus", "right hippocampus")}
    monkeypatch.setattr(chat.model, "glossary", Glossary(names, {}, {"left": "left"}))
    monkeypatch.setattr(chat, "_plan", lambda said: None)
    done, grounded, _ = ask(chat, "How big is the left hippocampus?")
    assert [event.finding.phrase for event in grounded] == ["left hippocampus"]
    assert done.visible == "left hippocampus (m1)\nThe left hippocampus (m1) is 3.0 mL."


def test_all_that_is_asked_for_side_by_side_is_looked_for_and_told(scripted, monkeypatch):
    """The model looks for the first of two and speaks of it alone; what it leaves out is told from the mask."""
    chat, _ = scripted("<p>mandible</p> The mandible (m1) is 3.0 mL.", volumes=(3, 4))
    monkeypatch.setattr(chat.model, "glossary", Glossary({n: (n,) for n in ("mandible", "larynx")}, {}, {}))
    done, grounded, _ = ask(chat, "Where is the mandible, and how big is the larynx?")
    assert [event.finding.phrase for event in grounded] == ["mandible", "larynx"]
    said, places = done.visible.split(" The centre of m1 is at ")
    assert said.endswith("The mandible (m1) is 3.0 mL. The larynx (m2) is 4.0 mL.")
    assert "; that of m2 at x " in places
    assert "centre" not in done.content


def test_another_name_for_a_structure_is_that_structure(scripted, monkeypatch):
    """In a phrase that the model writes, and in a sentence that is checked: the mask contradicts it by any name."""
    chat, _ = scripted("<p>medulla spinalis</p> The medulla spinalis was not found.", volumes=(3,))
    names = {"spinal cord": ("spinal cord",), "medulla spinalis": ("spinal cord",)}
    monkeypatch.setattr(chat.model, "glossary", Glossary(names, {}, {}))
    done, grounded, _ = ask(chat, "Is the medulla spinalis there?")
    assert [event.finding.phrase for event in grounded] == ["spinal cord"]
    assert done.visible.endswith("The spinal cord (m1) is 3.0 mL.")
    assert "the spinal cord was found" in done.corrections[0]


def test_a_name_that_nobody_taught_is_the_reader_s(scripted, monkeypatch):
    """The model garbles a word that it does not know; the reply has it as the question wrote it."""
    replies = "<p>right Balkon</p>", "<p>corpus callosum</p>"  # of what was never taught the program says so itself
    chat, _ = scripted(*replies, volumes=(-1, -1))
    monkeypatch.setattr(chat.model, "glossary", Glossary({"larynx": ("larynx",)}, {}, {"left": "left"}))
    _, grounded, _ = ask(chat, "Wie groß ist der Balken?")
    assert [event.finding.phrase for event in grounded] == ["Balken"]
    _, grounded, _ = ask(chat, "Segment the callosum, corpus and all.")
    assert [event.finding.phrase for event in grounded] == ["corpus callosum"]
    replies = "<p>corpus</p>", "<p>larynx</p>", "<p>larynx</p>"
    chat, _ = scripted(*replies, volumes=(-1, -1, 3))
    for question, looked_for in (
        ("Where is the corpus callosum?", "corpus callosum"),  # a part of the name
        ("How big is the zygoma?", "zygoma"),  # the model knows of no zygoma
        ("How big is the layrxn?", "larynx"),
    ):
        assert [event.finding.phrase for event in ask(chat, question)[1]] == [looked_for]


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("Is there any lymph node?", "tumour"),
        ("and a lymph node?", "tumour"),
        ("Is there a lymph node in the left parotid gland?", "tumour"),
        ("Is there a lymph node near the upper neck?", "tumour"),
        ("Is there a lymph node?", "there lymph node"),
    ],
)
def test_what_no_name_stands_for_is_not_answered_by_something_else(scripted, monkeypatch, question, written):
    """Asked for a lymph node the model looks for a tumour; that there is none says nothing of lymph nodes."""
    reply = f"<p>{written}</p> No, the tumour was not found."
    chat, study = scripted(reply, volumes=(-1,))
    glossary = Glossary({"tumour": ("tumour",)}, {}, {})
    monkeypatch.setattr(chat.model, "glossary", glossary)
    done, grounded, _ = ask(chat, question)
    assert [event.finding.phrase for event in grounded] == ["lymph node"]
    # what is looked for has that name's state, not the tumour's
    assert torch.allclose(study.states[0], chat.phrase_state("lymph node")[0], atol=1e-4)
    assert "never taught to find the lymph node" in done.visible
    chat, _ = scripted("<p>tumour</p> Yes.", volumes=(0,))
    monkeypatch.setattr(chat.model, "glossary", glossary)
    _, grounded, _ = ask(chat, "Is there anything suspicious?")
    assert [event.finding.phrase for event in grounded] == ["tumour"]


def test_a_whole_of_another_kind_of_scan_is_both_its_sides(scripted, monkeypatch):
    """ "hippocampus" is a structure of crops; a head has a left and a right one."""
    reply = "<p>hippocampus</p> The left hippocampus is 3.0 mL and the right is 4.0 mL."
    chat, _ = scripted(reply, reply, reply, volumes=(3, 4, 5, 5))
    shown = ["left hippocampus", "right hippocampus", "brainstem"]
    monkeypatch.setattr(chat, "shown", lambda among=(): shown)
    done, grounded, _ = ask(chat, "Which structure forms new memories?")
    assert [event.finding.phrase for event in grounded] == ["left hippocampus", "right hippocampus"]
    assert done.visible.endswith("The left hippocampus is 3.0 mL and the right is 4.0 mL.")
    chat.undo()
    shown[:] = ["hippocampus"]
    _, grounded, _ = ask(chat, "Which structure forms new memories?")
    assert [event.finding.phrase for event in grounded] == ["hippocampus"]


def whole_pass(chat: Chat) -> tuple[torch.Tensor, conversation.Rendered]:
    """The states that training sees: the finished conversation in one pass, no cache."""
    rendered = conversation.render(chat.messages, chat.model.tokenizer, image_tokens=IMAGE_TOKENS)
    with torch.inference_mode():
        output = chat.model(torch.tensor([rendered.ids]), visual=chat.study.visual_features()[None])
    return output.hidden[0], rendered


def test_training_and_generation_take_the_same_seg_state(scripted):
    """The state that prompted each mask is the one that training takes from the finished conversation; the states one
    token before and after are far from it, so that being off by one cannot pass."""
    chat, study = scripted(BOTH, "<p>liver</p> The liver was not found.", volumes=(3, 4, 0))
    ask(chat, "How big are the hippocampi?")
    ask(chat, "And the liver?")
    hidden, rendered = whole_pass(chat)
    states = torch.cat([state[None] for state in study.states])
    assert len(rendered.seg_positions) == 3
    assert torch.allclose(states, chat.model.seg_states(hidden[None], [rendered.seg_positions]), atol=1e-4)
    for shift in (-1, 1):
        off = conversation.seg_states(hidden, [position + shift for position in rendered.seg_positions])
        assert ((states - off).norm(dim=1) > 1).all()


def test_a_cached_second_turn_equals_an_uncached_one(model):
    """The second reply, made on the first one's cache, has the logits and ids of one made from nothing."""
    study = FakeStudy([3] * 40)
    warm = Chat(model, study)
    list(warm.reply("How big is it?", max_new_tokens=12))
    fed: list[int] = []
    feed = warm.tokens.feed
    warm.tokens.feed = lambda ids, *more: fed.append(len(ids)) or feed(ids, *more)
    list(warm.reply("And the right one?", max_new_tokens=12))

    cold = Chat(model, FakeStudy([3] * 40))
    cold.messages = warm.messages[:3]
    rendered = cold._render(reply_next=True)
    cold_logits, _ = cold.tokens.bring(rendered.ids, rendered.image_positions)

    again = Chat(model, FakeStudy([3] * 40))
    list(again.reply("How big is it?", max_new_tokens=12))
    again.messages.append(warm.messages[2])
    warm_logits, _ = again.tokens.bring(rendered.ids, rendered.image_positions)
    assert torch.allclose(warm_logits, cold_logits, atol=1e-3)
    forgetful = Chat(model, FakeStudy([3] * 40))
    list(forgetful.reply("How big is it?", max_new_tokens=12))
    forgetful.tokens.crop(0)
    assert not forgetful.tokens.ids
    list(forgetful.reply("And the right one?", max_new_tokens=12))
    assert forgetful.messages == warm.messages
    assert fed[0] < len(rendered.ids) / 2  # only the new turn was run
    assert study.encoded == 1


def test_the_cache_holds_the_rendered_conversation(scripted):
    """What was generated token by token is what rendering the finished messages gives."""
    chat, _ = scripted(BOTH, volumes=(3, 4))
    ask(chat, "How big are they?")
    assert chat.tokens.ids == chat._render(reply_next=False).ids[: len(chat.tokens.ids)]
    assert len(chat.tokens.ids) == len(chat._render(reply_next=False).ids) - 2  # the end mark and its newline


def test_measured_then_said(scripted):
    """Each target is found, measured and noted before the sentence; ids, notes and text agree."""
    chat, _ = scripted(BOTH, volumes=(3, 4))
    done, grounded, _ = ask(chat, "How big are the hippocampi?")
    assert conversation.phrases(done.content) == ["left hippocampus", "right hippocampus"]
    first, second = conversation.notes(done.content)
    assert first == "m1 left hippocampus: 3.0 mL, 20.0 mm, mean 1.0, presence 0.98, quality 0.87"
    assert second.endswith("; m1 is smaller than m2 by 1.0 mL (25 %), together 7.0 mL")
    assert done.visible == (
        "left hippocampus (m1), right hippocampus (m2)\nThe left hippocampus is 3.0 mL and the right is 4.0 mL."
    )
    assert (done.corrections, done.unsupported, done.stopped) == ((), (), False)
    assert [event.finding.id for event in grounded] == ["m1", "m2"]
    assert grounded[1].finding.volume_ml == pytest.approx(4.0)
    assert grounded[1].finding.mask.sum() == 4


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("The left hippocampus is 3.7 mL.", "3.7 stands in no measurement"),
        ("The left hippocampus is 4.0 mL.", "4.0 is not a number of the left hippocampus"),
        ("The left hippocampus is larger than the right.", "the left hippocampus is smaller than"),
        ("No, the left hippocampus is smaller than the right.", "the left hippocampus is smaller than"),
        ("The left hippocampus was not found.", "the left hippocampus was found"),
    ],
)
def test_text_that_contradicts_the_masks_is_replaced(scripted, said, problem):
    """The measured statement takes its place, the change is told, and nothing wrong was streamed before."""
    chat, _ = scripted(f"<p>left hippocampus</p> <p>right hippocampus</p> {said} It is 99 mL.", volumes=(3, 4))
    done, _, streamed = ask(chat, "Is the left hippocampus smaller than the right?")
    assert problem in done.corrections[0]
    assert done.visible.splitlines()[1] == (
        "Yes. The left hippocampus (m1) is 3.0 mL. The right hippocampus (m2) is 4.0 mL."
        " The left hippocampus is smaller than the right hippocampus by 1.0 mL (25 %)."
    )
    assert said not in streamed
    assert "99" not in streamed
    assert unsupported_numbers(done.visible, conversation.notes(done.content)) == []
    assert chat.messages[-1].content == done.content  # the model's own memory has the corrected words


def test_an_absent_target_has_no_mask_and_no_yes(scripted):
    chat, _ = scripted("<p>liver</p> Yes, the liver is there.", volumes=(0,))
    done, grounded, _ = ask(chat, "Is there a liver?")
    finding = grounded[0].finding
    assert (finding.id, finding.present, finding.mask, finding.volume_ml) == ("", False, None, None)
    assert done.visible == "liver (not found)\nThe liver was not found."
    assert done.corrections


def test_every_number_of_a_reply_stands_in_a_note(model):
    """Random weights, random sampling, many seeds: whatever is said, no number is shown that no note or user has."""
    seen = 0
    for seed in range(12):
        chat = Chat(model, FakeStudy([3, 0, 5] * 40))
        done, _, _ = ask(chat, "Is the tumour 7 mL?", temperature=1.5, seed=seed, max_new_tokens=60)
        words = conversation.visible(done.content)
        notes = conversation.notes(done.content)
        assert unsupported_numbers(words, notes, ["Is the tumour 7 mL?"]) == []
        assert len(conversation.phrases(done.content)) == len(notes) == len(chat.findings) or notes
        seen += len(done.unsupported) + len(numbers_in(" ".join(notes)))
    assert seen > 0  # else the weights never tried


def test_the_same_seed_gives_the_same_reply(model):
    replies = [
        ask(Chat(model, FakeStudy([3] * 40)), "Where?", temperature=1.0, seed=seed, max_new_tokens=30)[0].content
        for seed in (1, 1, 2)
    ]
    assert replies[0] == replies[1] != replies[2]


def test_masks_are_recalled_combined_and_kept(scripted):
    """A name again is the same mask; an id is that mask; an expression is computed exactly and gets a new id."""
    chat, study = scripted(
        BOTH,
        "<p>left hippocampus</p> <p>m2</p> Here.",
        "<p>m2 - m1</p> <p>m1 & m2</p> <p>m1 - m2</p> <p>m7</p> Done.",
        volumes=(3, 4),
    )
    ask(chat, "Both?")
    done, grounded, _ = ask(chat, "Again?")
    assert [event.finding.id for event in grounded] == ["m1", "m2"]
    assert len(study.states) == 2  # nothing was decoded anew
    assert "m1 is smaller than m2" in conversation.notes(done.content)[1]
    assert done.visible.startswith("left hippocampus (m1), m2 (right hippocampus)\n")
    done, grounded, _ = ask(chat, "What is in one and not the other?")
    findings = [event.finding for event in grounded]
    # there is no m7: what was spoken of last is meant
    assert [finding.id for finding in findings] == ["m3", "m4", "", "m2"]
    assert [finding.volume_ml for finding in findings[:2]] == [pytest.approx(1.0), pytest.approx(3.0)]
    assert np.array_equal(findings[1].mask, chat.findings[0].mask)
    assert findings[0].presence == 0.98
    assert "presence" not in conversation.notes(done.content)[0]
    assert [finding.id for finding in chat.findings] == ["m1", "m2", "m3", "m4", ""]


def test_a_click_is_for_the_first_target(scripted):
    """It prompts the first mask only, and makes a known name a new mask."""
    chat, study = scripted(BOTH, BOTH, volumes=(3, 4, 5))
    ask(chat, "Both?")
    prompt = Prompt(points_mm=np.zeros((1, 3)), labels=np.ones(1, int))
    _, grounded, _ = ask(chat, "Here", prompt=prompt)
    assert study.prompts == [None, None, prompt]
    assert [event.finding.id for event in grounded] == ["m3", "m2"]


def test_a_region_is_read(scripted, model):
    """The feature behind <REG> changes the states of what follows it, and an undone turn leaves no trace of it."""
    states = []
    for seed in (0, 1):
        region = torch.randn(TINY_SEGMENTER.region_dim, generator=torch.Generator().manual_seed(seed))
        chat, study = scripted("<p>liver</p> The liver.", "<p>liver</p> The liver.", volumes=(3, 3))
        ask(chat, "What is this?", region=torch.ones(TINY_SEGMENTER.region_dim).cumsum(0))
        chat.undo()
        ask(chat, "What is this?", region=region)
        fresh, fresh_study = scripted("<p>liver</p> The liver.", volumes=(3,))
        ask(fresh, "What is this?", region=region)
        assert torch.allclose(study.states[1], fresh_study.states[0], atol=1e-5)
        states.append(study.states[1])
    assert (states[0] - states[1]).abs().max() > 2e-4  # one token among eighty, in a random model


def test_undo_takes_back_the_last_turn(scripted):
    chat, _ = scripted(BOTH, "<p>liver</p> The liver is 5.0 mL.", "<p>tumour</p> Here.", volumes=(3, 4, 5, 6))
    ask(chat, "Both?")
    before = (list(chat.messages), [finding.id for finding in chat.findings])
    ask(chat, "Liver?")
    chat.undo()
    assert (chat.messages, [finding.id for finding in chat.findings]) == before
    _, grounded, _ = ask(chat, "Tumour?")
    assert grounded[0].finding.id == "m3"
    chat.undo()
    chat.undo()
    assert chat.messages == chat.findings == []
    with pytest.raises(QuestionError, match="nothing to undo"):
        chat.undo()


def test_a_reply_broken_off_leaves_the_conversation_as_it_was(scripted):
    """An iterator that is closed, or an error while a mask is decoded, takes the turn back whole."""
    chat, study = scripted(BOTH, "<p>liver</p> x", volumes=(3, 4))
    events = chat.reply("Both?")
    while not isinstance(next(events), Grounded):
        pass
    events.close()
    assert chat.messages == chat.findings == []

    def broken(*_):
        raise MemoryError("no room")

    chat, study = scripted(BOTH, volumes=(3, 4))
    study.decode = broken
    with pytest.raises(MemoryError):
        list(chat.reply("Both?"))
    assert chat.messages == chat.findings == []


def test_stopping_keeps_what_was_said(scripted):
    """Stopped in the middle of a second name: the first target stays, measured, and the half name is gone."""
    chat, _ = scripted(BOTH, volumes=(3, 4))
    calls = iter(range(1000))
    done, grounded, _ = ask(chat, "Both?", should_stop=lambda: chat.findings != [] and next(calls) > 4)
    assert done.stopped
    assert len(grounded) == 1
    assert done.visible == "left hippocampus (m1)\nThe left hippocampus (m1) is 3.0 mL."
    assert conversation.phrases(done.content) == ["left hippocampus"]


def test_guards_end_a_reply(model, monkeypatch):
    """A model that only names targets stops naming after the first repetition; one that repeats itself is stopped."""
    chat = Chat(model, FakeStudy([3] * 40))
    word = conversation.encode_text(model.tokenizer, " liver")
    name = [chat._open, *word, chat._close]
    state = {"next": 0}

    def eager(logits, banned, temperature, sampler):
        wanted = name[state["next"] % len(name)]
        if wanted in banned:
            return word[0]
        state["next"] += 1
        return wanted

    monkeypatch.setattr(chat, "_pick", eager)
    done, grounded, _ = ask(chat, "Where?", max_new_tokens=200)
    assert len(grounded) == 2
    assert done.stopped


def test_a_name_that_does_not_end_is_closed(model, monkeypatch):
    chat = Chat(model, FakeStudy([3] * 40))
    words = conversation.encode_text(model.tokenizer, "abcdefghijklmnopqrstuvwxyz" * 4)
    picks = iter([chat._open, *words])
    monkeypatch.setattr(chat, "_pick", lambda *_: next(picks))
    _, grounded, _ = ask(chat, "Where?", max_new_tokens=40)
    assert len(grounded) == 1
    assert 10 < len(grounded[0].finding.phrase) < 60


def test_markup_the_model_spells_out_is_text(scripted):
    """`<SEG>` written letter by letter finds nothing and notes nothing."""
    chat, _ = scripted("Words: < obs>m1 liver: 9 mL</ obs>.".replace("< ", "<").replace("</ ", "</"))
    done, grounded, _ = ask(chat, "Repeat: <obs>m1 liver: 9 mL</obs>")
    assert grounded == []
    assert conversation.notes(done.content) == []
    rendered = conversation.render(chat.messages, chat.model.tokenizer, image_tokens=IMAGE_TOKENS)
    assert conversation.token_id(chat.model.tokenizer, "<obs>") not in rendered.ids


def test_without_a_scan_nothing_is_grounded(model):
    chat = Chat(model)
    done, grounded, _ = ask(chat, "Hello", temperature=1.0, seed=4, max_new_tokens=40)
    assert grounded == []
    assert conversation.phrases(done.content) == []
    assert not chat.messages[0].image


def test_questions_that_cannot_be_asked(model):
    chat = Chat(model, FakeStudy([3]))
    with pytest.raises(QuestionError, match="empty"):
        next(chat.reply("  "))
    with pytest.raises(QuestionError, match="reads 2048"):
        list(chat.reply("word " * 3000))
    assert chat.messages == []


def test_preparing_saves_the_first_question_its_start(model):
    """The system's sentence and the scan are run before the question, and the reply is the same."""
    warm, cold = Chat(model, FakeStudy([3] * 40)), Chat(model, FakeStudy([3] * 40))
    warm.prepare()
    length = len(warm.tokens.ids)
    assert length > IMAGE_TOKENS
    fed: list[int] = []
    feed = warm.tokens.feed
    warm.tokens.feed = lambda ids, *more: fed.append(len(ids)) or feed(ids, *more)
    contents = [ask(chat, "How big is it?", max_new_tokens=20)[0].content for chat in (warm, cold)]
    assert contents[0] == contents[1]
    assert fed[0] == len(warm._render(reply_next=False).ids) - _after_question(warm) - length


def _after_question(chat: Chat) -> int:
    return len(conversation.render_reply(chat.messages[-1].content, chat.model.tokenizer))


def test_with_the_real_segmenter(model, tiny_volume):
    """A random tiny segmenter on a real volume: masks of the volume's shape, or none, and the study encoded once."""
    torch.manual_seed(0)
    study = Study(tiny_volume, Segmenter(TINY_SEGMENTER))
    assert study.visual_features().shape == (IMAGE_TOKENS, TINY_SEGMENTER.visual_dim)
    chat = Chat(model, study)
    done, grounded, _ = ask(chat, "Where?", temperature=1.0, max_new_tokens=60)
    for event in grounded:
        assert event.finding.mask is None or event.finding.mask.shape == tiny_volume.shape
    assert done.visible


def test_what_was_never_taught_is_another_answer_than_not_found(scripted):
    """Whatever the model would say of it: that it cannot tell is the program's to say, and is no correction."""
    chat, _ = scripted("<p>liver</p> <p>spleen</p> No, neither was found.", volumes=(-1, 0))
    done, grounded, _ = ask(chat, "Are the liver and the spleen there?")
    assert [(event.finding.presence, event.finding.taught) for event in grounded] == [(0.0, False), (0.03, True)]
    assert conversation.notes(done.content)[0] == "liver: not found, never taught"
    assert done.visible == (
        "liver (never taught), spleen (not found)\nThe spleen was not found. I was never taught to find the liver, so I"
        " cannot say whether it is there."
    )
    assert done.corrections == ()
    assert not done.stopped
    chat, _ = scripted("<p>liver</p> <p>heart</p> Found.", volumes=(-1, -1))
    done, _, _ = ask(chat, "Are the liver and the heart there?")
    assert done.visible.endswith("never taught to find the liver or the heart, so I cannot say whether they are there.")


def test_loops_are_seen():
    assert generate._loops([1, 2, 3] * 4)
    assert not generate._loops([1, 2, 3] * 3)
    assert not generate._loops([])


def test_a_guess_saves_passes_and_changes_nothing(scripted, monkeypatch):
    """The second reply has the first one's form: most of it was guessed, so it takes fewer passes. The states that
    prompt the masks and what the cache holds are those of a chat that never guesses."""
    first = "<p>liver</p> The liver was found and measures 3.0 mL."
    second = "<p>spleen</p> The spleen was found and measures 4.0 mL."

    def told(most: int) -> tuple[Chat, FakeStudy, int]:
        monkeypatch.setattr(token_cache, "GUESS_MOST", most)
        chat, study = scripted(first, second, volumes=(3, 4))
        passes: list[int] = []
        run = chat.tokens.run
        monkeypatch.setattr(chat.tokens, "run", lambda ids, keep: passes.append(len(ids)) or run(ids, keep))
        ask(chat, "Where is the liver?")
        passes.clear()
        ask(chat, "And the spleen?")
        return chat, study, len(passes)

    plain, plain_study, plain_passes = told(0)
    guessing, study, passes = told(12)
    assert guessing.messages == plain.messages
    assert guessing.tokens.ids == plain.tokens.ids
    assert torch.allclose(torch.stack(study.states), torch.stack(plain_study.states), atol=1e-4)
    assert passes <= plain_passes - 5


def test_a_reply_in_an_earlier_one_s_form_takes_three_passes(scripted, monkeypatch):
    """The question with the name that it mentions, `</p><SEG>`, and the note with what was said of the other side the
    last time, in terms of this one."""
    monkeypatch.setattr(token_cache, "GUESS_MOST", 80)
    chat, _ = scripted(
        *(f"<p>{side} liver</p> The {side} liver (m{n}) is {n + 2}.0 mL." for n, side in ((1, "left"), (2, "right"))),
        volumes=(3, 4),
    )
    names = {f"{side} liver": (f"{side} liver",) for side in ("left", "right")}
    monkeypatch.setattr(chat.model, "glossary", Glossary(names, {}, {}))
    ask(chat, "Where is the left liver?")
    passes: list[str] = []
    run, decode = chat.tokens.run, chat.model.tokenizer.decode
    monkeypatch.setattr(chat.tokens, "run", lambda ids, keep: passes.append(decode(ids)) or run(ids, keep))
    done, _, _ = ask(chat, "And the right liver?")
    assert done.visible.startswith("right liver (m2)\nThe right liver (m2) is 4.0 mL.")
    assert [text.rpartition(">")[2] for text in passes] == ["right liver", "", " The right liver (m2) is 4.0 mL."]


def test_a_cache_that_cannot_go_back_is_given_no_guess(scripted, monkeypatch):
    """Linear attention keeps no past: a wrong guess could not be taken out of it again."""
    monkeypatch.setattr(token_cache.DynamicCache, "is_croppable", property(lambda cache: False))
    chat, _ = scripted("The liver is here and the liver is there.", study=None)
    ask(chat, "Where?")
    last, likely = chat.tokens.ids[-1], chat.tokens.ids[-6:-3]
    chat.tokens.feed([last], likely)
    assert chat.tokens._ahead == []
    monkeypatch.undo()
    chat.tokens.feed([last], likely)
    assert [token for token, _ in chat.tokens._ahead] == likely


def test_a_wrong_guess_is_forgotten(scripted):
    """Text that turns away from what stood there before: the cache is still that of the text."""
    chat, _ = scripted("The liver is here and the liver is there. The liver is gone.", study=None)
    ask(chat, "Where?")
    assert chat.tokens.ids == chat._render(reply_next=False).ids[: len(chat.tokens.ids)]
    fresh = Chat(chat.model)
    with torch.inference_mode():
        expected, _ = fresh.tokens.run(chat.tokens.ids, 1)
        seen, _ = chat.tokens.feed([chat.tokens.ids[-1]])
        again, _ = fresh.tokens.run([chat.tokens.ids[-1]], 1)
    assert torch.allclose(seen, again[0], atol=1e-4)
    assert not torch.allclose(expected[0], again[0], atol=1e-2)


def test_what_the_masks_name_is_looked_at_first(scripted):
    """With a name given the reply begins with it, whatever the model would say; the model says the rest."""
    chat, study = scripted(" This is the spleen.", volumes=(4,))
    chat.tokens.regions.clear()
    done, grounded, _ = ask(chat, "What is here?", name="spleen")
    assert [event.finding.phrase for event in grounded] == ["spleen"]
    assert done.content.startswith("<p>spleen</p><SEG>")
    assert chat.tokens.ids == chat._render(reply_next=False).ids[: len(chat.tokens.ids)]
    assert len(study.states) == 1


def test_what_is_decided_is_run_in_one_pass(scripted, monkeypatch):
    """Of tokens that a plan gives only the first makes a pass; the logits after each are those of one at a time."""
    chat, _ = scripted("Hello.")
    ask(chat, "Hello")
    tokens = chat.tokens
    start, given = list(tokens.ids), conversation.encode_text(chat.model.tokenizer, " The left one is larger")
    passes: list[int] = []
    run = type(tokens).run
    monkeypatch.setattr(tokens, "run", lambda ids, keep: (passes.append(len(ids)), run(tokens, ids, keep))[1])
    together = [tokens.advance(token, given[i + 1 :]) for i, token in enumerate(given)]
    assert passes == [len(given)]
    tokens.crop(len(start))
    monkeypatch.setattr(tokens, "guess", lambda ids: [])
    single = [tokens.advance(token) for token in given]
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(together, single, strict=True))


def test_a_full_context_forgets_the_oldest_turns_and_no_mask(scripted, monkeypatch):
    """What the language model reads stays within its room, begins with the scan and ends with the question; the cache
    is still a prefix of it, and every turn can be taken back."""
    room, count = 900, 20
    chat, _ = scripted(*["<p>left hippocampus</p> The left hippocampus is 3.0 mL."] * count, volumes=(3,))
    monkeypatch.setattr(Chat, "_room", room)
    starts = []
    for number in range(count):
        _, grounded, _ = ask(chat, f"Question number {number}?")
        assert grounded[0].finding.id == "m1"
        rendered = chat._render(reply_next=False)
        assert len(rendered.ids) <= room
        assert len(rendered.image_positions) == IMAGE_TOKENS
        assert chat.tokens.ids == rendered.ids[: len(chat.tokens.ids)]
        starts.append(re.findall(r"Question number \d+", conversation.decode_text(chat.model.tokenizer, rendered.ids)))
    assert starts[-1][-1] == f"Question number {count - 1}"
    assert starts[-1][0] != "Question number 0"
    assert len({first for first, *_ in starts}) < count / 2  # half of the room is made free at once
    assert len(chat.messages) == 2 * count
    for _ in range(count):
        chat.undo()
    assert chat.messages == chat.findings == []
