"""Scans and what was written about them, brought together (SigLIP, Zhai et al. 2023).

Pairs come from records of kind "report" or "caption" (`data_recipes.schema`), as `deixis data build` or
`schema.write_records` leave them. A scan is its coarse level's deepest features, a text the frozen language model's
states, both pooled; small heads lead both into one space.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from assistant import preprocess
from assistant.language import last_hidden, word_table
from assistant.vision import Encoder
from assistant.volume import Volume
from data_recipes import arrow
from data_recipes.schema import ImageRef, RecipeError, Record, load_image, read_records
from training.run import ConfigError

KINDS = ("report", "caption")


@dataclass(frozen=True)
class Pair:
    """A scan and what was written about it; texts: rows of the table of all texts."""

    root: Path
    image: ImageRef
    texts: tuple[int, ...]


def read_pairs(records: Path, root: Path | None) -> tuple[list[Pair], list[str]]:
    """The training split's scans with their texts, and all texts, each once.

    records: a folder of `deixis data build`, or a file of `schema.write_records` with `root`, where its paths begin."""
    if records.is_dir():
        roots = arrow.roots(records)
        pairs, texts = pair_up((roots[r.dataset], r) for r in arrow.read(records, "train"))
    elif root is None:
        raise ConfigError(f"{records} does not say where its paths begin: set data to that folder")
    else:
        pairs, texts = pair_up((root, r) for r in read_records(records) if r.split == "train")
    if len(pairs) < 2:
        raise ConfigError(f"{records} has reports of {len(pairs)} training scans: two are the least to tell apart")
    return pairs, texts


def pair_up(records: Iterable[tuple[Path, Record]]) -> tuple[list[Pair], list[str]]:
    """Records and where their paths begin -> a pair for each scan that was written about, in their order."""
    number: dict[str, int] = {}
    found: dict[tuple[Path, ImageRef], list[int]] = {}
    for root, record in records:
        if record.kind in KINDS:
            for turn in record.messages:
                if turn.role == "assistant":
                    row = number.setdefault(turn.content, len(number))
                    found.setdefault((root, record.images[0]), []).append(row)
    return [Pair(root, image, tuple(dict.fromkeys(rows))) for (root, image), rows in found.items()], list(number)


@torch.inference_mode()
def text_states(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int, batch: int = 8
) -> Tensor:
    """The frozen language model's last states of each text, the mean over its first `most` tokens: (N, D) float32."""
    device, rows = word_table(lm).device, []
    for start in range(0, len(texts), batch):
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"][:most] for text in texts[start : start + batch]]
        longest = max(map(len, ids))
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=device)
        padded = torch.tensor([one + [0] * (longest - len(one)) for one in ids], device=device)
        hidden = last_hidden(lm, input_ids=padded, attention_mask=mask, use_cache=False).float()
        rows.append((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
    return torch.cat(rows).cpu().clone()


def cached_states(
    path: Path, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base_sha: str, texts: list[str], most: int
) -> Tensor:
    """`text_states`, kept in a file that knows which texts and which base it is of."""
    digest = hashlib.sha256("\n".join([base_sha, str(most), *texts]).encode()).hexdigest()
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        if kept["of"] == digest:
            return kept["states"]
    states = text_states(lm, tokenizer, texts, most)
    part = path.with_suffix(".part")
    torch.save({"of": digest, "states": states}, part)
    part.replace(path)
    return states


def coarse_input(volume: Volume, size: int) -> Tensor:
    """What the encoder sees of a whole scan: (1, 10, X, Y, Z)."""
    c = preprocess.canonical(volume, size)
    grid = c.coarse_grid
    return preprocess.level_input(c.coarse, c.coarse_inside, grid.spacing, c.modality, (0, 0, 0), grid.shape)


@dataclass(frozen=True)
class Batch:
    """images: N of (1, 10, X, Y, Z), each of its own size; texts (N,): rows of the table, one a scan; positive (N, N):
    which text was written about which scan."""

    images: list[Tensor]
    texts: list[int]
    positive: Tensor


class Batches(IterableDataset[Batch | str]):
    """Batches start..stop of a run, in order; worker w of W makes every W-th. Batch i depends on the seed and i.

    What is wrong with a scan is handed over as a sentence: an error would lose its kind on the way from a worker."""

    def __init__(self, pairs: list[Pair], size: int, coarse_size: int, seed: int, start: int, stop: int) -> None:
        self.pairs, self.size, self.coarse_size = pairs, min(size, len(pairs)), coarse_size
        self.seed, self.start, self.stop = seed, start, stop

    def make(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, index])
        chosen = [self.pairs[i] for i in rng.choice(len(self.pairs), self.size, replace=False)]
        texts = [int(rng.choice(pair.texts)) for pair in chosen]
        images = [coarse_input(load_image(pair.root, pair.image), self.coarse_size) for pair in chosen]
        # "No abnormality." is as true of the next scan that it was written about
        return Batch(images, texts, torch.tensor([[text in pair.texts for text in texts] for pair in chosen]))

    def __iter__(self) -> Iterator[Batch | str]:
        torch.set_num_threads(1)
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for index in range(self.start + first, self.stop, stride):
            try:
                yield self.make(index)
            except RecipeError as error:
                yield str(error)


def load_batches(batches: Batches, workers: int) -> Iterator[Batch]:
    """The batches, made in other processes if there are any. RecipeError for a scan that cannot be read."""
    for made in DataLoader(batches, batch_size=None, num_workers=workers):
        if isinstance(made, str):
            raise RecipeError(made)
        yield made


def sigmoid_loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, positive: Tensor) -> Tensor:
    """Equation 1 of Zhai et al. 2023, with the bias added as their algorithm 1 does: scalar.

    image, text (N, D) of unit length; positive (N, N) bool: which belong together (there the diagonal). Every pair is a
    yes or no of its own; the sum is divided by the number of scans."""
    sign = 2 * positive.to(image.dtype) - 1
    return -F.logsigmoid(sign * (scale * image @ text.T + bias)).sum() / len(image)


