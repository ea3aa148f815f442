"""Mean, percentiles and maximum of a sample, plain or weighted.

Percentiles are linear (numpy's default): over N values in order, percentile q lies at position q / 100 * (N - 1),
between two values on the line that joins them. A value of weight w counts as w equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Floats, Ints

PERCENTS: Final = (50, 90, 95, 99)

BIN_SHIFT: Final = 52 - 10
"""A bin is 1/1024 of an octave: what stays of a float's bits is its exponent and 10 of the 52 bits of its mantissa."""

_FIRST_BIN: Final = int(np.array(1.0).view(np.int64)) >> BIN_SHIFT


class Distribution(Struct, frozen=True):
    """Mean, percentiles and maximum of something; all None when there is no value."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


WeightedParts: TypeAlias = Callable[[], Iterable[tuple[Floats, Floats]]]
"""Returns the same parts (values, weights), of equal shape (num_values,), whenever it is called; values are at least 0,
weights whole and at least 0.

Weights are floats because numpy is several times faster with two columns of one type; whole numbers stay exact.
"""


def distribution(values: Floats) -> Distribution:
    """Of the values, shape (num_values,), that are not NaN; in their unit."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Distribution()
    percentiles = _percentiles(values)  # before the mean, whose last digit hangs on the order in which it sums
    return _distribution(float(values.mean()), percentiles, float(values.max()))


def _percentiles(values: Floats) -> Floats:
    """Those of `PERCENTS`, to the last bit as `np.percentile` has them; values, shape (num_values,), change places.

    `np.percentile` itself would import numpy's masked arrays, which take longer than a short run's percentiles.
    """
    positions = np.array(PERCENTS) / 100 * (len(values) - 1)
    below = np.floor(positions).astype(np.intp)
    above = np.minimum(below + 1, len(values) - 1)
    values.partition(sorted({-1, 0, *below.tolist(), *above.tolist()}))  # the ends too, as numpy does
    low, high, share = values[below], values[above], positions - below
    # From the nearer of the two, so that equal neighbours give their own value.
    return np.where(share >= 0.5, high - (high - low) * (1 - share), low + (high - low) * share)


def weighted_distribution_s(parts: WeightedParts) -> Distribution:
    """Of weighted values in nanoseconds, as seconds, exactly, without holding or sorting them all.

    The bits of positive floats sort as the floats do, so their upper bits number logarithmic bins. A first pass counts
    weight per bin, which tells in which bins the ranks lie; a second gathers and sorts the values of those bins only.
    """
    counts = np.zeros(0)
    total = 0.0
    for values, weights in parts():
        total += float(np.dot(values, weights))
        counted = np.bincount(_bins(values), weights, minlength=len(counts))
        counts = counted + np.pad(counts, (0, len(counted) - len(counts)))
    reached = np.cumsum(counts).astype(np.int64)
    num_values = int(reached[-1]) if len(reached) else 0
    if not num_values:
        return Distribution()
    positions = np.array(PERCENTS) / 100 * (num_values - 1)
    below = np.floor(positions).astype(np.int64)
    ranks = np.concatenate([below, np.minimum(below + 1, num_values - 1), [num_values - 1]])
    at_ranks = _values_at(ranks, reached, parts)
    low, high, longest = np.split(at_ranks, [len(PERCENTS), 2 * len(PERCENTS)])
    percentiles = (low + (high - low) * (positions - below)) / NS_PER_S
    return _distribution(total / num_values / NS_PER_S, percentiles, float(longest[0]) / NS_PER_S)


def _distribution(mean: float, percentiles: Floats, longest: float) -> Distribution:
    """`percentiles` are those of `PERCENTS`."""
    p50, p90, p95, p99 = (float(value) for value in percentiles)
    return Distribution(mean, p50, p90, p95, p99, longest)


def _bins(values: Floats) -> Ints:
    """Bin numbers from 0, shaped like `values` in ns; what is shorter than 1 ns shares the lowest."""
    return (np.maximum(values, 1.0).view(np.int64) >> BIN_SHIFT) - _FIRST_BIN


def _values_at(ranks: Ints, reached: Ints, parts: WeightedParts) -> Floats:
    """The values at these ranks from 0, shaped like `ranks`; `reached[b]` is the weight in bins 0..b."""
    bins_of_ranks = np.searchsorted(reached, ranks, side="right")
    is_wanted = np.zeros(len(reached), np.bool_)
    is_wanted[bins_of_ranks] = True
    picked: list[tuple[Floats, Floats]] = []
    for values, weights in parts():
        is_picked = is_wanted[_bins(values)]
        picked.append((values[is_picked], weights[is_picked]))
    values = np.concatenate([part for part, _ in picked])
    weights = np.concatenate([part for _, part in picked])
    order = np.argsort(values, kind="stable")
    # Bins that were not picked are missing here, so their weight comes off the ranks above them.
    not_picked = np.cumsum(np.where(is_wanted, 0, np.diff(reached, prepend=0)))
    places = np.searchsorted(np.cumsum(weights[order]), ranks - not_picked[bins_of_ranks], side="right")
    return values[order][places]
