"""What supernode and building draw while the NPUs draw so much: the way from NPU watts to the meter."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.part_power import PartClass
from sim_hw.power.power_tree import PowerTree
from sim_hw.power.supply import supply_loss_w


class FacilityDraw(Struct, frozen=True):
    """Watts of a whole supernode at one instant."""

    npu_w: float
    other_w: float
    """Hosts, switches, optics, fans and pumps."""
    supply_loss_w: float
    building_w: float
    """Cooling and distribution of the building: PUE - 1 of all the above."""

    @property
    def supernode_w(self) -> float:
        """At the feeds of the supernode."""
        return self.npu_w + self.other_w + self.supply_loss_w


def facility_draw(tree: PowerTree, npu_w: float, pue: float = 1.0) -> FacilityDraw:
    """While all NPUs together draw `npu_w`.

    The other parts go from idle to busy in proportion as the NPUs do, and no further: nobody has measured them apart.
    """
    npus, total = tree.of_class(PartClass.NPU), tree.total
    loss = tree.of_class(PartClass.SUPPLY_LOSS)
    span_w = npus.busy_w - npus.idle_w
    load = min(1.0, max(0.0, (npu_w - npus.idle_w) / span_w)) if span_w > 0 else 1.0
    idle_w = total.idle_w - npus.idle_w - loss.idle_w
    busy_w = total.busy_w - npus.busy_w - loss.busy_w
    other_w = idle_w + load * (busy_w - idle_w)
    lost_w = supply_loss_w(npu_w + other_w, tree.supply_capacity.value)
    return FacilityDraw(npu_w, other_w, lost_w, (pue - 1.0) * (npu_w + other_w + lost_w))