class ContrastiveModel(nn.Module):
    """An encoder and the two heads. lm_dim: width of the text states; dim: of the common space."""

    def __init__(self, encoder: Encoder, visual_dim: int, lm_dim: int, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.image_head = nn.Linear(visual_dim, dim)
        self.text_head = nn.Sequential(nn.LayerNorm(lm_dim), nn.Linear(lm_dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def embed_images(self, images: Sequence[Tensor]) -> Tensor:
        """N of (1, 10, X, Y, Z) -> (N, dim) of unit length. The way up to pixels has no part in it."""
        pooled = torch.cat([self.encoder.descend(image)[0].float().mean((2, 3, 4)) for image in images])
        return F.normalize(self.image_head(pooled), dim=1)

    def embed_texts(self, states: Tensor) -> Tensor:
        """(N, lm_dim) of `text_states` -> (N, dim) of unit length."""
        return F.normalize(self.text_head(states), dim=1)

    def backward(self, images: Sequence[Tensor], states: Tensor, positive: Tensor, chunk: int) -> float:
        """Adds the loss's gradients; returns the loss.

        Only `chunk` scans are held for the way back at a time (Gao et al. 2021): all are embedded, the loss gives the
        gradient of each embedding, and the scans are encoded again to pass it on. The encoder treats each scan alone,
        so the gradients are those of all at once."""
        at_once = chunk >= len(images)
        with torch.set_grad_enabled(at_once):
            image = self.embed_images(images)
        if not at_once:
            image.requires_grad_()
        text = self.embed_texts(states)
        with torch.autocast(image.device.type, enabled=False):
            loss = sigmoid_loss(image.float(), text.float(), self.log_scale.exp(), self.bias, positive)
        loss.backward()
        if not at_once:
            assert image.grad is not None
            for part, gradient in zip(_chunks(images, chunk), image.grad.split(chunk), strict=True):
                self.embed_images(part).backward(gradient)
        return float(loss.detach())


def _chunks(items: Sequence[Tensor], size: int) -> Iterator[Sequence[Tensor]]:
    return (items[start : start + size] for start in range(0, len(items), size))
