"""RaTEScore and RadGraph: figures of a report by the findings it names, from packages that read models of their own.

Neither is installed with Deixis: each brings a named-entity model of some hundred megabytes from the Hugging Face hub.
Both are loaded only when asked for, before the first question, so that what is missing is said at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from assistant.errors import ModelError
from training.texts import Scorer


def ratescore() -> Scorer:
    """RaTEScore (Zhao et al. 2024), 0 to 1, one a reply; the reference's entities found again by meaning."""
    scorer = importlib.import_module("RaTEScore").RaTEScore(use_gpu=False)

    def score(replies: Sequence[str], references: Sequence[str]) -> list[float]:
        return [float(value) for value in scorer.compute_score(list(replies), list(references))]

    return score


def radgraph() -> Scorer:
    """F1 of RadGraph-XL's entities and whether they stand in relations ("partial", Delbrouck et al. 2024), 0 to 1."""
    scorer = importlib.import_module("radgraph").F1RadGraph(reward_level="partial", model_type="radgraph-xl")

    def score(replies: Sequence[str], references: Sequence[str]) -> list[float]:
        return [float(value) for value in scorer(hyps=list(replies), refs=list(references))[1]]

    return score


SCORERS = {"ratescore": ratescore, "radgraph": radgraph}
_NEEDS = {
    "ratescore": "pip install RaTEScore, and its models Angelakeke/RaTE-NER-Deberta and FremyCompany/BioLORD-2023-C",
    "radgraph": "pip install radgraph, and its model radgraph-xl.tar.gz of StanfordAIMI/RRG_scorers",
}


def load(name: str) -> Scorer:
    """A scorer of SCORERS with its models. ModelError in one sentence when the package or a model is not there."""
    try:
        return SCORERS[name]()
    except (ImportError, OSError) as error:
        raise ModelError(
            f"the score {name} cannot be had ({type(error).__name__}: {' '.join(str(error).split())[:120]}): it needs "
            f"{_NEEDS[name]} in the Hugging Face cache, or leave it out"
        ) from error
