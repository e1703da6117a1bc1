"""Two processes train what one does: the same losses and weights, whole or killed on the way, in one piece or cut.

Both are started by `accelerate launch` with the config files that the project ships, on CPUs through gloo.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from assistant import checkpoint
from tests import distributed_run
from tests.tiny_training import tiny_bank, tiny_segmenter
from training import align, run, see

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "training" / "configs" / "accelerate"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of one process, and what they start from."""
    folder = tmp_path_factory.mktemp("alone")
    segmenter = tiny_segmenter()
    torch.save({"average": segmenter.state_dict(), "config": segmenter.config.to_dict()}, folder / "last.pt")
    tiny_bank(segmenter).save(folder / "features.pt")
    align.train(distributed_run.align_settings(folder), folder / "align", distributed_run.tiny_base())
    distributed_run.runs(folder, folder / "one")
    return folder


def figures(out: Path) -> list[dict[str, float]]:
    """What was logged, without what a clock has measured."""
    return [{k: v for k, v in line.items() if not k.endswith("per_second")} for line in run.read_log(out)]


def launched(config: str, *arguments: str) -> None:
    """Two processes; what they printed is shown when they fail."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config)]
    command += ["--num_processes", "2", "--main_process_port", "0", "--tee", "3"]
    command += ["-m", "tests.distributed_run", *arguments]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["fsdp2"]], ids=["ddp", "fsdp2"])
def test_two_processes_train_what_one_does(alone, tmp_path, arguments):
    launched("ddp.yaml", str(alone), str(tmp_path), *arguments)
    for name in ("align", "whole", "killed"):
        ours, theirs = figures(tmp_path / name), figures(alone / "one" / name)
        assert [line.keys() for line in ours] == [line.keys() for line in theirs]
        for line, other in zip(ours, theirs, strict=True):
            assert line == pytest.approx(other, abs=1e-5, rel=1e-5)
        one, two = (torch.load(at / name / "state.pt") for at in (alone / "one", tmp_path))
        assert one["parameters"].keys() == two["parameters"].keys()
        for key, value in one["parameters"].items():
            torch.testing.assert_close(two["parameters"][key], value, atol=1e-5, rtol=1e-5)
        # what is written out: averaged weights for Converse
        files = (at / name / "checkpoint" for at in (alone / "one", tmp_path))
        first, second = (checkpoint.read_tensors(at, checkpoint.ADAPTER) for at in files)
        for key, value in first.items():
            torch.testing.assert_close(second[key], value, atol=1e-5, rtol=1e-5)
    _, manifest = checkpoint.read(tmp_path / "whole" / "checkpoint")
    assert manifest.training["converse"]["processes"] == 2


@pytest.mark.slow
def test_two_processes_learn_to_see_what_one_does(tmp_path):
    """Two that are killed and go on, one that is not: the same losses, weights and averaged weights."""
    see.train(distributed_run.see_inputs(tmp_path), tmp_path / "one")
    launched("ddp.yaml", str(tmp_path), str(tmp_path / "two"), "see")
    ours, theirs = figures(tmp_path / "two"), figures(tmp_path / "one")
    assert [line["step"] for line in ours] == [0, 1, 2, 3]
    assert [line.keys() for line in ours] == [line.keys() for line in theirs]
    for line, other in zip(ours, theirs, strict=True):
        assert line == pytest.approx(other, abs=1e-4, rel=1e-4)  # Muon computes in bfloat16
    two, one = (torch.load(tmp_path / name / "last.pt") for name in ("two", "one"))
    for part in ("model", "average"):
        for key, value in one[part].items():
            torch.testing.assert_close(two[part][key], value, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_the_whole_one(alone):
    one, other = (torch.load(alone / "one" / name / "state.pt") for name in ("whole", "killed"))
    for part in ("parameters", "kept"):
        for key, value in one[part].items():
            torch.testing.assert_close(other[part][key], value, atol=0, rtol=0)
    assert figures(alone / "one" / "whole") == figures(alone / "one" / "killed")


@pytest.mark.slow
def test_a_step_that_cannot_be_shared_is_refused(alone, tmp_path):
    with pytest.raises(AssertionError, match="set accumulate to a multiple of 2"):
        launched("ddp.yaml", str(alone), str(tmp_path), "odd")


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero2", "zero3"])
def test_configs_are_read_by_accelerate(name):
    """DeepSpeed is not among the packages that are installed for the tests: its files are read, not run."""
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    kinds = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
    assert config.distributed_type == kinds[name]
    assert config.mixed_precision == "no"
    if name == "fsdp2":
        assert config.fsdp_config["fsdp_version"] == 2
    if name.startswith("zero"):
        assert config.deepspeed_config["zero_stage"] == int(name[-1])
    launch = (CONFIGS / f"{name}.yaml").read_text()
    assert f"accelerate launch --config_file training/configs/accelerate/{name}.yaml" in launch
