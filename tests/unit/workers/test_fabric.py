"""Transfers take what closed forms say, alone and beside others, and no byte is lost or told twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import (
    CancelTransfer,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    Plane,
    RepairParts,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferKind,
    TransferOverdue,
)
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import MadeUpLines, part_of
from tests.sim.checkers import check_links
from workers.background import BackgroundFlow
from workers.fabric import Fabric
from workers.fabric_ways import Bundle, Channel, FabricConfig, HandOverWays, source_rank
from workers.pool_lines import PoolLines

GB = 10**9
MB = 10**6
LATENCY_NS = 5_000
BYTES = 1_000
"""Of KV, a token."""

HAND_OVER, READ, WRITE = TransferKind.HAND_OVER, TransferKind.CACHE_READ, TransferKind.CACHE_WRITE

NUM_RANKS, NUM_DIES = 2, 4
RANKS = [part_of(LineEnd.RDMA_DIE, number) for number in range(2 * NUM_RANKS)]
"""Parts with which the lines of ranks fail: two of p0, two of p1."""
DIES = [part_of(LineEnd.RDMA_DIE, 2 * NUM_RANKS + number) for number in range(NUM_DIES)]
"""Those of the dies of d0: the first two read the first rank of a prefill instance, the others the second."""
UB_LINES = [part_of(LineEnd.UB_DIE, number) for number in range(2)]


def make_fabric(
    *,
    out_gb: int = 100,
    into_gb: int = 100,
    pool_gb: int = 1_000,
    num_layers: int = 10,
    background: Sequence[BackgroundFlow] = (),
) -> Fabric:
    """Two prefill instances of two ranks, a decode instance of four dies and a pool of two halves.

    A stream takes 25 GB/s; on UB four of them 200 GB/s each for 100. `out_gb` and `into_gb` are the lines of p0's first
    rank and of the dies; p1's ranks have more than anybody takes.
    """
    rates = {
        LineEnd.RDMA_DIE: [out_gb * GB, 100 * GB, 100 * GB, 100 * GB, *[into_gb * GB] * NUM_DIES],
        LineEnd.UB_DIE: [800 * GB, 800 * GB],
        LineEnd.UB_CPU: [pool_gb * GB // 2] * 2,
    }
    links = [Bundle(LineEnd.RDMA_DIE, range(number, number + 1)) for number in range(2 * NUM_RANKS + NUM_DIES)]
    first = len(links)
    links += [Bundle(LineEnd.UB_CPU, range(2))] * 2
    channels: dict[tuple[TransferKind, Plane, str, str], Channel] = {}
    for i in (0, 1):
        links += [Bundle(LineEnd.UB_DIE, range(i, i + 1))] * 2
        into, out = first + 2 + 2 * i, first + 3 + 2 * i
        channels[READ, Plane.UB, "cache", f"p{i}"] = Channel((first, into), 200 * GB, 100 * GB, 4, 1_000)
        channels[WRITE, Plane.UB, f"p{i}", "cache"] = Channel((out, first + 1), 200 * GB, 100 * GB, 4, 1_000)
    sources = {"p0": range(NUM_RANKS), "p1": range(NUM_RANKS, 2 * NUM_RANKS)}
    hand_over = HandOverWays(sources, {"d0": range(2 * NUM_RANKS, first)}, 25 * GB, LATENCY_NS)
    lines = MadeUpLines(rates)
    return Fabric(FabricConfig(lines, links, hand_over, channels, BYTES, num_layers, background=background))


def moving(
    number: int,
    *megabytes: int,
    dies: list[int] | None = None,
    kind: TransferKind = HAND_OVER,
    prefill: str = "p0",
    made: bool = True,
) -> StartTransfer:
    """A transfer of some requests; a hand-over to these dies, all to the first if none are named."""
    plane, ends, to = Plane.UB, ("cache", prefill), list[int]()
    if kind != READ:
        ends = (prefill, "cache")
    if kind == HAND_OVER:
        plane, ends, to = Plane.RDMA, (prefill, "d0"), dies or [0] * len(megabytes)
    return StartTransfer(number, kind, plane, *ends, [size * MB // BYTES for size in megabytes], to, made)


Told = TransferDone | TransferFailed | TransferOverdue


def run(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> dict[int, Told]:
    """Say this at these times and wake the fabric when it wants to be; what it has told by the time it is silent."""
    told: dict[int, Told] = {}
    waiting = sorted(said, key=lambda one: one[0])
    while waiting or fabric.deadline_ns != NEVER_NS:
        if waiting and waiting[0][0] <= fabric.deadline_ns:
            now_ns, message = waiting.pop(0)
            outputs = fabric.handle(now_ns, message)
        else:
            now_ns = fabric.deadline_ns
            outputs = fabric.wake(now_ns)
        check_links(fabric)
        for address, done in outputs:
            assert address == "core"
            if isinstance(done, PartsChanged):
                assert done.changed_ns == now_ns
                continue
            assert isinstance(done, Told)
            assert done.transfer_id not in told
            if isinstance(done, TransferDone):
                assert done.done_ns == now_ns or done.kind == WRITE
            told[done.transfer_id] = done
    return told


def done_at(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> dict[int, TransferDone]:
    """The same, where nothing fails."""
    told = run(fabric, said)
    return {number: done for number, done in told.items() if isinstance(done, TransferDone)}


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


@pytest.mark.parametrize("kind", [HAND_OVER, READ])
def test_who_is_told_late_ends_as_if_told_in_time(kind: TransferKind) -> None:
    fabric = make_fabric()
    late, other = moving(0, 25, kind=kind), moving(1, 25, kind=kind, dies=[3], prefill="p1")
    in_time = run(make_fabric(), [(1_000, late), (9_000_000, other)])
    fabric.handle(9_000_000, other)
    fabric.handle(1_000, late)
    told: dict[int, Message] = {}
    while fabric.deadline_ns != NEVER_NS:
        now_ns = fabric.deadline_ns
        for _, done in fabric.wake(now_ns):
            assert isinstance(done, TransferDone)
            assert done.done_ns == now_ns
            told[done.transfer_id] = done
    assert told == in_time


def test_what_is_told_late_and_is_not_over_has_moved_what_it_could() -> None:
    fabric = make_fabric(pool_gb=2_000)
    fabric.handle(400_000, moving(1, 25, kind=READ, prefill="p1"))
    fabric.handle(0, moving(0, 250, kind=READ))  # at 400 GB/s for 625 us
    told = run(fabric, [])[0]
    assert isinstance(told, TransferDone)
    assert (told.done_ns, told.duration_ns) == (626_000, 626_000)


def reading(number: int, megabytes: int, give_up_ns: int) -> StartTransfer:
    """A read that nobody waits for after that time."""
    ends = Plane.UB, "cache", "p0"
    return StartTransfer(number, READ, *ends, [megabytes * MB // BYTES], [], is_made=True, give_up_ns=give_up_ns)


def test_what_lasts_too_long_is_given_up_when_its_time_has_come_and_makes_room() -> None:
    # Two streams over lines for one and a quarter: what is left has the line of its dies when the other has gone.
    fabric = make_fabric()
    told = run(fabric, [(0, reading(0, 80, 100_000)), (0, reading(1, 80, 999_999))])
    assert told[0] == TransferOverdue(0, 100_000)
    done = told[1]
    assert isinstance(done, TransferDone)
    assert done.done_ns == 100_000 + (80 * MB - 100_000 * 200) * 10**9 // (400 * GB) + 1_000
    assert fabric.deadline_ns == NEVER_NS


def test_what_ended_in_time_was_cut_or_was_cancelled_is_not_given_up_as_well() -> None:
    said = [(0, reading(0, 40, 102_000)), (0, reading(1, 40, 102_000)), (50, CancelTransfer(1))]
    told = run(make_fabric(), said)
    assert isinstance(told[0], TransferDone)
    assert told.keys() == {0}
    cut: list[tuple[int, Message]] = [(0, reading(0, 40, 101_000)), (50, FailParts([UB_LINES[0]]))]
    assert run(make_fabric(), cut) == {0: TransferFailed(0, READ, Plane.UB, 50)}


def test_a_hand_over_that_is_told_late_was_hidden_behind_the_pass_that_made_it() -> None:
    in_time = run(make_fabric(), [(0, moving(0, 25, made=False)), (700_000, FinishTransfer(0))])
    message = StartTransfer(
        0, HAND_OVER, Plane.RDMA, "p0", "d0", [25 * MB // BYTES], [0], is_made=True, made_ns=700_000
    )
    assert run(make_fabric(), [(0, message)]) == in_time


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
    assert told[0] == TransferFailed(0, HAND_OVER, Plane.RDMA, 400_000)
    done = told[1]
    assert isinstance(done, TransferDone)
    assert done.done_ns == 400_000 + 800_000 + LATENCY_NS
    # What has left arrives, and what starts towards the die is given up at once.
    said = [(0, moving(0, 25, dies=[2])), (1_000_001, FailParts([DIES[2]])), (1_000_002, moving(1, 25, dies=[2]))]
    told = run(make_fabric(), said)
    assert isinstance(told[0], TransferDone)
    assert told[1] == TransferFailed(1, HAND_OVER, Plane.RDMA, 1_000_002)


def test_what_a_part_carried_is_missing_at_once_and_there_again_when_it_is_mended() -> None:
    # Half of the pool's 800 GB/s out is lost from 50 to 150 us: 40 MB at the full rate, the rest of 80 at half of it.
    half = part_of(LineEnd.UB_CPU, 1)
    said = [(0, moving(0, 40, kind=READ)), (50_000, FailParts([half])), (150_000, RepairParts([half]))]
    assert done_at(make_fabric(pool_gb=800), said)[0].duration_ns == 150_000 + 1_000
    said = [(0, moving(0, 80, kind=READ)), (50_000, FailParts([half])), (150_000, RepairParts([half]))]
    assert done_at(make_fabric(pool_gb=800), said)[0].duration_ns == 250_000 + 1_000


def test_a_transfer_given_up_while_its_pass_runs_is_forgotten() -> None:
    said = [(0, moving(0, 25, made=False)), (100, FailParts(DIES)), (200, FinishTransfer(0)), (300, CancelTransfer(0))]
    assert run(make_fabric(), said) == {0: TransferFailed(0, HAND_OVER, Plane.RDMA, 100)}


def test_an_unknown_part_changes_nothing() -> None:
    fabric = make_fabric()
    with pytest.raises(LookupError, match="no part"):
        fabric.handle(1, FailParts(["nothing/7"]))
    told, _ = changed(fabric, 2, FailParts([DIES[0]]))
    assert told.failed_parts == [DIES[0]]


flows = st.tuples(
    st.integers(0, 3_000_000),
    st.sampled_from([HAND_OVER, HAND_OVER, READ, WRITE]),
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
        is_made = kind != HAND_OVER or hidden_ns is None
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
    assert not any(lines._flowing for lines in fabric._all_lines if isinstance(lines, PoolLines))
    # Into a die no more has arrived by any time than its line can have carried since the first began.
    first_ns = min(at_ns for at_ns, *_ in drawn)
    arrived = dict.fromkeys(range(NUM_DIES), 0)
    for done in sorted((one for one in told.values() if isinstance(one, TransferDone)), key=lambda one: one.done_ns):
        assert done.num_bytes == MB * sum(size for size, _ in drawn[done.transfer_id][3])
        if done.kind == HAND_OVER:
            for size, die in drawn[done.transfer_id][3]:
                arrived[die] += size * MB
            assert max(arrived.values()) <= into_gb * (done.done_ns - LATENCY_NS - first_ns)
