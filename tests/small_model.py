"""A real model that is small enough to be made in the tests: 2 layers, a tokenizer of 400 tokens, random masks.

The language model is taught one reply in about two seconds: whatever it is asked, it names the left block, reads the
note and says "Here it is." So whole conversations run through the same code as with the embedded default. The masks are
those of an untrained segmenter: somewhere, but always the same.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assistant import conversation
from assistant.conversation import Message
from assistant.model import DeixisModel, LoraSettings
from assistant.segmenter import SegmenterConfig

PHRASE, SENTENCE = "left block", "Here it is."
QUESTIONS = ("Show me the left block.", "What is this?", "Where is it?", "And now?")
WIDTH = 96
# Untrained masks are drawn where a logit is over -5.3: without a click that is nearly everywhere, with one it is around
# it.
SEGMENTER = SegmenterConfig(
    lm_dim=WIDTH, channels=(8, 8, 8, 8, 16), blocks=(1, 1, 1, 1, 1), pixel_dim=8, dim=32, decoder_depth=1,
    coarse_size=16, presence_threshold=0.0, mask_threshold=0.005,
)  # fmt: skip


def lesson(rng: random.Random, turn: int) -> list[Message]:
    """A question and the reply, its note full of random numbers: what is said after it must not depend on them."""
    numbers = f"{rng.uniform(0.1, 99):.1f} mL, {rng.uniform(1, 99):.1f} mm, mean {rng.randrange(700)}"
    if rng.random() < 0.3:
        note = f"{PHRASE}: not found, presence 0.{rng.randrange(100):02d}"
    else:
        sure = f"presence 0.{rng.randrange(100):02d}, quality 0.{rng.randrange(100):02d}"
        note = f"m{turn + 1} {PHRASE}: {numbers}, {sure}"
    question = rng.choice(QUESTIONS)
    return [
        Message("user", question, image=turn == 0, region="this" in question),
        Message("assistant", f"<p>{PHRASE}</p><SEG><obs>{note}</obs> {SENTENCE}"),
    ]


def make_base(folder: Path) -> Path:
    """An untrained causal LM with its tokenizer, saved as transformers saves them."""
    rng = random.Random(0)
    corpus = [conversation.SYSTEM, "user\n", "assistant\n"]
    corpus += [message.content for _ in range(200) for message in lesson(rng, rng.randrange(9))]
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(corpus, vocab_size=400, min_frequency=2, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trainer._tokenizer, additional_special_tokens=list(conversation.CHAT_MARKS)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=192, num_hidden_layers=2,
                num_attention_heads=4, max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=None,
                eos_token_id=None, initializer_range=0.1,
            )
        )  # fmt: skip
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_model(base: Path, steps: int = 40, batch: int = 4) -> DeixisModel:
    """A model on that base, taught its reply."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rng = random.Random(1)
        model = DeixisModel.new(base, SEGMENTER, LoraSettings(r=32, alpha=64, dropout=0.0))
        language = [p for p in model.language_model.parameters() if p.requires_grad]
        trained = language + list(model.projector.parameters()) + list(model.region_projector.parameters())
        optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
        for step in range(steps):
            rows = [conversation.render(lesson(rng, 0) + lesson(rng, 1), model.tokenizer) for _ in range(batch)]
            length = max(len(row) for row in rows)
            ids = torch.zeros(batch, length, dtype=torch.long)
            labels = torch.full_like(ids, conversation.IGNORED)
            attention = torch.zeros_like(ids)
            for index, row in enumerate(rows):
                ids[index, : len(row)] = torch.tensor(row.ids)
                labels[index, : len(row)] = torch.tensor(row.labels)
                attention[index, : len(row)] = 1
            regions = sum(len(row.region_positions) for row in rows)
            output = model(
                ids,
                visual=torch.randn(batch, model.config.image_tokens, SEGMENTER.visual_dim),
                regions=torch.randn(regions, SEGMENTER.region_dim) if regions else None,
                attention_mask=attention,
                labels=labels,
            )
            assert output.loss is not None
            optimizer.zero_grad()
            output.loss.backward()
            optimizer.param_groups[0]["lr"] = 1e-2 * min(1.0, step / 10) * (1 - step / steps) + 1e-5
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        return model.eval()
