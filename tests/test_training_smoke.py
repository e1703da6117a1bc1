"""Every stage end to end on next to nothing, and a killed run against one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant import checkpoint, language
from assistant.language import phrase_states
from assistant.model import DeixisModel
from assistant.session import Session
from data_recipes import ontology
from data_recipes.synthesis.contrast import SHARES
from tests.killed import dies
from tests.tiny_language import tiny_base, tiny_lm, tiny_tokenizer
from tests.tiny_training import SEGMENTER, tiny_bank, tiny_segmenter
from training import align, compare, converse, run, see
from training.align import AlignConfig
from training.baselines import SpecialistConfig
from training.converse import ConverseConfig
from training.data import FeatureBank
from training.features import features
from training.pack import save_packed
from training.phrases import PhraseBank
from training.prefer import PreferConfig
from training.pretrain import PretrainConfig
from training.refine import RefineConfig
from training.samples import PackedCase
from training.scans import synthesised
from training.see import SeeConfig
from training.stage import fingerprint, load_segmenter

SMOKE = Path(__file__).resolve().parent.parent / "training" / "configs" / "smoke.yaml"


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A folder with See's last.pt and a feature bank made with it."""
    segmenter = tiny_segmenter()
    torch.save({"average": segmenter.state_dict(), "config": segmenter.config.to_dict()}, tmp_path / "last.pt")
    tiny_bank(segmenter).save(tmp_path / "features.pt")
    return tmp_path


def align_config(folder: Path) -> AlignConfig:
    return run.read_config(
        AlignConfig, SMOKE, [f"segmenter={folder / 'last.pt'}", f"features={folder / 'features.pt'}"]
    )


def converse_config(folder: Path) -> ConverseConfig:
    return run.read_config(
        ConverseConfig, SMOKE, [f"start={folder / 'align' / 'checkpoint'}", f"features={folder / 'features.pt'}"]
    )


def losses(out: Path) -> list[tuple[int, float]]:
    return [(int(line["step"]), line["loss"]) for line in run.read_log(out) if "loss" in line]


@pytest.mark.slow
def test_align_then_converse_then_the_model_is_loaded(started, capsys):
    aligned = align.train(align_config(started), started / "align", tiny_base())
    longer = replace(converse_config(started), steps=20, probe_every=20)
    done = converse.train(longer, started / "converse", tiny_base())
    curve = losses(started / "converse")
    assert [step for step, _ in curve] == list(range(20))
    first, last = (np.mean([loss for _, loss in part]) for part in (curve[:4], curve[-4:]))
    assert last < first - 0.3
    assert "held-out replies" in capsys.readouterr().out
    assert list((started / "converse").rglob("events.out.tfevents*"))  # TensorBoard
    _, manifest = checkpoint.read(done)
    assert manifest.seeds == {"align": 0, "converse": 0}
    assert manifest.training["align"]["steps_done"] == 6
    assert manifest.training["converse"]["steps_done"] == 20
    # what each stage may change, and what it may not
    before, middle, after = (
        DeixisModel.from_pretrained(folder, tiny_base(), trainable=True).state_dict()
        for folder in (aligned, aligned, done)
    )
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any("lora" in name for name in changed)
    assert any("trainable_tokens" in name for name in changed)
    assert any("projector" in name for name in changed)
    assert not any("segmenter" in name or "base_layer" in name for name in changed)
    see = load_segmenter(started / "last.pt").state_dict()
    assert all(torch.equal(value, middle[f"segmenter.{name}"]) for name, value in see.items())


