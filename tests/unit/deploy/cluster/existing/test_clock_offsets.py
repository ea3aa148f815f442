"""The offset of a clock is within its error of the truth, whatever the way there and back took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cluster.existing.clock_offsets import Offset, Ping, between, offset_of, spread_of, why_too_far

MS = 1_000_000
NS = st.integers(0, 10**10)
WAYS = st.lists(st.tuples(NS, NS), min_size=1, max_size=8)


def pings(ahead_ns: int, ways: list[tuple[int, int]]) -> list[Ping]:
    """Of a clock that is so far ahead, with the times there and back."""
    return [Ping(0, there + ahead_ns, there + back) for there, back in ways]


@given(st.integers(-(10**12), 10**12), WAYS)
def test_the_truth_is_within_the_error(ahead_ns: int, ways: list[tuple[int, int]]) -> None:
    offset = offset_of(pings(ahead_ns, ways))
    assert abs(offset.ahead_ns - ahead_ns) <= offset.error_ns
    assert offset.error_ns == -(-min(there + back for there, back in ways) // 2)


def test_ways_that_take_the_same_time_give_the_offset_exactly() -> None:
    assert offset_of(pings(7 * MS, [(5 * MS, 9 * MS), (MS, MS)])) == Offset(7 * MS, MS)


def test_a_ping_during_which_our_clock_was_set_back_says_nothing() -> None:
    assert offset_of([Ping(100, 1, 50), *pings(3, [(2, 2)])]).ahead_ns == 3
    with pytest.raises(ValueError, match="a ping"):
        offset_of([Ping(100, 1, 50)])


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), WAYS, WAYS)
def test_clocks_are_compared_whoever_pinged(
    home_ns: int, other_ns: int, ways: list[tuple[int, int]], other_ways: list[tuple[int, int]]
) -> None:
    apart = between(offset_of(pings(home_ns, ways)), offset_of(pings(other_ns, other_ways)))
    assert abs(apart.ahead_ns - (other_ns - home_ns)) <= apart.error_ns


def test_the_clock_that_may_be_furthest_is_found() -> None:
    offsets = {"home": Offset(MS, 0), "a": Offset(3 * MS, MS), "b": Offset(-MS, 2 * MS)}
    assert spread_of(offsets, "home") == Offset(-2 * MS, 2 * MS)
    assert spread_of({"home": Offset(MS, 0)}, "home") == Offset(0, 0)


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (Offset(20 * MS, 0), ""),
        (Offset(25 * MS, 6 * MS), ""),  # it may be within the bound
        (Offset(31 * MS, MS), "the clock of node b is 31 ms ahead of that of node home (+-1 ms)"),
        (Offset(-31 * MS, MS), "the clock of node b is 31 ms behind that of node home"),
        (Offset(0, 21 * MS), "the clock of node b is known to +-21 ms only"),
    ],
)
def test_a_skew_beyond_the_bound_is_told_when_it_is_certain(other: Offset, line: str) -> None:
    found = why_too_far({"home": Offset(0, 0), "b": other}, "home", 20 * MS)
    assert found.startswith(line)
    assert bool(found) == bool(line)
    assert not line or "--max-clock-skew" in found


def test_how_far_we_are_from_home_ourselves_does_not_count() -> None:
    assert not why_too_far({"home": Offset(900 * MS, MS), "b": Offset(905 * MS, MS)}, "home", 20 * MS)
