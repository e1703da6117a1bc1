"""What Align and Converse start from: a segmenter that See has trained, a checkpoint of the stage before."""

from __future__ import annotations

import json
import pickle
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from assistant import checkpoint, m3d_clip
from assistant.language import load_base
from assistant.model import AdapterSettings, Base, DeixisConfig, DeixisModel
from assistant.segmenter import Segmenter, SegmenterConfig
from assistant.vision import Encoder
from data_recipes import ontology
from data_recipes.instructions.small_talk import UNKNOWN
from training.data import FeatureBank
from training.packed import FrozenCodes
from training.run import ConfigError, Run
from training.samples import PackedCase

#: what makes a step of Align or Converse fit on a smaller GPU; the first of them changes no figure of a run
LESS_MEMORY = "recompute=true; or, in another --out, rows=1 with accumulate as many times more, or quantize=4bit"


@dataclass(frozen=True)
class Start:
    """A trainable model, the frozen codes its `<SEG>` states are held to, and what made it so far."""

    model: DeixisModel
    phrases: FrozenCodes
    seeds: Mapping[str, int]
    data: Mapping[str, Any]
    training: Mapping[str, Any]


def load_segmenter(path: Path) -> Segmenter:
    """The averaged weights of a See run (its last.pt), or the segmenter of a checkpoint folder."""
    if path.is_dir():
        config, _ = checkpoint.read(path)
        segmenter = Segmenter(SegmenterConfig.from_dict(config["segmenter"]))
        checkpoint.load_module(segmenter, checkpoint.read_tensors(path, checkpoint.SEGMENTER), f"{path}'s segmenter")
        return segmenter
    if not path.is_file():
        raise ConfigError(f"there is no segmenter {path}: train one with python -m training.see")
    saved = torch.load(path, weights_only=True, map_location="cpu")
    segmenter = Segmenter(SegmenterConfig.from_dict(saved["config"]))
    checkpoint.load_module(segmenter, saved["average"], str(path))
    return segmenter


def save_segmenter(path: Path, segmenter: Segmenter, history: Sequence[Mapping[str, Any]]) -> Path:
    """Write what `load_segmenter` and `made_how` read, whole or not at all; the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    state = segmenter.cpu().state_dict()
    torch.save({"average": state, "config": segmenter.config.to_dict(), "history": list(history)}, part)
    return part.replace(path)


def start_encoder(path: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Set an encoder from `training.pretrain`'s encoder.pt, or from a state dict of M3D-CLIP's published layout (.bin,
    .pt or .safetensors); what made it so far."""
    if not path.is_file():
        raise ConfigError(f"there is no encoder {path}: train one with python -m training.pretrain")
    try:
        if path.suffix == ".safetensors":
            saved: dict[str, Any] = load_file(path)
        else:
            saved = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): get it again") from error
    if "encoder" in saved:
        checkpoint.load_module(encoder, saved["encoder"], str(path))
        return list(saved["history"])
    m3d_clip.load(saved, m3d_clip.fits(encoder), str(path))
    return [{"stage": "published", "file": path.name, "sha256": checkpoint.file_hash(path)}]


def made_how(path: Path | None) -> list[dict[str, Any]]:
    """What made the segmenter of a file or a checkpoint folder, stage by stage; nothing of one that does not say."""
    if path is None:
        return []
    if path.is_dir():
        return list(checkpoint.read(path)[1].training.get("see", []))
    return list(torch.load(path, weights_only=True, map_location="cpu").get("history", []))


