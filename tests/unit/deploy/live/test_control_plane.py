"""The control plane between sessions: an idle run that failed is tried again, and clients are let in at clock zero."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from deploy.live import control_plane
from deploy.live.control_plane import IDLE_AGAIN_S, LEASE_S, ControlPlane
from deploy.live.fleet_spec import FleetSpec
from deploy.live.session import RunSpec
from scheduler.protocol.errors import ClusterError


class Sessions:
    """Makes sessions, of which the first `num_to_fail` do; `time_s` is what the control plane's clock shows."""

    def __init__(self, num_to_fail: int = 0) -> None:
        self.made: list[MadeUpSession] = []
        self.time_s = 1000.0
        self.num_to_fail = num_to_fail

    def make(self, *_: Any) -> MadeUpSession:
        """The next one."""
        self.made.append(MadeUpSession(fails=len(self.made) < self.num_to_fail))
        return self.made[-1]


class MadeUpSession:
    """Runs until it is stopped; clock zero comes when `has_zero` is set."""

    faults = None

    def __init__(self, *, fails: bool) -> None:
        self.run_spec = RunSpec("", {}, title="idle")
        self.has_zero = asyncio.Event()
        self._fails = fails
        self._stopped = asyncio.Event()

    async def begin(self) -> None:
        """Where hosts are made."""
        if self._fails:
            raise ClusterError("prefill-0 did not come back")

    async def zero(self) -> None:
        """Clock zero."""
        await self.has_zero.wait()

    async def run(self) -> Any:
        """Until it is stopped."""
        await self._stopped.wait()
        return MagicMock(interrupted=True)

    def stop(self) -> None:
        """End it."""
        self._stopped.set()

    def progress(self) -> dict[str, Any]:
        """How far it is."""
        return {}


def with_plane(
    sessions: Sessions, talk: Callable[[ControlPlane], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have `talk` talk to a control plane that has adopted a fleet of no hosts, and serves clients."""
    monkeypatch.setattr(control_plane, "TICK_S", 0.001)
    monkeypatch.setattr(control_plane, "monotonic_s", lambda: sessions.time_s)

    async def run() -> None:
        plane = ControlPlane()
        monkeypatch.setattr(plane, "_make_session", sessions.make)
        plane._fleet = FleetSpec({}, idle=RunSpec("", {}))
        plane._telemetry, plane._http = MagicMock(), MagicMock(trouble="")
        ticking = asyncio.create_task(plane._tick())
        plane._start_idle()
        try:
            await talk(plane)
        finally:
            ticking.cancel()
            await plane._end_idle()

    asyncio.run(asyncio.wait_for(run(), 20.0))


async def ticks() -> None:
    """Some looks of the control plane at how it stands."""
    await asyncio.sleep(0.05)


def test_an_idle_run_that_failed_is_told_of_and_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(num_to_fail=2)

    async def talk(plane: ControlPlane) -> None:
        for number in (1, 2):
            await ticks()
            assert len(sessions.made) == number
            assert (await plane.health())["error"] == "prefill-0 did not come back"
            assert plane.status()["phase"] == "broken"
            sessions.time_s += IDLE_AGAIN_S - 0.1
            await ticks()
            assert len(sessions.made) == number, "tried again too soon"
            sessions.time_s += 0.2
        await ticks()
        assert len(sessions.made) == 3
        assert (await plane.health())["error"] == ""
        assert plane.status()["phase"] == "idle"
        sessions.time_s += 10 * IDLE_AGAIN_S
        await ticks()
        assert len(sessions.made) == 3, "what runs is not begun again"

    with_plane(sessions, talk, monkeypatch)


def test_while_a_replay_runs_none_is_tried_and_a_replay_whose_driver_is_gone_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = Sessions(num_to_fail=1)

    async def talk(plane: ControlPlane) -> None:
        await ticks()
        plane._is_replaying, plane._asked_s = True, sessions.time_s
        replayed = plane._session = MagicMock()
        replayed.progress.return_value = {}
        sessions.time_s += LEASE_S - 0.1
        await ticks()
        assert len(sessions.made) == 1
        assert not replayed.stop.called
        sessions.time_s += 0.2
        await ticks()
        assert replayed.stop.called
        plane._is_replaying = False
        await ticks()
        assert len(sessions.made) == 2

    with_plane(sessions, talk, monkeypatch)


def test_clients_are_let_in_at_clock_zero_and_by_no_session_that_ended_before(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()

    async def talk(plane: ControlPlane) -> None:
        http: Any = plane._http
        await ticks()
        [one] = sessions.made
        assert not http.begin.called
        assert not plane._has_begun.is_set()
        one.stop()
        await ticks()
        one.has_zero.set()
        await ticks()
        assert not http.begin.called
        plane._start_idle()
        await ticks()
        two = sessions.made[1]
        two.has_zero.set()
        await ticks()
        http.begin.assert_called_once_with(two)
        assert plane._has_begun.is_set()

    with_plane(sessions, talk, monkeypatch)
