"""A replay on the local Ray cluster: the same job, the same parts and the same summary as on the virtual clock."""

from __future__ import annotations

from typing import Any

from deploy.blueprint import Blueprint
from deploy.live_parts import MAKE_CONTROL, MAKE_WORKER, KeptParts, host_plans, live_spec
from deploy.live_run import LiveResult, LiveSpec, run_live
from deploy.progress import progress
from deploy.replay import LiveCost, ReplayJob, ReplayResult, journal_header, run_info, title
from deploy.trace_total import TraceTotal
from scheduler.gateway.readers.registry import open_trace
from scheduler.metrics.records import Records
from scheduler.metrics.slo import parse_slo
from scheduler.metrics.summary import Summary, summarize
from scheduler.protocol.errors import SupernodeError
from scheduler.runtime.clock import NS_PER_S


def replay_live(job: ReplayJob, *, speed: float) -> ReplayResult:
    """Replay in real time, `speed` emulated seconds to one on the wall; Ctrl-C ends it early, with all accounted for.

    The notes of the result tell what start-up and hops cost, and warn when a hop is above 5 % of the median TTFT.
    """
    trace = open_trace(job.trace, options=job.options)
    blueprint = Blueprint(job.config, trace.block_tokens)
    # What cannot be built is found here, and not in an actor when the cluster has come up.
    blueprint.make_core()
    spec = LiveSpec(
        hosts=host_plans(blueprint),
        spec=live_spec(job, trace.block_tokens),
        make_worker=MAKE_WORKER,
        make_control=MAKE_CONTROL,
        journal_path=job.journal or "",
        journal_header=journal_header(blueprint),
    )
    total = TraceTotal(job.trace, job.options, trace.num_requests_hint)
    state: dict[str, Any] = {"num_requests": 0, "num_open": 0}
    with progress("replaying", lambda: (state["num_requests"] - state["num_open"], total())):
        live = run_live(spec, speed=speed, on_progress=state.update)
    kept: KeptParts = live.outcome.kept
    ledger = kept.collector.ledger
    if ledger.num_open:
        raise SupernodeError(f"the run stalled with {ledger.num_open} requests open")
    records = Records(ledger)
    slo = parse_slo(job.config.slo) if job.config.slo else None
    summary = summarize(kept.collector, run_info(blueprint, live.run_s), slo, records)
    hops = live.outcome.end.hops
    share = hops.share_of_ttft(_median_ttft_ns(summary))
    cost = LiveCost(speed, live.startup_s, hops.p50_wall_ns / NS_PER_S, hops.p99_wall_ns / NS_PER_S, share)
    return ReplayResult(
        title(blueprint, trace.name),
        summary,
        records,
        [instance.address for instance in blueprint.prefill],
        [instance.address for instance in blueprint.decode],
        [*kept.skipped_lines, *_live_notes(live, summary)],
        live.outcome.end.interrupted,
        cost,
    )


def _live_notes(live: LiveResult, summary: Summary) -> list[str]:
    """What being live cost, for a person."""
    end, hops = live.outcome.end, live.outcome.end.hops
    median_ttft_ns = _median_ttft_ns(summary)
    notes = [
        f"live: up in {live.startup_s:.1f} s, ran {live.run_s:.1f} s; messages were late by "
        f"{hops.p50_wall_ns / 1e6:.1f} ms (p99 {hops.p99_wall_ns / 1e6:.1f} ms), "
        f"{hops.share_of_ttft(median_ttft_ns):.1%} of the median TTFT"
    ]
    warning = hops.warning(median_ttft_ns)
    return [*notes, *([warning] if warning else []), *end.warnings]


def _median_ttft_ns(summary: Summary) -> float:
    return (summary.ttft_s.p50 or 0.0) * NS_PER_S
