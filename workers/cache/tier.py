"""One kind of memory of all cache servers: blocks in the order of their last use, within a capacity and quotas."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

TENANT_SHIFT: Final = 44
"""A block's key is `tenant << TENANT_SHIFT | id`; ids of a trace have 40 bits, their parts two more."""


_NO_BLOCKS: Final[OrderedDict[int, None]] = OrderedDict()


class Tier:
    """`order` maps keys of blocks to stamps of last use, the least recently used first. Of those in `pins`, which must
    not go, eviction puts the ones that it meets in `pinned`. `used_tokens` <= `capacity_tokens` after each `trim`
    (INV-4), and each tenant has at most its quota.

    A block takes what `sizes` says, or `block_tokens`: the tokens of its granularity. Stamps rise from use to use.
    Who writes to `order` directly, which saves calls, takes the block from `pinned`, tells of new short blocks
    (`saved_tokens`) and, if there are quotas, of every use (`note_tenant`).
    """

    __slots__ = (
        "_block_tokens",
        "_pins",
        "_quota_tokens",
        "_sizes",
        "_tenants",
        "_used_by",
        "capacity_tokens",
        "has_quotas",
        "order",
        "pinned",
        "saved_tokens",
    )

    def __init__(self, block_tokens: int, sizes: Mapping[int, int], pins: Mapping[int, int]) -> None:
        self.capacity_tokens = 0
        self.order: OrderedDict[int, int] = OrderedDict()
        self.pinned: set[int] = set()
        self.saved_tokens = 0
        """What the blocks take less than as many whole ones."""
        self.has_quotas = False
        self._quota_tokens = 0
        self._block_tokens = block_tokens
        self._sizes = sizes
        self._pins = pins
        # Kept only where a quota can bind: the blocks of each tenant in the same order, and what they take.
        self._tenants: dict[int, OrderedDict[int, None]] = {}
        self._used_by: dict[int, int] = {}

    def resize(self, capacity_tokens: int, quota_tokens: int) -> None:
        """So much may be here, and so much of one tenant, which is less always or never; `trim` must follow."""
        self.capacity_tokens, self._quota_tokens = capacity_tokens, quota_tokens
        self.has_quotas = quota_tokens < capacity_tokens

    def __contains__(self, key: int) -> bool:
        return key in self.order or key in self.pinned

    def blocks(self) -> set[int]:
        """Keys of all that is here."""
        return {*self.order, *self.pinned}

    @property
    def used_tokens(self) -> int:
        """What all blocks take, in tokens of KV."""
        return (len(self.order) + len(self.pinned)) * self._block_tokens - self.saved_tokens

    def place(self, key: int, stamp: int) -> None:
        """A block that was not here is, and was used then."""
        self.order[key] = stamp
        self.saved_tokens += self._block_tokens - self._sizes.get(key, self._block_tokens)
        if self.has_quotas:
            self.note_tenant((key,))

    def restore(self, blocks: Iterable[tuple[int, int]]) -> None:
        """(key, stamp) of blocks that were not here are, as if they had been here since their last use."""
        for key, stamp in blocks:
            self.order[key] = stamp
            self.saved_tokens += self._block_tokens - self._sizes.get(key, self._block_tokens)
        by_use = sorted(self.order.items(), key=itemgetter(1))
        self.order.clear()
        self.order.update(by_use)
        if self.has_quotas:
            self._tenants.clear()
            self._used_by.clear()
            # A pinned block gets its place when its last pin goes.
            for key in (*sorted(self.pinned), *self.order):
                self.note_tenant((key,))

    def note_tenant(self, keys: Sequence[int]) -> None:
        """These blocks of one tenant were used now, the last one last, whether they are new or not."""
        if not keys:
            return
        tenant = keys[0] >> TENANT_SHIFT
        blocks = self._tenants.get(tenant)
        if blocks is None:
            blocks = self._tenants[tenant] = OrderedDict()
        used, sizes, whole = self._used_by.get(tenant, 0), self._sizes, self._block_tokens
        for key in keys:
            if key in blocks:
                blocks.move_to_end(key)
            else:
                blocks[key] = None
                used += sizes.get(key, whole)
        self._used_by[tenant] = used

    def remove(self, key: int) -> int:
        """The block is gone; returns when it was last used, 0 for one in `pinned`."""
        size = self._sizes.get(key)
        if size is not None:
            self.saved_tokens -= self._block_tokens - size
        if self.has_quotas:
            self._forget_of_tenant(key, self._block_tokens if size is None else size)
        if key in self.pinned:
            self.pinned.remove(key)
            return 0
        return self.order.pop(key)

    def _forget_of_tenant(self, key: int, size: int) -> None:
        tenant = key >> TENANT_SHIFT
        del self._tenants[tenant][key]
        self._used_by[tenant] -= size

    def is_over(self, tenant: int) -> bool:
        """Whether something must go, of this tenant or of all."""
        return self.used_tokens > self.capacity_tokens or (
            self.has_quotas and self._used_by.get(tenant, 0) > self._quota_tokens
        )

    def trim(self, tenants: Iterable[int], evicted: list[tuple[int, int]]) -> None:
        """Evict the least recently used blocks without a pin until all fits, first where these tenants are over
        their quotas; adds their keys and stamps to `evicted`.

        If only pinned blocks are left, what was placed stays over the capacity: whoever pins has to see to that.
        """
        if self.has_quotas:
            for tenant in tenants:
                self._trim_tenant(tenant, evicted)
        self.evict(self.used_tokens - self.capacity_tokens, evicted)

    def evict(self, excess_tokens: int, evicted: list[tuple[int, int]]) -> None:
        """At least so much, the least recently used blocks without a pin, as far as there are any."""
        order, sizes, whole, pins = self.order, self._sizes, self._block_tokens, self._pins
        while excess_tokens > 0 and order:
            entry = order.popitem(last=False)
            key = entry[0]
            if key in pins:
                self.pinned.add(key)
                continue
            evicted.append(entry)
            size = whole
            if key in sizes:
                size = sizes[key]
                self.saved_tokens -= whole - size
            excess_tokens -= size
            if self.has_quotas:
                self._forget_of_tenant(key, size)

    def _trim_tenant(self, tenant: int, evicted: list[tuple[int, int]]) -> None:
        excess_tokens = self._used_by.get(tenant, 0) - self._quota_tokens
        gone: list[int] = []
        for key in self._tenants.get(tenant, _NO_BLOCKS) if excess_tokens > 0 else ():
            if key not in self._pins:
                gone.append(key)
                excess_tokens -= self._sizes.get(key, self._block_tokens)
                if excess_tokens <= 0:
                    break
        evicted += [(key, self.remove(key)) for key in gone]

    def trim_pinned(self) -> None:
        """Evict pinned blocks, by their keys, until all fits: the last resort when two servers become one."""
        for key in sorted(self.blocks().intersection(self._pins)):
            if self.is_over(key >> TENANT_SHIFT):
                self.remove(key)
