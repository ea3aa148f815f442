"""The live runtime over a fake carrier and a fake clock: it does what the virtual runtime does, in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scheduler.protocol.component import NEVER_NS, Component, Outputs, TimingFlags
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    FailParts,
    Message,
    PrefillStepped,
    RepairParts,
    RunEnded,
    UsageReported,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)
from scheduler.runtime.journal import JournalHeader, JournalledCore, JournalWriter, replay
from scheduler.runtime.live import MAX_RETURNS, LiveEnd
from scheduler.runtime.virtual import VirtualRuntime
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import part_of
from tests.small_system import MS, WORKERS, make_control, make_core, make_worker, small_spec, stamps
from tests.unit.scheduler.runtime.fakes import FakeCluster

LIVE = {"report_interval_ns": 20 * MS}
METERED = ("prefill-0", "prefill-1", "decode-0")


def run_virtual(spec: dict[str, Any]) -> tuple[int, Any, list[tuple[int, Message]]]:
    parts = make_control(spec)
    runtime = VirtualRuntime([*parts.sources, parts.core, *(make_worker(spec, a) for a in WORKERS)], "core")
    runtime.run()
    table, messages = parts.keep()
    return runtime.now_ns, table, messages


def make_cluster(spec: dict[str, Any], turns: Callable[[], int] = lambda: 1) -> tuple[Any, FakeCluster]:
    parts = make_control(spec)
    return parts, FakeCluster(parts, WORKERS, maker(spec), turns=turns, metered=METERED)


def maker(spec: dict[str, Any]) -> Callable[[str, int], Component]:
    return lambda address, began_ns: make_worker({**spec, "began_ns": began_ns}, address)


def run_live(
    spec: dict[str, Any], turns: Callable[[], int] = lambda: 1
) -> tuple[LiveEnd, Any, list[tuple[int, Message]]]:
    parts, cluster = make_cluster(spec, turns)
    end = asyncio.run(cluster.run())
    return end, *parts.keep()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("more", [{}, LIVE], ids=["no report interval", "20 ms"])
def test_hops_that_cost_nothing_give_the_virtual_run(seed: int, more: dict[str, int]) -> None:
    spec = small_spec(60, rate_per_s=30.0, max_output=400, seed=seed, decode_blocks=22)
    end, table, messages = run_live({**spec, **more})
    end_ns, expected, _ = run_virtual(spec)
    assert stamps(table) == stamps(expected)
    assert any(table.preemptions)
    assert end.end_ns == end_ns
    assert not end.interrupted
    assert not end.warnings
    assert end.hops.max_ns == 0
    assert isinstance(messages[-1][1], RunEnded)


@pytest.mark.parametrize("seed", range(4))
def test_envelopes_that_overtake_each_other_change_nothing(seed: int) -> None:
    spec = small_spec(30, seed=seed)
    draws = Random(seed)
    _, table, messages = run_live(spec | LIVE, lambda: draws.randrange(1, 9))
    assert stamps(table) == stamps(run_virtual(spec)[1])
    for instance in ("prefill-0", "prefill-1", "decode-0"):
        usages = [
            m.usage
            for _, m in messages
            if isinstance(m, PrefillStepped | DecodeStepped | UsageReported) and m.instance == instance
        ]
        assert usages[0].start_ns == 0
        assert all(one.end_ns == other.start_ns for one, other in pairwise(usages))


def test_time_never_goes_back_for_the_core() -> None:
    _, _, messages = run_live(small_spec(40, rate_per_s=50.0) | LIVE)
    times = [now_ns for now_ns, _ in messages]
    assert times == sorted(times)


def test_the_journal_of_a_live_run_replays_to_the_same_commands(tmp_path: Path) -> None:
    spec = small_spec(20) | LIVE
    parts = make_control(spec)
    with JournalWriter(tmp_path / "j", JournalHeader()) as writer:
        parts = type(parts)(JournalledCore(parts.core, writer), parts.sources, parts.keep)  # type: ignore[arg-type]
        asyncio.run(FakeCluster(parts, WORKERS, maker(spec)).run())
    result = replay(tmp_path / "j", lambda _: make_core(spec))
    assert result.same
    assert result.num_messages == len(parts.keep()[1])


def test_all_hear_of_the_end_workers_first_and_account_for_all_time() -> None:
    end, _, messages = run_live(small_spec(10) | LIVE)
    finals = [m for _, m in messages if isinstance(m, UsageReported)]
    assert [m.instance for m in finals] == ["prefill-0", "prefill-1", "decode-0"]
    assert {m.usage.end_ns for m in finals} == {end.end_ns}
    assert isinstance(messages[-1][1], RunEnded)


def test_stop_ends_at_once_with_every_request_accounted_for() -> None:
    async def run() -> tuple[LiveEnd, Any, list[tuple[int, Message]]]:
        parts, cluster = make_cluster(small_spec(200) | LIVE)
        running = asyncio.create_task(cluster.run())
        while len(parts.core.table.state) == 0 or parts.core.table.num_requests < 20:
            await asyncio.sleep(0)
        cluster.runtime.stop()
        return await running, *parts.keep()

    end, table, messages = asyncio.run(run())
    assert end.interrupted
    assert table.num_open == 0
    assert 20 <= table.num_requests < 200
    assert FinishReason.INTERRUPTED in set(table.reason[: table.num_requests])
    assert all(isinstance(m, UsageReported) for _, m in messages[-4:-1])
    assert messages[-1][1] == RunEnded(interrupted=True)


def test_what_never_finishes_ends_as_on_the_virtual_clock() -> None:
    class Deaf(TimingFlags):
        """A cache pool that answers nothing."""

        address, priority, deadline_ns = "cache", 2, NEVER_NS

        def handle(self, now_ns: int, message: Message) -> Outputs:
            return ()

        def wake(self, now_ns: int) -> Outputs:
            return ()

    spec = small_spec(5)
    parts = make_control(spec)
    make = maker(spec)
    cluster = FakeCluster(parts, WORKERS, lambda address, began: Deaf() if address == "cache" else make(address, began))
    end = asyncio.run(cluster.run())
    assert not end.interrupted
    assert parts.core.table.num_open == 5


@pytest.mark.parametrize("is_repaired", [True, False])
def test_a_run_in_which_nothing_is_due_waits_for_an_operator_and_then_gives_up(is_repaired: bool) -> None:
    spec = small_spec(10, rate_per_s=50.0) | LIVE
    parts = make_control(spec)
    table = parts.core.table
    cluster = FakeCluster(parts, WORKERS, maker(spec), num_open=lambda: table.num_open, patience_s=60.0)
    lines = [part_of(LineEnd.RDMA_DIE, number) for number in range(8)]

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        cluster.runtime.tell(FailParts(lines))
        await _until(lambda: cluster.runtime.patience.left_s is not None)
        assert table.num_requests == 10
        stalled_ns = cluster.time.now_ns
        if is_repaired:
            await _until(lambda: cluster.time.now_ns > stalled_ns + 30 * 1000 * MS)
            cluster.runtime.tell(RepairParts(lines))
        end = await running
        assert is_repaired or end.end_ns == pytest.approx(stalled_ns + 60 * 1000 * MS, abs=4_000 * MS)
        return end

    end = asyncio.run(run())
    assert table.num_open == 0
    reasons = set(table.reason[:10])
    if is_repaired:
        assert (end.interrupted, end.num_stalled) == (False, 0)
        assert reasons <= set(FINISHED)
    else:
        assert end.interrupted
        assert end.num_stalled == sum(reason == FinishReason.INTERRUPTED for reason in table.reason[:10]) > 0


def test_requests_that_are_open_when_a_run_fails_end_as_failed() -> None:
    parts, cluster = make_cluster(small_spec(20))
    cluster.transport.cursed.add("decode-0")

    async def run() -> None:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 5)
        cluster.transport.kill("decode-0")
        await running

    with pytest.raises(ClusterError):
        asyncio.run(run())
    table = parts.core.table
    assert table.num_open == 0
    assert FinishReason.INTERRUPTED in set(table.reason[: table.num_requests])


def test_a_host_that_does_not_come_back_ends_the_run_with_its_error() -> None:
    parts, cluster = make_cluster(small_spec(20))
    cluster.transport.cursed.add("decode-0")

    async def run() -> None:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 5)
        cluster.transport.kill("decode-0")
        await running

    with pytest.raises(ClusterError, match="decode-0 did not come back"):
        asyncio.run(run())


@pytest.mark.parametrize("host", ["fabric", "prefill-0", "decode-0"])
@pytest.mark.parametrize("seed", range(3))
def test_workers_that_die_cost_no_request(host: str, seed: int) -> None:
    draws = Random(seed)
    parts, cluster = make_cluster(small_spec(80, rate_per_s=20.0, seed=seed) | LIVE, lambda: draws.randrange(1, 9))

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        for num_requests in (10, 30, 31):
            await _until(lambda limit=num_requests: parts.core.table.num_requests >= limit)
            if host in cluster.transport._loops:  # else it is still on its way back
                cluster.transport.kill(host)
        return await running

    end = asyncio.run(run())
    table, messages = parts.keep()
    assert 2 <= end.num_restarts <= 3
    assert table.num_requests == 80
    assert table.num_open == 0
    assert set(table.reason[:80]) <= set(FINISHED)
    assert any(table.retries[:80]) or host == "fabric"
    kinds = [type(m) for _, m in messages if isinstance(m, WorkersLost | WorkersJoined)]
    assert kinds == [WorkersLost, WorkersJoined] * end.num_restarts
    times = [now_ns for now_ns, _ in messages]
    assert times == sorted(times)
    assert not end.warnings


@pytest.mark.parametrize("num_deaths", [1, 4])
def test_a_host_that_dies_again_while_it_comes_back_is_waited_for_and_every_start_is_counted(num_deaths: int) -> None:
    parts, cluster = make_cluster(small_spec(40, rate_per_s=20.0) | LIVE)
    cluster.transport.num_to_die["decode-0"] = num_deaths

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 10)
        cluster.transport.kill("decode-0")
        return await running

    end = asyncio.run(run())
    table, messages = parts.keep()
    assert end.num_restarts == 1 + num_deaths
    assert set(table.reason[:40]) <= set(FINISHED)
    kinds = [type(m) for _, m in messages if isinstance(m, WorkersLost | WorkersStarted)]
    assert kinds == [WorkersLost, WorkersStarted] * end.num_restarts


def test_a_host_that_dies_whenever_it_comes_back_ends_the_run_and_is_named() -> None:
    parts, cluster = make_cluster(small_spec(20))
    cluster.transport.num_to_die["prefill-1"] = MAX_RETURNS

    async def run() -> None:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 5)
        cluster.transport.kill("prefill-1")
        await running

    with pytest.raises(ClusterError, match=f"prefill-1 died {MAX_RETURNS} times in a row"):
        asyncio.run(run())


def test_a_worker_is_not_there_before_it_has_loaded_what_it_needs() -> None:
    # 140 GB at 20 GB/s.
    spec, load_ns = small_spec(30) | LIVE | {"model_tokens": 2_000_000}, 7_000 * MS
    parts = make_control(spec)
    cluster = FakeCluster(parts, WORKERS, maker(spec))

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: parts.core.table.num_requests >= 10)
        cluster.transport.kill("decode-0")
        return await running

    end = asyncio.run(run())
    assert end.num_restarts == 1
    table, messages = parts.keep()
    assert set(table.reason[:30]) <= set(FINISHED)
    lost_ns, joined_ns = (now_ns for now_ns, m in messages if isinstance(m, WorkersLost | WorkersJoined))
    assert load_ns <= joined_ns - lost_ns < load_ns + 100 * MS
    # Nobody decodes while the only instance that could is loading.
    assert not [now_ns for now_ns, m in messages if isinstance(m, DecodeStepped) and lost_ns < now_ns < joined_ns]


def test_idle_instances_are_asked_for_their_usage_and_a_run_without_a_source_goes_on_until_it_is_stopped() -> None:
    spec = small_spec(1)
    parts = make_control(spec)
    idle = type(parts)(parts.core, (), parts.keep)
    cluster = FakeCluster(idle, WORKERS, maker(spec), metered=METERED)

    async def run() -> LiveEnd:
        running = asyncio.create_task(cluster.run())
        await _until(lambda: cluster.time.now_ns > 60 * 1000 * MS)
        cluster.runtime.stop()
        return await running

    end = asyncio.run(run())
    assert end.interrupted
    for instance in METERED:
        usages = [m.usage for _, m in parts.keep()[1] if isinstance(m, UsageReported) and m.instance == instance]
        assert len(usages) > 20
        assert usages[0].start_ns == 0
        assert usages[-1].end_ns == end.end_ns
        assert all(one.end_ns == other.start_ns for one, other in pairwise(usages))
        assert sum(usage.busy_ns for usage in usages) == 0


async def _until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        await asyncio.sleep(0)


def test_an_error_of_a_worker_reaches_the_caller() -> None:
    spec = small_spec(5)
    parts = make_control(spec)
    make = maker(spec)

    def broken(address: str, began_ns: int) -> Component:
        worker = make(address, began_ns)
        if address == "prefill-0":
            worker.wake = _fail  # type: ignore[method-assign]
        return worker

    with pytest.raises(ZeroDivisionError):
        asyncio.run(FakeCluster(parts, WORKERS, broken).run())


def _fail(_: int) -> Outputs:
    raise ZeroDivisionError


def test_an_unknown_address_is_an_error() -> None:
    spec = small_spec(5)
    parts = make_control(spec)
    with pytest.raises(ClusterError, match="no host has the component 'decode-0'"):
        asyncio.run(FakeCluster(parts, WORKERS[:-1], maker(spec)).run())


def test_bytes_that_are_no_envelope_end_the_run() -> None:
    _, cluster = make_cluster(small_spec(5))
    cluster.runtime.deliver(b"\x93")
    with pytest.raises(Exception, match="not msgpack"):
        asyncio.run(cluster.run())
