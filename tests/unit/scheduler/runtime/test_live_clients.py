"""Clients that wait on the live runtime: as on the virtual clock, and lateness does not pile up from turn to turn."""

from __future__ import annotations

import asyncio
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scheduler.core.request_table import RequestTable
from scheduler.runtime.journal import JournalHeader, JournalledCore, JournalWriter, replay
from tests.small_system import MS, WORKERS, make_control, make_core, small_spec, stamps
from tests.unit.scheduler.runtime.fakes import FakeCluster
from tests.unit.scheduler.runtime.test_live import LIVE, maker, run_live, run_virtual

CLIENTS = 6


def clients_spec(think_s: float, seed: int, max_output: int = 100) -> dict[str, Any]:
    return small_spec(120, max_output=max_output, seed=seed, clients=CLIENTS, think_s=think_s)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("think_s", [0.0, 0.05])
def test_hops_that_cost_nothing_give_the_virtual_run(think_s: float, seed: int) -> None:
    spec = clients_spec(think_s, seed)
    end, table, _ = run_live(spec | LIVE)
    end_ns, expected, _ = run_virtual(spec)
    assert stamps(table) == stamps(expected)
    assert end.end_ns == end_ns


@pytest.mark.parametrize(
    ("think_s", "max_output", "accuracy"), [(0.0, 100, 0.01), (0.05, 100, 0.01), (0.0005, 4, 0.15)]
)
def test_turns_that_are_heard_of_late_count_from_the_ends_before_them(
    think_s: float, max_output: int, accuracy: float, tmp_path: Path
) -> None:
    # Each hop takes up to 2 ms, a request some ten hops and 500 ms; or as few steps that others end meanwhile.
    spec, draws = clients_spec(think_s, 3, max_output), Random(1)
    parts = make_control(spec | LIVE)
    with JournalWriter(tmp_path / "j", JournalHeader()) as writer:
        journalled = type(parts)(JournalledCore(parts.core, writer), parts.sources, parts.keep)  # type: ignore[arg-type]
        late = FakeCluster(journalled, WORKERS, maker(spec | LIVE), late_ns=lambda: draws.randrange(2 * MS))
        end = asyncio.run(late.run())
    end_ns, expected, _ = run_virtual(spec)
    table: RequestTable = parts.keep()[0]
    assert end.hops.max_ns > MS
    assert end.end_ns == pytest.approx(end_ns, rel=accuracy)
    assert mean_e2e_ns(table) == pytest.approx(mean_e2e_ns(expected), rel=accuracy)
    assert peak_in_flight(table) == peak_in_flight(expected) == CLIENTS
    assert all(table.arrived_ns[i] <= table.prefill_started_ns[i] for i in range(table.num_requests))
    assert_thought(table, round(think_s * 1e9))
    assert replay(tmp_path / "j", lambda _: make_core(spec)).same


def mean_e2e_ns(table: RequestTable) -> float:
    return sum(table.ended_ns[i] - table.arrived_ns[i] for i in range(table.num_requests)) / table.num_requests


def peak_in_flight(table: RequestTable) -> int:
    """The most that were open at once; who ends at an instant makes room for who comes at it."""
    ids = range(table.num_requests)
    changes = sorted([(table.arrived_ns[i], 1) for i in ids] + [(table.ended_ns[i], -1) for i in ids])
    return max(accumulate(change for _, change in changes))


def assert_thought(table: RequestTable, think_ns: int) -> None:
    """Every request but the first of each client came exactly so long after an end: INV-13 to the nanosecond."""
    free_ns = sorted(table.ended_ns[i] + think_ns for i in range(table.num_requests))
    begun_ns = sorted(table.arrived_ns[i] for i in range(table.num_requests))
    assert begun_ns == [0] * CLIENTS + free_ns[:-CLIENTS]
