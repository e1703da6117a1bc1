"""Averaged weights, the best of a run and when it has stopped getting better; trackers by name; what a card says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assistant import checkpoint, model_card
from assistant.language import BaseIdentity
from tests.killed import dies
from tests.test_training_smoke import align_config, converse_config, started  # noqa: F401  a fixture
from tests.tiny_language import tiny_base
from training import align, converse, run, trackers
from training.keeper import Keeper


def one(value: float) -> dict[str, torch.nn.Parameter]:
    return {"w": torch.nn.Parameter(torch.tensor([value]))}


def test_the_average_follows_fast_first_and_by_its_decay_later():
    parameters = one(1.0)
    keeper = Keeper(parameters, ema=0.5)
    expected, after = 1.0, []
    for step, value in enumerate([2.0, 4.0, 8.0, 16.0, 32.0], 1):
        parameters["w"].data.fill_(value)
        keeper.step()
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
        after.append(float(keeper.weights()["w"]))
        assert after[-1] == pytest.approx(expected)
    with keeper.shown():
        assert parameters["w"].item() == pytest.approx(expected)
    assert parameters["w"].item() == 32.0  # the trained ones are back


def test_the_best_weights_are_kept_and_patience_ends():
    parameters = one(0.0)
    keeper = Keeper(parameters, keep_best=True, patience=2)
    for step, figure in enumerate([0.3, 0.5, 0.4, 0.5], 1):
        assert not keeper.done
        parameters["w"].data.fill_(step)
        keeper.judge(step, figure)
    assert keeper.done  # 0.4 and 0.5 were no better than 0.5
    assert (keeper.best_figure, keeper.best_step) == (0.5, 2)
    assert float(keeper.weights()["w"]) == 2.0
    again = Keeper(one(7.0), keep_best=True, patience=2)
    again.load_state_dict(keeper.state_dict())
    assert again.done
    assert float(again.weights()["w"]) == 2.0


def test_without_settings_nothing_is_kept():
    parameters = one(3.0)
    keeper = Keeper(parameters)
    keeper.step()
    keeper.judge(1, 1.0)
    keeper.judge(2, 0.0)
    parameters["w"].data.fill_(4.0)
    assert not keeper.done
    assert keeper.weights() == {}


@pytest.mark.slow
def test_a_killed_run_with_all_of_these_goes_on_to_the_digit_and_ends_early(started):  # noqa: F811
    """An untrained model probes at 0: after the first, patience 2 ends the run at the third, in step 6 of 20."""
    align.train(align_config(started), started / "align", tiny_base())
    config = replace(
        converse_config(started), steps=20, accumulate=2, ema=0.9, keep_best=True, patience=2, probe_every=2,
        mixture={"show": 5.0}, temperature=2.0, checkpoint_minutes=0.0,
    )  # fmt: skip
    converse.train(config, started / "whole", tiny_base())
    with dies(at=5, saved=3):
        converse.train(config, started / "killed", tiny_base())
    converse.train(config, started / "killed", tiny_base())
    whole, killed = (torch.load(started / name / "state.pt") for name in ("whole", "killed"))
    assert whole["step"] == killed["step"] == 6
    assert whole["kept"]["judged"] == killed["kept"]["judged"] == [0.0, 2, 2]
    for key, value in whole["parameters"].items():
        assert torch.equal(value, killed["parameters"][key])
        for part in ("average", "best"):
            assert torch.equal(whole["kept"][part][key], killed["kept"][part][key])
        assert not torch.equal(whole["kept"]["average"][key], value) or "region" in key
    files = [checkpoint.read_tensors(started / n / "checkpoint", checkpoint.ADAPTER) for n in ("whole", "killed")]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])


def test_trackers_are_named_or_refused_with_what_to_install(monkeypatch):
    assert trackers.checked("tensorboard") == ["tensorboard"]
    assert trackers.checked("") == []
    with pytest.raises(trackers.TrackerError, match=r"no tracker 'tensorbord': choose of tensorboard, wandb"):
        trackers.checked("tensorbord")
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(trackers.TrackerError, match="pip install wandb"):
        trackers.checked("tensorboard, wandb")
    assert trackers.checked("mlflow,trackio") == ["mlflow", "trackio"]


def test_a_config_is_flat_and_plain_for_trackers():
    told = {"lr": 0.1, "on": True, "start": Path("a"), "none": None, "mixture": {"show": 5.0}, "names": ["x", "y"]}
    assert trackers.plain(told) == {
        "lr": 0.1, "on": True, "start": "a", "none": "None", "mixture.show": 5.0, "names": "['x', 'y']",
    }  # fmt: skip


def test_the_config_is_given_to_the_tracker_and_the_checkpoint_says_how_it_was_made(started):  # noqa: F811
    folder = align.train(align_config(started), started / "align", tiny_base())
    (events,) = (started / "align").rglob("hparams.yml")
    assert "learning_rate: 0.001" in events.read_text()
    _, manifest = checkpoint.read(folder)
    assert manifest.data["align"]["cases"] == {"brain": 2, "head_neck": 2}
    assert len(manifest.data["align"]["index_sha256"]) == 64
    assert {"torch", "accelerate", "deixis", "python"} <= manifest.versions.keys()
    told = manifest.training["align"]
    assert told["steps_done"] == 6
    assert told["processes"] == 1
    assert "code" in told
    text = (folder / model_card.NAME).read_text()
    told = (manifest.base.sha256, manifest.sha256, "2 brain, 2 head_neck", "6 steps", "Seeds: align 0", "clip 1.0")
    for said in told:
        assert said in text


def test_a_card_of_ones_own_is_not_written_over_and_says_nothing_the_manifest_does_not(tmp_path):
    base = BaseIdentity("tiny", "0" * 64)
    write = lambda **told: checkpoint.write(tmp_path, {}, {}, base, **told)  # noqa: E731
    write()
    path = tmp_path / model_card.NAME
    assert "names no stage of training" in path.read_text()
    assert "names no data" in path.read_text()
    write(training={"align": {"steps_done": 3, "rows": 2}})
    assert "- align, 3 steps: rows 2" in path.read_text()
    write(data={"own": {"learned": ["a", "b"], "held out": ["c"]}})
    assert "- own: learned: 2, held out: 1" in path.read_text()
    path.write_text("mine")
    write()
    assert path.read_text() == "mine"


def test_a_checkpoint_of_before_the_card_is_still_read_strictly(tmp_path):
    checkpoint.write(tmp_path, {"a": 1}, {}, BaseIdentity("tiny", "0" * 64), training={"see": [{"settings": {}}]})
    (tmp_path / model_card.NAME).unlink()
    kept = json.loads((tmp_path / checkpoint.MANIFEST).read_text())
    kept["versions"].pop("accelerate")
    (tmp_path / checkpoint.MANIFEST).write_text(json.dumps(kept))
    config, manifest = checkpoint.read(tmp_path)
    assert config == {"a": 1}
    assert "accelerate" not in manifest.versions
    model_card.card(manifest)


def test_a_run_from_before_a_setting_goes_on_with_its_default(started):  # noqa: F811
    config = align_config(started)
    align.train(config, started / "align", tiny_base())
    kept = started / "align" / "config.yaml"
    lines = [line for line in kept.read_text().splitlines() if not line.startswith(("accumulate", "track"))]
    kept.write_text("\n".join(lines))
    align.train(config, started / "align", tiny_base())
    kept.write_text("\n".join(lines))
    with pytest.raises(run.ConfigError, match="accumulate"):
        align.train(replace(config, accumulate=2), started / "align", tiny_base())
