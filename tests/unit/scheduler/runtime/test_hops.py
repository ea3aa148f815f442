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
    assert (cost.p50_ns, cost.share_of_ttft(0.0), cost.warning(1e9, 100.0)) == (0, 0.0, "")
    assert cost.share_of_tpot(0.0, 100.0) == cost.share_of_tpot(1e7, 1.0) == 0.0


@pytest.mark.parametrize(("output_tokens", "warns"), [(301, False), (101, True)])
def test_a_late_join_is_shared_by_the_tokens_of_a_request_and_above_three_percent_worth_a_warning(
    output_tokens: int, *, warns: bool
) -> None:
    histogram = LatenessHistogram()
    histogram.add(1 << 26)  # 67 ms
    cost = histogram.cost(10.0)
    assert cost.share_of_tpot(13e6, 101.0) == pytest.approx((1 << 26) / 100 / 13e6)
    warning = cost.warning(13e6, float(output_tokens))
    assert bool(warning) is warns
    assert not warns or ("TPOT is about 5% too long" in warning and "take a lower --speed" in warning)
