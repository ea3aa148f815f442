"""What holds at the end of a run in which components are lost and parts of the fabric fail."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.guests.early_ends import EarlyEnds
from scheduler.core.guests.time_outs import TimeOuts
from scheduler.core.lifecycle import State
from scheduler.core.scaling.rules import ScalingRules
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.ended_run import RunInfo
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.outcome.summary import summarize
from scheduler.metrics.records import Records
from scheduler.protocol.addresses import aggregated_address, decode_address, prefill_address
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import DecodeStepped, PrefillStepped, RequestsArrived, UsageReported
from tests.checkers.clients import check_clients
from tests.naive.case import Case
from tests.sim.build import build_real
from tests.sim.losing import LosingSystem
from tests.sim.trouble import Trouble
from workers.aggregated.instance import AggregatedInstance
from workers.cache.pool import CachePool
from workers.decode.instance import DecodeInstance
from workers.prefill.instance import PrefillInstance


def run_checked(case: Case, trouble: Trouble, scaling: ScalingRules | None = None) -> LosingSystem:
    """Run and check everything."""
    system = LosingSystem(case, trouble, scaling=scaling)
    instances = [MeteredInstance(prefill_address(i), "prefill", 1) for i in range(case.num_prefill)]
    instances += [MeteredInstance(decode_address(i), "decode", 1) for i in range(case.num_decode)]
    instances += [MeteredInstance(aggregated_address(i), "aggregated", 1) for i in range(case.num_aggregated)]
    collector = Collector(system.scheduler.table, instances, comes_and_goes=scaling is not None)
    system.scheduler.add_guest(collector)
    system.run()
    check_ends(system)
    check_stamps(system)
    check_core_is_empty(system)
    check_workers_are_empty(system)
    check_replay(system)
    check_accounts(system)
    check_metrics(system, collector)
    check_clients(case, system.source.calls)
    check_arrivals(system)
    system.account.check()
    return system


def check_ends(system: LosingSystem) -> None:
    """INV-1, and who finished has all of its output and no more."""
    table, case = system.scheduler.table, system.case
    rows = [case.rows[number] for number in system.source.rows()]
    assert table.num_requests == len(rows)
    assert len(rows) == len(case.rows) or case.is_graph
    assert table.num_open == 0
    assert set(table.state[: table.num_requests]) == {State.ENDED}
    for request_id, row in enumerate(rows):
        reason = FinishReason(table.reason[request_id])
        allowed = [*FINISHED, FinishReason.TOO_LONG, FinishReason.OVERLOAD, FinishReason.RETRIES_EXHAUSTED]
        allowed += [FinishReason.ADMISSION] * (case.entry.admission != "always")
        allowed += [FinishReason.TIMED_OUT] * any(one.timeout_ns for one in case.entry.by_class)
        assert reason in allowed
        is_exhausted = table.retries[request_id] > system.trouble.max_retries
        assert table.retries[request_id] <= system.trouble.max_retries + 1
        if reason not in (FinishReason.LENGTH, FinishReason.TIMED_OUT):
            assert is_exhausted == (reason == FinishReason.RETRIES_EXHAUSTED)
        assert table.output_tokens[request_id] <= row.output_tokens
        assert reason != FinishReason.STOP or table.output_tokens[request_id] == row.output_tokens


def check_arrivals(system: LosingSystem) -> None:
    """Latencies of clients that wait count from when they asked, however late the core heard of it."""
    if system.case.clients or system.case.is_graph:
        asked = [(at_ns, said) for at_ns, _, outputs in system.source.calls for _, said in outputs]
        asked_ns = [at_ns for at_ns, said in asked if isinstance(said, RequestsArrived) for _ in said.keys]
        table = system.scheduler.table
        assert table.arrived_ns[: table.num_requests].tolist() == asked_ns


def check_stamps(system: LosingSystem) -> None:
    """INV-5 for what is left of the last attempt."""
    table = system.scheduler.table
    for i in range(table.num_requests):
        stamps = (table.prefill_started_ns[i], table.first_token_ns[i], table.last_token_ns[i])
        known = [table.arrived_ns[i], *(stamp for stamp in stamps if stamp != -1), table.ended_ns[i]]
        assert known == sorted(known), known
        assert (table.first_token_ns[i] == -1) == (table.last_token_ns[i] == -1) == (not table.output_tokens[i])
        assert table.decode_started_ns[i] == -1 or table.first_token_ns[i] <= table.decode_started_ns[i]
        assert table.prompt_tokens[i] > table.cached_tokens[i] >= 0


def check_core_is_empty(system: LosingSystem) -> None:
    """Nothing is kept for anybody, and the policies see no load."""
    core = system.scheduler
    reservations = core._reservations
    kept = [
        core.state.open.payloads,
        core.state.open.prompts,
        core.state.open.unrouted,
        core._losses.down - system.absent,
    ]
    kept += [core.state.open.ssd_tokens, core.state.pools._found, core.state.pools._found_on_ssd]
    kept += [reservations._waiting, reservations._cancelling]
    kept += [core._transfers._waiting, core._transfers._making, core._transfers._held_back]
    kept += [core.state.open.tentative]
    for guest in core._guests:
        if isinstance(guest, TimeOuts):
            kept += guest._coming_due
        if isinstance(guest, EarlyEnds):
            kept += [guest.coming]
        kept += [core.state.open.held]
    assert not any(kept), kept
    assert core.deadline_ns == NEVER_NS
    for stage in (core.state.prefill, core.state.decode):
        there = [index for index, address in enumerate(stage.addresses) if address not in system.absent]
        assert stage.up == sorted({*stage.eligible, *stage._parked, *stage._drained}) == there
        assert system.scaling or not stage._drained
        assert system.case.parking or not stage._parked
        assert not stage.cut_dies
        assert not any(stage.outstanding_requests), stage.outstanding_requests
        assert not any(stage.outstanding_tokens), stage.outstanding_tokens


def check_workers_are_empty(system: LosingSystem) -> None:
    """INV-4: no KV, no room in any queue, no pin."""
    case = system.case
    for worker in system.workers:
        if isinstance(worker, PrefillInstance):
            assert worker.free_blocks == case.prefill_blocks
            assert worker.is_empty()
            assert worker.cache is None or not worker.cache.num_open
        elif isinstance(worker, DecodeInstance):
            assert worker.memory.free_blocks == [case.blocks_per_die] * case.num_dies
            assert worker.memory.free_slots == [case.slots_per_die] * case.num_dies
            assert not any([worker.memory.num_waiting, worker.memory._placed, worker._batch.num_running])
            assert all(worker.memory._is_open)
            assert not isinstance(worker, AggregatedInstance) or worker.is_empty()
        elif isinstance(worker, CachePool):
            assert not worker.store.num_open


def check_replay(system: LosingSystem) -> None:
    """INV-7: a fresh core commands the same."""
    core = build_real(system.case, scaling=system.scaling).scheduler
    core.state.config = system.scheduler.state.config
    again = [core.wake(at_ns) if message is None else core.handle(at_ns, message) for at_ns, message in system.told]
    assert again == system.said


def check_accounts(system: LosingSystem) -> None:
    """Accounts of an instance join, or leave a gap where it was lost; none overlap."""
    end_ns: dict[str, int] = {}
    for _, message in system.told:
        if isinstance(message, PrefillStepped | DecodeStepped | UsageReported):
            usage = message.usage
            assert end_ns.get(message.instance, 0) <= usage.start_ns <= usage.end_ns
            assert 0 <= usage.busy_ns <= usage.end_ns - usage.start_ns
            end_ns[message.instance] = usage.end_ns
    assert {ended_ns for address, ended_ns in end_ns.items() if address not in system.absent} <= {system.now_ns}
    case = system.case
    assert system.scaling or len(end_ns) == case.num_prefill + case.num_decode + case.num_aggregated


def check_metrics(system: LosingSystem, collector: Collector) -> None:
    """The summary can be made; the gaps between tokens are all the time between first and last tokens."""
    records = Records(collector.table)
    summary = summarize(collector, RunInfo(1.0, 0, "", {}, True), records=records)
    assert summary.requests.retried == sum(count > 0 for count in collector.table.retries)
    # Steps shorter than a nanosecond cannot be told apart, and without room for even one step a sequence leaves as it
    # joins, which the table stamps as its last token.
    stepped = [message for _, message in system.told if isinstance(message, DecodeStepped)]
    if system.case.fixed_ps >= 1_000 and not any(
        set(message.started_ids) & {*message.finished_ids, *message.preempted_ids} for message in stepped
    ):
        expected_ns = (records.last_token_ns - records.first_token_ns)[records.has_first_token].sum()
        found_ns = sum(float(np.dot(*part)) for part in TokenGaps(collector).parts())
        assert found_ns == pytest.approx(expected_ns, abs=1e-6 * expected_ns + 1)
