"""Graphs of a trace: who waits for whom, by row, however its blocks are cut and whether or not rows have names."""

from __future__ import annotations

import pytest

from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock
from scheduler.sources.clients.request_graph import RequestGraph
from tests.unit.scheduler.sources.clients.made import Link, after, block_of, turn

LINKS: list[Link] = [
    turn(),  # nobody waits for it, so that it has no name
    turn(session=7, key="plan"),
    after("plan", key="left", delay_ns=3),
    turn(session=7, delay_ns=DELAY_NOT_GIVEN),
    after("plan", key="right", delay_ns=DELAY_NOT_GIVEN),
    after("left", "right", delay_ns=4),
    turn(session=7),
]
ARRIVED_NS = [0, 10, 20, 50, 45, 60, 70]


def blocks(cut: int) -> list[ArrivalBlock]:
    parts = (slice(0, cut), slice(cut, None))
    return [block_of(ARRIVED_NS[part], links=LINKS[part], first=part.start) for part in parts if ARRIVED_NS[part]]


@pytest.mark.parametrize("cut", range(8))
def test_rows_wait_for_rows_across_blocks(cut: int) -> None:
    graph = RequestGraph.of(blocks(cut))
    assert graph.num_waits == [0, 0, 1, 1, 1, 2, 1]
    assert graph.followers == {1: [2, 3, 4], 2: [5], 3: [6], 4: [5]}
    assert graph.rows.prompt_tokens == [100, 101, 102, 103, 104, 105, 106]
    # Where none is given, what passes between the rows of the trace.
    assert graph.delays_ns == [0, 0, 3, 40, 35, 4, 0]


def test_a_row_before_those_that_it_waits_for_follows_at_once() -> None:
    links = [turn(key=1), after(1, delay_ns=DELAY_NOT_GIVEN)]
    assert RequestGraph.of([block_of([10, 5], links=links)]).delays_ns == [0, 0]
