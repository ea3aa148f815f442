"""The virtual runtime: a clock that jumps, as fast as Python goes."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.messages import RunEnded
from scheduler.protocol.stepper import Stepper


class VirtualRuntime:
    """Steps all components in one process, each step at the instant at which it falls due, until none is left."""

    def __init__(self, components: Sequence[Component], core_address: str) -> None:
        self._stepper = Stepper(components, has_others=False)
        self._core_address = core_address
        self._is_stopped = False

    @property
    def now_ns(self) -> int:
        """The latest time that any component was given."""
        return self._stepper.last_ns

    def stop(self) -> None:
        """End the run at the next instant; safe to call from a signal handler."""
        self._is_stopped = True
        self._stepper.stop()

    def exchange(self, component: Component) -> None:
        """From now on this one, which has just been made, is at its address."""
        self._stepper.exchange(component)

    def run(self) -> bool:
        """Run until nothing is due any more, then tell everybody; returns whether it was stopped before."""
        self._stepper.run_until(NEVER_NS)
        ended, end_ns = RunEnded(interrupted=self._is_stopped), self.now_ns
        workers = [address for address in self._stepper.addresses if address != self._core_address]
        # The core hears it last: the workers' last accounts must reach it first.
        for address in (*workers, self._core_address):
            self._stepper.deliver(address, end_ns, ended)
        return self._is_stopped
