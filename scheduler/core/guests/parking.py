"""Which instances are parked: those that have long had nothing to do, as long as enough others have nothing either.

Of each stage `spare` instances that have nothing to do stay awake; whoever is idle beyond them is parked after a while,
the last in order first. When fewer are left, the first that is parked is woken. So load is carried with room for a
burst, whatever the routing policy, and what the governor knows is what the core has sent and seen leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
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


@dataclass(frozen=True, slots=True)
class ParkingRules:
    """Park who has had nothing to do for `idle_ns`; of each stage keep `spare` such instances awake, at least one."""

    idle_ns: int
    spare: int = 1


class _State(IntEnum):
    AWAKE = 0
    ASKED = 1
    """To park, and has not answered."""
    PARKED = 2
    WAKING = 3


@dataclass(slots=True)
class _Berth:
    """Of one instance; `idle_since_ns` is `NEVER_NS` while it is not awake or has work."""

    stage: Final[Stage]
    index: Final[int]
    state: _State = _State.AWAKE
    idle_since_ns: int = NEVER_NS

    def tell(self, state: _State) -> tuple[str, Message]:
        self.state = state
        return self.stage.addresses[self.index], SetParked(is_parked=state is _State.ASKED)


class Parking:
    """Goes along with the core: hears what it hears, and adds to what it says."""

    def __init__(self, rules: ParkingRules, stages: Sequence[Stage], table: RequestTable) -> None:
        self.deadline_ns = NEVER_NS
        self._rules = rules
        self._table = table
        self._stages = [[_Berth(stage, index) for index in range(len(stage))] for stage in stages]
        self._berths = {berth.stage.addresses[berth.index]: berth for berths in self._stages for berth in berths}
        self._has_arrivals = True

    def on_set(self, message: ParkedSet) -> None:
        """An instance is parked, or takes work again."""
        berth = self._berths[message.instance]
        berth.state = _State.PARKED if message.is_parked else _State.AWAKE
        berth.idle_since_ns = NEVER_NS
        if not message.is_parked:
            berth.stage.unpark(berth.index)

    def heard(self, now_ns: int, message: Message) -> Outputs:
        """The core has heard this and taken note; answers who is to park and who to wake."""
        if isinstance(message, UsageReported | RunEnded):
            return NOTHING
        if isinstance(message, ArrivalsEnded):
            self._has_arrivals = False
        elif isinstance(message, WorkersLost | WorkersJoined):
            for address in message.addresses:
                berth = self._berths.get(address)
                if berth is not None:  # its process is gone, and the next is awake
                    berth.state, berth.idle_since_ns = _State.AWAKE, NEVER_NS
        return self.wake(now_ns)

    def wake(self, now_ns: int) -> Outputs:
        """Weigh all anew."""
        self.deadline_ns = NEVER_NS
        if not (self._has_arrivals or self._table.num_open):
            return NOTHING  # nothing comes that it could be done for
        said: list[tuple[str, Message]] = []
        for berths in self._stages:
            said += self._weigh(berths, now_ns)
        return tuple(said)

    def _weigh(self, berths: list[_Berth], now_ns: int) -> list[tuple[str, Message]]:
        """Of one stage."""
        idle = [berth for berth in berths if self._is_idle(berth, now_ns)]
        num_spare = len(idle) + sum(berth.state is _State.WAKING for berth in berths)
        said: list[tuple[str, Message]] = []
        for berth in berths:
            if num_spare >= self._rules.spare:
                break
            if berth.state is _State.PARKED:
                said.append(berth.tell(_State.WAKING))
                num_spare += 1
        # Who is still waking carries nothing yet: so many others stay awake.
        num_spare = len(idle)
        for berth in reversed(idle):
            if num_spare <= self._rules.spare:
                break
            due_ns = berth.idle_since_ns + self._rules.idle_ns
            if due_ns <= now_ns:
                berth.stage.park(berth.index)
                said.append(berth.tell(_State.ASKED))
                num_spare -= 1
            else:
                self.deadline_ns = min(self.deadline_ns, due_ns)
        return said

    def _is_idle(self, berth: _Berth, now_ns: int) -> bool:
        stage, index = berth.stage, berth.index
        if berth.state is not _State.AWAKE or stage.outstanding_requests[index] or index not in stage.eligible:
            berth.idle_since_ns = NEVER_NS
            return False
        berth.idle_since_ns = min(berth.idle_since_ns, now_ns)
        return True
