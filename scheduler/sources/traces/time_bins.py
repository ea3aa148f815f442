"""Counts over time that stream: windows of a fixed width, and bins whose width grows with the trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

NUM_BINS: Final = 512
"""Bins kept: enough for a plot as wide as a screen."""

FIRST_BIN_NS: Final = 1_000_000


class WindowCounts:
    """Requests in consecutive windows of one width, as sums of counts and of their squares."""

    def __init__(self, width_ns: int) -> None:
        self._width_ns = width_ns
        self._open_window = 0
        self._open_count = 0
        self._sum = 0
        self._sum_squares = 0

    def add(self, times_ns: Integers) -> None:
        """Take the next times, in order; the window of the last one stays open."""
        windows, counts = np.unique(times_ns // self._width_ns, return_counts=True)
        for window, count in zip(windows.tolist(), counts.tolist(), strict=True):
            if window != self._open_window:
                self._sum += self._open_count
                self._sum_squares += self._open_count**2
                self._open_window = window
                self._open_count = 0
            self._open_count += count

    def dispersion(self) -> float | None:
        """Variance over mean of the counts in whole windows; None with fewer than two, or none of them filled."""
        num_windows = self._open_window
        if num_windows < 2 or self._sum == 0:
            return None
        return (self._sum_squares * num_windows - self._sum**2) / (self._sum * num_windows)


class TimeBins:
    """Columns summed by equal time bins from 0; when time outgrows them, neighbours merge and the width doubles."""

    def __init__(self, num_columns: int) -> None:
        self._width_ns = FIRST_BIN_NS
        self._last_ns = 0
        self._sums = np.zeros((num_columns, NUM_BINS), np.int64)

    def add(self, times_ns: Integers, columns: Sequence[Integers]) -> None:
        """Add to each column its values at these times (in order)."""
        self._last_ns = int(times_ns[-1])
        while self._last_ns // self._width_ns >= NUM_BINS:
            merged = self._sums[:, 0::2] + self._sums[:, 1::2]
            self._sums = np.concatenate((merged, np.zeros_like(merged)), axis=1)
            self._width_ns *= 2
        places, starts = np.unique(times_ns // self._width_ns, return_index=True)
        for sums, values in zip(self._sums, columns, strict=True):
            sums[places] += np.add.reduceat(values, starts)

    def columns(self) -> tuple[int, list[list[int]]]:
        """Width of a bin in nanoseconds, and the columns up to the bin of the last time."""
        num_bins = self._last_ns // self._width_ns + 1
        return self._width_ns, self._sums[:, :num_bins].tolist()
