"""One memory of one cache server: blocks in the order of their last use, within a capacity and quotas of namespaces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

NAMESPACE_SHIFT: Final = 44
"""A block's key is `namespace << NAMESPACE_SHIFT | id`; ids of a trace have 40 bits, their parts two more."""


class Tier:
    """`order` maps keys to stamps of last use, the least recently used first; `used_tokens` <= `capacity_tokens`
    after each `trim` (INV-4), and each namespace has at most `quota_tokens`.

    A block takes what `sizes` says, or `block_tokens`: the tokens of its granularity. Stamps rise from use to use.
    Who writes to `order` directly, which only saves calls, tells of new short blocks (`saved_tokens`) and of
    namespaces.
    """

    __slots__ = (
        "_block_tokens",
        "_namespaces",
        "_quota_tokens",
        "_sizes",
        "_used_by",
        "capacity_tokens",
        "has_quotas",
        "order",
        "saved_tokens",
    )

    def __init__(self, capacity_tokens: int, quota_tokens: int, block_tokens: int, sizes: Mapping[int, int]) -> None:
        self.capacity_tokens = capacity_tokens
        self.order: OrderedDict[int, int] = OrderedDict()
        self.saved_tokens = 0
        """What the blocks take less than as many whole ones."""
        self._quota_tokens = quota_tokens
        self._block_tokens = block_tokens
        self._sizes = sizes
        # Kept only where a quota can bind: the blocks of each namespace in the same order, and what they take.
        self.has_quotas = quota_tokens < capacity_tokens
        self._namespaces: dict[int, OrderedDict[int, None]] = {}
        self._used_by: dict[int, int] = {}

    @property
    def used_tokens(self) -> int:
        """What all blocks take."""
        return len(self.order) * self._block_tokens - self.saved_tokens

    def place(self, key: int, stamp: int) -> None:
        """The block is here and was used now."""
        is_new = key not in self.order
        self.order[key] = stamp
        self.order.move_to_end(key)
        if is_new:
            self.saved_tokens += self._block_tokens - self._sizes.get(key, self._block_tokens)
        if self.has_quotas:
            self.note_namespace(key)

    def note_namespace(self, key: int) -> None:
        """The block was used now, whether it is new or not."""
        namespace = key >> NAMESPACE_SHIFT
        blocks = self._namespaces.get(namespace)
        if blocks is None:
            blocks = self._namespaces[namespace] = OrderedDict()
            self._used_by[namespace] = 0
        if key not in blocks:
            self._used_by[namespace] += self._sizes.get(key, self._block_tokens)
        blocks[key] = None
        blocks.move_to_end(key)

    def remove(self, key: int) -> int:
        """The block is gone; answers when it was last used."""
        size = self._sizes.get(key)
        if size is not None:
            self.saved_tokens -= self._block_tokens - size
        if self.has_quotas:
            size = self._block_tokens if size is None else size
            namespace = key >> NAMESPACE_SHIFT
            del self._namespaces[namespace][key]
            self._used_by[namespace] -= size
        return self.order.pop(key)

    def is_over(self, namespace: int) -> bool:
        """Whether something must go, of this namespace or of all."""
        return len(self.order) * self._block_tokens - self.saved_tokens > self.capacity_tokens or (
            self.has_quotas and self._used_by.get(namespace, 0) > self._quota_tokens
        )

    def trim(self, namespaces: Iterable[int], pins: Collection[int], evicted: list[tuple[int, int]]) -> None:
        """Evict the least recently used blocks without a pin until all fits, first where these namespaces are over
        their quotas; adds their keys and stamps to `evicted`.

        If only pinned blocks are left, what was placed stays over the capacity: whoever pins has to see to that.
        """
        if self.has_quotas:
            self._trim_namespaces(namespaces, pins, evicted)
        order, sizes, whole = self.order, self._sizes, self._block_tokens
        excess = len(order) * whole - self.saved_tokens - self.capacity_tokens
        while excess > 0:
            for key in order:
                if key not in pins:
                    break
            else:
                return
            excess -= sizes.get(key, whole)
            evicted.append((key, self.remove(key) if sizes or self.has_quotas else order.pop(key)))

    def _trim_namespaces(
        self, namespaces: Iterable[int], pins: Collection[int], evicted: list[tuple[int, int]]
    ) -> None:
        for namespace in namespaces:
            blocks = self._namespaces.get(namespace, {})
            while self._used_by.get(namespace, 0) > self._quota_tokens:
                key = next((key for key in blocks if key not in pins), None)
                if key is None:
                    break
                evicted.append((key, self.remove(key)))

    def merge(self, moved: Iterable[tuple[int, int]]) -> None:
        """Take in blocks with their stamps, each at its place in the order."""
        entries = sorted([*self.order.items(), *moved], key=lambda entry: entry[1])
        for key in list(self.order):
            self.remove(key)
        for key, stamp in entries:
            self.place(key, stamp)
