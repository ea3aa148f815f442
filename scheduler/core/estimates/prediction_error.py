"""How far predictions were from what came."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

RATIO_BOUNDS: Final = (
    0.25, 0.27, 0.29, 0.31, 0.34, 0.37, 0.4, 0.43, 0.47, 0.5, 0.54, 0.59, 0.64, 0.7, 0.76, 0.8, 0.85, 0.9, 0.95, 0.98,
    1.0, 1.02, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.85, 2.0, 2.15, 2.35, 2.5, 2.7, 2.9, 3.0,
)  # fmt: skip
"""Upper bounds of buckets of predicted over actual, less than 10 % apart."""


class PredictionError:
    """Sums in nanoseconds, and how many ratios fell into each bucket; the last one is for those above all."""

    def __init__(self) -> None:
        self.num_predictions = 0
        self.predicted_ns = 0.0
        self.actual_ns = 0.0
        self.absolute_ns = 0.0
        self.ratio_counts: Final = [0] * (len(RATIO_BOUNDS) + 1)
        self.ratio_sum = 0.0

    def note(self, predicted_ns: float, actual_ns: float) -> None:
        """One prediction and what came."""
        self.num_predictions += 1
        self.predicted_ns += predicted_ns
        self.actual_ns += actual_ns
        self.absolute_ns += abs(predicted_ns - actual_ns)
        ratio = predicted_ns / actual_ns if actual_ns else 1.0
        self.ratio_counts[bisect_left(RATIO_BOUNDS, ratio)] += 1
        self.ratio_sum += ratio

    @property
    def relative_bias(self) -> float:
        """Predicted over actual, less 1: negative when predictions were optimistic; 0 before there were any."""
        return self.predicted_ns / self.actual_ns - 1 if self.actual_ns else 0.0

    @property
    def relative_error(self) -> float:
        """Absolute errors over all that came; 0 before there were any."""
        return self.absolute_ns / self.actual_ns if self.actual_ns else 0.0
