"""What a part draws of which nobody said anything: the estimates, each by name.

They come from servers of eight GPUs and take the place of a figure that a supernode leaves out.
"""

from __future__ import annotations

from typing import Final

from sim_hw.clusters.part_power import PartPower
from sim_hw.clusters.supernode import Part, PartKind, Supernode
from sim_hw.figure import Confidence, Figure


def _watts(watts: float, source: str) -> Figure:
    return Figure(watts, "W", source, Confidence.ESTIMATE)


CPU: Final = PartPower(
    _watts(200, "a typical server socket, assumed"), idle_w=_watts(80, "two fifths of a socket, assumed")
)

BOARD_PER_NPU_W: Final = _watts(150, "DRAM, SSD, boards, adapters: 1.2 kW for eight NPUs, assumed")

COOLING_SHARE: Final = Figure(
    0.12,
    "1",
    "nameplate of fans over the rest of the node: 835 W of an HGX H100, 1,113 W of a B200, IX",
    Confidence.ESTIMATE,
)
FAN_SPEED_BUSY: Final = Figure(0.80, "1", "IX: fans run at 22-80 %", Confidence.ONE_SOURCE)
FAN_SPEED_IDLE: Final = Figure(0.22, "1", "IX: fans run at 22-80 %", Confidence.ONE_SOURCE)

CAPACITY_RATIO: Final = Figure(
    1.8, "1", "installed over needed: 264 kW (IX) for the 145 kW of an NVL72", Confidence.ESTIMATE
)

SWITCH: Final = PartPower(
    _watts(450, "half of a 51.2 Tbit/s switch of IX, 900 W; optics apart"),
    idle_w=_watts(270, "half of a 51.2 Tbit/s switch of IX, 539 W"),
)
OPTICAL_MODULE: Final = PartPower(_watts(7.5, "400 Gbit/s with DSP: half of 800 Gbit/s at 15 W (IX, axiomupgrades)"))

_BY_KIND: Final = {PartKind.SWITCH: SWITCH, PartKind.OPTICAL_MODULE: OPTICAL_MODULE}


def part_power(part: Part) -> PartPower | None:
    """Of a named part. None: it draws nothing (links) or is counted with the boards."""
    return part.power or _BY_KIND.get(part.kind)


def cpu_power(supernode: Supernode) -> PartPower:
    """Of one socket."""
    return (supernode.power and supernode.power.cpu) or CPU


def board_power(supernode: Supernode) -> PartPower:
    """Of all else in one node; constant, as IX has it, unless the supernode says otherwise."""
    if supernode.power and supernode.power.board:
        return supernode.power.board
    npus = supernode.npus_per_node.count
    return PartPower(_watts(npus * BOARD_PER_NPU_W.value, BOARD_PER_NPU_W.source))


def cooling_power(supernode: Supernode) -> PartPower:
    """Fans and pumps of one node. By estimate they are fans, whose power goes with the cube of their speed."""
    if supernode.power and supernode.power.cooling:
        return supernode.power.cooling
    node_w = (
        supernode.npus_per_node.value * supernode.chip.tdp_w.value
        + supernode.cpus_per_node.value * cpu_power(supernode).provisioned_w.value
        + board_power(supernode).provisioned_w.value
    )
    nameplate_w, law = COOLING_SHARE.value * node_w, "power of a fan goes with the cube of its speed"
    return PartPower(
        _watts(nameplate_w, COOLING_SHARE.source),
        _watts(nameplate_w * FAN_SPEED_BUSY.value**3, f"{FAN_SPEED_BUSY.source}; {law}"),
        _watts(nameplate_w * FAN_SPEED_IDLE.value**3, f"{FAN_SPEED_IDLE.source}; {law}"),
    )


def supply_capacity_w(supernode: Supernode, output_w: float) -> Figure:
    """Output of all installed supplies of a supernode whose parts are provisioned with `output_w`."""
    if supernode.power and supernode.power.supply_capacity_w:
        return supernode.power.supply_capacity_w
    return Figure(CAPACITY_RATIO.value * output_w, "W", CAPACITY_RATIO.source, CAPACITY_RATIO.confidence)
