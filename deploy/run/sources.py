"""Who speaks to the core of a run from outside: what plays the trace, what was measured before, what breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs
from scheduler.protocol.messages import InstanceProfiled
from scheduler.sources.trace_source import TraceSource
from scheduler.sources.traces.options import OpenedTrace

# Most runs have neither faults nor clients that wait.
if TYPE_CHECKING:
    from scheduler.sources.clients.client_source import ClientSource
    from scheduler.sources.clients.log import ClientsLog
    from scheduler.sources.faults import FaultPlan


def lose_nothing(_address: str, _now_ns: int) -> Outputs:
    """Cache servers are parts of their pool, which the core tells."""
    return NOTHING


def make_sources(
    trace: OpenedTrace,
    faults: FaultPlan | None,
    blueprint: Blueprint,
    table: RequestTable,
    profile: Sequence[InstanceProfiled] = (),
    lose: Callable[[str, int], Outputs] = lose_nothing,
    *,
    waits: bool = False,
    keeps_log: bool = False,
) -> list[Component]:
    """Who speaks to the core from outside: what was measured, if anything was, the trace, and what breaks parts of the
    fabric or takes workers, if anything does; `lose` is told of each worker that is lost. With `waits` rows of the
    trace wait for those that their links name; with `keeps_log` clients that wait keep what each request waited for."""
    source = trace_source(trace, blueprint.settings, waits=waits, keeps_log=keeps_log)
    sources: list[Component] = [source]
    if profile:
        from scheduler.sources.profiler import ProfileSource

        sources = [ProfileSource(profile), source]
    if faults is None:
        return sources

    def has_work() -> bool:
        return source.deadline_ns != NEVER_NS or table.num_open > 0

    if faults.workers:
        from scheduler.sources.worker_losses import LossSource

        sources.append(LossSource(faults.losses, lose, has_work, faults.changes))
    if not (faults.schedule or faults.rates):
        return sources
    from deploy.faults.parts import FabricParts
    from scheduler.runtime.random_streams import stream
    from scheduler.sources.faults import FaultSource, fault_changes

    parts, seed = FabricParts(*blueprint.supernodes).by_kind(), blueprint.settings.run.seed
    changes = fault_changes(faults, parts, lambda name: stream(seed, name))
    return [*sources, FaultSource(changes, has_work)]


def trace_source(trace: OpenedTrace, settings: Settings, *, waits: bool, keeps_log: bool) -> Component:
    """What plays the trace: at its times, or as clients that wait; those of the settings stand in for the trace's."""
    groups = settings.clients.groups or trace.clients
    if not (groups or waits):
        return TraceSource(trace)
    from scheduler.sources.clients.play import client_source

    class_of_tenant = {tenant: one.name for one in settings.requests.classes for tenant in one.tenants}
    return client_source(
        trace, groups, waits=waits, seed=settings.run.seed, class_of_tenant=class_of_tenant, keeps_log=keeps_log
    )


def clients_log(sources: Sequence[Component]) -> ClientsLog | None:
    """What clients that wait leave, if it is such that play the trace."""
    source = _clients_of(sources)
    return None if source is None else source.log


def clients_warnings(sources: Sequence[Component]) -> list[str]:
    """Lines for a person on what clients that wait never asked for."""
    source = _clients_of(sources)
    return [] if source is None else source.warnings()


def _clients_of(sources: Sequence[Component]) -> ClientSource | None:
    if any(isinstance(source, TraceSource) for source in sources):
        return None
    from scheduler.sources.clients.client_source import ClientSource

    return next((source for source in sources if isinstance(source, ClientSource)), None)
