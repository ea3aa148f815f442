"""The service of the cluster that is up, as it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from deploy.cluster.state import ClusterState
from deploy.http_client.service import key_headers, service
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError

THERE = Settings.from_plain({"policy": "round_robin"})
CLUSTER = ClusterState("ready", 1, 1, http_address="127.0.0.1:8000", config=THERE.to_plain())


def test_a_client_decides_how_it_asks_and_nothing_else() -> None:
    asked = THERE.changed(concurrency="5", think_time="2s", slo="ttft=1s", seed=3)
    with service(CLUSTER, asked) as url:
        assert url == "http://127.0.0.1:8000"
    with (
        pytest.raises(ConfigError, match=r"--policy least_loaded: the service was brought up with 'round_robin'"),
        service(CLUSTER, THERE.changed(policy="least_loaded")),
    ):
        pass


def test_a_cluster_may_serve_nobody() -> None:
    with (
        pytest.raises(ConfigError, match="'supernode up --detach --http'"),
        service(replace(CLUSTER, http_address=""), THERE),
    ):
        pass


def test_the_key_of_the_environment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERNODE_HTTP_KEY", raising=False)
    assert key_headers() == {}
    monkeypatch.setenv("SUPERNODE_HTTP_KEY", " a-key ")
    assert key_headers() == {"Authorization": "Bearer a-key"}
