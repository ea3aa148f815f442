"""Parts that are stopped, or gone, are noticed within seconds: what can be started again is, all else is told."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.standing import ROOT, SMALL, Standing, command_line

pytestmark = pytest.mark.live

DEMO = str(ROOT / "examples" / "demo.jsonl")
NOTICED_S = 25.0
"""Silence of 10 s, a heartbeat of 2, and a machine that does other things too."""


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    """A cluster of its own."""
    cluster = Standing(tmp_path / "run")
    cluster.run("up", "--detach", *SMALL)
    yield cluster
    cluster.run("down")


def until(is_true: Callable[[], bool], within_s: float = NOTICED_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s, "not noticed in time"
        time.sleep(0.2)


def pid_of(standing: Standing, name: str) -> int:
    return standing.find(lambda line: name in line)[0]


def exit_code(standing: Standing) -> int:
    status = standing.start("status")
    status.communicate(timeout=NOTICED_S)
    return status.returncode


def test_a_host_that_is_stopped_is_ended_and_its_requests_go_on(standing: Standing) -> None:
    replay = standing.start("replay", DEMO, "--limit", "150", "--live", "--speed", "4", "--json")
    until(lambda: standing.status()["requests"]["arrived"] > 20)
    # Hosts are started in the order of the plan: the network, then prefill.
    os.kill(standing.find(lambda line: "HostActor" in line)[1], signal.SIGSTOP)
    out, err = replay.communicate(timeout=120)
    assert replay.returncode == 0, err
    assert json.loads(out)["requests"]["finished"] == 150
    assert sum(standing.status()["restarts"].values()) == 1


def test_a_control_plane_that_is_stopped_is_started_again_and_the_cluster_stays(standing: Standing) -> None:
    pid = pid_of(standing, "ControlPlane")
    os.kill(pid, signal.SIGSTOP)
    assert "does not answer" in standing.fail("status", code=3)
    until(lambda: command_line(pid) == "" or "ControlPlane" not in command_line(pid))
    until(lambda: exit_code(standing) == 0)
    assert "silent" in standing.state().line or "started again" in standing.state().line
    assert standing.run("fail", "l2/3/7").startswith("broken: 1 of")


def test_a_node_that_is_gone_is_told_at_once(standing: Standing) -> None:
    os.kill(pid_of(standing, "/raylet/raylet"), signal.SIGKILL)
    until(lambda: exit_code(standing) == 1)
    until(lambda: "raylet of its Ray node" in standing.run("status", expect=1))


def test_down_while_a_replay_runs_keeps_what_it_has(tmp_path: Path) -> None:
    standing = Standing(tmp_path / "run")
    standing.run("up", "--detach", *SMALL)
    out_folder = tmp_path / "out"
    replay = standing.start("replay", DEMO, "--live", "--speed", "2", "--out", str(out_folder), "--json")
    until(lambda: standing.status()["requests"]["arrived"] > 40)
    assert standing.run("down") == "the cluster is down\n"
    out, err = replay.communicate(timeout=60)
    assert replay.returncode == 130, err
    assert "an operator stopped it, or took the cluster down" in err
    ended = json.loads(out)["requests"]
    assert ended["finished"] > 0
    assert ended["finished"] + ended["failed"] == ended["arrived"]
    assert (out_folder / "requests.csv").stat().st_size > 0
