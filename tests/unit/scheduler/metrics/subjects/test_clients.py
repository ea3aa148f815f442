"""Clients that wait, in a summary and live."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.request_table import RequestTable
from scheduler.metrics.outcome.ended_run import ClientsInfo, RunInfo
from scheduler.metrics.outcome.summary import summarize
from tests.unit.scheduler.metrics.logged import SECOND, Request, collector_of, end_run, rejected, table_of

S = SECOND


def _one(arrived_s: float, ended_s: float) -> Request:
    """A request that finishes."""
    end_ns = round(ended_s * S)
    begin_ns = round(arrived_s * S)
    return Request(begin_ns, begin_ns, begin_ns, begin_ns, end_ns, end_ns)


def _clients(table: RequestTable, ended_s: float, info: ClientsInfo | None) -> dict[str, object]:
    run = RunInfo(0.0, 0, "", {}, has_prefix_cache=False, clients=info)
    return summarize(end_run(collector_of(table), round(ended_s * S)), run).to_json()


def test_one_client_that_never_waits_is_always_in_flight() -> None:
    found = _clients(table_of(_one(0, 2), _one(2, 3), _one(3, 8)), 8, ClientsInfo({"": 1}))["clients"]
    assert found == {
        "concurrency": 1,
        "in_flight_mean": 1.0,
        "in_flight_peak": 1,
        "achieved_requests_per_s": 0.375,
        "little": {
            "requests_per_s": 0.375,
            "e2e_mean_s": pytest.approx(8 / 3),
            "in_flight": 1.0,
            "difference": 0.0,
        },
    }


def test_what_does_not_finish_is_what_is_off() -> None:
    unfinished = replace(rejected(0), ended_ns=4 * S)
    found = _clients(table_of(_one(0, 4), unfinished), 4, ClientsInfo({}))["clients"]
    assert isinstance(found, dict)
    assert (found["concurrency"], found["in_flight_mean"]) == (None, 2.0)
    assert found["little"]["in_flight"] == 1.0
    assert found["little"]["difference"] == -0.5


def test_each_group_where_there_are_several() -> None:
    table = table_of(_one(0, 4), _one(0, 2), _one(2, 4), _one(0, 1))
    table.request_class[:4] = bytes([1, 2, 2, 2])
    info = ClientsInfo({"chat": 1, "batch": 2}, ("default", "chat", "batch"))
    found = _clients(table, 4, info)["clients"]
    assert isinstance(found, dict)
    assert found["concurrency"] == 3
    assert {name: (use["concurrency"], use["in_flight_mean"]) for name, use in found["by_class"].items()} == {
        "chat": (1, 1.0),
        "batch": (2, 1.25),
    }
    for use in (found, *found["by_class"].values()):
        assert use["little"]["difference"] == 0.0


def test_a_run_at_fixed_times_says_nothing_of_clients() -> None:
    assert not {"clients", "sessions", "warmup"} & _clients(table_of(_one(0, 1)), 1, None).keys()


def test_without_any_time_there_are_no_means() -> None:
    found = _clients(table_of(), 0, ClientsInfo({"": 4}))["clients"]
    assert isinstance(found, dict)
    assert (found["in_flight_mean"], found["in_flight_peak"], found["little"]["difference"]) == (None, 0, None)
