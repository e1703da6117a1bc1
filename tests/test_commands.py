"""The commands that training/ and data_recipes/ add to `deixis`."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from data_recipes import command as data
from data_recipes import registry
from training import command as train

ROOT = Path(__file__).resolve().parent.parent


def test_every_stage_is_a_module_with_a_main():
    for stage in train.STAGES:
        text = (ROOT / "training" / f"{stage}.py").read_text(encoding="utf-8")
        assert "def main(argv: Sequence[str] | None = None)" in text


def test_a_stage_gets_the_arguments_after_its_name(monkeypatch):
    """Its help names it as it was called, whatever the program was; sys.argv is given back."""
    seen = []
    stage = types.SimpleNamespace(main=lambda argv: seen.append((argv, sys.argv[0])) or 3)
    monkeypatch.setitem(sys.modules, "training.see", stage)
    before = sys.argv
    assert train.main(["see", "--out", "runs/x"]) == 3
    assert seen == [(["--out", "runs/x"], "deixis train see")]
    assert sys.argv is before


@pytest.mark.parametrize("arguments", [[], ["sea"]])
def test_an_unknown_stage_is_one_line_and_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_help_lists_the_stages_without_importing_torch():
    code = (
        "import sys; from training.command import main\n"
        "try: main(['--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert all(f"  {stage} " in done.stdout for stage in train.STAGES)


def test_data_list_names_each_recipe_with_its_licence(capsys):
    assert data.main(["list"]) == 0
    text = capsys.readouterr().out
    for name, recipe in registry.RECIPES.items():
        about = recipe.ABOUT
        assert f"{name} " in text
        assert f"{about.licence}; commercial use: {about.commercial}; {about.source}" in text


def test_data_inspect_prints_conversations(capsys):
    assert data.main(["inspect", "-n", "2", "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert text.count("# ") == 2
    assert "user: " in text
    assert "assistant: " in text
