"""MONAI's encoders in the segmenter's place for one, and a published ViT's weights in ours: on tiny random ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from monai.networks.nets.vit import ViT

from assistant import checkpoint, m3d_clip
from assistant.encoders import ViTEncoder, ViTSettings
from assistant.errors import ModelError
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.study import Study
from assistant.volume import Volume
from tests.test_segmenter import TINY
from training.optimizer import MuonWithAdamW
from training.samples import Query, Sample
from training.see import SeeConfig, step_losses

SWIN = {"width": 12, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2], "window": 3}
VIT = {"width": 32, "depth": 4, "heads": 2, "mlp": 48, "patch": [16, 16, 8], "grid": [2, 2, 4]}
M3D = ViTSettings(width=24, depth=4, heads=2, mlp=40, patch=(16, 16, 4), grid=(2, 3, 4))
CONFIGS = {
    "swin": replace(TINY, encoder="swin", encoder_settings=SWIN),
    "vit": replace(TINY, encoder="vit", encoder_settings=VIT),
}
both = pytest.mark.parametrize("kind", list(CONFIGS))


def made(kind: str, seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    segmenter = Segmenter(CONFIGS[kind])
    segmenter.fit_states(torch.randn(12, 24))
    return segmenter


@both
def test_each_gives_the_same_features_of_inputs_that_are_no_cubes(kind):
    model = made(kind).eval()
    with torch.no_grad():
        coarse = model.encode(torch.randn(1, 10, 48, 32, 16))
        tile = model.encode(torch.randn(1, 10, 32, 48, 16), coarse.pixel[:, :, :16, :24, :8])
    assert coarse.pixel.shape == (1, 8, 48, 32, 16)
    assert coarse.tokens.shape == (1, 16, 6, 4, 2)
    assert coarse.deep.shape == (1, 16, 3, 2, 1)
    assert tile.pixel.shape == (1, 8, 32, 48, 16)
    with pytest.raises(ValueError, match="multiple of 16"):
        model.encode(torch.zeros(1, 10, 32, 40, 16))


@both
def test_a_fine_tile_sees_its_context_where_it_lies(kind):
    """What the coarse level shows at one end of a tile changes that end of the tile's pixels most, and the deepest
    features as well."""
    model = made(kind).eval()
    image, context = torch.randn(1, 10, 64, 16, 16), torch.zeros(1, 8, 32, 8, 8)
    lit = context.clone()
    lit[:, :, 28:] = 3
    with torch.no_grad():
        dark, light, none = (model.encode(image, c) for c in (context, lit, None))
    change = (light.pixel - dark.pixel).abs().mean((0, 1, 3, 4))
    assert change[58:].mean() > 2 * change[:32].mean()
    assert not torch.allclose(light.deep, dark.deep)
    assert not torch.allclose(none.pixel, light.pixel)


@both
def test_a_step_of_see_reaches_every_weight(kind):
    model = made(kind)
    for module in model.vision.modules():  # some branches start at zero: open them
        if isinstance(module, torch.nn.Conv3d) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.05)
    before = {name: value.clone() for name, value in model.vision.named_parameters()}
    optimizer = MuonWithAdamW(model, 1e-3, 1e-3, 0.0)
    labels = torch.zeros(32, 32, 32, dtype=torch.long)
    labels[8:20, 8:24, 4:12] = 1
    queries = [Query("block", (1,), 1, True), Query("nothing", (), 0, False)]
    sample = Sample(
        "brain", torch.randn(1, 10, 32, 32, 32), labels, [torch.randn(1, 10, 32, 32, 32)], [labels], [(16, 0, 0)], 2.0,
        queries,
    )  # fmt: skip
    parts, _ = step_losses(model, sample, torch.randn(2, 24), queries, SeeConfig(bf16=False))
    optimizer.zero_grad()
    torch.stack(list(parts.values())).sum().backward()
    idle = [n for n, p in model.vision.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []
    optimizer.step(1.0)
    assert all(not torch.equal(value, before[name]) for name, value in model.vision.named_parameters())


@both
def test_saved_and_loaded_strictly(kind, tmp_path):
    """Through the configuration as JSON and the state dict; tables that follow from the settings are in neither."""
    model = made(kind).eval()
    config = SegmenterConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))
    other = Segmenter(config).eval()
    state = model.state_dict()
    assert all(value.is_floating_point() for value in state.values())
    checkpoint.load_module(other, state, "it")
    image = torch.randn(1, 10, 32, 16, 48)
    with torch.no_grad():
        assert torch.equal(other.encode(image).pixel, model.encode(image).pixel)
    with pytest.raises(ModelError, match="does not fit this model"):
        checkpoint.load_module(Segmenter(TINY), state, "it")


@both
def test_a_study_is_answered_with_it(kind):
    """A mask on the volume's voxels, drawn from the coarse level and from fine tiles."""
    torch.manual_seed(0)
    config = replace(CONFIGS[kind], coarse_size=32, tile_size=32, presence_threshold=0.0, mask_threshold=0.005)
    model = Segmenter(config)
    model.fit_states(torch.randn(12, 24))
    voxels = np.random.default_rng(0).uniform(20, 100, (70, 60, 50)).astype(np.float32)
    study = Study(Volume.from_array(voxels, np.eye(4), modality="MR"), model)
    (decoded,) = study.decode(torch.randn(1, 24, generator=torch.Generator().manual_seed(1)))
    assert decoded.mask.shape == (70, 60, 50)
    assert decoded.mask.any()
    assert study.encoded_tiles > 0
    assert study.visual_features().shape == (64, config.visual_dim)


