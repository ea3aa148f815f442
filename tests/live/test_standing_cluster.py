"""`up`, `replay --live`, `status`, `down` as a user runs them, with a real Ray and a real Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.cluster.attach import control_call
from deploy.cluster.listeners import session_listeners
from deploy.cluster.runtime_folder import FOLDER_VARIABLE
from deploy.dashboards.files import UIDS, load_dashboard
from deploy.dashboards.prometheus_api import Prometheus, Window
from scheduler.protocol.errors import ConfigError
from scheduler.runtime.clock import wall_now_ns
from tests.dashboard_check import check_dashboard
from tests.live.others_names import unanswered
from tests.live.quick_prometheus import SCRAPE_INTERVAL_S, quick_prometheus
from tests.live.standing import ROOT, SMALL, Standing, alive

pytestmark = pytest.mark.live

DEMO = str(ROOT / "examples" / "demo.jsonl")
LIMIT = 400
SOON_S = 60.0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A cluster that is up for all tests of this file."""
    cluster = Standing(tmp_path_factory.mktemp("standing") / "run")
    cluster.run("up", "--detach", *SMALL)
    parts = cluster.cluster()
    yield cluster
    assert cluster.run("down") == "the cluster is down\n"
    assert not alive(parts.members), "processes outlived the cluster"
    assert not parts.node_folder.exists()
    assert sorted(path.name for path in cluster.folder.path.iterdir()) == ["lock", "log"]


def counters(cluster: Standing) -> dict[tuple[str, str], float]:
    """Every counter that the endpoint shows, by name and labels."""
    with urlopen(f"http://{cluster.state().metrics_address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type in ("counter", "histogram") and not sample.name.endswith("_created")
    }


