"""Workers are killed, one hangs, the control plane is killed: no accepted request is lost, and no token is wrong."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.chaos import Chaos, Storm
from tests.live.standing import SMALL, Standing

pytestmark = [pytest.mark.live]

FEW = Storm(duration_s=14.0, kill_every_s=4.0, control_plane_at_s=2.0, hang_at_s=7.0, num_clients=12)
MANY = Storm(
    duration_s=60.0, kill_every_s=4.0, control_plane_at_s=30.0, hang_at_s=10.0, num_clients=128, longest_tokens=300
)


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    """A cluster that serves clients."""
    cluster = Standing(tmp_path / "run")
    cluster.run("up", "--detach", *SMALL, "--http", "127.0.0.1:0")
    yield cluster
    cluster.run("down")


@pytest.mark.parametrize("storm", [FEW, pytest.param(MANY, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_tokens_survive(standing: Standing, storm: Storm) -> None:
    chaos = Chaos(standing, storm, standing.state().config["seed"])
    asyncio.run(chaos.run())
    sys.stdout.write(f"{chaos.seen.text()}\n")  # shown by make chaos
    assert "ControlPlane (SIGKILL)" in chaos.seen.killed
    assert "HostActor (SIGSTOP)" in chaos.seen.killed
    assert sum(count for times, count in chaos.seen.whole.items() if times), "nobody came again"
    checked = json.loads(standing.run("journal", "check", str(standing.folder.accepted_path), "--json"))
    assert checked["open"] == 0
