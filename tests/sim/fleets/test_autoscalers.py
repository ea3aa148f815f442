"""Autoscalers on a whole system of real physics: calm under a steady load, there when it comes and when NPUs break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from scheduler.metrics.outcome.collector import Collector
from scheduler.sources.faults import FaultPlan
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.worker_losses import PlannedLoss

EXAMPLES = Path(__file__).parents[3] / "examples"

NAMES = ("threshold", "queue", "sla", "energy")

STEADY = """
num_requests: 100000
arrivals: {stages: [{duration_s: 2400, rate_per_s: 1.5}]}
prompt_tokens: {mean: 12000, cv: 0.3, minimum: 1000, maximum: 60000}
output_tokens: {mean: 1500, cv: 0.3, minimum: 100, maximum: 12000}
"""

RISING = """
num_requests: 100000
arrivals: {stages: [{duration_s: 900, rate_per_s: 0.4}, {duration_s: 900, rate_per_s: 3}]}
prompt_tokens: {mean: 12000, cv: 0.3, minimum: 1000, maximum: 60000}
output_tokens: {mean: 300, cv: 0.3, minimum: 100, maximum: 12000}
"""

SHORT = """
num_requests: 200
arrivals: {rate_per_s: 0.4}
prompt_tokens: {mean: 12000, cv: 0.3, minimum: 1000, maximum: 60000}
output_tokens: {mean: 1500, cv: 0.3, minimum: 100, maximum: 12000}
"""


def replay(folder: Path, workload: str, faults: FaultPlan | None = None, **settings: Any) -> ReplayResult:
    """On 128 H20 in instances of 8."""
    trace = folder / "load.yaml"
    trace.write_text(workload, encoding="utf-8")
    system = {"cluster": str(EXAMPLES / "h20-cluster.yaml"), "model": "llama-3.1-70b", "cache": "none"}
    told = load_settings(None, {**system, "slo": "ttft=15s,tpot=40ms", **settings})
    return replay_virtual(ReplayJob(str(trace), TraceOptions(), told, faults=faults, keeps_log=True))


def log_of(result: ReplayResult) -> Collector:
    assert result.log is not None
    assert result.summary.requests.finished == result.summary.requests.arrived
    return result.log.collector


@pytest.mark.parametrize("plan", ["5x8p+3x8d", "5x8a", "4x8p+2x8d+2x8a"])
@pytest.mark.parametrize("name", NAMES)
def test_a_steady_load_is_left_alone(name: str, plan: str, tmp_path: Path) -> None:
    result = replay(tmp_path, STEADY, plan=plan, autoscaler=name)
    late = [one for at_ns, one in log_of(result).scalings if at_ns > 600e9]
    assert len(late) <= 1, [(one.wanted, one.reason) for one in late]


@pytest.mark.parametrize("plan", ["2x8p+2x8d", "3x8a"])
@pytest.mark.parametrize("name", NAMES)
def test_what_comes_is_served_by_more(name: str, plan: str, tmp_path: Path) -> None:
    result = replay(tmp_path, RISING, plan=plan, autoscaler=name)
    said = [one for _, one in log_of(result).scalings]
    assert sum(len(one.started) + len(one.booked) for one in said) >= 2
    static = replay(tmp_path, RISING, plan=plan)
    attained, without = (one.document()["slo"]["attainment"] for one in (result, static))
    assert attained > without


def test_losses_while_instances_come_and_go(tmp_path: Path) -> None:
    s = 10**9
    # One that is there, one that may be there by then, and one that never is.
    losses = [PlannedLoss(worker, 1_000 * s, 1_060 * s) for worker in ("prefill-0", "prefill-3", "decode-9")]
    result = replay(tmp_path, RISING, FaultPlan(losses=tuple(losses)), plan="2x8p+2x8d", autoscaler="sla")
    assert log_of(result).scalings
    scaling = result.document()["scaling"]
    assert scaling["npu_hours"] == pytest.approx(sum(one["npu_hours"] for one in scaling["by_role"].values()))


def test_instances_that_are_not_there_have_no_part_in_how_full_decode_is(tmp_path: Path) -> None:
    """A scaler that keeps the plan, with room for as many again."""
    plan, least = "2x8p+2x8d", "prefill=2,decode=2"
    plain = replay(tmp_path, SHORT, plan=plan).document()
    kept = replay(tmp_path, SHORT, plan=plan, autoscaler="threshold", autoscaler_min=least).document()
    assert kept["scaling"]["changes"] == 0
    assert plain["decode_load"]["kv_used_mean"] > 0.01
    assert kept["decode_load"] == plain["decode_load"]
    assert kept["per_npu"] == plain["per_npu"]
