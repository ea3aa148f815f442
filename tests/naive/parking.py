"""Parking in the naive simulation: who has long had nothing to do, found by looking at everybody after each event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.naive.world import Actor, World

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class ParkingSlot(Actor):
    """Where an instance is parked; it falls due when the instance has woken. Made right after its instance."""

    def __init__(self, world: World, priority: int, is_empty: Callable[[], bool], wake_ns: int) -> None:
        super().__init__(world)
        self.priority = priority
        self.is_empty = is_empty
        self.wake_ns = wake_ns
        self.state = "awake"
        self.tell: Callable[[ParkingSlot, str], None] | None = None
        self.parked_since_ns = -1
        self.parked_ns = 0

    def park(self) -> None:
        """Told to park."""
        assert self.tell is not None
        if self.is_empty():
            self.parked_since_ns = self.world.now_ns
            self.world.say(self.tell, self, "parked")
        else:
            self.world.say(self.tell, self, "awake")

    def wake(self) -> None:
        """Told to wake."""
        self.end(self.world.now_ns)
        self.due_ns = self.world.now_ns + self.wake_ns

    def end(self, now_ns: int) -> None:
        """Parked no more, if it was."""
        if self.parked_since_ns >= 0:
            self.parked_ns += now_ns - self.parked_since_ns
            self.parked_since_ns = -1

    def fall_due(self) -> None:
        """It has woken."""
        assert self.tell is not None
        self.world.say(self.tell, self, "awake")


class Governor(Actor):
    """Parks and wakes; `weigh` is called whenever the core has heard something."""

    priority = 3

    def __init__(self, world: World, core: Core) -> None:
        super().__init__(world)
        self.core = core
        self.idle_since_ns: dict[ParkingSlot, int] = {}

    def fall_due(self) -> None:
        """Somebody has been idle for long enough."""
        self.weigh()

    def on_told(self, slot: ParkingSlot, state: str) -> None:
        """An instance is parked or awake."""
        slot.state = state
        self.idle_since_ns.pop(slot, None)
        self.weigh()

    def is_busy(self, slot: ParkingSlot) -> bool:
        """Has it anything to do, as one that computes prompts or as one that decodes?"""
        core = self.core
        return any(
            slot in slots and is_busy(slots.index(slot))
            for slots, is_busy in ((core.prefill_slots, core.is_prefill_busy), (core.decode_slots, core.is_decode_busy))
        )

    def weigh(self) -> None:
        """Look at everybody."""
        core = self.core
        assert core.case.parking is not None
        idle_ns, spare, _ = core.case.parking
        self.due_ns = None
        if not core.awaits_more() and all(request.stage == "ended" for request in core.known):
            return
        both = [slot for slot in core.prefill_slots if slot in core.decode_slots]
        only_prefill, only_decode = (
            [slot for slot in slots if slot not in both] for slots in (core.prefill_slots, core.decode_slots)
        )
        for slots in (only_prefill, only_decode, both):
            for slot in slots:
                if slot.state != "awake" or self.is_busy(slot):
                    self.idle_since_ns.pop(slot, None)
                elif slot not in self.idle_since_ns:
                    self.idle_since_ns[slot] = self.world.now_ns
            idle = [slot for slot in slots if slot in self.idle_since_ns]
            coming = [slot for slot in slots if slot.state == "waking"]
            parked = [slot for slot in slots if slot.state == "parked"]
            while len(idle) + len(coming) < spare and parked:
                coming.append(parked.pop(0))
                coming[-1].state = "waking"
                self.world.say(coming[-1].wake)
            for slot in reversed(list(idle)):
                if len(idle) <= spare:
                    continue
                since_ns = self.idle_since_ns[slot]
                if self.world.now_ns - since_ns >= idle_ns:
                    idle.remove(slot)
                    slot.state = "asked"
                    self.world.say(slot.park)
                elif self.due_ns is None or since_ns + idle_ns < self.due_ns:
                    self.due_ns = since_ns + idle_ns
