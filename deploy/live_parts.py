"""The parts of a live replay, each made in its own process from the same plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from deploy.blueprint import Blueprint
from deploy.config import RunConfig
from deploy.control_plane import ControlParts
from deploy.live_run import HostPlan
from deploy.replay import ReplayJob, make_collector
from scheduler.core.config import CACHE_ADDRESS, FABRIC_ADDRESS
from scheduler.gateway.readers.options import TraceOptions
from scheduler.gateway.readers.registry import open_trace
from scheduler.gateway.source import TraceSource
from scheduler.metrics.collector import Collector
from scheduler.protocol.component import Component

MAKE_WORKER: Final = "deploy.live_parts:make_worker"
MAKE_CONTROL: Final = "deploy.live_parts:make_control"


@dataclass(slots=True)
class KeptParts:
    """What comes back from the control plane: the run's log with the ledger in it, and lines on rows left out."""

    collector: Final[Collector]
    skipped_lines: Final[list[str]]


def live_spec(job: ReplayJob, block_tokens: int) -> dict[str, Any]:
    """The plain data from which every process makes its parts."""
    return {
        "config": asdict(job.config),
        "trace": str(Path(job.trace).resolve()),
        "options": asdict(job.options),
        "block_tokens": block_tokens,
    }


def host_plans(blueprint: Blueprint) -> list[HostPlan]:
    """One host per instance, and one for fabric and cache pool, in the order of `Blueprint.worker_addresses`."""
    npus = {spec.address: spec.num_npus for spec in (*blueprint.prefill, *blueprint.decode)}
    shared = tuple(a for a in blueprint.worker_addresses if a in (FABRIC_ADDRESS, CACHE_ADDRESS))
    instances = [HostPlan(a, (a,), npus[a]) for a in blueprint.worker_addresses if a in npus]
    return [HostPlan("network", shared, 0), *instances]


def make_worker(spec: dict[str, Any], address: str) -> Component:
    """The worker of that address."""
    return _blueprint(spec).make_worker(address, spec["report_interval_ns"])


def make_control(spec: dict[str, Any]) -> ControlParts:
    """Core, source and collector."""
    blueprint = _blueprint(spec)
    trace = open_trace(spec["trace"], options=TraceOptions(**spec["options"]))
    core = blueprint.make_core()
    collector = make_collector(blueprint, core.ledger)
    return ControlParts(
        core, TraceSource(trace), collector.observe, lambda: KeptParts(collector, trace.skipped.lines())
    )


def _blueprint(spec: dict[str, Any]) -> Blueprint:
    return Blueprint(RunConfig(**spec["config"]), spec["block_tokens"])
