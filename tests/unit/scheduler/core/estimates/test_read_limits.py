"""Reads of the cache pool that take longer than computing would: given up, and then tried one at a time."""

from __future__ import annotations

from scheduler.core.config import CacheMode
from scheduler.core.lifecycle import State
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    Message,
    PrefillStepped,
    PrefixesFound,
    StartPrefill,
    StartTransfer,
    TransferOverdue,
    Usage,
)
from tests.unit.scheduler.core.told import Told

TOKEN_NS = 1_000


def learned(policy: str = "round_robin") -> Told:
    """A core that was told of a pass of 50 tokens."""
    told = Told(CacheMode.POOL, policy=policy)
    told.tell(PrefillStepped("p0", 1, [], [], [], [], [], 50, Usage(0, 1, 50 * TOKEN_NS, 0.0)))
    return told


def read(told: Told, cached_tokens: int = 40, ssd_tokens: int = 0) -> dict[str, list[Message]]:
    """One more request, of which the pool has so much."""
    (look_up,) = told.arrive(prefix=range(10))["cache"]
    ids = getattr(look_up, "ids")  # noqa: B009 - any message
    return told.tell(PrefixesFound("cache", ids, [cached_tokens], [ssd_tokens]))


def give_up(told: Told, flow: Message) -> dict[str, list[Message]]:
    """The time has come until which a flow may last."""
    assert isinstance(flow, StartTransfer)
    told.now_ns = flow.give_up_ns
    return told.tell(TransferOverdue(flow.transfer_id))


def test_a_read_is_waited_for_as_long_as_computing_would_take() -> None:
    told = learned()
    (flow,) = read(told, 40)["fabric"]
    assert isinstance(flow, StartTransfer)
    assert flow.give_up_ns == told.now_ns + 40 * TOKEN_NS
    (start,) = told.moved(flow, TransferKind.CACHE_READ)["p0"]
    assert isinstance(start, StartPrefill)
    assert start.cached_tokens == [40]


def test_then_it_is_given_up_and_all_is_computed() -> None:
    told = learned()
    (flow, from_ssd) = read(told, 40, ssd_tokens=10)["fabric"]
    assert isinstance(flow, StartTransfer)
    assert isinstance(from_ssd, StartTransfer)
    assert flow.give_up_ns == from_ssd.give_up_ns
    (start,) = give_up(told, flow)["p0"]
    assert isinstance(start, StartPrefill)
    assert start.cached_tokens == [0]
    assert flow.num_tokens == [40]
    assert told.core.table.cached_tokens[0] == 0
    assert told.loads()[1] == [100, 0]
    assert told.state() == State.PREFILL_QUEUED
    # Nobody waits for the other, which is given up too; and the last byte may have left before.
    assert not give_up(told, from_ssd)
    assert not told.moved(flow, TransferKind.CACHE_READ)


def test_before_any_pass_has_ended_a_read_has_no_limit() -> None:
    told = Told(CacheMode.POOL)
    (flow,) = read(told)["fabric"]
    assert isinstance(flow, StartTransfer)
    assert not flow.give_up_ns


def test_after_one_was_given_up_one_at_a_time_finds_out_whether_reads_are_fast_again() -> None:
    told = learned("least_loaded")
    for _ in range(2):
        (flow,) = read(told)["fabric"]
        give_up(told, flow)
    (probe,) = read(told)["fabric"]  # least loaded in turn: p0 again
    read(told)
    # While it is on its way, no other is begun to p0.
    said = read(told)
    (start,) = said["p0"]
    assert isinstance(start, StartPrefill)
    assert start.cached_tokens == [0]
    assert "fabric" not in said
    told.moved(probe, TransferKind.CACHE_READ)
    told.core.state.prefill.outstanding_requests[0] = 0
    assert all(read(told).get("fabric", []) for _ in range(2))
    (note,) = told.core.warnings()
    assert note.startswith("2 reads of the cache")


def test_a_read_whose_worker_is_lost_is_not_given_up_again() -> None:
    told = learned()
    (flow,) = read(told)["fabric"]
    assert isinstance(flow, StartTransfer)
    assert flow.plane == Plane.UB
    told.lose("cache")
    assert not give_up(told, flow)
