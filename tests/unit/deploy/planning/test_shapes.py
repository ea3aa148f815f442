"""Sizes that the search begins with can all be run."""

from __future__ import annotations

import pytest

from deploy.planning.demand import Demand
from deploy.planning.shapes import shapes_of
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError

LONG = Demand(12_000, 6.8, 12_035.0, 343.0, 0.37, 12_206.0, 90_000)


@pytest.mark.parametrize("cluster", ["cloudmatrix384", "h100-cluster", "h200-cluster", "gb200-nvl72"])
def test_every_shape_has_room_for_kv(cluster: str) -> None:
    settings = load_settings(None, {"cluster": cluster, "slo": "ttft=2s,tpot=50ms"})
    assert settings.requests.slo is not None
    shapes = shapes_of(settings, LONG, settings.requests.slo)
    assert shapes
    for shape in shapes:
        assert Blueprint(shape.settings_of(shape.start), 512).max_prompt_tokens > 0
        assert shape.lattice.cost(shape.largest) <= settings.hardware.cluster.num_npus
    sizes = [shape.num_npus(shape.start) for shape in shapes]
    assert sizes == sorted(sizes)


def test_a_load_for_more_supernodes_than_are_tried_says_how_many_npus() -> None:
    settings = load_settings(None, {"slo": "ttft=2s,tpot=50ms"})
    assert settings.requests.slo is not None
    flood = Demand(10**6, 1e5, 12_035.0, 343.0, 0.0, 12_206.0, 20_000)
    with pytest.raises(ConfigError, match=r"cloudmatrix384: needs some [0-9,]+ NPUs, and 16 supernodes have 6,144"):
        shapes_of(settings, flood, settings.requests.slo)