@pytest.mark.slow
def test_an_adapter_begins_anew_on_a_quantised_base(started, tmp_path, capsys):
    """QLoRA by config: DoRA in place of the LoRA that Align left, on 4-bit weights, activations made again, a step in
    two batches. The checkpoint opens on the whole base."""
    pytest.importorskip("bitsandbytes")
    tokenizer = tiny_tokenizer()
    tiny_lm(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    align.train(align_config(started), started / "align", tmp_path / "base")
    config = replace(
        converse_config(started), adapter="dora", lora_r=4, quantize="4bit", recompute=True, accumulate=2, steps=10,
        probe_every=10,
    )  # fmt: skip
    done = converse.train(config, started / "converse", tmp_path / "base")
    first, *_, last = [loss for _, loss in losses(started / "converse")]
    assert last < first - 0.3
    table = capsys.readouterr().out
    assert "dora: " in table
    assert "gradients + AdamW" in table
    model = DeixisModel.from_pretrained(done, tmp_path / "base")
    assert model.config.adapter.kind == "dora"
    assert model.merged
    with pytest.raises(run.ConfigError, match="'full'"):
        converse.train(replace(config, adapter="full"), started / "full", tmp_path / "base")
    with pytest.raises(run.ConfigError, match="name or folder"):
        converse.train(config, started / "loaded", language.load_base(tmp_path / "base"))


@pytest.mark.slow
def test_kinds_of_adapter_are_measured(started):
    """A row of the table is what the run's own log and checkpoint say."""
    align.train(align_config(started), started / "align", tiny_base())
    config = replace(converse_config(started), adapter="ia3", steps=5, probe_every=5)
    found = compare.measured(config, started / "ia3", torch.get_num_threads(), tiny_base())
    lines = run.read_log(started / "ia3")
    assert found.loss == next(line["loss"] for line in lines if line["step"] == 4)
    assert found.first == next(line["probe/first"] for line in lines if "probe/first" in line)
    # a factor for each output of two layers (32 + 16 + 16 + 32, 64 + 64 + 32), and the rows of nine added tokens
    assert found.trained == 2 * 256 + 9 * 32
    assert found.adapter_mb == (started / "ia3" / "checkpoint" / checkpoint.ADAPTER).stat().st_size / 1e6
    assert f"| ia3 | 0.01 | 0.00 M | {found.adapter_mb:.1f} MB |" in compare.table([found])


def head() -> PackedCase:
    """A label map to synthesise from: a ball in 48^3 voxels of 4 mm with a block at its left and at its right."""
    axes = np.meshgrid(*[np.arange(48) - 23.5] * 3, indexing="ij")
    labels = (np.linalg.norm(axes, axis=0) < 20).astype(np.uint8)
    labels[12:18, 20:28, 20:28], labels[30:36, 20:28, 20:28] = 2, 3
    names = {17: "left hippocampus", 53: "right hippocampus"}
    return PackedCase(
        "head", "brain", "MR", None, torch.from_numpy(labels), np.array([0, 2, 17, 53]), names, np.full(3, 4.0)
    )


@pytest.mark.slow
def test_see_then_align_then_converse_then_a_mask(tmp_path):
    """All stages on a volume made here; what comes out answers with masks on its grid."""
    case = head()
    save_packed(case, tmp_path / "pack")
    lm, tokenizer, identity = tiny_base()
    names = [structure.name for structure in ontology.all_structures()]
    states = phrase_states(lm, tokenizer, names)
    PhraseBank(states, {name: [i] for i, name in enumerate(names)}).save(tmp_path / "phrases.pt")
    see_config = SeeConfig(
        packed=str(tmp_path / "pack"), phrases=str(tmp_path / "phrases.pt"), steps=2, decay_steps=1, warmup=1, tiles=1,
        workers=0, bf16=False, save_every=1, log_every=1,
        segmenter={k: v for k, v in SEGMENTER.to_dict().items() if k not in ("lm_dim", "coarse_size")},
    )  # fmt: skip
    segmenter = see.train(see_config, tmp_path / "see").eval()
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    volume = synthesised(case.values[case.labels.numpy()], affine, np.random.default_rng(0), "head", SHARES)
    masks = {name: case.labels.numpy() == index for index, name in ((2, "left hippocampus"), (3, "right hippocampus"))}
    scan = features(volume, masks, segmenter, 1, np.random.default_rng(0))
    assert scan.visual.shape == (64, segmenter.config.visual_dim)
    assert scan.regions["left hippocampus"].shape == (2, segmenter.config.region_dim)
    FeatureBank({"brain": [scan]}, fingerprint(segmenter)).save(tmp_path / "features.pt")
    config = replace(align_config(tmp_path), segmenter=tmp_path / "see" / "last.pt", steps=2)
    align.train(config, tmp_path / "align", (lm, tokenizer, identity))
    done = converse.train(
        replace(converse_config(tmp_path), steps=2, probe_every=2), tmp_path / "converse", tiny_base()
    )
    model = DeixisModel.from_pretrained(done, tiny_base())
    session = Session.open(volume, model=model)
    reply = session.ask("Where is the left hippocampus?")
    assert all(f.mask is None or f.mask.shape == (48, 48, 48) for f in reply.findings)
    (decoded,) = session.study.decode(states[:1])
    assert decoded.mask.shape == (48, 48, 48)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "converse"])
