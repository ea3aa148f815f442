"""Whole random systems into which not all come, not in the order of coming, and in which not all may stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from scheduler.core.guests.deferred import DAY_NS
from scheduler.core.request_table import NOT_YET
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, ClassRules, FlowControl
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import StartPrefill
from tests.checkers.checkers import BlockCounter
from tests.checkers.losing_checks import run_checked
from tests.naive.case import Case, Row
from tests.naive.strategies import (
    QUICK_PHASES,
    any_cases,
    cached_cases,
    entries,
    mixed_cases,
    preempting_cases,
    with_any_policy,
)
from tests.sim.build import build_real, run_real
from tests.sim.losing import LosingSystem
from tests.sim.trouble import Trouble, fetching_cases, troubles


@st.composite
def guarded_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system, its rules, and perhaps what goes wrong in it."""
    case = draw(st.one_of(any_cases(), cached_cases(st.one_of(mixed_cases(), preempting_cases())), fetching_cases()))
    case = replace(draw(with_any_policy(st.just(case))), entry=draw(entries()))
    return case, draw(st.one_of(st.just(Trouble()), troubles(case)))


@settings(phases=QUICK_PHASES, max_examples=150)
@given(guarded=guarded_cases())
def test_rules_leave_nothing_behind(guarded: tuple[Case, Trouble]) -> None:
    system = run_checked(*guarded)
    check_times(system)
    check_rejected(system)
    table = system.scheduler.table
    event(", ".join(sorted({FinishReason(table.reason[i]).name for i in range(table.num_requests)})))


def check_times(system: LosingSystem) -> None:
    """Nobody ends as timed out before its time, and nobody decodes long after it where nothing else goes wrong."""
    table, by_class = system.scheduler.table, system.case.entry.by_class
    for i in range(table.num_requests):
        if table.reason[i] == FinishReason.TIMED_OUT:
            assert table.ended_ns[i] - table.arrived_ns[i] >= by_class[table.request_class[i]].timeout_ns > 0


def check_rejected(system: LosingSystem) -> None:
    """Who was turned away was never sent anywhere."""
    table = system.scheduler.table
    sent = {i for outputs in system.said for _, said in outputs if isinstance(said, StartPrefill) for i in said.ids}
    for i in range(table.num_requests):
        if table.reason[i] == FinishReason.ADMISSION:
            assert i not in sent
            assert table.prefill_started_ns[i] == table.prefill_instance[i] == NOT_YET


@settings(phases=QUICK_PHASES, max_examples=80)
@given(case=any_cases())
def test_rules_that_bind_nobody_change_nothing(case: Case) -> None:
    # A wait that never comes, a time that is never over, an admission that admits all.
    loose = FlowControl("token_bucket:tokens_per_s=1e15,burst_tokens=1e15", "fcfs", 10**12, timeout_ns=10**15)
    systems = [build_real(replace(case, entry=entry)) for entry in (loose, PLAIN_FLOW_CONTROL)]
    let_in, begun = [system.run() for system in systems]
    # Who is let in one by one reads one by one, and a read is given up by what it alone would bring.
    assume(not any(system.scheduler._prefills.read_limits.num_given_up for system in systems))
    assert let_in == begun


@settings(phases=QUICK_PHASES, max_examples=80)
@given(case=any_cases(), entry=entries())
def test_blocks_are_counted_at_every_message(case: Case, entry: FlowControl) -> None:
    # INV-4 while requests are cancelled, and INV-6.
    case = replace(case, entry=entry)
    system = build_real(case)
    assert system.run(listeners=[BlockCounter(system)]) == run_real(case)


ROOMY = Case(())
QUEUE = tuple(Row(0, 400, 5) for _ in range(6))


