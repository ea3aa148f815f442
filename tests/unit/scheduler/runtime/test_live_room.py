"""A host whose node was lost, and for which no other has room: runs go on without it, and wait for it if they must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.protocol.component import Component
from scheduler.protocol.finish import FINISHED
from scheduler.runtime.live import LiveEnd
from tests.small_system import WORKERS, make_control, make_worker, small_spec
from tests.unit.scheduler.runtime.fakes import FakeCluster


def maker(spec: dict[str, Any]) -> Callable[[str, int], Component]:
    return lambda address, began_ns: make_worker({**spec, "began_ns": began_ns}, address)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


def lose_node(cluster: FakeCluster, host: str) -> asyncio.Event:
    """Its process is gone, and there is no room for another before the event is set."""
    room = cluster.transport.homeless[host] = asyncio.Event()
    cluster.transport.kill(host)
    return room


def test_a_run_goes_on_and_ends_without_an_instance_for_which_there_is_no_room() -> None:
    spec = small_spec(20)
    parts = make_control(spec)
    table = parts.core.table
    cluster = FakeCluster(parts, WORKERS, maker(spec))

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: table.num_requests >= 5)
        lose_node(cluster, "prefill-0")
        await _until(lambda: bool(cluster.runtime.waiting()))
        return await running

    end = asyncio.run(run())
    assert (end.interrupted, end.num_stalled, end.num_restarts) == (False, 0, 0)
    assert set(table.reason[:20]) <= set(FINISHED)
    assert end.waiting == {"prefill-0": "waits for room"}
    assert any("prefill-0 was down when the run ended (waits for room)" in line for line in end.warnings)


@pytest.mark.parametrize("comes", [True, False])
def test_the_last_of_its_stage_without_room_is_waited_for_as_an_operator_is(comes: bool) -> None:
    spec = small_spec(10, rate_per_s=50.0)
    parts = make_control(spec)
    table = parts.core.table
    cluster = FakeCluster(parts, WORKERS, maker(spec), num_open=lambda: table.num_open, patience_s=60.0)

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: table.num_requests == 10)
        room = lose_node(cluster, "decode-0")
        await _until(lambda: cluster.runtime.patience.left_s is not None)
        if comes:
            room.set()
        return await running

    end = asyncio.run(run())
    assert table.num_open == 0
    assert (end.num_stalled == 0) == comes == (set(table.reason[:10]) <= set(FINISHED))
    assert end.num_restarts == comes
    assert end.waiting == ({} if comes else {"decode-0": "waits for room"})
