"""The live clock: one zero for all processes, emulated time at its speed, and waits that end."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.protocol.component import NEVER_NS
from scheduler.runtime.clock import LiveClock, monotonic_s, pause_s, wall_now_ns


def test_two_clocks_with_one_zero_agree() -> None:
    zero_ns = wall_now_ns()
    one, other = (LiveClock.at_wall_zero(zero_ns, 1.0) for _ in range(2))
    assert abs(one.now_ns() - other.now_ns()) < 20_000_000


def test_a_clock_is_negative_before_its_zero_and_runs_at_its_speed() -> None:
    zero_ns = wall_now_ns() + 10**9
    slow, fast = LiveClock.at_wall_zero(zero_ns, 1.0), LiveClock.at_wall_zero(zero_ns, 100.0)
    assert -(10**9) <= slow.now_ns() < 0
    assert fast.now_ns() == pytest.approx(100 * slow.now_ns(), rel=0.1)


@pytest.mark.parametrize("is_sharp", [False, True])
def test_a_wait_ends_at_its_deadline_and_not_before(is_sharp: bool) -> None:
    async def run() -> int:
        clock = LiveClock.in_s(0.0, 10.0, is_sharp=is_sharp)
        changed = asyncio.Event()
        await clock.wait(changed, 300_000_000)
        if is_sharp:  # the last millisecond is one of its own
            assert changed.is_set()
            changed.clear()
            await clock.wait(changed, 300_000_000)
            assert not changed.is_set()
        return clock.now_ns()

    began_s = monotonic_s()
    assert asyncio.run(run()) >= 300_000_000
    assert 0.03 <= monotonic_s() - began_s < 5.0


@pytest.mark.parametrize("is_sharp", [False, True])
@pytest.mark.parametrize("deadline_ns", [900_000, 10**18, NEVER_NS])
def test_a_wait_ends_when_something_changed(deadline_ns: int, is_sharp: bool) -> None:
    async def run() -> None:
        changed = asyncio.Event()
        asyncio.get_running_loop().call_soon(changed.set)
        await LiveClock.in_s(0.0, 1e-3, is_sharp=is_sharp).wait(changed, deadline_ns)
        assert changed.is_set()

    asyncio.run(asyncio.wait_for(run(), 5.0))


def test_a_deadline_that_has_passed_lets_others_run_first() -> None:
    async def run() -> list[int]:
        seen: list[int] = []
        asyncio.get_running_loop().call_soon(seen.append, 1)
        await LiveClock.at_wall_zero(wall_now_ns(), 1.0).wait(asyncio.Event(), -1)
        return seen

    assert asyncio.run(run()) == [1]


def test_a_pause_pauses() -> None:
    began_s = monotonic_s()
    pause_s(0.01)
    assert monotonic_s() - began_s >= 0.01
