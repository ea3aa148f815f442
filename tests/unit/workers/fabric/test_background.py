"""Traffic of others comes and goes on time, and takes its fair part of the links that it lies on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.messages import ExpertLoadReported, LinkShare
from tests.unit.workers.fabric.expert_traffic_system import GB, MS, make_fabric, read, run_fabric
from workers.fabric.background import BackgroundFlow

TIMES = st.integers(0, 30)


@given(TIMES, st.integers(1, 10), st.integers(0, 30), TIMES)
def test_between_two_changes_nothing_changes(start: int, length: int, more: int, now: int) -> None:
    flow = BackgroundFlow(Plane.UB, {(0,): 1}, 1, start, length, length + more if more else 0)
    next_ns = flow.next_change_ns(now)
    assert next_ns > now
    assert {flow.is_on(time) for time in range(now, min(next_ns, 200))} == {flow.is_on(now)}
    if next_ns != NEVER_NS:
        assert flow.is_on(next_ns) != flow.is_on(now)


@pytest.mark.parametrize(("rate_gb", "left_gb"), [(20, 80), (50, 50), (90, 50)])
def test_a_read_beside_it_has_the_rest_or_a_fair_part(rate_gb: int, left_gb: int) -> None:
    flow = BackgroundFlow(Plane.UB, {(1,): 4}, rate_gb * GB, 0, 10**12)
    told = run_fabric(make_fabric(background=[flow]), [(0, read(0, 4 * 100 * MS))])
    assert told[0][0] == 100 * MS * 100 // left_gb


def test_a_read_is_slowed_as_long_as_it_lasts_and_nobody_waits_for_the_rest_of_it() -> None:
    # Half of the line from 40 ms on for 20 ms: 10 ms are lost.
    flow = BackgroundFlow(Plane.UB, {(1,): 4}, 50 * GB, 40 * MS, 20 * MS, 1_000 * MS)
    fabric = make_fabric(background=[flow])
    told = run_fabric(fabric, [(0, read(0, 4 * 100 * MS))])
    assert [time for time, _ in told] == [110 * MS]
    assert fabric.deadline_ns == NEVER_NS


def test_an_exchange_is_told_what_it_leaves_and_that_it_has_gone() -> None:
    flow = BackgroundFlow(Plane.UB, {(1,): 4}, 80 * GB, 0, 500 * MS)
    load = ExpertLoadReported("p0", 25 * GB, 1_000 * MS, 1_000_000)
    told = run_fabric(make_fabric(background=[flow]), [(0, load)])
    # Its bursts have half of a line beside another who wants more.
    assert told == [(100 * MS, LinkShare(500_000)), (600 * MS, LinkShare(1_000_000))]
