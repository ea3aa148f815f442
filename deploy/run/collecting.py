"""What logs a run, and what its summary is told besides that log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.run.finish_limits import finish_limits
from deploy.run.money import bill_of
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.system.fabric import pool_bytes_per_s
from deploy.system.grounds import watched
from scheduler.core.config import CacheMode
from scheduler.core.request_table import RequestTable
from scheduler.metrics.layout import is_of_stage
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.ended_run import ClientsInfo, RunInfo
from scheduler.protocol.addresses import pool_addresses
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import clients_of

if TYPE_CHECKING:
    from scheduler.core.scheduler import Scheduler
    from scheduler.sources.clients.groups import ClientGroup
    from scheduler.sources.clients.log import ClientsLog


def collecting(core: Scheduler, blueprint: Blueprint) -> Collector:
    """The tap that logs a run of this blueprint, as a guest of its core."""
    collector, warmup = make_collector(blueprint, core.table), blueprint.settings.clients.warmup
    if warmup:
        from scheduler.metrics.outcome.warmup_watch import WarmupWatch

        core.add_guest(WarmupWatch(collector, warmup))
    core.add_guest(collector)
    return collector


def make_collector(blueprint: Blueprint, table: RequestTable) -> Collector:
    """The tap that logs a run of this blueprint."""
    pools = pool_addresses(len(blueprint.plan.supernodes))
    instances = [
        MeteredInstance(spec.address, spec.role.value, spec.num_npus, pools[spec.supernode])
        for spec in blueprint.instances
    ]
    return Collector(table, instances, comes_and_goes=blueprint.settings.scaling.is_on)


def run_info(blueprint: Blueprint, wall_s: float, clients: ClientsLog | None = None) -> RunInfo:
    """What a summary is told of the run besides its logs."""
    settings = blueprint.settings
    return RunInfo(
        wall_s,
        settings.run.seed,
        settings.digest(),
        blueprint.plane_capacity_bytes_per_s(),
        has_prefix_cache=settings.cache.mode is not CacheMode.NONE,
        pool_bytes_per_s=pool_bytes_per_s(
            blueprint.supernodes, [one.num_cache_servers for one in blueprint.plan.supernodes]
        ),
        curves=blueprint.curves,
        bill=bill_of(blueprint),
        places=blueprint.npu_places(),
        decode_kv_tokens={
            one.address: one.kv_capacity_tokens for one in blueprint.live_instances() if is_of_stage(one.role, "decode")
        },
        finish_limits=finish_limits(blueprint),
        supernodes=watched(blueprint.supernodes, settings.instances.kv_reserve_share),
        warmup=settings.clients.warmup,
        clients=None
        if clients is None
        else ClientsInfo(clients.concurrency, settings.requests.class_names, clients.planned_turns),
    )


def clients_of_run(settings: Settings, trace: str, options: TraceOptions) -> tuple[ClientGroup, ...]:
    """Who waits for answers: those of the settings, else those that the trace names."""
    return settings.clients.groups or clients_of(trace, options)


def expected_clients(groups: Sequence[ClientGroup], *, waits: bool) -> ClientsLog | None:
    """Of a run that has not begun, with these clients, in which turns wait or do not."""
    if not (groups or waits):
        return None
    from scheduler.sources.clients.log import ClientsLog

    return ClientsLog({group.class_name: group.count for group in groups}, [] if waits else None)
