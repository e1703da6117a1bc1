"""Questions in other words, by a language model; off unless it is asked for (`deixis data build --rewrite`).

A rewriter is any endpoint with OpenAI's chat completions, or a causal language model of Hugging Face by name. Whatever
it writes is checked against the text that it was given: the same structures, sides, numbers, mask ids and denials, in
every language that the ontology has names in. A text that fails keeps its old words, and why is counted. Answers are
kept on disk under what was asked, so that a build that was killed does not ask again.

    rewriter = Rewriter(Endpoint("http://localhost:8000/v1", "some-model"), Path("cache.jsonl"))
    record, = rewriter.records([record])
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from assistant.evidence import numbers_in
from assistant.glossary import Glossary, side_of
from assistant.statements import read_statement
from data_recipes import ontology
from data_recipes.schema import RecipeError, Record

KEY = "DEIXIS_REWRITE_KEY"  # environment variable with an endpoint's key
ASK = (
    "Say the user's message in other words, as another person would type it. Keep its meaning and its language, and "
    "every name of a body part, every side, number, mask number like m1, and every 'not' exactly. Answer with the new "
    "message alone."
)
LONGEST = 3.0  # times the original's length, and 40 characters
REWRITTEN = "rewritten"
_ID = re.compile(r"\bm\d+\b", re.IGNORECASE)
_DENIAL = re.compile(
    r"\b(?:not|no|none|never|without|except(?:ing)?|excluding|apart from|other than|leav(?:e|ing) out|missing|absent|"
    r"minus|neither|nor|cannot|nicht|keine?[rsnm]?|ohne|außer|weder|fehlt|fehlen|pas|sans|sauf|aucune?|ni|absente?s?|sin|"
    r"excepto|salvo|ningún|ninguna|ausentes?)\b|n['’]t\b|[没無无不未]|除了|缺",
    re.IGNORECASE,
)
# Which way a comparison goes and which of several is meant: words, and what stands for them in Chinese
_ORDER = {
    "less": (r"smaller|smallest|less|lower|below|under|beneath|<|kleiner\w*|plus petite?s?|más pequeñ[oa]s?|"
             r"menor(?:es)?", "小于|更小"),
    "more": (r"larger|largest|bigger|biggest|more|greater|higher|above|over|>|größer\w*|plus grande?s?|más grandes?|"
             r"mayor(?:es)?", "大于|更大"),
    "same": (r"same|equal\w*|symmetric\w*|alike|gleich\w*|même|égal\w*|mism[oa]s?|igual\w*", "相等|一样"),
    "both": (r"both|together|total|sum|union|combined?|beide\w*|zusammen|ensemble|deux|amb[oa]s|junt[oa]s",
             "双侧|一共"),
    "other": (r"other|opposite|contralateral|counterpart|andere\w*|autre|otr[oa]", "另一"),
    "first": (r"first|former|erste\w*|premi[eè]re?|primer[oa]?", "第一"),
    "second": (r"second|latter|zweite\w*|deuxième|segund[oa]", "第二"),
    "third": ("third", "第三"), "fourth": ("fourth", "第四"),
    "front": ("front|anterior", "前"), "back": ("behind|posterior", "后"),
    "inner": ("medial", "内侧"), "outer": ("lateral", "外侧"),
}  # fmt: skip
_ORDERS = {
    name: re.compile(rf"(?<!\w)(?:{pattern})(?!\w)|{chinese}", re.IGNORECASE)
    for name, (pattern, chinese) in _ORDER.items()
}


class Writer(Protocol):
    """Writes texts anew. `name` says which model did it: it is part of what a cached answer is kept under."""

    @property
    def name(self) -> str: ...

    def write(self, texts: Sequence[str]) -> list[str]:
        """One answer a text, in order. RecipeError where there is none to be had."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that speaks OpenAI's chat completions: `url` up to and with "/v1", several requests at a time.

    The key comes from the argument or the environment (DEIXIS_REWRITE_KEY); a local server needs none.
    """

    url: str
    name: str
    key: str = ""
    at_once: int = 8
    seconds: float = 60.0

    def write(self, texts: Sequence[str]) -> list[str]:
        import httpx

        key = self.key or os.environ.get(KEY, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with (
            httpx.Client(headers=headers, timeout=self.seconds) as client,
            ThreadPoolExecutor(self.at_once) as pool,
        ):
            return list(pool.map(lambda text: self._one(client, text), texts))

    def _one(self, client: object, text: str) -> str:
        import httpx

        assert isinstance(client, httpx.Client)
        messages = [{"role": "system", "content": ASK}, {"role": "user", "content": text}]
        where = f"{self.url.rstrip('/')}/chat/completions"
        try:
            answer = client.post(where, json={"model": self.name, "messages": messages, "temperature": 0.7})
            answer.raise_for_status()
            said = answer.json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            what, fix = str(error).split("\n")[0] or type(error).__name__, f"check the address, the model and {KEY}"
            raise RecipeError(f"{where} gave no rewritten text ({what}): {fix}") from error
        return said if isinstance(said, str) else ""


class LocalModel:
    """A causal language model of Hugging Face, by name or path, on this machine; a batch at a time, greedy, `room`
    tokens at most.

    `load` gives (model, tokenizer) of a name; a test gives its own.
    """

    def __init__(self, name: str, load: Callable[[str], tuple] | None = None, batch: int = 8, room: int = 128) -> None:
        self.name, self.batch, self.room = name, batch, room
        self._load = load or _load
        self._loaded: tuple | None = None

    def write(self, texts: Sequence[str]) -> list[str]:
        import torch

        if self._loaded is None:
            self._loaded = self._load(self.name)
        model, tokenizer = self._loaded
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        out: list[str] = []
        for start in range(0, len(texts), self.batch):
            prompts = [_prompt(text, tokenizer) for text in texts[start : start + self.batch]]
            given = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.no_grad():
                ids = model.generate(
                    given["input_ids"].to(model.device), attention_mask=given["attention_mask"].to(model.device),
                    max_new_tokens=self.room, do_sample=False, pad_token_id=tokenizer.pad_token_id,
                )  # fmt: skip
            out += tokenizer.batch_decode(ids[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        return out


def _load(name: str) -> tuple:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return AutoModelForCausalLM.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        fix = "give a model that is on this machine"
        raise RecipeError(f"the rewriter {name!r} cannot be loaded ({error}): {fix}") from error


def _prompt(text: str, tokenizer: object) -> str:
    """The request in the model's own chat form; as plain text for a model without one."""
    from transformers import PreTrainedTokenizerBase

    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    if tokenizer.chat_template is None:
        return f"{ASK}\n\nMessage: {text}\nNew message:"
    messages = [{"role": "system", "content": ASK}, {"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


# ---- the check


@cache
def _glossary() -> Glossary:
    return ontology.glossary()


def changed(original: str, rewritten: str, phrases: Iterable[str] = ()) -> str:
    """What a rewritten text has changed that it must keep, in a word or two; "" when it says the same.

    phrases: what the original asks for; those that it spells out must be spelt out again or be named by a name of
    theirs.
    """
    if not rewritten.strip():
        return "nothing written"
    if len(rewritten) > LONGEST * len(original) + 40:
        return "too long"
    if re.search(r"<[^>\s]{1,12}>|<\|", rewritten):
        return "markup"
    before, after = _said(original), _said(rewritten)
    if before.targets != after.targets:
        return "structures"
    lost = [p for p in phrases if _spelt(p, original) and not _spelt(p, rewritten) and p not in after.targets]
    if lost:
        return "structures"
    if before.sides != after.sides:
        return "side"
    if sorted(numbers_in(original)) != sorted(numbers_in(rewritten)):
        return "number"
    if Counter(_ID.findall(original.lower())) != Counter(_ID.findall(rewritten.lower())):
        return "mask id"
    if before.denied != after.denied or len(_DENIAL.findall(original)) != len(_DENIAL.findall(rewritten)):
        return "negation"
    if before.order != after.order or before.relations != after.relations:
        return "comparison"
    return ""


@dataclass(frozen=True)
class _Said:
    targets: frozenset[str]
    sides: frozenset[str]
    denied: frozenset[str]
    relations: frozenset[tuple[str, str, str, bool]]
    order: frozenset[str]


def _said(text: str) -> _Said:
    glossary = _glossary()
    statement = read_statement(text, glossary)
    targets = frozenset(phrase for one in statement.named for phrase in one.phrases)
    # "both hippocampi" and "the left and the right hippocampus" name the same sides
    sides = {side for _, _, side in glossary.side_words(text)} | {side for p in targets if (side := side_of(p))}
    return _Said(
        targets,
        frozenset(sides),
        frozenset(phrase for one in statement.named if one.stated == "absent" for phrase in one.phrases),
        frozenset((one.one, one.word, one.other, one.denied) for one in statement.relations),
        frozenset(name for name, pattern in _ORDERS.items() if pattern.search(text)),
    )


def _spelt(phrase: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


# ---- records


class Rewriter:
    """Rewrites the questions of records with a writer, and keeps its answers in a file (JSON lines).

    `told` counts what became of the texts: "rewritten", or "kept: " and what the new text had changed.
    """

    def __init__(self, writer: Writer, cached: Path, batch: int = 64) -> None:
        self.writer, self.cached, self.batch = writer, cached, batch
        self.told: Counter[str] = Counter()
        self._answers = _read_cache(cached)

    def records(self, records: Sequence[Record]) -> list[Record]:
        """The records with their questions in other words; `Record.rewritten` says which were."""
        self._ask({m.content for record in records for m in record.messages if m.role == "user"})
        return [self._record(record) for record in records]

    def _record(self, record: Record) -> Record:
        phrases = [target.phrase for target in record.targets]
        messages, told = [], []
        for message in record.messages:
            if message.role == "user":
                answer = _cleaned(self._answers[self._key(message.content)])
                why = changed(message.content, answer, phrases)
                told.append(f"kept: {why}" if why else REWRITTEN)
                message = message if why else replace(message, content=answer)
            messages.append(message)
        self.told.update(told)
        by = f"; questions rewritten by {self.writer.name}" if REWRITTEN in told else ""
        return replace(
            record, messages=tuple(messages), rewritten=tuple(told), provenance=f"{record.provenance}{by}"
        )

    def _ask(self, texts: set[str]) -> None:
        """Have an answer to every text, the cached ones first; each batch is on disk before the next is asked."""
        missing = sorted(text for text in texts if self._key(text) not in self._answers)
        for start in range(0, len(missing), self.batch):
            part = missing[start : start + self.batch]
            written = self.writer.write(part)
            if len(written) != len(part):
                raise RecipeError(f"{self.writer.name} wrote {len(written)} texts for {len(part)}: give one each")
            fresh = {self._key(text): answer for text, answer in zip(part, written, strict=True)}
            self.cached.parent.mkdir(parents=True, exist_ok=True)
            with self.cached.open("a", encoding="utf-8") as out:
                for key, answer in fresh.items():
                    out.write(json.dumps({"asked": key, "answer": answer}, ensure_ascii=False) + "\n")
            self._answers.update(fresh)

    def _key(self, text: str) -> str:
        return hashlib.sha256(json.dumps([self.writer.name, ASK, text]).encode()).hexdigest()


def _cleaned(answer: str) -> str:
    """An answer without what models put around it: white space, and one pair of quotation marks."""
    text = " ".join(answer.split())
    return text[1:-1].strip() if len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("“", "”"), ("'", "'")) else text


def _read_cache(path: Path) -> dict[str, str]:
    """The answers of a cache; a last line that was being written when a build was killed is dropped from the file."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    try:
        rows = [json.loads(line) for line in whole.split("\n")[:-1]]
        return {row["asked"]: row["answer"] for row in rows}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RecipeError(f"{path} is no cache of a rewriter ({error}): delete it, or give another file") from error


def writer_of(name: str, model: str) -> Writer:
    """An endpoint for an address ("http://host/v1", with the model's name), else a model of Hugging Face."""
    if name.startswith(("http://", "https://")):
        if not model:
            raise RecipeError(f"{name} is an endpoint: say with --rewrite-model which of its models to use")
        return Endpoint(name, model)
    return LocalModel(name)
