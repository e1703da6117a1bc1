"""A question: its words and what it points at, checked. Coordinates are RAS+ millimetres throughout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import QuestionError

if TYPE_CHECKING:
    from assistant.prompt_encoder import Prompt
    from assistant.volume import Volume

Point = Sequence[float]  # x, y, z and, fourth, 1 = part of it (the default) or 0 = not part of it

MAX_QUESTION = 4000  # characters: about 1,000 tokens, an eighth of the embedded model's context

_POINTING = re.compile(
    r"\b(this|that|here|these|those|it|marked|selected|highlighted|clicked|point(ed|ing)?|spot|box|region)\b",
    re.IGNORECASE,
)
# "is this the left hippocampus?", "mark this as the liver": the words name a target themselves. "what is the marked
# region?" and "what is the structure here?" do not.
_NAMES_A_TARGET = re.compile(
    r"\b(is|was|are|as)( this| that| it| these| those| part of| inside| in)* (a|an|the|my) "
    r"(?!(marked|selected|highlighted|clicked|structure|organ|thing|name|region|spot|box)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """One question with everything that shapes its answer. region: it is about what is pointed at. selected: the mask
    that "it" is in an operation. refines: the mask that a turn changed under its id, without a question."""

    text: str
    points: tuple[tuple[float, ...], ...] = ()
    box: tuple[float, ...] | None = None
    mask_id: str | None = None
    region: bool = False
    temperature: float = 0.0
    seed: int = 0
    selected: str = ""
    refines: str = ""


def checked_question(text: str) -> str:
    """The question without surrounding space. QuestionError when it is empty, too long or no Unicode text."""
    question = text.strip()
    if not question:
        raise QuestionError('the question is empty: ask something, for example "Show me the left hippocampus"')
    if len(question) > MAX_QUESTION:
        raise QuestionError(f"the question has {len(question):,} characters; the limit is {MAX_QUESTION:,}: shorten it")
    broken = re.search("[\ud800-\udfff]", question)  # what bytes that are no UTF-8 become, or half of a pair in JSON
    if broken:
        raise QuestionError(f"the question holds {broken[0]!r}, half a character: type it again, as UTF-8")
    return question


def asks_what_is_pointed_at(question: str) -> bool:
    """Whether the words leave it to the finger what is meant ("what is this?", "how big is that?").

    Then the model is given the feature of the region (`<REG>`), because the words alone name no target.
    """
    return bool(_POINTING.search(question)) and not _NAMES_A_TARGET.search(question)


def make_prompt(
    volume: Volume,
    points: Sequence[Point] | None = None,
    box: Sequence[float] | None = None,
    mask: np.ndarray | None = None,
) -> Prompt | None:
    """The prompt of one question, or None when nothing was pointed at.

    points: (x, y, z) or (x, y, z, label) each; box: x0, y0, z0, x1, y1, z1, corners in any order; mask: bool (X, Y, Z)
    on the volume's RAS grid. Raises QuestionError for what is not a finite number or lies outside the scan.
    """
    from assistant.prompt_encoder import Prompt

    if not points and box is None and mask is None:
        return None
    low, high = world_bounds(volume)
    coordinates, labels = [], []
    for point in points or ():
        values = _numbers(point, "a point", (3, 4))
        label = values[3] if len(values) == 4 else 1.0
        if label not in (0.0, 1.0):
            raise QuestionError(f"a point's label must be 1 (part of it) or 0 (not part of it), not {label:g}")
        if not bool(np.all(volume.contains(values[:3]))):
            raise QuestionError(
                f"the point {_written(values[:3])} mm lies outside the scan, which spans {_written(low)} to "
                f"{_written(high)} mm (RAS+: x to the right, y to the front, z up)"
            )
        coordinates.append(values[:3])
        labels.append(int(label))
    corners = None
    if box is not None:
        values = _numbers(box, "a box", (6,))
        corners = np.sort(values.reshape(2, 3), axis=0)
        if np.any(corners[0] >= corners[1]):
            raise QuestionError(f"the box {_written(values)} mm is flat: its two corners must differ on every axis")
        if np.any(corners[1] < low) or np.any(corners[0] > high):
            raise QuestionError(
                f"the box {_written(values)} mm lies outside the scan, which spans {_written(low)} to "
                f"{_written(high)} mm (RAS+)"
            )
    return Prompt(
        points_mm=np.asarray(coordinates, dtype=float).reshape(-1, 3),
        labels=np.asarray(labels, dtype=int),
        box_mm=corners,
        mask=mask,
    )


def world_bounds(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (3,), (3,) in RAS+ mm of the box around all voxel centres."""
    last = np.asarray(volume.shape) - 1
    corners = np.stack(np.meshgrid(*([0, n] for n in last), indexing="ij"), axis=-1).reshape(-1, 3)
    world = np.asarray(volume.to_world(corners.astype(float)))
    return world.min(axis=0), world.max(axis=0)


def _numbers(values: Sequence[float], what: str, lengths: tuple[int, ...]) -> np.ndarray:
    wanted = " or ".join(str(n) for n in lengths)
    try:
        numbers = np.asarray(values, dtype=float).reshape(-1)
    except (TypeError, ValueError) as error:
        raise QuestionError(f"{what} needs {wanted} numbers in millimetres, not {values!r}") from error
    if len(numbers) not in lengths:
        raise QuestionError(f"{what} needs {wanted} numbers in millimetres, not {len(numbers)}")
    if not np.all(np.isfinite(numbers)):
        raise QuestionError(f"{what} needs finite numbers, not {_written(numbers)}")
    return numbers


def _written(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:g}" for value in np.round(values, 1)) + ")"
