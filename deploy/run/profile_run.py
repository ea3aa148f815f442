"""The run before a run in which instances are measured, one of each kind and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.system.blueprint import Blueprint
from scheduler.core.fleet import InstanceInfo
from scheduler.core.routing.stages import Routing
from scheduler.protocol.addresses import CORE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.messages import InstanceProfiled
from scheduler.runtime.virtual import VirtualRuntime

# Most runs measure nothing.
if TYPE_CHECKING:
    from scheduler.sources.profiler import ProfiledInstance


def needs_profile(blueprint: Blueprint, routing: Routing) -> bool:
    """Whether anybody reads what would be measured."""
    return blueprint.settings.routing.startup_profile and routing.predicts


def measured_instances(blueprint: Blueprint) -> list[ProfiledInstance]:
    """The first of each stage and size; aggregated ones, whose steps hold both, are not measured."""
    from scheduler.sources.profiler import ProfiledInstance

    stages = ((True, blueprint.prefill_infos()), (False, blueprint.decode_infos()))
    found: dict[tuple[bool, int], InstanceInfo] = {}
    aggregated = {spec.address for spec in blueprint.aggregated}
    for is_prefill, infos in stages:
        for info in infos:
            if info.address in aggregated:
                continue
            found.setdefault((is_prefill, info.num_npus), info)
    return [
        ProfiledInstance(info.address, is_prefill, info.max_sequence_tokens, info.kv_capacity_tokens)
        for (is_prefill, _), info in found.items()
    ]


def profile_virtual(blueprint: Blueprint) -> list[InstanceProfiled]:
    """On a virtual clock of its own, with instances that take no part in the run."""
    from scheduler.sources.profiler import Profiler, Starter

    measured = measured_instances(blueprint)
    profiler = Profiler(measured)
    workers = [blueprint.make_worker(address) for address in (FABRIC_ADDRESS, *(one.address for one in measured))]
    VirtualRuntime([Starter(), profiler, *workers], CORE_ADDRESS).run()
    return profiler.found()