@pytest.mark.parametrize(
    ("stage", "case", "timeout_ns"),
    [
        ("in front", replace(ROOMY, rows=QUEUE, token_budget=400, entry=FlowControl(backlog_tokens=1)), 12_000),
        ("queued for prefill", replace(ROOMY, rows=QUEUE, token_budget=400), 12_000),
        ("waiting for room", Case(tuple(Row(0, 200, 900) for _ in range(4)), slots_per_die=1), 400_000),
        ("decoding", Case((Row(0, 100, 900),)), 400_000),
    ],
)
def test_time_is_up_at_every_stage(stage: str, case: Case, timeout_ns: int) -> None:
    system = LosingSystem(replace(case, entry=replace(case.entry, timeout_ns=timeout_ns)), Trouble())
    system.run()
    table = system.scheduler.table
    late = [i for i in range(table.num_requests) if table.reason[i] == FinishReason.TIMED_OUT]
    assert late
    # At the instant, or at the end of the step or the pass under way.
    assert {table.ended_ns[i] for i in late} <= set(range(timeout_ns, timeout_ns + 20_000)), stage
    if stage == "decoding":
        # What was produced until then counts, and no more: a token with each step of about 2 us.
        assert table.output_tokens[0] == pytest.approx(timeout_ns / 1_900, rel=0.1)
        assert table.last_token_ns[0] == table.ended_ns[0]


def test_the_bucket_lets_in_as_many_tokens_as_it_holds() -> None:
    entry = FlowControl("token_bucket:tokens_per_s=1e6,burst_tokens=1000")
    outcomes = run_real(Case(tuple(Row(1_000 * at, 300, 1) for at in range(40)), entry=entry)).outcomes
    let_in = sum(outcome.reason == "STOP" for outcome in outcomes)
    # 1,000 at once, and a token each microsecond for the 39 that the trace lasts.
    assert let_in == 3


def test_early_rejection_keeps_the_rest_in_time() -> None:
    # Seven times as much as one instance can do. Before there are reports nobody is turned away; after that hardly
    # anybody who came in is late, and the instance is as busy as ever.
    rows = tuple(Row(600 * at, 128, 1) for at in range(4_000))
    entry = FlowControl("slo_early_reject", ttft_limit_ns=60_000)
    case = Case(rows, token_budget=128, prefill_blocks=10_000, entry=entry)
    outcomes = run_real(case).outcomes
    late = [i for i, o in enumerate(outcomes) if o.reason == "STOP" and o.first_token_ns - o.arrived_ns > 60_000]
    assert max(late) < 200
    served = sum(outcome.reason == "STOP" for outcome in outcomes)
    assert served == pytest.approx(4_000 * 600 / 4_537, rel=0.05)


def test_the_important_go_first_and_the_patient_wait_for_cheap_hours() -> None:
    # Tenants 0, 1 and 2 are of classes 1, 2 and 3; it is cheap from 50 us after midnight on.
    rows = (Row(0, 400, 1), *(Row(1, 300, 1, tenant=tenant) for tenant in (0, 1, 2, 0, 1, 2)))
    classes = (ClassRules(priority=1), ClassRules(priority=2), ClassRules(hold_ns=90_000))
    entry = FlowControl(order="priority", backlog_tokens=1, classes=classes, cheap_hours=((50_000, DAY_NS),))
    outcomes = run_real(Case(rows, token_budget=400, entry=entry)).outcomes
    assert sorted(range(7), key=lambda i: outcomes[i].first_token_ns) == [0, 2, 5, 1, 4, 3, 6]
    assert outcomes[5].prefill_started_ns < 50_000 == outcomes[3].prefill_started_ns
    # Nobody is held longer than its class may be.
    impatient = replace(entry, classes=(*classes[:2], ClassRules(hold_ns=30_000)))
    outcomes = run_real(Case(rows, token_budget=400, entry=impatient)).outcomes
    assert 30_001 <= outcomes[3].prefill_started_ns < 50_000


def test_an_order_holds_among_those_that_wait() -> None:
    rows = (Row(0, 400, 1), *(Row(1, tokens, 1) for tokens in (390, 20, 380, 10, 30)))
    entry = FlowControl(order="shortest", backlog_tokens=1)
    outcomes = run_real(Case(rows, token_budget=400, entry=entry)).outcomes
    assert sorted(range(6), key=lambda i: outcomes[i].first_token_ns) == [0, 4, 2, 5, 3, 1]
