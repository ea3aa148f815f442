"""Budgets never exceed what there is, and go to those who work, the slow ones first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.policies.power import PowerNeed, share_watts


def need(floor_w: int, span_w: int, pressure: float | None) -> PowerNeed:
    """An instance that can use so much beyond its floor."""
    return PowerNeed(floor_w, floor_w + span_w, pressure)


NEEDS = st.lists(
    st.builds(need, st.integers(0, 10**5), st.integers(0, 10**5), st.none() | st.floats(0.0, 100.0)),
    min_size=1,
    max_size=8,
)


@given(needs=NEEDS, spare_w=st.integers(0, 10**6))
def test_shares_keep_within_the_budget_and_their_ranges(needs: list[PowerNeed], spare_w: int) -> None:
    budget_w = sum(one.floor_w for one in needs) + spare_w
    shares = share_watts(needs, budget_w)
    assert sum(shares) <= budget_w
    for one, share in zip(needs, shares, strict=True):
        assert one.floor_w <= share <= one.peak_w
        assert one.pressure is not None or share == one.floor_w


@given(needs=NEEDS, spare_w=st.integers(0, 10**5), more_w=st.integers(0, 10**5))
def test_more_to_share_leaves_nobody_with_less(needs: list[PowerNeed], spare_w: int, more_w: int) -> None:
    budget_w = sum(one.floor_w for one in needs) + spare_w
    for less, more in zip(share_watts(needs, budget_w), share_watts(needs, budget_w + more_w), strict=True):
        assert less <= more


def test_who_is_short_of_its_limit_gets_more_and_all_get_their_peak_where_there_is_enough() -> None:
    slow, fast, idle = PowerNeed(100, 1100, 1.5), PowerNeed(100, 1100, 0.1), PowerNeed(100, 600, None)
    shares = share_watts([slow, fast, idle], 1050)
    assert shares[0] > shares[1] > shares[2] == 100
    assert 150 <= 1050 - sum(shares) <= 152  # kept for the idle one
    assert share_watts([slow, fast, idle], 3000) == [1100, 1100, 100]
