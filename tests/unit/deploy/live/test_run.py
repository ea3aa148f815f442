"""Ctrl-C of a live command: the first ends the run with what it has, the second leaves at once."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from deploy.live import run as live_run
from deploy.live.control_plane import ACTOR_NAME
from deploy.live.fleet_spec import LiveOutcome
from deploy.live.session import RunSpec
from scheduler.runtime.hops import HopCost
from scheduler.runtime.live import LiveEnd

END = LiveEnd(7, True, 0, 0, 0, HopCost(0, 0, 0, 0, 0, 0, 0), [])


class Ray:
    """Answers at once what is asked, but the result of a replay, which comes when the replay was stopped. `signals` go
    out one by one, each while a driver waits."""

    def __init__(self, *signals: signal.Signals) -> None:
        self.control = MagicMock()
        self.control.replay.remote.return_value = "result"
        self._signals = list(signals)

    def is_initialized(self) -> bool:
        """It is not."""
        return False

    def wait(self, refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        """The replay goes on."""
        self._interrupt()
        return [], refs

    def call_all(self, calls: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Results of calls."""
        if calls[ACTOR_NAME] != "result":
            return {ACTOR_NAME: {}}
        assert self.control.stop.remote.called
        self._interrupt()
        return {ACTOR_NAME: pickle.dumps(LiveOutcome(END, "kept", 1.0))}

    def _interrupt(self) -> None:
        if self._signals:
            signal.raise_signal(self._signals.pop(0))


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was closed of a run that is played on a `Ray`."""
    names: list[str] = []
    monkeypatch.setattr(live_run, "LocalCluster", MagicMock(return_value=nullcontext()))
    return names


def play(ray: Ray, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> live_run.LiveResult:
    """A live run on it."""
    monkeypatch.setattr(live_run, "_RAY", ray)
    monkeypatch.setattr(live_run, "call_all", ray.call_all)
    actors = SimpleNamespace(control=ray.control, start=MagicMock(), close=lambda: closed.append("actors"))
    monkeypatch.setattr(live_run, "Actors", MagicMock(return_value=actors))
    return live_run.run_live([], "", [], RunSpec("", {}))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_run_with_what_it_has(
    number: signal.Signals, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    ray = Ray(number)
    result = play(ray, closed, monkeypatch)
    assert (result.outcome.end, result.outcome.kept) == (END, "kept")
    ray.control.stop.remote.assert_called_once_with()
    ray.control.taken.remote.assert_called_once_with()
    assert closed == ["actors"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_the_second_leaves_at_once_and_nothing_of_the_run_is_left(
    numbers: tuple[signal.Signals, ...], closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Ray(*numbers)
    with pytest.raises(KeyboardInterrupt):
        play(ray, closed, monkeypatch)
    ray.control.stop.remote.assert_called_once_with()
    assert not ray.control.taken.remote.called
    assert closed == ["actors"]
