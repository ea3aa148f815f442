"""Goodput: the largest rate at which the SLO is still attained (DistServe, arXiv 2401.09670, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

MAX_SCALE: Final = 4096.0
"""Bound on the search in both directions, as a factor of the trace's own rate."""

PRECISION: Final = 1.03
"""The search ends when the rate that fails is at most this factor above the one that holds."""


class Attained(Protocol):
    """What a run at one rate came to."""

    @property
    def attainment(self) -> float:
        """Share of arrived requests that met the SLO."""
        ...


Run = TypeVar("Run", bound=Attained)


class Found(Struct, Generic[Run], frozen=True):
    """`best`: the run at `scale`, the largest at which the SLO held; None if it held at none.

    `tried`: all runs by scale, in rising order.
    """

    scale: float
    best: Run | None
    tried: dict[float, Run]


def search(run_at: Callable[[float], Run], attainment: float, start: float = 1.0) -> Found[Run]:
    """Double or halve from `start` until the answer lies between two scales, then bisect their ratio.

    Where it does not hold at `start`, the lowest rate is tried next: nothing waits there, and what fails there fails at
    every rate.

    All runs replay the same requests with the same random numbers, only closer together, so that the difference of two
    is that of their rates. Attainment need not fall with every step up: of several crossings this finds one.
    """
    tried: dict[float, Run] = {}

    def holds(scale: float) -> bool:
        if scale not in tried:
            tried[scale] = run_at(scale)
        return tried[scale].attainment >= attainment

    if holds(start):
        low = start
        while low < start * MAX_SCALE and holds(2 * low):
            low *= 2
        high = 2 * low
        is_bracketed = low < start * MAX_SCALE
    else:
        high = start
        if not holds(start / MAX_SCALE):
            return Found(0.0, None, dict(sorted(tried.items())))
        while not holds(high / 2):
            high /= 2
        low = high / 2
        is_bracketed = True
    while is_bracketed and high / low > PRECISION:
        middle = (low * high) ** 0.5
        if holds(middle):
            low = middle
        else:
            high = middle
    return Found(low, tried[low], dict(sorted(tried.items())))
