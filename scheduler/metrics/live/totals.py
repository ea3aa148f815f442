"""The tap that keeps totals while a system lives, over all its sessions, for whoever looks at it meanwhile.

What a latency is, `records` alone says: the tap notes whose first token came out, the table notes who ended, and a
snapshot reads the records of just those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np

from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.core.guest import Guest
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.buckets import (
    DURATION_BOUNDS_S,
    HOP_BOUNDS_S,
    REQUEST_BOUNDS_S,
    TOKEN_BOUNDS_S,
    TTFT_BOUNDS_S,
    BucketCounts,
    HistogramTotals,
    sum_of,
)
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.live.caches import CacheTotals
from scheduler.metrics.live.decisions import DecisionCounts
from scheduler.metrics.live.energy import LiveEnergy
from scheduler.metrics.live.engines import LiveEngines
from scheduler.metrics.live.fabric import FabricTotals
from scheduler.metrics.live.instances import DecodeTally, InstanceMeter
from scheduler.metrics.live.predictions import LivePredictions
from scheduler.metrics.live.session import Lateness, LiveSession, kv_usage, num_retries, open_by_stage
from scheduler.metrics.live.slo import LiveSlo, limits_s
from scheduler.metrics.live.snapshot import END_REASONS, RUN_OUTCOMES, STAGES, Layout, Rates, Snapshot
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.protocol.cache_messages import CacheReported
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PartsChanged,
    PrefillStepped,
    RequestsArrived,
    TransferDone,
    TransferFailed,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)

RunOutcome = Literal["completed", "interrupted", "failed"]

RATE_WALL_S: Final = 10.0
"""Wall seconds over which rates are means."""


class LiveTotals(Guest):
    """Takes note of each message before the core handles it, because it reads what the table knew before.

    A session is the life of one table on one emulated clock: a replay, or the idle time between two. `begin` and `end`
    enclose it; counters go on from session to session. A snapshot is taken between two messages, never between a
    message's note and the core. `decisions` counts those of the cores that it watches.
    """

    def __init__(self, layout: Layout, *, has_prefix_cache: bool) -> None:
        self._layout = layout
        self._has_prefix_cache = has_prefix_cache
        self._session: LiveSession | None = None
        self._past_ns = 0
        self.decisions: Final = DecisionCounts()
        self._energy = LiveEnergy(layout)
        self._meters = {i.address: InstanceMeter(i, self._energy.account[i.address].add) for i in layout.instances}
        self._host_of = {address: host for host, addresses in layout.hosts.items() for address in addresses}
        self._restarts = dict.fromkeys(layout.hosts, 0)
        self._runs = dict.fromkeys(RUN_OUTCOMES, 0)
        self._ttft_s = BucketCounts(TTFT_BOUNDS_S)
        self._tpot_s = BucketCounts(TOKEN_BOUNDS_S)
        self._engines = LiveEngines(layout)
        self._counts = self._engines.counts
        self._e2e_s = BucketCounts(REQUEST_BOUNDS_S)
        self._queue_s = BucketCounts(REQUEST_BOUNDS_S)
        self._duration_s = BucketCounts(DURATION_BOUNDS_S)
        self._slo = LiveSlo()
        self._predictions = LivePredictions()
        self._hop_wall_s = HistogramTotals((0,) * (len(HOP_BOUNDS_S) + 1), 0.0)
        self._num_by_reason = [0] * len(FinishReason)
        self._arrived = self._retries = 0
        self._prompt_tokens = self._computed_tokens = 0
        self._fabric = FabricTotals()
        self._caches = CacheTotals()
        self._marks: deque[tuple[int, int, int, int]] = deque()
        self._handlers: dict[type, Callable[[LiveSession, Any], None]] = {
            RequestsArrived: self._on_arrived,
            PrefillStepped: self._on_prefill_stepped,
            TransferDone: lambda _, message: self._fabric.on_done(message),
            TransferFailed: self._on_transfer_failed,
            PartsChanged: lambda _, message: self._fabric.on_parts_changed(message),
            DecodeStepped: self._on_decode_stepped,
            UsageReported: self._on_usage_reported,
            CacheReported: lambda _, message: self._caches.on_reported(message),
            WorkersLost: self._on_workers_lost,
            WorkersJoined: self._on_workers_joined,
        }
        self.hears = self._handlers.keys()

    @property
    def failed_parts(self) -> list[str]:
        """Parts of the fabric that are broken now."""
        return self._fabric.failed_parts

    def begin(
        self,
        table: RequestTable,
        speed: float,
        lateness: Lateness | None = None,
        *,
        is_replay: bool = True,
        slo: Slo | None = None,
        power_cap_w: float = 0.0,
        errors: Mapping[str, PredictionError] | None = None,
    ) -> None:
        """A session begins, with a fresh table, a clock at 0 and all workers up; one that has not ended has failed.

        `speed`: emulated seconds per second on the wall. A session that is no replay is the idle time between two.
        Requests are judged by `slo`, if there is one; `power_cap_w` is at the feeds, 0 for none; `errors` are those of
        its predictions, if it makes any.
        """
        self.end("failed")
        tallies = {i.address: DecodeTally() for i in self._layout.instances if i.role == "decode"}
        self._session = LiveSession(is_replay, table, speed, lateness, tallies, slo)
        self._fabric.begin()
        self._caches.begin()
        self._energy.begin(speed, power_cap_w)
        self._predictions.begin(errors or {})
        for meter in self._meters.values():
            meter.begin(speed)

    def end(self, outcome: RunOutcome) -> None:
        """The session, if there is one, is over: account for what is left of it, and let go of its table.

        How it ended counts if it was a replay.
        """
        session = self._session
        if session is None:
            return
        self._drain(session)
        self._energy.end()
        self._predictions.end()
        self._retries += num_retries(session)
        self._hop_wall_s = self._hops_with(session)
        self._past_ns += session.now_ns
        self._marks.clear()
        self._runs[outcome] += session.is_replay
        self._session = None

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Take note of one message to the core; outside of a session of none."""
        handler, session = self._handlers.get(message.__class__), self._session
        if handler is not None and session is not None:
            if now_ns > session.now_ns:
                session.now_ns = now_ns
            handler(session, message)
        return NOTHING

    def _on_arrived(self, _session: LiveSession, message: RequestsArrived) -> None:
        self._arrived += len(message.prompt_tokens)

    def _on_prefill_stepped(self, session: LiveSession, message: PrefillStepped) -> None:
        self._meters[message.instance].add(message.usage)
        self._computed_tokens += message.computed_tokens
        if message.started_ids and self._has_prefix_cache:
            self._note_look_ups(session.table, message)
        counts = self._counts[message.instance]
        counts.end_pass(message)
        first_ns, last_ns = session.table.first_token_ns, session.table.last_token_ns
        for request_id in message.prefilled_ids:
            if first_ns[request_id] == NOT_YET:
                session.first_ids.append(request_id)
            else:  # computed again: a gap that no decode step shows
                gap_s = (message.boundary_ns - last_ns[request_id]) / NS_PER_S
                counts.itl_s.add(gap_s, 1, gap_s)

    def _note_look_ups(self, table: RequestTable, message: PrefillStepped) -> None:
        """Instances with a cache of their own tell their hits; of a pool's the table knows."""
        prompt_tokens, cached_tokens = table.prompt_tokens, table.cached_tokens
        hits = message.started_cached_tokens or [cached_tokens[i] for i in message.started_ids]
        counts = self._counts[message.instance]
        counts.hit_tokens += sum(hits)
        counts.lookup_tokens += sum([prompt_tokens[i] for i in message.started_ids])

    def _on_transfer_failed(self, session: LiveSession, message: TransferFailed) -> None:
        session.may_retry = True  # whose KV is out of reach begins again
        self._fabric.on_failed(message)

    def _on_decode_stepped(self, session: LiveSession, message: DecodeStepped) -> None:
        address, num_steps = message.instance, message.num_steps
        self._meters[address].add(message.usage)
        table, tally, counts = session.table, session.tallies[address], self._counts[address]
        num_tokens = 0
        if num_steps:
            num_tokens = tally.step(message, counts.itl_s)
            counts.step_tokens.add(num_tokens / num_steps, num_steps, num_tokens)
        if message.started_ids:
            tally.join(message.started_ids, message.boundary_ns, table.last_token_ns)
        if message.finished_ids:
            num_tokens -= tally.leave(message.finished_ids, message.finished_tokens, table.output_tokens)
        if message.preempted_ids:
            num_tokens -= tally.leave(message.preempted_ids, message.preempted_tokens, table.output_tokens)
            counts.preemptions += len(message.preempted_ids)
        tally.kv_tokens = message.kv_tokens
        counts.generation_tokens += num_tokens

    def _on_usage_reported(self, _session: LiveSession, message: UsageReported) -> None:
        self._meters[message.instance].add(message.usage)

    def _on_workers_lost(self, session: LiveSession, message: WorkersLost) -> None:
        session.may_retry = True
        for address in message.addresses:
            if address in self._meters:
                self._meters[address].lose()
            if address in session.tallies:
                session.tallies[address].lose()

    def _on_workers_joined(self, _session: LiveSession, message: WorkersJoined) -> None:
        for address in message.addresses:
            if address in self._meters:
                self._meters[address].is_up = True
        # Servers of the cache pool are nobody's process.
        for host in {self._host_of[address]: None for address in message.addresses if address in self._host_of}:
            self._restarts[host] += 1

    def snapshot(self, now_ns: int = 0) -> Snapshot:
        """How it stands at `now_ns` on the clock of the session; without one the time says nothing.

        What it takes grows with what happened since the last snapshot and with the requests that are open.
        """
        session = self._session
        emulated_ns = self._past_ns
        running = waiting = (0,) * len(STAGES)
        if session is not None:
            self._drain(session)
            session.now_ns = max(session.now_ns, now_ns)
            emulated_ns += session.now_ns
            running, waiting = open_by_stage(session)
        meters = self._meters.values()
        usages = tuple(kv_usage(meter.instance, session) for meter in meters)
        engines = self._engines.totals(
            None if session is None else session.table, 0 if session is None else session.first_open, usages
        )
        return Snapshot(
            layout=self._layout,
            emulated_s=emulated_ns / NS_PER_S,
            speed=0.0 if session is None else session.speed,
            is_replaying=session is not None and session.is_replay,
            runs=tuple(self._runs.values()),
            arrived=self._arrived,
            ended=tuple(self._num_by_reason[reason] for reason in END_REASONS),
            retries=self._retries + (0 if session is None else num_retries(session)),
            preemptions=sum(engines.preemptions),
            prompt_tokens=self._prompt_tokens,
            computed_tokens=self._computed_tokens,
            generation_tokens=sum(engines.generation_tokens),
            lookup_tokens=sum(engines.lookup_tokens),
            hit_tokens=sum(engines.hit_tokens),
            ttft_s=self._ttft_s.totals(),
            tpot_s=self._tpot_s.totals(),
            itl_s=sum_of(engines.itl_s),
            e2e_s=self._e2e_s.totals(),
            queue_s=self._queue_s.totals(),
            duration_s=self._duration_s.totals(),
            hop_wall_s=self._hop_wall_s if session is None else self._hops_with(session),
            running=running,
            waiting=waiting,
            is_up=tuple(meter.is_up for meter in meters),
            kv_usage=usages,
            busy_s=tuple(meter.busy_ns / NS_PER_S for meter in meters),
            joules=tuple(meter.joules for meter in meters),
            utilization=tuple(meter.utilization for meter in meters),
            watts=tuple(meter.watts for meter in meters),
            restarts=tuple(self._restarts.values()),
            flow_bytes=tuple(self._fabric.flow_bytes),
            flow_transfers=tuple(self._fabric.flow_transfers),
            slo_limits_s=limits_s(None if session is None else session.slo),
            slo_judged=self._slo.judged,
            slo_met=self._slo.met,
            slo_by_class=self._slo.by_class,
            prediction_ratios=self._predictions.totals(),
            engines=engines,
            rates=Rates() if session is None else self._rates(session, sum(engines.generation_tokens)),
            fabric=self._fabric.seen(),
            caches=self._caches.seen(),
            energy=self._energy.seen(),
            decisions=self.decisions.totals(),
        )

    def _drain(self, session: LiveSession) -> None:
        """Read the records of those whose first token came out, and of those who ended, since the last time."""
        table = session.table
        first = Records(table, session.first_ids)
        ended = Records(table, table.ended_ids[session.num_ended_read :])
        session.first_ids, session.num_ended_read = [], len(table.ended_ids)
        self._prompt_tokens += int(first.prompt_tokens.sum())
        self._ttft_s.add_all(first.ttft_s)
        self._queue_s.add_all(first.queue_s)
        # Who began and never got a token shows when it ends.
        self._queue_s.add_all(ended.queue_s[~ended.has_first_token])
        self._tpot_s.add_all(ended.tpot_s)
        self._e2e_s.add_all(ended.e2e_s)
        self._duration_s.add_all(ended.e2e_s)
        self._engines.drain(first, ended)
        self._slo.judge(session.slo, ended)
        for reason, count in enumerate(np.bincount(ended.reason, minlength=len(FinishReason)).tolist()):
            self._num_by_reason[reason] += count

    def _hops_with(self, session: LiveSession) -> HistogramTotals:
        """Lateness of all messages, those of this session included."""
        past, lateness = self._hop_wall_s, session.lateness
        if lateness is None:
            return past
        ns_per_wall_s = NS_PER_S * session.speed
        counts = [*lateness.num_within([bound * ns_per_wall_s for bound in HOP_BOUNDS_S]), lateness.num_samples]
        total = tuple(before + more for before, more in zip(past.counts, counts, strict=True))
        return HistogramTotals(total, past.sum_s + lateness.sum_ns / ns_per_wall_s)

    def _rates(self, session: LiveSession, generation_tokens: int) -> Rates:
        """Since the latest snapshot that is at least the window old, or the oldest of this session."""
        marks = self._marks
        finished = sum(self._num_by_reason[reason] for reason in FINISHED)
        mark = (session.now_ns, finished, self._prompt_tokens, generation_tokens)
        marks.append(mark)
        window_ns = RATE_WALL_S * session.speed * NS_PER_S
        while len(marks) > 2 and marks[1][0] <= session.now_ns - window_ns:
            marks.popleft()
        span_s = (mark[0] - marks[0][0]) / NS_PER_S
        if not span_s:
            return Rates()
        requests, inputs, outputs = (now - then for now, then in zip(mark[1:], marks[0][1:], strict=True))
        return Rates(requests / span_s, inputs / span_s, outputs / span_s)
