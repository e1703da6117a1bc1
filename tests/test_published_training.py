"""From a published download to a model that answers: every stage on a tiny AMOS, around a language model made here."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from assistant.language import BaseIdentity
from assistant.model import DeixisModel
from assistant.session import Session
from data_recipes import amos, ontology
from data_recipes.schema import RecipeError
from tests.tiny_language import tiny_lm, tiny_tokenizer
from tests.tiny_training import SEGMENTER
from training import command, pack, scans, see
from training.data import FeatureBank
from training.pack import load_packed, packed_name, parts_and_wholes, save_packed
from training.phrases import PhraseBank
from training.run import ConfigError
from training.samples import FAMILIES, PackedCase, draw
from training.stage import load_segmenter
from training.taught import Taught, taught

CONFIGS = Path(__file__).resolve().parent.parent / "training" / "configs"
AFFINE = np.diag([-6.0, -6.0, 6.0, 1.0])  # stored right to left and front to back, as most CTs are


def body(root: Path, part: str, number: int) -> None:
    """A trunk of 32^3 voxels of 6 mm with a liver (6) at its right, a spleen (1) at its left, and nothing else."""
    axes = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    trunk = np.linalg.norm(axes, axis=0) < 14
    labels = np.zeros(trunk.shape, np.int16)
    labels[4:12, 10:22, 10:22] = 6  # x falls along the stored axis: the patient's right comes first
    labels[21:27, 12:20, 12:20] = 1
    labels *= trunk
    values = np.where(trunk, 0, -1000) + 60 * (labels == 6) + 120 * (labels == 1)
    for kind, data in (("images", values), ("labels", labels)):
        path = root / "amos22" / f"{kind}{part}" / f"amos_{number:04}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data.astype(np.int16), AFFINE), path)


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    for part, number in (("Tr", 1), ("Tr", 2), ("Va", 3)):
        body(tmp_path / "amos", part, number)
    return tmp_path / "amos"


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A folder as transformers saves a language model."""
    tokenizer = tiny_tokenizer()
    tiny_lm(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def test_parts_exclude_one_another_and_wholes_hold_them():
    """KiTS: the kidney is 1, 2 and 3 with its tumour 2 and its cyst 3."""
    phrases = {"kidney": (1, 2, 3), "kidney tumour": (2,), "kidney cyst": (3,), "ureter": (4, 5)}
    parts, wholes = parts_and_wholes(phrases)
    assert parts == {"kidney tumour": (2,), "kidney cyst": (3,), "ureter": (4, 5)}
    assert wholes == {"kidney": (1, 2, 3)}
    assert parts_and_wholes({"a": (1, 2), "b": (2, 3)}) == ({}, {"a": (1, 2), "b": (2, 3)})  # each without the other
    assert parts_and_wholes({"a": (1,), "b": (1,)}) == ({"a": (1,)}, {"b": (1,)})  # two names of one thing


def test_a_packed_case_is_mapped_back_as_it_was(tmp_path):
    """Bytes, names, wholes; writing to what was mapped does not reach the file."""
    image = torch.arange(24.0).view(2, 3, 4) - 7.5
    labels = (torch.arange(24) % 3).to(torch.uint8).view(2, 3, 4)
    case = PackedCase(
        "c/1", "body_ct", "CT", image, labels, np.array([0, 2, 5]), {2: "spleen"}, np.array([1.0, 1.5, 3.0]),
        {"liver": (2, 5)}, "amos",
    )  # fmt: skip
    save_packed(case, tmp_path)
    for _ in range(2):
        (one,) = load_packed(tmp_path)
        assert torch.equal(one.image, image)
        assert torch.equal(one.labels, labels)
        assert (one.id, one.family, one.dataset) == ("c/1", "body_ct", "amos")
        assert (one.names, one.wholes) == ({2: "spleen"}, {"liver": (2, 5)})
        assert one.spacing.tolist() == [1.0, 1.5, 3.0]
        one.image.zero_()


def test_what_the_embedded_model_is_made_from_teaches_what_the_ontology_says():
    zero = torch.zeros(1, 1, 1, dtype=torch.uint8)
    cases = [PackedCase(f, f, "MR", None, zero, np.zeros(1), {}, np.ones(3), {}, f) for f in FAMILIES]
    assert taught(cases) == Taught(ontology.exclusive(), ("brain", "hippocampus"))
    (brain,) = (case for case in cases if case.family == "brain")
    assert taught([brain]).groups == (ontology.exclusive(["brain"])[0], ("tumour",))


def test_what_is_also_learned_from_close_by_is_what_those_families_name():
    zero = torch.zeros(1, 1, 1, dtype=torch.uint8)
    named = {"brain": {10: "left thalamus", 49: "right thalamus"}, "head_neck": {1: "mandible"}}
    cases = [PackedCase(f, f, "MR", None, zero, np.zeros(1), n, np.ones(3), {}, f) for f, n in named.items()]
    assert taught(cases, {"brain": 0.5}).focus == (("left thalamus", "right thalamus"),)
    assert taught(cases, {"brain": 0.5, "head_neck": 0.1}).focus == (*taught(cases, ["brain"]).focus, ("mandible",))
    assert taught(cases).focus == ()


def test_groups_of_further_data_sets_are_their_own():
    """The kidney of one set may hold the tumour of another, so they are no rivals."""
    zero = torch.zeros(1, 1, 1, dtype=torch.uint8)

    def case(dataset: str, names: list[str], wholes: dict[str, tuple[int, ...]]) -> PackedCase:
        values = dict(enumerate(names, 1))
        return PackedCase(
            dataset, "body_ct", "CT", zero.float(), zero, np.zeros(1), values, np.ones(3), wholes, dataset
        )

    sets = [
        case("amos", ["left kidney", "spleen"], {}), case("amos", ["left kidney", "liver"], {}),
        case("kits23", ["kidney tumour"], {"kidney": (1, 2)}), case("lits", ["liver tumour"], {"liver": (1, 2)}),
    ]  # fmt: skip
    what = taught(sets)
    assert what.groups == (("left kidney", "spleen", "liver"), ("kidney tumour",), ("liver tumour",))
    assert what.wholes == ("kidney",)  # the liver is a part of AMOS and competes there


def test_a_trunk_is_not_mirrored(downloaded):
    """The liver stays at the patient's right, whatever else happens to a sample."""
    case = pack.pack_case(next(amos.cases(downloaded, "train")), "amos")
    sides = []
    for seed in range(12):
        sample = draw(case, np.random.default_rng(seed), size=32)
        liver, spleen = (next(q for q in sample.queries if q.phrase == p) for p in ("liver", "spleen"))
        if liver.presence == spleen.presence == 1:
            at = [
                float(torch.isin(sample.coarse_labels, torch.tensor(q.label_indices)).nonzero()[:, 0].float().mean())
                for q in (liver, spleen)
            ]
            sides.append(at[0] > at[1])
    assert len(sides) > 4
    assert all(sides)


def test_a_family_without_a_share_is_named(tmp_path, downloaded, base):
    assert pack.main([f"amos={downloaded}", "--out", str(tmp_path / "pack")]) == 0
    files = {"packed": str(tmp_path / "pack"), "phrases": str(tmp_path / "p.pt")}
    config = see.SeeConfig(**files, base=base, mixture={"brain": 1.0})
    with pytest.raises(ConfigError, match="body_ct"):
        see.train(config, tmp_path / "see")


def test_phrases_of_another_base_are_refused(tmp_path):
    PhraseBank(torch.zeros(1, 4), {"liver": [0]}, "one").save(tmp_path / "p.pt")
    assert PhraseBank.load(tmp_path / "p.pt", "one", ["liver"]).base == "one"
    with pytest.raises(ConfigError, match="not of two"):
        PhraseBank.load(tmp_path / "p.pt", "two")
    with pytest.raises(ConfigError, match="'aorta'"):
        PhraseBank.load(tmp_path / "p.pt", "one", ["liver", "aorta"])


def test_sources_are_checked(tmp_path, capsys):
    assert pack.main(["--out", str(tmp_path)]) == 2
    assert "nothing to pack" in capsys.readouterr().err
    assert pack.main(["nowhere=x", "--out", str(tmp_path)]) == 2
    assert "'nowhere=x' is not NAME=FOLDER" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="no group of scans 'livers'"):
        list(scans.scans("livers", None))
    with pytest.raises(RecipeError, match="--data"):
        list(scans.scans("brain", None))


