"""The virtual runtime: a heap of deadlines and a queue of messages, as fast as Python goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace

from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs
from scheduler.protocol.messages import Message, RunEnded

Tap = Callable[[int, Message], None]
"""Is shown every (time, message) given to the core, before the core is."""


class VirtualRuntime:
    """Steps components through emulated time in the total order (time, priority, position in `components`).

    Messages are delivered at the instant they are said, in the order they were said, before any deadline of that
    instant. The heap holds deadlines only; an entry whose component has moved its deadline meanwhile is dropped.

    `watcher` is woken as a component is, as long as anything else is still to come: it looks at a run and never
    prolongs it. It is told nothing.
    """

    def __init__(
        self,
        components: Sequence[Component],
        core_address: str,
        taps: Sequence[Tap] = (),
        watcher: Component | None = None,
    ) -> None:
        self.now_ns = 0
        self.num_messages = 0
        self._components = list(components)
        self._core = [component.address for component in components].index(core_address)
        self._taps = tuple(taps)
        self._queue: deque[tuple[str, Message]] = deque()
        self._is_stopped = False
        # The last place is the watcher's. It never holds a deadline, so that an entry of the watcher looks like one
        # that was moved, and a run that is not watched pays nothing to tell them apart.
        self._deadlines = [*[component.deadline_ns for component in components], NEVER_NS]
        self._heap: list[tuple[int, int, int]] = []
        for index, component in enumerate(components):
            if component.deadline_ns != NEVER_NS:
                heappush(self._heap, (component.deadline_ns, component.priority, index))
        self._watcher = watcher
        if watcher is not None:
            heappush(self._heap, (watcher.deadline_ns, watcher.priority, len(components)))

    def stop(self) -> None:
        """End the run at the next instant; safe to call from a signal handler."""
        self._is_stopped = True

    def run(self) -> bool:
        """Run until nothing is due any more, then tell everybody; answers whether it was stopped before."""
        self._loop()
        ended = RunEnded(interrupted=self._is_stopped)
        addresses = [component.address for component in self._components]
        core = addresses.pop(self._core)
        # The core hears it last: the workers' last accounts must reach it first.
        for address in (*addresses, core):
            self._heap.clear()
            self._queue.append((address, ended))
            self._loop()
        return self._is_stopped

    def _loop(self) -> None:
        """Deliver what was said, then wake who is due first; until there is neither, or until the run is stopped."""
        queue, heap, components = self._queue, self._heap, self._components
        index_of = {component.address: index for index, component in enumerate(components)}
        handles = [component.handle for component in components]
        deadlines, taps, core, now_ns = self._deadlines, self._taps, self._core, self.now_ns
        num_messages = 0
        while True:
            while queue:
                address, message = queue.popleft()
                index = index_of[address]
                if index == core:
                    for tap in taps:
                        tap(now_ns, message)
                outputs = handles[index](now_ns, message)
                if outputs:
                    queue.extend(outputs)
                num_messages += 1
                deadline_ns = components[index].deadline_ns
                if deadline_ns != deadlines[index]:
                    deadlines[index] = deadline_ns
                    if deadline_ns != NEVER_NS:
                        heappush(heap, (deadline_ns, components[index].priority, index))
            if not heap or self._is_stopped:
                break
            due_ns, _, index = heap[0]
            # A component may let go of its deadline without being told anything: it is asked, too.
            if deadlines[index] != due_ns or components[index].deadline_ns != due_ns:
                heappop(heap)
                if index == len(components):
                    queue.extend(self._wake_watcher(due_ns))
                    now_ns = self.now_ns
                continue
            self.now_ns = now_ns = due_ns
            component = components[index]
            outputs = component.wake(due_ns)
            deadline_ns = deadlines[index] = component.deadline_ns
            # Nothing was pushed meanwhile, so the entry that woke the component is still on top.
            if deadline_ns == NEVER_NS:
                heappop(heap)
            else:
                heapreplace(heap, (deadline_ns, component.priority, index))
            if outputs:
                queue.extend(outputs)
        self.num_messages += num_messages

    def _wake_watcher(self, due_ns: int) -> Outputs:
        """Nothing, if all that is left in the heap was moved: then the run has ended."""
        watcher, heap = self._watcher, self._heap
        # All but the watcher, whose only entry was taken from the heap.
        if watcher is None or not any(self._components[index].deadline_ns == at_ns for at_ns, _, index in heap):
            return NOTHING
        self.now_ns = due_ns
        outputs = watcher.wake(due_ns)
        heappush(heap, (watcher.deadline_ns, watcher.priority, len(self._components)))
        return outputs
