"""The phrase bank: every name of every structure with its `<SEG>` state from the frozen language model, computed
once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assistant import language
from assistant.segmenter import Segmenter
from data_recipes import ontology
from training.run import ConfigError
from training.taught import Taught


@dataclass(frozen=True)
class PhraseBank:
    """states (M, D); rows: canonical phrase -> rows of its wordings, the canonical one first; base: whose states."""

    states: Tensor
    rows: dict[str, list[int]]
    base: str = language.DEFAULT_BASE

    @staticmethod
    def wordings(phrases: Iterable[str] = (), most: int = 12) -> dict[str, list[str]]:
        """Canonical phrase -> itself and up to `most` other names, of every structure that `ontology.asked` has and of
        further phrases."""
        known = ontology.by_name()
        out = {}
        for name in dict.fromkeys([*(s.name for s in ontology.asked()), *phrases]):
            others = [*known[name].synonyms, *known[name].latin, *known[name].abbreviations] if name in known else []
            step = max(1, len(others) // most)
            out[name] = list(dict.fromkeys([name, *others[::step][:most]]))
        return out

    @staticmethod
    def make(base: str = language.DEFAULT_BASE, phrases: Iterable[str] = ()) -> PhraseBank:
        """Run the frozen base over every wording. ModelError when the base is not here."""
        lm, tokenizer, _ = language.load_base(base, dtype=torch.float32)
        words = PhraseBank.wordings(phrases)
        flat = [w for group in words.values() for w in group]
        states = language.phrase_states(lm, tokenizer, flat)
        rows, at = {}, 0
        for name, group in words.items():
            rows[name] = list(range(at, at + len(group)))
            at += len(group)
        return PhraseBank(states, rows, base)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"states": self.states, "rows": self.rows, "base": self.base}, path)

    @staticmethod
    def load(path: Path, base: str = language.DEFAULT_BASE, phrases: Iterable[str] = ()) -> PhraseBank:
        """The bank of a file, made when there is none. ConfigError where it is another base's, or lacks a phrase."""
        phrases = list(phrases)
        if not path.exists():
            bank = PhraseBank.make(base, phrases)
            bank.save(path)
            return bank
        saved = torch.load(path, weights_only=True)
        bank = PhraseBank(saved["states"], saved["rows"], saved.get("base", language.DEFAULT_BASE))
        missing = [phrase for phrase in phrases if phrase not in bank.rows]
        if bank.base != base or missing:
            lack = f"states of {bank.base}, not of {base}" if bank.base != base else f"no state of {missing[0]!r}"
            raise ConfigError(f"{path} has {lack}: name another file (phrases) or remove it, and it is made anew")
        return bank

    def canonical(self) -> Tensor:
        """The states of the canonical phrases alone, in the ontology's order: (K, D)."""
        return self.states[[rows[0] for rows in self.rows.values()]]

    def fit(self, segmenter: Segmenter, taught: Taught, *, whiten: bool = True) -> None:
        """Tell a segmenter what it is taught, and how phrase states are read; whiten=False leaves that as it is, for a
        segmenter that has learned to read them its way."""
        if whiten:
            segmenter.fit_states(self.canonical())
        rows = [self.rows[name][0] for name in taught.names]
        segmenter.fit_taught(taught.groups, taught.wholes, segmenter.whiten(self.states[rows]), taught.focus)

    def pick(self, phrases: list[str], rng: np.random.Generator, canonical: float = 1.0) -> Tensor:
        """One wording's state for each canonical phrase -> (N, D): with probability `canonical` the phrase itself."""
        chosen = []
        for phrase in phrases:
            rows = self.rows[phrase]
            chosen.append(rows[0] if rng.random() < canonical else rows[int(rng.integers(len(rows)))])
        return self.states[chosen]
