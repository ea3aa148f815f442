"""The component: what it says and when, told of ends on time and late."""

from __future__ import annotations

from itertools import repeat

import pytest

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    ArrivalsEnded,
    ReportUsage,
    RequestsArrived,
    RequestsEnded,
    RunEnded,
    SessionsClosed,
)
from scheduler.sources.arrivals import Trace
from scheduler.sources.clients.client_source import ClientSource
from scheduler.sources.clients.gates import Gate
from scheduler.sources.clients.groups import ClientGroup, ThinkTime
from scheduler.sources.clients.play import client_source
from scheduler.sources.clients.row_supply import RowSupply
from scheduler.sources.clients.supply import GateNames
from tests.unit.scheduler.sources.clients.made import Link, after, block_of, turn

STOP, OVERLOAD = int(FinishReason.STOP), int(FinishReason.OVERLOAD)


def rows_source(num_rows: int, number: int, think_ns: int = 0) -> ClientSource:
    """So many clients of as many rows."""
    supply = RowSupply(iter([block_of([7] * num_rows)]), [""], GateNames([""], {}))
    return ClientSource(supply, {"": Gate([0] * number, repeat(think_ns))}, 512)


def graph_source(links: list[Link], number: int = 0) -> ClientSource:
    """Rows that wait for rows, ten nanoseconds apart; asked for by clients, if there are any."""
    trace = Trace("t", 512, None, iter([block_of([10 * row for row in range(len(links))], links=links)]))
    groups = [ClientGroup(number)] if number else []
    return client_source(trace, groups, waits=True, seed=0)


def ended(*keys: int, at_ns: int, reason: int = STOP) -> RequestsEnded:
    return RequestsEnded(list(keys), [reason] * len(keys), [at_ns] * len(keys))


def said(outputs: Outputs) -> list[object]:
    """Keys for arrivals, sessions for those that are closed, else the kind; all of it goes to the core."""
    told: list[object] = []
    for address, message in outputs:
        assert address == "core"
        if isinstance(message, RequestsArrived):
            assert message.reply_to == "source"
            assert message.prompt_tokens == [100 + key for key in message.keys]
            told.append(message.keys)
        else:
            told.append(message.sessions if isinstance(message, SessionsClosed) else type(message))
    return told


def test_as_many_are_in_flight_as_there_are_clients() -> None:
    source = rows_source(4, 2, think_ns=5)
    assert source.deadline_ns == 0
    assert said(source.wake(0)) == [[0, 1]]
    assert source.deadline_ns == NEVER_NS
    assert not source.handle(20, ended(1, at_ns=20))
    assert source.deadline_ns == 25
    assert said(source.wake(25)) == [[2]]
    source.handle(30, ended(0, 2, at_ns=30))
    assert said(source.wake(source.deadline_ns)) == [[3], ArrivalsEnded]
    assert source.deadline_ns == NEVER_NS
    assert not source.handle(90, ended(3, at_ns=90))


def test_who_does_not_think_asks_in_the_same_instant() -> None:
    source = rows_source(2, 1)
    source.wake(0)
    assert said(source.handle(20, ended(0, at_ns=20))) == [[1], ArrivalsEnded]


def test_an_end_that_is_heard_late_is_answered_as_of_its_time() -> None:
    source = rows_source(9, 2)
    source.wake(0)
    arrived: list[int] = []
    for at_ns, key in ((200, 0), (150, 1)):
        for _, message in source.handle(at_ns, ended(key, at_ns=at_ns)):
            assert isinstance(message, RequestsArrived)
            arrived.append(message.arrived_ns)
    assert arrived == [200, 150]


def test_turns_and_joins_come_after_what_they_wait_for() -> None:
    links = [turn(1, key="a"), turn(1, delay_ns=5, key="b"), after("a", "b", session=2)]
    source = graph_source(links)
    assert said(source.wake(0)) == [[0]]
    assert source.handle(20, ended(0, at_ns=20)) == []
    assert source.deadline_ns == 25
    assert said(source.wake(25)) == [[1]]
    assert said(source.handle(40, ended(1, at_ns=40))) == [[1], [2], ArrivalsEnded]
    assert said(source.handle(50, ended(2, at_ns=50))) == [[2]]


def test_the_end_is_said_when_all_that_is_left_can_never_come() -> None:
    source = graph_source([turn(1), turn(1)], number=3)
    assert said(source.wake(0)) == [[0]]
    assert not source.warnings()
    assert said(source.handle(0, ended(0, at_ns=0, reason=OVERLOAD))) == [[1], ArrivalsEnded]
    assert source.warnings() == ["1 requests never came: what they wait for got no whole answer"]
    assert source.deadline_ns == NEVER_NS


def test_who_goes_on_comes_before_who_begins() -> None:
    source = graph_source([turn(1), turn(2), turn(1)], number=1)
    assert said(source.wake(0)) == [[0]]
    assert said(source.handle(20, ended(0, at_ns=20))) == [[2]]
    assert said(source.handle(30, ended(2, at_ns=30))) == [[1], [1], ArrivalsEnded]


def test_after_the_end_of_the_run_nothing_is_sent() -> None:
    source = rows_source(4, 1)
    source.wake(0)
    assert source.handle(20, RunEnded(interrupted=True)) == NOTHING
    assert source.handle(20, ended(0, at_ns=20, reason=int(FinishReason.INTERRUPTED))) == NOTHING
    assert source.deadline_ns == NEVER_NS


def test_what_clients_are_not_told_is_a_defect() -> None:
    with pytest.raises(KeyError, match="ReportUsage"):
        rows_source(1, 1).handle(0, ReportUsage())


def test_think_times_are_those_of_the_seed_and_the_class() -> None:
    def deadlines(seed: int, name: str) -> list[int]:
        think = ThinkTime(1e-6)
        trace = Trace("t", 512, None, iter([block_of([0] * 9, [name] * 9)]))
        source = client_source(trace, [ClientGroup(2, name, think)], waits=False, seed=seed)
        found: list[int] = []
        for key in range(4):
            source.wake(source.deadline_ns)
            source.handle(10_000 * (key + 1), ended(key, at_ns=10_000 * (key + 1)))
            found.append(source.deadline_ns)
        return found

    assert deadlines(0, "a") == [11_000, 21_000, 31_000, 41_000]
