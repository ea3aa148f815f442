"""Whatever flows and breaks: no byte is lost or told twice, and ranks count as if all were shared out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    FailParts,
    FinishTransfer,
    Message,
    RepairParts,
    RunEnded,
    TransferDone,
)
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import part_of
from tests.unit.workers.fabric.made_up_fabric import (
    DIES,
    GB,
    KV_TRANSFER,
    LATENCY_NS,
    MB,
    NUM_DIES,
    RANKS,
    READ,
    UB_LINES,
    WRITE,
    make_fabric,
    moving,
    run,
)
from workers.fabric.background import BackgroundFlow
from workers.fabric.pool_links import PoolLinks

flows = st.tuples(
    st.integers(0, 3_000_000),
    st.sampled_from([KV_TRANSFER, KV_TRANSFER, READ, WRITE]),
    st.sampled_from(["p0", "p1"]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, NUM_DIES - 1)), min_size=1, max_size=6),
    st.sampled_from([None, None, 1_000, 700_000]),
    st.sampled_from([None, None, None, 0, 400_000]),
)
parts = st.sampled_from([*RANKS, *DIES, *UB_LINES, *(part_of(LineEnd.UB_CPU, i) for i in range(2))])
faults = st.tuples(st.integers(0, 4_000_000), st.booleans(), st.lists(parts, max_size=5))
AFTER_NS = 10**12


Drawn = list[tuple[int, TransferKind, str, list[tuple[int, int]], int | None, int | None]]
Broken = list[tuple[int, bool, list[str]] | None]


def messages(drawn: Drawn, broken: Broken) -> tuple[list[tuple[int, Message]], set[int]]:
    """What is said to the fabric, and who is given up."""
    said: list[tuple[int, Message]] = []
    given_up: set[int] = set()
    for number, (at_ns, kind, prefill, loads, hidden_ns, cancelled_ns) in enumerate(drawn):
        is_made = kind != KV_TRANSFER or hidden_ns is None
        sizes, dies = zip(*loads, strict=True)
        said.append((at_ns, moving(number, *sizes, dies=list(dies), kind=kind, prefill=prefill, made=is_made)))
        if cancelled_ns is not None:
            said.append((at_ns + cancelled_ns, CancelTransfer(number)))
            given_up.add(number)
        elif not is_made and hidden_ns is not None:
            said.append((at_ns + hidden_ns, FinishTransfer(number)))
    for fault in broken:
        if fault is not None:
            at_ns, is_mended, names = fault
            said.append((at_ns, RepairParts(names) if is_mended else FailParts(names)))
    return said, given_up


@given(
    st.lists(flows, min_size=1, max_size=16),
    st.lists(st.just(None) | faults, max_size=3),
    st.sampled_from([(25, 25), (100, 25), (25, 100), (60, 100)]),
)
def test_hand_overs_that_meet_nobody_end_as_if_all_were_shared_out(
    drawn: Drawn, broken: Broken, out_into: tuple[int, int]
) -> None:
    said, _ = messages(drawn, broken)
    # Because of what will flow beside them after the end of time, every flow is shared out with all others.
    late = BackgroundFlow(Plane.RDMA, {(0,): 1}, GB, AFTER_NS * 1_000, 1)
    out_gb, into_gb = out_into
    told = [
        run(make_fabric(out_gb=out_gb, into_gb=into_gb, background=background), said) for background in ([], [late])
    ]
    assert told[0] == told[1]


@given(
    st.lists(flows, min_size=1, max_size=12), st.lists(st.just(None) | faults, max_size=6), st.sampled_from([25, 100])
)
def test_bytes_are_told_once_or_given_up_and_no_link_carries_more_than_it_can(
    drawn: Drawn, broken: Broken, into_gb: int
) -> None:
    said, given_up = messages(drawn, broken)
    fabric = make_fabric(into_gb=into_gb, pool_gb=900)
    told = run(fabric, said)
    for _, done in fabric.handle(AFTER_NS, RunEnded(interrupted=False)):
        assert isinstance(done, TransferDone)
        assert done.transfer_id not in told
        told[done.transfer_id] = done
    assert set(range(len(drawn))) - set(told) <= given_up
    assert not fabric._transfers
    assert not any(lines._flowing for lines in fabric._all_links if isinstance(lines, PoolLinks))
    # Into a die no more has arrived by any time than its line can have carried since the first began.
    first_ns = min(at_ns for at_ns, *_ in drawn)
    arrived = dict.fromkeys(range(NUM_DIES), 0)
    for done in sorted((one for one in told.values() if isinstance(one, TransferDone)), key=lambda one: one.done_ns):
        assert done.num_bytes == MB * sum(size for size, _ in drawn[done.transfer_id][3])
        if done.kind == KV_TRANSFER:
            for size, die in drawn[done.transfer_id][3]:
                arrived[die] += size * MB
            assert max(arrived.values()) <= into_gb * (done.done_ns - LATENCY_NS - first_ns)
