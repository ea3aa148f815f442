"""How long an instance loads its model before it is ready: whenever it starts again, on the virtual clock and live.

The weights lie where prefix KV does: in the cache pool, in the DRAM of the instance's own nodes, or only in the object
store. What is read from the object store at the same time shares its rate; from DRAM each load is taken to be alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.blueprint import Blueprint, InstanceSpec
from deploy.config import RunConfig
from deploy.fabric_config import pool_bytes_per_s
from scheduler.core.config import cache_server_address
from scheduler.gateway.arrivals import BLOCK_TOKENS
from scheduler.gateway.losses import Absence, PlannedLoss
from scheduler.protocol.component import NEVER_NS
from sim_hw.hardware.fabric_rates import pool_rate
from sim_hw.hardware.supernode import Memory, Operation, Plane, Reach
from sim_hw.model_loading import ModelLoading, Strategy, shared_ends_s


@dataclass(frozen=True, slots=True)
class ModelStart:
    """From where an instance loads its model, and how long that takes with nobody beside, seconds."""

    strategy: Strategy
    load_s: float


def model_starts(blueprint: Blueprint) -> dict[str, ModelStart]:
    """Of each instance, by address."""
    return {spec.address: _start(blueprint, spec) for spec in blueprint.instances}


def start_ns(blueprint: Blueprint) -> dict[str, int]:
    """Nanoseconds from an instance's process to its being ready, by address."""
    return {address: round(start.load_s * 1e9) for address, start in model_starts(blueprint).items()}


def absences(blueprint: Blueprint, losses: Sequence[PlannedLoss]) -> list[Absence]:
    """Planned losses with the time at which each worker has loaded what it needs: an instance its model, a cache server
    nothing."""
    starts = model_starts(blueprint)
    cold = [loss for loss in losses if loss.worker in starts and starts[loss.worker].strategy is Strategy.NONE]
    begins_s, loads_s = [loss.back_ns / 1e9 for loss in cold], [starts[loss.worker].load_s for loss in cold]
    ready_ns = {loss: round(end_s * 1e9) for loss, end_s in zip(cold, shared_ends_s(begins_s, loads_s), strict=True)}
    for loss in losses:
        start = starts.get(loss.worker)
        ready_ns.setdefault(loss, loss.back_ns + round((start.load_s if start else 0.0) * 1e9))
    return [Absence(loss.worker, loss.at_ns, _unless_lost(ready_ns[loss], loss, losses)) for loss in losses]


def _unless_lost(ready_ns: int, loss: PlannedLoss, losses: Sequence[PlannedLoss]) -> int:
    again = (other.at_ns for other in losses if other.worker == loss.worker and other.at_ns > loss.at_ns)
    return NEVER_NS if min(again, default=NEVER_NS) <= ready_ns else ready_ns


def start_lines(blueprint: Blueprint, losses: Sequence[PlannedLoss], ended_ns: int) -> list[str]:
    """What became of planned losses until the end of a run, for a person."""
    starts = model_starts(blueprint)
    lines: list[str] = []
    for loss, absence in zip(losses, absences(blueprint, losses), strict=True):
        if loss.at_ns > ended_ns:
            continue
        line = f"{loss.worker} was lost at {loss.at_ns / 1e9:,.3g} s"
        start = starts.get(loss.worker)
        if absence.ready_ns > ended_ns:
            line += " and was not ready again before the end"
        elif start is None:
            line += f", back and empty at {absence.ready_ns / 1e9:,.5g} s"
        else:
            load_s = (absence.ready_ns - loss.back_ns) / 1e9
            line += f", started at {loss.back_ns / 1e9:,.5g} s"
            line += f" and loaded its model from the {start.strategy.value} in {load_s:,.3g} s"
        lines.append(line)
    return lines


def _start(blueprint: Blueprint, spec: InstanceSpec) -> ModelStart:
    cluster, cache = blueprint.cluster, blueprint.config.cache
    strategy, rate = Strategy.NONE, 1.0
    if cache == "pool":
        strategy, rate = Strategy.POOL, _pool_bytes_per_s(blueprint, spec)
    elif cache == "local":
        try:
            access = cluster.ub_access(Memory.CPU_DRAM, Operation.READ, Reach.SAME_NODE)
            strategy = Strategy.LOCAL
            rate = access.bytes_per_s.value * spec.num_npus * cluster.chip.num_dies.count
        except LookupError:  # nobody has measured it: from the object store
            pass
    model = blueprint.model
    parameters = model.total_parameters + (model.mtp_parameters if blueprint.has_mtp else 0)
    num_bytes = parameters * cluster.defaults.precision.bytes_per_element
    loading = ModelLoading(num_bytes, len(blueprint.instances), 1, rate)
    return ModelStart(strategy, loading.restart_s(strategy))


def _pool_bytes_per_s(blueprint: Blueprint, spec: InstanceSpec) -> float:
    """At which an instance reads its pool: the lines of its dies or nodes, or those of all servers."""
    cluster, plane = blueprint.cluster, Plane(blueprint.config.cache_plane)
    rate = pool_rate(cluster, plane, Operation.READ)
    num_servers = blueprint.plan.supernodes[spec.supernode].num_cache_servers
    out = pool_bytes_per_s(cluster, num_servers) if plane is Plane.UB else num_servers * rate.bytes_per_s.value
    return min(rate.bytes_per_s_of(spec.num_npus), out)


def losable_workers(config: RunConfig, *, live: bool) -> list[str]:
    """Who may be lost as planned: cache servers, and on the virtual clock instances; those of a live run are processes,
    which end in earnest."""
    blueprint = Blueprint(config, BLOCK_TOKENS)
    servers = [
        cache_server_address(pool, number)
        for pool, supernode in zip(blueprint.pools, blueprint.plan.supernodes, strict=False)
        for number in range(supernode.num_cache_servers)
    ]
    return [*([] if live else [spec.address for spec in blueprint.instances]), *servers]
