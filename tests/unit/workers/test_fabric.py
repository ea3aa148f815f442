"""Transfers take what closed forms say, alone and beside others, and no byte is lost or told twice."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import (
    CancelTransfer,
    FinishTransfer,
    Message,
    Plane,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferKind,
)
from workers.fabric import Channel, Fabric, FabricConfig

GB = 10**9
MB = 10**6
LATENCY_NS = 5_000
BYTES = 1_000
"""Of KV, a token."""

HAND_OVER, READ, WRITE = TransferKind.HAND_OVER, TransferKind.CACHE_READ, TransferKind.CACHE_WRITE


def make_fabric(*, out_gb: int = 100, into_gb: int = 100, pool_gb: int = 1_000, num_layers: int = 10) -> Fabric:
    """Two prefill instances of four dies, one decode instance and a pool; a stream takes 25 GB/s, on UB 200 for 100."""
    channels: dict[tuple[TransferKind, Plane, str, str], Channel] = {}
    for i in (0, 1):
        hand_over = Channel((i, 2), 25 * GB, 25 * GB, None, LATENCY_NS)
        channels[HAND_OVER, Plane.RDMA, f"p{i}", "d0"] = hand_over
        channels[READ, Plane.UB, "cache", f"p{i}"] = Channel((3, 4 + i), 200 * GB, 100 * GB, 4, 1_000)
        channels[WRITE, Plane.UB, f"p{i}", "cache"] = Channel((6 + i, 8), 200 * GB, 100 * GB, 4, 1_000)
    gigabytes = [out_gb, out_gb, into_gb, pool_gb, 800, 800, 800, 800, pool_gb]
    return Fabric(FabricConfig([rate * GB for rate in gigabytes], channels, BYTES, num_layers))


def moving(
    number: int, *megabytes: int, kind: TransferKind = HAND_OVER, prefill: str = "p0", made: bool = True
) -> Message:
    plane, ends = Plane.UB, ("cache", prefill)
    if kind != READ:
        ends = (prefill, "cache")
    if kind == HAND_OVER:
        plane, ends = Plane.RDMA, (prefill, "d0")
    return StartTransfer(number, kind, plane, *ends, [size * MB // BYTES for size in megabytes], made)


def run(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> dict[int, TransferDone]:
    """Say this at these times and wake the fabric when it wants to be; what it has told by the time it is silent."""
    told: dict[int, TransferDone] = {}
    waiting = sorted(said, key=lambda one: one[0])
    while waiting or fabric.deadline_ns != NEVER_NS:
        if waiting and waiting[0][0] <= fabric.deadline_ns:
            now_ns, message = waiting.pop(0)
            outputs = fabric.handle(now_ns, message)
        else:
            now_ns = fabric.deadline_ns
            outputs = fabric.wake(now_ns)
        for address, done in outputs:
            assert address == "core"
            assert isinstance(done, TransferDone)
            assert done.transfer_id not in told
            assert done.done_ns == now_ns or done.kind == WRITE
            told[done.transfer_id] = done
    return told


@pytest.mark.parametrize(
    ("message", "duration_ns"),
    [
        (moving(0, 25), 1_000_000 + LATENCY_NS),  # a stream of 25 GB/s
        (moving(0, 25, 5, 5), 1_000_000 + LATENCY_NS),  # as long as its longest
        (moving(0, *[25] * 8), 2_000_000 + LATENCY_NS),  # eight streams on the lines of four dies
        (moving(0, 40, kind=READ), 100_000 + 1_000),  # four dies at 100 GB/s each
        (moving(0, 30, 10, kind=READ), 100_000 + 1_000),
    ],
)
def test_alone_a_transfer_takes_its_latency_and_its_bytes_at_the_measured_rate(
    message: Message, duration_ns: int
) -> None:
    done = run(make_fabric(), [(7, message)])[0]
    assert (done.duration_ns, done.done_ns) == (duration_ns, 7 + duration_ns)
    assert isinstance(message, StartTransfer)
    assert done.num_bytes == sum(message.num_tokens) * BYTES


def test_flows_share_a_link_and_those_that_stay_get_more_when_one_ends() -> None:
    # 25 GB/s into decode for two streams: both have half until the short one ends after 2 ms.
    told = run(make_fabric(into_gb=25), [(0, moving(0, 25)), (0, moving(1, 50, prefill="p1"))])
    assert told[0].done_ns == 2_000_000 + LATENCY_NS
    assert told[1].done_ns == 3_000_000 + LATENCY_NS


def test_who_joins_late_slows_those_under_way() -> None:
    # The first has 12.5 MB left when the second comes, and both then have 12.5 GB/s.
    told = run(make_fabric(into_gb=25), [(0, moving(0, 25)), (500_000, moving(1, 25, prefill="p1"))])
    assert told[0].done_ns == 1_500_000 + LATENCY_NS
    assert told[1].done_ns == 2_000_000 + LATENCY_NS


def test_a_link_that_binds_leaves_the_others_of_a_fair_share_to_who_can_use_it() -> None:
    # p0 gets only 10 GB/s out; p1 has the remaining 30 of 40 into decode, of which a stream can take 25.
    fabric = make_fabric(out_gb=10, into_gb=40)
    told = run(fabric, [(0, moving(0, 10)), (0, moving(1, 10)), (0, moving(2, 10, prefill="p1"))])
    assert [told[i].done_ns for i in range(3)] == [2_000_000 + LATENCY_NS] * 2 + [1_000_000 + LATENCY_NS]


def test_writes_share_with_reads_nothing_but_with_writes_the_way_in() -> None:
    both = [(0, moving(0, 40, kind=READ)), (0, moving(1, 40, kind=WRITE)), (0, moving(2, 40, kind=WRITE, prefill="p1"))]
    fabric = make_fabric(pool_gb=800)
    told = run(fabric, [*both, (500_000, moving(3, 40, kind=READ))])
    # At half the rate, the other half of the line is lost to the kind of access.
    assert [told[i].duration_ns for i in range(3)] == [101_000, 201_000, 201_000]


def test_a_write_wakes_nobody_and_is_told_at_the_end_at_the_latest() -> None:
    fabric = make_fabric()
    fabric.handle(0, moving(0, 40, kind=WRITE))
    assert fabric.deadline_ns == NEVER_NS
    ((_, done),) = fabric.handle(50_000, RunEnded(interrupted=False))
    assert isinstance(done, TransferDone)
    assert done.done_ns == 101_000
    fabric = make_fabric()
    fabric.handle(0, moving(0, 40, kind=WRITE))
    assert fabric.handle(50_000, RunEnded(interrupted=True)) == ()


@pytest.mark.parametrize(
    ("finished_ns", "exposed_ns"),
    [
        (0, 1_000_000),
        (300_000, 700_000),
        (900_000, 100_000),
        (5_000_000, 100_000),  # the last of ten layers
    ],
)
def test_only_what_the_pass_has_not_hidden_is_waited_for(finished_ns: int, exposed_ns: int) -> None:
    told = run(make_fabric(), [(0, moving(0, 25, made=False)), (finished_ns, FinishTransfer(0))])
    assert told[0].duration_ns == exposed_ns + LATENCY_NS
    assert told[0].done_ns == finished_ns + exposed_ns + LATENCY_NS


def test_what_flows_hidden_takes_its_share_from_others() -> None:
    # The hidden part of the first, 9 of 10 MB, flows beside the second at half the rate.
    said = [(0, moving(0, 10, made=False)), (0, moving(1, 25, prefill="p1")), (3_000_000, FinishTransfer(0))]
    told = run(make_fabric(into_gb=25), said)
    assert told[1].done_ns == 720_000 + (25 - 9) * 40_000 + LATENCY_NS
    assert told[0].duration_ns == 40_000 + LATENCY_NS


def test_what_is_given_up_makes_room_at_once_and_is_not_told() -> None:
    said = [(0, moving(0, 25)), (0, moving(1, 25, prefill="p1")), (1_000_000, CancelTransfer(0))]
    told = run(make_fabric(into_gb=25), [*said, (9_000_000, CancelTransfer(1))])
    assert list(told) == [1]
    assert told[1].done_ns == 1_500_000 + LATENCY_NS


flows = st.tuples(
    st.integers(0, 3_000_000),
    st.sampled_from([HAND_OVER, HAND_OVER, READ, WRITE]),
    st.sampled_from(["p0", "p1"]),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from([None, None, 1_000, 700_000]),
    st.sampled_from([None, None, None, 0, 400_000]),
)


@given(st.lists(flows, min_size=1, max_size=12), st.sampled_from([25, 60, 100]))
def test_bytes_are_told_once_or_given_up_and_no_link_carries_more_than_it_can(
    drawn: list[tuple[int, TransferKind, str, list[int], int | None, int | None]], into_gb: int
) -> None:
    said: list[tuple[int, Message]] = []
    given_up: set[int] = set()
    for number, (at_ns, kind, prefill, sizes, hidden_ns, cancelled_ns) in enumerate(drawn):
        is_made = kind != HAND_OVER or hidden_ns is None
        said.append((at_ns, moving(number, *sizes, kind=kind, prefill=prefill, made=is_made)))
        if cancelled_ns is not None:
            said.append((at_ns + cancelled_ns, CancelTransfer(number)))
            given_up.add(number)
        elif not is_made and hidden_ns is not None:
            said.append((at_ns + hidden_ns, FinishTransfer(number)))
    fabric = make_fabric(into_gb=into_gb, pool_gb=900)
    told = run(fabric, said)
    for _, done in fabric.handle(10**12, RunEnded(interrupted=False)):
        assert isinstance(done, TransferDone)
        told[done.transfer_id] = done
    assert set(range(len(drawn))) - set(told) <= given_up
    assert not fabric._flows
    hand_overs = sorted((done.done_ns, done.num_bytes) for done in told.values() if done.kind == HAND_OVER)
    first_ns = min(at_ns for at_ns, *_ in drawn)
    arrived = 0
    for done_ns, num_bytes in hand_overs:
        arrived += num_bytes
        assert arrived <= into_gb * (done_ns - LATENCY_NS - first_ns)