def until(is_true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SOON_S
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def test_what_is_up_can_be_seen_and_is_closed_to_others(standing: Standing) -> None:
    status, state = standing.status(), standing.state()
    assert status["standing"] == "up"
    assert status["phase"] == "idle"
    assert [one["name"] for one in status["instances"]] == ["prefill-0", "prefill-1", "decode-0"]
    assert all(one["up"] for one in status["instances"])
    assert "decode-0" in standing.run("status")
    assert os.stat(standing.folder.token_path).st_mode & 0o777 == 0o600
    listeners = session_listeners(state.keeper_pid, state.keeper_start)
    own = int(state.metrics_address.rpartition(":")[2])
    assert [one.address for one in listeners if one.port == own] == ["127.0.0.1"]
    # What Ray itself opens is its own processes' only.
    assert not [one for one in listeners if not one.is_loopback and one.pid == state.keeper_pid and one.port == own]


def test_an_idle_fleet_draws_power(standing: Standing) -> None:
    until(lambda: standing.status()["watts"] > 0)
    status = standing.status()
    assert all(one["watts"] > 0 and one["utilization"] == 0 for one in status["instances"])


def test_only_one_cluster_is_up(standing: Standing) -> None:
    assert "a cluster is up already" in standing.fail("up", "--detach", *SMALL, code=3)
    assert standing.status()["standing"] == "up"


def test_a_run_for_other_instances_is_refused(standing: Standing) -> None:
    line = standing.fail("replay", DEMO, "--live", "--plan", "1x16p+1x160d", code=2)
    assert "--plan 1x16p+1x160d: the cluster that is up has 2x16p+1x16d+2c" in line


def test_operations_are_called_by_name(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(standing.folder.path))
    state = standing.state()
    assert control_call(state, "status")["phase"] == "idle"
    with pytest.raises(ConfigError, match=r"no such control command: explode; known: .*status"):
        control_call(state, "explode")


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the program prometheus")
def test_a_replay_fills_every_family_and_every_panel(standing: Standing, tmp_path: Path) -> None:
    with quick_prometheus(tmp_path, standing.state().metrics_address) as url:
        began_s = wall_now_ns() / 1e9
        replay = (
            "replay",
            DEMO,
            "--live",
            "--speed",
            "8",
            "--limit",
            str(LIMIT),
            "--slo",
            "ttft=2s,tpot=50ms",
            "--policy",
            "slo_aware",  # reads predictions
            "--json",
        )
        result = json.loads(standing.run(*replay))
        time.sleep(3 * SCRAPE_INTERVAL_S)
        window = Window(began_s, wall_now_ns() / 1e9, SCRAPE_INTERVAL_S)
        for uid in UIDS:
            answers = check_dashboard(load_dashboard(uid), url, window, SCRAPE_INTERVAL_S)
            faults = [answer.fault for answer in answers if answer.fault]
            assert not faults, "\n" + "\n".join(faults)
        assert not unanswered(url, window, SCRAPE_INTERVAL_S)
        for phase in ("prefill", "decode"):  # idle time before and after the replay has no part in these
            (joules,) = Prometheus(url).over_time(f'supernode_energy_joules_total{{phase="{phase}"}}', window)
            assert joules.values[-1] - joules.values[0] == pytest.approx(result["energy"]["by"][phase], rel=1e-4)
    assert result["requests"]["finished"] == LIMIT
    status = standing.status()
    assert status["requests"]["ended"]["stop"] == LIMIT
    assert status["tokens"]["prompt"] > 0
    assert status["runs"] == {"completed": 1, "interrupted": 0, "failed": 0}
    with urlopen(f"http://{standing.state().metrics_address}/metrics", timeout=10) as answer:
        families = {f.name: f for f in text_string_to_metric_families(answer.read().decode())}
    assert len(families["supernode_npu_power_watts"].samples) == 48
    assert not [name for name, family in families.items() if not family.samples]


def test_replays_in_a_row_count_as_one_run_each_and_idle_times_as_none(standing: Standing) -> None:
    before = standing.status()["runs"]
    for _ in range(2):
        standing.run("replay", DEMO, "--live", "--speed", "20", "--limit", "20")
    until(lambda: standing.status()["phase"] == "idle" and not standing.status()["run_active"])
    assert standing.status()["runs"] == {**before, "completed": before["completed"] + 2}


def test_a_worker_that_is_killed_costs_no_request_and_no_counter_falls(standing: Standing) -> None:
    before = counters(standing)
    replay = standing.start("replay", DEMO, "--live", "--speed", "4", "--limit", str(LIMIT), "--json")
    until(lambda: standing.status()["progress"]["num_requests"] >= LIMIT // 4)
    seen = [before, counters(standing)]
    hosts = standing.find(lambda line: line.startswith("ray::HostActor"))
    assert len(hosts) == 4
    for pid in hosts[1:3]:  # whichever they are
        os.kill(pid, signal.SIGKILL)
    until(lambda: sum(standing.status()["restarts"].values()) == 2)
    seen.append(counters(standing))
    out, err = replay.communicate(timeout=SOON_S)
    assert replay.returncode == 0, err
    seen.append(counters(standing))
    requests = json.loads(out)["requests"]
    assert requests["arrived"] == LIMIT
    assert requests["finished"] + requests["failed"] == LIMIT
    assert "workers were lost and started again 2 times" in err
    for earlier, later in pairwise(seen):
        assert not [key for key, value in earlier.items() if later[key] < value]
    assert standing.status()["phase"] == "idle"
    assert sum(one["running"] + one["waiting"] for one in standing.status()["stages"].values()) == 0


def test_a_replay_that_is_interrupted_leaves_the_cluster_idle(standing: Standing) -> None:
    replay = standing.start("replay", DEMO, "--live", "--speed", "1", "--json")
    until(lambda: standing.status()["phase"] == "replaying" and standing.status()["progress"]["num_requests"] > 5)
    assert "another replay runs on this cluster (demo.jsonl)" in standing.fail("replay", DEMO, "--live", code=3)
    replay.send_signal(signal.SIGINT)
    out, err = replay.communicate(timeout=SOON_S)
    assert replay.returncode == 130, err
    result = json.loads(out)
    assert result["partial"]
    assert result["finish_reasons"]["interrupted"] == result["requests"]["failed"]
    until(lambda: standing.status()["phase"] == "idle")


def test_a_control_plane_that_is_killed_comes_back_with_its_fleet(standing: Standing) -> None:
    address = standing.state().metrics_address
    replay = standing.start("replay", DEMO, "--live", "--speed", "2")
    until(lambda: standing.status()["phase"] == "replaying" and standing.status()["progress"]["num_requests"] > 5)
    (pid,) = standing.find(lambda line: line.startswith("ray::ControlPlane"))
    os.kill(pid, signal.SIGKILL)
    _, err = replay.communicate(timeout=SOON_S)
    assert replay.returncode == 3
    assert err.splitlines()[-1].startswith(
        "supernode: the process of the control plane was lost, and the replay with it"
    )
    deadline_s = time.monotonic() + SOON_S
    while time.monotonic() < deadline_s:
        time.sleep(0.5)
        if standing.find(lambda line: line.startswith("ray::ControlPlane")) != [pid]:
            status = json.loads(standing.start("status", "--json").communicate(timeout=SOON_S)[0] or "{}")
            if status.get("phase") == "idle" and status["emulated_s"] > 0:
                break
    assert standing.state().metrics_address == address
    result = json.loads(standing.run("replay", DEMO, "--live", "--speed", "20", "--limit", "50", "--json"))
    assert result["requests"]["finished"] == 50
