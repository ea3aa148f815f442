"""Holding back until cheap hours, against the naive clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.guests.deferred import DAY_NS, DeferredQueue, next_cheap_ns
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS

HOUR_NS = DAY_NS // 24


@st.composite
def some_hours(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Whole hours of a day, joined where they touch or not."""
    hours = draw(st.lists(st.integers(0, 23), min_size=1, max_size=6, unique=True))
    return tuple((hour * HOUR_NS, (hour + 1) * HOUR_NS) for hour in sorted(hours))


@given(some_hours(), st.integers(0, 3 * 24 * 60))
def test_the_next_cheap_minute_is_the_first_one(cheap: tuple[tuple[int, int], ...], minute: int) -> None:
    minute_ns = HOUR_NS // 60
    naive = next(
        at
        for at in range(minute, minute + 24 * 60 + 1)
        if any(start <= at * minute_ns % DAY_NS < end for start, end in cheap)
    )
    assert next_cheap_ns(minute * minute_ns, cheap) == naive * minute_ns


def test_who_may_wait_is_held_until_then_or_as_long_as_it_may() -> None:
    table = RequestTable()
    ids = table.add(10 * HOUR_NS, [1] * 4)
    table.request_class[0:4] = bytes([0, 1, 2, 1])
    held = set[int]()
    holds = DeferredQueue(((22 * HOUR_NS, DAY_NS),), [0, 20 * HOUR_NS, 3 * HOUR_NS], table, held)
    assert holds.keep(10 * HOUR_NS, ids) == [0]
    assert holds.release_ns == 13 * HOUR_NS
    assert not holds.due(12 * HOUR_NS)
    assert holds.due(13 * HOUR_NS) == [2]
    assert held == {1, 3}
    held.discard(1)
    assert holds.release_ns == 22 * HOUR_NS
    assert holds.due(22 * HOUR_NS) == [3]
    assert holds.release_ns == NEVER_NS
    assert holds.keep(23 * HOUR_NS, [3]) == [3]


def test_where_all_hours_are_alike_nobody_waits() -> None:
    table = RequestTable()
    ids = table.add(5, [1, 1])
    assert DeferredQueue((), [HOUR_NS], table, set()).keep(5, ids) == [0, 1]
