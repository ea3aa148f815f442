"""Builders of tables and reports; each test says only what it varies. Times are nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import DecodeStepped, PrefillStepped, RunEnded, TransferDone, Usage, UsageReported

SECOND = 1_000_000_000

PREFILL = MeteredInstance("prefill-0", "prefill", 16)
DECODE = MeteredInstance("decode-0", "decode", 160)


@dataclass(frozen=True)
class Request:
    """A row of the table; by default one that finished with three tokens."""

    arrived_ns: int = 0
    prefill_started_ns: int = 1 * SECOND
    first_token_ns: int = 2 * SECOND
    decode_started_ns: int = 3 * SECOND
    last_token_ns: int = 6 * SECOND
    ended_ns: int = 6 * SECOND
    prompt_tokens: int = 100
    cached_tokens: int = 0
    output_tokens: int = 3
    reason: FinishReason = FinishReason.STOP
    preemptions: int = 0
    retries: int = 0
    prefill_instance: int = 0
    decode_instance: int = 0


def rejected(arrived_ns: int = 0, reason: FinishReason = FinishReason.OVERLOAD) -> Request:
    """A request that ended when it arrived."""
    return Request(
        arrived_ns,
        prefill_started_ns=NOT_YET,
        first_token_ns=NOT_YET,
        decode_started_ns=NOT_YET,
        last_token_ns=NOT_YET,
        ended_ns=arrived_ns,
        output_tokens=0,
        reason=reason,
        prefill_instance=NOT_YET,
        decode_instance=NOT_YET,
    )


def one_token(arrived_ns: int = 0, first_token_ns: int = 2 * SECOND) -> Request:
    """A request that ended with its first token."""
    return Request(
        arrived_ns,
        first_token_ns=first_token_ns,
        decode_started_ns=NOT_YET,
        last_token_ns=first_token_ns,
        ended_ns=first_token_ns,
        output_tokens=1,
    )


def table_of(*requests: Request) -> RequestTable:
    """A table with these rows."""
    table = RequestTable()
    for request in requests:
        (request_id,) = table.add(request.arrived_ns, [request.prompt_tokens])
        for name, value in vars(request).items():
            getattr(table, name)[request_id] = value
    return table


def collector_of(
    table: RequestTable | None = None, instances: Sequence[MeteredInstance] = (PREFILL, DECODE), *messages: object
) -> Collector:
    """A collector that has seen these messages."""
    collector = Collector(table_of() if table is None else table, instances)
    for message in messages:
        collector.before(0, message)
    return collector


def usage(start_ns: int = 0, end_ns: int = 0, busy_ns: int = 0, joules: float = 0.0) -> Usage:
    """An account."""
    return Usage(start_ns, end_ns, busy_ns, joules)


def passed(
    boundary_ns: int,
    *,
    started: Sequence[int] = (),
    done: Sequence[int] = (),
    computed: int = 0,
    account: Usage | None = None,
    at: str = "prefill-0",
) -> PrefillStepped:
    """A boundary between passes."""
    return PrefillStepped(at, boundary_ns, list(started), [], [], list(done), [], computed, account or usage())


def stepped(
    boundary_ns: int,
    steps: Sequence[int] = (),
    *,
    running: int = 1,
    started: Sequence[int] = (),
    preempted: Sequence[int] = (),
    account: Usage | None = None,
    at: str = "decode-0",
) -> DecodeStepped:
    """A run of steps of these lengths, which are told by the first, the last and the sum."""
    first, last = (steps[0], steps[-1]) if steps else (0, 0)
    return DecodeStepped(
        at,
        boundary_ns,
        sum(steps),
        len(steps),
        first,
        last,
        running if steps else 0,
        len(steps),
        0,
        list(started),
        [],
        [],
        [],
        list(preempted),
        [1] * len(preempted),
        account or usage(),
    )


def moved(done_ns: int, num_bytes: int = 1, duration_ns: int = 1, plane: Plane = Plane.RDMA) -> TransferDone:
    """A transfer that ended."""
    return TransferDone(0, TransferKind.KV_TRANSFER, plane, done_ns, num_bytes, duration_ns, 0)


def final(account: Usage, at: str = "prefill-0") -> UsageReported:
    """A last account."""
    return UsageReported(at, account)


def end_run(collector: Collector, now_ns: int) -> Collector:
    """The end of the run, and the collector."""
    collector.before(now_ns, RunEnded(interrupted=False))
    return collector
