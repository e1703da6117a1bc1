"""The words of the desk are in texts.py: what the viewer's markup and scripts ask for is there, and nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assistant.desk import texts

DESK = Path(texts.__file__).parent
MARKUP = (DESK / "viewer.html").read_text(encoding="utf-8")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DESK.glob("*.js"))}


def test_what_is_asked_for_is_there_and_all_of_it_is_used() -> None:
    marks = set(re.findall(r"\[\[(\w+)\]\]", MARKUP))
    code = "\n".join(SCRIPTS.values())
    used = set(re.findall(r"\bwords\.(\w+)", code)) - {"back", "next", "skip", "done"}  # the tour's own
    assert marks | used <= set(texts.VIEWER)
    assert set(texts.VIEWER) - marks - used == {"neurological"}  # by a computed name
    json.dumps(texts.VIEWER)


def test_the_markup_has_no_words_of_its_own() -> None:
    seen = re.sub(r"<[^>]*>|\[\[\w+\]\]", " ", MARKUP)
    assert seen.split() == ["?", "0", "–"]
    for name in ("aria-label", "title"):
        assert all(value.startswith("[[") for value in re.findall(rf'{name}="([^"]*)"', MARKUP))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_shows_no_words_of_its_own(name: str) -> None:
    shown = re.findall(r'(?:textContent|ariaLabel|title)\s*[:=]\s*["`]([A-Za-z][^"`$]*)', SCRIPTS[name])
    assert shown == []
