"""The virtual runtime: a heap of deadlines and a queue of messages, as fast as Python goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.messages import Message, RunEnded

Tap = Callable[[int, Message], None]
"""Is shown every (time, message) given to the core, before the core is."""


class VirtualRuntime:
    """Steps components through emulated time in the total order (time, priority, position in `components`).

    Messages are delivered at the instant they are said, in the order they were said, before any deadline of that
    instant. The heap holds deadlines only; an entry whose component has moved its deadline meanwhile is dropped.
    """

    def __init__(self, components: Sequence[Component], core_address: str, taps: Sequence[Tap] = ()) -> None:
        self.now_ns = 0
        self.num_messages = 0
        self._components = list(components)
        self._index = {component.address: index for index, component in enumerate(components)}
        self._core = self._index[core_address]
        self._taps = tuple(taps)
        self._queue: deque[tuple[str, Message]] = deque()
        self._is_stopped = False
        self._deadlines = [NEVER_NS] * len(components)
        self._heap: list[tuple[int, int, int]] = []
        for index in range(len(components)):
            self._note_deadline(index)

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
        queue, heap, index_of, components = self._queue, self._heap, self._index, self._components
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
                num_messages += 1
                if components[index].deadline_ns != deadlines[index]:
                    self._note_deadline(index)
                if outputs:
                    queue.extend(outputs)
            if not heap or self._is_stopped:
                break
            due_ns, _, index = heap[0]
            component = components[index]
            if component.deadline_ns != due_ns:
                heappop(heap)
                continue
            self.now_ns = now_ns = due_ns
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

    def _note_deadline(self, index: int) -> None:
        component = self._components[index]
        deadline_ns = self._deadlines[index] = component.deadline_ns
        if deadline_ns != NEVER_NS:
            heappush(self._heap, (deadline_ns, component.priority, index))
