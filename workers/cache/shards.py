"""Blocks spread over servers by hash, each server with its own order of eviction in each of its tiers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from workers.cache import ring
from workers.cache.account import Account
from workers.cache.sizes import StoreSizes
from workers.cache.tier import NAMESPACE_SHIFT, Tier

STAMP_SHIFT: Final = 16
"""A stamp of use is the time in nanoseconds shifted by this, and rises by at least one from block to block."""


_Placed = tuple[int, Tier]
"""A block that came into a tier."""


@dataclass(slots=True)
class Server:
    """DRAM in front of SSD; what is stored goes to both."""

    dram: Final[Tier]
    ssd: Final[Tier]


class Shards:
    """`pins` counts, for each block, the look-ups that rely on it; a pinned block leaves no tier of its own accord."""

    def __init__(self, sizes: StoreSizes, account: Account) -> None:
        self.pins: Final[dict[int, int]] = {}
        self.servers: Final[dict[int, Server]] = {}
        self._stamp = 0
        self._sizes = sizes
        self._account = account
        # Blocks that take less than a whole one: the last ones of prompts.
        self._short: Final[dict[int, int]] = {}
        # The tiers of each slot's server; both lists are empty while no server is up.
        self._dram: list[Tier] = []
        self._ssd: list[Tier] = []
        self.set_up(range(sizes.num_servers), (), 0)

    def _make_server(self) -> Server:
        sizes = self._sizes
        dram, ssd = (
            Tier(tokens, sizes.quota_of(tokens), sizes.block_tokens, self._short, self.pins)
            for tokens in (sizes.dram_tokens, sizes.ssd_tokens)
        )
        return Server(dram, ssd)

    def holds(self, key: int) -> bool:
        """Whether the block is in any tier of the server that it belongs to."""
        slot = key % ring.NUM_SLOTS
        return bool(self._dram) and (key in self._dram[slot] or key in self._ssd[slot])

    def find(self, keys: list[int], now_ns: int) -> tuple[int, int]:
        """Leading blocks that are here, and how many of them only on SSD; they are pinned.

        What was found only on SSD is brought to DRAM too, unless everything there is pinned.
        """
        dram, ssd, num_slots = self._dram, self._ssd, ring.NUM_SLOTS
        brought: list[int] = []
        found = 0
        for key in keys if dram else ():
            tier = dram[key % num_slots]
            if key not in tier.order and key not in tier.pinned:
                if key not in ssd[key % num_slots]:
                    break
                brought.append(key)
            found += 1
        self.pin(keys[:found])
        if brought and self._sizes.dram_tokens:
            self._fit(dram, self._use(dram, brought, now_ns), now_ns)
        return found, len(brought)

    def pin(self, keys: list[int]) -> None:
        """One look-up more relies on these, which are all here."""
        pins = self.pins
        for key in keys:
            pins[key] = pins.get(key, 0) + 1

    def _let_go(self, keys: list[int]) -> list[int]:
        """One look-up less relies on these; answers those on which no other does."""
        pins = self.pins
        free: list[int] = []
        for key in keys:
            count = pins.pop(key)
            if count > 1:
                pins[key] = count - 1
            else:
                free.append(key)
        return free

    def unpin(self, keys: list[int], now_ns: int) -> None:
        """One look-up less relies on these; those that no other relies on were used until now, the first one last."""
        free, num_slots = self._let_go(keys), ring.NUM_SLOTS
        for tiers in self._tiers:
            self._use(tiers, [key for key in free if key in tiers[key % num_slots]], now_ns)

    @property
    def _tiers(self) -> tuple[list[Tier], ...]:
        """Those that are there."""
        return tuple(tiers for tiers in (self._dram, self._ssd) if tiers and tiers[0].capacity_tokens)

    def put(self, keys: list[int], num_pinned: int, last_tokens: int, now_ns: int) -> int:
        """All of these are here now and were used now, as far as room can be made: then the deepest go first.

        A look-up relied on the first `num_pinned` and does no more; `last_tokens` are in the last of them. Answers how
        many were not here before.
        """
        self._let_go(keys[:num_pinned])
        if not self._dram:
            return 0
        taken = self._sizes.allocated(last_tokens)
        if taken < self._sizes.block_tokens and not self.holds(keys[-1]):
            self._short[keys[-1]] = taken
        new = [self._use(tiers, keys, now_ns) for tiers in self._tiers]
        for tiers, placed in zip(self._tiers, new, strict=True):
            self._fit(tiers, placed, now_ns)
        if len(new) < 2:
            return len(new[0]) if new else 0
        return len({key for key, _ in new[0]}.intersection(key for key, _ in new[1]))

    def _use(self, tiers: list[Tier], keys: list[int], now_ns: int) -> list[_Placed]:
        """These are in their servers' tiers and were used now, the first one last; answers the new ones among them, the
        deepest first."""
        num_slots, short, whole = ring.NUM_SLOTS, self._short, self._sizes.block_tokens
        stamp = max(self._stamp, now_ns << STAMP_SHIFT)
        self._stamp = stamp + len(keys)
        new: list[_Placed] = []
        for key in reversed(keys):
            tier = tiers[key % num_slots]
            order = tier.order
            stamp += 1
            if key in order:
                order.move_to_end(key)
            elif key in tier.pinned:
                tier.pinned.remove(key)
            else:
                new.append((key, tier))
            order[key] = stamp
        # Nothing comes after a block that is not whole, so only the last can be one.
        if new and new[0][0] in short:
            key, tier = new[0]
            tier.saved_tokens += whole - short[key]
        if keys and tiers[0].has_quotas:
            for key in reversed(keys):
                tiers[key % num_slots].note_namespace(key)
        return new

    def _fit(self, tiers: list[Tier], placed: list[_Placed], now_ns: int) -> None:
        """Evict where these blocks, the deepest first, came into a tier and something must go.

        Where only pinned blocks are left, those of `placed` that are pinned for what the other tier holds give way.
        """
        if not placed:
            return
        namespace, pins = placed[0][0] >> NAMESPACE_SHIFT, self.pins
        capacity, whole, has_quotas = tiers[0].capacity_tokens, self._sizes.block_tokens, tiers[0].has_quotas
        evicted: list[tuple[int, int]] = []
        for key, tier in placed:
            excess = (len(tier.order) + len(tier.pinned)) * whole - tier.saved_tokens - capacity
            if excess > 0 or (has_quotas and tier.is_over(namespace)):
                if has_quotas:
                    tier.trim((namespace,), evicted)
                else:
                    tier.evict(excess, evicted)
                if key in pins and key in tier and tier.is_over(namespace):
                    tier.remove(key)
        self._account.note_evicted(evicted, now_ns << STAMP_SHIFT, is_dram=tiers is self._dram)
        if self._short:
            self._forget_short(evicted)

    def _forget_short(self, evicted: list[tuple[int, int]]) -> None:
        short = self._short
        for key, _ in evicted:
            if key in short and not self.holds(key):
                del self._short[key]

    def take(self, key: int, stamp: int, tokens: int) -> None:
        """A block that takes so many tokens was used then; stamps rise from call to call, and `fit` must follow."""
        self._stamp = max(self._stamp + 1, stamp)
        if tokens < self._sizes.block_tokens:
            self._short[key] = tokens
        for tiers in (self._dram, self._ssd):
            tier = tiers[key % ring.NUM_SLOTS]
            if tier.capacity_tokens:
                tier.place(key, self._stamp)

    def fit(self, keys: list[int], now_ns: int) -> None:
        """Evict until everything fits again; `keys` came last, all in one namespace."""
        for tiers in (self._dram, self._ssd):
            self._fit(tiers, [(key, tiers[key % ring.NUM_SLOTS]) for key in reversed(keys)], now_ns)

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> set[int]:
        """These servers are up now; those of `lost` took their blocks along, all others hand over what is no longer
        theirs. Answers the pinned blocks that are gone."""
        for number in lost:
            self._drop(self.servers.pop(number, None))
        for number in up:
            if number not in self.servers:
                self.servers[number] = self._make_server()
        owners = [self.servers[number] for number in ring.owners(up)] if up else []
        self._dram, self._ssd = [server.dram for server in owners], [server.ssd for server in owners]
        for tiers in (self._dram, self._ssd) if up else ():
            self._move(tiers, now_ns)
        for number in set(self.servers).difference(up):
            self._drop(self.servers.pop(number))
        for key in [key for key in self._short if not self.holds(key)]:
            del self._short[key]
        gone = {key for key in self.pins if not self.holds(key)}
        for key in gone:
            del self.pins[key]
        return gone

    def _drop(self, server: Server | None) -> None:
        if server is not None:
            self._account.lost_blocks += len(server.dram.blocks() | server.ssd.blocks())

    def _move(self, tiers: list[Tier], now_ns: int) -> None:
        """Blocks go to whom they belong now, at their place in the order of use; what does not fit there is evicted."""
        is_dram, num_slots = tiers is self._dram, ring.NUM_SLOTS
        incoming: dict[int, tuple[Tier, list[tuple[int, int]]]] = {}
        for server in self.servers.values():
            tier = server.dram if is_dram else server.ssd
            for key in [key for key in (*tier.order, *sorted(tier.pinned)) if tiers[key % num_slots] is not tier]:
                owner = tiers[key % num_slots]
                incoming.setdefault(id(owner), (owner, []))[1].append((key, tier.remove(key)))
        for owner, entries in incoming.values():
            owner.merge(entries)
            self._account.moved_blocks += len(entries)
            evicted: list[tuple[int, int]] = []
            owner.trim({key >> NAMESPACE_SHIFT for key, _ in entries}, evicted)
            owner.trim_pinned()
            self._account.note_evicted(evicted, now_ns << STAMP_SHIFT, is_dram=is_dram)
