"""A scaled run on the parts of a live cluster, in one process whose hops cost nothing: the run of the virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.live.parts import SPARE_HOST, host_plans, make_control, make_worker, replay_run
from deploy.run.collecting import run_info
from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.metrics.outcome.summary import summarize
from scheduler.protocol.component import Component
from scheduler.protocol.messages import FleetScaled, ReportUsage
from scheduler.sources.provisioner import Forwarder
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from tests.unit.deploy.run_folder.made import DEMO
from tests.unit.scheduler.runtime.fakes import FakeCluster
from workers.stopping import Nobody

FLIP = """
from scheduler.policies.scaling_view import Wanted

class Flip:
    def wanted(self, view):
        at_s = view.samples[-1].at_s
        prefill, decode = (5, 1) if at_s < 20 else (2, 2) if at_s < 55 else (4, 1)
        return Wanted({"prefill": prefill, "decode": decode}, f"at {at_s:g} s")
"""
PLAN = {"plan": "4x80p+1x64d+2c", "autoscaler_interval_s": 5.0, "autoscaler_start_s": 3.0}
"""All NPUs: the second decode instance stands on those of a prefill instance."""


def job(autoscaler: str, **more: Any) -> ReplayJob:
    settings = load_settings(None, {**PLAN, "autoscaler": autoscaler, **more})
    return ReplayJob(DEMO, TraceOptions(limit=500), settings, keeps_log=True)


def run_live(job: ReplayJob) -> tuple[dict[str, Any], list[tuple[int, FleetScaled]]]:
    blueprint = Blueprint(job.settings, open_trace(job.trace, options=job.options).block_tokens)
    run = replay_run(job, blueprint, 1.0)
    parts = make_control(run.spec)
    spec = {**run.spec, "report_interval_ns": 10**9}

    def make(address: str, began_ns: int) -> Component:
        return make_worker({**spec, "began_ns": began_ns}, address)

    class Parts:
        core, sources = parts.core, (*parts.sources, Forwarder())

    cluster = FakeCluster(Parts, blueprint.worker_addresses, make)
    asyncio.run(cluster.run())
    kept = parts.keep()
    collector = kept.collector
    summary = summarize(collector, run_info(blueprint, 0.0, kept.clients), job.settings.requests.judged_slo)
    return summary.to_json(), collector.scalings


@pytest.fixture(scope="module")
def flip(tmp_path_factory: pytest.TempPathFactory) -> str:
    policy = tmp_path_factory.mktemp("policy") / "flip.py"
    policy.write_text(FLIP)
    return f"{policy}:Flip"


def test_what_is_decided_and_what_comes_of_it_is_as_on_the_virtual_clock(flip: str) -> None:
    virtual = replay_virtual(job(flip))
    assert virtual.log is not None
    expected, decided = virtual.summary.to_json(), virtual.log.collector.scalings
    live, decided_live = run_live(job(flip))
    assert decided_live == decided
    assert [one.reason for _, one in decided] == ["at 20 s", "at 55 s"]
    assert live["scaling"] == expected["scaling"]
    assert live["scaling"]["switches"] == 2
    assert live["requests"] == expected["requests"]
    assert live["requests"]["finished"] == 500
    for key in ("ttft_s", "tpot_s", "energy", "cost"):
        assert live[key] == expected[key], key


FLOWS = """
flows:
  beside_prefill: {plane: ub, from: node/48, to: node/50, bytes_per_s: 1.0e+12, for_s: 20}
  between: {plane: rdma, from: node/0, to: node/97, bytes_per_s: 1.0e+11, for_s: 20}
"""


@pytest.mark.parametrize("told", [{}, {"power_cap": "600kW"}, {"background": FLOWS}])
def test_a_fleet_of_several_chips_is_that_of_the_virtual_clock(told: dict[str, str], tmp_path: Path) -> None:
    """Each host makes its instances of their own cluster from the plain data of the run."""
    if "background" in told:
        (tmp_path / "flows.yaml").write_text(FLOWS)
        told = {"background": str(tmp_path / "flows.yaml")}
    plan = "2x32p@h800+1x32p@ascend-910b+1x64d"
    settings = load_settings(None, {"plan": plan, "cache": "none", **told})
    mixed = ReplayJob(DEMO, TraceOptions(limit=300), settings, keeps_log=True)
    expected = replay_virtual(mixed).summary.to_json()
    live, _ = run_live(mixed)
    assert live["requests"] == expected["requests"]
    assert live["requests"]["finished"] == 300
    assert list(live["clusters"]) == ["h800-cluster", "atlas-800i-a2", "cloudmatrix384"]
    for key in ("ttft_s", "tpot_s", "clusters", "energy", "cost"):
        assert live[key] == expected[key], key


def test_hosts_of_slots_are_one_process_beside_those_of_the_plan(flip: str) -> None:
    blueprint = Blueprint(job(flip).settings, 512)
    hosts = {host.name: host for host in host_plans(blueprint)}
    assert hosts[SPARE_HOST].addresses == ("decode-1", "decode-2", "decode-3", "decode-4", "decode-5")
    assert hosts[SPARE_HOST].num_npus == 0
    assert sum(host.num_npus for host in hosts.values()) == 384
    assert SPARE_HOST not in {host.name for host in host_plans(Blueprint(job("static").settings, 512))}


def test_who_has_no_part_in_a_run_is_nobody_and_who_came_back_is_there(flip: str) -> None:
    def made(address: str, began_ns: int, autoscaler: str) -> Component:
        config = job(autoscaler).settings.to_plain()
        return make_worker(
            {"config": config, "block_tokens": 512, "report_interval_ns": 10**9, "began_ns": began_ns}, address
        )

    assert isinstance(made("decode-1", 0, "static"), Nobody)
    absent, back = made("decode-1", 0, flip), made("decode-1", 7, flip)
    assert not absent.handle(10, ReportUsage())
    assert back.handle(10, ReportUsage())


@pytest.mark.parametrize(("plan", "num_together"), [("14x16p+1x160d+48c", 1), ("10*(14x16p+1x160d+48c)", 3)])
def test_instances_of_large_fleets_share_processes_within_a_supernode(plan: str, num_together: int) -> None:
    blueprint = Blueprint(load_settings(None, {"plan": plan}), 512)
    network, *hosts = host_plans(blueprint)
    assert network.addresses == ("fabric", *blueprint.pools)
    assert sorted(a for host in hosts for a in host.addresses) == sorted(s.address for s in blueprint.instances)
    of = {spec.address: spec for spec in blueprint.instances}
    for host in hosts:
        assert len(host.addresses) <= num_together
        assert len({of[address].supernode for address in host.addresses}) == 1
        assert host.num_npus == sum(of[address].num_npus for address in host.addresses)
    assert len(hosts) <= 50
