"""What a training mixture holds: how many records (or cases) of each data set, family, kind, licence, split, and what a
rewriter made of the questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from data_recipes.schema import Case, Record

FIELDS = ("dataset", "split", "family", "kind", "licence")


def counts(items: Iterable[tuple[str, Case | Record]]) -> dict[str, Counter[str]]:
    """{field: {value: how many}} of (data set, case or record). A kind that goes on ("show ...") counts as its first
    question's; a case has its kinds when conversations are made of it."""
    out: dict[str, Counter[str]] = {name: Counter() for name in FIELDS}
    for dataset, item in items:
        kind = item.kind.removesuffix(" ...") if isinstance(item, Record) else "(a case)"
        for name, value in zip(FIELDS, (dataset, item.split, item.family, kind, item.licence), strict=True):
            out[name][value or "(none)"] += 1
        if isinstance(item, Record) and item.rewritten:
            out.setdefault("questions", Counter()).update(item.rewritten)
    return out


def lines(counted: dict[str, Counter[str]]) -> list[str]:
    """The counts as text, the largest first, with their shares."""
    out = []
    for name, values in counted.items():
        total = sum(values.values())
        out.append(f"{name}:")
        out += [f"  {count:8,}  {count / total:6.1%}  {value}" for value, count in values.most_common()]
    return out
