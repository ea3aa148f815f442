"""Any cluster serves any model, in its default plan; what cannot be built is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from sim_hw.models.published import MODELS
from tests.unit.sim_hw.known import SUPERNODES

ROOT = Path(__file__).parents[4]
CLUSTERS = [*(cluster.name for cluster in SUPERNODES), str(ROOT / "examples" / "h20-cluster.yaml")]
LIMIT = 60


@pytest.mark.parametrize("model", [model.name for model in MODELS])
@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda path: Path(path).stem)
def test_any_cluster_serves_any_model(cluster: str, model: str) -> None:
    config = load_settings(None, {"cluster": cluster, "model": model})
    options = TraceOptions(LIMIT, 1, 1.0, 0, False, None)
    result = replay_virtual(ReplayJob(str(ROOT / "examples" / "demo.jsonl"), options, config))
    summary = result.summary
    assert summary.requests.finished == LIMIT
    assert 0.001 < (summary.ttft_s.p50 or 0) < 1.0
    assert 0.001 < (summary.tpot_s.p50 or 0) < 0.1


def test_equal_instances_share_their_physics() -> None:
    blueprint = Blueprint(load_settings(None, {}), 512)
    first, second = (blueprint.make_worker(spec.address) for spec in blueprint.prefill[:2])
    assert first._cost is second._cost  # type: ignore[attr-defined]


def test_the_longest_sequence_is_bounded_by_memory_and_by_the_positions_of_the_model() -> None:
    blueprint = Blueprint(load_settings(None, {"model": "qwen3-235b-a22b"}), 512)
    core = blueprint.make_core()
    assert core.state.prefill.max_sequence_tokens == blueprint.model.max_positions


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"plan": "1x2p+1x160d+48c"}, r"plan '1x2p\+1x160d\+48c': .*2 NPUs: weights and buffers of .* take more NPUs"),
        ({"cluster": "h800-cluster", "cache": "pool"}, r"NPUs of h800-cluster .* over ub: take --cache local"),
        ({"plan": "1x16p+1x160d"}, "has no cache servers for --cache pool"),
        ({"plan": "1x16p+1x400d"}, "takes 400 NPUs, the cluster has 384"),
    ],
)
def test_what_cannot_be_built_is_one_line(flags: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        Blueprint(load_settings(None, flags), 512).make_core()
