"""Which instances and dies broken parts of the fabric have cut off, and who must know of it."""

from __future__ import annotations

from collections.abc import Collection

from scheduler.core.state import SchedulerState
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import Output, Outputs
from scheduler.protocol.messages import AvoidDies, FailParts, PartsChanged, RepairParts


class BrokenParts:
    """Takes instances that reach nobody out of the choice; dies that reach nobody get no new requests."""

    def __init__(self, state: SchedulerState) -> None:
        self._prefill = state.prefill
        self._decode = state.decode
        # What the operator has said, and what the fabric had heard of it when it last spoke.
        self._wanted: set[str] = set()
        self._failed_parts: list[str] = []

    def on_commanded(self, message: FailParts | RepairParts) -> Outputs:
        """The operator says which parts break or are repaired; the fabric may be down, and hear of it later."""
        if isinstance(message, FailParts):
            self._wanted.update(message.parts)
        else:
            self._wanted.difference_update(message.parts)
        return [(FABRIC_ADDRESS, message)]

    def on_changed(self, message: PartsChanged) -> Outputs:
        """Parts broke or were repaired; returns what decode instances must know."""
        self._failed_parts = message.failed_parts
        self._prefill.set_cut(message.cut_instances)
        self._decode.set_cut(message.cut_instances)
        before = self._decode.cut_dies
        cut_dies = dict(zip(message.partly_cut_instances, message.cut_dies, strict=True))
        now = {self._decode.index[address]: dies for address, dies in cut_dies.items() if address in self._decode.index}
        self._decode.cut_dies = now
        changed = sorted(index for index in {*before, *now} if before.get(index) != now.get(index))
        return [(self._decode.addresses[index], AvoidDies(now.get(index, []))) for index in changed]

    def on_joined(self, addresses: Collection[str]) -> Outputs:
        """These were lost and are back, knowing nothing."""
        outputs: list[Output] = []
        if FABRIC_ADDRESS in addresses and (self._wanted or self._failed_parts):
            # Its answer tells also of what was repaired while it was down.
            outputs.append((FABRIC_ADDRESS, FailParts(sorted(self._wanted))))
        for index, dies in self._decode.cut_dies.items():
            if self._decode.addresses[index] in addresses:
                outputs.append((self._decode.addresses[index], AvoidDies(dies)))
        return outputs
