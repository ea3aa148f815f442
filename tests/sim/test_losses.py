"""Whole random systems whose components are lost and replaced as they run: nothing is stuck, leaked or told twice."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from scheduler.protocol.messages import SetParked
from tests.checkers.losing_checks import run_checked
from tests.naive.case import Case
from tests.naive.strategies import (
    QUICK_PHASES,
    aggregated_cases,
    answering_cases,
    any_cases,
    cached_cases,
    mixed_cases,
    parking_cases,
    preempting_cases,
    sampled_cases,
    with_any_policy,
)
from tests.sim.build import build_real
from tests.sim.losing import LosingSystem
from tests.sim.trouble import Trouble, fetching_cases, troubles


@st.composite
def troubled_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system and what goes wrong in it; those with a cache pool are the most entangled."""
    case = draw(st.one_of(any_cases(), cached_cases(st.one_of(mixed_cases(), preempting_cases())), fetching_cases()))
    case = draw(with_any_policy(st.one_of(st.just(case), sampled_cases(st.just(case)))))
    return case, draw(troubles(case))


@settings(phases=QUICK_PHASES, max_examples=150)
@given(troubled=troubled_cases())
def test_losses_leave_nothing_behind(troubled: tuple[Case, Trouble]) -> None:
    system = run_checked(*troubled)
    event(f"most retries: {max(system.scheduler.table.retries)}")


@st.composite
def troubled_aggregated_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """Those with instances of both stages."""
    cases = aggregated_cases(st.one_of(any_cases(), answering_cases()))
    case = draw(with_any_policy(st.one_of(cases, sampled_cases(cases))))
    return case, draw(troubles(case))


@settings(phases=QUICK_PHASES, max_examples=150)
@given(troubled=troubled_aggregated_cases())
def test_losses_leave_nothing_behind_with_aggregated_instances(troubled: tuple[Case, Trouble]) -> None:
    system = run_checked(*troubled)
    event(f"most retries: {max(system.scheduler.table.retries)}")


@st.composite
def troubled_parking_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """Those in which idle instances are parked, too."""
    parking = parking_cases(any_cases())
    case = draw(with_any_policy(st.one_of(parking, aggregated_cases(parking))))
    return case, draw(troubles(case))


@settings(phases=QUICK_PHASES, max_examples=100)
@given(troubled=troubled_parking_cases())
def test_losses_leave_nothing_behind_where_instances_are_parked(troubled: tuple[Case, Trouble]) -> None:
    system = run_checked(*troubled)
    kinds = [type(message) for outputs in system.said for _, message in outputs]
    event(f"parked or woken: {min(3, kinds.count(SetParked))}")


@settings(phases=QUICK_PHASES, max_examples=40)
@given(case=any_cases())
def test_without_trouble_the_harness_is_the_virtual_runtime(case: Case) -> None:
    system, quiet = LosingSystem(case, Trouble()), build_real(case)
    system.run()
    quiet.run()
    tables = system.scheduler.table, quiet.scheduler.table
    for name in ("reason", "output_tokens", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns"):
        assert getattr(tables[0], name) == getattr(tables[1], name)
