"""What hops cost: quantiles within 3 %, and a warning above 5 % of the median TTFT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runtime.hops import LatenessHistogram


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_within_its_bucket(samples: list[int], share: float) -> None:
    histogram = LatenessHistogram()
    for sample in samples:
        histogram.add(sample)
    exact = sorted(samples)[max(0, -(-int(share * 1000) * len(samples) // 1000) - 1)]
    assert exact * (1 - 1 / 32) - 1 <= histogram.quantile_ns(share) <= exact
    assert histogram.max_ns == max(samples)


@given(st.lists(st.integers(0, 10**13), max_size=200), st.lists(st.floats(0, 1e14), max_size=5))
def test_so_many_were_within_a_limit(samples: list[int], limits_ns: list[float]) -> None:
    histogram = LatenessHistogram()
    for sample in samples:
        histogram.add(sample)
    for limit, num_within in zip(limits_ns, histogram.num_within(limits_ns), strict=True):
        assert sum(s <= limit for s in samples) <= num_within <= sum(s <= limit * (1 + 1 / 32) for s in samples)
    assert histogram.sum_ns == sum(samples)


def test_the_cost_is_told_on_the_wall_and_in_emulated_time() -> None:
    histogram = LatenessHistogram()
    for _ in range(100):
        histogram.add(1 << 20)
    cost = histogram.cost(speed=4.0)
    assert (cost.p50_ns, cost.p50_wall_ns, cost.p99_wall_ns, cost.num_messages) == (1 << 20, 1 << 18, 1 << 18, 100)


def test_what_came_before_its_time_counts_as_not_late() -> None:
    histogram = LatenessHistogram()
    histogram.add(-5)
    assert (histogram.quantile_ns(0.5), histogram.max_ns, histogram.num_samples) == (0, 0, 1)


def test_nothing_measured_costs_nothing() -> None:
    cost = LatenessHistogram().cost(1.0)
    assert (cost.p50_ns, cost.share_of_ttft(0.0), cost.warning(1e9)) == (0, 0.0, "")


@pytest.mark.parametrize(("ttft_ms", "warns"), [(100, False), (10, True)])
def test_a_hop_above_five_percent_of_the_median_ttft_is_worth_a_warning(ttft_ms: int, *, warns: bool) -> None:
    histogram = LatenessHistogram()
    histogram.add(1_000_000)
    warning = histogram.cost(2.0).warning(ttft_ms * 1e6)
    assert bool(warning) is warns
    assert not warns or "take a lower --speed" in warning
