"""INV-11 where instances come and go: at each instant every NPU draws what its instance does, or what an empty one
does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.outcome.collector import USAGE_ROW
from scheduler.metrics.outcome.usage import fleet_power, with_idle_gaps, with_powerless_gaps

NUM_NPUS = 8
IDLE_W = 3.0
SLOTS = (range(4), range(4, 8), range(2, 6), range(8))
"""NPUs of each instance; several share some."""

STEP_NS = NS_PER_S


@st.composite
def tenures(draw: st.DrawFn) -> list[int | None]:
    """Who is there in each second, of two tenants that share no NPU: a bit mask of SLOTS."""
    apart = [0b0000, 0b0001, 0b0010, 0b0011, 0b0100, 0b1000]
    return draw(st.lists(st.sampled_from(apart), min_size=1, max_size=8))


@given(seconds=tenures(), watts=st.lists(st.integers(20, 90), min_size=4, max_size=4))
def test_each_npu_draws_once(seconds: list[int], watts: list[int]) -> None:
    rows = [
        (slot, at * STEP_NS, (at + 1) * STEP_NS, STEP_NS, float(watts[slot]))
        for at, there in enumerate(seconds)
        for slot in range(len(SLOTS))
        if there >> slot & 1
    ]
    end_ns = len(seconds) * STEP_NS
    accounts = with_powerless_gaps(np.array(rows, USAGE_ROW))
    num_npus = np.array([len(npus) for npus in SLOTS])
    fleet = with_idle_gaps(accounts, num_npus, IDLE_W, end_ns)
    # What slots that share NPUs count several times is taken away.
    spare_w = IDLE_W * (NUM_NPUS - int(num_npus.sum()))
    found = np.concatenate([watts_now for watts_now, _ in fleet_power(fleet, len(SLOTS))])[::-1] + spare_w
    lengths = np.concatenate([lengths_ns for _, lengths_ns in fleet_power(fleet, len(SLOTS))])[::-1]
    expected = []
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
