"""Workers are killed, one hangs, the control plane is killed: no accepted request is lost, and no token is wrong."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.checkers.streams import Received
from tests.live.chaos import PATH, Chaos, Storm
from tests.live.standing import SMALL, Standing

pytestmark = [pytest.mark.live]

FEW = Storm(duration_s=14.0, kill_every_s=4.0, control_plane_at_s=2.0, hang_at_s=7.0, num_clients=12)
MANY = Storm(
    duration_s=60.0, kill_every_s=4.0, control_plane_at_s=30.0, hang_at_s=10.0, num_clients=128, longest_tokens=300
)
BOTH = [FEW, pytest.param(MANY, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A cluster that serves clients; the last test takes it down."""
    cluster = Standing(tmp_path_factory.mktemp("chaos") / "run")
    cluster.run("up", "--detach", *SMALL, "--http", "127.0.0.1:0")
    yield cluster
    cluster.run("down")


def chaos_of(standing: Standing, storm: Storm) -> Chaos:
    return Chaos(standing, storm, standing.state().config["seed"])


def ready_status(url: str) -> int:
    try:
        with urlopen(f"{url}/ready", timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("storm", BOTH)
def test_tokens_survive(standing: Standing, storm: Storm) -> None:
    chaos = chaos_of(standing, storm)
    asyncio.run(chaos.run())
    sys.stdout.write(f"\n{chaos.seen.text()}\n")  # shown by make chaos
    assert "ControlPlane (SIGKILL)" in chaos.seen.killed
    assert "HostActor (SIGSTOP)" in chaos.seen.killed
    assert sum(count for times, count in chaos.seen.whole.items() if times), "nobody came again"
    checked = json.loads(standing.run("journal", "check", str(standing.folder.accepted_path), "--json"))
    assert checked["open"] == 0


def test_down_lets_a_stream_that_is_open_end(standing: Standing) -> None:
    url = f"http://{standing.state().http_address}"
    body, expected = chaos_of(standing, FEW).ask_for(0, 0, num_tokens=400)
    asked = Request(f"{url}{PATH}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    received = Received(expected)
    with urlopen(asked, timeout=60) as stream:
        down = standing.start("down", "--grace", "60s")
        while (status := ready_status(url)) == 200:
            pass
        assert status == 503
        for line in stream:
            received.take(line.decode().rstrip("\n"))
    received.check_whole()
    assert down.communicate(timeout=120)[0] == "the cluster is down\n"
