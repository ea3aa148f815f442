"""The parts of a live replay, each made in its own process from the same plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, to_builtins

from deploy.live.actors import HostPlan
from deploy.live.session import STREAM_LEAD_S, STREAM_REPORT_INTERVAL_S, ControlParts, RunSpec
from deploy.run.collecting import collecting
from deploy.run.profile_run import measured_instances
from deploy.run.replay import ReplayJob, journal_header, keep_decisions
from deploy.run.sources import clients_log, clients_warnings, make_sources
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.system.instances import InstanceSpec
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.decisions import RunDecisions
from scheduler.policies.failures import PolicyFailures
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import Component
from scheduler.runtime.clock import NS_PER_S
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.clients.log import ClientsLog
from scheduler.sources.profiler import Profiler, Starter
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from workers.stopping import Nobody, StoppableInstance

MAKE_WORKER: Final = "deploy.live.parts:make_worker"
MAKE_CONTROL: Final = "deploy.live.parts:make_control"
MAKE_IDLE: Final = "deploy.live.parts:make_idle"
MAKE_PROFILE: Final = "deploy.live.parts:make_profile"

SPARE_HOST: Final = "spare"
"""The process of instances beyond the plan: most of them are never started, and one that is not costs nothing."""

MAX_INSTANCE_HOSTS: Final = 50
"""Processes that instances are spread over: each takes half a second to start on a small machine, and 80 MB."""


class KeptParts(Struct, frozen=True):
    """What comes back from the control plane: the run's log with the table in it, lines for a person on rows left out
    and on a policy that failed, the decisions if they are to be kept, how often policies failed, and what clients that
    wait left."""

    collector: Collector
    skipped_lines: list[str]
    decided: RunDecisions | None
    failures: Mapping[str, PolicyFailures]
    clients: ClientsLog | None = None


def replay_run(job: ReplayJob, blueprint: Blueprint, speed: float, *, is_profiled: bool = False) -> RunSpec:
    """A replay as the plain data from which every process makes its parts; one that is profiled measures first."""
    spec = {
        "config": job.settings.to_plain(),
        "trace": str(Path(job.trace).resolve()),
        "options": to_builtins(job.options),
        "block_tokens": blueprint.block_tokens,
        "faults": job.faults,
        "keeps_log": job.keeps_log,
        "profile": (),
    }
    journal = str(Path(job.journal).resolve()) if job.journal else ""
    plain = {"config": job.settings.to_plain(), "block_tokens": blueprint.block_tokens}
    before = RunSpec(MAKE_PROFILE, plain, speed, title="profile") if is_profiled else None
    return RunSpec(MAKE_CONTROL, spec, speed, journal, journal_header(blueprint), Path(job.trace).name, before)


def host_plans(blueprint: Blueprint) -> list[HostPlan]:
    """One host per instance of the plan, and one for fabric and cache pools, in the order of
    `Blueprint.worker_addresses`; and one for all instances that are not there at first, on NPUs that others have now.

    Of a plan with more than `MAX_INSTANCE_HOSTS` instances, neighbours in a supernode share a host and its fate.
    """
    npus = {spec.address: spec.num_npus for spec in blueprint.instances}
    shared = tuple(a for a in blueprint.worker_addresses if a in (FABRIC_ADDRESS, *blueprint.pools))
    there = [spec for spec in blueprint.instances if spec.address not in blueprint.absent]
    instances = [_shared_host(group) for group in _groups(there)]
    absent = tuple(address for address in npus if address in blueprint.absent)
    spare = [HostPlan(SPARE_HOST, absent, 0)] if absent else []
    return [HostPlan("network", shared, 0), *instances, *spare]


def _groups(instances: Sequence[InstanceSpec]) -> list[list[InstanceSpec]]:
    """Alone if they are few; else of one supernode, side by side, as many together as makes the hosts few."""
    size = ceil(len(instances) / MAX_INSTANCE_HOSTS)
    by_supernode: dict[int, list[InstanceSpec]] = {}
    for spec in instances:
        by_supernode.setdefault(spec.supernode, []).append(spec)
    if size <= 1:
        return [[spec] for spec in instances]
    return [of[first : first + size] for of in by_supernode.values() for first in range(0, len(of), size)]


def _shared_host(group: Sequence[InstanceSpec]) -> HostPlan:
    first, last = group[0].address, group[-1].address
    name = first if len(group) == 1 else f"{first}-to-{last}"
    return HostPlan(name, tuple(spec.address for spec in group), sum(spec.num_npus for spec in group))


def metered_addresses(blueprint: Blueprint) -> list[str]:
    """The components that tell how they stand when they are asked."""
    return [*blueprint.pools, *(spec.address for spec in blueprint.instances)]


def idle_run(settings: Settings, served_block_tokens: int = 0) -> RunSpec:
    """What a standing cluster does between replays: it draws power and can be looked at, and serves requests of clients
    whose prefix blocks are `served_block_tokens` long; 0 if it serves nobody."""
    spec = {
        "config": settings.to_plain(),
        "block_tokens": served_block_tokens or BLOCK_TOKENS,
        "serves": bool(served_block_tokens),
    }
    if not served_block_tokens:
        return RunSpec(MAKE_IDLE, spec, title="idle")
    return RunSpec(MAKE_IDLE, spec, title="idle", report_interval_s=STREAM_REPORT_INTERVAL_S, lead_s=STREAM_LEAD_S)


def make_worker(spec: dict[str, Any], address: str) -> Component:
    """The worker of that address; an autoscaler or an operator may stop and start instances.

    Of a process in the place of one that was lost all instances are there: the core stops those that are not to be. Who
    has no part in this run, on a cluster that has room for more, says nothing.
    """
    blueprint, interval_ns, began_ns = _blueprint(spec), spec["report_interval_ns"], spec["began_ns"]
    if address not in blueprint.worker_addresses:
        return Nobody(address)

    def make(began_ns: int) -> Component:
        return blueprint.make_worker(address, interval_ns, began_ns)

    if all(address != one.address for one in blueprint.instances):
        return make(began_ns)
    scaling, is_there = blueprint.settings.scaling, began_ns > 0 or address not in blueprint.absent
    start_ns = round(scaling.start_s * NS_PER_S) if scaling.is_on else 0
    return StoppableInstance(make(began_ns), make, start_ns, is_there=is_there)


def make_control(spec: dict[str, Any]) -> ControlParts:
    """Core, source and collector."""
    blueprint = _blueprint(spec)
    settings, requests = blueprint.settings, blueprint.settings.requests
    trace = open_trace(spec["trace"], options=TraceOptions(**spec["options"]))
    core = blueprint.make_core()
    collector = collecting(core, blueprint)
    decided = keep_decisions(core) if spec["keeps_log"] else None
    sources = make_sources(
        trace,
        spec["faults"],
        blueprint,
        core.table,
        spec["profile"],
        waits=spec["options"]["links"],
        keeps_log=spec["keeps_log"],
    )
    clients = clients_log(sources)
    return ControlParts(
        core,
        sources,
        lambda: KeptParts(
            collector,
            [*trace.skipped.lines(), *core.warnings(), *clients_warnings(sources)],
            decided,
            core.policy_failures,
            clients,
        ),
        requests.judged_slo,
        settings.power.cap_w or 0.0,
        core,
        {} if clients is None else clients.concurrency,
        autoscaler=settings.scaling.autoscaler.name,
    )


def make_profile(spec: dict[str, Any]) -> ControlParts:
    """What measures the instances, and keeps what it found."""
    profiler = Profiler(measured_instances(_blueprint(spec)))
    return ControlParts(profiler, (Starter(),), profiler.found)


def make_idle(spec: dict[str, Any]) -> ControlParts:
    """A core to which nothing arrives but what clients send."""
    blueprint = _blueprint(spec)
    core, autoscaler = blueprint.make_core(), blueprint.settings.scaling.autoscaler.name
    if not spec["serves"]:
        return ControlParts(core, (), lambda: None, scheduler=core, autoscaler=autoscaler)
    gateway = GatewaySource(blueprint.block_tokens)
    slo, cap_w = blueprint.settings.requests.judged_slo, blueprint.settings.power.cap_w or 0.0
    return ControlParts(core, (gateway,), lambda: None, slo, cap_w, core, gateway=gateway, autoscaler=autoscaler)


def _blueprint(spec: dict[str, Any]) -> Blueprint:
    return _blueprint_of(tuple(spec["config"].items()), spec["block_tokens"])


@lru_cache(maxsize=1)
def _blueprint_of(config: tuple[tuple[str, Any], ...], block_tokens: int) -> Blueprint:
    """Made once for all workers of a process."""
    # Any process may be lost, and what stands in its place loads its model.
    return Blueprint(Settings.from_plain(dict(config)), block_tokens, loads_models=True)
