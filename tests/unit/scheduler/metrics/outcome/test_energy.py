"""Energy equals the integral of the piecewise-constant power, and its parts sum to the whole (INV-11)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.metrics.columns import NS_PER_S, Rows, parts
from scheduler.metrics.facility import FacilityCurves
from scheduler.metrics.outcome import usage
from scheduler.metrics.outcome.collector import USAGE_ROW, MeteredInstance
from scheduler.metrics.outcome.energy import Served, energy_use
from scheduler.metrics.outcome.usage import fleet_power, usage_totals

SPAN_NS = 12
CURVES = FacilityCurves(
    npu_w=np.array([0.0, 20e9, 45e9, 90e9]),
    part_w={"host": np.array([3e9, 3e9, 8e9, 8e9]), "supply_loss": np.array([1e9, 1.5e9, 2e9, 9e9])},
    spare_npu_w=2e9,
    plane_w={"ub": np.array([1e9, 1e9, 5e9, 5e9]), "rdma": np.array([2e9, 2e9, 3e9, 3e9])},
    building_share=0.25,
    waiting_w=1e9,
)
"""In watts a thousand million times too large, as the rows last nanoseconds."""

ACCOUNTS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 5]), st.integers(0, 30), st.booleans()), max_size=6)
FLEETS = st.lists(ACCOUNTS, min_size=1, max_size=4)


def rows_of(fleet: list[list[tuple[int, int, bool]]]) -> Rows:
    """Accounts (duration, joules of work, whether it works) of instances of one NPU; idle until the end of the run."""
    rows: list[tuple[int, int, int, int, float]] = []
    for index, accounts in enumerate(fleet):
        now = 0
        for duration_ns, work_j, is_busy in (*accounts, (SPAN_NS, 0, False)):
            end = min(SPAN_NS, now + duration_ns)
            busy_ns = end - now if is_busy else 0
            rows.append((index, now, end, busy_ns, float(work_j + 1 if busy_ns else end - now)))
            now = end
    return np.array(sorted(rows, key=lambda row: row[2]), USAGE_ROW)


def feed_joules_by_force(rows: Rows) -> float:
    """Power at the feeds in the middle between any two instants at which it may change, times their distance."""
    accounts = [(start, end, joules / ((end - start) / NS_PER_S)) for _, start, end, _, joules in rows if end > start]
    instants = sorted({instant for start, end, _ in accounts for instant in (start, end)})
    total = 0.0
    for a, b in pairwise(instants):
        npu_w = CURVES.spare_npu_w + sum(w for start, end, w in accounts if start < (a + b) / 2 < end)
        total += CURVES.feed_w(npu_w) * (b - a) / NS_PER_S
    return total


@pytest.mark.parametrize("part_rows", [1, 3, 100])
def test_energy_is_the_integral_of_power_and_parts_sum_to_it(monkeypatch: pytest.MonkeyPatch, part_rows: int) -> None:
    monkeypatch.setattr(usage, "parts", partial(parts, size=part_rows))

    @given(fleet=FLEETS)
    def check(fleet: list[list[tuple[int, int, bool]]]) -> None:
        rows = rows_of(fleet)
        instances = tuple(MeteredInstance(str(i), "decode" if i % 2 else "prefill", 1) for i in range(len(fleet)))
        totals = usage_totals(rows, len(fleet))
        found = energy_use(instances, rows, totals, Served(2, 5, 4, SPAN_NS / NS_PER_S), CURVES)
        assert found.supernode is not None
        assert found.facility is not None
        assert found.supernode.joules == pytest.approx(feed_joules_by_force(rows))
        assert found.facility.joules == pytest.approx(1.25 * found.supernode.joules)
        assert sum(found.by.values()) == pytest.approx(found.facility.joules)
        assert sum(found.by_plane.values()) == pytest.approx(found.by["host"])
        npus = found.by["prefill"] + found.by["decode"] + found.by["idle"]
        assert npus == pytest.approx(found.joules + CURVES.spare_npu_w * SPAN_NS / NS_PER_S)
        assert all(joules >= -1e-6 for joules in found.by.values())
        assert (found.supernode.mean_watts or 0) <= found.supernode.peak_watts * (1 + 1e-9)
        lengths = [ns for _, lengths_ns in fleet_power(rows, len(fleet)) for ns in lengths_ns.tolist()]
        assert sum(lengths) == SPAN_NS
        assert min(lengths) > 0

    check()


def test_an_idle_fleet_draws_idle_power() -> None:
    rows = rows_of([[], []])
    instances = (MeteredInstance("p", "prefill", 1), MeteredInstance("d", "decode", 1))
    found = energy_use(instances, rows, usage_totals(rows, 2), Served(0, 0, 0, SPAN_NS / NS_PER_S), CURVES)
    assert (found.by["prefill"], found.by["decode"]) == (0.0, 0.0)
    assert found.by["idle"] == pytest.approx((2 * 1e9 + 2e9) * SPAN_NS / NS_PER_S)
    assert found.facility_joules_per_output_token is None


def test_without_curves_it_is_that_of_the_npus_alone() -> None:
    rows = rows_of([[(5, 20, True)]])
    instances = (MeteredInstance("p", "prefill", 1),)
    found = energy_use(instances, rows, usage_totals(rows, 1), Served(1, 5, 7, SPAN_NS / NS_PER_S), None)
    assert (found.scope, found.joules, found.joules_per_output_token) == ("npu", 28.0, 4.0)
    assert found.facility is None


@given(fleet=FLEETS, share=st.floats(0.01, 1.0))
def test_the_plan_has_its_npus_and_its_share_of_all_else(
    fleet: list[list[tuple[int, int, bool]]], share: float
) -> None:
    rows = rows_of(fleet)
    instances = tuple(MeteredInstance(str(index), "prefill", 1) for index in range(len(fleet)))
    curves = replace(CURVES, plan_share=share)
    served = Served(1, 10, 10, SPAN_NS / NS_PER_S)
    energy = energy_use(instances, rows, usage_totals(rows, len(fleet)), served, curves)
    assert energy.facility is not None
    assert energy.plan is not None
    spare_j = CURVES.spare_npu_w * SPAN_NS / NS_PER_S
    rest_j = energy.facility.joules - 1.25 * (energy.joules + spare_j)
    assert energy.plan.joules == pytest.approx(1.25 * energy.joules + share * rest_j)
    assert energy.plan.joules_per_output_token == pytest.approx(energy.plan.joules / 10)
    assert energy.plan.joules <= energy.facility.joules * (1 + 1e-9)
