"""Which NPUs belong to whom: slots take theirs whole, and two that share any never have them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from scheduler.core.scaling.rules import InstanceSlot


class Phase(IntEnum):
    """Where an instance that may exist is."""

    ABSENT = 0
    """It has no NPUs."""
    BOOKED = 1
    """Its NPUs are promised to it, and those that have them leave."""
    STARTING = 2
    """It has its NPUs; its process starts and loads the model."""
    SERVING = 3
    """It takes work, unless it is lost, cut off or parked."""
    DRAINING = 4
    """It takes nothing new."""
    STOPPING = 5
    """Nothing depends on it any more, and its process is told to end."""


HOLDING: Final = frozenset({Phase.STARTING, Phase.SERVING, Phase.DRAINING, Phase.STOPPING})
LEAVING: Final = frozenset({Phase.DRAINING, Phase.STOPPING})
WANTED: Final = frozenset({Phase.BOOKED, Phase.STARTING, Phase.SERVING})
"""Those that count towards what is wanted."""


class PlacementBook:
    """The phase of each slot, and by that who has which NPUs."""

    def __init__(self, slots: Sequence[InstanceSlot], absent: Iterable[str], num_npus: int) -> None:
        self.slots: Final = {slot.address: slot for slot in slots}
        self.by_role: Final = defaultdict[str, list[str]](list)
        for slot in slots:
            self.by_role[slot.role].append(slot.address)
        gone = frozenset(absent)
        self.phase: Final = {address: Phase.ABSENT if address in gone else Phase.SERVING for address in self.slots}
        self._num_npus = num_npus
        at_npu = defaultdict[int, list[str]](list)
        for slot in slots:
            for npu in slot.npus:
                at_npu[npu].append(slot.address)
        self._sharing = {
            slot.address: sorted({other for npu in slot.npus for other in at_npu[npu]} - {slot.address})
            for slot in slots
        }

    def of_role(self, role: str, *phases: Phase) -> list[str]:
        """Slots of a role in any of these phases, in their order."""
        return [address for address in self.by_role[role] if self.phase[address] in phases]

    def sharing(self, address: str, *phases: Phase) -> list[str]:
        """Who shares NPUs with a slot and is in any of these phases."""
        return [other for other in self._sharing[address] if self.phase[other] in phases]

    def is_free(self, address: str) -> bool:
        """Whether all NPUs of a slot are spare, and promised to nobody."""
        return not self.sharing(address, *HOLDING, Phase.BOOKED)

    @property
    def spare_npus(self) -> int:
        """NPUs that no instance has."""
        held = sum(slot.num_npus for address, slot in self.slots.items() if self.phase[address] in HOLDING)
        return self._num_npus - held
