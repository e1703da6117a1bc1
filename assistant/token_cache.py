"""The language model's memory of a conversation: the tokens that it has read, with their keys and values.

The cache holds a prefix of the conversation as `conversation.render` gives it. What differs is cropped and what is new
is run; what a reply is likely to say next is run along with each token.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache

from assistant import conversation
from assistant.model import DeixisModel

if TYPE_CHECKING:
    from assistant.study import Study

GUESS_FROM = (3, 2, 1)  # a guess continues what followed the same so many tokens; the longest that stood before
GUESS_MOST = 12  # tokens guessed in one pass: such a pass takes less than two of a single token


class TokenCache:
    """ids: the tokens that were read; regions: the features behind their ``<REG>``s, in order. study: whose scan stands
    behind the visual tokens."""

    def __init__(self, model: DeixisModel, study: Study | None) -> None:
        self.model = model
        self.study = study
        self.ids: list[int] = []
        self.regions: list[Tensor] = []
        #: what the reply is likely to say, where that is known (`assistant.likely`)
        self.likely: list[int] = []
        self._visual: Tensor | None = None
        self._cache = DynamicCache(config=model.language_model.config.get_text_config())
        # tokens run on a guess, beyond `ids`, each with the logits after it
        self._ahead: list[tuple[int, Tensor]] = []
        #: markup, and all else that is no word
        self.special = {index for index, token in model.tokenizer.added_tokens_decoder.items() if token.special}

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values."""
        values = [value for layer in self._cache.layers for value in vars(layer).values()]
        return sum(value.nbytes for value in values if isinstance(value, Tensor))

    def bring(
        self, ids: Sequence[int], image_positions: Sequence[int], likely: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor]:
        """Make the cache hold exactly ``ids``, running only what it does not hold yet; likely: as for `feed`."""
        common = common_start(self.ids, ids[:-1])  # the last one is run: its logits are wanted
        if image_positions and image_positions[0] < common <= image_positions[-1]:
            common = image_positions[0]  # the scan's tokens are run together
        if self.crop(common):
            common = 0
        return self.feed(ids[common:], likely)

    def crop(self, length: int) -> bool:
        """Forget all but the first ``length`` tokens. True when all had to be forgotten."""
        surplus = len(self.ids) + len(self._ahead) - length
        if surplus <= 0:
            return False
        try:
            self._cache.crop(-surplus)
        except RuntimeError:
            # A cache that keeps no past (sliding windows, linear attention) cannot go back: it is made anew
            self._cache = DynamicCache(config=self.model.language_model.config.get_text_config())
            self.ids, self._ahead = [], []
            return True
        del self.ids[length:]
        self._ahead = []
        return False

    def advance(self, token: int, known: Sequence[int] = ()) -> Tensor:
        """Take one more token of the reply -> logits after it (V,). known: what will follow it, where that is decided.

        Replies repeat themselves: names, numbers of the note, the form of an earlier reply. So what followed the last
        time is run along with the token, in the same pass, and is there already when the model says it again (prompt
        lookup, Saxena 2023). A guess changes no reply: one that the model does not make is forgotten.
        """
        if self._ahead and self._ahead[0][0] == token:
            self.ids.append(token)
            return self._ahead.pop(0)[1]
        return self.feed([token], self.plain(known) if known else self.guess([*self.ids, token]))[0]

    def guess(self, ids: Sequence[int]) -> list[int]:
        """What follows the last tokens in what is likely, or followed them here the last time: ordinary tokens,
        GUESS_MOST at most."""
        for count in GUESS_FROM:
            last = list(ids[-count:])
            for text in (self.likely, ids):
                for end in range(len(text) - 1, count - 1, -1):
                    if list(text[end - count : end]) == last:
                        return self.plain(text[end : end + GUESS_MOST])
        return []

    def plain(self, ids: Sequence[int]) -> list[int]:
        """Those before the first that is no word."""
        return list(itertools.takewhile(lambda token: token not in self.special, ids))

    def feed(self, ids: Sequence[int], likely: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Run new tokens on top of the cache -> (logits after the last one (V,), their last-layer states (L, D)).
        likely: what may follow, which is run along in the same pass where the cache can go back."""
        self.crop(len(self.ids))
        guess = list(likely) if self._cache.is_croppable and not any(self._cache.is_sliding) else []
        logits, states = self.run([*ids, *guess], len(guess) + 1)
        self.ids += ids
        self._ahead = list(zip(guess, logits[1:], strict=True))
        return logits[0], states[: len(ids)]

    @torch.inference_mode()
    def run(self, ids: Sequence[int], keep: int) -> tuple[Tensor, Tensor]:
        """Run tokens on top of the cache -> (logits after the last ``keep`` of them (keep, V), their last-layer states
        (L, D))."""
        tokens = torch.tensor([list(ids)], device=self.model.device)
        image = conversation.token_id(self.model.tokenizer, conversation.IMAGE)
        regions = list(ids).count(conversation.token_id(self.model.tokenizer, conversation.REGION))
        out = self.model.language_model(
            inputs_embeds=self.model.embed(
                tokens,
                self._scan() if image in ids else None,
                torch.stack(self.regions[-regions:]).to(self.model.device) if regions else None,
            ),
            past_key_values=self._cache,
            use_cache=True,
            output_hidden_states=True,
            logits_to_keep=keep,
        )
        return out.logits[0, -keep:].float(), out.hidden_states[-1][0]

    def _scan(self) -> Tensor:
        if self._visual is None:
            if self.study is None:
                raise RuntimeError("a message carries an image with no study open")
            self._visual = self.study.visual_features().to(self.model.device)
        return self._visual


def common_start(have: Sequence[int], want: Sequence[int]) -> int:
    """Length of the common start."""
    for index, (one, other) in enumerate(zip(have, want, strict=False)):
        if one != other:
            return index
    return min(len(have), len(want))
