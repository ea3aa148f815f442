"""An instance of a live cluster that can be stopped and started, in a process that stays.

While it is stopped it has no NPUs, and accounts for nothing: who sums up knows what NPUs draw that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Around, Component, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import Message, RunEnded, StartInstances, StopInstances, WorkersLost, WorkersStarted


class Nobody(TimingFlags):
    """Where no worker is; it hears nothing and has nothing to account for."""

    deadline_ns = NEVER_NS
    runs_ahead = True

    def __init__(self, address: str, priority: int = Priority.PREFILL) -> None:
        self.address = address
        self.priority = priority

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Nobody is there."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Nobody is there."""
        return NOTHING


class StoppableInstance(Around):
    """`make` makes another instance, which accounts from a time on, whenever it is started again.

    `start_ns` go by from `StartInstances` until it says that it is there; it has its NPUs meanwhile. While it is
    stopped, as it is at first if not `is_there`, it hears nothing else.
    """

    def __init__(
        self,
        inner: Component,
        make: Callable[[int], Component],
        start_ns: int = 0,
        reports_to: str = CORE_ADDRESS,
        *,
        is_there: bool = True,
    ) -> None:
        super().__init__(inner)
        self._make = make
        self._start_ns = start_ns
        self._reports_to = reports_to
        self._is_stopped = not is_there
        self._started_ns = NEVER_NS

    @property
    def deadline_ns(self) -> int:
        """That of the instance, if it is there, or when it has started."""
        return NEVER_NS if self._is_stopped else min(self.inner.deadline_ns, self._started_ns)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        if isinstance(message, StopInstances):
            return self._stop(now_ns)
        if isinstance(message, StartInstances):
            return self._start(now_ns)
        if isinstance(message, RunEnded):
            self._started_ns = NEVER_NS
        return NOTHING if self._is_stopped else self.inner.handle(now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """It has started, or the instance falls due."""
        if self._started_ns > now_ns:
            return self.inner.wake(now_ns)
        self._started_ns = NEVER_NS
        return self._said(WorkersStarted([self.address]))

    def _stop(self, now_ns: int) -> Outputs:
        account = NOTHING if self._is_stopped else self.inner.handle(now_ns, RunEnded(interrupted=True))
        self._is_stopped, self._started_ns = True, NEVER_NS
        return (*account, *self._said(WorkersLost([self.address], as_commanded=True)))

    def _start(self, now_ns: int) -> Outputs:
        if not self._is_stopped:  # it came back by itself after a loss
            return NOTHING if self._started_ns != NEVER_NS else self._said(WorkersStarted([self.address]))
        self._is_stopped, self.inner = False, self._make(now_ns)
        if not self._start_ns:
            return self._said(WorkersStarted([self.address]))
        self._started_ns = now_ns + self._start_ns
        return NOTHING

    def _said(self, message: Message) -> Outputs:
        return ((self._reports_to, message),)
