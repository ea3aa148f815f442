"""The order of requests that are ready, as of any time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.sources.clients.ready_queue import ReadyQueue


def test_who_goes_on_comes_before_who_begins_then_who_was_ready_first() -> None:
    queue = ReadyQueue()
    queue.add(0, 0, begins=True)
    queue.add(1, 0, begins=True)
    queue.add(2, 8, begins=False)
    queue.add(3, 7, begins=False)
    assert queue.next_ns(0) <= 0
    assert [queue.take(9) for _ in range(4)] == [3, 2, 0, 1]
    assert queue.next_ns(9) == NEVER_NS


def test_as_of_an_earlier_time_only_that_is_ready_which_was_then() -> None:
    queue = ReadyQueue()
    queue.add(0, 10, begins=True)
    queue.add(1, 150, begins=False)
    queue.add(2, 160, begins=False)
    assert queue.take(200) == 1
    # An end of which is heard late: as of 100 the turn that was ready at 160 is not yet.
    assert queue.next_ns(100) == 10
    assert queue.take(100) == 0
    assert queue.next_ns(100) == 160


Rows = list[tuple[int, bool]]


@given(rows=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8), times=st.lists(st.integers(0, 9)))
def test_it_is_a_scan_over_all(rows: Rows, times: list[int]) -> None:
    queue, left = ReadyQueue(), list(range(len(rows)))
    for row, (ready_ns, begins) in enumerate(rows):
        queue.add(row, ready_ns, begins=begins)
    for now_ns in times:
        ready = [row for row in left if rows[row][0] <= now_ns]
        next_ns = queue.next_ns(now_ns)
        assert (next_ns <= now_ns) == bool(ready)
        if not ready:
            assert next_ns == min((rows[row][0] for row in left), default=NEVER_NS)
            continue
        first = min(ready, key=lambda row: (rows[row][1], rows[row][0], row))
        assert queue.take(now_ns) == first
        left.remove(first)
