"""INV-14: no scaling or switch of roles leaves a stage without an instance that serves or is on its way; and what a
fleet is told makes sense: instances that share NPUs never exist together, and nobody is set back by one that leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.core.scaling.rules import ScalingRules
from scheduler.protocol.addresses import PROVISIONER_ADDRESS
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import (
    FleetScaled,
    Message,
    PartsChanged,
    ReserveKv,
    StartInstances,
    StartPrefill,
    StopInstances,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)


class FleetChecker:
    """Follows what a core is told and says, from outside, in order."""

    def __init__(self, rules: ScalingRules) -> None:
        self.num_started = self.num_stopped = self.num_switched = 0
        self._role_of = {slot.address: slot.role for slot in rules.slots}
        self._npus = {slot.address: frozenset(slot.npus) for slot in rules.slots}
        # Who has NPUs, who takes work, who was told to go, and of these who to go at once.
        self._there = set(self._role_of) - rules.absent
        self._serving = set(self._there)
        self._leaving: set[str] = set()
        self._stopping: set[str] = set()
        self._cut: set[str] = set()

    def check(self, told: Sequence[tuple[int, Message | None]], said: Sequence[Outputs]) -> None:
        """The whole of a run."""
        for (_, message), outputs in zip(told, said, strict=True):
            self._heard(message)
            for address, one in outputs:
                self._said(address, one)

    def _heard(self, message: Message | None) -> None:
        match message:
            case WorkersLost():
                gone = self._known(message.addresses)
                self._serving -= gone
                if message.as_commanded:
                    assert gone <= self._leaving | (set(self._role_of) - self._there), "only who was told to go goes"
                    self._there -= gone
                    self._leaving -= gone
                    self._stopping -= gone
            case WorkersJoined():
                self._serving |= self._known(message.addresses) - self._leaving
            case PartsChanged():
                self._cut = self._known(message.cut_instances)
            case FleetScaled():
                self._check_someone_is_left(message)
            case WorkersStarted() | _:
                pass

    def _said(self, address: str, message: Message) -> None:
        if isinstance(message, StartPrefill | ReserveKv):
            assert address in self._there - self._stopping, "who was told to stop takes nothing"
        if address == PROVISIONER_ADDRESS and isinstance(message, StartInstances):
            self.num_started += len(message.addresses)
            for one in message.addresses:
                assert one not in self._there
                taken = frozenset[int]().union(*(self._npus[other] for other in self._there))
                assert not self._npus[one] & taken, "an NPU is in one instance"
                self._there.add(one)
        elif address == PROVISIONER_ADDRESS and isinstance(message, StopInstances):
            self.num_stopped += len(message.addresses)
            self._stopping |= self._there.intersection(message.addresses)
            self._leaving |= self._stopping
            self._serving -= self._leaving
        elif isinstance(message, FleetScaled):
            self.num_switched += bool(message.booked and message.drained)
            self._leaving = (self._leaving | {*message.drained, *message.cancelled} & self._there) - {*message.kept}
            self._serving -= {*message.drained}
            self._serving |= {*message.kept}

    def _check_someone_is_left(self, message: FleetScaled) -> None:
        for role in {self._role_of[address] for address in message.drained}:
            left = [one for one in self._serving - self._cut if self._role_of[one] == role]
            assert left, f"INV-14: nobody serves {role}"

    def _known(self, addresses: Sequence[str]) -> set[str]:
        return {address for address in addresses if address in self._role_of}


def npu_seconds(rules: ScalingRules, spans: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    """NPU seconds of instances that were there in these spans of time."""
    sizes = {slot.address: slot.num_npus for slot in rules.slots}
    return sum(sizes[address] * (end - begin) for address, times in spans.items() for begin, end in times)
