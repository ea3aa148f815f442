"""The invariants of ../shared/DESIGN.md on random systems, each checked from outside by `checkers` and `idleness`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import Message
from tests.checkers.checkers import BlockCounter, Journal, check_time, check_usage, run_checked
from tests.checkers.idleness import check_idleness
from tests.naive.case import Case, Result, Row
from tests.naive.strategies import (
    QUICK_PHASES,
    aggregated_cases,
    any_cases,
    cached_cases,
    crossing_cases,
    grid_cases,
    mixed_cases,
    parking_cases,
    preempting_cases,
    sampled_cases,
    with_any_policy,
)
from tests.sim.build import build_real, run_real

INTERVALS = st.sampled_from([1_500, 40_000, NEVER_NS])


@settings(phases=QUICK_PHASES, max_examples=200)
@given(
    case=with_any_policy(st.one_of(any_cases(), sampled_cases(any_cases()))),
    skip_steps=st.booleans(),
    report_interval_ns=INTERVALS,
)
def test_invariants_hold(case: Case, skip_steps: bool, report_interval_ns: int) -> None:
    check_idleness(run_checked(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns))


@settings(phases=QUICK_PHASES, max_examples=150)
@given(case=with_any_policy(st.one_of(preempting_cases(), cached_cases(preempting_cases()))))
def test_invariants_hold_when_memory_is_short(case: Case) -> None:
    check_idleness(run_checked(case))


@settings(phases=QUICK_PHASES, max_examples=100)
@given(case=with_any_policy(st.one_of(parking_cases(any_cases()), aggregated_cases(parking_cases(any_cases())))))
def test_invariants_hold_where_instances_are_parked(case: Case) -> None:
    check_idleness(run_checked(case))


@settings(phases=QUICK_PHASES, max_examples=200)
@given(case=with_any_policy(aggregated_cases(any_cases())), skip_steps=st.booleans(), report_interval_ns=INTERVALS)
def test_invariants_hold_with_aggregated_instances(case: Case, skip_steps: bool, report_interval_ns: int) -> None:
    journal = run_checked(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns)
    check_idleness(journal)
    # What policies read of reports of either kind comes to nothing when nothing is left.
    for router in (journal.system.scheduler.routing.prefill, journal.system.scheduler.routing.decode):
        if router.worker_state is not None:
            columns = router.worker_state.columns
            assert not any(columns.outstanding_tokens)
            assert not any(columns.running_requests)
            assert not any(columns.kv_tokens)


@settings(phases=QUICK_PHASES, max_examples=60)
@given(case=with_any_policy(st.one_of(any_cases(), aggregated_cases(any_cases()))))
def test_the_same_run_twice_says_the_same(case: Case) -> None:
    # INV-6, down to every message.
    first, second = run_checked(case), run_checked(case)
    assert first.entries == second.entries
    assert first.outcomes == second.outcomes


@settings(phases=QUICK_PHASES, max_examples=60)
@given(
    num_requests=st.integers(1, 12),
    bound=st.integers(1, 12),
    num_too_long=st.integers(0, 3),
    arrived_ns=st.integers(0, 5),
)
def test_a_crowd_beyond_the_bound_is_turned_away(
    num_requests: int, bound: int, num_too_long: int, arrived_ns: int
) -> None:
    # INV-12: those that can never fit do not count, of the others the last go.
    rows = (*[Row(arrived_ns, 128 * 64, 5)] * num_too_long, *[Row(arrived_ns, 20, 5)] * num_requests)
    outcomes = run_real(Case(rows, max_open_requests=bound)).outcomes
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons[:num_too_long] == ["TOO_LONG"] * num_too_long
    num_taken = min(bound, num_requests)
    assert reasons[num_too_long:] == ["STOP"] * num_taken + ["OVERLOAD"] * (num_requests - num_taken)


@settings(phases=QUICK_PHASES, max_examples=100)
@given(case=any_cases(), skip_steps=st.booleans(), stop_ns=st.integers(0, 150_000))
def test_an_interrupted_run_accounts_for_everything(case: Case, skip_steps: bool, stop_ns: int) -> None:
    system = build_real(case, skip_steps=skip_steps)
    journal = Journal(system)

    def stop(now_ns: int, _message: Message) -> None:
        if now_ns >= stop_ns:
            system.runtime.stop()

    journal.outcomes = system.run(taps=[stop], listeners=[journal.note, BlockCounter(system)]).outcomes
    check_time(journal)
    check_usage(journal)
    end_ns = system.runtime.now_ns
    for outcome in journal.outcomes:
        assert outcome.reason != "PENDING"
        if outcome.reason == "INTERRUPTED":
            assert outcome.ended_ns == end_ns >= stop_ns


@settings(phases=QUICK_PHASES, max_examples=150)
@given(
    case=st.one_of(mixed_cases(), preempting_cases(), crossing_cases(), grid_cases(fixed_ps=1_000_000)),
    stop_ns=st.one_of(st.integers(0, 30_000), st.integers(0, 150_000)),
)
def test_an_interrupted_run_uses_as_much_with_and_without_skipping(case: Case, stop_ns: int) -> None:
    def stopped(skip_steps: bool) -> Result:
        system = build_real(case, skip_steps=skip_steps)

        def stop(now_ns: int, _message: Message) -> None:
            if now_ns >= stop_ns:
                system.runtime.stop()

        return system.run(taps=[stop])

    assert stopped(True) == stopped(False)


def test_an_idle_fleet_draws_idle_power() -> None:
    # INV-11: two requests a millisecond apart; the second prefill instance never works.
    case = Case((Row(0, 10, 1), Row(1_000_000, 10, 1)), num_prefill=2, prefill_policy="least_loaded")
    journal: Journal = run_checked(case)
    end_ns = journal.system.runtime.now_ns
    result = run_real(case)
    assert result.busy_ns[1] == 0
    assert result.joules[1] == 3 * end_ns
