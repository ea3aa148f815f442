"""Means, and how far the true mean may be from them: 95 % intervals of Student's t."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Final

from msgspec import Struct

# fmt: off
T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)
# fmt: on
"""The 97.5th percentile of Student's t, from 1 to 29 degrees of freedom (any table of it, such as NIST's handbook,
section 1.3.6.7.2)."""


class Interval(Struct, frozen=True):
    """`mean`, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Of independent values, at least two and at most 30."""
    return _interval(values, len(values))


def series_interval(values: Sequence[float]) -> Interval:
    """Of values that follow each other in time, so that one may resemble the one before it.

    With the correlation r of neighbours, n of them tell as much about the mean as n (1 - r) / (1 + r) independent ones
    (a first-order autoregressive series: Law, Simulation Modeling and Analysis, 5th edition, section 4.4); where
    neighbours differ more than chance has it, r counts as 0.
    """
    num, mean = len(values), sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values)
    if not spread:
        return _interval(values, num)
    neighbours = sum((one - mean) * (other - mean) for one, other in pairwise(values))
    r = min(max(neighbours / spread, 0.0), 1.0)
    return _interval(values, max(2.0, num * (1 - r) / (1 + r)))


def _interval(values: Sequence[float], num_independent: float) -> Interval:
    """mean +- t(0.975, n - 1) s / sqrt(n), with s the standard deviation of the values."""
    num = len(values)
    if min(values) == max(values):  # which sums of rounded numbers might miss
        return Interval(values[0], values[0], values[0])
    mean = sum(values) / num
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (num - 1))
    half = T_975[int(num_independent) - 2] * deviation / sqrt(num_independent)
    return Interval(mean, mean - half, mean + half)
