"""Histograms of fixed buckets, as Prometheus knows them; the bucket sets are those of a vLLM server.

Sets A, B and C: `vllm/v1/metrics/loggers.py` of vllm-project/vllm, so that dashboards made for vLLM read alike.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from scheduler.metrics.columns import Floats

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


@dataclass(frozen=True, slots=True)
class HistogramTotals:
    """How many values were at most each bound, cumulative; the last of `counts` is of all. `sum_s` is in seconds."""

    counts: tuple[int, ...]
    sum_s: float


class BucketCounts:
    """Counts of values in seconds, one per bucket and one for what is above the last bound, and their sum."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def add(self, value_s: float, weight: int, total_s: float) -> None:
        """Count a value `weight` times; `total_s` is what these add to the sum."""
        self._counts[bisect_left(self._bounds_s, value_s)] += weight
        self._sum_s += total_s

    def add_all(self, values_s: Floats) -> None:
        """Count each value that is not NaN once."""
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
