"""Whatever is killed, `down` leaves nothing and the next `up` comes up."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.cluster.ports import METRICS_PORT
from deploy.cluster.runtime_folder import make_token, open_runtime_folder
from tests.live.standing import ROOT, SMALL, Cluster, Standing, alive, command_line, is_taken

pytestmark = pytest.mark.live

NUM_TIMES = 20
KINDS: dict[str, Callable[[str], bool]] = {
    "keeper": lambda line: "deploy.cluster.keeper" in line,
    "gcs": lambda line: "gcs_server" in line.partition(" ")[0],
    "raylet": lambda line: "/raylet/raylet" in line.partition(" ")[0],
}


@pytest.fixture
def standing(tmp_path: Path) -> Standing:
    return Standing(tmp_path / "run")


def assert_nothing_is_left(standing: Standing, cluster: Cluster) -> None:
    assert not [command_line(pid) for pid in alive(cluster.members)]
    assert not cluster.node_folder.exists()
    assert sorted(path.name for path in standing.folder.path.iterdir()) == ["lock", "log"]
    assert "no cluster is up" in standing.run("status", expect=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_part_is_cleared_away(standing: Standing, kind: str) -> None:
    standing.run("up", "--detach", *SMALL)
    cluster = standing.cluster()
    for pid in standing.find(KINDS[kind]):
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    standing.run("down")
    assert_nothing_is_left(standing, cluster)


def test_up_clears_away_what_crashed(standing: Standing) -> None:
    standing.run("up", "--detach", *SMALL)
    cluster, state = standing.cluster(), standing.state()
    os.kill(state.keeper_pid, signal.SIGKILL)
    assert "crashed" in standing.run("status", expect=1)
    up = standing.start("up", "--detach", *SMALL)
    _, err = up.communicate(timeout=120)
    assert up.returncode == 0, err
    assert "cleared away what a cluster that crashed had left" in err
    assert not alive(cluster.members)
    cluster = standing.cluster()
    standing.run("down")
    assert_nothing_is_left(standing, cluster)


def test_an_interrupted_start_leaves_nothing(standing: Standing) -> None:
    up = standing.start("up", *SMALL)
    deadline_s = time.monotonic() + 30
    while not standing.folder.state_path.exists() or not standing.state().ray_folder:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    time.sleep(1)
    cluster = standing.cluster()
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=60)
    assert up.returncode == 130
    assert err.splitlines()[-1] == "supernode: interrupted"
    assert_nothing_is_left(standing, cluster)


def test_the_command_of_the_compose_file_runs_here_until_it_is_interrupted(standing: Standing) -> None:
    if is_taken(METRICS_PORT):
        pytest.skip(f"port {METRICS_PORT} is taken by another cluster")
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    program, *arguments = shlex.split(compose["services"]["supernode"]["command"])
    assert program == "supernode"
    up = standing.start(*arguments)
    deadline_s = time.monotonic() + 60
    while not standing.folder.state_path.exists() or standing.state().phase != "ready":
        assert time.monotonic() < deadline_s
        assert up.poll() is None
        time.sleep(0.1)
    cluster = standing.cluster()
    assert standing.state().metrics_address == f"127.0.0.1:{METRICS_PORT}"
    time.sleep(1)  # for `up` to see it, too
    up.send_signal(signal.SIGINT)
    out, err = up.communicate(timeout=60)
    assert up.returncode == 130, err
    assert f"http://127.0.0.1:{METRICS_PORT}/metrics" in out
    assert "the cluster is up; Ctrl-C ends it" in err
    assert_nothing_is_left(standing, cluster)


def test_ray_does_not_run_without_a_private_token(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    import deploy.cluster.up_down as commands
    from deploy.settings.settings import Settings
    from scheduler.protocol.errors import ClusterError

    def make_open_token(path: Path) -> None:
        make_token(path)
        path.chmod(0o644)

    monkeypatch.setenv("SUPERNODE_RUNTIME_DIR", str(standing.folder.path))
    monkeypatch.setattr(commands, "make_token", make_open_token)
    with pytest.raises(ClusterError, match=r"other users can reach the token \(mode 0644\)"):
        commands.bring_up(Settings.from_plain({"plan": "1x16p+1x16d+1c"}), 0)
    assert_nothing_is_left(standing, Cluster({}, standing.folder.path / "none"))


def test_a_state_file_that_nobody_can_read_is_cleared_away(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERNODE_RUNTIME_DIR", str(standing.folder.path))
    open_runtime_folder()
    standing.folder.state_path.write_text("{")
    assert "it is no JSON" in standing.run("status", expect=1)
    assert standing.run("down") == "the cluster is down\n"
    assert standing.run("down") == "no cluster is up\n"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_up_and_down_many_times(standing: Standing) -> None:
    for _ in range(NUM_TIMES):
        standing.run("up", "--detach", *SMALL)
        cluster = standing.cluster()
        standing.run("down")
        assert_nothing_is_left(standing, cluster)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_each_process_in_turn_is_killed(standing: Standing) -> None:
    turn = num_processes = 0
    while turn <= num_processes:
        standing.run("up", "--detach", *SMALL)
        cluster = standing.cluster()
        num_processes = len(cluster.members) - 1
        pid = sorted(cluster.members)[min(turn, num_processes)]
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        standing.run("down")
        assert_nothing_is_left(standing, cluster)
        turn += 1


def test_a_port_that_is_taken_is_told_before_anything_starts(standing: Standing) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        line = standing.fail("up", "--detach", "--metrics-port", port, code=2)
    assert f"--metrics-port {port}: another program listens there" in line
    assert not standing.folder.state_path.exists()
