"""Requests that wait for others: ready after the last of the ends, never if one of them got no whole answer."""

from __future__ import annotations

import pytest

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ConfigError
from scheduler.sources.clients.graph_supply import GraphSupply
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.clients.supply import GateNames
from tests.unit.scheduler.sources.clients.made import Link, after, block_of, turn

JOIN: list[Link] = [
    turn(session=1, key="a"),
    turn(session=2, key="b"),
    after("a", "b", delay_ns=5, session=1, key="c"),
    after("c", session=1),
]


def supply_of(links: list[Link], *, at_times: bool = False) -> GraphSupply:
    graph = RequestGraph.of([block_of([10 * row for row in range(len(links))], links=links)])
    return GraphSupply(graph, [""], GateNames([""], {}), at_times=at_times)


def take_all(supply: GraphSupply, now_ns: int) -> list[int]:
    taken: list[int] = []
    while supply.next_ns("", now_ns) <= now_ns:
        taken.append(supply.take("", now_ns).key)
    return taken


def test_a_row_is_ready_after_the_last_of_the_ends_and_its_delay() -> None:
    supply = supply_of(JOIN)
    assert take_all(supply, 0) == [0, 1]
    assert supply.ended(0, 20, has_answer=True) == []
    assert supply.next_ns("", 20) == NEVER_NS
    assert supply.ended(1, 30, has_answer=True) == [2]
    assert supply.next_ns("", 30) == 35
    assert take_all(supply, 35) == [2]
    assert supply.has_more
    assert supply.ended(2, 40, has_answer=True) == []
    assert take_all(supply, 40) == [3]
    assert not supply.has_more
    assert supply.ended(3, 50, has_answer=True) == [1]


def test_the_last_end_counts_however_late_the_others_are_heard_of() -> None:
    supply = supply_of(JOIN)
    take_all(supply, 0)
    supply.ended(1, 30, has_answer=True)
    supply.ended(0, 20, has_answer=True)
    assert supply.next_ns("", 20) == 35


@pytest.mark.parametrize("first", [0, 1])
def test_what_waits_for_a_request_without_an_answer_never_comes(first: int) -> None:
    supply = supply_of(JOIN)
    take_all(supply, 0)
    closed = supply.ended(first, 20, has_answer=False)
    assert supply.num_given_up == 2
    assert not supply.has_more
    closed += supply.ended(1 - first, 30, has_answer=True)
    assert sorted(closed) == [1, 2]
    assert supply.num_given_up == 2
    assert supply.next_ns("", 10**9) == NEVER_NS


def test_both_without_an_answer_are_given_up_once() -> None:
    supply = supply_of(JOIN)
    take_all(supply, 0)
    closed = supply.ended(0, 20, has_answer=False) + supply.ended(1, 20, has_answer=False)
    assert sorted(closed) == [1, 2]
    assert supply.num_given_up == 2


def test_rows_that_wait_for_nobody_come_at_their_times_or_from_the_start() -> None:
    assert take_all(supply_of([turn(), turn(), turn()]), 0) == [0, 1, 2]
    supply = supply_of([turn(), turn(delay_ns=99), turn()], at_times=True)
    assert take_all(supply, 0) == [0]
    assert supply.next_ns("", 0) == 10
    assert take_all(supply, 20) == [1, 2]


def test_a_class_that_no_row_is_of_is_one_line() -> None:
    graph = RequestGraph.of([block_of([0], ["a"], links=[turn()])])
    with pytest.raises(ConfigError, match="--concurrency b=N: the trace has requests of a only; leave b out"):
        GraphSupply(graph, ["a", "b"], GateNames(["a", "b"], {}), at_times=False)
