"""Which instances are parked: those that have long had nothing to do, as long as enough others have nothing either.

Of each stage `spare` instances that have nothing to do stay awake; whoever is idle beyond them is parked after a while,
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
    """Park who has had nothing to do for `idle_ns`; of each stage keep `spare` such instances awake, at least one."""

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

    stage: Final[Stage]
    index: Final[int]
    state: _State = _State.AWAKE
    idle_since_ns: int = NEVER_NS

    def tell(self, state: _State) -> Output:
        self.state = state
        return self.stage.addresses[self.index], SetParked(is_parked=state is _State.ASKED)


class Parking(Guest):
    """Parks and wakes instances."""

    def __init__(self, rules: ParkingRules, stages: Sequence[Stage], table: RequestTable) -> None:
        self.deadline_ns = NEVER_NS
        self._rules = rules
        self._table = table
        self._stages = [[_ParkingSlot(stage, index) for index in range(len(stage))] for stage in stages]
        self._slots = {slot.stage.addresses[slot.index]: slot for slots in self._stages for slot in slots}
        self._has_arrivals = True

    def before(self, now_ns: int, message: Message) -> Outputs:
        """An instance that takes work again is eligible from now on."""
        if isinstance(message, ParkedSet):
            slot = self._slots[message.instance]
            slot.state = _State.PARKED if message.is_parked else _State.AWAKE
            slot.idle_since_ns = NEVER_NS
            if not message.is_parked:
                slot.stage.unpark(slot.index)
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
        for slots in self._stages:
            outputs += self._weigh(slots, now_ns)
        return outputs

    def _weigh(self, slots: list[_ParkingSlot], now_ns: int) -> Outputs:
        """Of one stage."""
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
                slot.stage.park(slot.index)
                outputs.append(slot.tell(_State.ASKED))
                num_spare -= 1
            else:
                self.deadline_ns = min(self.deadline_ns, due_ns)
        return outputs

    def _is_idle(self, slot: _ParkingSlot, now_ns: int) -> bool:
        stage, index = slot.stage, slot.index
        if slot.state is not _State.AWAKE or stage.outstanding_requests[index] or index not in stage.eligible:
            slot.idle_since_ns = NEVER_NS
            return False
        slot.idle_since_ns = min(slot.idle_since_ns, now_ns)
        return True
