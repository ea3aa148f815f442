"""Percentiles: numpy's over the same values, laid out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from scheduler.metrics.distribution import PERCENTS, Distribution, distribution, weighted_distribution_s

VALUES = st.one_of(st.floats(0, 10), st.floats(0, 1e12), st.sampled_from([0.0, 1.0, 2.5e7, 2.5e7 + 1]))
PAIRS = st.lists(st.tuples(VALUES, st.integers(0, 20)), max_size=60)


def numpys(values: list[float]) -> Distribution:
    """The same by numpy."""
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, PERCENTS))
    return Distribution(float(np.mean(values)), p50, p90, p95, p99, max(values))


@given(pairs=PAIRS, cut=st.integers(0, 60))
def test_weighted_is_numpys_over_expanded_values(pairs: list[tuple[float, int]], cut: int) -> None:
    parts = [pairs[:cut], pairs[cut:]]
    columns = [(np.array([v for v, _ in part]), np.array([float(w) for _, w in part])) for part in parts]
    found = weighted_distribution_s(lambda: columns)
    expanded = [value / 1e9 for value, weight in pairs for _ in range(weight)]
    if expanded:
        assert astuple(found) == pytest.approx(astuple(numpys(expanded)), rel=1e-12, abs=1e-20)
    else:
        assert found == Distribution()


@given(values=st.lists(VALUES, min_size=1, max_size=60))
def test_percentiles_are_numpys_to_the_last_bit(values: list[float]) -> None:
    ordered = np.array(values)
    p50, p90, p95, p99 = (float(one) for one in np.percentile(ordered, PERCENTS, overwrite_input=True))
    expected = Distribution(float(ordered.mean()), p50, p90, p95, p99, max(values))
    assert distribution(np.array(values)) == expected


def test_by_hand() -> None:
    values = distribution(np.array([4.0, np.nan, 1.0, 3.0, 2.0, 5.0]))
    assert values == Distribution(mean=3.0, p50=3.0, p90=4.6, p95=4.8, p99=4.96, max=5.0)


def test_no_value_is_no_number() -> None:
    assert distribution(np.array([np.nan])) == Distribution()
    assert weighted_distribution_s(list) == Distribution()
    assert weighted_distribution_s(lambda: [(np.array([3.0]), np.zeros(1))]) == Distribution()


def test_weight_zero_is_not_a_maximum() -> None:
    found = weighted_distribution_s(lambda: [(np.array([9e9, 1e9]), np.array([0.0, 4.0]))])
    assert found == Distribution(*[1.0] * 6)
