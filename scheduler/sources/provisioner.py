"""Who starts and ends processes of instances, as an orchestrator of containers does it for a real control plane."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from scheduler.protocol.addresses import CORE_ADDRESS, PROVISIONER_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import Message, StartInstances, StopInstances, WorkersLost, WorkersStarted


class Provisioner(TimingFlags):
    """Answers `StartInstances` with `WorkersStarted` when a process is there, `start_ns` later, and `StopInstances`
    with `WorkersLost` at once.

    `start` puts a new and empty worker where none is, which has its NPUs from then on; `stop` takes it away and returns
    what it had to account for. Both are given an address and the time.
    """

    address = PROVISIONER_ADDRESS
    priority = Priority.SOURCE

    def __init__(
        self, start: Callable[[str, int], None], stop: Callable[[str, int], Outputs], start_ns: int = 0
    ) -> None:
        self._start = start
        self._stop = stop
        self._start_ns = start_ns
        # (when their processes are there, addresses), in the order of time.
        self._starting: deque[tuple[int, list[str]]] = deque()

    @property
    def deadline_ns(self) -> int:
        """When the next processes are there."""
        return self._starting[0][0] if self._starting else NEVER_NS

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Start, stop; or the run has ended, and nothing more comes."""
        match message:
            case StartInstances():
                for address in message.addresses:
                    self._start(address, now_ns)
                self._starting.append((now_ns + self._start_ns, message.addresses))
                return NOTHING
            case StopInstances():
                return self._end(now_ns, message.addresses)
            case _:
                self._starting.clear()
                return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Processes are there."""
        _, addresses = self._starting.popleft()
        return ((CORE_ADDRESS, WorkersStarted(addresses)),) if addresses else NOTHING

    def _end(self, now_ns: int, gone: list[str]) -> Outputs:
        self._starting = deque(
            (time_ns, [address for address in addresses if address not in gone])
            for time_ns, addresses in self._starting
        )
        accounts: list[Output] = [said for address in gone for said in self._stop(address, now_ns)]
        return [*accounts, (CORE_ADDRESS, WorkersLost(gone, as_commanded=True))]


class Forwarder(TimingFlags):
    """A provisioner of instances whose processes stay: it passes on what each is told, and each answers for itself."""

    address = PROVISIONER_ADDRESS
    priority = Priority.SOURCE
    deadline_ns = NEVER_NS

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """To each by itself."""
        if not isinstance(message, StartInstances | StopInstances):
            return NOTHING
        return tuple((address, type(message)([address])) for address in message.addresses)

    def wake(self, now_ns: int) -> Outputs:
        """Nothing is ever due."""
        return NOTHING
