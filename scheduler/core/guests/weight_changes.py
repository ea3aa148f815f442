"""Instances that change to another version of the weights, one after the other.

An instance that is to change takes nothing new. When nothing depends on it any more, whoever told of the change hears
`InstanceDrained` and has it start anew.
"""

from __future__ import annotations

from collections import deque

from scheduler.core.guest import Guest
from scheduler.core.guests.weight_loads import WeightLoads
from scheduler.core.recovery.draining import Draining
from scheduler.core.recovery.losses import Losses
from scheduler.core.state import SchedulerState
from scheduler.protocol.addresses import OPERATOR_ADDRESS
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import ChangeModel, InstanceDrained, Message, WorkersJoined, WorkersLost


class WeightChanges(Guest):
    """Knows whose turn it is. Joins the core when the first change is commanded."""

    def __init__(self, state: SchedulerState, losses: Losses, loads: WeightLoads) -> None:
        self._draining = Draining(state)
        self._down = losses.down
        self._loads = loads
        self._waiting: deque[tuple[str, str]] = deque()
        # Who changes now, and whether the operator was told that it is drained.
        self._current: tuple[str, str] | None = None
        self._is_drained = False

    def on_commanded(self, message: ChangeModel) -> Outputs:
        """These are to change, after those that were to before."""
        self._waiting += [(address, message.version) for address in message.addresses]
        return self._drain_next()

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Who stands in the place of one that was to change loads the new version, whyever it was lost."""
        if isinstance(message, WorkersLost) and self._current is not None and self._current[0] in message.addresses:
            self._loads.change(*self._current, is_drained=self._is_drained)
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Something has changed: returns who has nothing to do any more and may start anew."""
        current = self._current
        if isinstance(message, WorkersJoined) and current is not None and current[0] in message.addresses:
            # Whoever has joined with its new version lets the next one change.
            self._current = None if self._loads.has(*current) else current
        return self._drain_next()

    def _drain_next(self) -> Outputs:
        if self._current is None:
            if not self._waiting:
                return NOTHING
            self._current, self._is_drained = self._waiting.popleft(), False
        address = self._current[0]
        if self._is_drained or address in self._down:
            return NOTHING
        self._draining.begin(address)
        if not self._draining.is_done(address):
            return NOTHING
        self._is_drained = True
        return [(OPERATOR_ADDRESS, InstanceDrained(address))]
