"""How far a measurement can be trusted: what follows from a mask's quality, and what two masks can tell apart.

The quality q is an estimate of the overlap with the true outline (intersection over union). From that alone the true
volume lies between q times and 1 / q times the measured one: |A and B| = q |A or B| gives |B| >= |A and B| >= q |A|,
and the same the other way round. These are the widest bounds, not a standard deviation.
"""

from __future__ import annotations

# Below these the reader should look twice: rows are marked, and replies say that an outline is uncertain.
LOW_PRESENCE, LOW_QUALITY = 0.75, 0.5
# Below this a mask may be of something else (a Dice of 0.57): nothing is held against a report because of it. Above it
# the quality widens what a number may be (`likely`), and no more.
DOUBTFUL_QUALITY = 0.4
# Volumes that differ by less than this share of the larger cannot be told apart, however good their masks.
CLOSE = 0.1


def likely(value: float, quality: float | None) -> tuple[float, float]:
    """Lowest and highest true value for a measured one; quality None (a mask made of others): the value itself."""
    if quality is None:
        return value, value
    overlap = min(1.0, max(0.05, quality))
    return value * overlap, value / overlap


def doubtful(presence: float, quality: float | None) -> str:
    """Why a found mask is not to be relied on, or ""."""
    if presence < LOW_PRESENCE:
        return f"its presence is only {presence:.2f}"
    if quality is not None and quality < DOUBTFUL_QUALITY:
        return f"its mask has a quality of only {quality:.2f}"
    return ""


def differ(one: float, other: float, quality: float | None) -> bool:
    """Whether two volumes differ by more than masks like these leave open; quality: the lower one of the two.

    Half of what the quality leaves open for each alone: masks of the same kind err in the same direction for a part (a
    rule of thumb, no measurement), and never less than `CLOSE`."""
    share = max(CLOSE, 0.0 if quality is None else (1 - quality) / 2)
    return abs(one - other) > share * max(one, other)
