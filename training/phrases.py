"""The phrase bank: every name of every structure with its `<SEG>` state from the frozen language model, computed
once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assistant.segmenter import Segmenter
from data_recipes import ontology


@dataclass(frozen=True)
class PhraseBank:
    """states (M, D); rows: canonical phrase -> rows of its wordings, the canonical one first."""

    states: Tensor
    rows: dict[str, list[int]]

    @staticmethod
    def wordings(most: int = 12) -> dict[str, list[str]]:
        """Canonical phrase -> itself and up to `most` other names."""
        out = {}
        for structure in ontology.asked():
            others = [*structure.synonyms, *structure.latin, *structure.abbreviations]
            step = max(1, len(others) // most)
            out[structure.name] = list(dict.fromkeys([structure.name, *others[::step][:most]]))
        return out

    @staticmethod
    def make(base: str | None = None) -> PhraseBank:
        """Run the frozen base over every wording."""
        from assistant import language

        lm, tokenizer, _ = language.load_base(base or language.DEFAULT_BASE, dtype=torch.float32)
        words = PhraseBank.wordings()
        flat = [w for group in words.values() for w in group]
        states = language.phrase_states(lm, tokenizer, flat)
        rows, at = {}, 0
        for name, group in words.items():
            rows[name] = list(range(at, at + len(group)))
            at += len(group)
        return PhraseBank(states, rows)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"states": self.states, "rows": self.rows}, path)

    @staticmethod
    def load(path: Path) -> PhraseBank:
        if not path.exists():
            bank = PhraseBank.make()
            bank.save(path)
            return bank
        saved = torch.load(path, weights_only=True)
        return PhraseBank(saved["states"], saved["rows"])

    def canonical(self) -> Tensor:
        """The states of the canonical phrases alone, in the ontology's order: (K, D)."""
        return self.states[[rows[0] for rows in self.rows.values()]]

    def fit(self, segmenter: Segmenter) -> None:
        """Tell a segmenter how phrase states are read, and what it is taught."""
        segmenter.fit_states(self.canonical())
        groups = ontology.exclusive()
        parts = dict.fromkeys(name for group in groups for name in group)
        wholes = tuple(s.name for s in ontology.all_structures() if s.taught and s.name not in parts)
        rows = [self.rows[name][0] for name in (*parts, *wholes)]
        segmenter.fit_taught(groups, wholes, segmenter.whiten(self.states[rows]))

    def pick(self, phrases: list[str], rng: np.random.Generator, canonical: float = 1.0) -> Tensor:
        """One wording's state for each canonical phrase -> (N, D): with probability `canonical` the phrase itself."""
        chosen = []
        for phrase in phrases:
            rows = self.rows[phrase]
            chosen.append(rows[0] if rng.random() < canonical else rows[int(rng.integers(len(rows)))])
        return self.states[chosen]
