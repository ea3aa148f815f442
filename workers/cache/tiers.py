"""Blocks one by one in DRAM and on SSD, when more than one order of eviction or the loss of servers makes it so.

`run_tree` keeps stretches of a chain as one object, which is right as long as their blocks are used, kept and evicted
together. Two tiers of different size, quotas, or a lost server take single blocks out of a chain, so here each block
stands for itself, in one ordered dictionary for each tier.

Why both tiers get everything (write-through). A store puts a block into DRAM and on SSD at once. What leaves DRAM
later is dropped without a write on the critical path, and a server that comes back has on its SSD what was there. SSD,
being larger, then holds nearly all that DRAM does: what it adds is the tail, so each tier needs only its own least
recently used order. A block that is found on SSD alone is used now, and so belongs in DRAM again.

Why the deepest first. A prefix is found up to the first block that is missing, so a child without its parent is
useless. Every use stamps a chain from its deepest block to its first, the first one last: in the order of use a child
always comes before its parent, and so it is evicted before it. Stamps rise within one instant too: the order is total.

Why pins. Between a look-up and the end of the read or the store a request relies on blocks that it was promised. They
are counted, and eviction steps over them, moving each it meets into `pinned` so as not to meet it again; when its last
pin goes a block was used at that instant, and takes its place in the order. What is pinned may leave a tier over its
capacity for a while; then new blocks that the other tier holds too give way. Only the loss of a server, or too little
room on those that are left, takes pinned blocks: whoever relied on them is told (`set_up` returns them).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from workers.cache import ring
from workers.cache.account import STAMP_SHIFT, Account
from workers.cache.sizes import StoreSizes
from workers.cache.tier import TENANT_SHIFT, Tier


class Tiers:
    """DRAM in front of SSD. `pins` counts, for each block, the look-ups that rely on it."""

    def __init__(self, sizes: StoreSizes, account: Account) -> None:
        self.pins: Final[dict[int, int]] = {}
        self._sizes = sizes
        self._account = account
        self._stamp = 0
        # Blocks that take less than a whole one: the last ones of prompts.
        self._short: Final[dict[int, int]] = {}
        self.dram: Final = self._new_tier()
        self.ssd: Final = self._new_tier()
        self._per_server: Final = ((self.dram, sizes.dram_tokens), (self.ssd, sizes.ssd_tokens))
        # By server that is not up: what is on its SSD, as stamps of last use and tokens of short blocks.
        self._away: Final[dict[int, dict[int, tuple[int, int | None]]]] = {}
        # The server of each slot; empty while no server is up.
        self._owners: list[int] = []
        self.set_up(range(sizes.num_servers), (), 0)

    def _new_tier(self) -> Tier:
        return Tier(self._sizes.block_tokens, self._short, self.pins)

    @property
    def _tiers(self) -> list[Tier]:
        """Those that are there."""
        return [tier for tier in (self.dram, self.ssd) if tier.capacity_tokens]

    def holds(self, key: int) -> bool:
        """Whether the block is in any tier."""
        return key in self.dram or key in self.ssd

    def find(self, keys: list[int], now_ns: int) -> tuple[int, int]:
        """Leading blocks that are here, and how many of them only on SSD; they are pinned.

        What was found only on SSD is brought to DRAM too, unless everything there is pinned.
        """
        dram, ssd = self.dram, self.ssd
        order, pinned = dram.order, dram.pinned
        brought: list[int] = []
        found = 0
        for key in keys:
            if key not in order and key not in pinned:
                if key not in ssd:
                    break
                brought.append(key)
            found += 1
        self.pin(keys[:found])
        if brought and dram.capacity_tokens:
            self._fit(dram, self._use(dram, brought, now_ns), now_ns)
        return found, len(brought)

    def pin(self, keys: list[int]) -> None:
        """One look-up more relies on these, which are all here."""
        pins = self.pins
        for key in keys:
            pins[key] = pins.get(key, 0) + 1

    def _let_go(self, keys: list[int]) -> list[int]:
        """One look-up less relies on these; returns those on which no other does."""
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
        free = self._let_go(keys)
        for tier in self._tiers:
            self._use(tier, [key for key in free if key in tier], now_ns)

    def put(self, keys: list[int], num_pinned: int, saved_tokens: int, now_ns: int) -> int:
        """All of these are here now and were used now, as far as room can be made: then the deepest go first.

        A look-up relied on the first `num_pinned` and does no more; the last takes so much less than a whole block.
        Returns how many were not here before.
        """
        self._let_go(keys[:num_pinned])
        if not self._owners:
            return 0
        if saved_tokens and not self.holds(keys[-1]):
            self._short[keys[-1]] = self._sizes.block_tokens - saved_tokens
        tiers = self._tiers
        new = [self._use(tier, keys, now_ns) for tier in tiers]
        for tier, placed in zip(tiers, new, strict=True):
            self._fit(tier, placed, now_ns)
        if len(new) < 2:
            return len(new[0]) if new else 0
        return len(new[0]) if new[0] == new[1] else len(set(new[0]).intersection(new[1]))

    def _use(self, tier: Tier, keys: list[int], now_ns: int) -> list[int]:
        """These are in the tier and were used now, the first one last; returns the new ones among them, the deepest
        first."""
        order, pinned, short = tier.order, tier.pinned, self._short
        to_end = order.move_to_end
        stamp = max(self._stamp, now_ns << STAMP_SHIFT)
        self._stamp = stamp + len(keys)
        new: list[int] = []
        for key in reversed(keys):
            stamp += 1
            if key in order:
                to_end(key)
            elif pinned and key in pinned:
                pinned.remove(key)
            else:
                new.append(key)
            order[key] = stamp
        # Nothing comes after a block that is not whole, so only the last can be one.
        if new and new[0] in short:
            tier.saved_tokens += self._sizes.block_tokens - short[new[0]]
        if tier.has_quotas:
            tier.note_tenant(keys[::-1])
        return new

    def _fit(self, tier: Tier, placed: list[int], now_ns: int) -> None:
        """Evict what must go because these blocks of one tenant, the deepest first, came into a tier.

        Where only pinned blocks are left, those of `placed` that are pinned for what the other tier holds give way.
        """
        if not placed:
            return
        tenant = placed[0] >> TENANT_SHIFT
        if not tier.is_over(tenant):
            return
        self._trim(tier, (tenant,), now_ns)
        for key in placed:
            if not tier.is_over(tenant):
                break
            if key in tier:
                tier.remove(key)

    def _trim(self, tier: Tier, tenants: Collection[int], now_ns: int) -> list[tuple[int, int]]:
        """Returns keys and stamps of what had to go."""
        evicted: list[tuple[int, int]] = []
        tier.trim(tenants, evicted)
        is_dram, now, note = tier is self.dram, now_ns << STAMP_SHIFT, self._account.note_evicted
        for key, stamp in evicted:
            note(1, stamp, now, is_dram=is_dram)
            if key in self._short and not self.holds(key):
                del self._short[key]
        return evicted

    def take(self, key: int, stamp: int, saved_tokens: int) -> None:
        """A block that takes so much less than a whole one is in DRAM, last used then; stamps do not fall from call to
        call."""
        self._stamp = max(self._stamp + 1, stamp)
        if saved_tokens:
            self._short[key] = self._sizes.block_tokens - saved_tokens
        self.dram.place(key, self._stamp)

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> set[int]:
        """These servers are up now; those of `lost` took their blocks along, all others handed over what is no longer
        theirs. Who is back has on its SSD what was there, as far as it is still its own. Returns the pinned blocks that
        are gone."""
        before, self._owners = self._owners, ring.owners(up) if up else []
        if before:
            self._drop(before, [server in lost or not up for server in before], up, now_ns)
        for tier, tokens in self._per_server:
            capacity_tokens = tokens * len(up)
            tier.resize(capacity_tokens, self._sizes.quota_of(capacity_tokens))
            if before and up:
                self._count_moved(tier, [old != new for old, new in zip(before, self._owners, strict=True)])
        for server in sorted(self._away.keys() & up):
            self._take_back(server, self._away.pop(server))
        for tier in (self.dram, self.ssd) if up else ():
            self._trim(tier, {key >> TENANT_SHIFT for key in tier.order}, now_ns)
            tier.trim_pinned()
        for key in [key for key in self._short if not self.holds(key)]:
            del self._short[key]
        gone = {key for key in self.pins if not self.holds(key)}
        for key in gone:
            del self.pins[key]
        return gone

    def _drop(self, owners: list[int], is_lost: list[bool], up: Collection[int], now_ns: int) -> None:
        """Blocks in these slots are gone from DRAM; on SSD they are out of reach, unless their server is up again.

        What is pinned counts as used until now."""
        stamp = max(self._stamp, now_ns << STAMP_SHIFT)
        gone: set[int] = set()
        for tier in (self.dram, self.ssd):
            for key in sorted(key for key in tier.blocks() if is_lost[key % ring.NUM_SLOTS]):
                server = owners[key % ring.NUM_SLOTS]
                if tier is self.ssd and server in up:
                    continue
                last_use = tier.remove(key)
                gone.add(key)
                if tier is self.ssd:
                    if key in self.pins:
                        stamp += 1
                        last_use = stamp
                    self._away.setdefault(server, {})[key] = (last_use, self._short.get(key))
        self._stamp = stamp
        self._account.lost_blocks += sum(not self.holds(key) for key in gone)

    def _take_back(self, server: int, blocks: dict[int, tuple[int, int | None]]) -> None:
        kept = {
            key: block
            for key, block in blocks.items()
            if self._owners[key % ring.NUM_SLOTS] == server and key not in self.ssd
        }
        self._short.update((key, size) for key, (_, size) in kept.items() if size is not None)
        self.ssd.restore((key, last_use) for key, (last_use, _) in kept.items())

    def _count_moved(self, tier: Tier, has_moved: list[bool]) -> None:
        self._account.moved_blocks += sum(has_moved[key % ring.NUM_SLOTS] for key in tier.blocks())
