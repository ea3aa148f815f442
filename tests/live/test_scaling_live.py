"""Instances come, go and change their role on a real cluster, by an autoscaler and by hand, and no request is lost."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.dashboards.files import load_dashboard
from deploy.dashboards.prometheus_api import Prometheus, Window
from deploy.run_folder.read import open_run
from scheduler.runtime.clock import wall_now_ns
from tests.dashboard_check import check_dashboard
from tests.live.quick_prometheus import SCRAPE_INTERVAL_S, quick_prometheus
from tests.live.standing import ROOT, Standing

pytestmark = pytest.mark.live

DEMO = str(ROOT / "examples" / "demo.jsonl")
LIMIT = 250
SOON_S = 60.0

FLIP = """
from scheduler.policies.scaling_view import Wanted

class Flip:
    def wanted(self, view):
        at_s = view.samples[-1].at_s
        prefill, decode = (4, 1) if at_s < 10 else (2, 2) if at_s < 30 else (4, 1)
        return Wanted({"prefill": prefill, "decode": decode}, f"at {at_s:g} s")
"""
"""NPUs of prefill to decode, and back."""

PLAN = ("--plan", "4x80p+1x64d+2c", "--autoscaler-max", "prefill=4,decode=2")
"""All NPUs: the second decode instance stands on those of prefill."""

FAST = "autoscaler_interval_s: 5\nautoscaler_start_s: 3\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The plan, who scales it, and how often."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "flip.py").write_text(FLIP)
    (folder / "fast.yaml").write_text(FAST)
    return (*PLAN, "--autoscaler", f"{folder}/flip.py:Flip", "--config", f"{folder}/fast.yaml")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, given: tuple[str, ...]) -> Iterator[Standing]:
    """A cluster that has room for what the autoscaler may start."""
    cluster = Standing(tmp_path_factory.mktemp("scaled") / "run")
    cluster.run("up", "--detach", "--metrics-port", "0", *given)
    yield cluster
    assert cluster.run("down") == "the cluster is down\n"


def until(is_true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SOON_S
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def decided(folder: Path) -> list[tuple[object, ...]]:
    """What was decided in a run, in its order: what is wanted, how many come and go, and why. Who that is depends on
    who has the least to do at the moment."""
    return [
        (dict(one.wanted), {kind: len(those) for kind, those in one.which.items()}, one.reason)
        for one in open_run(str(folder)).scalings
    ]


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the program prometheus")
def test_a_switch_of_roles_is_that_of_the_virtual_clock_and_shows(
    standing: Standing, given: tuple[str, ...], tmp_path: Path
) -> None:
    with quick_prometheus(tmp_path, standing.state().metrics_address) as url:
        began_s = wall_now_ns() / 1e9
        replay = ("replay", DEMO, "--live", "--speed", "5", "--limit", str(LIMIT), "--json")
        live = json.loads(standing.run(*replay, "--out", str(tmp_path / "live")))
        time.sleep(3 * SCRAPE_INTERVAL_S)
        window = Window(began_s, wall_now_ns() / 1e9, SCRAPE_INTERVAL_S)
        seen = {
            one.labels["role"]: set(one.values)
            for one in Prometheus(url).over_time("sum by (role) (supernode_scaling_instances)", window)
        }
        (switches,) = Prometheus(url).over_time('sum(supernode_scaling_changes_total{kind="switch"})', window)
        answers = check_dashboard(load_dashboard("supernode"), url, window, SCRAPE_INTERVAL_S)
        (watts,) = Prometheus(url).over_time("sum(supernode_npu_power_watts)", window)
    assert live["requests"]["finished"] == LIMIT
    assert live["requests"]["retried"] == 0
    assert {2, 4} <= seen["prefill"]
    assert {1, 2} <= seen["decode"]
    assert switches.values[-1] - switches.values[0] == 2
    assert not [answer.fault for answer in answers if answer.fault]
    assert max(watts.values) < 384 * 700  # no NPU counts twice
    expected = json.loads(
        standing.run("replay", DEMO, "--limit", str(LIMIT), "--json", *given, "--out", str(tmp_path / "virtual"))
    )
    assert decided(tmp_path / "live") == decided(tmp_path / "virtual")
    assert _counts(live) == _counts(expected)
    # In the mean, not in hours: a run of which the last answer comes late is longer, at all of its NPUs.
    assert _mean_npus(live) == pytest.approx(_mean_npus(expected), rel=0.05)
    last = standing.run("status")
    assert "1 more are not there" in last


def _phases(standing: Standing) -> list[str]:
    return [one["phase"] for one in standing.status()["instances"]]


def _counts(document: dict[str, Any]) -> dict[str, Any]:
    """Of what was decided, without hours."""
    scaling = document["scaling"]
    of_roles = {role: (one["started"], one["drained"]) for role, one in scaling["by_role"].items()}
    return {"changes": scaling["changes"], "switches": scaling["switches"], **of_roles}


def _mean_npus(document: dict[str, Any]) -> float:
    """That instances had."""
    return document["scaling"]["npu_hours"] * 3600 / document["simulated_s"]


def test_by_hand_during_a_replay_nothing_is_lost_and_the_reason_is_told(standing: Standing, tmp_path: Path) -> None:
    arguments = ("--autoscaler", "static", "--out", str(tmp_path / "run"), "--json")
    replay = standing.start("replay", DEMO, "--live", "--speed", "3", "--limit", str(LIMIT), *arguments)
    until(lambda: standing.status()["phase"] == "replaying" and standing.status()["progress"]["num_requests"] > 20)
    # Which of them leave depends on who has the least to do at this moment.
    (absent,) = [line for line in standing.run("scale", "prefill=2").splitlines() if line.startswith("absent: ")]
    assert absent.count("prefill-") == 2
    until(lambda: _phases(standing).count("absent") == 3)  # a second may go by until a snapshot is made
    status = standing.status()
    assert status["scaling"]["wanted"]["prefill"] == 2
    assert status["scaling"]["decisions"][-1]["policy"] == "operator"
    assert sum(status["restarts"].values()) == 0
    assert "did you mean prefill-1? known: prefill-0," in standing.fail("drain", "prefil-1", code=2)
    standing.run("scale", "prefill=4")
    out, err = replay.communicate(timeout=SOON_S)
    assert replay.returncode == 0, err
    result = json.loads(out)
    assert result["requests"]["finished"] == LIMIT
    assert result["requests"]["retried"] == 0
    assert _counts(result) == {"changes": 2, "switches": 0, "prefill": (2, 2), "decode": (0, 0)}
    assert [reason for *_, reason in decided(tmp_path / "run")] == ["operator", "operator"]
    first = open_run(str(tmp_path / "run")).scalings[0].at_ns
    assert first > 0
    assert "fleet scaled" in standing.run("explain", "--slowest", str(LIMIT), str(tmp_path / "run"))


def test_more_than_the_cluster_has_room_for_is_one_line(standing: Standing) -> None:
    line = standing.fail("replay", DEMO, "--live", "--autoscaler-max", "prefill=4,decode=3", code=2)
    assert "the cluster that is up has room for prefill=4,decode=2; give that as --autoscaler-max" in line
    assert "give 1 to 2" in standing.fail("scale", "decode=3", code=2)


@pytest.mark.parametrize("plan", ["2x16a+2c", "4x32p@ascend-910b+1x160d"])
def test_other_fleets_serve_live(tmp_path: Path, plan: str) -> None:
    """On a private cluster: from prompt to answer in one instance, or on two kinds of chips."""
    cluster = Standing(tmp_path / "none")
    cache = () if plan.endswith("c") else ("--cache", "none")
    replay = ("replay", DEMO, "--live", "--plan", plan, *cache, "--speed", "10", "--limit", "100", "--json")
    result = json.loads(cluster.run(*replay))
    expected = json.loads(cluster.run(*(one for one in replay if one not in ("--live", "--speed", "10"))))
    assert result["requests"] == expected["requests"]
    assert result["requests"]["finished"] == 100
    # Not those computed: who is looked up before the one before it is stored finds nothing of it.
    for name in ("prompt", "output", "wasted_prompt", "wasted_output"):
        assert result["tokens"][name] == expected["tokens"][name]
    assert 0.9 < result["tpot_s"]["p50"] / expected["tpot_s"]["p50"] < 3
    assert result.get("clusters", {}).keys() == expected.get("clusters", {}).keys()


def test_aggregated_instances_leave_and_come_back_during_a_replay(tmp_path: Path) -> None:
    cluster = Standing(tmp_path / "aggregated")
    cluster.run("up", "--detach", "--metrics-port", "0", "--plan", "3x16a+2c")
    try:
        replay = cluster.start("replay", DEMO, "--live", "--speed", "3", "--limit", str(LIMIT), "--json")
        until(lambda: cluster.status()["phase"] == "replaying" and cluster.status()["progress"]["num_requests"] > 20)
        assert "absent: aggregated-" in cluster.run("scale", "aggregated=2")
        assert "unknown role 'prefill'; known: aggregated" in cluster.fail("scale", "prefill=2", code=2)
        assert cluster.run("scale", "aggregated=3") == "serving: aggregated-0, aggregated-1, aggregated-2\n"
        out, err = replay.communicate(timeout=SOON_S)
        assert "absent: aggregated-1" in cluster.run("drain", "aggregated-1")
    finally:
        cluster.run("down")
    assert replay.returncode == 0, err
    result = json.loads(out)
    assert (result["requests"]["finished"], result["requests"]["retried"]) == (LIMIT, 0)
    assert result["scaling"]["changes"] == 2
    assert result["scaling"]["by_role"]["aggregated"]["drained"] == 1
