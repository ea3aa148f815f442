"""The order in which requests that wait for others are taken."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from scheduler.protocol.component import NEVER_NS


class ReadyQueue:
    """Rows by when they are ready; of those that are, who goes on with what has begun comes before who begins, then who
    was ready first, then who comes first in the trace.
    """

    def __init__(self) -> None:
        # (time, begins something, row) of those that will be ready, (begins something, time, row) of those that are.
        self._coming: list[tuple[int, bool, int]] = []
        self._ready: list[tuple[bool, int, int]] = []
        self._as_of_ns = 0
        """When those of `_ready` are ready, at the latest."""

    def add(self, row: int, ready_ns: int, *, begins: bool) -> None:
        """A row will be ready then."""
        heappush(self._coming, (ready_ns, begins, row))

    def next_ns(self, now_ns: int) -> int:
        """When the next row is ready, at most `now_ns` if it is; `NEVER_NS` for none.

        `now_ns` may be before that of an earlier call.
        """
        if self._ready:
            if now_ns >= self._as_of_ns:
                return now_ns
            self._go_back(now_ns)
        return self._coming[0][0] if self._coming else NEVER_NS

    def take(self, now_ns: int) -> int:
        """The row that goes first as of then; there must be one."""
        coming, ready = self._coming, self._ready
        while coming and coming[0][0] <= now_ns:
            ready_ns, begins, row = heappop(coming)
            heappush(ready, (begins, ready_ns, row))
        self._as_of_ns = now_ns
        return heappop(ready)[2]

    def _go_back(self, now_ns: int) -> None:
        """As of an earlier time none of them need be ready."""
        self._coming += [(ready_ns, begins, row) for begins, ready_ns, row in self._ready]
        heapify(self._coming)
        self._ready.clear()
        self._as_of_ns = now_ns
