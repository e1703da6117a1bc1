"""Stage See's step and settings: samples that weigh alike, a run that goes on only as it began, its command line."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from accelerate import DistributedType

from assistant.errors import DeixisError
from assistant.segmenter import Segmenter
from tests.distributed_run import see_inputs
from training import check, program, run, see, swap
from training.converse import ConverseConfig
from training.optimizer import MuonWithAdamW
from training.phrases import PhraseBank
from training.processes import alone
from training.see import SampleLoss, Samples, SeeConfig

CONFIGS = Path(__file__).resolve().parent.parent / "training" / "configs"


@pytest.fixture
def config(tmp_path: Path) -> SeeConfig:
    return see_inputs(tmp_path)


def test_a_step_of_two_samples_has_the_mean_of_their_gradients(config, tmp_path, monkeypatch):
    """Made by hand here: each sample's own loss, whatever it shows."""
    taken: list[dict[str, torch.Tensor]] = []
    models: list[Segmenter] = []

    def wrapped(segmenter: Segmenter, config: SeeConfig) -> SampleLoss:
        models.append(segmenter)
        return SampleLoss(segmenter, config)

    def step(self: MuonWithAdamW, factor: float) -> None:
        taken.append({n: p.grad.clone() for n, p in models[0].named_parameters() if p.grad is not None})

    monkeypatch.setattr(see, "SampleLoss", wrapped)
    monkeypatch.setattr(MuonWithAdamW, "step", step)  # the weights stay as they are
    one_step = replace(config, steps=1, decay_steps=1, clip=1e9)
    see.train(one_step, tmp_path / "run")
    (model,) = models
    model.load_state_dict(torch.load(tmp_path / "run" / "last.pt")["model"])
    samples = Samples(see.load_packed(tmp_path / "pack"), one_step, 0, model.config)
    bank = PhraseBank.load(tmp_path / "phrases.pt")
    model.zero_grad()
    for index in range(2):
        sample, rng = samples.make(index), np.random.default_rng([0, index, 1])
        queries = see.choose(sample.queries, one_step.most_queries, rng)
        states = bank.pick([q.phrase for q in queries], rng)
        parts, _ = see.step_losses(model, sample, states, queries, one_step, one_step.balance)
        (torch.stack(list(parts.values())).sum() / 2).backward()
    by_hand = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert by_hand.keys() == taken[0].keys()
    for name, value in by_hand.items():
        torch.testing.assert_close(taken[0][name], value)


def test_every_sample_is_made_once_whoever_makes_it(config, monkeypatch):
    """Steps 1 to 2 of three samples each: by one process, by three, and by three with two workers each."""
    three = replace(config, batch=3, steps=3)
    monkeypatch.setattr(Samples, "make", lambda self, index: index)
    cases = see.load_packed(Path(config.packed))
    assert list(Samples(cases, three, 1)) == [3, 4, 5, 6, 7, 8]
    assert [list(Samples(cases, three, 1, process=(p, 3))) for p in range(3)] == [[3, 6], [4, 7], [5, 8]]
    loader = torch.utils.data.DataLoader(Samples(cases, three, 0, process=(1, 3)), batch_size=None, num_workers=2)
    assert list(loader) == [1, 4, 7]


def test_a_run_does_not_go_on_with_other_settings(config, tmp_path):
    """Also one of before there was `batch`: what its file does not say was as it is by default."""
    (tmp_path / "see").mkdir()
    (tmp_path / "see" / "last.pt").touch()
    before = {k: v for k, v in asdict(replace(config, batch=1)).items() if k != "batch"}
    (tmp_path / "see" / "config.yaml").write_text(yaml.safe_dump(before))
    with pytest.raises(run.ConfigError, match=r"\(lr 0.001, now 0.1; batch 1, now 2\): set them back, or give another"):
        see.train(replace(config, lr=0.1, log_every=5), tmp_path / "see")


@pytest.mark.parametrize(
    ("changes", "launch", "message"),
    [
        ({"device": "gpu"}, {}, "'gpu' is not known"),
        ({"batch": 0}, {}, "batch is 0: a step needs at least one sample"),
        ({}, {"distributed_type": DistributedType.FSDP}, "does not run with FSDP: launch it with ddp.yaml"),
        ({}, {"num_processes": 4}, "a step of 2 samples cannot be shared by 4 processes: set batch to a multiple of 4"),
        ({}, {"num_processes": 2, "device": torch.device("cuda", 1)}, "device is 'cpu', .* set device=cuda"),
    ],
)
def test_a_launch_that_see_cannot_follow_is_refused(changes, launch, message):
    usual = {"distributed_type": DistributedType.NO, "num_processes": 1, "device": torch.device("cpu")}
    with pytest.raises(DeixisError, match=message):
        see.device_for(SeeConfig(**{"batch": 2, **changes}), SimpleNamespace(**{**usual, **launch}))


def test_stages_of_one_process_say_so():
    alone(SimpleNamespace(num_processes=1), "prefer")
    with pytest.raises(DeixisError, match="prefer runs on one process, and this is one of 2"):
        alone(SimpleNamespace(num_processes=2), "prefer")


def test_a_stage_is_started_in_either_way_of_writing(tmp_path, capsys):
    seen = []

    def work(config: SeeConfig, given: argparse.Namespace) -> Path:
        seen.append((config.steps, config.lr, given.out))
        return Path("there")

    file, out = str(CONFIGS / "see.yaml"), ["--out", "x"]
    for argv in (
        [file, *out, "steps=3", "lr=0.5"], ["--config", file, *out, "--set", "steps=3", "lr=0.5"],
        ["--config", file, "steps=3", "--set", "lr=0.5", *out], [*out, file, "steps=3", "--set", "lr=0.5"],
    ):  # fmt: skip
        assert program.main(SeeConfig, work, "See.", argv) == 0
    assert seen == [(3, 0.5, Path("x"))] * 4
    assert capsys.readouterr().out == "wrote there\n" * 4
    assert program.main(SeeConfig, work, "See.", [file, *out, "lr=much"]) == 2
    assert capsys.readouterr().err.startswith("see: see.lr is 'much'")
    with pytest.raises(SystemExit) as left:
        program.main(SeeConfig, work, "See.", [*out, "steps=3"])
    assert left.value.code == 2
    assert "name a YAML file" in capsys.readouterr().err


def test_what_a_user_can_put_right_ends_a_program_with_one_line(tmp_path, capsys):
    """A run that diverged, and tools that are given files which are not there."""
    lost = torch.nn.Parameter(torch.zeros(2))
    lost.grad = torch.tensor([1.0, torch.inf])
    argv = [str(CONFIGS / "see.yaml"), "--out", "x"]
    assert program.main(SeeConfig, lambda config, given: run.clip([lost], 1.0), "See.", argv) == 2
    assert capsys.readouterr().err == "see: the gradient norm is inf: lower the learning rate and start again\n"
    none = str(tmp_path / "none.pt")
    for tool, given in ((check, ["--see", none]), (swap, ["--model", none, "--see", none, "--out", none])):
        assert tool.main(given) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "none.pt" in said


def test_a_full_gpu_is_told_with_what_makes_a_step_smaller(capsys):
    def full(config: ConverseConfig, given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    assert program.main(ConverseConfig, full, "", [str(CONFIGS / "converse.yaml"), "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("converse: the GPU's memory is full: try recompute=true; or, in another --out, rows=1 ")
    assert said.endswith("(CUDA out of memory. Tried to allocate 2.00 GiB.)\n")
