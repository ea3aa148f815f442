"""Counts per bucket."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.bucket_bounds import grid
from scheduler.metrics.buckets import BucketCounts, BucketRows, HistogramTotals, reads, sum_of

BOUNDS = (0.5, 1.0, 2.0)
VALUES = st.lists(st.one_of(st.sampled_from([*BOUNDS, float("nan")]), st.floats(0, 4)), max_size=20)


@given(parts=st.lists(VALUES, max_size=3))
def test_a_value_counts_in_every_bucket_whose_bound_it_does_not_exceed(parts: list[list[float]]) -> None:
    together, one_by_one = BucketCounts(BOUNDS), BucketCounts(BOUNDS)
    for part in parts:
        together.add_all(np.array(part, np.float64))
    values = [value for part in parts for value in part if value == value]
    for value in values:
        one_by_one.add(value, 1, value)
    counts = (*(sum(value <= bound for value in values) for bound in BOUNDS), len(values))
    assert together.totals().counts == one_by_one.totals().counts == counts
    assert np.isclose(together.totals().sum_s, sum(values))


def test_weights() -> None:
    counts = BucketCounts(BOUNDS)
    counts.add(0.75, 3, 2.0)
    assert counts.totals() == HistogramTotals((0, 3, 3, 3), 2.0)


@given(
    values=st.lists(st.tuples(st.integers(-1, 2), st.one_of(st.just(math.nan), st.floats(0.0, 100.0))), max_size=30),
)
def test_rows_are_histograms_of_their_own(values: list[tuple[int, float]]) -> None:
    """Whatever is NaN or has no row counts nowhere; totals that were taken do not move when more is added."""
    bounds = (0.5, 1.0, 40.0)
    rows = BucketRows(bounds, 3)
    before = rows.totals()
    rows.add_all(np.array([row for row, _ in values], int), np.array([value for _, value in values], float))
    seen = rows.totals()
    for row in range(3):
        own = [value for place, value in values if place == row and not math.isnan(value)]
        assert seen[row].counts == (*(sum(value <= bound for value in own) for bound in bounds), len(own))
        assert seen[row].sum_s == pytest.approx(sum(own))
    assert sum_of(seen).counts[-1] == sum(one.counts[-1] for one in seen)
    assert [one.counts[-1] for one in before] == [0, 0, 0]


@given(values=VALUES)
def test_a_grid_tells_the_buckets_of_each_of_its_sets_exactly(values: list[float]) -> None:
    """As if they had been counted in those alone."""
    coarse, fine = BOUNDS, (0.25, 1.0, 1.5, 3.0)
    together = grid(coarse, fine)
    on_grid = BucketCounts(together)
    on_grid.add_all(np.array(values, np.float64))
    for bounds in (coarse, fine, together):
        alone = BucketCounts(bounds)
        alone.add_all(np.array(values, np.float64))
        assert reads(together, bounds)(on_grid.totals()) == alone.totals()
