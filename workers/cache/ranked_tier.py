"""One kind of memory in the order that a policy gives its blocks: the lowest rank first, then the least recently used.

The order is a heap in which entries stay that are out of date: one counts only if its block is here with that stamp and
that rank. A block that is met while it is pinned leaves the heap, and comes back when its last pin goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from workers.cache.tier import TENANT_SHIFT, Tier

Entry = tuple[float, int, int]
"""Rank, stamp of last use, key."""

SPARE_ENTRIES: Final = 1024
"""Out of date, beyond as many as there are blocks, before the heap is made anew."""


class RankedTier(Tier):
    """A `Tier` whose blocks go by `ranks`, 0 for one that has none; `pinned` stays empty.

    Who writes to `order` directly, or changes the rank of a block, calls `offer`; so does who takes its last pin.
    """

    __slots__ = ("_heap", "_of_tenants", "_ranks")

    def __init__(
        self, block_tokens: int, sizes: Mapping[int, int], pins: Mapping[int, int], ranks: Mapping[int, float]
    ) -> None:
        super().__init__(block_tokens, sizes, pins)
        self._ranks = ranks
        self._heap: list[Entry] = []
        # Only where a quota can bind.
        self._of_tenants: dict[int, list[Entry]] = {}

    def offer(self, keys: Iterable[int]) -> None:
        """These blocks, as far as they are here, may go by the rank and the stamp that they have now."""
        order, ranks, heap = self.order, self._ranks, self._heap
        for key in keys:
            stamp = order.get(key)
            if stamp is None:
                continue
            entry = (ranks.get(key, 0.0), stamp, key)
            heappush(heap, entry)
            if self.has_quotas:
                heappush(self._of_tenants.setdefault(key >> TENANT_SHIFT, []), entry)
        if len(heap) > 2 * len(order) + SPARE_ENTRIES:
            self._renew()

    def _renew(self) -> None:
        ranks = self._ranks
        self._heap = [(ranks.get(key, 0.0), stamp, key) for key, stamp in self.order.items()]
        heapify(self._heap)
        self._of_tenants.clear()
        if self.has_quotas:
            for entry in sorted(self._heap):  # a sorted list is a heap
                self._of_tenants.setdefault(entry[2] >> TENANT_SHIFT, []).append(entry)

    def place(self, key: int, stamp: int) -> None:
        """As in `Tier`."""
        super().place(key, stamp)
        self.offer((key,))

    def restore(self, blocks: Iterable[tuple[int, int]]) -> None:
        """As in `Tier`."""
        super().restore(blocks)
        self._renew()

    def evict(self, excess_tokens: int, evicted: list[tuple[int, int]]) -> None:
        """As in `Tier`, by rank."""
        self._take(self._heap, excess_tokens, evicted)

    def _trim_tenant(self, tenant: int, evicted: list[tuple[int, int]]) -> None:
        excess_tokens = self._used_by.get(tenant, 0) - self._quota_tokens
        if excess_tokens > 0:
            self._take(self._of_tenants.get(tenant, []), excess_tokens, evicted)

    def _take(self, heap: list[Entry], excess_tokens: int, evicted: list[tuple[int, int]]) -> None:
        order, ranks, pins, sizes, whole = self.order, self._ranks, self._pins, self._sizes, self._block_tokens
        while excess_tokens > 0 and heap:
            rank, stamp, key = heappop(heap)
            if key in pins or order.get(key) != stamp or ranks.get(key, 0.0) != rank:
                continue
            excess_tokens -= sizes.get(key, whole)
            evicted.append((key, self.remove(key)))
