"""Which instances are parked: those that have long had nothing to do, as long as enough others have nothing either.

Of each role `spare` instances that have nothing to do stay awake; whoever is idle beyond them is parked after a while,
the last in order first. When fewer are left, the first that is parked is woken. So load is carried with room for a
burst, whatever the routing policy, and what the governor knows is what the core has sent and seen leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs
from scheduler.protocol.messages import (
    ArrivalsEnded,
    Message,
    ParkedSet,
    RunEnded,
    SetParked,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)


class ParkingRules(Struct, frozen=True):
    """Park who has had nothing to do for `idle_ns`; of each role keep `spare` such instances awake, at least one."""

    idle_ns: int
    spare: int = 1


class _State(IntEnum):
    AWAKE = 0
    ASKED = 1
    """To park, and has not answered."""
    PARKED = 2
    WAKING = 3


class _ParkingSlot(Struct):
    """Of one instance; `idle_since_ns` is `NEVER_NS` while it is not awake or has work."""

    address: Final[str]
    places: Final[Sequence[tuple[Stage, int]]]
    """Stages that it is of, and its index there."""
    state: _State = _State.AWAKE
    idle_since_ns: int = NEVER_NS

    def tell(self, state: _State) -> Output:
        self.state = state
        return self.address, SetParked(is_parked=state is _State.ASKED)

    @property
    def is_free(self) -> bool:
        """Whether it is awake, takes work and has none: of one that is of both stages, both show the same."""
        stage, index = self.places[0]
        return self.state is _State.AWAKE and not stage.outstanding_requests[index] and index in stage.eligible


class Parking(Guest):
    """Parks and wakes instances."""

    def __init__(self, rules: ParkingRules, stages: Sequence[Stage], table: RequestTable) -> None:
        self.deadline_ns = NEVER_NS
        self._rules = rules
        self._table = table
        places: dict[str, list[tuple[Stage, int]]] = {}
        for stage in stages:
            for address, index in stage.index.items():
                places.setdefault(address, []).append((stage, index))
        self._slots = {address: _ParkingSlot(address, tuple(at)) for address, at in places.items()}
        # A role is who is of the same stages.
        by_role: dict[tuple[int, ...], list[_ParkingSlot]] = {}
        for slot in self._slots.values():
            by_role.setdefault(tuple(id(stage) for stage, _ in slot.places), []).append(slot)
        self._roles = list(by_role.values())
        self._has_arrivals = True

    def before(self, now_ns: int, message: Message) -> Outputs:
        """An instance that takes work again is eligible from now on."""
        if isinstance(message, ParkedSet):
            slot = self._slots[message.instance]
            slot.state = _State.PARKED if message.is_parked else _State.AWAKE
            slot.idle_since_ns = NEVER_NS
            if not message.is_parked:
                for stage, index in slot.places:
                    stage.unpark(index)
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Returns who is to park and who to wake."""
        if isinstance(message, UsageReported | RunEnded):
            return NOTHING
        if isinstance(message, ArrivalsEnded):
            self._has_arrivals = False
        elif isinstance(message, WorkersLost | WorkersJoined):
            for address in message.addresses:
                slot = self._slots.get(address)
                if slot is not None:  # its process is gone, and the next is awake
                    slot.state, slot.idle_since_ns = _State.AWAKE, NEVER_NS
        return self.wake(now_ns)

    def wake(self, now_ns: int) -> Outputs:
        """Weigh all anew."""
        self.deadline_ns = NEVER_NS
        if not (self._has_arrivals or self._table.num_open):
            return NOTHING  # nothing comes that it could be done for
        outputs: list[Output] = []
        for slots in self._roles:
            outputs += self._weigh(slots, now_ns)
        return outputs

    def _weigh(self, slots: list[_ParkingSlot], now_ns: int) -> Outputs:
        """Of one role."""
        idle = [slot for slot in slots if self._is_idle(slot, now_ns)]
        num_spare = len(idle) + sum(slot.state is _State.WAKING for slot in slots)
        outputs: list[Output] = []
        for slot in slots:
            if num_spare >= self._rules.spare:
                break
            if slot.state is _State.PARKED:
                outputs.append(slot.tell(_State.WAKING))
                num_spare += 1
        # Who is still waking carries nothing yet: so many others stay awake.
        num_spare = len(idle)
        for slot in reversed(idle):
            if num_spare <= self._rules.spare:
                break
            due_ns = slot.idle_since_ns + self._rules.idle_ns
            if due_ns <= now_ns:
                for stage, index in slot.places:
                    stage.park(index)
                outputs.append(slot.tell(_State.ASKED))
                num_spare -= 1
            else:
                self.deadline_ns = min(self.deadline_ns, due_ns)
        return outputs

    def _is_idle(self, slot: _ParkingSlot, now_ns: int) -> bool:
        if not slot.is_free:
            slot.idle_since_ns = NEVER_NS
            return False
        slot.idle_since_ns = min(slot.idle_since_ns, now_ns)
        return True
