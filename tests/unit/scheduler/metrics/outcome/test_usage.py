"""Peaks of power against brute force."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.columns import NS_PER_S, Rows, parts
from scheduler.metrics.outcome import usage
from scheduler.metrics.outcome.collector import USAGE_ROW
from scheduler.metrics.outcome.usage import fleet_power, peak_watts, usage_totals, with_idle_gaps, with_powerless_gaps

ACCOUNTS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 5, 7]), st.integers(0, 50)), max_size=12)
FLEETS = st.lists(ACCOUNTS, min_size=1, max_size=4)


def usage_rows(fleet: list[list[tuple[int, int]]]) -> Rows:
    """Each instance's (duration, joules) joined seamlessly from 0, all in the order of their ends."""
    rows = [
        (index, sum(ns for ns, _ in accounts[:k]), sum(ns for ns, _ in accounts[: k + 1]), ns, float(joules))
        for index, accounts in enumerate(fleet)
        for k, (ns, joules) in enumerate(accounts)
    ]
    return np.array(sorted(rows, key=lambda row: row[2]), USAGE_ROW)


def peak_by_force(rows: Rows) -> float:
    """The sum of powers in the middle between any two instants at which one may change."""
    accounts = [
        (start, end, joules / ((end - start) / NS_PER_S)) for _, start, end, _, joules in rows.tolist() if end > start
    ]
    instants = sorted({instant for start, end, _ in accounts for instant in (start, end)})
    middles = [(a + b) / 2 for a, b in pairwise(instants)]
    return max((sum(w for start, end, w in accounts if start < t < end) for t in middles), default=0.0)


@pytest.mark.parametrize("part_rows", [1, 2, 3, 100])
def test_peak_power_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch, part_rows: int) -> None:
    monkeypatch.setattr(usage, "parts", partial(parts, size=part_rows))

    @given(fleet=FLEETS)
    def check(fleet: list[list[tuple[int, int]]]) -> None:
        rows = usage_rows(fleet)
        assert peak_watts(rows, len(fleet)) == pytest.approx(peak_by_force(rows), rel=1e-12, abs=1e-3)

    check()


@given(fleet=FLEETS, gaps=st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_an_instance_draws_nothing_while_it_is_down(fleet: list[list[tuple[int, int]]], gaps: list[int]) -> None:
    rows = usage_rows(fleet)
    for index in range(len(fleet)):
        own = np.flatnonzero(rows["instance"] == index)
        shift = np.cumsum(gaps)[: len(own)]
        rows["start_ns"][own] += shift
        rows["end_ns"][own] += shift
    whole = with_powerless_gaps(rows[np.argsort(rows["end_ns"], kind="stable")])
    assert peak_watts(whole, len(fleet)) == pytest.approx(peak_by_force(rows), rel=1e-12, abs=1e-3)
    assert whole["joules"].sum() == rows["joules"].sum()


def test_peak_power_by_hand() -> None:
    rows = usage_rows([[(2, 2), (2, 8)], [(3, 9), (1, 1)]])  # 1 then 4 W; 3 then 1 W; per nanosecond
    assert peak_watts(rows, 2) == pytest.approx(7 * NS_PER_S)


def test_totals_by_instance() -> None:
    totals = usage_totals(usage_rows([[(2, 2), (2, 8)], [], [(3, 9)]]), 3)
    assert totals.busy_ns.tolist() == [4, 0, 3]
    assert totals.joules.tolist() == [10.0, 0.0, 9.0]


NUM_NPUS = 8
IDLE_W = 3.0
SLOTS = (range(4), range(4, 8), range(2, 6), range(8))
"""NPUs of each instance; several share some."""

STEP_NS = int(NS_PER_S)


@st.composite
def tenures(draw: st.DrawFn) -> list[int]:
    """Who is there in each second, of two tenants that share no NPU: a bit mask of SLOTS."""
    apart = [0b0000, 0b0001, 0b0010, 0b0011, 0b0100, 0b1000]
    return draw(st.lists(st.sampled_from(apart), min_size=1, max_size=8))


@given(seconds=tenures(), watts=st.lists(st.integers(20, 90), min_size=4, max_size=4))
def test_each_npu_draws_once_where_instances_come_and_go(seconds: list[int], watts: list[int]) -> None:
    rows = [
        (slot, at * STEP_NS, (at + 1) * STEP_NS, STEP_NS, float(watts[slot]))
        for at, there in enumerate(seconds)
        for slot in range(len(SLOTS))
        if there >> slot & 1
    ]
    end_ns = len(seconds) * STEP_NS
    accounts = with_powerless_gaps(np.array(rows, USAGE_ROW))
    num_npus = np.array([len(npus) for npus in SLOTS])
    fleet = with_idle_gaps(accounts, num_npus * IDLE_W, end_ns)
    # INV-11. What slots that share NPUs count several times is taken away.
    spare_w = IDLE_W * (NUM_NPUS - int(num_npus.sum()))
    found = np.concatenate([watts_now for watts_now, _ in fleet_power(fleet, len(SLOTS))])[::-1] + spare_w
    lengths = np.concatenate([lengths_ns for _, lengths_ns in fleet_power(fleet, len(SLOTS))])[::-1]
    expected: list[float] = []
    for there in seconds:
        serving = [slot for slot in range(len(SLOTS)) if there >> slot & 1]
        taken = sum(len(SLOTS[slot]) for slot in serving)
        expected.append(sum(watts[slot] for slot in serving) + IDLE_W * (NUM_NPUS - taken))
    ends = np.cumsum(lengths)
    assert int(ends[-1]) == end_ns
    for second, watts_then in enumerate(expected):
        at = np.searchsorted(ends, second * STEP_NS + STEP_NS // 2)
        assert found[at] == pytest.approx(watts_then)
    assert float(fleet["joules"].sum()) + spare_w * len(seconds) == pytest.approx(sum(expected))
