"""The electrical tree of a supernode: part by part what is provisioned, and drawn busy and idle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from sim_hw.clusters.network_parts import network_parts
from sim_hw.clusters.part_power import PartClass, PartPower
from sim_hw.clusters.supernode import Part, PartKind, Supernode
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane
from sim_hw.power.estimates import board_power, cooling_power, cpu_power, part_power, supply_capacity_w
from sim_hw.power.phase_power import Phase, service_figure
from sim_hw.power.supply import EFFICIENCIES, supply_loss_w


class Watts(Struct, frozen=True):
    """One quantity in the three states."""

    provisioned_w: float
    busy_w: float
    idle_w: float

    def __add__(self, other: Watts) -> Watts:
        return Watts(self.provisioned_w + other.provisioned_w, self.busy_w + other.busy_w, self.idle_w + other.idle_w)


class TreeLine(Struct, frozen=True):
    """All pieces of one kind."""

    title: str
    part_class: PartClass
    count: int
    count_figure: Figure
    """Where the count comes from."""
    provisioned: Figure
    """One piece, W; as are the next two."""
    busy: Figure
    idle: Figure
    plane: Plane | None = None
    """The network that it belongs to, of switches and optics."""

    @property
    def watts(self) -> Watts:
        """Of all pieces together."""
        return Watts(self.count * self.provisioned.value, self.count * self.busy.value, self.count * self.idle.value)


class PowerTree(Struct, frozen=True):
    """Lines sum to `provisioned`, the published total of the supernode; the building's own use comes on top."""

    supernode: str
    lines: tuple[TreeLine, ...]
    supply_capacity: Figure
    """Installed output of the supplies, W."""
    provisioned: Figure

    @property
    def total(self) -> Watts:
        """What the supernode draws from the building's feeds."""
        return _sum(line.watts for line in self.lines)

    def of_class(self, part_class: PartClass) -> Watts:
        """One branch."""
        return _sum(line.watts for line in self.lines if line.part_class is part_class)

    def of_plane(self, plane: Plane) -> Watts:
        """Switches and optics of one network; what names none is scale-out."""
        network = [line for line in self.lines if line.part_class in (PartClass.SWITCH, PartClass.OPTICS)]
        return _sum(line.watts for line in network if (line.plane or Plane.RDMA) is plane)


def power_tree(supernode: Supernode, npu_busy: Figure | None = None) -> PowerTree:
    """The tree with busy NPUs that draw `npu_busy` each; by default as in saturated prefill, the higher phase.

    The margin is what is left of the published total. It is below nothing where parts exceed that total.
    """
    parts = tuple(_parts(supernode, npu_busy or service_figure(supernode.chip, Phase.PREFILL, 1)))
    output = _sum(line.watts for line in parts)
    capacity = supply_capacity_w(supernode, output.provisioned_w)
    loss = _loss_line(output, capacity)
    margin_w = supernode.provisioned_w.value - output.provisioned_w - loss.provisioned.value
    source = f"balance to the published total: {supernode.provisioned_w.source}"
    none = Figure(0.0, "W", "a margin draws nothing", Confidence.ESTIMATE)
    margin = TreeLine(
        title="provisioning margin",
        part_class=PartClass.MARGIN,
        count=1,
        count_figure=_ONE_PER_SUPERNODE,
        provisioned=Figure(margin_w, "W", source, Confidence.ESTIMATE),
        busy=none,
        idle=none,
    )
    return PowerTree(supernode.name, (*parts, loss, margin), capacity, supernode.provisioned_w)


_ONE_PER_SUPERNODE = Figure(1, "1", "one for the supernode", Confidence.ESTIMATE)


def _parts(supernode: Supernode, npu_busy: Figure) -> Iterator[TreeLine]:
    chip, nodes = supernode.chip, supernode.num_nodes
    npu = PartPower(chip.tdp_w, npu_busy, chip.idle_w)
    yield _line(f"{chip.title} NPU", PartClass.NPU, supernode.num_npus, supernode.npus_per_node, npu)
    yield _line("CPU socket", PartClass.CPU, supernode.num_cpus, supernode.cpus_per_node, cpu_power(supernode))
    yield _line("DRAM, SSD, boards, adapters", PartClass.BOARD, nodes.count, nodes, board_power(supernode))
    named = [(part, _class_of(part), power) for part in network_parts(supernode) if (power := part_power(part))]
    for part, part_class, power in sorted(named, key=lambda one: list(PartClass).index(one[1])):
        yield _line(part.title, part_class, supernode.num_parts(part), part.count, power, part.plane)
    yield _line("fans and pumps of a node", PartClass.COOLING, nodes.count, nodes, cooling_power(supernode))


def _class_of(part: Part) -> PartClass:
    return PartClass.OPTICS if part.kind is PartKind.OPTICAL_MODULE else PartClass.SWITCH


def _line(
    title: str,
    part_class: PartClass,
    count: int,
    count_figure: Figure,
    power: PartPower,
    plane: Plane | None = None,
) -> TreeLine:
    busy = power.busy_w or power.provisioned_w
    return TreeLine(title, part_class, count, count_figure, power.provisioned_w, busy, power.idle_w or busy, plane)


def _loss_line(output: Watts, capacity: Figure) -> TreeLine:
    source = EFFICIENCIES[0][1].source

    def loss(watts: float) -> Figure:
        lost_w = supply_loss_w(watts, capacity.value)
        return Figure(
            lost_w, "W", f"{source}; {watts / capacity.value:.0%} of what is installed", Confidence.ONE_SOURCE
        )

    states = (loss(output.provisioned_w), loss(output.busy_w), loss(output.idle_w))
    return TreeLine("loss of power supplies", PartClass.SUPPLY_LOSS, 1, _ONE_PER_SUPERNODE, *states)


def _sum(parts: Iterable[Watts]) -> Watts:
    return sum(parts, Watts(0.0, 0.0, 0.0))
