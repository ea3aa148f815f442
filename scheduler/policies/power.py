"""Where the watts under a cap go: to instances with work, and among them to those that are short of their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_WEIGHT = 0.5
MOST_WEIGHT = 2.0
"""Bounds on how much more of its span an instance gets for being slow."""

_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class PoweredInstance:
    """An instance that keeps a budget, as it registered: below `floor_w` it does not work, above `peak_w` no faster.

    `empty_w`: what its NPUs draw while it is not there.
    """

    address: str
    floor_w: int
    peak_w: int
    empty_w: int = 0


@dataclass(frozen=True, slots=True)
class PowerNeed:
    """`pressure`: the latency that its work meets now over its limit; None without work."""

    floor_w: int
    peak_w: int
    pressure: float | None


def share_watts(needs: Sequence[PowerNeed], budget_w: int) -> list[int]:
    """Budgets of all instances, in whole watts; together they are at most `budget_w`, which is at least all floors.

    Who has no work gets its floor. The others get the same share of their spans, times a weight that is their pressure
    within bounds, up to their peaks. Some is kept for whoever gets work next, as if the one with the longest span of
    those without had it already.
    """
    spans_w = [need.peak_w - need.floor_w for need in needs]
    weights = [0.0 if need.pressure is None else _weight(need.pressure) for need in needs]
    idle_w = max((span_w for span_w, weight in zip(spans_w, weights) if not weight), default=0)
    left_w = budget_w - sum(need.floor_w for need in needs)

    def spent_w(level: float) -> float:
        given = sum(span_w * min(1.0, level * weight) for span_w, weight in zip(spans_w, weights))
        return given + idle_w * min(1.0, level)

    low, high = 0.0, 1.0 / LEAST_WEIGHT
    if spent_w(high) <= left_w:
        low = high
    else:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if spent_w(middle) <= left_w else (low, middle)
    return [
        need.floor_w + int(span_w * min(1.0, low * weight)) for need, span_w, weight in zip(needs, spans_w, weights)
    ]


def _weight(pressure: float) -> float:
    return min(MOST_WEIGHT, max(LEAST_WEIGHT, pressure))
