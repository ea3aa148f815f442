"""Plans with aggregated instances: whole runs, what rules change, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.report.life import life_of
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual, write_result
from deploy.run_folder.read import open_run
from deploy.settings.load import load_settings
from deploy.settings.options import for_run
from deploy.system.blueprint import Blueprint
from scheduler.metrics.outcome.summary import Summary
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from tests.unit.sim_hw.known import SUPERNODES

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
SPLIT = "4x16p+1x32d+2x32a+48c"


def run(limit: int = 80, superpose: int = 1, rate_scale: float = 1.0, /, **told: object) -> ReplayResult:
    options = TraceOptions(limit, superpose, rate_scale, 0, False, None)
    return replay_virtual(ReplayJob(DEMO, options, load_settings(None, told)))


@pytest.mark.parametrize("cluster", [one.name for one in SUPERNODES])
@pytest.mark.parametrize("model", ["deepseek-r1", "llama-3.1-70b"])
def test_any_cluster_serves_aggregated(cluster: str, model: str) -> None:
    summary = run(cluster=cluster, model=model, plan="2x32a", cache="none").summary
    assert summary.requests.finished == 80
    assert summary.fabric.rdma.bytes == 0
    assert 0.001 < (summary.ttft_s.p50 or 0) < 20.0
    assert (summary.per_npu.prefill.utilization or 0) == (summary.per_npu.decode.utilization or 0) > 0
    assert set(summary.energy.by) >= {"prefill", "decode", "aggregated", "idle"}
    assert (summary.cost.usd_per_million_input_tokens or 0) > 0
    assert (summary.cost.usd_per_million_output_tokens or 0) > 0


@pytest.mark.parametrize("cache", ["pool", "local"])
def test_prefixes_are_found(cache: str) -> None:
    summary = run(plan="2x32a+48c", cache=cache).summary
    assert summary.requests.finished == 80
    assert summary.cache.hit_tokens > 0


def test_answers_are_kept_where_they_were_made() -> None:
    tasks = str(Path(DEMO).with_name("agents.yaml"))
    rows = TraceOptions(300, 1, 1.0, 0, False, None)

    def summary(cache: str, *, answers: bool) -> Summary:
        settings = load_settings(None, {"plan": "1x32a+48c", "cache": cache, "cache_answers": answers})
        return replay_virtual(ReplayJob(tasks, for_run(rows, settings, tasks), settings)).summary

    without, kept, pooled = (
        summary("local", answers=False),
        summary("local", answers=True),
        summary("pool", answers=True),
    )
    assert kept.requests.finished == kept.requests.arrived == 300
    assert without.cache.hit_tokens < kept.cache.hit_tokens
    # One instance that never forgets finds what the pool does, and nothing has to move for it.
    assert kept.cache.hit_tokens == pytest.approx(pooled.cache.hit_tokens, rel=0.01)
    assert kept.fabric.rdma.bytes == 0


def test_a_rule_splits_prompts_and_says_why() -> None:
    moved = {
        rule: run(plan=SPLIT, disaggregation=rule).summary.fabric.rdma.bytes
        for rule in ("always", "never", "prefix_threshold:tokens=1000")
    }
    assert moved["never"] == 0
    assert 0 < moved["prefix_threshold:tokens=1000"] < moved["always"]


def test_a_rule_of_ones_own_decides(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class Halves:\n    def __init__(self):\n        self.turn = False\n"
        "    def stays(self, view):\n        self.turn = not self.turn\n        return self.turn\n"
    )
    own, always = (run(plan=SPLIT, disaggregation=rule, cache="none") for rule in (f"{file}:Halves", "always"))
    assert 0 < own.summary.fabric.rdma.bytes < always.summary.fabric.rdma.bytes
    assert not any(one.count for one in own.failures.values())


def test_a_rule_that_fails_is_contained(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Broken:\n    def stays(self, view):\n        return 'perhaps'\n")
    result = run(plan=SPLIT, disaggregation=f"{file}:Broken")
    assert result.failures["disaggregation"].count == 80
    assert "return True or False" in result.failures["disaggregation"].first_error


@pytest.mark.parametrize("plan", ["2x32a", "2x16p+1x32d+2x16a"])
def test_a_power_cap_holds_and_costs_time(plan: str) -> None:
    told = {"plan": plan, "cache": "none", "disaggregation": "never" if "p" in plan else "always"}
    free = run(40, 4, **told).summary
    assert free.energy.supernode is not None
    low_w, peak_w = free.energy.supernode.mean_watts, free.energy.supernode.peak_watts
    assert low_w is not None
    cap_w = round(low_w + 0.2 * (peak_w - low_w))
    capped = run(40, 4, **told, power_cap=f"{cap_w}W").summary
    assert capped.energy.supernode is not None
    assert capped.energy.supernode.peak_watts <= cap_w < peak_w
    assert capped.requests == free.requests
    assert (capped.ttft_s.mean or 0) > 1.05 * (free.ttft_s.mean or 0)
    roomy = run(40, 4, **told, power_cap="1MW").summary
    assert (roomy.ttft_s, roomy.tpot_s) == (free.ttft_s, free.tpot_s)
    assert roomy.energy.joules == pytest.approx(free.energy.joules)


def test_idle_aggregated_instances_are_parked_and_woken_by_requests() -> None:
    told = {"plan": "4x32a", "cache": "none"}
    never, parked = (run(80, 1, 0.02, **told, parking=parking).summary for parking in ("", "idle=5s"))
    assert parked.requests == never.requests
    assert parked.energy.by["idle"] < 0.98 * never.energy.by["idle"]
    assert (parked.ttft_s.mean or 0) > (never.ttft_s.mean or 0)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"plan": "24x16a+48c", "power_cap": "200kW"}, "200.0 kW is below the"),
        ({"plan": "24x16a"}, "has no cache servers for --cache pool"),
        ({"disaggregation": "never"}, "has not both prefill (p) and aggregated (a) instances"),
        ({"plan": "2x1a", "cache": "none"}, "leave no room for KV in 64 GB; take more NPUs"),
    ],
)
def test_what_is_not_done_is_one_line(told: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Blueprint(load_settings(None, told), 512).make_core()
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_of_aggregated_instances_decide_nothing_without_any() -> None:
    without, other = (load_settings(None, told) for told in ({}, {"aggregated_tokens_per_npu": 64}))
    assert without.digest() == other.digest()
    first, second = (load_settings(None, {"plan": "24x16a+48c", "aggregated_tokens_per_npu": n}) for n in (64, 65))
    assert first.digest() != second.digest()


def test_explain_says_where_a_prompt_was_computed_and_that_it_stayed(tmp_path: Path) -> None:
    told = load_settings(None, {"plan": SPLIT, "disaggregation": "prefix_threshold:tokens=2000", "cache": "none"})
    job = ReplayJob(DEMO, TraceOptions(20, 1, 1.0, 0, False, None), told, keeps_log=True)
    result = replay_virtual(job)
    write_result(str(tmp_path / "run"), result, result.document())
    folder = open_run(str(tmp_path / "run"))
    lives = [life_of(folder, str(request_id)) for request_id in range(20)]
    short = next(life for life in lives if life.prompt_tokens < 2000)
    long = next(life for life in lives if life.prompt_tokens >= 2000)
    said = {(one.event, one.why) for one in short.events}
    assert ("stays to decode", "stays where its prompt was computed") in said
    assert any("computed where it decodes (prefix_threshold)" in why for _, why in said)
    assert "KV handed over" not in {event for event, _ in said}
    said = {(one.event, one.why) for one in long.events}
    assert any("disaggregated (prefix_threshold)" in why for _, why in said)
    assert "KV handed over" in {event for event, _ in said}
