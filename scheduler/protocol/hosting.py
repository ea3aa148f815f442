"""The time rule of live running, without a clock: several components in one process, driven by due times.

A message carries the emulated time at which it fell due, not that of its receipt, and its receiver handles it at the
later of that and its own last time. So the cost of a hop delays what happens on the wall clock but does not pile up in
emulated time: an idle worker that hears late of work starts it at the time at which it was said, and the scheduler,
which sets `answers_late`, answers a report as of the time of the report, whatever it has heard of others meanwhile. Who
sets `takes_late` is told due times as they are and sees to it itself what a late message can still change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.envelope import Item
from scheduler.protocol.messages import Message


class HostedComponents:
    """Steps its components and gathers what they say to others.

    Among themselves they follow the virtual runtime: messages in the order said, before any deadline of that instant;
    deadlines by (time, priority, position). A deadline before a message's due time is woken before the message. Nothing
    happens before `began_ns`.
    """

    def __init__(self, components: Sequence[Component], began_ns: int = 0) -> None:
        self.num_handled = 0
        self._components = list(components)
        self._index = {component.address: index for index, component in enumerate(components)}
        self._began_ns = began_ns
        self._last_ns = [began_ns] * len(components)
        self._takes_late = [bool(getattr(component, "takes_late", False)) for component in components]
        self._answers_late = [bool(getattr(component, "answers_late", False)) for component in components]
        self._queue: deque[Item] = deque()
        self._said: list[Item] = []

    @property
    def addresses(self) -> list[str]:
        """Addresses of the components, in order."""
        return list(self._index)

    @property
    def last_ns(self) -> int:
        """The latest time that any component was given."""
        return max(self._last_ns, default=0)

    @property
    def deadline_ns(self) -> int:
        """When the next component wants to be woken."""
        return min((component.deadline_ns for component in self._components), default=NEVER_NS)

    def deliver(self, address: str, due_ns: int, message: Message) -> None:
        """Wake what fell due before, then hand over one message and what the components say to each other in answer."""
        self._wake_before(due_ns)
        self._queue.append((address, due_ns, message))
        self._drain()

    def wake_until(self, now_ns: int) -> None:
        """Wake all that has fallen due by now, each at its own time."""
        self._wake_before(now_ns + 1)

    def take_said(self) -> list[Item]:
        """What was said to others since the last call."""
        said, self._said = self._said, []
        return said

    def _wake_before(self, limit_ns: int) -> None:
        while self.deadline_ns < limit_ns:
            _, _, index = min((c.deadline_ns, c.priority, index) for index, c in enumerate(self._components))
            component = self._components[index]
            now_ns = self._time(index, component.deadline_ns)
            for address, message in component.wake(now_ns):
                self._queue.append((address, now_ns, message))
            self._drain()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            item = queue.popleft()
            address, due_ns, message = item
            index = self._index.get(address)
            if index is None:
                self._said.append(item)
                continue
            now_ns = self._time(index, due_ns)
            self.num_handled += 1
            component = self._components[index]
            answers = component.handle(now_ns, message)
            # Who waits for nothing has no time of its own: what it answers fell due with what it was told.
            has_own_time = component.deadline_ns != NEVER_NS and not self._answers_late[index]
            answered_ns = now_ns if has_own_time else due_ns
            for said_to, said in answers:
                queue.append((said_to, answered_ns, said))

    def _time(self, index: int, due_ns: int) -> int:
        """As of when a component does what fell due then."""
        last_ns = self._last_ns[index] = max(self._last_ns[index], due_ns)
        return max(due_ns, self._began_ns) if self._takes_late[index] else last_ns
