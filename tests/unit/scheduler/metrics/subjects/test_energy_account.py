"""What a live system has drawn, part by part, comes to what is worked out from its log when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from scheduler.core.request_table import RequestTable
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.facility import FacilityCurves, Prices
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.energy import Served, energy_use
from scheduler.metrics.outcome.usage import usage_totals, with_powerless_gaps
from scheduler.metrics.subject import Session
from scheduler.metrics.subjects import energy_account
from scheduler.metrics.subjects.energy import energy_series
from scheduler.metrics.subjects.energy_account import EnergyAccount, EnergyTotals, fleet_power_between, npu_phases
from scheduler.protocol.messages import Usage, UsageReported, WorkersLost
from tests.naive.case import BUSY_WATTS, IDLE_WATTS, Case
from tests.naive.strategies import QUICK_PHASES, any_cases
from tests.sim.trouble import Trouble, troubles
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of
from tests.unit.scheduler.metrics.observed import Observed, layout_for, never_fall

WATT = NS_PER_S
"""Engines of the tests draw some joules a nanosecond."""

CURVES = FacilityCurves(
    npu_w=np.array([0.0, 2 * IDLE_WATTS, 2 * BUSY_WATTS, 9 * BUSY_WATTS]) * WATT,
    part_w={"cpu": np.array([3.0, 3, 8, 8]) * WATT, "supply_loss": np.array([1.0, 1.5, 2, 9]) * WATT},
    spare_npu_w=2.0 * WATT,
    building_share=0.25,
    waiting_w=IDLE_WATTS * WATT,
)
SESSION = Session(True, RequestTable(), 1.0)
PRICES = Prices(0.5, ((0.0, 3.0),), 0.25)


def session(speed: float, power_cap_w: float = 0.0) -> Session:
    """A session at this pace."""
    return Session(True, RequestTable(), speed, power_cap_w=power_cap_w)


def report(energy: EnergyAccount, address: str, usage: Usage) -> None:
    """Show it the account of an instance."""
    energy.handlers()[UsageReported](SESSION, UsageReported(address, usage))


# A step of half a nanosecond rounds to nothing: its joules would be infinite watts, which no curve has.
TROUBLED = (
    any_cases()
    .filter(lambda case: case.fixed_ps >= 1_000)
    .flatmap(lambda case: st.tuples(st.just(case), st.none() | troubles(case)))
)


@settings(max_examples=50, phases=QUICK_PHASES)
@given(troubled=TROUBLED, every=st.integers(1, 20))
def test_parts_phases_and_dollars_are_those_of_the_log(troubled: tuple[Case, Trouble | None], every: int) -> None:
    case, trouble = troubled
    layout = replace(layout_for(case), curves=CURVES, prices=PRICES)
    totals = LiveTotals(layout)
    seen = Observed(case, totals, every, trouble=trouble)
    totals.end("completed")
    last, collector = totals.snapshot(), seen.collector
    rows = with_powerless_gaps(collector.usage_rows())
    span_s = collector.ended_ns / NS_PER_S
    of_log = usage_totals(rows, len(collector.instances))
    use = energy_use(collector.instances, rows, of_log, Served(1, 1, 1, span_s), CURVES)
    assert use.facility is not None
    live = {
        part if phase not in npu_phases(layout) else phase: joules
        for (part, phase), joules in zip(energy_series(layout), last[EnergyTotals].joules, strict=True)
    }
    assert live == pytest.approx(use.by, rel=1e-6, abs=1e-3)
    assert sum(last[EnergyTotals].joules) == pytest.approx(use.facility.joules)
    capital_usd = last[EnergyTotals].usd[0] + last[EnergyTotals].usd[2]
    assert capital_usd == pytest.approx(PRICES.capital_usd_per_s * span_s)
    assert last[EnergyTotals].usd[1] + last[EnergyTotals].usd[3] == pytest.approx(3.0 * use.facility.joules)
    assert never_fall([*seen.snapshots, last])


ACCOUNTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans()), min_size=1, max_size=8)


@given(fleet=st.tuples(ACCOUNTS, ACCOUNTS), order=st.randoms(use_true_random=False))
def test_how_accounts_interleave_changes_nothing(fleet: tuple[list[tuple[int, int, bool]], ...], order: Random) -> None:
    """Whoever is looked at after each account sees counters rise, and in the end what one look would have seen."""
    layout = replace(layout_of(PREFILL, DECODE), curves=CURVES, prices=PRICES)
    one, other = EnergyAccount(layout), EnergyAccount(layout)
    left = {address: _usages(accounts) for address, accounts in zip(("prefill-0", "decode-0"), fleet, strict=True)}
    for energy in (one, other):
        energy.begin(session(1e-9))
    seen = [one.totals(SESSION).joules]
    while any(left.values()):
        address = order.choice([address for address, usages in left.items() if usages])
        usage = left[address].pop(0)
        for energy in (one, other):
            report(energy, address, usage)
        seen.append(one.totals(SESSION).joules)
    one.end(SESSION)
    other.end(SESSION)
    assert one.totals(SESSION).joules == pytest.approx(other.totals(SESSION).joules, rel=1e-9)
    assert one.totals(SESSION).usd == pytest.approx(other.totals(SESSION).usd, rel=1e-9)
    assert (np.diff(np.array([*seen, one.totals(SESSION).joules]), axis=0) >= 0).all()


def _usages(accounts: list[tuple[int, int, bool]]) -> list[Usage]:
    usages: list[Usage] = []
    now_ns = 0
    for span_ns, work_j, is_busy in accounts:
        end_ns = now_ns + span_ns
        idle_j = CURVES.waiting_w * 160 * span_ns / NS_PER_S
        usages.append(Usage(now_ns, end_ns, span_ns * is_busy, idle_j + work_j * span_ns))
        now_ns = end_ns
    return usages


def test_watts_are_means_of_a_stretch_and_sum_to_the_feeds() -> None:
    layout = replace(layout_of(PREFILL, DECODE), curves=CURVES)
    energy = EnergyAccount(layout)
    energy.begin(session(1e-8, 300_000.0))
    for address, npu_w in (("prefill-0", 40.0), ("decode-0", 60.0)):
        report(energy, address, Usage(0, 9, 0, 9 * npu_w))
        assert energy.totals(SESSION).watts == (0.0,) * 4, "a stretch of ten nanoseconds has not passed"
        report(energy, address, Usage(9, 10, 0, npu_w))
    seen = energy.totals(SESSION)
    feeds_w = CURVES.feed_w(102.0 * WATT)
    assert seen.watts[0] == pytest.approx(102.0 * WATT)
    assert sum(seen.watts[:-1]) == pytest.approx(feeds_w)
    assert seen.watts[-1] == pytest.approx(0.25 * feeds_w)
    assert seen.cap_w == 300_000.0


def test_who_never_accounts_does_not_hold_up_all_others_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_account, "MAX_PENDING_BYTES", 100)
    energy = EnergyAccount(replace(layout_of(PREFILL, DECODE), curves=CURVES))
    energy.begin(session(1.0))
    npu_w = 3.0 * IDLE_WATTS * WATT
    drawn_w = CURVES.feed_w(npu_w + CURVES.spare_npu_w) - npu_w - CURVES.spare_npu_w
    for num_accounts in range(1, 6):
        report(energy, "decode-0", Usage(num_accounts - 1, num_accounts, 1, 3.0 * IDLE_WATTS))
        expected_j = 0.0 if num_accounts < 5 else 5 * drawn_w / NS_PER_S
        assert sum(energy.totals(SESSION).joules[3:5]) == pytest.approx(expected_j)
    report(energy, "prefill-0", Usage(0, 5, 5, 5.0))
    assert energy.totals(SESSION).joules[0] == 5.0
    assert sum(energy.totals(SESSION).joules[3:5]) == pytest.approx(5 * drawn_w / NS_PER_S)


class Phases(Struct):
    """A core that tells where instances are."""

    phases: dict[str, str]

    def instance_phases(self) -> Mapping[str, str]:
        return self.phases

    def wanted_instances(self) -> Mapping[str, int]:
        return {}


@pytest.mark.parametrize("spare", [{"prefill-1": "absent"}, {"prefill-1": "booked"}, {}])
def test_npus_of_who_is_not_there_draw_what_empty_ones_do_and_hold_nobody_up(spare: dict[str, str]) -> None:
    """It is on NPUs of its own here, and starts at 6 ns."""
    one = replace(PREFILL, address="prefill-1", is_planned=False)
    curves = replace(CURVES, spare_npu_w=0.0, idle_w=2.0 * WATT)
    energy = EnergyAccount(replace(layout_of(PREFILL, one, DECODE), curves=curves))
    core = Phases({"prefill-0": "serving", "decode-0": "serving", **spare})
    now = Session(True, RequestTable(), 1e-9, fleet=core)
    energy.begin(now)
    for address in ("prefill-0", "decode-0"):
        report(energy, address, Usage(0, 4, 4, 40.0))
    assert energy.totals(now).settled_s == 4 / NS_PER_S
    empty_j = PREFILL.num_npus * 2.0
    assert energy.totals(now).joules[:3] == pytest.approx((40.0, 40.0, 4 * empty_j))
    core.phases["prefill-1"] = "starting"
    for address in ("prefill-0", "decode-0"):
        report(energy, address, Usage(4, 10, 6, 60.0))
    assert energy.totals(now).settled_s == 4 / NS_PER_S, "what it draws since it starts is not known yet"
    report(energy, "prefill-1", Usage(6, 10, 4, 28.0))
    assert energy.totals(now).joules[:3] == pytest.approx((128.0, 100.0, 6 * empty_j))
    energy.handlers()[WorkersLost](now, WorkersLost(["prefill-1"], as_commanded=True))
    core.phases["prefill-1"] = "absent"
    for address in ("prefill-0", "decode-0"):
        report(energy, address, Usage(10, 13, 3, 30.0))
    energy.end(now)
    assert energy.totals(None).joules[:3] == pytest.approx((158.0, 130.0, 9 * empty_j))
    assert energy.totals(None).settled_s == pytest.approx(13 / NS_PER_S)


def test_power_of_accounts_with_a_gap() -> None:
    rows = np.array([(0, 4, 10.0), (2, 6, 1.0), (7, 9, 5.0)], [("start_ns", "i8"), ("end_ns", "i8"), ("watts", "f8")])
    watts, lengths_s = fleet_power_between(rows, 1, 8)
    assert watts.tolist() == [10, 11, 1, 0, 5]
    assert (lengths_s * NS_PER_S).tolist() == [1, 2, 2, 1, 1]


def test_electricity_costs_what_the_time_of_the_day_says() -> None:
    prices = Prices(0.0, ((0.0, 1.0), (3600.0, 2.0)))
    assert [prices.usd_per_joule(s) for s in (0.0, 3599.0, 3600.0, 86_399.0, 86_400.0)] == [1, 1, 2, 2, 1]
