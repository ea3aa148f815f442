"""The virtual runtime: a heap of deadlines and a queue of messages, as fast as Python goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from scheduler.protocol.component import NEVER_NS, Component, Outputs
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
        for index, component in enumerate(components):
            self._note_deadline(index, component)

    def stop(self) -> None:
        """End the run at the next instant; safe to call from a signal handler."""
        self._is_stopped = True

    def run(self) -> bool:
        """Run until nothing is due any more, then tell everybody; answers whether it was stopped before."""
        heap, deadlines, components = self._heap, self._deadlines, self._components
        while heap and not self._is_stopped:
            due_ns, _, index = heappop(heap)
            if deadlines[index] != due_ns:
                continue
            deadlines[index] = NEVER_NS
            self.now_ns = due_ns
            component = components[index]
            outputs = component.wake(due_ns)
            if component.deadline_ns != NEVER_NS:
                self._note_deadline(index, component)
            if outputs:
                self._deliver(outputs)
        self._end()
        return self._is_stopped

    def _deliver(self, outputs: Outputs) -> None:
        """Hand over messages and what is said in answer, until all is quiet at this instant."""
        queue, index_of, components = self._queue, self._index, self._components
        deadlines, now_ns, core = self._deadlines, self.now_ns, self._core
        queue.extend(outputs)
        while queue:
            address, message = queue.popleft()
            index = index_of[address]
            if index == core:
                for tap in self._taps:
                    tap(now_ns, message)
            component = components[index]
            answers = component.handle(now_ns, message)
            self.num_messages += 1
            if component.deadline_ns != deadlines[index]:
                self._note_deadline(index, component)
            if answers:
                queue.extend(answers)

    def _note_deadline(self, index: int, component: Component) -> None:
        deadline_ns = self._deadlines[index] = component.deadline_ns
        if deadline_ns != NEVER_NS:
            heappush(self._heap, (deadline_ns, component.priority, index))

    def _end(self) -> None:
        ended = RunEnded(interrupted=self._is_stopped)
        workers = tuple((c.address, ended) for i, c in enumerate(self._components) if i != self._core)
        self._deliver(workers)
        self._deliver(((self._components[self._core].address, ended),))
