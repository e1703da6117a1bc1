"""Which structures a question mentions, and that a reply names those."""

from __future__ import annotations

import re

import pytest
import torch

from assistant import checkpoint, conversation, generate
from assistant.errors import ModelError
from assistant.generate import MENTIONED, Chat, Done, Grounded
from assistant.glossary import Glossary
from assistant.model import DeixisModel
from assistant.reference import with_names
from data_recipes import ontology
from tests.tiny_language import FakeStudy, tiny_base, tiny_model

SMALL = Glossary(
    {"liver": ("liver",), "leber": ("liver",), "larynx": ("larynx",), "kehlkopf": ("larynx",), "喉": ("larynx",),
     "kidney": ("left kidney", "right kidney"), "parotid gland": ("left parotid gland", "right parotid gland"),
     "gland": ("thyroid gland",), "lungs": ("left lung", "right lung")},
    {"LV": ("left lateral ventricle", "right lateral ventricle")},
    {"left": "left", "right": "right", "linke": "left", "rechte": "right", "l": "left", "r": "right", "droit": "right"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, what can you do?", []),
        ("Wie groß ist der Kehlkopf?", [("larynx",)]),
        ("请标出喉，谢谢", [("larynx",)]),
        ("Is the LIVER bigger than the right kidney?", [("liver",), ("right kidney",)]),
        ("the kidney on the left", [("left kidney",)]),
        ("any kidney", [("left kidney", "right kidney")]),
        ("the lung", [("left lung", "right lung")]),  # one of what has a name together
        ("its laryngeal volume", [("larynx",)]),
        ("the laryngeal nerve", []),
        ("left parotid gland", [("left parotid gland",)]),  # the longest name, not the gland in it
        ("l'LV droit", [("right lateral ventricle",)]),
        ("r kidney", [("left kidney", "right kidney")]),
        ("the livre, the Kehlkofp and the kidneys", [("larynx",), ("left kidney", "right kidney")]),  # long words only
        ("the structure that lies between the liver and the left kidney", []),
        ("Is the liver smaller than the organ which touches the larynx?", [("liver",)]),
        ("which part holds the larynx?", []),
        ("L kidney, R kidney", [("left kidney",), ("right kidney",)]),
        ("die linke LV", [("left lateral ventricle",)]),
        ("lv", []),  # abbreviations as they are spelled
        ("is it on the right, far away from what is the liver", [("liver",)]),  # no side to choose
        ("the left and the right kidney", [("left kidney", "right kidney")]),
        ("die rechte und die linke parotid gland", [("left parotid gland", "right parotid gland")]),
        ("what lies on the left and the right kidney", [("right kidney",)]),  # two things
        ("the left kidney and the right kidney", [("left kidney",), ("right kidney",)]),
        ("kidney left kidney right", [("left kidney",), ("left kidney",)]),  # before a name rather than behind it
    ],
)
def test_what_is_mentioned(text, expected):
    assert SMALL.mentioned(text) == expected


def test_the_ontology_mentions_its_own_names():
    """Every name of every structure, in a sentence, is heard as that structure; abbreviations that are words are not
    heard at all."""
    glossary = ontology.glossary()
    missed = []
    for structure in ontology.all_structures():
        for name in structure.names:
            meant = [phrase for mention in glossary.mentioned(f"So: {name}!") for phrase in mention]
            if structure.name not in meant:
                missed.append(name)
        assert structure.name not in missed
    words = {"rate", "Am", "Hip", "Pal", "Par", "Put", "Tu"}
    assert all(words & set(re.split(r"[\W_]+", name)) for name in missed)
    assert glossary.mentioned("Où est l'hippocampe droit ?") == [("right hippocampus",)]
    assert glossary.mentioned("Am I right? Put it there, at what rate?") == []
    assert Glossary.from_json(glossary.to_json()) == glossary


@pytest.fixture
def chat() -> Chat:
    model = tiny_model()
    model.glossary = SMALL
    return Chat(model, FakeStudy([3] * 40))


def replies(chat: Chat, question: str) -> list[str]:
    """What the reply looked for; each reply is made to open a name first."""
    opened = chat._open
    pick = chat._pick
    steps: list[int] = []

    def first(logits, banned, temperature, sampler):
        steps.append(1)
        return opened if len(steps) == 1 else pick(logits, banned, temperature, sampler)

    chat._pick = first
    events = list(chat.reply(question, max_new_tokens=30))
    assert isinstance(events[-1], Done)
    chat._pick = pick
    return [event.finding.phrase for event in events if isinstance(event, Grounded)]


