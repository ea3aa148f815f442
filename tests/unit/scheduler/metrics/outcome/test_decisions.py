"""The log of decisions of a small system."""

from __future__ import annotations

from typing import Any

from scheduler.metrics.outcome.decisions import RunDecisions
from scheduler.policies.view import StageKind
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import WORKERS, RowSource, make_core, make_worker, small_spec, stamps

SPEC = small_spec(60, rate_per_s=40.0)


def run_small(*, is_logged: bool) -> tuple[Any, Any]:
    """The core that ran, and its log."""
    core = make_core(SPEC)
    log = RunDecisions(core.routing, core.state)
    if is_logged:
        core.state.decision_logs.append(log)
    workers = [make_worker(SPEC, address) for address in WORKERS]
    VirtualRuntime([RowSource(SPEC["rows"]), core, *workers], core.address).run()
    return core, log


def test_a_log_changes_nothing() -> None:
    assert stamps(run_small(is_logged=True)[0].table) == stamps(run_small(is_logged=False)[0].table)


def test_each_start_is_logged_with_the_flow_it_waited_for() -> None:
    core, log = run_small(is_logged=True)
    table, starts, kv_transfers = core.table, log.rows(StageKind.PREFILL), log.rows(StageKind.DECODE)
    assert not any(table.preemptions[: table.num_requests])
    assert sorted(starts["request_id"].tolist()) == list(range(table.num_requests))
    for row in starts:
        request_id = row["request_id"]
        assert row["instance"] == table.prefill_instance[request_id]
        assert table.arrived_ns[request_id] <= row["said_ns"] - row["transfer_ns"]
        assert row["said_ns"] <= table.prefill_started_ns[request_id]
        assert (row["transfer_bytes"] > 0) == (table.cached_tokens[request_id] > 0) == (row["transfer_requests"] > 0)
        assert log.reasons(StageKind.PREFILL)[row["reason"]]
    assert any(starts["transfer_bytes"])
    going_on = [i for i in range(table.num_requests) if table.output_tokens[i] > 1]
    assert sorted(kv_transfers["request_id"].tolist()) == going_on
    for row in kv_transfers:
        request_id = row["request_id"]
        assert table.first_token_ns[request_id] <= row["said_ns"] <= table.decode_started_ns[request_id]
        assert row["transfer_bytes"] > 0
        assert log.reasons(StageKind.DECODE)[row["reason"]]
