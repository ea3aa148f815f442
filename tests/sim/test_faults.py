"""Whole random systems in which parts of the fabric fail and are mended: all go on, and nothing stays cut off."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from scheduler.protocol.messages import Message, TransferFailed
from sim_hw.network.lines import LineEnd
from tests.checkers.losing_checks import run_checked
from tests.made_up_lines import part_of
from tests.naive.case import Case
from tests.naive.strategies import (
    QUICK_PHASES,
    aggregated_cases,
    any_cases,
    cached_cases,
    contended_cases,
    mixed_cases,
    preempting_cases,
)
from tests.sim.losing import LosingSystem
from tests.sim.trouble import DELAYS_NS, Fault, Trouble, faults, fetching_cases, troubles

MANY_RETRIES = 1_000


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Systems that hand over for a while, from several ranks to several dies."""
    case = draw(st.one_of(contended_cases(), mixed_cases(), cached_cases(preempting_cases()), fetching_cases()))
    return replace(case, num_ranks=draw(st.integers(1, 3)), bytes_per_token=draw(st.sampled_from([16, 160])))


@st.composite
def faulty_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system and the faults of its fabric."""
    case = draw(cases())
    return case, Trouble(faults=draw(faults(case)), delays_ns=draw(DELAYS_NS), max_retries=MANY_RETRIES)


@st.composite
def cases_that_go_all_wrong(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system that loses workers as well."""
    case = draw(st.one_of(cases(), any_cases(), aggregated_cases(any_cases()), aggregated_cases(cases())))
    return case, replace(draw(troubles(case)), faults=draw(faults(case)))


@st.composite
def detours(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system in which the first rank and the first die of each instance are always there."""
    case = replace(draw(cases()), cache_mode="none")
    found = draw(faults(case, spares_first=True))
    return case, Trouble(faults=found, delays_ns=draw(DELAYS_NS), max_retries=0)


def told(system: LosingSystem, kind: type[Message]) -> int:
    """How many messages of a kind the core heard."""
    return sum(isinstance(message, kind) for _, message in system.told)


@settings(phases=QUICK_PHASES, max_examples=200)
@given(troubled=faulty_cases())
def test_faults_leave_nothing_behind(troubled: tuple[Case, Trouble]) -> None:
    system = run_checked(*troubled)
    event(f"failed transfers: {min(3, told(system, TransferFailed))}")
    event(f"most retries: {max(system.scheduler.table.retries)}")


@settings(phases=QUICK_PHASES, max_examples=150)
@given(troubled=cases_that_go_all_wrong())
def test_faults_and_losses_together_leave_nothing_behind(troubled: tuple[Case, Trouble]) -> None:
    run_checked(*troubled)


@settings(phases=QUICK_PHASES, max_examples=150)
@given(troubled=detours())
def test_no_request_begins_again_for_a_fault_that_leaves_a_way(troubled: tuple[Case, Trouble]) -> None:
    system = run_checked(*troubled)
    event(f"failed transfers: {min(3, told(system, TransferFailed))}")
    assert not any(system.scheduler.table.retries)


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=cases(), at_ns=st.integers(0, 60_000))
def test_a_part_that_is_mended_at_once_is_as_if_it_had_never_failed(case: Case, at_ns: int) -> None:
    # The pool's line is cut for no time: what was under way over it is given up, but nobody else is touched.
    case = replace(case, cache_mode="none", cache_blocks=0)
    parts = (part_of(LineEnd.UB_CPU, 0),)
    system = LosingSystem(case, Trouble(faults=(Fault(at_ns, parts), Fault(at_ns, parts, is_mended=True))))
    quiet = LosingSystem(case, Trouble())
    for one in (system, quiet):
        one.run()
    assert system.scheduler.table.ended_ns == quiet.scheduler.table.ended_ns
