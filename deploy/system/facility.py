"""What a fleet draws beside the NPUs of its plan, as curves over the watts of its NPUs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from deploy.settings.plan import Plan
from deploy.system.instances import InstanceSpec
from scheduler.metrics.columns import Floats
from scheduler.metrics.facility import FacilityCurves, RestingNpu
from scheduler.protocol.addresses import pool_addresses
from sim_hw.clusters.part_power import PartClass
from sim_hw.clusters.supernode import Supernode
from sim_hw.planes import Plane
from sim_hw.power.facility_draw import facility_draw
from sim_hw.power.power_tree import PowerTree, Watts, power_tree
from sim_hw.power.sites import Site
from sim_hw.power.supply import EFFICIENCIES

_CLASSES: Final = (PartClass.CPU, PartClass.BOARD, PartClass.SWITCH, PartClass.OPTICS, PartClass.COOLING)

_HALVINGS: Final = 60


def facility_curves(
    site: Site, cluster: Supernode, num_supernodes: int, num_planned: int, num_metered: int | None = None
) -> FacilityCurves:
    """Of all supernodes of a plan together, loaded alike, of whose NPUs `num_planned` are in the plan.

    `num_metered` are the NPUs of all instances that account for theirs, those of the plan if None: all others are
    spare. Where instances come and go they may be more than there are, and fewer than none are spare then: whoever is
    not there accounts for idle NPUs."""
    tree = power_tree(cluster)
    npu_w = np.array(_knots_w(tree, cluster.num_npus * cluster.chip.tdp_w.value))
    idle_w, busy_w = tree.of_class(PartClass.NPU).idle_w, tree.of_class(PartClass.NPU).busy_w
    load = np.clip((npu_w - idle_w) / (busy_w - idle_w), 0.0, 1.0) if busy_w > idle_w else np.ones_like(npu_w)

    def along(part: Watts) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return num_supernodes * (part.idle_w + load * (part.busy_w - part.idle_w))

    loss_w = [facility_draw(tree, watts).supply_loss_w for watts in npu_w.tolist()]
    spare_npus = num_supernodes * cluster.num_npus - (num_planned if num_metered is None else num_metered)
    return FacilityCurves(
        npu_w=num_supernodes * npu_w,
        part_w={
            **{part.value: along(tree.of_class(part)) for part in _CLASSES},
            PartClass.SUPPLY_LOSS.value: num_supernodes * np.array(loss_w),
        },
        plane_w={plane.value: along(tree.of_plane(plane)) for plane in Plane},
        spare_npu_w=spare_npus * cluster.chip.idle_w.value,
        building_share=site.pue.value - 1.0,
        waiting_w=cluster.chip.waiting_w,
        plan_share=num_planned / (num_supernodes * cluster.num_npus),
        idle_w=cluster.chip.idle_w.value,
        num_npus=num_supernodes * cluster.num_npus,
    )


def fleet_curves(
    site: Site, supernodes: Sequence[Supernode], plan: Plan, instances: Iterable[InstanceSpec]
) -> FacilityCurves:
    """The same of supernodes that may differ: then those of a kind are loaded alike, and all kinds to the same share of
    what lies between idle and busy NPUs. `instances`: all that account for their NPUs."""
    kinds, count = {one.name: one for one in supernodes}, Counter(one.name for one in supernodes)
    planned, metered = Counter[str](), Counter[str]()
    for cluster, of_supernode in zip(supernodes, plan.supernodes, strict=True):
        planned[cluster.name] += of_supernode.num_npus
    for spec in instances:
        metered[supernodes[spec.supernode].name] += spec.num_npus
    curves = [facility_curves(site, one, count[name], planned[name], metered[name]) for name, one in kinds.items()]
    if len(kinds) == 1:
        return curves[0]
    loads_of = [_loads(one, of_kind) for one, of_kind in zip(kinds.values(), curves, strict=True)]
    loads = np.unique(np.concatenate(loads_of))

    def along(watts: Sequence[Floats]) -> Floats:
        return np.sum([np.interp(loads, own, one) for own, one in zip(loads_of, watts, strict=True)], axis=0)

    return replace(
        curves[0],
        npu_w=along([one.npu_w for one in curves]),
        part_w={part: along([one.part_w[part] for one in curves]) for part in curves[0].part_w},
        plane_w={plane: along([one.plane_w[plane] for one in curves]) for plane in curves[0].plane_w},
        spare_npu_w=sum(one.spare_npu_w for one in curves),
        plan_share=plan.num_npus / sum(one.num_npus for one in supernodes),
        num_npus=sum(one.num_npus for one in supernodes),
        resting={
            pool: RestingNpu(one.chip.waiting_w, one.chip.idle_w.value)
            for pool, one in zip(pool_addresses(len(supernodes)), supernodes, strict=True)
        },
    )


def _loads(cluster: Supernode, curves: FacilityCurves) -> Floats:
    """Of each knot: -1 where NPUs draw nothing, 0 where they are idle, 1 where busy, 2 where none draws more."""
    npus, most_w = power_tree(cluster).of_class(PartClass.NPU), cluster.num_npus * cluster.chip.tdp_w.value
    ends = {0.0: -1.0, npus.idle_w: 0.0, npus.busy_w: 1.0, most_w: 2.0}
    watts: Floats = np.array([*ends]) * (float(curves.npu_w[-1]) / most_w)
    loads: Floats = np.array([*ends.values()])
    return np.interp(curves.npu_w, watts, loads)


def _knots_w(tree: PowerTree, most_w: float) -> list[float]:
    """Where the curves of one supernode bend: at the ends of the load, and where supplies do."""
    npus, capacity_w = tree.of_class(PartClass.NPU), tree.supply_capacity.value

    def output_w(npu_w: float) -> float:
        draw = facility_draw(tree, npu_w)
        return draw.npu_w + draw.other_w

    bends_w = [share * capacity_w for share, _ in EFFICIENCIES]
    crossed = [_where(output_w, bend_w, most_w) for bend_w in bends_w if output_w(0.0) < bend_w < output_w(most_w)]
    return sorted({0.0, npus.idle_w, npus.busy_w, most_w, *crossed})


def _where(rising: Callable[[float], float], value: float, most: float) -> float:
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return high


def npu_watts_under(curves: FacilityCurves, cap_w: float) -> float:
    """What all NPUs may draw so that the feeds stay at or under the cap; below 0 if nothing helps."""
    most_w = float(curves.npu_w[-1])
    if curves.feed_w(0.0) > cap_w:
        return cap_w - curves.feed_w(0.0)
    if curves.feed_w(most_w) <= cap_w:
        return most_w
    low, high = 0.0, most_w
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if curves.feed_w(middle) <= cap_w else (low, middle)
    return low
