"""The room in front of the prefill stage: who waits, who goes, and that nobody idles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.guests.waiting_queue import WaitingQueue
from scheduler.policies.ordering import FirstComeFirstServed, ShortestFirst
from scheduler.policies.waiting import WaitingRequest

BACKLOG = 100


def through(room: WaitingQueue, stage: Stage) -> list[int]:
    """All that go now, each to who has least to do."""
    gone: list[int] = []
    while (request := room.pop_ready()) is not None:
        index = min(stage.up, key=stage.outstanding_tokens.__getitem__)
        stage.outstanding_tokens[index] += request.num_tokens
        gone.append(request.request_id)
    return gone


@given(
    tokens=st.lists(st.integers(1, 150), max_size=15),
    done=st.lists(st.integers(0, 200), max_size=20),
    down=st.booleans(),
)
def test_nobody_waits_while_an_instance_has_little_to_do(tokens: list[int], done: list[int], down: bool) -> None:
    stage = Stage([InstanceInfo(f"p{i}", 1, 1000) for i in range(2)])
    if down:
        stage.take_down(["p1"])
    room = WaitingQueue(stage, FirstComeFirstServed(), BACKLOG)
    room.push([WaitingRequest(number, 0, size) for number, size in enumerate(tokens)])
    gone = through(room, stage)
    for amount in done:
        index = stage.up[amount % len(stage.up)]
        stage.outstanding_tokens[index] = max(0, stage.outstanding_tokens[index] - amount)
        gone += through(room, stage)
        # INV-8 seen from here: work is held back only from those that have a backlog.
        assert not len(room) or min(stage.outstanding_tokens[i] for i in stage.up) >= BACKLOG
        assert max(stage.outstanding_tokens) < BACKLOG + 150
    assert gone == list(range(len(gone)))
    assert len(gone) + len(room) == len(tokens)


def test_the_order_decides_only_among_those_who_wait() -> None:
    stage = Stage([InstanceInfo("p0", 1, 1000)])
    room = WaitingQueue(stage, ShortestFirst(0.0), BACKLOG)
    stage.outstanding_tokens[0] = BACKLOG
    room.push([WaitingRequest(0, 0, 90), WaitingRequest(1, 0, 30), WaitingRequest(2, 0, 60)])
    assert room.pop_ready() is None
    room.remove(1)
    stage.outstanding_tokens[0] = 0
    assert through(room, stage) == [2, 0]


def test_nobody_goes_where_nobody_is_up() -> None:
    stage = Stage([InstanceInfo("p0", 1, 1000)])
    stage.take_down(["p0"])
    room = WaitingQueue(stage, FirstComeFirstServed(), BACKLOG)
    room.push([WaitingRequest(0, 0, 1)])
    assert not room.is_open
    assert room.pop_ready() is None
    stage.bring_up(["p0"])
    assert through(room, stage) == [0]
