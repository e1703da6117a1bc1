"""Pretraining of the encoder: both losses against their formulas, runs that are killed, and what See begins from."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from assistant import m3d_clip
from assistant.encoders import ViTSettings, make_encoder
from assistant.errors import ModelError
from assistant.language import phrase_states
from assistant.segmenter import Segmenter, SegmenterConfig
from data_recipes import arrow, ct_rate, ontology
from data_recipes.arrow import Settings
from data_recipes.schema import RecipeError, write_records
from data_recipes.units import Source
from tests.killed import dies
from tests.test_encoders import random_state
from tests.test_training_smoke import head
from tests.tiny_language import tiny_base
from tests.tiny_training import SEGMENTER
from training import pretrain, run, see
from training.contrastive import (
    Batches,
    ContrastiveModel,
    cached_states,
    load_batches,
    read_pairs,
    sigmoid_loss,
    text_states,
)
from training.masked import MaskedModel, masked_l1, random_mask
from training.pack import save_packed
from training.phrases import PhraseBank
from training.pretrain import PretrainConfig
from training.run import ConfigError
from training.samples import PackedCase, draw
from training.see import SeeConfig
from training.stage import start_encoder

CONFIG = Path(__file__).resolve().parent.parent / "training" / "configs" / "pretrain.yaml"
TINY = {k: v for k, v in SEGMENTER.to_dict().items() if k not in ("lm_dim", "coarse_size")}


def tiny_encoder(seed: int = 0):
    torch.manual_seed(seed)
    s = SEGMENTER
    return make_encoder(s.encoder, s.encoder_settings, s.channels, s.blocks, s.pixel_dim, s.dim)


def finer_head() -> PackedCase:
    """`head` in voxels of 2 mm: too fine for the coarse level alone."""
    case, labels = head(), head().labels
    for axis in range(3):
        labels = labels.repeat_interleave(2, axis)
    return replace(case, labels=labels, spacing=np.full(3, 2.0))


# -- masked volumes ---------------------------------------------------------------------------------------------------


def test_whole_patches_are_hidden_and_as_many_as_asked():
    mask = random_mask((64, 48, 32), 16, 0.6, np.random.default_rng(0))
    patches = mask.view(4, 16, 3, 16, 2, 16).permute(0, 2, 4, 1, 3, 5).flatten(3).float().mean(3)
    assert set(patches.unique().tolist()) == {0.0, 1.0}
    assert int(patches.sum()) == round(0.6 * 24)
    for ratio, left in ((0.0, 1), (1.0, 23)):  # never none and never all
        assert int(random_mask((64, 48, 32), 16, ratio, np.random.default_rng(0)).sum()) == left * 16**3


def test_the_loss_is_of_hidden_voxels_inside_the_scan_alone():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 10, 32, 16, 16, generator=generator)
    image[0, 6] = 1
    image[0, 6, :, :8] = 0  # half of it outside the scan
    mask = torch.zeros(32, 16, 16, dtype=torch.bool)
    mask[16:] = True
    predicted = torch.rand(1, 2, 32, 16, 16, generator=generator, requires_grad=True)
    loss = masked_l1(predicted, image, mask)
    by_hand = (predicted - image[:, :2]).abs()[:, :, 16:, 8:].mean()
    assert torch.allclose(loss, by_hand)
    loss.backward()
    counted = torch.zeros(32, 16, 16, dtype=torch.bool)
    counted[16:, 8:] = True
    assert torch.equal((predicted.grad[0] != 0).any(0), counted)
    assert float(masked_l1(predicted.detach(), image, torch.zeros_like(mask))) == 0


def test_what_is_hidden_cannot_be_seen():
    """Other voxels behind the mask change no prediction; other voxels beside it do."""
    model = MaskedModel(tiny_encoder(), SEGMENTER.pixel_dim)
    with torch.no_grad():
        model.hidden.copy_(torch.tensor([0.3, 0.7]))
    mask = random_mask((32, 32, 32), 16, 0.5, np.random.default_rng(1))
    image = torch.rand(1, 10, 32, 32, 32)
    behind, beside = image.clone(), image.clone()
    behind[0, :2][:, mask] = 5
    beside[0, :2][:, ~mask] = 5
    with torch.no_grad():
        seen, other, third = (model(one, mask)[0] for one in (image, behind, beside))
    assert torch.equal(seen, other)
    assert not torch.allclose(seen, third)


def test_a_fine_tile_hides_what_its_context_hides():
    """The coarse level is the fine one pooled: what is hidden in one would be seen in the other."""
    sample = draw(finer_head(), np.random.default_rng(3), tiles=1, side=32)
    model = MaskedModel(tiny_encoder(), SEGMENTER.pixel_dim)
    mask = random_mask(tuple(sample.coarse_labels.shape), 16, 0.5, np.random.default_rng(4))
    (start,) = sample.tile_starts
    finer = mask.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    here = finer[tuple(slice(s, s + 32) for s in start)]
    assert here.any()
    assert not here.all()
    seen = []
    hook = model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    losses = model.loss(sample, 16, 0.5, np.random.default_rng(4))
    hook.remove()
    assert losses.keys() == {"coarse", "fine"}
    coarse, tile = seen
    assert (coarse[0, :2][:, mask] == 0).all()  # the learned value begins at 0
    assert (tile[0, :2][:, here] == 0).all()
    assert torch.equal(tile[0, :2][:, ~here], sample.tiles[0][0, :2][:, ~here])
    assert torch.equal(tile[:, 2:], sample.tiles[0][:, 2:])


# -- scans and reports ------------------------------------------------------------------------------------------------


def unit_rows(n: int, d: int, seed: int) -> torch.Tensor:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1)


def test_the_sigmoid_loss_by_hand():
    """Equation 1: minus the sum over all pairs of log sigmoid of +-(t x.y + b), over the number of scans."""
    x, y = unit_rows(3, 5, 0), unit_rows(3, 5, 1)
    scale, bias = torch.tensor(7.0, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64)
    positive = torch.eye(3, dtype=torch.bool)
    positive[0, 2] = True
    total = 0.0
    for i in range(3):
        for j in range(3):
            logit = 7.0 * float(x[i] @ y[j]) - 2.0
            total -= math.log(1 / (1 + math.exp(-logit if positive[i, j] else logit)))
    assert float(sigmoid_loss(x, y, scale, bias, positive)) == pytest.approx(total / 3, abs=1e-12)


def test_scans_and_texts_play_the_same_part():
    """Exchanged, the loss is the same and so are the gradients of each side."""
    positive = torch.eye(4, dtype=torch.bool)
    positive[1, 3] = True
    scale, bias = torch.tensor(10.0, dtype=torch.float64), torch.tensor(-10.0, dtype=torch.float64)
    grads = []
    for exchanged in (False, True):
        x, y = (unit_rows(4, 6, seed).requires_grad_() for seed in (0, 1))
        first, second, pairs = (y, x, positive.T) if exchanged else (x, y, positive)
        loss = sigmoid_loss(first, second, scale, bias, pairs)
        loss.backward()
        grads.append((loss.detach(), x.grad, y.grad))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_in_chunks_the_gradients_are_those_of_all_at_once(chunk):
    """As autograd alone gives them, for scans of different sizes; every weight that has a part is compared."""
    model = ContrastiveModel(tiny_encoder(), SEGMENTER.visual_dim, 24, 12)
    with torch.no_grad():
        model.bias.fill_(-1.0)
    generator = torch.Generator().manual_seed(2)
    images = [torch.randn(1, 10, *size, generator=generator) for size in ((32, 16, 16), (16, 16, 48), (16, 32, 16))]
    images.append(images[0] + 1)
    states, positive = torch.randn(4, 24, generator=generator), torch.eye(4, dtype=torch.bool)
    whole = sigmoid_loss(
        model.embed_images(images), model.embed_texts(states), model.log_scale.exp(), model.bias, positive
    )
    whole.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    loss = model.backward(images, states, positive, chunk)
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert loss == pytest.approx(float(whole.detach()), abs=1e-5)
    assert found.keys() == expected.keys()
    assert {"image_head.weight", "text_head.1.weight", "log_scale", "bias", "encoder.stem.weight"} <= found.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-5 * float(value.abs().max()) + 1e-7), name


def ct_rate_tree(root: Path, scans: int = 4) -> Path:
    """CT-RATE's published layout: scans that differ by where a bright block lies, and reports that say so; the last two
    share theirs. One validation scan."""
    tables: dict[str, list[dict[str, str]]] = {"train": [], "validation": []}
    for i in range(scans + 1):
        part, folder, word = ("train", "train_fixed", "train") if i < scans else ("validation", "valid_fixed", "valid")
        name = f"{word}_{i + 1}_a_1"
        voxels = np.random.default_rng(i).normal(-600, 30, (30, 30, 30)).astype(np.int16)
        voxels[5 * i : 5 * i + 6, 8:20, 8:20] = 300
        path = root / "dataset" / folder / f"{word}_{i + 1}" / f"{word}_{i + 1}_a" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([5.0, 5, 5, 1])), path)
        where = ("left", "middle", "right", "right")[min(i, 3)]
        row = {"VolumeName": f"{name}.nii.gz", "Findings_EN": f"A mass at the {where}.", "Impressions_EN": ""}
        tables[part].append(row)
    for part, rows in tables.items():
        table = root / "dataset" / "radiology_text_reports" / f"{part}_reports.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return root


def test_pairs_of_a_published_data_set(tmp_path):
    """From CT-RATE's layout on disk through its recipe: each training scan with its report, and a report that two scans
    share is true of both."""
    root = ct_rate_tree(tmp_path / "ct_rate")
    write_records(tmp_path / "records.jsonl", ct_rate.records(root, "train"))
    pairs, texts = read_pairs(tmp_path / "records.jsonl", root)
    assert texts == ["A mass at the left.", "A mass at the middle.", "A mass at the right."]
    assert [pair.texts for pair in pairs] == [(0,), (1,), (2,), (2,)]
    batch = Batches(pairs, 4, 32, seed=0, start=0, stop=1).make(0)
    order = [pairs[i].texts[0] for i in np.random.default_rng([0, 0]).choice(4, 4, replace=False)]
    assert batch.texts == order
    assert batch.positive.sum() == 6
    assert all(image.shape == (1, 10, 32, 32, 32) for image in batch.images)
    arrow.build([Source("ct_rate", root)], tmp_path / "built", Settings())
    assert read_pairs(tmp_path / "built", None) == (pairs, texts)
    with pytest.raises(ConfigError, match="does not say where its paths begin"):
        read_pairs(tmp_path / "records.jsonl", None)


def test_a_damaged_scan_is_named_also_by_a_worker(tmp_path):
    root = ct_rate_tree(tmp_path)
    write_records(tmp_path / "records.jsonl", ct_rate.records(root, "train"))
    pairs, _ = read_pairs(tmp_path / "records.jsonl", root)
    (root / pairs[1].image.path).write_bytes(b"no scan")
    with pytest.raises(RecipeError, match=r"train_2_a_1.nii.gz cannot be read"):
        next(load_batches(Batches(pairs, 4, 32, seed=0, start=0, stop=1), workers=1))


def test_a_texts_state_does_not_depend_on_its_neighbours(tmp_path):
    """Padding has no part in the mean; the file is used for the same texts alone."""
    lm, tokenizer, identity = tiny_base()
    texts = ["No effusion.", "The left hippocampus is smaller than the right hippocampus.", "No"]
    together = text_states(lm, tokenizer, texts, most=40)
    alone = torch.cat([text_states(lm, tokenizer, [text], most=40) for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(text_states(lm, tokenizer, texts[1:2], most=3), together[1:2], atol=1e-3)
    first = cached_states(tmp_path / "t.pt", lm, tokenizer, identity.sha256, texts, 40)
    assert torch.equal(cached_states(tmp_path / "t.pt", None, None, identity.sha256, texts, 40), first)
    other = cached_states(tmp_path / "t.pt", lm, tokenizer, identity.sha256, texts[:2], 40)
    assert torch.allclose(other, first[:2], atol=1e-5)
    assert other.shape == (2, lm.config.hidden_size)


# -- runs -------------------------------------------------------------------------------------------------------------


def settings(task: str, folder: Path, case: PackedCase | None = None, **changes) -> PretrainConfig:
    config = run.read_config(PretrainConfig, CONFIG, [f"task={task}", "bf16=false", "workers=0", "log_every=1"])
    config = replace(config, segmenter=TINY, checkpoint_minutes=0.0, batch=4, chunk=2, dim=16, warmup=2, **changes)
    if task == "masked":
        save_packed(case or head(), folder / "pack")
        return replace(config, packed=folder / "pack", mixture={"brain": 1.0})
    root = ct_rate_tree(folder / "ct_rate")
    write_records(folder / "records.jsonl", ct_rate.records(root, "train"))
    return replace(config, records=folder / "records.jsonl", data=root, segmenter={**TINY, "coarse_size": 32})


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "contrastive"])
def test_a_killed_run_walks_the_same_loss_curve(task, tmp_path, monkeypatch, capsys):
    """Killed after step 3 with the last save after step 2: steps 2 and 3 are made again, to the last digit."""
    config = settings(task, tmp_path, steps=4)
    whole = torch.load(pretrain.train(config, tmp_path / "whole", tiny_base()), weights_only=True)
    assert "step 4/4 loss" in capsys.readouterr().out

    with dies(at=3, saved=2):
        pretrain.train(config, tmp_path / "killed", tiny_base())
    again = torch.load(pretrain.train(config, tmp_path / "killed", tiny_base()), weights_only=True)
    curves = [[(line["step"], line["loss"]) for line in run.read_log(tmp_path / n)] for n in ("whole", "killed")]
    assert [step for step, _ in curves[0]] == list(range(4))
    assert curves[0] == curves[1]
    assert all(torch.equal(value, again["encoder"][name]) for name, value in whole["encoder"].items())
    (made,) = whole["history"]
    assert (made["stage"], made["settings"]["seed"], made["settings"]["task"]) == ("pretrain", 0, task)
    assert whole["steps_done"] == 4
    with pytest.raises(ConfigError, match="ratio"):
        pretrain.train(replace(config, ratio=0.5), tmp_path / "whole", tiny_base())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "contrastive"])
def test_some_steps_lower_the_loss(task, tmp_path):
    """By a tenth at least, from the mean of the first five to that of the last five."""
    config = settings(task, tmp_path, finer_head(), steps=20, lr=5e-3, matrix_lr=0.01)
    pretrain.train(config, tmp_path / "run", tiny_base())
    losses = [line["loss"] for line in run.read_log(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def see_config(folder: Path, **changes) -> SeeConfig:
    lm, tokenizer, _ = tiny_base()
    names = [structure.name for structure in ontology.all_structures()]
    PhraseBank(phrase_states(lm, tokenizer, names), {n: [i] for i, n in enumerate(names)}).save(folder / "phrases.pt")
    return SeeConfig(
        packed=str(folder / "pack"), phrases=str(folder / "phrases.pt"), steps=2, decay_steps=1, warmup=1, workers=0,
        bf16=False, log_every=1, ema=0.0, **{"segmenter": TINY, **changes},
    )  # fmt: skip


def test_see_begins_from_the_pretrained_encoder(tmp_path):
    """Frozen, the trunk is the file's to the bit while the rest learns; what made it is in See's history."""
    config = settings("masked", tmp_path, steps=1)
    file = pretrain.train(config, tmp_path / "pretrain")
    begun = torch.load(file, weights_only=True)["encoder"]
    trained = see.train(see_config(tmp_path, freeze_encoder=True), tmp_path / "see", encoder=file).vision
    trunk = {name for name in begun if name.startswith(trained.TRUNK)}
    state = trained.state_dict()
    assert {name for name in begun if torch.equal(begun[name], state[name])} >= trunk
    assert not torch.equal(begun["up.0.2.weight"], state["up.0.2.weight"])
    history = torch.load(tmp_path / "see" / "last.pt", weights_only=True)["history"]
    assert [made["stage"] for made in history] == ["pretrain", "see"]
    free = see.train(see_config(tmp_path), tmp_path / "free", encoder=file).vision.state_dict()
    assert not torch.equal(begun["stem.weight"], free["stem.weight"])
    with pytest.raises(ModelError, match="does not fit this model"):
        start_encoder(file, Segmenter(replace(SEGMENTER, channels=(8, 8, 8, 16, 16))).vision)


def test_see_begins_from_an_m3d_clip(tmp_path):
    """A file in the published layout, at a tiny model's sizes."""
    sizes = ViTSettings(width=24, depth=4, heads=2, mlp=40, patch=(16, 16, 4), grid=(2, 3, 4))
    save_file(random_state(sizes), tmp_path / "m3d.safetensors")
    config = replace(SEGMENTER, encoder="vit", encoder_settings=asdict(sizes))
    vision = m3d_clip.fits(Segmenter(config).vision)
    (made,) = start_encoder(tmp_path / "m3d.safetensors", vision)
    assert made["file"] == "m3d.safetensors"
    assert torch.equal(vision.cls_token, random_state(sizes)["cls_token"])
    with pytest.raises(ModelError, match="fits a ViT alone"):
        start_encoder(tmp_path / "m3d.safetensors", Segmenter(SEGMENTER).vision)
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"broken.safetensors cannot be read .*get it again"):
        start_encoder(tmp_path / "broken.safetensors", vision)


def test_bad_settings_are_one_sentence_and_exit_code_2(tmp_path, capsys):
    for change, said in (
        ("task=both", "task is 'both': choose masked or contrastive"),
        ("task=contrastive", "the contrastive task needs records"),
        (f"packed={tmp_path}", "holds no packed cases"),
        ("stepz=3", "pretrain has no setting 'stepz'"),
    ):
        assert pretrain.main(["--config", str(CONFIG), "--out", str(tmp_path / "o"), "--set", change]) == 2
        assert said in capsys.readouterr().err


def test_the_committed_settings_can_be_read():
    config = run.read_config(PretrainConfig, CONFIG)
    assert config.task == "masked"
    assert SegmenterConfig.from_dict(config.segmenter) == SegmenterConfig()
