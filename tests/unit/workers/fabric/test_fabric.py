"""Transfers take what closed forms say, alone and beside others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.messages import (
    CancelTransfer,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    RepairParts,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferFailed,
)
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import part_of
from tests.unit.workers.fabric.made_up_fabric import (
    BYTES,
    DIES,
    GB,
    KV_TRANSFER,
    LATENCY_NS,
    RANKS,
    READ,
    UB_LINES,
    WRITE,
    done_at,
    make_fabric,
    moving,
    run,
)
from workers.fabric.fabric import Fabric
from workers.fabric.routes import source_rank


@pytest.mark.parametrize(
    ("message", "duration_ns"),
    [
        (moving(0, 25), 1_000_000 + LATENCY_NS),  # a stream of 25 GB/s
        (moving(0, 25, 5, 5, dies=[0, 1, 3]), 1_000_000 + LATENCY_NS),  # as long as its longest
        (moving(0, *[25] * 8), 2_000_000 + LATENCY_NS),  # eight streams over one rank, of 100 GB/s
        (moving(0, *[25] * 8, dies=[0, 1, 2, 3] * 2), 1_000_000 + LATENCY_NS),  # over two ranks to four dies
        (moving(0, 40, kind=READ), 100_000 + 1_000),  # four dies at 100 GB/s each
        (moving(0, 30, 10, kind=READ), 100_000 + 1_000),
    ],
)
def test_alone_a_transfer_takes_its_latency_and_its_bytes_at_the_measured_rate(
    message: StartTransfer, duration_ns: int
) -> None:
    done = done_at(make_fabric(), [(7, message)])[0]
    assert (done.duration_ns, done.done_ns) == (duration_ns, 7 + duration_ns)
    assert done.num_bytes == sum(message.num_tokens) * BYTES


def test_flows_share_a_link_and_those_that_stay_get_more_when_one_ends() -> None:
    # 25 GB/s into decode for two streams: both have half until the short one ends after 2 ms.
    told = done_at(make_fabric(into_gb=25), [(0, moving(0, 25)), (0, moving(1, 50, prefill="p1"))])
    assert told[0].done_ns == 2_000_000 + LATENCY_NS
    assert told[1].done_ns == 3_000_000 + LATENCY_NS


def test_who_joins_late_slows_those_under_way() -> None:
    # The first has 12.5 MB left when the second comes, and both then have 12.5 GB/s.
    told = done_at(make_fabric(into_gb=25), [(0, moving(0, 25)), (500_000, moving(1, 25, prefill="p1"))])
    assert told[0].done_ns == 1_500_000 + LATENCY_NS
    assert told[1].done_ns == 2_000_000 + LATENCY_NS


def test_a_link_that_binds_leaves_the_others_of_a_fair_share_to_who_can_use_it() -> None:
    # p0 gets only 10 GB/s out; p1 has the remaining 30 of 40 into decode, of which a stream can take 25.
    fabric = make_fabric(out_gb=10, into_gb=40)
    told = done_at(fabric, [(0, moving(0, 10)), (0, moving(1, 10)), (0, moving(2, 10, prefill="p1"))])
    assert [told[i].done_ns for i in range(3)] == [2_000_000 + LATENCY_NS] * 2 + [400_000 + LATENCY_NS]


def test_writes_share_with_reads_nothing_but_with_writes_the_way_in() -> None:
    both = [(0, moving(0, 40, kind=READ)), (0, moving(1, 40, kind=WRITE)), (0, moving(2, 40, kind=WRITE, prefill="p1"))]
    fabric = make_fabric(pool_gb=800)
    told = done_at(fabric, [*both, (500_000, moving(3, 40, kind=READ))])
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
    assert not fabric.handle(50_000, RunEnded(interrupted=True))


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
    told = done_at(make_fabric(), [(0, moving(0, 25, made=False)), (finished_ns, FinishTransfer(0))])
    assert told[0].duration_ns == exposed_ns + LATENCY_NS
    assert told[0].done_ns == finished_ns + exposed_ns + LATENCY_NS


def test_what_flows_hidden_takes_its_share_from_others() -> None:
    # The hidden part of the first, 9 of 10 MB, flows beside the second at half the rate.
    said = [(0, moving(0, 10, made=False)), (0, moving(1, 25, prefill="p1")), (3_000_000, FinishTransfer(0))]
    told = done_at(make_fabric(into_gb=25), said)
    assert told[1].done_ns == 720_000 + (25 - 9) * 40_000 + LATENCY_NS
    assert told[0].duration_ns == 40_000 + LATENCY_NS


def test_what_is_given_up_makes_room_at_once_and_is_not_told() -> None:
    said = [(0, moving(0, 25)), (0, moving(1, 25, prefill="p1")), (1_000_000, CancelTransfer(0))]
    told = done_at(make_fabric(into_gb=25), [*said, (9_000_000, CancelTransfer(1))])
    assert list(told) == [1]
    assert told[1].done_ns == 1_500_000 + LATENCY_NS


def test_readers_spread_equally_over_the_ranks_of_a_prefill_instance() -> None:
    # Decode of 320 dies reads 32 ranks: ten neighbours each.
    assert [source_rank(die, 320, 32) for die in range(320)] == [die // 10 for die in range(320)]
    assert [source_rank(die, 3, 8) for die in range(3)] == [0, 2, 5]


@given(st.integers(1, 400), st.integers(1, 64))
def test_no_rank_is_read_by_more_than_one_die_more_than_another(num_dies: int, num_ranks: int) -> None:
    ranks = [source_rank(die, num_dies, num_ranks) for die in range(num_dies)]
    assert ranks == sorted(ranks)
    readers = [ranks.count(rank) for rank in range(num_ranks)]
    assert max(readers) - min(readers) <= 1


def changed(fabric: Fabric, now_ns: int, message: Message) -> tuple[PartsChanged, list[Message]]:
    """What is told of parts, and of transfers."""
    (_, first), *others = fabric.handle(now_ns, message)
    assert isinstance(first, PartsChanged)
    return first, [said for _, said in others]


def test_who_is_cut_off_is_told_with_what_is_lost() -> None:
    fabric = make_fabric()
    told, _ = changed(fabric, 5, FailParts([RANKS[0], DIES[3], UB_LINES[1]]))
    assert told == PartsChanged(
        5,
        sorted([RANKS[0], DIES[3], UB_LINES[1]]),
        [800 * GB, 200 * GB, 0],
        [1600 * GB, 800 * GB, 0],
        [],
        ["p0", "d0"],
        [[0], [3]],
    )
    told, _ = changed(fabric, 6, FailParts([RANKS[1], *DIES]))
    assert (told.cut_instances, told.partly_cut_instances) == (["p0", "d0"], [])
    told, _ = changed(fabric, 7, RepairParts([*RANKS, *DIES, *UB_LINES]))
    assert (told.failed_parts, told.lost_bytes_per_s, told.cut_instances) == ([], [0, 0, 0], [])


def test_another_rank_serves_when_one_is_cut_off() -> None:
    fabric = make_fabric(out_gb=10)
    assert run(fabric, [(0, FailParts([RANKS[0]])), (0, moving(0, 25))]).keys() == {0}
    # Over the second rank there are 25 GB/s; over its own, mended again, 10.
    said = [(0, FailParts([RANKS[0]])), (0, moving(0, 25)), (0, RepairParts([RANKS[0]])), (0, moving(1, 25))]
    told = done_at(make_fabric(out_gb=10), said)
    assert [told[i].done_ns for i in (0, 1)] == [1_000_000 + LATENCY_NS, 2_500_000 + LATENCY_NS]


def test_a_transfer_is_given_up_at_once_when_one_of_its_ways_is_cut_off() -> None:
    # The other has the 25 GB/s of their rank to itself from then on, having had half of them.
    said = [(0, moving(0, 25, 25, dies=[0, 2])), (0, moving(1, 25, dies=[1])), (400_000, FailParts([DIES[2]]))]
    told = run(make_fabric(out_gb=25), said)
    assert told[0] == TransferFailed(0, KV_TRANSFER, Plane.RDMA)
    done = told[1]
    assert isinstance(done, TransferDone)
    assert done.done_ns == 400_000 + 800_000 + LATENCY_NS
    # What has left arrives, and what starts towards the die is given up at once.
    said = [(0, moving(0, 25, dies=[2])), (1_000_001, FailParts([DIES[2]])), (1_000_002, moving(1, 25, dies=[2]))]
    told = run(make_fabric(), said)
    assert isinstance(told[0], TransferDone)
    assert told[1] == TransferFailed(1, KV_TRANSFER, Plane.RDMA)


def test_what_a_part_carried_is_missing_at_once_and_there_again_when_it_is_mended() -> None:
    # Half of the pool's 800 GB/s out is lost from 50 to 150 us: 40 MB at the full rate, the rest of 80 at half of it.
    half = part_of(LineEnd.UB_CPU, 1)
    said = [(0, moving(0, 40, kind=READ)), (50_000, FailParts([half])), (150_000, RepairParts([half]))]
    assert done_at(make_fabric(pool_gb=800), said)[0].duration_ns == 150_000 + 1_000
    said = [(0, moving(0, 80, kind=READ)), (50_000, FailParts([half])), (150_000, RepairParts([half]))]
    assert done_at(make_fabric(pool_gb=800), said)[0].duration_ns == 250_000 + 1_000


def test_a_transfer_given_up_while_its_pass_runs_is_forgotten() -> None:
    said = [(0, moving(0, 25, made=False)), (100, FailParts(DIES)), (200, FinishTransfer(0)), (300, CancelTransfer(0))]
    assert run(make_fabric(), said) == {0: TransferFailed(0, KV_TRANSFER, Plane.RDMA)}


def test_an_unknown_part_changes_nothing() -> None:
    fabric = make_fabric()
    with pytest.raises(LookupError, match="no part"):
        fabric.handle(1, FailParts(["nothing/7"]))
    told, _ = changed(fabric, 2, FailParts([DIES[0]]))
    assert told.failed_parts == [DIES[0]]
