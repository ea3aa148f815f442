"""Hosts that run ahead of the wall: what they report is there when it falls due, and the core hears nothing before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import Around, Component, Outputs
from scheduler.protocol.finish import FINISHED
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PrefillStepped,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)
from scheduler.runtime.journal import JournalHeader, JournalledCore, JournalWriter, replay
from scheduler.runtime.live import LiveEnd
from tests.small_system import MS, WORKERS, make_control, make_core, small_spec, stamps
from tests.unit.scheduler.runtime.fakes import FakeCluster, FakeTime
from tests.unit.scheduler.runtime.test_live import METERED, maker, run_virtual

EACH_STEP = {"report_interval_ns": 1}
STEP_NS = 15 * MS
LEADS = pytest.mark.parametrize("lead_ns", [8 * MS, 4 * STEP_NS], ids=["half a step", "four steps"])


class Hearing(Around):
    """Notes when the core is told what on the wall, and that nothing of it is still to come."""

    def __init__(self, inner: Component) -> None:
        super().__init__(inner)
        self.time = FakeTime()
        self.heard: list[tuple[int, Message]] = []

    def handle(self, now_ns: int, message: Message) -> Outputs:
        assert now_ns <= self.time.now_ns
        if isinstance(message, PrefillStepped | DecodeStepped):
            assert message.boundary_ns <= self.time.now_ns
        self.heard.append((self.time.now_ns, message))
        return self.inner.handle(now_ns, message)

    def late_ns(self) -> list[int]:
        """Of each report of a pass or a step that ended."""
        return [
            wall_ns - m.boundary_ns
            for wall_ns, m in self.heard
            if (isinstance(m, PrefillStepped) and m.prefilled_ids) or (isinstance(m, DecodeStepped) and m.num_steps)
        ]


def make(spec: dict[str, Any], lead_ns: int, seed: int = 0, hop_ns: int = MS) -> tuple[Any, Hearing, FakeCluster]:
    draws = Random(seed)
    parts = make_control(spec | EACH_STEP)
    core = Hearing(parts.core)
    cluster = FakeCluster(
        type(parts)(core, parts.sources, parts.keep),  # type: ignore[arg-type]
        WORKERS,
        maker(spec | EACH_STEP),
        turns=lambda: draws.randrange(1, 9),
        late_ns=lambda: draws.randrange(hop_ns),
        metered=METERED,
        lead_ns=lead_ns,
    )
    core.time = cluster.time
    return parts, core, cluster


@pytest.mark.parametrize("seed", range(3))
def test_reports_are_there_when_they_fall_due_and_times_are_those_of_the_virtual_clock(seed: int) -> None:
    spec = small_spec(15, rate_per_s=0.3, max_output=30, seed=seed)  # one at a time
    late: dict[int, list[int]] = {}
    for lead_ns in (0, 8 * MS):
        parts, core, cluster = make(spec, lead_ns, seed)
        end = asyncio.run(cluster.run())
        assert not end.warnings
        assert stamps(parts.keep()[0]) == stamps(run_virtual(spec)[1])
        late[lead_ns] = core.late_ns()
    assert len(late[0]) == len(late[8 * MS]) > 15
    assert min(late[0]) > 0
    # Time goes on in jumps, and now and then over the end of a pass or a step.
    assert late[8 * MS].count(0) > 0.9 * len(late[0])


@LEADS
@pytest.mark.parametrize("seed", range(3))
def test_under_load_nothing_is_early_and_nothing_is_lost(seed: int, lead_ns: int) -> None:
    spec = small_spec(60, rate_per_s=20.0, max_output=100, seed=seed)
    parts, core, cluster = make(spec, lead_ns, seed)
    end = asyncio.run(cluster.run())
    table, messages = parts.keep()
    assert (table.num_requests, table.num_open) == (60, 0)
    assert set(table.reason[:60]) <= set(FINISHED)
    times = [now_ns for now_ns, _ in messages]
    assert times == sorted(times)
    for instance in METERED:
        reports = [m for _, m in messages if isinstance(m, PrefillStepped | DecodeStepped | UsageReported)]
        usages = [m.usage for m in reports if m.instance == instance]
        assert usages[0].start_ns == 0
        assert usages[-1].end_ns == end.end_ns
        assert all(one.end_ns == other.start_ns for one, other in pairwise(usages))
    assert median(core.late_ns()) == 0
    # Who joins a busy instance does so a lead later, once where it is prefilled and once where it decodes.
    assert 0 <= mean_e2e_ns(table) - mean_e2e_ns(run_virtual(spec)[1]) <= 3 * lead_ns


@LEADS
@pytest.mark.parametrize("host", ["prefill-0", "decode-0"])
@pytest.mark.parametrize("seed", range(2))
def test_what_a_host_that_died_had_said_of_times_to_come_does_not_happen(host: str, seed: int, lead_ns: int) -> None:
    spec = small_spec(60, rate_per_s=20.0, seed=seed)
    parts, core, cluster = make(spec, lead_ns, seed)
    inbox, num_forgotten = cluster.runtime._inbox, list[int]()
    forget = inbox.forget

    def counting(sender: str, now_ns: int) -> None:
        before = len(inbox)
        forget(sender, now_ns)
        num_forgotten.append(before - len(inbox))

    inbox.forget = counting  # type: ignore[method-assign]

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        for num_requests in (10, 25, 40):
            await _until(lambda limit=num_requests: parts.core.table.num_requests >= limit and bool(inbox))
            if host in cluster.transport._loops:  # else it is still on its way back
                cluster.transport.kill(host)
        return await running

    end = asyncio.run(run())
    table = parts.keep()[0]
    assert end.num_restarts == len(num_forgotten) >= 2
    assert sum(num_forgotten) > 0 or host == "prefill-0"  # to which little is sent, so that its end is noticed later
    assert set(table.reason[:60]) <= set(FINISHED)
    is_there = True
    for _, message in core.heard:
        if isinstance(message, WorkersLost | WorkersJoined) and host in message.addresses:
            is_there = isinstance(message, WorkersJoined)
        elif isinstance(message, PrefillStepped | DecodeStepped) and message.instance == host:
            assert is_there


@LEADS
def test_a_run_that_is_stopped_ends_when_all_that_was_early_was_told(lead_ns: int) -> None:
    parts, core, cluster = make(small_spec(100, rate_per_s=30.0), lead_ns)

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 20 and bool(cluster.runtime._inbox))
        cluster.runtime.stop()
        return await running

    end = asyncio.run(run())
    assert end.interrupted
    assert parts.core.table.num_open == 0
    assert not cluster.runtime._inbox
    assert end.end_ns <= core.time.now_ns


def test_the_journal_of_a_run_ahead_replays_to_the_same_commands(tmp_path: Path) -> None:
    spec = small_spec(30, rate_per_s=30.0) | EACH_STEP
    draws, parts = Random(1), make_control(spec)
    with JournalWriter(tmp_path / "j", JournalHeader()) as writer:
        parts = type(parts)(JournalledCore(parts.core, writer), parts.sources, parts.keep)  # type: ignore[arg-type]
        cluster = FakeCluster(parts, WORKERS, maker(spec), late_ns=lambda: draws.randrange(MS), lead_ns=8 * MS)
        asyncio.run(cluster.run())
    assert replay(tmp_path / "j", lambda _: make_core(spec)).same


def mean_e2e_ns(table: RequestTable) -> float:
    num = table.num_requests
    return sum(table.ended_ns[i] - table.arrived_ns[i] for i in range(num)) / num


async def _until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        await asyncio.sleep(0)
