"""How parts of a fleet are counted: through over all supernodes, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate


def first_numbers(counts: Iterable[int]) -> list[int]:
    """The first number of each of some supernodes that have so many of something, numbered through."""
    ends = list(accumulate(counts))
    return [0, *ends[:-1]]
