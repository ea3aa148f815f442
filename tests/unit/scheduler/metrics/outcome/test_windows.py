"""Peaks of planes against brute force."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.columns import NS_PER_S, parts
from scheduler.metrics.outcome import windows
from scheduler.metrics.outcome.collector import TRANSFER_ROW
from scheduler.metrics.outcome.windows import bytes_in_windows, peak_bytes_per_s

SECOND = 1_000_000_000

MOVES = st.lists(
    st.tuples(
        st.integers(0, 5 * SECOND),
        st.one_of(st.integers(0, SECOND), st.integers(0, 4 * SECOND)),
        st.integers(0, 10**12),
    ),
    max_size=20,
)


@pytest.mark.parametrize("part_rows", [1, 7])
def test_windows_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, part_rows: int) -> None:
    monkeypatch.setattr(windows, "parts", partial(parts, size=part_rows))

    @given(moves=MOVES, rest_ns=st.integers(1, 3 * SECOND))
    def check(moves: list[tuple[int, int, int]], rest_ns: int) -> None:
        span_ns = max((start + duration for start, duration, _ in moves), default=0) + rest_ns
        rows = np.array([(num_bytes, duration, start + duration) for start, duration, num_bytes in moves], TRANSFER_ROW)
        in_window = bytes_in_windows(rows, span_ns)
        peak = peak_bytes_per_s(in_window, span_ns)
        edges = [*range(0, max(1, span_ns // SECOND) * SECOND, SECOND), span_ns]
        rates = [
            sum(num_bytes * _share(start, duration, a, b) for start, duration, num_bytes in moves)
            / ((b - a) / NS_PER_S)
            for a, b in pairwise(edges)
        ]
        total = sum(num_bytes for _, _, num_bytes in moves)
        assert in_window.sum() == pytest.approx(total)
        assert peak == pytest.approx(max(rates), rel=1e-9, abs=1e-6)
        assert peak >= total / (span_ns / NS_PER_S) * (1 - 1e-9)

    check()


def _share(start: int, duration: int, begin: int, end: int) -> float:
    """Of a transfer's bytes, those that moved in a window."""
    if not duration:
        return float(begin <= start < end)
    return max(0, min(start + duration, end) - max(start, begin)) / duration
