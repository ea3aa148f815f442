"""How right predicted times were, over all sessions of a system that lives."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS, PredictionError
from scheduler.metrics.buckets import HistogramTotals

KINDS: Final = ("ttft", "tpot")
"""What is predicted: the time from choosing a prefill instance to the first token, and that of a decode step."""


class LivePredictions:
    """Sums what the errors of past sessions came to with those of the present one."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {kind: [0] * (len(RATIO_BOUNDS) + 1) for kind in KINDS}
        self._sums: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        self._errors: Mapping[str, PredictionError] = {}

    def begin(self, errors: Mapping[str, PredictionError]) -> None:
        """A session begins; `errors` by kind, of those that it predicts."""
        self._errors = errors

    def end(self) -> None:
        """It is over."""
        for kind in self._errors:
            self._counts[kind], self._sums[kind] = self._now(kind)
        self._errors = {}

    def totals(self) -> tuple[HistogramTotals, ...]:
        """By kind; the sum is one of ratios."""
        found: list[HistogramTotals] = []
        for kind in KINDS:
            counts, total = self._now(kind)
            found.append(HistogramTotals(tuple(accumulate(counts)), total))
        return tuple(found)

    def _now(self, kind: str) -> tuple[list[int], float]:
        error = self._errors.get(kind)
        if error is None:
            return self._counts[kind], self._sums[kind]
        counts = [past + now for past, now in zip(self._counts[kind], error.ratio_counts, strict=True)]
        return counts, self._sums[kind] + error.ratio_sum
