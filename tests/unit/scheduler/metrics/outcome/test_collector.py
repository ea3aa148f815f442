"""What the tap logs, and that it conserves what whole systems report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.outcome.usage import usage_totals
from scheduler.metrics.records import Records
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.messages import (
    ArrivalsEnded,
    DecodeStepped,
    KvReserved,
    Message,
    PrefillStepped,
    TransferDone,
    UsageReported,
)
from tests.naive.case import Case
from tests.naive.strategies import any_cases, preempting_cases, sampled_cases
from tests.sim.build import build_real
from tests.unit.scheduler.metrics.logged import collector_of, end_run, final, moved, passed, stepped, usage


def test_rows_are_what_was_reported() -> None:
    collector = collector_of()
    for message in (
        passed(5, computed=11, account=usage(1, 5, 3, 0.5)),
        stepped(9, [2, 3], running=4, account=usage(4, 9, 5, 1.5)),
        stepped(12, account=usage(9, 12, 0, 2.5)),
        moved(7, num_bytes=6, duration_ns=2, plane=Plane.VPC),
        final(usage(5, 12, 0, 3.5)),
    ):
        collector.before(12, message)
    rows = [(0, 1, 5, 3, 0.5), (1, 4, 9, 5, 1.5), (1, 9, 12, 0, 2.5), (0, 5, 12, 0, 3.5)]
    assert collector.usage_rows().tolist() == rows
    assert collector.run_rows().tolist() == [(1, 9, 5, 2, 2, 3, 4)]
    assert collector.transfer_rows(Plane.VPC).tolist() == [(6, 2, 7)]
    assert len(collector.transfer_rows(Plane.UB)) == len(collector.transfer_rows(Plane.RDMA)) == 0
    assert collector.computed_tokens == 11
    assert end_run(collector, 30).ended_ns == 30


def test_what_says_nothing_of_the_past_is_passed_over() -> None:
    collector = collector_of()
    collector.before(1, KvReserved("decode-0", [1], [0]))
    collector.before(2, ArrivalsEnded())
    assert len(collector.usage_rows()) == collector.ended_ns == 0


def run(case: Case, report_interval_ns: int) -> tuple[Collector, list[Message]]:
    """A whole system with a collector on it, and everything the core was told."""
    system = build_real(case, report_interval_ns=report_interval_ns)
    instances = [MeteredInstance(engine.address, "prefill", 1) for engine in system.prefill]
    instances += [MeteredInstance(engine.address, "decode", 1) for engine in system.decode]
    collector = Collector(system.scheduler.table, instances)
    told: list[Message] = []
    system.run(taps=[collector, lambda _, message: told.append(message)])
    return collector, told


INTERVALS = st.sampled_from([1, 2_500, 40_000, NEVER_NS])


@settings(max_examples=120)
@given(case=st.one_of(any_cases(), preempting_cases(), sampled_cases(preempting_cases())), report_interval_ns=INTERVALS)
def test_the_gaps_of_a_request_are_all_its_time_after_the_first_token(case: Case, report_interval_ns: int) -> None:
    assume(case.fixed_ps >= 1_000)  # steps shorter than a nanosecond cannot be told apart
    collector, told = run(case, report_interval_ns)
    # Without room for even one step a sequence leaves as it joins, and the table stamps that as its last token.
    assume(
        not any(set(m.started_ids) & {*m.finished_ids, *m.preempted_ids} for m in told if isinstance(m, DecodeStepped))
    )
    records = Records(collector.table)
    answered = records.is_finished
    expected_ns = (records.last_token_ns - records.first_token_ns)[answered].sum()
    parts = list(TokenGaps(collector).parts())
    # Runs are told in whole nanoseconds, cut off: a step may be short of one.
    assert sum(float(np.dot(*part)) for part in parts) == pytest.approx(expected_ns, abs=1e-6 * expected_ns + 1)
    assert all((lengths > 0).all() and (weights >= 0).all() for lengths, weights in parts)
    if case.step_tokens == (1, 1) and case.sampled is None:
        num_gaps = sum(weights.sum() for _, weights in parts)
        assert num_gaps == (records.output_tokens - 1)[answered].sum()


@settings(max_examples=60)
@given(case=any_cases(), report_interval_ns=INTERVALS)
def test_usage_and_bytes_are_conserved(case: Case, report_interval_ns: int) -> None:
    collector, told = run(case, report_interval_ns)
    totals = usage_totals(collector.usage_rows(), len(collector.instances))
    for index, instance in enumerate(collector.instances):
        accounts = [
            message.usage
            for message in told
            if isinstance(message, PrefillStepped | DecodeStepped | UsageReported)
            and message.instance == instance.address
        ]
        assert totals.busy_ns[index] == sum(account.busy_ns for account in accounts)
        assert totals.joules[index] == pytest.approx(sum(account.joules for account in accounts))
        assert accounts[0].start_ns == 0
        assert accounts[-1].end_ns == collector.ended_ns
    ends_ns = collector.usage_rows()["end_ns"]
    assert (np.diff(ends_ns) >= 0).all()  # what `peak_watts` takes for granted
    num_bytes = sum(int(collector.transfer_rows(plane)["num_bytes"].sum()) for plane in Plane)
    assert num_bytes == sum(message.num_bytes for message in told if isinstance(message, TransferDone))
