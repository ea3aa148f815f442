"""A replay on the local Ray cluster: the same job, the same parts and the same summary as on the virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.cluster.attach import run_attached
from deploy.cluster.existing.spec import ExistingSpec
from deploy.cluster.state import ClusterState
from deploy.live.parts import MAKE_WORKER, KeptParts, host_plans, metered_addresses, replay_run
from deploy.live.run import LiveResult, run_live
from deploy.run.collecting import run_info
from deploy.run.profile_run import needs_profile
from deploy.run.replay import LiveCost, ReplayJob, ReplayResult, run_log, title
from deploy.run.trace_total import TraceTotal
from deploy.system.blueprint import Blueprint
from deploy.terminal.output import tell
from deploy.terminal.progress import progress
from scheduler.metrics.outcome.summary import Summary, summarize
from scheduler.metrics.records import Records
from scheduler.runtime.clock import NS_PER_S
from scheduler.sources.traces.registry import open_trace


def replay_live(
    job: ReplayJob, *, speed: float, cluster: ClusterState | None = None, existing: ExistingSpec | None = None
) -> ReplayResult:
    """Replay in real time, `speed` emulated seconds to one on the wall; Ctrl-C ends it early, with all accounted for.

    `cluster` is the standing cluster to run on; without one actors are started and ended, on an `existing` Ray cluster
    or on a private one. The warnings of the result tell what start-up and hops cost, and warn when a hop is above 5 %
    of the median TTFT.
    """
    trace = open_trace(job.trace, options=job.options)
    blueprint = Blueprint(job.settings, trace.block_tokens)
    # What cannot be built is found here, and not in an actor when the cluster has come up.
    core = blueprint.make_core()
    run = replay_run(job, blueprint, speed, is_profiled=needs_profile(blueprint, core.routing))
    total = TraceTotal(job.trace, job.options, trace.num_requests_hint)
    watch = _Watch()
    with progress("replaying", lambda: (watch.seen["num_requests"] - watch.seen["num_open"], total())):
        if cluster is None:
            hosts, metered = host_plans(blueprint), metered_addresses(blueprint)
            live = run_live(hosts, MAKE_WORKER, metered, run, watch.hear, existing)
        else:
            live = run_attached(cluster, run, watch.hear)
    kept: KeptParts = live.outcome.kept
    table = kept.collector.table
    stalled = _stalled(live, kept.collector.failed_parts)
    records = Records(table)
    requests = job.settings.requests
    slo = requests.judged_slo
    summary = summarize(kept.collector, run_info(blueprint, live.run_s, kept.clients), slo, records)
    hops = live.outcome.end.hops
    share = hops.share_of_ttft(_median_ttft_ns(summary))
    cost = LiveCost(speed, live.startup_s, hops.p50_wall_ns / NS_PER_S, hops.p99_wall_ns / NS_PER_S, share)
    return ReplayResult(
        title(blueprint, trace.name, kept.failures),
        summary,
        records,
        [instance.address for instance in blueprint.prefill_stage],
        [instance.address for instance in blueprint.decode_stage],
        [*kept.skipped_lines, *stalled, *_live_warnings(live, summary, records)],
        live.outcome.end.interrupted,
        cost,
        failures=kept.failures,
        log=run_log(job, trace.name, blueprint, kept.collector, kept.decided, kept.clients),
        class_names=requests.class_names,
    )


def _stalled(live: LiveResult, broken: Sequence[str]) -> list[str]:
    """Why requests were given up, if any were."""
    num_stalled = live.outcome.end.num_stalled
    if not num_stalled:
        return []
    return [
        f"the run stalled with {num_stalled:,} requests open, which end as failed: nothing reaches them"
        + (f" while {_few(broken)} stays broken" if broken else "")
        + "".join(f"; {host} {line}" for host, line in live.outcome.end.waiting.items())
    ]


class _Watch:
    """Takes what a driver hears of its run, and tells once when it stalls."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"num_requests": 0, "num_open": 0}
        self._is_stalled = False
        self._waiting: dict[str, str] = {}

    def hear(self, progress: dict[str, Any]) -> None:
        """How far the run is."""
        self.seen.update(progress)
        left_s = progress.get("patience_left_s")
        if left_s is not None and not self._is_stalled:
            what = "room" if progress["waiting"] else "'supernode repair'"
            tell(
                f"nothing reaches {progress['num_open']:,} requests: waiting {left_s:.0f} s for {what}, "
                "then they are given up"
            )
        waiting: dict[str, str] = progress.get("waiting", {})
        for host in {**self._waiting, **waiting}:
            if waiting.get(host) != self._waiting.get(host):
                tell(f"{host} {waiting.get(host) or 'has its place again'}")
        self._waiting = waiting
        self._is_stalled = left_s is not None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _live_warnings(live: LiveResult, summary: Summary, records: Records) -> list[str]:
    """What being live cost, for a person."""
    end, hops = live.outcome.end, live.outcome.end.hops
    median_tpot_ns = (summary.tpot_s.p50 or 0.0) * NS_PER_S
    finished = records.output_tokens[records.is_finished]
    mean_output_tokens = float(finished.mean()) if len(finished) else 0.0
    warnings = [
        f"live: up in {live.startup_s:.1f} s, ran {live.run_s:.1f} s; messages were late by "
        f"{hops.p50_wall_ns / 1e6:.1f} ms (p99 {hops.p99_wall_ns / 1e6:.1f} ms) on the wall"
    ]
    if live.note:
        warnings.append(live.note)
    if end.num_restarts:
        warnings.append(f"workers were lost and started again {end.num_restarts} times")
    late = hops.warning(median_tpot_ns, mean_output_tokens)
    return [*warnings, *([late] if late else []), *end.warnings]


def _median_ttft_ns(summary: Summary) -> float:
    return (summary.ttft_s.p50 or 0.0) * NS_PER_S
