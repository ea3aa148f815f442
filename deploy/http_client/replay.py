"""A replay by an outside client: the trace's sources, a service, and what came of it in the eyes of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from deploy.cluster.state import ClusterState
from deploy.http_client.front import ServiceFront
from deploy.http_client.loop import ClientLoop
from deploy.http_client.result import ClientResult
from deploy.http_client.service import key_headers, service
from deploy.http_client.streams import CONNECT_S, SILENT_S, Served, ServiceStreams, sending_trace
from deploy.run.garbage_collection import patient_collection
from deploy.run.replay import ReplayJob
from deploy.run.sources import clients_log, clients_warnings, trace_source
from deploy.run.trace_total import TraceTotal
from deploy.settings.settings import Settings
from deploy.terminal.interrupt import stop_on_interrupt
from deploy.terminal.progress import progress
from scheduler.metrics.outcome.client_summary import ClientLog, ClientSummary, summarize_client
from scheduler.metrics.outcome.ended_run import ClientsInfo, RunInfo
from scheduler.metrics.records import Records
from scheduler.policies.classes import ClassBook
from scheduler.protocol.component import Component
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.protocol.finish import FinishReason
from scheduler.runtime.clock import LiveClock, monotonic_s
from scheduler.sources.clients.log import ClientsLog
from scheduler.sources.traces.registry import open_trace

ZERO_DELAY_S: Final = 0.1
"""Wall seconds from the first look at the service to clock zero."""

READY_S: Final = 30.0
READY_POLL_S: Final = 0.2
"""Wall seconds that a service has to take requests, and between two looks."""

LATE_SHARE: Final = 0.05
"""Of the median TTFT that the client may be late, at the 99th percentile, before it is said."""

LIMITS: Final[Mapping[FinishReason, str]] = {
    FinishReason.ADMISSION: "turned away by the service's admission rule",
    FinishReason.OVERLOAD: "the service had as many open requests as it takes",
    FinishReason.TOO_LONG: "longer than the service takes",
    FinishReason.TIMED_OUT: "not finished within what its class may wait",
    FinishReason.CANCELLED: "cancelled by the service",
    FinishReason.RETRIES_EXHAUSTED: "lost with its instances as often as it may be retried",
    FinishReason.INTERRUPTED: "the connection or the service was lost, or the run was stopped",
}
"""As the service says, or as the client finds."""


def replay_http(job: ReplayJob, cluster: ClusterState | None) -> ClientResult:
    """Play a trace against the standing cluster's service, or one of a cluster that is brought up for it.

    Ctrl-C ends it early, with all accounted for. `ConfigError` if the service is not there, or lets nobody in.
    """
    settings, waits = job.settings, job.options.links
    trace = open_trace(job.trace, options=job.options)
    source = trace_source(trace, settings, waits=waits, keeps_log=False)
    front = ServiceFront(ClassBook(settings.requests.classes), settings.clients.warmup)
    total, table = TraceTotal(job.trace, job.options, trace.num_requests_hint), front.table
    with service(cluster, settings) as url:
        started_s = monotonic_s()
        with patient_collection(), progress("replaying", lambda: (table.num_requests - table.num_open, total())):
            is_partial = _run(partial(play, url, source, front))
        wall_s = monotonic_s() - started_s
    records, clients = Records(table), clients_log([source])
    summary = summary_of(settings, front, records, wall_s, clients)
    where = "the standing cluster" if cluster is not None else "a cluster of its own"
    return ClientResult(
        f"{trace.name}: over HTTP to {where}, {settings.flat['model']} on {settings.flat['cluster']}, "
        f"plan {settings.flat['plan']}",
        summary,
        records,
        [*trace.skipped.lines(), *clients_warnings([source]), *_warnings(front, summary)],
        is_partial,
        settings.requests.class_names,
    )


def empty_client_document(settings: Settings, clients: ClientsLog | None) -> dict[str, Any]:
    """What `ClientResult.document` would be of a run without requests."""
    front = ServiceFront(ClassBook(()))
    records = Records(front.table)
    return ClientResult("", summary_of(settings, front, records, 0.0, clients), records, [], False).document()


def _run(play: Callable[[], Any]) -> bool:
    """On the fastest event loop there is."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        new_event_loop = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(play())


async def play(url: str, source: Component, front: ServiceFront) -> bool:
    """Play a source against the service at an address; returns whether it was ended early."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[sending_trace()]) as session:
        headers = key_headers()
        served = await _served_by(session, url, headers)
        clock = LiveClock.in_s(ZERO_DELAY_S, 1.0)
        streams = ServiceStreams(session, url, served, headers, clock)
        loop = ClientLoop([source], front, streams.send, clock)
        with stop_on_interrupt(loop.stop):
            await loop.run()
        for name, count in streams.unlisted.items():
            line = f"of the class {name!r}, which the service does not have: they were sent without it"
            front.problems[line] = front.problems.get(line, 0) + count
        return loop.is_stopped


async def _served_by(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> Served:
    """What is served; `ConfigError` without a key that it takes, `ClusterError` if it does not serve now."""
    try:
        async with session.get(f"{url}/v1/models", headers=headers) as response:
            if response.status == 401:
                raise ConfigError("the service lets in who has a key: put it into SUPERNODE_HTTP_KEY")
            model = (await response.json())["data"][0]
            served = Served(model["id"], tuple(model.get("request_classes", ())))
        waited_s = 0.0
        while line := await _why_not_ready(session, url):
            if waited_s >= READY_S:
                raise ClusterError(f"{url} takes no requests: {line}")
            await asyncio.sleep(READY_POLL_S)
            waited_s += READY_POLL_S
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ClusterError(f"{url} does not answer ({type(error).__name__}); 'supernode status' tells more") from error
    return served


async def _why_not_ready(session: aiohttp.ClientSession, url: str) -> str:
    """Empty if requests are taken."""
    async with session.get(f"{url}/ready") as response:
        return "" if response.status == 200 else (await response.json())["error"]["message"]


def summary_of(
    settings: Settings, front: ServiceFront, records: Records, wall_s: float, clients: ClientsLog | None
) -> ClientSummary:
    """What came to the front, summed up."""
    front.collector.ended_ns = front.ended_ns
    info = RunInfo(
        wall_s,
        settings.run.seed,
        settings.digest(),
        {},
        has_prefix_cache=True,
        finish_limits=LIMITS,
        clients=None
        if clients is None
        else ClientsInfo(clients.concurrency, settings.requests.class_names, clients.planned_turns),
        warmup=settings.clients.warmup,
    )
    log = ClientLog(front.gaps_ns, front.late_sent_ns, front.late_tokens_ns)
    return summarize_client(front.collector, info, settings.requests.judged_slo, records, log)


def _warnings(front: ServiceFront, summary: ClientSummary) -> list[str]:
    """What went wrong, and whether the client was so late that its figures show it."""
    told = [f"{count:,} requests: {problem}" for problem, count in front.problems.items()][:5]
    sent_s, ttft_s = summary.lateness.sent_s.p99, summary.ttft_s.p50
    if sent_s is not None and ttft_s is not None and sent_s > LATE_SHARE * ttft_s:
        told.append(
            f"the client was late: one request in a hundred left it {1e3 * sent_s:.1f} ms after its time or later; "
            "TTFT counts from when they left"
        )
    return told
