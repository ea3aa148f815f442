"""Clients that wait, on whole random systems: INV-13 and all other invariants, whatever goes wrong; Little's law."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from scheduler.protocol.finish import FINISHED
from tests.checkers import losing_checks
from tests.checkers.checkers import run_checked
from tests.checkers.clients import check_littles_law
from tests.checkers.idleness import check_idleness
from tests.naive.case import Case, Clients
from tests.naive.closed_loops import closed_loops, with_tenants
from tests.naive.strategies import (
    QUICK_PHASES,
    any_cases,
    cached_cases,
    crossing_cases,
    entries,
    mixed_cases,
    parking_cases,
    preempting_cases,
    single_cases,
    with_any_policy,
)
from tests.sim.build import build_real, run_real
from tests.sim.trouble import Trouble, faults, fetching_cases, troubles

CLOSED = closed_loops(with_any_policy(with_tenants(any_cases())))


@settings(phases=QUICK_PHASES, max_examples=150)
@given(case=CLOSED, skip_steps=st.booleans())
def test_invariants_hold_where_clients_wait(case: Case, skip_steps: bool) -> None:
    journal = run_checked(case, skip_steps=skip_steps)
    check_idleness(journal)
    num_never = len(case.rows) - len(journal.outcomes)
    event(f"never came: {min(3, num_never)}")


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=closed_loops(with_any_policy(parking_cases(any_cases()))))
def test_invariants_hold_where_clients_wait_and_instances_are_parked(case: Case) -> None:
    check_idleness(run_checked(case))


@st.composite
def troubled_loops(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """Losses, faults, admission, orders, bounds and time-outs, alone and together; messages take their time."""
    plain = with_tenants(st.one_of(any_cases(), cached_cases(preempting_cases()), fetching_cases()))
    case = draw(closed_loops(with_any_policy(plain)))
    case = replace(case, entry=draw(st.one_of(st.just(case.entry), entries())))
    trouble = draw(st.one_of(st.just(Trouble()), troubles(case)))
    return case, replace(trouble, faults=draw(st.one_of(st.just(()), faults(case))))


@settings(phases=QUICK_PHASES, max_examples=200)
@given(troubled=troubled_loops())
def test_clients_wait_for_no_more_and_no_less_whatever_goes_wrong(troubled: tuple[Case, Trouble]) -> None:
    case, trouble = troubled
    system = losing_checks.run_checked(case, trouble)
    table = system.scheduler.table
    event(f"no whole answer: {any(reason not in FINISHED for reason in table.reason[: table.num_requests])}")
    event(f"never came: {min(3, len(case.rows) - table.num_requests)}")


@settings(phases=QUICK_PHASES, max_examples=100)
@given(case=CLOSED, window_ns=st.tuples(st.integers(0, 60_000), st.integers(1, 200_000)))
def test_littles_law(case: Case, window_ns: tuple[int, int]) -> None:
    system = build_real(case)
    system.run()
    check_littles_law(case, system.source.calls, (window_ns[0], sum(window_ns)))


@settings(phases=QUICK_PHASES, max_examples=40)
@given(case=CLOSED)
def test_the_same_closed_loop_twice_says_the_same(case: Case) -> None:
    # INV-6, down to every message.
    first, second = run_checked(case), run_checked(case)
    assert first.entries == second.entries
    assert first.outcomes == second.outcomes
    assert first.system.source.calls == second.system.source.calls


@settings(phases=QUICK_PHASES, max_examples=100)
@given(
    case=st.one_of(mixed_cases(), preempting_cases(), single_cases(), crossing_cases()),
    think_ns=st.lists(st.integers(0, 50_000), min_size=1, max_size=3).map(tuple),
)
def test_a_closed_loop_of_one_client_is_the_sum_of_its_parts(case: Case, think_ns: tuple[int, ...]) -> None:
    # Each request alone in a system in which nothing was before, and the thinking between them. Whole tokens a step:
    # of others the rest is carried on from one request to the next.
    case = replace(case, num_prefill=1, num_decode=1, step_tokens=(1, 1), clients=(Clients(1, think_ns),))
    now_ns = 0
    for index, (row, outcome) in enumerate(zip(case.rows, run_real(case).outcomes, strict=True)):
        (alone,) = run_real(replace(case, rows=(replace(row, arrived_ns=0),), clients=())).outcomes
        stamps = alone.first_token_ns, alone.decode_started_ns, alone.last_token_ns, alone.ended_ns
        assert outcome.arrived_ns == now_ns
        assert (outcome.reason, outcome.output_tokens) == (alone.reason, alone.output_tokens)
        assert stamps == tuple(
            -1 if stamp == -1 else stamp - now_ns
            for stamp in (outcome.first_token_ns, outcome.decode_started_ns, outcome.last_token_ns, outcome.ended_ns)
        )
        now_ns = outcome.ended_ns + think_ns[index % len(think_ns)]


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=with_tenants(any_cases()))
def test_rows_that_wait_for_nobody_come_as_from_a_trace(case: Case) -> None:
    # The source of clients, as many as ask, is that of an open loop.
    assert run_real(replace(case, is_graph=True)) == run_real(case)
