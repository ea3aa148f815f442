"""An instance on a standing cluster that can be stopped and started: its NPUs stay, and draw what empty ones do."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Around, Component, Outputs
from scheduler.protocol.messages import (
    Message,
    ReportUsage,
    RunEnded,
    StartInstances,
    StopInstances,
    Usage,
    UsageReported,
    WorkersLost,
    WorkersStarted,
)
from workers.parking import ParkedDraw


class StoppableInstance(Around):
    """`make` makes another instance, which accounts from a time on, whenever it is started again.

    While it is stopped it hears nothing but `StartInstances`, and accounts for NPUs that draw what `empty` says.
    """

    def __init__(
        self, inner: Component, make: Callable[[int], Component], empty: ParkedDraw, reports_to: str = CORE_ADDRESS
    ) -> None:
        super().__init__(inner)
        self._make = make
        self._empty = empty
        self._reports_to = reports_to
        self._is_stopped = False
        self._accounted_ns = 0

    @property
    def deadline_ns(self) -> int:
        """That of the instance, if it is there."""
        return NEVER_NS if self._is_stopped else self.inner.deadline_ns

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        if isinstance(message, StopInstances):
            return self._stop(now_ns)
        if isinstance(message, StartInstances):
            return self._start(now_ns)
        if not self._is_stopped:
            return self.inner.handle(now_ns, message)
        return self._account(now_ns) if isinstance(message, ReportUsage | RunEnded) else NOTHING

    def _stop(self, now_ns: int) -> Outputs:
        gone = self._reports_to, WorkersLost([self.address], as_commanded=True)
        if self._is_stopped:
            return (gone,)
        account = self.inner.handle(now_ns, RunEnded(interrupted=True))
        self._is_stopped, self._accounted_ns = True, now_ns
        return (*account, gone)

    def _start(self, now_ns: int) -> Outputs:
        account = self._account(now_ns) if self._is_stopped else NOTHING
        if self._is_stopped:
            self._is_stopped, self.inner = False, self._make(now_ns)
        return (*account, (self._reports_to, WorkersStarted([self.address])))

    def _account(self, now_ns: int) -> Outputs:
        began_ns, self._accounted_ns = self._accounted_ns, now_ns
        usage = Usage(began_ns, now_ns, 0, self._empty.joules(now_ns - began_ns))
        return ((self._reports_to, UsageReported(self.address, usage)),)
