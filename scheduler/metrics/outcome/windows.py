"""Peaks of use on the fabric: bytes of logged transfers in windows of equal length.

Windows last 1 s from time 0 (longer in a run of over a million seconds); what is left at the end belongs to the last,
and a shorter run is one window. So none is short enough to show a peak by chance, and no mean is above it. The duration
of a transfer leaves out what flowed hidden behind a prefill pass, so that those bytes count a little late, and denser
than they were.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.metrics.columns import NS_PER_S, Floats, Ints, Rows, parts

WINDOW_NS: Final = 1_000_000_000
"""Length of the windows among which the peak of a plane is sought."""

MAX_WINDOWS: Final = 1_000_000
"""Bound on their number, whatever the span of a run: beyond eleven days they get longer."""


def bytes_in_windows(rows: Rows, simulated_ns: int) -> Floats:
    """Bytes of `TRANSFER_ROW` rows in each window of a run, shape (num_windows,); those of a transfer are spread evenly
    over its time."""
    window_ns, num_windows = _windows(simulated_ns)
    in_window = np.zeros(num_windows)
    for part in parts(len(rows)):
        _add_bytes_in_windows(rows[part], in_window, window_ns)
    return in_window


def peak_bytes_per_s(in_window: Floats, simulated_ns: int) -> float:
    """The highest rate of any window, of bytes by window, shape (num_windows,); 0 for a run of no time."""
    if not simulated_ns:
        return 0.0
    window_ns, num_windows = _windows(simulated_ns)
    lengths_s = np.full(num_windows, window_ns / NS_PER_S)
    lengths_s[-1] = (simulated_ns - window_ns * (num_windows - 1)) / NS_PER_S
    return float((in_window / lengths_s).max())


def _windows(simulated_ns: int) -> tuple[int, int]:
    """Length and number of the windows of a run."""
    window_ns = max(WINDOW_NS, -(-simulated_ns // MAX_WINDOWS))
    return window_ns, max(1, simulated_ns // window_ns)


def _add_bytes_in_windows(rows: Rows, in_window: Floats, window_ns: int) -> None:
    """Add bytes to their windows; a transfer that crosses an edge is cut into one piece per window."""
    num_windows = len(in_window)
    num_bytes, end_ns = rows["num_bytes"], rows["done_ns"]
    # What flowed before time 0, which ends a warm-up, counts in the first window: as a whole, since it ended later.
    start_ns = np.maximum(end_ns - rows["duration_ns"], 0)
    first = np.minimum(start_ns // window_ns, num_windows - 1)
    num_touched = np.minimum(end_ns // window_ns, num_windows - 1) - first + 1
    _add(in_window, first, np.where(num_touched == 1, num_bytes, 0))
    crossing = np.flatnonzero(num_touched > 1)
    if not len(crossing):
        return
    pieces = num_touched[crossing]
    row = np.repeat(crossing, pieces)
    window = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    window_end_ns = np.where(window == num_windows - 1, end_ns[row], (window + 1) * window_ns)
    piece_ns = np.minimum(end_ns[row], window_end_ns) - np.maximum(start_ns[row], window * window_ns)
    _add(in_window, window, num_bytes[row] * (piece_ns / (end_ns[row] - start_ns[row])))


def _add(in_window: Floats, window: Ints, num_bytes: Ints | Floats) -> None:
    """Add bytes, each to its `window`, and to no other window: a part of a long run touches few of its many."""
    lowest = int(window.min())
    added = np.bincount(window - lowest, num_bytes)
    in_window[lowest : lowest + len(added)] += added