def test_the_default_is_what_it_was():
    """Names, shapes and the order of random numbers: sums of the weights that seed 0 gave before there was a choice."""
    torch.manual_seed(0)
    state = Segmenter(TINY).state_dict()
    drawn = float(torch.rand(()))
    assert len(state) == 237
    assert float(state["vision.stem.weight"].double().sum()) == pytest.approx(-0.12713365, abs=1e-5)
    assert float(state["vision.to_pixel.1.2.weight"].double().sum()) == pytest.approx(-0.88819173, abs=1e-5)
    assert float(state["mask_decoder.presence.2.weight"].double().sum()) == pytest.approx(-0.90401766, abs=1e-5)
    assert drawn == pytest.approx(0.55980033, abs=1e-6)  # since clicks have a network of convolutions


def test_a_configuration_without_a_choice_is_the_default():
    """As every checkpoint that was written before."""
    old = {k: v for k, v in TINY.to_dict().items() if not k.startswith("encoder")}
    assert SegmenterConfig.from_dict(old) == TINY
    assert TINY.encoder == "residual"


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("cnn", {}, "the encoder 'cnn' is none there is: choose residual, or swin or vit"),
        ("residual", {"width": 3}, "'residual' has no encoder_settings"),
        ("vit", {"width": 32, "windows": 7}, "'vit' has no setting 'windows': it has width, depth"),
        ("vit", {"depth": 2}, "at least 4 blocks"),
        ("vit", {"patch": (12, 16, 16)}, "sides of 2, 4, 8 or 16 voxels"),
    ],
)
def test_what_cannot_be_made_is_named(kind, settings, message):
    with pytest.raises(ModelError, match=message):
        Segmenter(replace(TINY, encoder=kind, encoder_settings=settings))


# -- M3D-CLIP ---------------------------------------------------------------------------------------------------------


def vit_encoder(settings: ViTSettings) -> ViTEncoder:
    segmenter = Segmenter(replace(TINY, encoder="vit", encoder_settings=asdict(settings)))
    return m3d_clip.fits(segmenter.vision)


def random_state(settings: ViTSettings) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {n: 0.3 * torch.randn(s, generator=generator) for n, s in m3d_clip.layout(settings).items()}


def test_the_layout_is_the_published_one():
    """At the published sizes: names and shapes of `pretrained_ViT.bin` (its patch embedding sees 4 x 16 x 16 voxels of
    one channel, its grid is 8 x 16 x 16)."""
    shapes = m3d_clip.layout(m3d_clip.SETTINGS)
    assert len(shapes) == 6 + 12 * 11
    assert shapes["patch_embedding.patch_embeddings.1.weight"] == (768, 1024)
    assert shapes["patch_embedding.position_embeddings"] == (1, 2048, 768)
    assert shapes["blocks.11.attn.qkv.weight"] == (2304, 768)
    assert "blocks.11.attn.qkv.bias" not in shapes
    # with BERT-base (109.48 M) and two projections of 768 x 768: the 792 MB in float32 of model.safetensors
    assert sum(int(np.prod(s)) for s in shapes.values()) == 87_389_184


