"""Requests in flight: an exact integral, by hand and against a count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.outcome.in_flight import in_flight

SECOND = 1_000_000_000


def test_the_mean_and_the_peak_by_hand() -> None:
    held = in_flight(np.array([0, 1, 1]) * SECOND, np.array([2, 3, 1]) * SECOND)
    assert held.peak == 2
    assert held.mean(4 * SECOND) == pytest.approx((2 + 2) / 4)
    assert held.in_steps(np.array([0.0, 1.0, 1.5, 4.0])).tolist() == pytest.approx([1, 2, (0.5 * 2 + 1) / 2.5])


def test_a_place_that_is_taken_when_it_comes_free_is_one() -> None:
    held = in_flight(np.array([0, 5]), np.array([5, 9]))
    assert held.peak == 1
    assert held.mean(9) == 1


def test_what_began_before_counts_from_the_beginning() -> None:
    held = in_flight(np.array([-5, 2]), np.array([1, 4]))
    assert held.mean(4) == pytest.approx((1 + 2) / 4)


def test_nobody_is_in_flight_without_requests_or_time() -> None:
    held = in_flight(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (held.peak, held.mean(5), held.mean(0)) == (0, 0, None)
    assert held.in_steps(np.array([0.0, 1.0])).tolist() == [0]


@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=30))
def test_it_is_what_a_count_at_each_nanosecond_finds(spans: list[tuple[int, int]]) -> None:
    arrived = np.array([begin for begin, _ in spans])
    ended = arrived + np.array([length for _, length in spans])
    counts = [int(((arrived <= t) & (t < ended)).sum()) for t in range(80)]
    held = in_flight(arrived, ended)
    assert held.peak == max(counts)
    assert held.mean(80) == pytest.approx(sum(counts) / 80)
    steps = held.in_steps(np.arange(0, 81, 8) / SECOND)
    assert steps == pytest.approx(np.array(counts).reshape(-1, 8).mean(axis=1))
