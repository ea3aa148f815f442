"""What is told late ends as if told in time, and what lasts too long is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    RepairParts,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from tests.unit.workers.fabric.made_up_fabric import (
    BYTES,
    DIES,
    GB,
    KV_TRANSFER,
    MB,
    RANKS,
    READ,
    UB_LINES,
    make_fabric,
    moving,
    run,
)


@pytest.mark.parametrize("kind", [KV_TRANSFER, READ])
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
    assert told[0] == TransferOverdue(0)
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
    assert run(make_fabric(), cut) == {0: TransferFailed(0, READ, Plane.UB)}


def test_a_hand_over_that_is_told_late_was_hidden_behind_the_pass_that_made_it() -> None:
    in_time = run(make_fabric(), [(0, moving(0, 25, made=False)), (700_000, FinishTransfer(0))])
    message = StartTransfer(
        0, KV_TRANSFER, Plane.RDMA, "p0", "d0", [25 * MB // BYTES], [0], is_made=True, made_ns=700_000
    )
    assert run(make_fabric(), [(0, message)]) == in_time


def test_nothing_moves_before_it_is_made_where_a_part_is_broken() -> None:
    fabric = make_fabric()
    fabric.handle(0, FailParts([RANKS[3]]))
    message = StartTransfer(
        0, KV_TRANSFER, Plane.RDMA, "p0", "d0", [10 * MB // BYTES], [0], is_made=True, made_ns=700_000
    )
    (done,) = run(fabric, [(0, message)]).values()
    in_time = make_fabric()
    in_time.handle(0, FailParts([RANKS[3]]))
    assert {0: done} == run(in_time, [(0, moving(0, 10, made=False)), (700_000, FinishTransfer(0))])


_TIMES = st.integers(0, 3_000_000)


@st.composite
def _said(draw: st.DrawFn) -> list[tuple[int, int, Message]]:
    """What is said, each with the time at which it is heard and that as of which it falls due, in the order heard."""
    said: list[tuple[int, int, Message]] = []
    for number in range(draw(st.integers(1, 8))):
        told_ns, prefill = draw(_TIMES), draw(st.sampled_from(["p0", "p1"]))
        sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=3))
        tokens, dies = [size * MB // BYTES for size in sizes], [draw(st.integers(0, 3)) for _ in sizes]
        is_made, made_ns = draw(st.booleans()), draw(_TIMES)
        ends = Plane.RDMA, prefill, "d0"
        start = StartTransfer(number, KV_TRANSFER, *ends, tokens, dies, is_made, made_ns if is_made else 0)
        said.append((told_ns + draw(st.integers(0, 400_000)), told_ns, start))
        if not is_made:  # heard after the start, whenever it fell due
            heard_ns = said[-1][0] + draw(st.integers(1, 2_000_000))
            said.append((heard_ns, max(0, heard_ns - draw(_TIMES)), FinishTransfer(number)))
    for part in draw(st.lists(st.sampled_from([*RANKS, *DIES]), max_size=3, unique=True)):
        broken_ns = draw(_TIMES)
        said.append((broken_ns, broken_ns, FailParts([part])))
        repaired_ns = broken_ns + draw(_TIMES)
        said.append((repaired_ns, repaired_ns, RepairParts([part])))
    return sorted(said, key=lambda one: one[0])


@given(_said())
def test_whatever_is_late_or_breaks_no_time_is_negative_and_nothing_ends_before_it_is_there(
    said: list[tuple[int, int, Message]],
) -> None:
    fabric = make_fabric()
    made_ns = {
        message.transfer_id: due_ns
        for _, due_ns, message in said
        if isinstance(message, FinishTransfer | StartTransfer)
    }
    for _, due_ns, message in said:
        if isinstance(message, StartTransfer) and message.is_made:
            made_ns[message.transfer_id] = max(due_ns, message.made_ns)
    ended: list[int] = []
    while said or fabric.deadline_ns != NEVER_NS:
        if said and said[0][0] <= fabric.deadline_ns:
            _, due_ns, message = said.pop(0)
            outputs = fabric.handle(due_ns, message)
        else:
            outputs = fabric.wake(fabric.deadline_ns)
        for _, told in outputs:
            if isinstance(told, TransferDone):
                assert told.hidden_ns >= 0
                assert told.duration_ns == told.done_ns - made_ns[told.transfer_id] > 0
                ended.append(told.transfer_id)
            elif isinstance(told, TransferFailed):
                ended.append(told.transfer_id)
            else:
                assert isinstance(told, PartsChanged)
    assert sorted(ended) == sorted(made_ns)