@pytest.mark.slow
def test_from_a_download_to_a_model_that_answers(tmp_path, downloaded, base):
    """pack, See, shifts, calibrate, features, Align, Converse, readout, evaluate: the commands of the README on a tiny
    AMOS, with the files that they name."""
    source, made = f"amos={downloaded}", tmp_path / "runs"
    assert command.main(["pack", source, "--out", str(made / "body")]) == 0
    packed = sorted(p.name for p in (made / "body").iterdir())
    assert packed == [packed_name("amos", f"amos_000{n}") for n in (1, 2)]
    small = {k: v for k, v in SEGMENTER.to_dict().items() if k != "lm_dim"}
    phrases = ["--phrases", str(made / "phrases.pt"), "--base", base]
    assert command.main([
        "see", "--config", str(CONFIGS / "see_body.yaml"), "--out", str(made / "see"), "--set",
        f"packed={made / 'body'}", f"phrases={made / 'phrases.pt'}", f"base={base}", "device=cpu", "workers=0",
        "steps=3", "decay_steps=1", "warmup=1", "mixture={body_ct: 1.0}", f"segmenter={json.dumps(small)}",
    ]) == 0  # fmt: skip
    last, body, bank = made / "see" / "last.pt", made / "body.pt", made / "features.pt"
    assert set(load_segmenter(last).config.taught_names) == {*amos.LABELS.values()}
    moved = made / "shifted.pt"
    assert command.main(["shifts", "--see", str(last), "--out", str(moved), "--families", source]) == 0
    assert len(load_segmenter(moved).config.mask_shifts) == len(amos.LABELS)
    calibrated = ["calibrate", "--see", str(moved), "--out", str(body), *phrases, "--families", source]
    assert command.main([*calibrated, "--skip", "6"]) == 2  # there is one dev scan
    assert command.main([*calibrated, "--skip", "0"]) == 0
    assert command.main(["features", source, "--segmenter", str(body), "--out", str(bank), "--points", "1"]) == 0
    (one, other) = FeatureBank.load(bank).families["body_ct"]
    assert one.facts is not None
    assert set(one.facts.found) == {"liver", "spleen"}
    assert {"pancreas", "gallbladder"} <= set(one.facts.absent)
    assert set(one.regions) == set(other.regions) == {"liver", "spleen"}
    settings = [f"features={bank}", f"base={base}", "steps=2", "rows=1", "chunk=24"]
    if find_spec("bitsandbytes") is None:
        settings.append("quantize=null")
    config, align, converse = str(CONFIGS / "body_7b.yaml"), made / "align", made / "converse"
    assert command.main(["align", config, "--out", str(align), f"segmenter={body}", *settings]) == 0
    settings += [f"start={align / 'checkpoint'}", "accumulate=2", "probe_every=2", "probe_talks=4"]
    assert command.main(["converse", config, "--out", str(converse), *settings]) == 0
    done, trained = made / "model", ["--model", str(converse / "checkpoint"), "--base", base]
    assert command.main(["readout", *trained, "--features", str(bank), "--out", str(done), "--batches", "4"]) == 0
    model = DeixisModel.from_pretrained(done, base)
    assert isinstance(model.base, BaseIdentity)
    scan = downloaded / "amos22" / "imagesVa" / "amos_0003.nii.gz"
    session = Session.open(scan, model=model, modality="CT")
    reply = session.ask("Where is the liver?")
    assert all(f.mask is None or f.mask.shape == (32, 32, 32) for f in reply.findings)
    report = ["--model", str(done), "--base", base, "--families", source, "--out", str(tmp_path / "report")]
    assert command.main(["evaluate", *report, "--studies", "masks", "--no-timings"]) == 0
    assert "amos" in (tmp_path / "report" / "report.md").read_text()


def test_facts_are_kept_in_a_bank_as_they_are(tmp_path, downloaded):
    from data_recipes.instructions.facts import Facts, measured_facts

    facts = measured_facts(next(amos.cases(downloaded, "train")))
    kept = Facts.from_dict(facts.to_dict())
    assert kept == replace(facts, found=dict(facts.found), labels=dict(facts.labels))
    assert kept.layout is None  # the label map's to say
