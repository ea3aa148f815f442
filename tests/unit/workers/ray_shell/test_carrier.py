"""Hosts that are silent are ended, and hosts that die while a run begins are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scheduler.protocol.errors import ClusterError, WorkerLostError
from scheduler.runtime.clock import LiveClock
from workers.ray_shell import carrier
from workers.ray_shell.carrier import MAX_BEGINNINGS, HostCarrier

HOST = "prefill-0"
LEAD_NS = 4_000_000


class Calls:
    """Host calls that do as they are told: `answers` by method, of which the last goes on for ever."""

    def __init__(self, **answers: list[Callable[[], Any]]) -> None:
        self.answers = answers
        self.said: list[tuple[str, Sequence[Any]]] = []
        self.num_fenced = 0

    async def call(self, host: str, method: str, arguments: Sequence[Any], deadline_s: float) -> Any:
        """Do what is next."""
        self.said.append((method, arguments))
        await asyncio.sleep(0)
        left = self.answers.get(method)
        if not left:
            return {"ready": "", "num_restarts": 0}.get(method)
        return (left.pop(0) if len(left) > 1 else left[0])()

    def fence(self, host: str) -> None:
        """Count."""
        self.num_fenced += 1

    def methods(self) -> list[str]:
        """What was called."""
        return [method for method, _ in self.said]


def lost() -> Any:
    raise WorkerLostError(f"{HOST} is gone")


def silent() -> Any:
    raise TimeoutError


def fine() -> Any:
    return None


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "RETRY_S", 0.0)


def carry(calls: Calls) -> HostCarrier:
    return HostCarrier(calls, {HOST: (HOST,)}, {"a": 1}, {}, lead_ns=LEAD_NS)


def test_a_silent_host_is_ended_once_however_many_calls_wait_for_it() -> None:
    calls = Calls(receive=[silent])
    one = carry(calls)

    async def run() -> list[Any]:
        return await asyncio.gather(*(one.send(HOST, b"") for _ in range(4)), return_exceptions=True)

    errors = asyncio.run(run())
    assert [type(error) for error in errors] == [WorkerLostError] * 4
    assert "was silent for 10 s" in str(errors[0])
    assert calls.num_fenced == 1


def test_a_call_that_comes_back_late_does_not_end_the_next_process() -> None:
    calls = Calls()
    one = carry(calls)

    async def run() -> None:
        await one.assign({HOST: "s"})
        await one.begin(LiveClock.in_s(0.0, 1.0))
        answer = asyncio.Event()

        async def late(*_: Any) -> Any:
            await answer.wait()
            raise TimeoutError

        call, calls.call = calls.call, late  # type: ignore[method-assign]
        waiting = asyncio.create_task(one.send(HOST, b""))
        await asyncio.sleep(0)
        calls.call = call  # type: ignore[method-assign]
        await one.revive(HOST, "s2", 5)
        answer.set()
        with pytest.raises(WorkerLostError):
            await waiting

    asyncio.run(run())
    assert calls.num_fenced == 0


def test_a_host_that_hangs_while_a_run_begins_is_ended_for_whoever_tries_again() -> None:
    calls = Calls(ready=[silent, lambda: ""])
    with pytest.raises(ClusterError, match="did not come back within 60 s"):
        asyncio.run(carry(calls).assign({HOST: "s"}))
    assert calls.num_fenced == 1
    asyncio.run(carry(calls).assign({HOST: "s"}))


def test_a_host_that_dies_while_a_run_begins_is_waited_for() -> None:
    calls = Calls(ready=[lost, lambda: ""], assign=[lost, silent, fine])
    asyncio.run(carry(calls).assign({HOST: "s"}))
    assert calls.methods() == ["ready", "ready", "assign", "ready", "assign", "ready", "assign", "num_restarts"]
    assert calls.num_fenced == 1


def test_a_host_that_cannot_begin_is_named() -> None:
    with pytest.raises(ClusterError, match=f"{HOST} died {MAX_BEGINNINGS} times in a row while the run began"):
        asyncio.run(carry(Calls(assign=[lost])).assign({HOST: "s"}))


def test_who_dies_between_its_beginning_and_the_first_envelope_is_found_by_that() -> None:
    calls = Calls(begin=[lost, fine], receive=[lost])
    one = carry(calls)

    async def run() -> None:
        await one.begin(LiveClock.in_s(0.0, 1.0))
        with pytest.raises(WorkerLostError):
            await one.send(HOST, b"")

    asyncio.run(run())


def test_who_dies_again_while_it_comes_back_is_told_so_that_it_bears_another_name() -> None:
    calls = Calls(begin=[fine, lost, fine], num_restarts=[lambda: 2, lambda: 5])
    one = carry(calls)

    async def run() -> int:
        await one.assign({HOST: "s"})
        await one.begin(LiveClock.in_s(0.0, 1.0))
        with pytest.raises(WorkerLostError):
            await one.revive(HOST, "s1", 5)
        return await one.revive(HOST, "s2", 6)

    assert asyncio.run(run()) == 3
    assert [arguments[0] for method, arguments in calls.said if method == "assign"] == ["s", "s1", "s2"]


@pytest.mark.parametrize("jump_s", [-60, 60])
def test_who_comes_back_after_the_wall_clock_was_set_has_the_same_clock(
    jump_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    calls = Calls()
    one, clock, wall_ns = carry(calls), LiveClock.in_s(0.0, 10.0), time.time_ns

    async def run() -> None:
        await one.assign({HOST: "s"})
        await one.begin(clock)
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + jump_s * 10**9)
        await one.revive(HOST, "s1", 5)

    asyncio.run(run())
    first, again = (arguments for method, arguments in calls.said if method == "begin")
    (before_ns, speed, lead_ns), (after_ns, *same) = first, again
    assert [speed, lead_ns] == same == [10.0, LEAD_NS]
    assert after_ns - before_ns == pytest.approx(jump_s * 10**9, abs=50_000_000)
    revived = LiveClock.at_wall_zero(after_ns, speed)
    assert revived.now_ns() == pytest.approx(clock.now_ns(), abs=500_000_000)


class Nowhere:
    """Places of which a host has none before `room` is set."""

    def __init__(self) -> None:
        self.room = asyncio.Event()

    def waits_for(self, host: str) -> str:
        """Room."""
        return "" if self.room.is_set() else "waits for room"

    async def placed(self, host: str) -> None:
        """When there is room."""
        await self.room.wait()


def test_a_host_is_asked_for_only_when_it_has_a_place() -> None:
    calls, places = Calls(), Nowhere()
    one = HostCarrier(calls, {HOST: (HOST,)}, {}, {}, places)

    async def run() -> None:
        one._clock = LiveClock.in_s(0.0, 1.0)  # pyright: ignore[reportPrivateUsage]
        reviving = asyncio.create_task(one.revive(HOST, "s", 0))
        await asyncio.sleep(0.01)
        assert (calls.said, one.waits_for(HOST)) == ([], "waits for room")
        places.room.set()
        await reviving

    asyncio.run(run())
    assert calls.methods() == ["ready", "assign", "begin", "num_restarts"]


def test_a_run_does_not_begin_without_room_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "REVIVE_S", 0.01)
    one = HostCarrier(Calls(), {HOST: (HOST,)}, {}, {}, Nowhere())
    with pytest.raises(ClusterError, match="prefill-0 waits for room; it did not come"):
        asyncio.run(one.assign({HOST: "s"}))


def test_a_host_whose_node_went_while_it_began_is_lost_and_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "REVIVE_S", 0.01)
    places = Nowhere()

    def without_room() -> Any:
        places.room.clear()
        raise TimeoutError

    calls = Calls(ready=[without_room])
    places.room.set()
    one = HostCarrier(calls, {HOST: (HOST,)}, {}, {}, places)
    with pytest.raises(WorkerLostError, match="waits for room"):
        asyncio.run(one.revive(HOST, "s", 0))
    assert calls.num_fenced == 0