def published_vit(settings: ViTSettings, state: dict[str, torch.Tensor]) -> ViT:
    """MONAI's ViT as M3D builds it, on (slices, rows, columns), with those weights."""
    x, y, z = (g * p for g, p in zip(settings.grid, settings.patch, strict=True))
    vit = ViT(
        1, (z, y, x), settings.patch[::-1], settings.width, settings.mlp, settings.depth, settings.heads,
        proj_type="perceptron",
    )  # fmt: skip
    missing, unexpected = vit.load_state_dict({k: v for k, v in state.items() if k != "cls_token"}, strict=False)
    assert all("cross_attn" in name for name in missing)  # MONAI 1.3, which M3D names, had none
    assert unexpected == []
    return vit.eval()


def test_mapped_weights_see_what_the_published_model_sees():
    """The same scan as pictures (slices, rows to the back, columns to the left) through MONAI's ViT with the layout's
    weights, and as a RAS+ volume through ours: the same token at the same place. Ours gets noise in the channels that
    the other never saw."""
    state, encoder = random_state(M3D), vit_encoder(M3D).eval()
    m3d_clip.load(state, encoder)
    reference = published_vit(M3D, state)
    volume = torch.rand(32, 48, 16)
    image = torch.randn(1, 10, 32, 48, 16)
    image[0, 0] = volume
    pictures = volume.flip(0, 1).permute(2, 1, 0)
    with torch.no_grad():
        x = reference.patch_embedding(pictures[None, None])
        x = torch.cat([state["cls_token"], x], 1)
        for block in reference.blocks:
            x = block(x)
        expected = reference.norm(x)
        states, grid = encoder.hidden(image)
    found = states[-1]
    assert grid == (2, 3, 4)
    assert torch.allclose(found[:, 0], expected[:, 0], atol=1e-4)
    there = expected[0, 1:].view(4, 3, 2, -1).permute(2, 1, 0, 3).flip(0, 1)
    assert torch.allclose(found[0, 1:].view(2, 3, 4, -1), there, atol=1e-4)


def test_another_size_than_the_published_grid_is_interpolated():
    encoder = vit_encoder(M3D).eval()
    m3d_clip.load(random_state(M3D), encoder)
    kept = encoder.vit.patch_embedding.position_embeddings
    assert torch.equal(encoder.positions((2, 3, 4))[0, :, 1, 2, 3], kept[0, -1])
    with torch.no_grad():
        assert encoder(torch.randn(1, 10, 48, 32, 16)).deep.shape == (1, 16, 3, 2, 1)


def test_a_whole_m3d_clip_gives_its_image_side():
    state = random_state(M3D)
    whole = {f"vision_encoder.{name}": value for name, value in state.items()}
    whole |= {"language_encoder.pooler.dense.weight": torch.zeros(2, 2), "mm_vision_proj.bias": torch.zeros(2),
              "mm_language_proj.bias": torch.zeros(2), "logit_scale": torch.zeros(())}  # fmt: skip
    one, other = vit_encoder(M3D), vit_encoder(M3D)
    m3d_clip.load(state, one)
    m3d_clip.load(whole, other)
    assert all(torch.equal(a, b) for a, b in zip(one.trunk_parameters(), other.trunk_parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.2.norm1.bias"), "missing blocks.2.norm1.bias"),
        (lambda s: s.update({"head.weight": torch.zeros(1)}), "unexpected head.weight"),
        (lambda s: s.update({"blocks.4.norm1.bias": torch.zeros(24)}), "unexpected blocks.4.norm1.bias"),
        (lambda s: s.update({"norm.weight": torch.zeros(23)}), r"norm.weight is \(23,\), not \(24,\)"),
        (lambda s: s.update({m3d_clip.PLACES: torch.zeros(1, 23, 24)}), r"position_embeddings is \(1, 23, 24\)"),
    ],
)
def test_a_state_dict_that_does_not_fit_changes_nothing(change, message):
    state, encoder = random_state(M3D), vit_encoder(M3D)
    before = [p.clone() for p in encoder.parameters()]
    change(state)
    with pytest.raises(ModelError, match=message):
        m3d_clip.load(state, encoder)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_it_fits_no_other_kind():
    with pytest.raises(ModelError, match="fits a ViT alone"):
        m3d_clip.fits(Segmenter(TINY).vision)