def test_a_reply_names_what_the_question_mentions(chat, monkeypatch):
    """A tiny random model opens a name: without a mention it writes anything, with one it writes that. (Its logits are
    larger than a trained model's.)"""
    monkeypatch.setattr(generate, "MENTIONED", 80.0)
    assert replies(chat, "Where is it?")[:1] != ["larynx"]
    assert replies(chat, "Wie groß ist der Kehlkopf?")[0] == "larynx"
    assert replies(chat, "Und die Leber?")[0] == "liver"
    assert replies(chat, "the left kidney")[0] == "left kidney"
    assert replies(chat, "the right kidney, please")[0] == "right kidney"


def test_it_is_what_was_found_last(chat, monkeypatch):
    assert with_names("Is it bigger?", chat.known()) == "Is it bigger?"  # nothing was found so far
    monkeypatch.setattr(generate, "MENTIONED", 80.0)
    replies(chat, "Wie groß ist der Kehlkopf?")
    monkeypatch.setattr(Chat, "findings", [finding for finding in chat.findings if finding.phrase == "larynx"])
    assert with_names("Is it bigger than that one?", chat.known()) == "Is the larynx bigger than the larynx?"
    assert with_names("Does its limit fit? This is it's.", chat.known()) == "Does its limit fit? This is it's."
    assert with_names("Where is the liver? Is it large?", chat.known()) == "Where is the liver? Is it large?"
    assert list(chat._mentioned(with_names("Is the liver smaller than it?", chat.known()))) == ["liver", "larynx"]


def test_what_is_done_is_leaned_towards_no_more_and_certainty_wins(chat):
    tokens = conversation.encode_text(chat.model.tokenizer, "larynx")
    mentioned = {"larynx": [*tokens, chat._close]}
    logits = torch.zeros(len(chat.model.tokenizer))
    leaning = chat._leaning(logits, [], mentioned, set())
    assert leaning[tokens[0]] == MENTIONED
    assert leaning.sum() == MENTIONED  # nothing else has changed
    assert not logits.any()
    assert not chat._leaning(logits, [], mentioned, {"larynx"}).any()
    assert chat._leaning(logits, tokens, mentioned, set())[chat._close] == MENTIONED
    assert not chat._leaning(logits, [tokens[0] + 1], mentioned, set()).any()  # another name is being written
    logits[tokens[0] + 1] = MENTIONED + 1
    assert int(chat._leaning(logits, [], mentioned, set()).argmax()) == tokens[0] + 1


def test_a_checkpoint_keeps_its_glossary(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path / "without")
    assert DeixisModel.from_pretrained(tmp_path / "without", base=tiny_base()).glossary is None
    model.glossary = SMALL
    folder = tmp_path / "with"
    model.save_pretrained(folder)
    assert DeixisModel.from_pretrained(folder, base=tiny_base()).glossary == SMALL
    (folder / checkpoint.GLOSSARY).write_text("{}")
    with pytest.raises(ModelError, match="was changed"):
        DeixisModel.from_pretrained(folder, base=tiny_base())


def test_a_mention_has_its_place():
    """Also where the spelling is corrected, in Chinese, and where a question would be cut at a description."""
    text = "Der Kehlkofp, the organ which touches the liver; 喉"
    found = SMALL.mentions(text)
    assert [(text[m.start : m.end], m.meant) for m in found] == [
        ("Kehlkofp", ("larynx",)), ("liver", ("liver",)), ("喉", ("larynx",)),
    ]  # fmt: skip
    assert SMALL.side_words("linke, R and l of the right one") == [
        (0, 5, "left"), (7, 8, "right"), (22, 27, "right"),
    ]  # fmt: skip


def test_a_request_is_what_it_names(chat, monkeypatch):
    assert chat.phrases("Has the Kehlkopf grown, or the left kidney?") == ["larynx", "left kidney"]
    assert chat.phrases("  something   else ") == ["something else"]
    monkeypatch.setattr(generate, "MENTIONED", 80.0)
    replies(chat, "Wie groß ist der Kehlkopf?")
    monkeypatch.setattr(Chat, "findings", [finding for finding in chat.findings if finding.phrase == "larynx"])
    assert chat.phrases("Has it grown?") == ["larynx"]


def test_the_spanish_for_more_is_no_mass():
    """The singular of a plural drops its s, but "mas" is no singular of "mass"."""
    whole = ontology.glossary()
    assert whole.mentioned("¿Es más grande el hipocampo izquierdo?") == [("left hippocampus",)]
    assert whole.mentioned("Is there a mass?") == [("tumour",)]
