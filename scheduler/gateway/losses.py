"""The component that loses workers as planned and has them back, as a live runtime would notice it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import Message, WorkersLost, WorkersStarted

CORE: Final = "core"


@dataclass(frozen=True, slots=True)
class PlannedLoss:
    """A worker is lost with all that it holds; something in its place can begin to start at `back_ns`."""

    worker: str
    at_ns: int
    back_ns: int


class LossSource:
    """Says `WorkersLost` and `WorkersStarted` to the core when their time has come, for as long as `has_work` says that
    requests are open or still to come.

    `lose` puts a new and empty worker in the place of one that is lost, and answers what that one had to account for.
    """

    address = "losses"
    priority = Priority.SOURCE

    def __init__(
        self, losses: Sequence[PlannedLoss], lose: Callable[[str, int], Outputs], has_work: Callable[[], bool]
    ) -> None:
        events = [(one.at_ns, True, one.worker) for one in losses]
        events += [(one.back_ns, False, one.worker) for one in losses]
        # Who starts at the instant at which others are lost, does so before.
        self._events = deque(sorted(events))
        self._lose = lose
        self._has_work = has_work

    @property
    def deadline_ns(self) -> int:
        """When the next worker is lost or starts."""
        return self._events[0][0] if self._events and self._has_work() else NEVER_NS

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Only the end of a run is said to a source; it then stays silent."""
        self._events.clear()
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """All that happens at this instant."""
        said: list[tuple[str, Message]] = []
        lost: list[str] = []
        started: list[str] = []
        while self._events and self._events[0][0] == now_ns:
            _, is_lost, worker = self._events.popleft()
            if is_lost:
                said += self._lose(worker, now_ns)
                lost.append(worker)
            else:
                started.append(worker)
        if started:
            said.insert(0, (CORE, WorkersStarted(started)))
        if lost:
            said.append((CORE, WorkersLost(lost)))
        return tuple(said)
