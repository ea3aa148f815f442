"""The tap that logs what reports say, one packed row per report; nothing is computed before the run has ended.

A row is packed by `struct` into one growing buffer, which costs less than half of what appends to `array` columns
would; `numpy` reads the buffers back as structured arrays without a copy.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, TypeVar

import numpy as np

from scheduler.core.guest import Guest
from scheduler.core.lifecycle import State
from scheduler.core.recovery.losses import set_back_by
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.begun_prefills import begun_tokens
from scheduler.metrics.columns import Ints, Rows
from scheduler.metrics.layout import Role, StageName, is_of_stage
from scheduler.metrics.outcome.later_part import later_events, later_runs, later_usage
from scheduler.metrics.pool_reports import PoolReports
from scheduler.metrics.warmup import WarmupEnd
from scheduler.protocol.addresses import CACHE_ADDRESS
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CachePolicyReported,
    CacheReported,
    DecodeStepped,
    FleetScaled,
    PartsChanged,
    PrefillStepped,
    RunEnded,
    TransferDone,
    TransferFailed,
    UsageReported,
    WorkersLost,
)


@dataclass(frozen=True, slots=True)
class MeteredInstance:
    """An instance whose reports are logged. Within one stage the order is the core's, so that table indices fit.

    `pool`: the address of the cache pool that it reads and writes, if there is one.
    """

    address: str
    role: Role
    num_npus: int
    pool: str = CACHE_ADDRESS


# "<" packs without gaps, as numpy lays out the types beside it. An instance is its index in the collector's list.
_pack_usage: Final = Struct("<hqqqd").pack
USAGE_ROW: Final = np.dtype(
    [("instance", "<i2"), ("start_ns", "<i8"), ("end_ns", "<i8"), ("busy_ns", "<i8"), ("joules", "<f8")]
)
"""What an instance did between two of its reports; fields as in `Usage`."""

_pack_begun: Final = Struct("<qqq").pack
BEGUN_ROW: Final = np.dtype([("boundary_ns", "<i8"), ("lookup_tokens", "<i8"), ("hit_tokens", "<i8")])
"""Prefills that began with one pass; tokens as in `begun_tokens`."""

_pack_run: Final = Struct("<hqqiqqi").pack
RUN_ROW: Final = np.dtype(
    [
        ("instance", "<i2"),
        ("boundary_ns", "<i8"),
        ("steps_ns", "<i8"),
        ("num_steps", "<i4"),
        ("first_step_ns", "<i8"),
        ("last_step_ns", "<i8"),
        ("num_running", "<i4"),
    ]
)
"""A run of at least one decode step; fields as in `DecodeStepped`."""

_pack_transfer: Final = Struct("<qqq").pack
TRANSFER_ROW: Final = np.dtype([("num_bytes", "<i8"), ("duration_ns", "<i8"), ("done_ns", "<i8")])
"""A transfer that ended, in the log of its plane and kind; fields as in `TransferDone`."""

_pack_preempted: Final = Struct("<iqh").pack
PREEMPTED_ROW: Final = np.dtype([("request_id", "<i4"), ("at_ns", "<i8"), ("instance", "<i2")])
"""A decode instance (its index among these) had no room left for a request, which is requeued."""

_JOIN_FIELDS: Final = 3

_STAGES: Final[tuple[StageName, StageName]] = ("prefill", "decode")

_Changed = TypeVar("_Changed")


@dataclass(frozen=True, slots=True)
class Loss:
    """Workers that were lost at one instant."""

    at_ns: int
    addresses: tuple[str, ...]


class Collector(Guest):
    """Logs each message before the core handles it, because it reads what the table knew before.

    What the table keeps is not logged again. It keeps one start of decode per request, the last; so joins and token
    gaps are logged here only for requests that were requeued, after a preemption or because a worker was lost.
    Counters: `computed_tokens` by prefill; `mixed_npu_ns`, NPU-nanoseconds of aggregated instances in steps in which
    anything of prompts was computed; `hidden_ns` by plane, how long transfers flowed before all of their data
    was there; `num_failed` by plane and kind, transfers given up. `losses` are in the order of time; accounts of usage
    may have gaps there. `pool_reports`: those of the cache pools; `policy_reports`: the last of each cache that asks a
    policy. `lost_capacity` is (time, bytes per second lost by plane) at each change of parts, `part_changes` (time,
    parts that are broken from then on). `scalings`: when it was decided that instances come or go, and which.
    `warmup_end`: how it stood when a warm-up ended, if one has.
    """

    hears = (
        TransferDone, PrefillStepped, DecodeStepped, UsageReported, RunEnded, WorkersLost, TransferFailed, PartsChanged,
        CacheReported, CachePolicyReported, FleetScaled,
    )  # fmt: skip

    def __init__(
        self, table: RequestTable, instances: Sequence[MeteredInstance], *, comes_and_goes: bool = False
    ) -> None:
        self.table: Final = table
        self.instances: Final = tuple(instances)
        self._may_come_and_go = comes_and_goes
        self.ended_ns = 0
        self.computed_tokens = 0
        self.mixed_npu_ns = 0
        self.pool_reports = PoolReports()
        self.policy_reports = dict[str, CachePolicyReported]()
        self._index = {instance.address: index for index, instance in enumerate(instances)}
        self._mixed_npus = {one.address: one.num_npus for one in instances if one.role == "aggregated"}
        self._usage = bytearray()
        self._begun = bytearray()
        self._runs = bytearray()
        self._transfers = [[bytearray() for _ in TransferKind] for _ in Plane]
        self.hidden_ns: Final = [0] * len(Plane)
        self.num_failed: Final = [[0] * len(TransferKind) for _ in Plane]
        self.lost_capacity: Final = list[tuple[int, list[int]]]()
        self.part_changes: Final = list[tuple[int, list[str]]]()
        self.losses: Final[list[Loss]] = []
        self.scalings: Final = list[tuple[int, FleetScaled]]()
        self.warmup_end: WarmupEnd | None = None
        self._preempted = bytearray()
        self._has_set_back_by = False
        self._joins = array("q")
        self._resumed_gaps_ns = array("q")

    def before(self, now_ns: int, message: Any) -> Outputs:
        """Log one message to the core.

        Everything is in this one function, and branches are on the class, because calls and a table of handlers would
        cost a third more. `message` is a `Message`; pyright could not follow which one.
        """
        kind = message.__class__
        if kind is TransferDone:
            row = _pack_transfer(message.num_bytes, message.duration_ns, message.done_ns)
            self._transfers[message.plane][message.kind] += row
            if message.hidden_ns:
                self.hidden_ns[message.plane] += message.hidden_ns
        elif kind is PrefillStepped:
            usage, index = message.usage, self._index[message.instance]
            self._usage += _pack_usage(index, usage.start_ns, usage.end_ns, usage.busy_ns, usage.joules)
            self.computed_tokens += message.computed_tokens
            if self._mixed_npus:
                self.mixed_npu_ns += self._mixed_npus.get(message.instance, 0) * usage.busy_ns
            if message.started_ids:
                self._begun += _pack_begun(message.boundary_ns, *begun_tokens(self.table, message))
            if self._has_set_back_by and message.prefilled_ids:
                self._log_resumed_tokens(message)
        elif kind is DecodeStepped:
            usage, index = message.usage, self._index[message.instance]
            self._usage += _pack_usage(index, usage.start_ns, usage.end_ns, usage.busy_ns, usage.joules)
            if message.num_steps:
                self._runs += _pack_run(
                    index,
                    message.boundary_ns,
                    message.steps_ns,
                    message.num_steps,
                    message.first_step_ns,
                    message.last_step_ns,
                    message.num_running,
                )
            if message.preempted_ids:
                self._log_preempted(message)
            if self._has_set_back_by and message.started_ids:
                self._log_rejoined(message)
        elif kind is UsageReported:
            usage, index = message.usage, self._index[message.instance]
            self._usage += _pack_usage(index, usage.start_ns, usage.end_ns, usage.busy_ns, usage.joules)
        elif kind is RunEnded:
            self.ended_ns = now_ns
        elif kind is WorkersLost:
            if not message.as_commanded:
                self.losses.append(Loss(now_ns, tuple(message.addresses)))
                self._log_lost(message)
        elif kind is TransferFailed:
            self.num_failed[message.plane][message.kind] += 1
            # Whose KV is out of reach is requeued; it has joined no decode instance yet.
            self._has_set_back_by = True
        elif kind is PartsChanged:
            self.lost_capacity.append((message.changed_ns, message.lost_bytes_per_s))
            self.part_changes.append((message.changed_ns, message.failed_parts))
        elif kind is FleetScaled:
            self.scalings.append((now_ns, message))
        elif kind is CacheReported:
            self.pool_reports.add(message)
        elif kind is CachePolicyReported:
            self.policy_reports[message.address] = message
        return NOTHING

    def note_warmup_end(self, at_ns: int, first_request: int) -> None:
        """What is counted begins now, with this request."""
        num_failed = tuple(tuple(by_kind) for by_kind in self.num_failed)
        self.warmup_end = WarmupEnd(
            at_ns,
            first_request,
            self.computed_tokens,
            tuple(self.hidden_ns),
            num_failed,
            len(self._resumed_gaps_ns),
            self.mixed_npu_ns,
        )

    def later_part(self, end: WarmupEnd) -> Collector:
        """What it would have logged had the run begun with the end of the warm-up: times count from there.

        Its table is that of the whole run, and so are the reports of cache pools, which come at its end.
        """
        at_ns = end.at_ns
        later = Collector(self.table, self.instances, comes_and_goes=self.comes_and_goes)
        later.ended_ns = self.ended_ns - at_ns
        later.computed_tokens = self.computed_tokens - end.computed_tokens
        later.mixed_npu_ns = self.mixed_npu_ns - end.mixed_npu_ns
        later.pool_reports = self.pool_reports
        later.policy_reports = self.policy_reports
        later._usage += later_usage(self.usage_rows(), at_ns).tobytes()
        later._runs += later_runs(self.run_rows(), at_ns).tobytes()
        later._begun += later_events(self.begun_rows(), at_ns, "boundary_ns").tobytes()
        later._preempted += later_events(self.preempted_rows(), at_ns, "at_ns").tobytes()
        for plane in Plane:
            later.hidden_ns[plane] = self.hidden_ns[plane] - end.hidden_ns[plane]
            for kind in TransferKind:
                later._transfers[plane][kind] += later_events(self.flow_rows(plane, kind), at_ns, "done_ns").tobytes()
                later.num_failed[plane][kind] = self.num_failed[plane][kind] - end.num_failed[plane][kind]
        later.losses.extend(Loss(loss.at_ns - at_ns, loss.addresses) for loss in self.losses)
        later.scalings.extend((time_ns - at_ns, one) for time_ns, one in self.scalings if time_ns >= at_ns)
        later.lost_capacity.extend(_from(self.lost_capacity, at_ns))
        later.part_changes.extend(_from(self.part_changes, at_ns))
        for instance, joined_ns, previous_token_ns in self.logged_joins().tolist():
            later._joins.extend((instance, joined_ns - at_ns, previous_token_ns - at_ns))
        later._resumed_gaps_ns += self._resumed_gaps_ns[end.num_resumed_gaps :]
        return later

    def _log_resumed_tokens(self, message: PrefillStepped) -> None:
        """A request that was requeued gets its next token from a prefill pass: a gap that no decode step shows."""
        first_ns, last_ns = self.table.first_token_ns, self.table.last_token_ns
        for request_id in message.prefilled_ids:
            if first_ns[request_id] != NOT_YET:
                self._resumed_gaps_ns.append(message.boundary_ns - last_ns[request_id])

    def _log_preempted(self, message: DecodeStepped) -> None:
        """Keep what the core is about to forget: the first join."""
        self._has_set_back_by = True
        instance = self._addresses("decode").index(message.instance)
        for request_id in message.preempted_ids:
            self._preempted += _pack_preempted(request_id, message.boundary_ns, instance)
            self._log_first_join(request_id)

    def _log_lost(self, message: WorkersLost) -> None:
        """The same for all that the core is about to requeue because these were lost."""
        table = self.table
        prefill, decode = (
            [index for index, address in enumerate(self._addresses(stage)) if address in message.addresses]
            for stage in _STAGES
        )
        pools = (instance.pool for instance in self.instances if is_of_stage(instance.role, "prefill"))
        poolless = [index for index, pool in enumerate(pools) if pool in message.addresses]
        for request_id in set_back_by(table, range(table.num_requests), prefill, decode, poolless):
            self._has_set_back_by = True
            if table.state[request_id] == State.DECODING:
                self._log_first_join(request_id)

    @property
    def comes_and_goes(self) -> bool:
        """Whether instances do, by an autoscaler or because an operator says so: some are not there at times."""
        return self._may_come_and_go or bool(self.scalings)

    @property
    def failed_parts(self) -> list[str]:
        """Parts of the fabric that are broken now."""
        return self.part_changes[-1][1] if self.part_changes else []

    @property
    def has_gaps(self) -> bool:
        """Whether an account may not join the one before: a worker was lost, or was not there."""
        return bool(self.losses) or self.comes_and_goes

    def _addresses(self, stage: StageName) -> list[str]:
        return [instance.address for instance in self.instances if is_of_stage(instance.role, stage)]

    def _log_first_join(self, request_id: int) -> None:
        """If it is the first time that it is requeued; later joins are logged as they happen."""
        table = self.table
        if not (table.preemptions[request_id] or table.retries[request_id]):
            self._log_join(request_id, table.decode_started_ns[request_id], table.first_token_ns[request_id])

    def _log_rejoined(self, message: DecodeStepped) -> None:
        table = self.table
        for request_id in message.started_ids:
            if table.preemptions[request_id] or table.retries[request_id]:
                self._log_join(request_id, message.boundary_ns, table.last_token_ns[request_id])

    def _log_join(self, request_id: int, joined_ns: int, previous_token_ns: int) -> None:
        self._joins.extend((self.table.decode_instance[request_id], joined_ns, previous_token_ns))

    def usage_rows(self) -> Rows:
        """`USAGE_ROW` in the order of reporting, shape (num_accounts,). Of this and the next two: a view, and the log
        cannot grow while it lives."""
        return np.frombuffer(self._usage, USAGE_ROW)

    def run_rows(self) -> Rows:
        """`RUN_ROW` in the order of reporting, shape (num_runs,)."""
        return np.frombuffer(self._runs, RUN_ROW)

    def begun_rows(self) -> Rows:
        """`BEGUN_ROW` in the order of reporting, shape (num_passes,); the log cannot grow while the view lives."""
        return np.frombuffer(self._begun, BEGUN_ROW)

    def flow_rows(self, plane: Plane, kind: TransferKind) -> Rows:
        """`TRANSFER_ROW` of one kind on one plane in the order of reporting, shape (num_transfers,)."""
        return np.frombuffer(self._transfers[plane][kind], TRANSFER_ROW)

    def transfer_rows(self, plane: Plane) -> Rows:
        """`TRANSFER_ROW` of one plane, a copy, kind after kind."""
        return np.concatenate([self.flow_rows(plane, kind) for kind in TransferKind])

    def preempted_rows(self) -> Rows:
        """`PREEMPTED_ROW` in the order of reporting; the log cannot grow while the view lives."""
        return np.frombuffer(self._preempted, PREEMPTED_ROW)

    def logged_joins(self) -> Ints:
        """(index among decode instances, time of joining, time of the token before), shape (num_joins, 3), in ns, of
        requests that were requeued."""
        return np.array(self._joins, np.int64).reshape(-1, _JOIN_FIELDS)

    def resumed_gaps_ns(self) -> Ints:
        """From the last token before each recomputation to the next, made by prefill; shape (num_recomputations,)."""
        return np.array(self._resumed_gaps_ns, np.int64)


def _from(changes: Sequence[tuple[int, _Changed]], at_ns: int) -> list[tuple[int, _Changed]]:
    """Of (time, what holds from then on), those from an instant on, and at first what held then."""
    before = [(0, changed) for time_ns, changed in changes if time_ns <= at_ns]
    return [*before[-1:], *((time_ns - at_ns, changed) for time_ns, changed in changes if time_ns > at_ns)]
