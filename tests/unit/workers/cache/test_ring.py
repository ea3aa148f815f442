"""Consistent hashing: how much moves, and how even it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.cache.ring import NUM_SLOTS, owners

SERVERS = st.sets(st.integers(0, 63), min_size=1, max_size=48)


@settings(max_examples=40)
@given(servers=SERVERS, joined=st.integers(0, 63))
def test_only_what_must_moves_when_a_server_joins_or_leaves(servers: set[int], joined: int) -> None:
    before, after = owners(servers - {joined} or {64}), owners((servers - {joined} or {64}) | {joined})
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert {new for _, new in moved} <= {joined}


@pytest.mark.parametrize("num_servers", [2, 8, 48])
def test_a_joining_server_takes_about_its_share(num_servers: int) -> None:
    before, after = owners(range(num_servers)), owners(range(num_servers + 1))
    moved = sum(old != new for old, new in zip(before, after, strict=True))
    # 128 virtual nodes spread a load by one part in the root of 128; four such spreads are the bound.
    assert abs(moved / NUM_SLOTS * (num_servers + 1) - 1) < 4 / 128**0.5


def test_loads_are_even_within_the_bound() -> None:
    loads = Counter(owners(range(48)))
    assert len(loads) == 48
    assert max(loads.values()) * 48 / NUM_SLOTS < 1 + 4 / 128**0.5
