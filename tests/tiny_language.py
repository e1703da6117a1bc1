"""A language model small enough for a test: 2 layers, 32 wide, a byte-level tokenizer made here, tied embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from assistant.language import BaseIdentity, extend
from assistant.model import DeixisModel, LoraSettings
from assistant.prompt_encoder import Prompt
from assistant.segmenter import SegmenterConfig
from assistant.volume import Volume

WIDTH = 32
IMAGE_TOKENS = 64  # what Study gives
TINY_SEGMENTER = SegmenterConfig(
    lm_dim=WIDTH, channels=(8, 8, 8, 8, 8), blocks=(1, 1, 1, 1, 1), pixel_dim=4, dim=16, decoder_depth=1, coarse_size=32
)
_WORDS = [
    "user assistant system You are Deixis. Ground each structure before you speak of it.",
    "Is the left hippocampus smaller than the right hippocampus? Yes, the left hippocampus is 2.9 mL, mean 112 HU.",
    "presence quality not found together larger liver brainstem tumour segmentation mask medical scan volume region",
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with 256 bytes, some merges and `<|endoftext|>`; it knows no ChatML mark and no token of ours."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def tiny_lm(tokenizer: PreTrainedTokenizerFast, *, tied: bool = True, seed: int = 0) -> LlamaForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=2048,
                tie_word_embeddings=tied,
                initializer_range=0.2,  # the default leaves a model this small with nearly equal logits
            )
        ).eval()


def tiny_base(*, tied: bool = True, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, BaseIdentity]:
    """What load_base gives; the same weights at every call."""
    tokenizer = tiny_tokenizer()
    lm = tiny_lm(tokenizer, tied=tied, seed=seed)
    extend(lm, tokenizer)
    return lm, tokenizer, BaseIdentity("tiny", f"{seed:064d}")


def tiny_model(*, tied: bool = True) -> DeixisModel:
    """An untrained DeixisModel whose LoRA and own tokens are not at their start, so that losing them shows."""
    model = DeixisModel.new(
        tiny_base(tied=tied), TINY_SEGMENTER, LoraSettings(r=4, alpha=8, dropout=0.0), image_tokens=IMAGE_TOKENS
    )
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.language_model.named_parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=noise) * (0.3 if "lora" in name else 0.5))
    return model


@dataclass(frozen=True)
class FakeDecoded:
    mask: np.ndarray
    presence: float
    quality: float
    present: bool
    taught: bool = True


def block_volume() -> Volume:
    """10 x 10 x 10 voxels of 10 mm (1 mL each), value 100."""
    return Volume.from_array(
        np.arange(1000, dtype=np.float32).reshape(10, 10, 10), np.diag([10.0, 10, 10, 1]), modality="MR"
    )


@dataclass
class FakeStudy:
    """Stands for Study: the n-th decoded mask has ``volumes[n]`` voxels of 1 mL; 0 is absent, -1 never taught."""

    volumes: list[int]
    volume: Volume = field(default_factory=block_volume)
    states: list[Tensor] = field(default_factory=list)
    prompts: list[Prompt | None] = field(default_factory=list)
    encoded: int = 0
    rivals: None = None  # it knows of no structures that exclude one another

    def visual_features(self) -> Tensor:
        self.encoded += 1
        return torch.randn(IMAGE_TOKENS, TINY_SEGMENTER.visual_dim, generator=torch.Generator().manual_seed(5))

    def decode(
        self, seg: Tensor, prompts: list[Prompt] | None, names: list[str | None] | None = None
    ) -> list[FakeDecoded]:
        decoded = []
        for index, state in enumerate(seg):
            mask = np.zeros((10, 10, 10), bool)
            size = self.volumes[len(self.states)]
            mask.reshape(-1)[: max(0, size)] = True
            self.states.append(state.clone())
            self.prompts.append(None if prompts is None else prompts[index])
            decoded.append(FakeDecoded(mask, 0.0 if size < 0 else 0.98 if size else 0.03, 0.87, size > 0, size >= 0))
        return decoded
