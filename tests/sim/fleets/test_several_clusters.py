"""Whole runs of fleets of several clusters: who is called otherwise and is the same does the same, a cap holds over
chips that differ, and instances come and go where their role is at home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.sources.traces.options import TraceOptions
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384

DEMO = str(Path(__file__).parents[3] / "examples" / "demo.jsonl")
MIXED = "4x32p@ascend-910b+1x160d"
GROW = """
from scheduler.policies.scaling_view import Wanted

class Grow:
    def wanted(self, view):
        at_s = view.samples[-1].at_s
        prefill, decode = (6, 2) if at_s < 20 else (3, 1)
        return Wanted({"prefill": prefill, "decode": decode}, f"at {at_s:g} s")
"""


def settings(plan: str, **told: Any) -> Settings:
    return load_settings(None, {"plan": plan, "cache": "none", **told})


def twinned(whole: Settings) -> Settings:
    """With every second supernode a cluster of another name that is the same otherwise."""
    twin = replace(CLOUDMATRIX384, name="twin")
    supernodes = tuple(
        replace(one, cluster=twin) if index % 2 else one for index, one in enumerate(whole.hardware.plan.supernodes)
    )
    plan = type(whole.hardware.plan)(supernodes, whole.hardware.plan.text)
    return replace(whole, hardware=replace(whole.hardware, plan=plan))


def run(of: Settings, limit: int = 250, superpose: int = 4) -> ReplayResult:
    return replay_virtual(ReplayJob(DEMO, TraceOptions(limit=limit, superpose=superpose), of, keeps_log=True))


@pytest.fixture
def grow(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "grow.py").write_text(GROW)
    told = {"autoscaler_interval_s": 5.0, "autoscaler_start_s": 3.0}
    return {"autoscaler": f"{tmp_path / 'grow.py'}:Grow", **told}


@pytest.fixture
def flows(tmp_path: Path) -> dict[str, Any]:
    """Traffic within each supernode, and from the one to the other."""
    (tmp_path / "flows.yaml").write_text(
        "flows:\n"
        "  a: {plane: ub, from: node/0, to: node/9, bytes_per_s: 3.0e+12, for_s: 20}\n"
        "  b: {plane: ub, from: node/49, to: node/52, bytes_per_s: 3.0e+12, for_s: 20}\n"
        "  c: {plane: rdma, from: node/1, to: node/50, bytes_per_s: 6.0e+11, for_s: 20}\n"
    )
    return {"background": str(tmp_path / "flows.yaml")}


@pytest.mark.parametrize("limits", [{}, {"power_cap": "620kW"}])
@pytest.mark.parametrize("others", ["", "flows", "grow"])
def test_a_twin_by_another_name_changes_nothing(
    limits: dict[str, Any], others: str, flows: dict[str, Any], grow: dict[str, Any]
) -> None:
    told = {**limits, **{"": {}, "flows": flows, "grow": grow}[others]}
    alike = settings("2*(2x16p+1x64d)", **told)
    one, twin = run(alike).summary.to_json(), run(twinned(alike)).summary.to_json()
    assert twin.pop("clusters").keys() == {"cloudmatrix384", "twin"}
    assert twin["requests"] == one["requests"]
    assert one["requests"]["finished"] == 1000
    for key in ("ttft_s", "tpot_s"):
        assert twin[key] == pytest.approx(one[key], rel=1e-3)
    for key in ("joules", "peak_watts"):
        assert twin["energy"][key] == pytest.approx(one["energy"][key], rel=1e-3)
    for key, value in one["energy"]["by"].items():
        assert twin["energy"]["by"][key] == pytest.approx(value, rel=1e-3)
    assert twin["cost"]["usd"] == pytest.approx(one["cost"]["usd"], rel=1e-6)
    assert twin["cost"]["plan"]["usd"] == pytest.approx(one["cost"]["plan"]["usd"], rel=1e-3)
    if others == "grow":
        assert twin["scaling"]["by_role"] == one["scaling"]["by_role"]


def test_a_cap_holds_over_chips_that_differ() -> None:
    free, capped = (run(settings(MIXED, **told)).summary.to_json() for told in ({}, {"power_cap": "400kW"}))
    assert free["energy"]["supernode"]["peak_watts"] > 405e3
    assert capped["energy"]["supernode"]["peak_watts"] <= 400e3
    assert capped["requests"]["finished"] == free["requests"]["finished"] == 1000
    # Both chips gave watts.
    for name, one in capped["clusters"].items():
        assert one["watts"] <= free["clusters"][name]["watts"]


def test_instances_come_and_go_on_the_cluster_of_their_role(grow: dict[str, Any]) -> None:
    """What all NPUs draw is conserved: empty ones of each chip draw as such."""
    result = run(settings(MIXED, **grow))
    summary = result.summary.to_json()
    assert summary["requests"]["finished"] == 1000
    by_role = summary["scaling"]["by_role"]
    assert (by_role["prefill"]["started"], by_role["decode"]["started"]) == (2, 1)
    assert summary["scaling"]["switches"] == 0
    clusters = summary["clusters"]
    assert clusters["atlas-800i-a2"]["instance_npus"] == pytest.approx(32 * by_role["prefill"]["mean_instances"])
    assert clusters["cloudmatrix384"]["instance_npus"] == pytest.approx(160 * by_role["decode"]["mean_instances"])
    still = run(settings(MIXED)).summary.to_json()
    idle_w = {"atlas-800i-a2": 93.0, "cloudmatrix384": 168.0}
    for seen in (summary, still):
        npus_j = sum(seen["energy"]["by"][phase] for phase in ("prefill", "decode", "idle"))
        empty_w = sum((384 - one["instance_npus"]) * idle_w[name] for name, one in seen["clusters"].items())
        assert npus_j == pytest.approx(seen["energy"]["joules"] + empty_w * seen["simulated_s"], rel=1e-6)
