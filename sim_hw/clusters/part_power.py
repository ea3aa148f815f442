"""What the parts of a supernode that compute nothing draw, as far as somebody said it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sim_hw.figure import Figure


class PartClass(StrEnum):
    """The branches of a power tree, in its order."""

    NPU = "npu"
    CPU = "cpu"
    BOARD = "board"
    """DRAM, and all else in a node that is neither NPU, CPU nor network."""
    SWITCH = "switch"
    OPTICS = "optics"
    COOLING = "cooling"
    SUPPLY_LOSS = "supply_loss"
    MARGIN = "margin"


class PartPower(Struct, frozen=True):
    """Of one piece, at its input."""

    provisioned_w: Figure
    """What its supply is laid out for."""
    busy_w: Figure | None = None
    """Under the load of serving; None: as provisioned."""
    idle_w: Figure | None = None
    """Switched on, without load; None: as busy."""


class SupernodePower(Struct, frozen=True):
    """Of what every supernode has beside NPUs and named parts. What is None is estimated (`sim_hw.power`)."""

    cpu: PartPower | None = None
    """One socket."""
    board: PartPower | None = None
    """DRAM, SSD, boards, adapters and converters of one node."""
    cooling: PartPower | None = None
    """Fans and pumps of one node."""
    supply_capacity_w: Figure | None = None
    """Output of all installed power supplies, spare ones included."""
