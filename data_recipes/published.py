"""Records of what others wrote about a scan: reports and questions with their answers, as they were published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_recipes.schema import (
    Damaged,
    DataSet,
    ImageRef,
    RecipeError,
    Record,
    Skip,
    Target,
    Turn,
    check_split,
    image_file,
    leave_out,
)

REPORT = (
    "Write the report of this scan.", "What are the findings?", "Describe what you see in this scan.",
    "Please report this examination.", "Summarise the findings of this scan.", "What does this scan show?",
)  # fmt: skip
OF_REGION = (
    "What does the report say about the {}?", "Describe the {}.", "What are the findings in the {}?",
    "How does the {} look?", "Report on the {}.",
)  # fmt: skip


def one_of(wordings: tuple[str, ...], name: str) -> str:
    """One of some wordings, the same one for the same name on every machine."""
    return wordings[int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(wordings)]


def plain(text: str) -> str:
    """A published text on one line; RecipeError where it holds one of the model's special tokens."""
    from assistant.conversation import CHAT_MARKS, SPECIAL  # imports torch: not for a list of recipes

    text = " ".join(text.split())
    if found := [token for token in (*SPECIAL, *CHAT_MARKS) if token in text]:
        raise RecipeError(f"the text holds {found[0]}, which is a token of the model: {text[:60]!r}")
    return text


def record(
    about: DataSet,
    name: str,
    *,
    patient: str,
    split: str,
    image: ImageRef,
    family: str,
    kind: str,
    question: str,
    answer: str,
    label: str | None = None,
    target: Target | None = None,
) -> Record:
    """One question with its answer; with a `target` the reply grounds it first. RecipeError for an empty text."""
    question, answer = plain(question), plain(answer)
    if not (question and answer):
        raise RecipeError(f"{name} has no {'answer' if question else 'question'}")
    chip = f"<p>{target.phrase}</p><SEG> " if target else ""
    return Record(
        id=name, images=(image,), label=label, targets=(target,) if target else (), family=family, kind=kind,
        messages=(Turn("user", question, image=True), Turn("assistant", chip + answer)),
        provenance=f"published {kind}", licence=about.stated_licence, split=split, patient=patient, seed=0,
        values=dict.fromkeys(target.labels, target.phrase) if target else {}, dataset=about.name,
    )  # fmt: skip


def chosen(root: Path, found: Iterable[Record], split: str, skip: Skip, nothing: str) -> Iterator[Record]:
    """The records of a split whose files are there. RecipeError with `nothing` when there are none of any split."""
    check_split(split)
    any_found = False
    for one in found:
        any_found = True
        if one.split != split:
            continue
        files = [image_file(root, ref) for ref in one.images]
        files += [root / one.label] if one.label else []
        missing = [path for path in files if not path.is_file()]
        if missing:
            leave_out(Damaged(missing[0], "is not there", f"{one.id} speaks of it: download it again"), skip)
        else:
            yield one
    if not any_found:
        raise RecipeError(nothing)
