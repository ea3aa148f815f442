"""Who can wait is held back while electricity is dear.

The core knows no prices: it is told the hours of the day that count as cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final

from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS

DAY_NS: Final = 24 * 3600 * 10**9

Hours = tuple[tuple[int, int], ...]
"""Spans of the day in nanoseconds from midnight, from (inclusive) and until (exclusive), in rising order."""


class DeferredQueue:
    """Keeps requests from their arrival until the next cheap hour, at most `hold_ns` of their class.

    `release_ns`: when the next may go. A run begins at midnight. Who is held has asked nobody for anything, so that
    nothing is kept for it meanwhile. `held` is the set of those that wait, which others may read.
    """

    def __init__(self, cheap: Hours, hold_ns: Sequence[int], table: RequestTable, held: set[int]) -> None:
        self._cheap: Final = cheap
        self._hold_ns: Final = hold_ns
        self._table: Final = table
        self._heap: list[tuple[int, int]] = []
        self._held: Final = held

    @property
    def release_ns(self) -> int:
        """When the next may go; never if nobody is held."""
        heap = self._heap
        while heap and heap[0][1] not in self._held:
            heappop(heap)
        return heap[0][0] if heap else NEVER_NS

    def keep(self, now_ns: int, ids: Sequence[int]) -> list[int]:
        """Hold those that may wait for a cheap hour; returns the others."""
        cheap_ns = next_cheap_ns(now_ns, self._cheap)
        if cheap_ns <= now_ns:
            return list(ids)
        going: list[int] = []
        request_class, arrived_ns = self._table.request_class, self._table.arrived_ns
        for request_id in ids:
            until_ns = min(cheap_ns, arrived_ns[request_id] + self._hold_ns[request_class[request_id]])
            if until_ns <= now_ns:
                going.append(request_id)
            else:
                self._held.add(request_id)
                heappush(self._heap, (until_ns, request_id))
        return going

    def due(self, now_ns: int) -> list[int]:
        """Those whose wait is over, who are held no more."""
        ids: list[int] = []
        while self.release_ns <= now_ns:
            request_id = heappop(self._heap)[1]
            self._held.discard(request_id)
            ids.append(request_id)
        return ids


def next_cheap_ns(now_ns: int, cheap: Hours) -> int:
    """Now, if it is a cheap hour, else when the next begins; now as well if none is named, as then all are alike."""
    midnight_ns = now_ns - now_ns % DAY_NS
    for from_ns, until_ns in cheap:
        if now_ns - midnight_ns < until_ns:
            return max(now_ns, midnight_ns + from_ns)
    return midnight_ns + DAY_NS + cheap[0][0] if cheap else now_ns
