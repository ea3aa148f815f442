"""The component that loses workers as planned and has them back, as a live runtime would notice it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter

from msgspec import Struct

from scheduler.protocol.addresses import CORE_ADDRESS, OPERATOR_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import ChangeModel, InstanceDrained, Message, WorkersLost, WorkersStarted


class PlannedLoss(Struct, frozen=True):
    """A worker is lost with all that it holds; something in its place can begin to start at `back_ns`."""

    worker: str
    at_ns: int
    back_ns: int


class PlannedChange(Struct, frozen=True):
    """These instances are told at `at_ns` to change to a version of the weights, one after the other."""

    workers: tuple[str, ...]
    at_ns: int
    version: str


class LossSource(TimingFlags):
    """Sends `WorkersLost`, `WorkersStarted` and `ChangeModel` to the core when they are due, for as long as
    `has_work` is true: requests are open or still to come. An instance that is drained for a change is lost and
    started at once.

    `lose` puts a new and empty worker in the place of one that is lost, and returns what that one had to account for.
    """

    address = OPERATOR_ADDRESS
    priority = Priority.SOURCE

    def __init__(
        self,
        losses: Sequence[PlannedLoss],
        lose: Callable[[str, int], Outputs],
        has_work: Callable[[], bool],
        changes: Sequence[PlannedChange] = (),
    ) -> None:
        events = [(one.at_ns, True, one.worker) for one in losses]
        events += [(one.back_ns, False, one.worker) for one in losses]
        # Who starts at the instant at which others are lost, does so before.
        self._events = deque(sorted(events))
        self._changes = deque(sorted(changes, key=attrgetter("at_ns")))
        self._lose = lose
        self._has_work = has_work

    @property
    def deadline_ns(self) -> int:
        """When the next worker is lost, starts or is to change."""
        if not (self._events or self._changes) or not self._has_work():
            return NEVER_NS
        next_ns = self._events[0][0] if self._events else NEVER_NS
        return min(next_ns, self._changes[0].at_ns) if self._changes else next_ns

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """An instance is drained; or the run has ended, and nothing more is sent."""
        if isinstance(message, InstanceDrained):
            gone = [message.address]
            return (
                *self._lose(message.address, now_ns),
                (CORE_ADDRESS, WorkersLost(gone)),
                (CORE_ADDRESS, WorkersStarted(gone)),
            )
        self._events.clear()
        self._changes.clear()
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """All that happens at this instant."""
        outputs: list[tuple[str, Message]] = []
        lost: list[str] = []
        started: list[str] = []
        while self._events and self._events[0][0] == now_ns:
            _, is_lost, worker = self._events.popleft()
            if is_lost:
                outputs += self._lose(worker, now_ns)
                lost.append(worker)
            else:
                started.append(worker)
        if started:
            outputs.insert(0, (CORE_ADDRESS, WorkersStarted(started)))
        if lost:
            outputs.append((CORE_ADDRESS, WorkersLost(lost)))
        while self._changes and self._changes[0].at_ns == now_ns:
            change = self._changes.popleft()
            outputs.append((CORE_ADDRESS, ChangeModel(list(change.workers), change.version)))
        return tuple(outputs)
