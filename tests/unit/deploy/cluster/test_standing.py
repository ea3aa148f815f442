"""A run on a standing cluster has the instances of that cluster, and no others."""

from __future__ import annotations

import pytest

from deploy.cluster.standing import refuse_other_fleet
from deploy.cluster.state import ClusterState
from deploy.settings.load import load_settings
from scheduler.protocol.errors import ConfigError

PLAN = {"plan": "4x80p+1x64d+2c"}


def cluster(**settings: str) -> ClusterState:
    config = load_settings(None, {**PLAN, **settings}).to_plain()
    return ClusterState("ready", 1, 1, ray_folder="r", config=config, started_at="then")


@pytest.mark.parametrize(
    ("up", "run"),
    [
        ({}, {}),
        ({"autoscaler": "sla"}, {}),
        ({"autoscaler": "sla"}, {"autoscaler": "threshold"}),
        ({"autoscaler": "sla"}, {"autoscaler": "sla", "autoscaler_max": "prefill=4,decode=2"}),
        # Among the instances of the plan nothing is needed.
        ({}, {"autoscaler": "sla", "autoscaler_max": "prefill=4,decode=1"}),
    ],
)
def test_what_fits_is_let_in(up: dict[str, str], run: dict[str, str]) -> None:
    refuse_other_fleet(cluster(**up), load_settings(None, {**PLAN, **run}))


@pytest.mark.parametrize(
    ("up", "run", "told"),
    [
        ({}, {"plan": "14x16p+1x160d+48c"}, "--plan .*: the cluster that is up has 4x80p"),
        ({}, {"autoscaler": "sla"}, "--autoscaler sla: .* has room for prefill=4,decode=1; give that as"),
        (
            {"autoscaler": "sla", "autoscaler_max": "decode=2"},
            {"autoscaler": "queue", "autoscaler_max": "decode=3"},
            "--autoscaler queue: .* has room for prefill=4,decode=2; .* 'supernode up --autoscaler queue'",
        ),
    ],
)
def test_what_does_not_is_one_line(up: dict[str, str], run: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        refuse_other_fleet(cluster(**up), load_settings(None, {**PLAN, **run}))
    assert "\n" not in str(error.value)
