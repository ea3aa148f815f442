"""The real system against the naive one: every time stamp, reason, count, choice, joule and byte is equal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.protocol.addresses import decode_address, prefill_address
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import DecodeStepped, Message, PrefillStepped
from tests.naive.case import Case, Row
from tests.naive.closed_loops import closed_loops, with_tenants
from tests.naive.decode import Step
from tests.naive.simulation import run_naive, simulate
from tests.naive.strategies import (
    QUICK_PHASES,
    aggregated_cases,
    answering_cases,
    any_cases,
    cached_cases,
    contended_cases,
    crossing_cases,
    grid_cases,
    mixed_cases,
    parking_cases,
    preempting_cases,
    sampled_cases,
    single_cases,
    throttled_cases,
    waiting_cases,
)
from tests.sim.build import build_real, run_real

PROFILES = {
    "mixed": (mixed_cases(), 200),
    "grid": (grid_cases(), 200),
    "crossing": (crossing_cases(), 100),
    "preempting": (preempting_cases(), 200),
    "single": (single_cases(), 150),
    "cached": (cached_cases(st.one_of(mixed_cases(), grid_cases(), single_cases())), 200),
    "waiting": (waiting_cases(), 300),
    "answering": (answering_cases(), 300),
    "contended": (contended_cases(), 200),
    "parking": (parking_cases(any_cases()), 200),
    "throttled": (throttled_cases(any_cases()), 300),
    "cached and preempting": (cached_cases(preempting_cases()), 150),
    "aggregated": (aggregated_cases(any_cases()), 400),
    "aggregated, throttled": (throttled_cases(aggregated_cases(any_cases())), 300),
    "aggregated, parking": (aggregated_cases(parking_cases(any_cases())), 200),
    "aggregated, answering": (aggregated_cases(answering_cases()), 150),
    "sampled": (sampled_cases(any_cases()), 200),
    "sampled and preempting": (sampled_cases(cached_cases(preempting_cases())), 200),
    "sampled and throttled": (sampled_cases(throttled_cases(any_cases())), 100),
    "sampled, aggregated": (sampled_cases(aggregated_cases(any_cases())), 200),
    "closed": (closed_loops(with_tenants(any_cases())), 300),
    "closed on a grid": (closed_loops(with_tenants(grid_cases())), 200),
    "closed and parking": (closed_loops(parking_cases(any_cases())), 150),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_equals_naive_with_and_without_skipping(profile: str) -> None:
    strategy, num_examples = PROFILES[profile]

    @settings(phases=QUICK_PHASES, max_examples=num_examples)
    @given(case=strategy)
    def check(case: Case) -> None:
        naive = run_naive(case)
        assert run_real(case) == naive
        assert run_real(case, skip_steps=False) == naive

    check()


def test_a_transfer_that_is_done_before_its_time_was_expected_prolongs_no_run() -> None:
    rows = [(0, 1, 1), *[(1, 1, 1)] * 4, *[(1, 6, 1)] * 2, (1, 1, 2), (2, 1, 1)]
    case = Case(
        tuple(Row(*row) for row in rows),
        num_prefill=1,
        token_budget=128,
        pass_ns=100,
        num_decode=2,
        num_dies=1,
        bytes_per_token=16,
        num_layers=61,
        stream_bytes_per_s=1_000_000_000,
        num_streams=1,
        num_ranks=1,
        rank_bytes_per_s=(70_000_001,),
        die_bytes_per_s=(70_000_001,),
        prefill_bytes_per_s=70_000_001,
        pool_bytes_per_s=70_000_001,
        prefill_policy="round_robin",
        decode_policy="round_robin",
    )
    assert run_real(case) == run_naive(case)


@settings(phases=QUICK_PHASES, max_examples=150)
@given(
    case=st.one_of(
        any_cases(),
        throttled_cases(any_cases()),
        aggregated_cases(any_cases()),
        throttled_cases(aggregated_cases(any_cases())),
        sampled_cases(any_cases()),
    ),
    policy=st.sampled_from(["round_robin", "least_loaded"]),
    report_interval_ns=st.sampled_from([1, 1_000, 2_500, 40_000]),
    skip_steps=st.booleans(),
)
def test_no_time_stamp_depends_on_the_report_interval(
    case: Case, policy: str, report_interval_ns: int, skip_steps: bool
) -> None:
    # Counts of requests change only where membership does, so least_loaded reads nothing that an interval could move.
    rule = case.disaggregation if "queue" not in case.disaggregation else "never"  # it reads what is reported
    case = replace(case, prefill_policy=policy, decode_policy=policy, disaggregation=rule)
    assert run_real(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns) == run_naive(case)


@settings(phases=QUICK_PHASES, max_examples=150)
@given(
    case=st.one_of(any_cases(), sampled_cases(any_cases())),
    report_interval_ns=st.sampled_from([2_500, 40_000, NEVER_NS]),
    skip_steps=st.booleans(),
)
def test_reports_tell_what_the_steps_were(case: Case, report_interval_ns: int, skip_steps: bool) -> None:
    case = replace(case, prefill_policy="round_robin", decode_policy="round_robin")
    reports: list[Message] = []
    real = build_real(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns)
    real.run(taps=[lambda _, message: reports.append(message)])
    naive = simulate(case)
    for prefill in naive.prefill:
        passes = [r for r in reports if isinstance(r, PrefillStepped) and r.instance == prefill_address(prefill.index)]
        assert sum(report.computed_tokens for report in passes) == prefill.num_computed
    for decode in naive.decode:
        runs = [r for r in reports if isinstance(r, DecodeStepped) and r.instance == decode_address(decode.index)]
        _check_runs(runs, decode.steps, report_interval_ns)


def _check_runs(runs: list[DecodeStepped], steps: list[Step], report_interval_ns: int) -> None:
    """Each run of steps as reported, against those very steps; together they are all steps."""
    num_told = 0
    for run in runs:
        told = steps[num_told : num_told + run.num_steps]
        num_told += run.num_steps
        assert run.num_tokens == sum(sum(step.brought) for step in told)
        assert all(run.tokens_per_sequence <= sum(brought) for brought in _by_sequence(told))
        if not told:
            assert run.steps_ns == run.usage.busy_ns == 0
            continue
        assert run.first_step_ns == told[0].length_ps // 1000
        assert run.last_step_ns == told[-1].length_ps // 1000
        assert {step.num_running for step in told} == {run.num_running}
        assert abs(run.steps_ns * 1000 - sum(step.length_ps for step in told)) < 1000
        assert run.steps_ns == run.usage.busy_ns
        # Closed at the first boundary after the interval, so all but the last step lie within it.
        assert sum(step.length_ps for step in told[:-1]) < report_interval_ns * 1000 + 1000
    assert num_told == len(steps)


def _by_sequence(steps: list[Step]) -> list[tuple[int, ...]]:
    """What each sequence of a run was brought, step by step."""
    return list(zip(*(step.brought for step in steps), strict=True))
