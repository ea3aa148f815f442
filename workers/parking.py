"""An instance that can be parked: while it has nothing to do it gives up its model, and draws less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, Around, Component, Output, Outputs
from scheduler.protocol.messages import Message, ParkedSet, ReportUsage, RunEnded, SetParked, Usage, UsageReported


class ParkedDraw(Protocol):
    """What an instance draws while it is parked, and how long it takes to wake."""

    @property
    def wake_ns(self) -> int:
        """From being told to having its model again."""
        ...

    def joules(self, span_ns: int) -> float:
        """Energy of a time in which it is parked."""
        ...


class ParkableInstance(Around):
    """An instance that can be parked. The instance knows nothing of it: only its accounts of parked time are changed.

    `is_empty` tells whether the instance has nothing to do and holds nothing; otherwise it does not park. While it
    wakes it draws what an instance does that has nothing to do. Nobody gives it work before it has reported that it is
    awake.
    """

    def __init__(
        self, inner: Component, is_empty: Callable[[], bool], parked: ParkedDraw, reports_to: str = CORE_ADDRESS
    ) -> None:
        super().__init__(inner)
        self._is_empty = is_empty
        self._parked = parked
        self._reports_to = reports_to
        self._is_parked = False
        self._awake_ns = NEVER_NS

    @property
    def deadline_ns(self) -> int:
        """Of the instance, or when it has woken."""
        return min(self.inner.deadline_ns, self._awake_ns)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        if isinstance(message, SetParked):
            return self._park(now_ns) if message.is_parked else self._begin_to_wake(now_ns)
        if isinstance(message, RunEnded):
            self._awake_ns = NEVER_NS
        return self._accounted(self.inner.handle(now_ns, message))

    def wake(self, now_ns: int) -> Outputs:
        """It has woken, or the instance falls due."""
        if self._awake_ns > now_ns:
            return self.inner.wake(now_ns)
        self._awake_ns = NEVER_NS
        return (self._report(is_parked=False),)

    def _park(self, now_ns: int) -> Outputs:
        if not self._is_empty():
            return (self._report(is_parked=False),)
        # So that no account mixes parked time and other.
        account = self.inner.handle(now_ns, ReportUsage())
        self._is_parked = True
        return (*account, self._report(is_parked=True))

    def _begin_to_wake(self, now_ns: int) -> Outputs:
        account = self._accounted(self.inner.handle(now_ns, ReportUsage()))
        self._is_parked, self._awake_ns = False, now_ns + self._parked.wake_ns
        return account

    def _report(self, *, is_parked: bool) -> Output:
        return self._reports_to, ParkedSet(self.address, is_parked)

    def _accounted(self, outputs: Outputs) -> Outputs:
        """An instance knows only how it draws power when it waits."""
        return tuple((to, self._as_parked(message)) for to, message in outputs) if self._is_parked else outputs

    def _as_parked(self, message: Message) -> Message:
        if not isinstance(message, UsageReported):
            return message
        start_ns, end_ns = message.usage.start_ns, message.usage.end_ns
        return UsageReported(message.instance, Usage(start_ns, end_ns, 0, self._parked.joules(end_ns - start_ns)))
