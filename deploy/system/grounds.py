"""Where the supernodes of a fleet stand and what they are, for those who measure and watch it."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.system.fabric import IN_ORDER
from deploy.system.instances import InstanceSpec
from scheduler.metrics.facility import Ground, Places, deal_npus
from scheduler.metrics.layout import Chip, WatchedSupernode
from sim_hw.chips.sheet import maker_of
from sim_hw.clusters.numbering import first_numbers
from sim_hw.clusters.supernode import Supernode


def grounds_of(supernodes: Sequence[Supernode]) -> list[Ground]:
    """Of each supernode: NPUs, nodes and racks are numbered through over all of them."""
    per_rack = [max(1, one.num_nodes.count // one.compute_racks.count) for one in supernodes]
    first_npus = first_numbers(one.num_npus for one in supernodes)
    first_nodes = first_numbers(one.num_nodes.count for one in supernodes)
    num_racks = (-(-one.num_nodes.count // nodes) for one, nodes in zip(supernodes, per_rack, strict=True))
    first_racks = first_numbers(num_racks)
    return [
        Ground(one.npus_per_node.count, nodes, *firsts)
        for one, nodes, *firsts in zip(supernodes, per_rack, first_npus, first_nodes, first_racks, strict=True)
    ]


def places_of(instances: Sequence[InstanceSpec], supernodes: Sequence[Supernode]) -> Places:
    """Where the NPUs of instances are: instances take them in their order, or stand where they are told to."""
    grounds = grounds_of(supernodes)
    in_order = deal_npus(((spec.supernode, spec.num_npus) for spec in instances), [one.first_npu for one in grounds])
    dealt = (
        npus if spec.first_npu == IN_ORDER else range(spec.first_npu, spec.first_npu + spec.num_npus)
        for spec, npus in zip(instances, in_order, strict=True)
    )
    return Places(tuple(dealt), tuple(grounds[spec.supernode] for spec in instances))


def watched(supernodes: Sequence[Supernode], kv_reserve_share: float) -> tuple[WatchedSupernode, ...]:
    """Each as those know it who watch the fleet."""
    first_dies = first_numbers(one.num_dies for one in supernodes)
    return tuple(
        WatchedSupernode(ground, one.num_npus, one.name, chip_shown(kv_reserve_share, one), first_die)
        for one, ground, first_die in zip(supernodes, grounds_of(supernodes), first_dies, strict=True)
    )


def chip_shown(kv_reserve_share: float, cluster: Supernode) -> Chip:
    """The chip of a cluster as plain numbers."""
    chip = cluster.chip
    return Chip(
        maker_of(chip),
        chip.title,
        chip.num_dies.count,
        chip.die.hbm_bytes.value,
        1.0 - kv_reserve_share,
        chip.idle_w.value,
        chip.tdp_w.value,
    )
