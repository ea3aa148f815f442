"""A replay on the local Ray cluster: the same job, the same parts and the same summary as on the virtual clock."""

from __future__ import annotations

from typing import Any

from deploy.cluster.attach import run_attached
from deploy.cluster.state import ClusterState
from deploy.live.parts import MAKE_WORKER, KeptParts, host_plans, metered_addresses, replay_run
from deploy.live.run import LiveResult, run_live
from deploy.run.profile_run import needs_profile
from deploy.run.replay import LiveCost, ReplayJob, ReplayResult, refuse_stalled, run_info, run_log, title
from deploy.run.trace_total import TraceTotal
from deploy.system.blueprint import Blueprint
from deploy.terminal.progress import progress
from scheduler.metrics.outcome.summary import Summary, summarize
from scheduler.metrics.records import Records
from scheduler.runtime.clock import NS_PER_S
from scheduler.sources.traces.registry import open_trace


def replay_live(job: ReplayJob, *, speed: float, cluster: ClusterState | None = None) -> ReplayResult:
    """Replay in real time, `speed` emulated seconds to one on the wall; Ctrl-C ends it early, with all accounted for.

    `cluster` is the standing cluster to run on; without one a private cluster is started and stopped. The warnings of
    the result tell what start-up and hops cost, and warn when a hop is above 5 % of the median TTFT.
    """
    trace = open_trace(job.trace, options=job.options)
    blueprint = Blueprint(job.settings, trace.block_tokens)
    # What cannot be built is found here, and not in an actor when the cluster has come up.
    core = blueprint.make_core()
    run = replay_run(job, blueprint, speed, is_profiled=needs_profile(blueprint, core.routing))
    total = TraceTotal(job.trace, job.options, trace.num_requests_hint)
    state: dict[str, Any] = {"num_requests": 0, "num_open": 0}
    with progress("replaying", lambda: (state["num_requests"] - state["num_open"], total())):
        if cluster is None:
            live = run_live(host_plans(blueprint), MAKE_WORKER, metered_addresses(blueprint), run, state.update)
        else:
            live = run_attached(cluster, run, state.update)
    kept: KeptParts = live.outcome.kept
    table = kept.collector.table
    refuse_stalled(kept.collector)
    records = Records(table)
    requests = job.settings.requests
    slo = requests.judged_slo
    summary = summarize(kept.collector, run_info(blueprint, live.run_s), slo, records)
    hops = live.outcome.end.hops
    share = hops.share_of_ttft(_median_ttft_ns(summary))
    cost = LiveCost(speed, live.startup_s, hops.p50_wall_ns / NS_PER_S, hops.p99_wall_ns / NS_PER_S, share)
    return ReplayResult(
        title(blueprint, trace.name, kept.failures),
        summary,
        records,
        [instance.address for instance in blueprint.prefill],
        [instance.address for instance in blueprint.decode],
        [*kept.skipped_lines, *_live_warnings(live, summary)],
        live.outcome.end.interrupted,
        cost,
        failures=kept.failures,
        log=run_log(job, trace.name, blueprint, kept.collector, kept.decided),
        class_names=requests.class_names,
    )


def _live_warnings(live: LiveResult, summary: Summary) -> list[str]:
    """What being live cost, for a person."""
    end, hops = live.outcome.end, live.outcome.end.hops
    median_ttft_ns = _median_ttft_ns(summary)
    warnings = [
        f"live: up in {live.startup_s:.1f} s, ran {live.run_s:.1f} s; messages were late by "
        f"{hops.p50_wall_ns / 1e6:.1f} ms (p99 {hops.p99_wall_ns / 1e6:.1f} ms), "
        f"{hops.share_of_ttft(median_ttft_ns):.1%} of the median TTFT"
    ]
    if end.num_restarts:
        warnings.append(f"workers were lost and started again {end.num_restarts} times")
    late = hops.warning(median_ttft_ns)
    return [*warnings, *([late] if late else []), *end.warnings]


def _median_ttft_ns(summary: Summary) -> float:
    return (summary.ttft_s.p50 or 0.0) * NS_PER_S
