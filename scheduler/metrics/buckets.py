"""Histograms of fixed buckets, as Prometheus knows them; `bucket_bounds` has the bounds of each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import overload

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import Floats, Ints


class HistogramTotals(Struct, frozen=True):
    """How many values were at most each bound, cumulative, num_bounds + 1 counts; the last of them is of all.

    `sum_s` is in seconds; of a histogram of tokens, in tokens.
    """

    counts: tuple[int, ...]
    sum_s: float


class BucketCounts:
    """Counts of values (seconds, or tokens), one per bucket and one for what is above the last bound, and their sum."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._bounds_column = np.array(bounds_s)
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0
        self._totals: HistogramTotals | None = None

    def add(self, value_s: float, weight: int, total_s: float) -> None:
        """Count a value `weight` times; `total_s` is what these add to the sum."""
        self._counts[bisect_left(self._bounds_s, value_s)] += weight
        self._sum_s += total_s
        self._totals = None

    def add_all(self, values_s: Floats) -> None:
        """Count each of the values, shape (num_values,), that is not NaN once."""
        values_s = values_s[~np.isnan(values_s)]
        if not len(values_s):
            return
        # Work for the values, not for the buckets, of which there are many more between two snapshots.
        added = np.bincount(np.searchsorted(self._bounds_column, values_s))
        filled = np.flatnonzero(added)
        for bucket, count in zip(filled.tolist(), added[filled].tolist(), strict=True):
            self._counts[bucket] += count
        self._sum_s += float(values_s.sum())
        self._totals = None

    def totals(self) -> HistogramTotals:
        """As they stand; the same object as before if nothing was added."""
        if self._totals is None:
            self._totals = HistogramTotals(tuple(accumulate(self._counts)), self._sum_s)
        return self._totals


class BucketRows:
    """A histogram of the same buckets for each of several rows (engines); values come in bulk, with their rows."""

    def __init__(self, bounds: tuple[float, ...], num_rows: int) -> None:
        self._bounds = np.array(bounds, np.float64)
        self._counts = np.zeros((num_rows, len(bounds) + 1), np.int64)
        self._sums = np.zeros(num_rows)

    def add_all(self, rows: Ints, values: Floats) -> None:
        """Count each value in its row, shape (num_values,) each, but for NaN and for rows below 0."""
        if not len(rows):
            return
        is_counted = (rows >= 0) & ~np.isnan(values)
        rows, values = rows[is_counted].astype(np.intp), values[is_counted]
        num_rows, width = self._counts.shape
        cells = rows * width + np.searchsorted(self._bounds, values)
        self._counts += np.bincount(cells, minlength=num_rows * width).reshape(num_rows, width)
        self._sums += np.bincount(rows, values, num_rows)

    def totals(self) -> Sequence[HistogramTotals]:
        """As they stand, by row."""
        return _Rows(self._counts.copy(), self._sums.copy())


class _Rows(Sequence[HistogramTotals]):
    """Totals of rows, made when they are first read: that is for whoever shows them to pay, not for the loop."""

    def __init__(self, counts: Ints, sums: Floats) -> None:
        self._counts = counts
        self._sums = sums

    @cached_property
    def _totals(self) -> list[HistogramTotals]:
        counts = self._counts.cumsum(axis=1).tolist()
        return [HistogramTotals(tuple(row), total) for row, total in zip(counts, self._sums.tolist(), strict=True)]

    @overload
    def __getitem__(self, index: int) -> HistogramTotals: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[HistogramTotals]: ...

    def __getitem__(self, index: int | slice) -> HistogramTotals | Sequence[HistogramTotals]:
        return self._totals[index]

    def __iter__(self) -> Iterator[HistogramTotals]:
        return iter(self._totals)

    def __len__(self) -> int:
        return len(self._sums)


def sum_of(histograms: Sequence[HistogramTotals]) -> HistogramTotals:
    """All of them as one; at least one, and all of the same buckets."""
    columns = zip(*(one.counts for one in histograms), strict=True)
    return HistogramTotals(tuple(map(sum, columns)), sum(one.sum_s for one in histograms))


def reads(grid: tuple[float, ...], bounds: tuple[float, ...]) -> Callable[[HistogramTotals], HistogramTotals]:
    """What reads buckets of these bounds, two at least, out of a histogram on a grid that has them all, exactly."""
    pick = itemgetter(*map(grid.index, bounds), len(grid))
    return lambda totals: HistogramTotals(pick(totals.counts), totals.sum_s)
