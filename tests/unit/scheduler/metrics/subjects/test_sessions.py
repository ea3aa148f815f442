"""Sessions in a summary and live."""

from __future__ import annotations

from typing import Any

from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.ended_run import ClientsInfo, RunInfo
from scheduler.metrics.outcome.summary import summarize
from scheduler.metrics.subjects.sessions import SessionTotals
from scheduler.metrics.warmup import Warmup
from scheduler.protocol.messages import RequestsArrived, SessionsClosed
from tests.unit.scheduler.metrics.lived import layout_of
from tests.unit.scheduler.metrics.logged import SECOND, Request, collector_of, end_run, rejected, table_of

S = SECOND

PLANNED = [2, 3, 1, 2]
"""Turns of four sessions."""


def _turn(session: int, arrived_s: int, ended_s: int) -> tuple[int, Request]:
    begin_ns, end_ns = arrived_s * S, ended_s * S
    return session, Request(begin_ns, begin_ns, begin_ns, begin_ns, end_ns, end_ns)


def _sessions(turns: list[tuple[int, Request]], warmup: int = 0) -> dict[str, Any]:
    table = table_of(*(request for _, request in turns))
    for request_id, (session, _) in enumerate(turns):
        table.session[request_id] = session
    collector = collector_of(table)
    if warmup:
        collector.note_warmup_end(turns[warmup][1].arrived_ns, warmup)
    clients = ClientsInfo({}, planned_turns=PLANNED)
    info = RunInfo(0.0, 0, "", {}, has_prefix_cache=False, clients=clients, warmup=Warmup(warmup))
    return summarize(end_run(collector, 30 * S), info).to_json()["sessions"]


def test_a_session_goes_from_its_first_call_to_its_last_end() -> None:
    # Two that are whole, one of which has calls side by side; one whose second turn never came; one without any.
    turns = [_turn(0, 0, 1), _turn(1, 1, 3), _turn(1, 4, 9), _turn(1, 4, 6), _turn(3, 5, 8), _turn(0, 9, 12)]
    found = _sessions(turns)
    assert {name: found[name] for name in ("count", "completed", "turns", "abandoned_turns")} == {
        "count": 3,
        "completed": 2,
        "turns": 6,
        "abandoned_turns": 1,
    }
    assert (found["e2e_s"]["mean"], found["e2e_s"]["max"]) == (10.0, 12.0)


def test_a_turn_without_its_answer_leaves_a_session_incomplete() -> None:
    found = _sessions([_turn(0, 0, 1), (0, rejected(2 * S)), _turn(2, 3, 4)])
    assert (found["count"], found["completed"], found["abandoned_turns"]) == (2, 1, 0)
    assert found["e2e_s"]["max"] == 1.0


def test_requests_without_a_session_are_no_turns() -> None:
    found = _sessions([_turn(-1, 0, 9), _turn(2, 3, 4)])
    assert (found["count"], found["turns"], found["e2e_s"]["max"]) == (1, 1, 1.0)


def test_a_session_that_begins_in_the_warm_up_is_left_out_whole() -> None:
    turns = [_turn(0, 0, 1), _turn(2, 1, 3), _turn(0, 4, 9), _turn(3, 4, 6), _turn(3, 7, 8)]
    found = _sessions(turns, warmup=2)
    assert (found["count"], found["completed"], found["turns"]) == (1, 1, 2)
    assert found["e2e_s"]["mean"] == 4.0


def _arrived(*sessions: int) -> RequestsArrived:
    num = len(sessions)
    return RequestsArrived([1] * num, [b""] * num, [[]] * num, [0] * num, 1, sessions=list(sessions))


def test_live_sessions_are_open_until_their_client_closes_them() -> None:
    live = LiveTotals(layout_of())
    live.begin(table_of(), 1.0, concurrency={"": 8})
    told: list[tuple[int, int]] = []
    for message in (_arrived(4, -1, 5), _arrived(4), SessionsClosed([4]), _arrived(), SessionsClosed([5])):
        live.before(0, message)
        totals = live[SessionTotals]
        told.append((totals.num_open, totals.closed))
    assert told == [(2, 0), (2, 0), (1, 1), (1, 1), (0, 2)]
    live.before(0, _arrived(6))
    live.end("completed")
    assert live[SessionTotals] == SessionTotals(0, 2)
