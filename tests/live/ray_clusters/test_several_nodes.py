"""An existing Ray cluster of several nodes: attach, replay, lose nodes, detach; another job never notices."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from deploy.cluster.ray_connection import joined, quiet
from tests.live.standing import Standing

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    # Ray leaves sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DEMO = str(Path(__file__).parents[3] / "examples" / "demo.jsonl")
PLAN = ("--plan", "2x16p+1x16d+2c")
"""Six bundles of 8 NPUs."""

NODE_NPUS = 24
"""Room for three bundles."""

STORE_BYTES = 80 * 2**20
QUICKLY = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}
"""A node that is dead is missed within 2 s; Ray's default takes 15."""

SEEN_S = 60.0

_RAY: Any = ray
_GROUPS: Any = import_module("ray.util.placement_group")


class Nodes:
    """The cluster: a head, and nodes that offer NPUs."""

    def __init__(self) -> None:
        head = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head | {"_system_config": QUICKLY})
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> None:
        self._nodes.append(
            self._cluster.add_node(num_cpus=1, resources={"NPU": NODE_NPUS}, object_store_memory=STORE_BYTES)
        )

    def lose(self, node_id: str) -> None:
        node = next(one for one in self._nodes if one.node_id == node_id)
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # whatever token this user has
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with quiet():
        cluster = Nodes()
        for _ in range(3):
            cluster.add()
        yield cluster
        cluster.close()


def groups() -> dict[str, list[str]]:
    """The nodes of each bundle of the placement groups that there are, by name."""
    table = _GROUPS.placement_group_table().values()
    return {
        one["name"]: [one["bundles_to_node_id"][index] for index in sorted(one["bundles_to_node_id"])]
        for one in table
        if one["state"] != "REMOVED"
    }


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + SEEN_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {SEEN_S:.0f} s: {what}"
        time.sleep(0.2)


def free_npus() -> float:
    return _RAY.available_resources().get("NPU", 0.0)


def test_a_fleet_on_an_existing_cluster_survives_its_nodes_and_leaves_nothing(nodes: Nodes, tmp_path: Path) -> None:
    user = Standing(tmp_path / "runtime")
    at = ("--address", nodes.address)
    ship = (*at, "--ship")
    with joined(nodes.address, namespace="another job"):
        job = _RAY.remote(lambda: "served").options(num_cpus=1)

        # Attach: every instance on two nodes.
        told = json.loads(user.run("up", *ship, *PLAN, "--placement", "strict_spread", "--metrics-port", "0",
                                   "--detach", "--json"))  # fmt: skip
        assert told["token"] is None
        assert told["namespace"].startswith("supernode-")
        where = groups()
        assert set(where) == {"prefill-0", "prefill-1", "decode-0"}
        assert all(len(set(its)) == len(its) == 2 for its in where.values())
        assert free_npus() == 3 * NODE_NPUS - 6 * 8
        assert "clocks at most" in user.state().note

        # A node that holds only the second bundle of an instance is lost while a replay runs, and there is room.
        replay = user.start("replay", DEMO, "--live", "--speed", "5", "--limit", "250", "--json")
        wait_for(lambda: user.status()["progress"].get("num_requests", 0) > 30, "requests")
        nodes.lose(where["decode-0"][1])
        out, err = replay.communicate(timeout=120)
        assert replay.returncode == 0, err
        result = json.loads(out)
        assert result["requests"]["finished"] == 250, (result["finish_reasons"], err)
        assert "were lost and started again" in err
        assert all(len(set(its)) == 2 for its in groups().values())

        # Another one is lost, and there is none: said at once, and over when there is.
        nodes.lose(groups()["decode-0"][0])
        wait_for(lambda: "decode-0" in user.status()["progress"].get("waiting", {}), "who waits")
        line = user.status()["progress"]["waiting"]["decode-0"]
        assert line == "waits for a node with room for a bundle of 8 NPU, as its own was lost"
        assert f"Waiting     decode-0 {line}" in user.run("status")
        nodes.add()
        wait_for(lambda: not user.status()["progress"].get("waiting", {"?": "?"}), "all placed")
        wait_for(lambda: all(one["up"] for one in user.status()["instances"]), "all up")

        # Detach: the cluster is as it was, and serves whoever comes.
        user.run("down")
        assert not groups()
        wait_for(lambda: free_npus() == 2 * NODE_NPUS, "NPUs given back")
        assert _RAY.util.list_named_actors(all_namespaces=True) == []
        assert _RAY.get(job.remote(), timeout=30) == "served"

        # A replay that brings its own actors.
        out = user.run("replay", DEMO, "--live", *ship, *PLAN, "--limit", "20", "--speed", "20", "--json")
        assert json.loads(out)["requests"]["finished"] == 20
        assert not groups()
        wait_for(lambda: free_npus() == 2 * NODE_NPUS, "NPUs given back")
        assert _RAY.get(job.remote(), timeout=30) == "served"

        # The runs of a sweep are tasks on it, and say what they say on a node of their own.
        answers = [
            user.run("sweep", str(swept(tmp_path)), "--out", str(tmp_path / name), "--json", *options)
            for name, options in (("there", ship), ("here", ("--jobs", "1")))
        ]
        assert answers[0] == answers[1]
        assert kept(tmp_path / "there") == kept(tmp_path / "here")
        assert len(kept(tmp_path / "there")) == 3
        assert _RAY.get(job.remote(), timeout=30) == "served"


def swept(folder: Path) -> Path:
    """Three runs."""
    file = folder / "sweep.yaml"
    file.write_text(f"trace: {DEMO}\nslo: ttft=200ms,tpot=50ms\nlimit: 200\nvary: {{rate_scale: [1.0, 2.0, 4.0]}}\n")
    return file


def kept(out: Path) -> dict[str, bytes]:
    """What each run of a sweep came to."""
    return {path.name: path.read_bytes() for path in (out / "runs").glob("*.json")}