def entry(stage: str, config: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """One stage of `made_how`: its settings (the seed among them), its data, the code's commit where there is one."""
    settings = json.loads(json.dumps(asdict(config), default=str))
    return {"stage": stage, "settings": settings, "data": dict(data), "code": code_version()}


def data_index(cases: Sequence[PackedCase]) -> dict[str, Any]:
    """How many cases of each family, and a hash of which."""
    ids = sorted(case.id for case in cases)
    return {
        "cases": dict(sorted(Counter(case.family for case in cases).items())),
        "index_sha256": sha256("\n".join(ids).encode()).hexdigest(),
    }


def code_version() -> str | None:
    """The commit of the checkout that this code runs from, with "+changes" where files differ from it; None outside
    one."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    return commit and commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def fingerprint(segmenter: Segmenter) -> str:
    """A hash of a segmenter's weights, whatever file they came from; a feature bank names its maker by it."""
    digest = sha256()
    for name, value in sorted(segmenter.state_dict().items()):
        # half precision: a checkpoint may store its weights so, and is still the same segmenter
        digest.update(name.encode() + value.detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_bank(bank: FeatureBank, segmenter: Segmenter) -> None:
    """ConfigError unless the features were made by this very segmenter."""
    if bank.made_by != fingerprint(segmenter):
        raise ConfigError(
            f"the features were made by the segmenter {bank.made_by[:12]}, this one is {fingerprint(segmenter)[:12]}: "
            "make them anew with python -m training.features"
        )


def new_start(
    segmenter: Segmenter,
    base: Base,
    settings: AdapterSettings,
    bank: FeatureBank,
    seed: int,
    *,
    bf16: bool,
    device: torch.device,
    quantize: str | None = None,
) -> Start:
    """An untrained model around a trained segmenter."""
    check_bank(bank, segmenter)
    parts = _frozen_base(base)
    phrases = frozen_codes(parts, segmenter)
    parts = _trained_base(base, parts, settings, bf16, quantize, device)
    model = DeixisModel.new(parts, segmenter, settings, image_tokens=bank.image_tokens, seed=seed).to(device)
    phrases.to(device)
    return Start(model, phrases, {}, {}, {})


def load_start(
    folder: Path,
    base: Base | None,
    bank: FeatureBank,
    *,
    bf16: bool,
    device: torch.device,
    quantize: str | None = None,
    settings: AdapterSettings | None = None,
    seed: int = 0,
) -> Start:
    """The checkpoint of the stage before, trainable. The frozen codes are read in float32 whatever is trained in.

    settings: of another adapter, which begins anew on the plain base with the checkpoint's projectors and masks.
    """
    values, manifest = checkpoint.read(folder)
    base = manifest.base.name if base is None else base
    parts = _frozen_base(base)
    segmenter = load_segmenter(folder)
    check_bank(bank, segmenter)
    phrases = frozen_codes(parts, segmenter)
    config = DeixisConfig.from_dict(values)
    parts = _trained_base(base, parts, settings or config.adapter, bf16, quantize, device)
    if settings is None:
        model = DeixisModel.from_pretrained(folder, parts, device=device, trainable=True)
    else:
        checkpoint.check_base(manifest, parts[2], folder)
        model = DeixisModel.new(parts, segmenter, settings, image_tokens=config.image_tokens, seed=seed).to(device)
        joined = torch.nn.ModuleDict({"visual": model.projector, "region": model.region_projector})
        checkpoint.load_module(joined, checkpoint.read_tensors(folder, checkpoint.PROJECTOR), f"{folder}'s projector")
    phrases.to(device)
    return Start(model, phrases, manifest.seeds, manifest.data, manifest.training)


def swapped_start(
    folder: Path,
    segmenter: Segmenter,
    base: Base | None,
    bank: FeatureBank,
    *,
    bf16: bool,
    device: torch.device,
    quantize: str | None = None,
) -> Start:
    """A checkpoint's language side around another segmenter: See may go on while Converse is trained, if the projectors
    are aligned anew afterwards. What the states are held to does not change with the segmenter (`Segmenter.whiten`)."""
    check_bank(bank, segmenter)
    values, manifest = checkpoint.read(folder)
    base = manifest.base.name if base is None else base
    parts = _frozen_base(base)
    phrases = frozen_codes(parts, segmenter)
    settings = DeixisConfig.from_dict(values).adapter
    parts = _trained_base(base, parts, settings, bf16, quantize, device)
    model = DeixisModel.from_pretrained(folder, parts, device=device, trainable=True)
    # in half precision, as checkpoints may store them
    pairs = zip(
        (model.segmenter.state_mean, model.segmenter.state_axes),
        (segmenter.state_mean, segmenter.state_axes),
        strict=True,
    )
    if not all(torch.equal(a.half(), b.half()) for a, b in pairs):
        raise ConfigError(f"{folder} was trained on other phrase states than this segmenter: train Converse on it anew")
    model.segmenter = segmenter
    model.config = replace(model.config, segmenter=segmenter.config)
    phrases.to(device)
    return Start(model.to(device), phrases, manifest.seeds, manifest.data, manifest.training)


def _frozen_base(base: Base) -> tuple[Any, Any, Any]:
    return base if isinstance(base, tuple) else load_base(base, dtype=torch.float32)


def _trained_base(
    base: Base,
    parts: tuple[Any, Any, Any],
    settings: AdapterSettings,
    bf16: bool,
    quantize: str | None,
    device: torch.device,
) -> tuple[Any, Any, Any]:
    """The base as it is trained on: in bfloat16, or quantised (loaded again: rounding is done in loading)."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    if quantize is None:
        # what is trained itself stays in float32, where a small step is not rounded away
        parts[0].to(torch.float32 if settings.kind == "full" else dtype)
        return parts
    if settings.kind == "full":
        raise ConfigError("a quantised language model's weights cannot be trained: take another adapter than 'full'")
    if isinstance(base, tuple):
        raise ConfigError(f"the base {base[2].name} is loaded already: give its name or folder to have it quantised")
    return load_base(base, dtype=dtype, quantize=quantize, device=device)


def frozen_codes(parts: tuple[Any, Any, Any], segmenter: Segmenter) -> FrozenCodes:
    """Codes of every canonical phrase that training speaks of, and of the words outside that conversations restate."""
    names = [*(s.name for s in ontology.asked()), "brain", *UNKNOWN, *segmenter.config.taught_names]
    return FrozenCodes.of(list(dict.fromkeys(names)), parts[0], parts[1], segmenter)


def compute_type(bf16: bool, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """A factory of the contexts that a forward runs in."""
    if not bf16:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)


def bank_index(bank: FeatureBank) -> dict[str, Any]:
    """What `data_index` says, of a feature bank; and whose features they are."""
    ids = sorted(case.case for cases in bank.families.values() for case in cases)
    return {
        "cases": {family: len(cases) for family, cases in sorted(bank.families.items())},
        "index_sha256": sha256("\n".join(ids).encode()).hexdigest(),
        "features_made_by": bank.made_by,
    }


def finish(
    start: Start,
    stage: str,
    config: Any,
    step: int,
    this: Run,
    *,
    bank: FeatureBank,
    weights: Mapping[str, Tensor],
    again: Callable[[], Start],
) -> Path:
    """Write the run's checkpoint, with what every stage so far was asked and took. weights: what was trained, whole;
    again: makes the start anew, for a model that lies in pieces on several processes."""
    folder = this.out / "checkpoint"
    accelerator = this.accelerator
    if accelerator.is_main_process:
        cut = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        model = again().model if cut else start.model
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])
        model.glossary = ontology.glossary()
        done = entry(stage, config, bank_index(bank))
        took = {"steps_done": step, "seconds": round(this.seconds()), "processes": accelerator.num_processes}
        model.save_pretrained(
            folder,
            seeds={**start.seeds, stage: config.seed},
            data={**start.data, stage: done["data"]},
            training={**start.training, stage: {**done["settings"], **took, "code": done["code"]}},
        )
    accelerator.wait_for_everyone()
    return folder
