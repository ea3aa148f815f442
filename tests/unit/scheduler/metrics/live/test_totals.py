"""Totals that are kept while a system runs come to what is read from its records when it has ended."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.bucket_bounds import (
    HOP_BOUNDS_S,
    QUEUE_BOUNDS_S,
    VLLM_REQUEST_BOUNDS_S,
    VLLM_TOKEN_BOUNDS_S,
    VLLM_TOKEN_COUNT_BOUNDS,
    VLLM_TTFT_BOUNDS_S,
)
from scheduler.metrics.buckets import HistogramTotals, sum_of
from scheduler.metrics.columns import Floats
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.outcome.usage import usage_totals
from scheduler.metrics.records import Records
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.clock import ClockTotals
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.metrics.subjects.fabric import FLOWS, FabricTotals
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.metrics.subjects.latencies import E2E_GRID_S, TPOT_GRID_S, TTFT_GRID_S, LatencyTotals
from scheduler.metrics.subjects.requests import END_REASONS, RequestTotals
from scheduler.metrics.subjects.tokens import TokenTotals
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PrefillStepped,
    TransferDone,
    UsageReported,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)
from scheduler.runtime.hops import LatenessHistogram
from tests.naive.case import Case, Row
from tests.naive.strategies import QUICK_PHASES, any_cases, preempting_cases, sampled_cases
from tests.sim.trouble import Trouble, troubles
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of
from tests.unit.scheduler.metrics.logged import SECOND, Request, final, passed, stepped, table_of, usage
from tests.unit.scheduler.metrics.observed import Observed, counters_of, layout_for, never_fall

ROWS = (Row(0, 700, 40), Row(9_000, 300, 60), Row(20_000, 900, 1), Row(500_000, 200, 30))


def assert_histogram(seen: HistogramTotals, bounds_s: tuple[float, ...], values_s: Floats) -> None:
    """The histogram is that of the values that are not NaN."""
    values_s = values_s[~np.isnan(values_s)]
    assert seen.counts == (*(int((values_s <= bound).sum()) for bound in bounds_s), len(values_s))
    assert seen.sum_s == pytest.approx(values_s.sum(), rel=1e-9)


def assert_engines_add_up(seen: Snapshot, records: Records) -> None:
    """What is told apart by engine comes to what is told of all, but for requests that never had an engine."""
    engines = seen[EngineTotals]
    assert sum(engines.prompt_tokens) == seen[TokenTotals].prompt
    had_engine = records.prefill_instance != NOT_YET
    assert sum(map(sum, engines.ended)) == had_engine.sum()
    assert_histogram(sum_of(engines.ttft_s), VLLM_TTFT_BOUNDS_S, records.ttft_s)
    assert_histogram(sum_of(engines.queue_s), VLLM_REQUEST_BOUNDS_S, records.queue_s)
    assert_histogram(sum_of(engines.prefill_s), VLLM_REQUEST_BOUNDS_S, records.prefill_s)
    assert_histogram(sum_of(engines.tpot_s), VLLM_TOKEN_BOUNDS_S, records.tpot_s)
    assert_histogram(sum_of(engines.e2e_s), VLLM_REQUEST_BOUNDS_S, records.e2e_s)
    finished = records.is_finished
    assert_histogram(
        sum_of(engines.request_prompt_tokens), VLLM_TOKEN_COUNT_BOUNDS, records.prompt_tokens[finished].astype(float)
    )
    assert_histogram(
        sum_of(engines.request_output_tokens), VLLM_TOKEN_COUNT_BOUNDS, records.output_tokens[finished].astype(float)
    )
    assert sum(engines.running) == sum(engines.waiting) == 0


def assert_totals_are_those_of_the_records(run: Observed) -> None:
    """All that is added up from message to message comes to what the run left."""
    seen, records, collector = run.last, Records(run.table), run.collector
    assert seen[RequestTotals].arrived == records.num_requests
    assert list(seen[RequestTotals].ended) == [int((records.reason == reason).sum()) for reason in END_REASONS]
    assert seen[TokenTotals].prompt == records.prompt_tokens[records.has_first_token].sum()
    assert sum(seen[EngineTotals].generation_tokens) == records.output_tokens.sum()
    assert seen[TokenTotals].computed == collector.computed_tokens
    assert sum(seen[EngineTotals].preemptions) == records.preemptions.sum()
    assert seen[RequestTotals].retries == records.retries.sum()
    assert_histogram(seen[LatencyTotals].ttft_s, TTFT_GRID_S, records.ttft_s)
    assert_histogram(seen[LatencyTotals].tpot_s, TPOT_GRID_S, records.tpot_s)
    assert_histogram(seen[LatencyTotals].e2e_s, E2E_GRID_S, records.e2e_s)
    assert_histogram(seen[LatencyTotals].queue_s, QUEUE_BOUNDS_S, records.queue_s)
    totals = usage_totals(collector.usage_rows(), len(collector.instances))
    assert seen[InstanceTotals].busy_s == pytest.approx(totals.busy_ns / 1e9, rel=1e-9)
    assert seen[InstanceTotals].joules == pytest.approx(totals.joules, rel=1e-9)
    flows = [message for message in run.told if isinstance(message, TransferDone)]
    for flow, num_bytes, num_transfers in zip(FLOWS, seen[FabricTotals].flow_bytes, seen[FabricTotals].flow_transfers):
        of_flow = [message.num_bytes for message in flows if (message.plane, message.kind) == flow]
        assert (num_bytes, num_transfers) == (sum(of_flow), len(of_flow))
    assert_engines_add_up(seen, records)
    assert seen[ClockTotals].emulated_s == collector.ended_ns / 1e9
    assert never_fall(run.snapshots)


def assert_gaps_are_those_of_the_finished_run(run: Observed) -> None:
    """As many, and as long together, as `TokenGaps` finds when all is known."""
    # It takes a sequence that leaves as it joins for one that runs.
    assume(
        not any(
            set(m.started_ids) & {*m.finished_ids, *m.preempted_ids} for m in run.told if isinstance(m, DecodeStepped)
        )
    )
    parts = list(TokenGaps(run.collector).parts())
    itl_s = sum_of(run.last[EngineTotals].itl_s)
    assert itl_s.counts[-1] == sum(float(weights.sum()) for _, weights in parts)
    assert itl_s.sum_s * 1e9 == pytest.approx(sum(float(np.dot(*part)) for part in parts), rel=1e-9)


CASES = st.one_of(any_cases(), preempting_cases(), sampled_cases(preempting_cases()))
INTERVALS = st.sampled_from([1, 2_500, 40_000, NEVER_NS])
TROUBLED = CASES.flatmap(lambda case: st.tuples(st.just(case), troubles(case)))


@settings(max_examples=60, phases=QUICK_PHASES)
@given(case=CASES, interval_ns=INTERVALS, every=st.sampled_from([1, 3, 20]))
def test_totals_are_those_of_the_records(case: Case, interval_ns: int, every: int) -> None:
    assert_totals_are_those_of_the_records(Observed(case, every=every, interval_ns=interval_ns))


@settings(max_examples=40, phases=QUICK_PHASES)
@given(troubled=TROUBLED, every=st.sampled_from([1, 20]))
def test_they_are_when_workers_are_lost(troubled: tuple[Case, Trouble], every: int) -> None:
    case, trouble = troubled
    run = Observed(case, every=every, trouble=trouble)
    assert_totals_are_those_of_the_records(run)
    started = [message.addresses for message in run.told if isinstance(message, WorkersStarted)]
    hosts = layout_for(case).hosts.values()
    assert list(run.last[InstanceTotals].restarts) == [
        sum(any(a in host for a in addresses) for addresses in started) for host in hosts
    ]
    assert all(run.last[InstanceTotals].is_up)


@settings(max_examples=60, phases=QUICK_PHASES)
@given(case=CASES, interval_ns=INTERVALS)
def test_gaps_are_those_of_the_finished_run(case: Case, interval_ns: int) -> None:
    assume(case.fixed_ps >= 1_000)  # steps shorter than a nanosecond cannot be told apart
    assert_gaps_are_those_of_the_finished_run(Observed(case, interval_ns=interval_ns))


@settings(max_examples=40, phases=QUICK_PHASES)
@given(troubled=TROUBLED)
def test_gaps_are_when_workers_are_lost(troubled: tuple[Case, Trouble]) -> None:
    case, trouble = troubled
    assume(case.fixed_ps >= 1_000)
    assert_gaps_are_those_of_the_finished_run(Observed(case, trouble=trouble))


@settings(max_examples=40, phases=QUICK_PHASES)
@given(case=any_cases())
def test_hits_are_those_of_every_prefill_that_began_live_and_at_the_end(case: Case) -> None:
    run = Observed(case)
    started = [i for m in run.told if isinstance(m, PrefillStepped) for i in m.started_ids]
    expected = sum(run.table.prompt_tokens[i] for i in started) if case.cache_mode != "none" else 0
    assert sum(run.last[EngineTotals].lookup_tokens) == expected
    if case.cache_mode == "none":
        assert sum(run.last[EngineTotals].hit_tokens) == 0
    else:
        begun = run.collector.begun_rows()
        assert begun["lookup_tokens"].sum() == expected
        assert sum(run.last[EngineTotals].hit_tokens) == begun["hit_tokens"].sum()


def test_totals_go_on_from_session_to_session() -> None:
    case = Case(ROWS, step_tokens=(17, 10), cache_mode="pool", cache_blocks=50)
    first = Observed(case, every=1)
    first.totals.end("completed")
    between = first.totals.snapshot(123)
    assert (between[RequestTotals].running, between[RequestTotals].waiting, between[ClockTotals].is_replaying) == (
        (0, 0, 0),
        (0, 0, 0),
        False,
    )
    second = Observed(case, first.totals, every=1)
    second.totals.end("interrupted")
    after = second.totals.snapshot()
    assert never_fall([*first.snapshots, between, *second.snapshots, after])
    expected = [(1, 1, 0) if name == "supernode_runs_total" else 2 * np.array(v) for name, v in counters_of(between)]
    assert [list(values) for _, values in counters_of(after)] == [pytest.approx(list(values)) for values in expected]


def session(
    table: RequestTable | None = None, speed: float = 1.0, lateness: LatenessHistogram | None = None
) -> LiveTotals:
    """Totals of one prefill and one decode instance, in a session."""
    totals = LiveTotals(layout_of(PREFILL, DECODE))
    totals.begin(table or RequestTable(), speed, lateness)
    return totals


def tell(totals: LiveTotals, *messages: Message) -> Snapshot:
    """Show these messages to the totals, then look."""
    for message in messages:
        totals.before(0, message)
    return totals.snapshot()


def test_an_idle_session_is_no_run_and_its_time_counts() -> None:
    totals = session()
    totals.begin(RequestTable(), 4.0, is_replay=False)
    idle = totals.snapshot(6 * SECOND)[ClockTotals]
    assert (idle.is_replaying, idle.speed, idle.emulated_s, idle.runs) == (False, 4.0, 6.0, (0, 0, 1))
    totals.end("interrupted")
    after = totals.snapshot(99 * SECOND)[ClockTotals]
    assert (after.runs, after.emulated_s, after.speed) == ((0, 0, 1), 6.0, 0.0)


def test_emulated_time_never_goes_back() -> None:
    totals = session()
    totals.before(5 * SECOND, final(usage()))
    assert [totals.snapshot(at * SECOND)[ClockTotals].emulated_s for at in (4, 6, 5)] == [5.0, 6.0, 6.0]


def test_outside_of_a_session_messages_do_not_count() -> None:
    totals = LiveTotals(layout_of(PREFILL, DECODE))
    seen = tell(totals, passed(3, computed=5))
    assert sum(seen[InstanceTotals].busy_s) == seen[TokenTotals].computed == 0


def test_utilization_and_watts_are_of_the_last_stretch_of_a_wall_second() -> None:
    totals = session(speed=2.0)

    def told(message: Message) -> InstanceTotals:
        return tell(totals, message)[InstanceTotals]

    short = told(passed(SECOND, account=usage(0, SECOND, SECOND, 100.0)))
    assert (short.utilization, short.watts) == ((0.0, 0.0), (0.0, 0.0))
    full = told(passed(2 * SECOND, account=usage(SECOND, 2 * SECOND, 0, 20.0)))
    assert (full.utilization, full.watts) == ((0.5, 0.0), (60.0, 0.0))
    held = told(passed(3 * SECOND, account=usage(2 * SECOND, 3 * SECOND, 0, 20.0)))
    assert (held.utilization, held.watts, held.joules) == (full.utilization, full.watts, (140.0, 0.0))
    assert told(final(usage(3 * SECOND, 9 * SECOND, 0, 0.7))).watts[0] == pytest.approx(20.7 / 7)


def test_what_ends_with_the_session_counts() -> None:
    prefilling = Request(first_token_ns=NOT_YET, arrived_ns=SECOND, prefill_started_ns=3 * SECOND)
    table = table_of(prefilling)
    totals = session(table)
    totals.snapshot()
    table.end([0], FinishReason.INTERRUPTED, 5 * SECOND)
    totals.end("interrupted")
    seen = totals.snapshot()
    assert dict(zip(END_REASONS, seen[RequestTotals].ended))[FinishReason.INTERRUPTED] == 1
    # It never got a token, and still shows how long it had queued.
    assert (
        seen[LatencyTotals].queue_s.counts[-1],
        seen[LatencyTotals].queue_s.sum_s,
        seen[LatencyTotals].ttft_s.counts[-1],
    ) == (1, 2.0, 0)


def test_a_sequence_that_leaves_as_it_joins_has_no_gap() -> None:
    table = table_of(*[Request(output_tokens=1, last_token_ns=2 * SECOND)] * 2)
    cut = stepped(3 * SECOND, started=[0, 1], preempted=[1])
    seen = tell(session(table), cut, stepped(5 * SECOND, [2 * SECOND], running=1))
    # The other one: from 2 s to the end of its first step at 5 s.
    assert (sum_of(seen[EngineTotals].itl_s).counts[-1], sum_of(seen[EngineTotals].itl_s).sum_s) == (1, 3.0)
    assert (sum(seen[EngineTotals].generation_tokens), sum(seen[EngineTotals].preemptions)) == (1, 1)


def test_a_lost_worker_is_down_until_it_joins() -> None:
    totals = session()
    busy = tell(totals, stepped(2 * SECOND, account=usage(0, 2 * SECOND, SECOND, 8.0)))[InstanceTotals]
    assert (busy.utilization[1], busy.watts[1], busy.is_up) == (0.5, 4.0, (True, True))
    seen = tell(totals, WorkersLost(["decode-0"]), WorkersLost(["fabric", "cache"]))
    lost = seen[InstanceTotals]
    assert (lost.is_up, lost.restarts) == ((True, False), (0, 0, 0))
    assert (lost.utilization[1], lost.watts[1], lost.joules[1], seen[EngineTotals].kv_usage[1]) == (0.0, 0.0, 8.0, 0.0)
    joined = tell(
        totals,
        *(kind(names) for kind in (WorkersStarted, WorkersJoined) for names in (["decode-0"], ["fabric", "cache"])),
    )[InstanceTotals]
    assert (joined.is_up, joined.restarts) == ((True, True), (1, 0, 1))


def test_sequences_of_a_lost_worker_are_forgotten() -> None:
    totals = session(table_of(*[Request(output_tokens=1, last_token_ns=2 * SECOND)] * 3))
    tell(totals, stepped(3 * SECOND, started=[0]), stepped(4 * SECOND, [SECOND], started=[1]))
    # One has run and one has only joined when it is lost; what clients have seen stays.
    assert (
        sum(tell(totals, WorkersLost(["decode-0"]), WorkersJoined(["decode-0"]))[EngineTotals].generation_tokens) == 1
    )
    again = tell(totals, stepped(5 * SECOND, started=[2]), stepped(6 * SECOND, [SECOND]))
    assert sum(again[EngineTotals].generation_tokens) == 2
    assert (sum_of(again[EngineTotals].itl_s).counts[-1], sum_of(again[EngineTotals].itl_s).sum_s) == (2, 2.0 + 4.0)


def test_retries_are_read_from_the_ledger_once_something_was_lost() -> None:
    table = table_of(Request(), Request())
    totals = session(table)
    totals.before(0, WorkersLost(["prefill-0"]))
    table.retries[0], table.retries[1] = 2, 1
    assert totals.snapshot()[RequestTotals].retries == 3
    totals.begin(RequestTable(), 1.0)
    assert totals.snapshot()[RequestTotals].retries == 3


def hops_within(seen: HistogramTotals) -> tuple[int, ...]:
    """Of those within 0.5, 1, 2.5 and some 20 ms on the wall, and of all."""
    at = dict(zip(HOP_BOUNDS_S, seen.counts, strict=False))
    return (at[5.05e-4], at[1e-3], at[2.56e-3], at[2.15e-2], seen.counts[-1])


def test_hops_are_told_on_the_wall() -> None:
    lateness = LatenessHistogram()
    totals = session(speed=10.0, lateness=lateness)
    for late_ms in (1, 20, 100_000):
        lateness.add(late_ms * 1_000_000)
    seen = totals.snapshot()[ClockTotals].hop_wall_s
    assert seen.sum_s == pytest.approx(10.0021)
    assert hops_within(seen) == (1, 1, 2, 2, 3)
    totals.begin(RequestTable(), 1.0, lateness)
    assert hops_within(totals.snapshot()[ClockTotals].hop_wall_s) == (1, 2, 3, 4, 6)


def test_rates_are_of_the_last_ten_wall_seconds() -> None:
    table = table_of(*[Request(first_token_ns=NOT_YET, prompt_tokens=10) for _ in range(20)])
    totals = session(table, speed=2.0)
    seen: list[float] = []
    for wall_s in range(40):
        now_ns = 2 * wall_s * SECOND
        seen.append(totals.snapshot(now_ns).rates.input_tokens_per_s)
        if wall_s < 20:  # 10 tokens in each second on the wall, in which two emulated ones pass
            totals.before(now_ns, passed(now_ns, done=[wall_s]))
            table.first_token_ns[wall_s] = now_ns
    assert seen[:21] == [0.0, *[5.0] * 20]
    assert seen[25] == 2.5
    assert seen[30:] == [0.0] * 10


def test_power_of_what_draws_the_same_at_all_times_does_not_waver_however_its_accounts_come() -> None:
    totals = session()
    draws, end_ns, before = Random(1), 0, totals.snapshot()[InstanceTotals]
    for now_ns in range(SECOND, 40 * SECOND, SECOND):
        if draws.random() < 0.6:
            told_ns = now_ns - draws.randrange(SECOND)
            account = usage(end_ns, told_ns, 0, 3_200.0 * (told_ns - end_ns) / SECOND)
            totals.before(now_ns, UsageReported("decode-0", account))
            end_ns = told_ns
        seen = totals.snapshot(now_ns)[InstanceTotals]
        joules, seconds = seen.joules[1] - before.joules[1], seen.accounted_s[1] - before.accounted_s[1]
        assert joules == pytest.approx(3_200.0 * seconds)
        before = seen
    assert before.accounted_s[1] == end_ns / SECOND > 30
