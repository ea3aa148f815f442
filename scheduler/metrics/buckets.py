"""Histograms of fixed buckets, as Prometheus knows them; the bucket sets are those of a vLLM server.

Sets A, B and C: `vllm/v1/metrics/loggers.py` of vllm-project/vllm, so that dashboards made for vLLM read alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final, overload

import numpy as np

from scheduler.metrics.columns import Floats, Ints

TTFT_BOUNDS_S: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
"""Set A: TTFT."""

TOKEN_BOUNDS_S: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""Set B: TPOT and ITL."""

REQUEST_BOUNDS_S: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
"""Set C: E2E and queue."""

HOP_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Lateness of messages on the wall; no set of vLLM."""

TRANSFER_BOUNDS_S: Final = (
    5e-06, 1e-05, 2.5e-05, 5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0,
)  # fmt: skip
"""Transfers over the fabric, from one that is little more than latency to one on links that are mostly broken."""


DURATION_BOUNDS_S: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""E2E again, in the buckets that OpenTelemetry's conventions for generative AI advise."""

TOKEN_COUNT_BOUNDS: Final = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
)  # fmt: skip
"""Tokens of one request: the 1-2-5 series of a vLLM server whose model takes 100,000 to 199,999 tokens."""

STEP_TOKEN_BOUNDS: Final = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Tokens of one engine step, as in vLLM."""


@dataclass(frozen=True, slots=True)
class HistogramTotals:
    """How many values were at most each bound, cumulative, num_bounds + 1 counts; the last of them is of all.

    `sum_s` is in seconds; of a histogram of tokens, in tokens.
    """

    counts: tuple[int, ...]
    sum_s: float


class BucketCounts:
    """Counts of values (seconds, or tokens), one per bucket and one for what is above the last bound, and their sum."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def add(self, value_s: float, weight: int, total_s: float) -> None:
        """Count a value `weight` times; `total_s` is what these add to the sum."""
        self._counts[bisect_left(self._bounds_s, value_s)] += weight
        self._sum_s += total_s

    def add_all(self, values_s: Floats) -> None:
        """Count each of the values, shape (num_values,), that is not NaN once."""
        values_s = values_s[~np.isnan(values_s)]
        if not len(values_s):
            return
        buckets = np.searchsorted(self._bounds_s, values_s)
        added = np.bincount(buckets, minlength=len(self._counts)).tolist()
        self._counts = [count + more for count, more in zip(self._counts, added, strict=True)]
        self._sum_s += float(values_s.sum())

    def totals(self) -> HistogramTotals:
        """As they stand."""
        return HistogramTotals(tuple(accumulate(self._counts)), self._sum_s)


class BucketRows:
    """A histogram of the same buckets for each of several rows (engines); values come in bulk, with their rows."""

    def __init__(self, bounds: tuple[float, ...], num_rows: int) -> None:
        self._bounds = bounds
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