def test_a_killed_run_walks_the_same_loss_curve(started, stage):
    """Killed after step 4 with the last save after step 3: steps 3 to 5 are made again, to the last digit."""
    align.train(align_config(started), started / "align", tiny_base())
    module = {"align": align, "converse": converse}[stage]
    config = replace({"align": align_config, "converse": converse_config}[stage](started), checkpoint_minutes=0.0)
    module.train(config, started / "whole", tiny_base())

    with dies(at=5, saved=3):
        module.train(config, started / "killed", tiny_base())
    assert [step for step, _ in losses(started / "killed")] == [0, 1, 2, 3, 4]
    module.train(config, started / "killed", tiny_base())
    assert losses(started / "killed") == losses(started / "whole")
    one, other = (torch.load(started / name / "state.pt")["parameters"] for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_does_not_go_on_with_other_settings(started):
    config = align_config(started)
    align.train(config, started / "align", tiny_base())
    with pytest.raises(run.ConfigError, match="learning_rate"):
        align.train(replace(config, learning_rate=1.0), started / "align", tiny_base())
    align.train(replace(config, log_every=2), started / "align", tiny_base())


def test_features_of_another_segmenter_are_refused(started):
    segmenter = load_segmenter(started / "last.pt")
    segmenter.state_mean += 1
    torch.save({"average": segmenter.state_dict(), "config": segmenter.config.to_dict()}, started / "last.pt")
    with pytest.raises(run.ConfigError, match="features were made by"):
        align.train(align_config(started), started / "align", tiny_base())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=3", "no setting 'stepz'"),
        ("steps=many", "steps is 'many'"),
        ("steps=1.5", "steps is 1.5"),
        ("bf16=1", "bf16 is 1"),
        ("steps", "no key=value"),
    ],
)
def test_settings_that_are_not_there_or_of_another_kind(override, message):
    with pytest.raises(run.ConfigError, match=message):
        run.read_config(AlignConfig, SMOKE, [override])


def test_every_config_file_can_be_read():
    """By the stages that it is of, with every one of its settings."""
    kinds = {
        "align": [AlignConfig], "converse": [ConverseConfig], "smoke": [AlignConfig, ConverseConfig],
        "body_7b": [AlignConfig, ConverseConfig], "see": [SeeConfig], "see_body": [SeeConfig],
        "prefer": [PreferConfig], "pretrain": [PretrainConfig], "refine": [RefineConfig],
        "specialist": [SpecialistConfig],
    }  # fmt: skip
    assert {file.stem for file in SMOKE.parent.glob("*.yaml")} == set(kinds)
    for name, found in kinds.items():
        for kind in found:
            assert run.read_config(kind, SMOKE.parent / f"{name}.yaml").seed == 0
