"""Replies beside the replies that the instruction templates give from the expert masks, in figures of the text alone.

A question is drawn from the templates that also make training data, with the facts of the expert masks; its reply there
is the reference. Wording and numbers count alike in such figures, and neither says whether a reply is true: that is
`closed` and `faithful`'s part. They are here since papers give them.

- BLEU (Papineni et al. 2002), of the corpus: sacrebleu's default, 0 to 100.
- ROUGE-L (Lin 2004), F-measure without stemming: rouge-score.
- METEOR (Banerjee and Lavie 2005) by nltk, matching words and stems. WordNet's synonyms are a download, and are left
  out so that the figure is the same on every machine.
- CIDEr-D (Vedantam et al. 2015), 0 to 10. The packages that have it bring Java programs or a neural network along; it
  is a dozen lines on scikit-learn's counts.

RaTEScore and RadGraph read models of their own: `training/radiology_scores.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from assistant import conversation
from assistant.evidence import Measurement
from assistant.volume import Volume
from data_recipes.instructions import single
from data_recipes.instructions.dialogue import Thread
from data_recipes.instructions.facts import Facts
from training import metrics
from training.answers import Asked
from training.scans import Scan

KINDS: Mapping[str, Callable[[Thread], bool]] = {
    "show": single.show,
    "how big": single.size,
    "is it there": single.there,
    "compare two": single.compare,
    "together": single.together,
}
TRIES = 30  # of a kind, to find a question whose every target is known to be there or not
Scorer = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")
NGRAMS, SIGMA = 4, 6.0  # CIDEr-D's


@dataclass(frozen=True)
class Told:
    """A question of the templates, the reply to it and the templates' own."""

    family: str
    case: str
    kind: str
    question: str
    reply: str
    reference: str


def questions(
    scan: Scan, facts: Mapping[str, Measurement], modality: str, seed: int, each: int
) -> Iterator[tuple[str, str, str]]:
    """(kind, question, reference reply as a user sees it), up to ``each`` a kind."""
    known = Facts(scan.family, modality, facts, tuple(scan.absent), scan.case)
    sure = {*facts, *scan.absent}
    for kind, family in KINDS.items():
        rng = random.Random(f"{seed} {scan.case} {kind}")
        made = 0
        for _ in range(TRIES):
            thread = Thread(known, rng)
            if made < each and family(thread) and all(target.phrase in sure for target in thread.targets):
                made += 1
                question, reply = thread.messages
                yield kind, question.content, conversation.visible(reply.content)


def ask(
    session: Asked, scan: Scan, facts: Mapping[str, Measurement], volume: Volume, group: str, seed: int, each: int
) -> Iterator[Told]:
    """All :func:`questions` of a scan, each taken back. facts: `closed.expert_facts`."""
    for kind, question, reference in questions(scan, facts, volume.modality, seed, each):
        reply = session.ask(question)
        session.undo()
        yield Told(group, scan.case, kind, question, reply.text, reference)


def bleu(replies: Sequence[str], references: Sequence[str]) -> float:
    """Of the corpus, 0 to 100."""
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU().corpus_score(list(replies), [list(references)]).score)


def rouge_l(replies: Sequence[str], references: Sequence[str]) -> list[float]:
    """F-measure of the longest common subsequence, one a reply."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return [scorer.score(true, said)["rougeL"].fmeasure for said, true in zip(replies, references, strict=True)]


class _NoSynonyms:
    """In WordNet's place."""

    def synsets(self, word: str) -> tuple[()]:
        return ()


def meteor(replies: Sequence[str], references: Sequence[str]) -> list[float]:
    """Alignment by words and stems, one a reply."""
    from nltk.translate.meteor_score import single_meteor_score

    return [
        float(single_meteor_score(words(true), words(said), wordnet=_NoSynonyms()))
        for said, true in zip(replies, references, strict=True)
    ]


def cider(replies: Sequence[str], references: Sequence[str]) -> list[float]:
    """CIDEr-D, one a reply: cosine of n-gram counts weighted by how few references have them, clipped at the
    reference's, less for another length; the mean over n = 1 to 4, times 10."""
    from sklearn.feature_extraction.text import CountVectorizer

    lengths = np.array([[len(words(text)) for text in texts] for texts in (replies, references)])
    penalty = np.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * SIGMA**2))
    total = np.zeros(len(replies))
    for n in range(1, NGRAMS + 1):
        if not any(_ngrams(text, n) for text in (*replies, *references)):
            break  # nothing is so long
        counts = CountVectorizer(analyzer=partial(_ngrams, n=n)).fit([*replies, *references])
        said, true = (counts.transform(texts).astype(float) for texts in (replies, references))
        rarity = np.log(len(references)) - np.log(np.maximum(1, np.asarray((true > 0).sum(0)).ravel()))
        said, true = said.multiply(rarity).tocsr(), true.multiply(rarity).tocsr()
        shared = np.asarray(said.minimum(true).multiply(true).sum(1)).ravel()
        norms = [np.sqrt(np.asarray(x.multiply(x).sum(1)).ravel()) for x in (said, true)]
        total += np.divide(shared, norms[0] * norms[1], out=np.zeros(len(replies)), where=norms[0] * norms[1] > 0)
    return (10 / NGRAMS * total * penalty).tolist()


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    tokens = words(text)
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def words(text: str) -> list[str]:
    """Words and numbers in lower case, a number in one piece, no punctuation."""
    return _WORD.findall(text.lower())


def summarise(rows: Sequence[Told], more: Mapping[str, Scorer] | None = None) -> dict[str, Any]:
    """Mean and 95 % interval of each figure, over all replies; ``more`` scorers as `radiology_scores` loads them."""
    replies, references = [r.reply for r in rows], [r.reference for r in rows]
    scorers: dict[str, Scorer] = {"ROUGE-L": rouge_l, "METEOR": meteor, "CIDEr-D": cider, **(more or {})}
    each = {name: scorer(replies, references) for name, scorer in scorers.items()}
    return {
        "n": len(rows),
        "same": metrics.Rate(sum(r.reply == r.reference for r in rows), len(rows)).to_dict(),
        "bleu": bleu(replies, references),
        "scores": {
            name: {"mean": metrics.mean(values), "interval95": list(metrics.mean_interval(values))}
            for name, values in each.items()
        },
    }
