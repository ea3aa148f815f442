"""Blocks one by one in DRAM and on SSD, in the order that a policy gives them.

A block has the highest rank of all its uses, and each use is of all blocks before it too: so no block goes before one
that is behind it, as with least recently used. Blocks that one session alone has used can be sunk, that is, be the
first to go: whatever is behind such a block is that session's alone as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf
from typing import Final

from workers.cache.account import Account
from workers.cache.ranked_tier import RankedTier
from workers.cache.sizes import StoreSizes
from workers.cache.tier import Tier
from workers.cache.tiers import Tiers

SUNK: Final = -inf
"""A rank below all others."""

MANY: Final = -2
"""In place of a session: a block that several have used, or somebody without one."""


class RankedTiers(Tiers):
    """`ranks` and `owners` are of blocks that are in any tier; `fetched` are those in DRAM that were brought there
    ahead of their session, and not looked up since."""

    def __init__(self, sizes: StoreSizes, account: Account) -> None:
        self.ranks: Final[dict[int, float]] = {}
        self.owners: Final[dict[int, int]] = {}
        self.fetched: Final[set[int]] = set()
        super().__init__(sizes, account)

    def _new_tier(self) -> Tier:
        return RankedTier(self._sizes.block_tokens, self._short, self.pins, self.ranks)

    def size_of(self, key: int) -> int:
        """Tokens that a block takes."""
        return self._short.get(key, self._sizes.block_tokens)

    def note_use(self, keys: Iterable[int], session: int, rank: float) -> None:
        """These blocks of one chain are about to be stored for a session, or for nobody's (`MANY`)."""
        ranks, owners = self.ranks, self.owners
        for key in keys:
            before = ranks.get(key)
            if before is None or rank > before:
                ranks[key] = rank
            if owners.setdefault(key, session) != session:
                owners[key] = MANY

    def forget_unplaced(self, keys: list[int]) -> None:
        """Those of a chain that was stored for which there was no room: the deepest."""
        if keys and not self.holds(keys[-1]):
            self._forget(self.dram, keys)

    def sink(self, keys: Iterable[int], session: int) -> None:
        """Those of these blocks that only this session has used are the first to go."""
        owners, ranks = self.owners, self.ranks
        own = [key for key in keys if owners.get(key) == session]
        for key in own:
            ranks[key] = SUNK
        self._offer(own)

    def drop_pins(self, keys: list[int]) -> None:
        """One who relied on these does no more, and has not used them."""
        self._offer(self._let_go(keys))

    def on_ssd_alone(self, keys: Iterable[int]) -> list[int]:
        """Those of these that DRAM does not have."""
        return [key for key in keys if key in self.ssd and key not in self.dram] if self.dram.capacity_tokens else []

    def bring(self, keys: list[int], now_ns: int) -> None:
        """What SSD has of these is in DRAM too from now on, as if it were used, as far as room can be made."""
        brought = self.on_ssd_alone(keys)
        self._fit(self.dram, self._use(self.dram, brought, now_ns), now_ns)
        self.fetched.update(key for key in brought if key in self.dram)

    def _offer(self, keys: Collection[int]) -> None:
        for tier in self._tiers:
            assert isinstance(tier, RankedTier)
            tier.offer(keys)

    def _use(self, tier: Tier, keys: list[int], now_ns: int) -> list[int]:
        new = super()._use(tier, keys, now_ns)
        assert isinstance(tier, RankedTier)
        tier.offer(keys)
        return new

    def _fit(self, tier: Tier, placed: list[int], now_ns: int) -> None:
        super()._fit(tier, placed, now_ns)
        self._forget(tier, [key for key in placed if key not in tier])

    def _trim(self, tier: Tier, tenants: Collection[int], now_ns: int) -> list[tuple[int, int]]:
        evicted = super()._trim(tier, tenants, now_ns)
        self._forget(tier, [key for key, _ in evicted])
        return evicted

    def _forget(self, tier: Tier, gone: Collection[int]) -> None:
        """These are not in this tier any more."""
        if tier is self.dram and self.fetched:
            self.fetched.difference_update(gone)
        for key in gone:
            if not self.holds(key):
                self.ranks.pop(key, None)
                self.owners.pop(key, None)

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> set[int]:
        """As in `Tiers`; what is back from a server that was away has no rank of its own any more."""
        gone = super().set_up(up, lost, now_ns)
        for key in [key for key in self.owners if not self.holds(key)]:
            del self.owners[key]
            del self.ranks[key]
        self.fetched.intersection_update(self.dram.order)
        return gone
