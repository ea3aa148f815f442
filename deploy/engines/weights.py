"""How long an engine takes to have its weights back from the DRAM of its own nodes."""

from __future__ import annotations

from deploy.system.blueprint import Blueprint
from sim_hw.clusters.supernode import Memory, Operation, Reach


def weights_load_s(blueprint: Blueprint) -> float:
    """Emulated seconds: all dies of the largest instance read at once, each its part of the model, at the rate that was
    measured of a die's reads of its own node's DRAM; 0 on a cluster where nobody has measured it."""
    cluster = blueprint.cluster
    try:
        access = cluster.ub_access(Memory.CPU_DRAM, Operation.READ, Reach.SAME_NODE)
    except LookupError:
        return 0.0
    num_dies = max(one.num_npus for one in blueprint.instances) * cluster.chip.num_dies.count
    num_bytes = blueprint.drafting.weight_bytes(blueprint.model, cluster.defaults)
    return num_bytes / num_dies / access.bytes_per_s.value
