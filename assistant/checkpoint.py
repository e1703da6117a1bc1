"""What a checkpoint folder holds, written and read strictly.

    config.json            shapes and settings, enough to build the modules
    adapter.safetensors    LoRA and the added tokens' embeddings
    projector.safetensors  Projector and RegionProjector
    segmenter.safetensors  encoder, prompt encoder, mask decoder
    glossary.json          the names of structures; where a checkpoint has none, names are the language model's alone
    README.md              a model card, made from the manifest
    manifest.json          base name and hash, seeds, data, versions, sha256 of every file above

Only what was trained is stored; the base language model is named by its hash. The manifest is written last.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from assistant import __version__
from assistant.errors import ModelError, ResourceError
from assistant.language import BaseIdentity
from assistant.model_card import write_card

FORMAT = 1
CONFIG, GLOSSARY, MANIFEST = "config.json", "glossary.json", "manifest.json"
ADAPTER, PROJECTOR, SEGMENTER = "adapter.safetensors", "projector.safetensors", "segmenter.safetensors"
_PACKAGES = ("torch", "transformers", "peft", "segment-anything", "numpy", "safetensors", "accelerate")


@dataclass(frozen=True)
class Manifest:
    """Where a checkpoint comes from. ``files`` maps each file's name to its sha256."""

    base: BaseIdentity
    files: dict[str, str]
    seeds: dict[str, int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def sha256(self) -> str:
        """One hash for the whole model: its base and all its files. It is what a reply's record names."""
        lines = [self.base.sha256, *(f"{name} {digest}" for name, digest in sorted(self.files.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Version of Python, of this code and of the packages that a model's numbers depend on."""
    found = {"python": platform.python_version(), "deixis": __version__}
    return found | {name: importlib.metadata.version(name) for name in _PACKAGES}


def write(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]],
    base: BaseIdentity,
    *,
    glossary: str | None = None,
    seeds: Mapping[str, int] | None = None,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Manifest:
    """Write a checkpoint; ``tensors`` maps a file's name to its state dict; ``glossary`` is JSON. ``dtype`` stores
    floats in that type.

    A file is replaced whole or not at all, and the manifest only when all of them are there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
        if glossary is not None:
            _replace(folder / GLOSSARY, glossary)
        for name, state in tensors.items():
            # save, not save_file: that makes files only their owner may read, whatever the umask says
            part = folder / (name + ".part")
            part.write_bytes(save({key: _stored(value, dtype) for key, value in state.items()}))
            os.replace(part, folder / name)
        manifest = Manifest(
            base=base,
            files={
                name: file_hash(folder / name)
                for name in (CONFIG, *tensors, *([] if glossary is None else [GLOSSARY]))
            },
            seeds=dict(seeds or {}),
            data=dict(data or {}),
            training=dict(training or {}),
            versions=versions(),
        )
        _replace(folder / MANIFEST, json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")
        write_card(folder, manifest)
    except (OSError, SafetensorError) as error:
        raise ResourceError(f"the checkpoint could not be written to {folder} ({error}): free disk space") from error
    return manifest


def read(folder: str | Path) -> tuple[dict[str, Any], Manifest]:
    """(config, manifest) of a checkpoint whose files are those the manifest was written for. ModelError otherwise."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise ModelError(f"{folder} is no Deixis checkpoint: it has no {MANIFEST}")
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**values | {"base": BaseIdentity(**values["base"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / MANIFEST} cannot be read ({error}): get the checkpoint again") from error
    if manifest.format != FORMAT:
        raise ModelError(f"{folder} has checkpoint format {manifest.format}, this version of Deixis reads {FORMAT}")
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise ModelError(f"{folder} has no {name}, which its manifest names: get the checkpoint again")
        found = file_hash(folder / name)
        if found != expected:
            raise ModelError(
                f"{folder / name} was changed: its sha256 is {found}, the manifest says {expected};"
                " get the checkpoint again"
            )
    return json.loads((folder / CONFIG).read_text(encoding="utf-8")), manifest


def read_tensors(folder: str | Path, name: str) -> dict[str, Tensor]:
    """The state dict in one of the checkpoint's files."""
    try:
        return load_file(Path(folder) / name)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{Path(folder) / name} cannot be read ({error}): get the checkpoint again") from error


def check_base(manifest: Manifest, found: BaseIdentity, folder: str | Path) -> None:
    """ModelError unless the base at hand is the one that the checkpoint was trained on, bit for bit."""
    if found.sha256 != manifest.base.sha256:
        raise ModelError(
            f"the checkpoint {folder} was trained on the base {manifest.base.name} with sha256 {manifest.base.sha256},"
            f" but the base at hand, {found.name}, has sha256 {found.sha256}: give the base it was trained on"
        )


def check_keys(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str) -> None:
    """ModelError naming what is missing, unexpected, or of another shape."""
    problems = [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(f"{what} does not fit this model: {'; '.join(problems[:3])}{more}")


def load_module(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load strictly; the values take the module's own types."""
    check_keys(module.state_dict(), state, what)
    module.load_state_dict(state, strict=True)


def _stored(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    value = value.detach().cpu().contiguous()
    if dtype is not None and value.is_floating_point():
        value = value.to(dtype)
    return value.clone()  # safetensors refuses tensors that share memory


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
