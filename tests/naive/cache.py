"""A store of prefix blocks as lists, the least recently used first. Every question is a scan of those lists."""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_256

from tests.naive.request import Request

Block = tuple[int, int]

DRAM, SSD = 0, 1


@lru_cache
def _nodes(up: frozenset[int]) -> list[tuple[int, int]]:
    """(place on the circle, server) of 128 virtual nodes each, eight bytes of a hash at a time."""
    nodes: list[tuple[int, int]] = []
    for server in up:
        digest = shake_256(b"cache server %d" % server).digest(1024)
        nodes += [(int.from_bytes(digest[at : at + 8], "little"), server) for at in range(0, 1024, 8)]
    return sorted(nodes)


@lru_cache(100_000)
def server_of(block: Block, up: frozenset[int]) -> int:
    """Whose virtual node comes first at or after the place of the block's slot, of 16,381."""
    slot = (block[0] * 2**44 + block[1]) % 16_381
    wanted = slot * 0x9E3779B97F4A7C15 % 2**64
    return next((server for place, server in _nodes(up) if place >= wanted), _nodes(up)[0][1])


class NaiveCache:
    """Follows "Exact rules" in docs/caching.md. Sizes given are in tokens for each server."""

    def __init__(
        self, dram_tokens: int, block_tokens: int, *, num_servers: int = 1, ssd_tokens: int = 0, share: float = 1.0
    ) -> None:
        self.per_server = (dram_tokens, ssd_tokens)
        self.shares = (None,) if share == 1 else (share, None)
        self.block_tokens = block_tokens
        self.up = frozenset(range(num_servers))
        self.lists: tuple[list[Block], list[Block]] = ([], [])
        self.size: dict[Block, int] = {}
        self.pins: list[tuple[Request, Block]] = []
        self.num_evictions = 0
        self.num_uses = 0
        self.used: tuple[dict[Block, int], dict[Block, int]] = ({}, {})
        """When each block was used last, by tier: the lists are in this order."""
        self.away: dict[int, dict[Block, int]] = {}
        """What is on the SSD of servers that are not there, and when it was used last."""

    @property
    def capacity(self) -> tuple[int, int]:
        """Tokens that DRAM and SSD of all servers hold together."""
        return self.per_server[DRAM] * len(self.up), self.per_server[SSD] * len(self.up)

    @property
    def blocks(self) -> list[Block]:
        """All that are in any tier."""
        return list({*self.lists[DRAM], *self.lists[SSD]})

    def find(self, request: Request) -> tuple[int, int]:
        """Leading tokens of the prompt that are here, and those from SSD; their blocks are pinned."""
        found: list[Block] = []
        for block in request.blocks():
            if block not in self.blocks:
                break
            found.append(block)
        from_ssd = [block for block in found if block not in self.lists[DRAM]]
        self.pins += [(request, block) for block in found]
        self._use(DRAM, from_ssd)
        self._shrink(DRAM, from_ssd)
        tokens = min(len(found) * self.block_tokens, request.prompt_tokens)
        return tokens, min(len(from_ssd) * self.block_tokens, tokens)

    def find_more(self, request: Request) -> tuple[int, int]:
        """All leading tokens that are here by now, and those from SSD of what was not found before; all is pinned."""
        held = [block for pinned_by, block in self.pins if pinned_by is request]
        more: list[Block] = []
        for block in request.blocks()[len(held) :]:
            if block not in self.blocks:
                break
            more.append(block)
        from_ssd = [block for block in more if block not in self.lists[DRAM]]
        self.pins += [(request, block) for block in more]
        self._use(DRAM, from_ssd)
        self._shrink(DRAM, from_ssd)
        before = min(len(held) * self.block_tokens, request.prompt_tokens)
        tokens = min((len(held) + len(more)) * self.block_tokens, request.prompt_tokens)
        return tokens, min(len(from_ssd) * self.block_tokens, tokens - before)

    def release(self, request: Request) -> None:
        """The request's pins are gone; what nobody else relies on was used until now."""
        mine = [block for pinned_by, block in self.pins if pinned_by is request]
        self.pins = [pin for pin in self.pins if pin[0] is not request]
        for tier in (DRAM, SSD):
            self._use(tier, [block for block in mine if block in self.lists[tier]])

    def store(self, request: Request) -> None:
        """Unpin; all of the prompt's blocks are here, the first most recent; then what does not fit goes."""
        self.release(request)
        prompt = request.blocks()
        if not self.up or not prompt:
            return
        if prompt[-1] not in self.blocks:
            rest = request.prompt_tokens - (len(prompt) - 1) * self.block_tokens
            sizes = [size for size in (128, 256) if rest <= size < self.block_tokens]
            self.size[prompt[-1]] = min([*sizes, self.block_tokens])
        new = [[block for block in prompt if block not in here] for here in self.lists]
        for tier in (DRAM, SSD):
            self._use(tier, prompt)
        for tier in (DRAM, SSD):
            self._shrink(tier, new[tier])

    def insert(self, chain: list[Block]) -> None:
        """All of these, whole blocks, are here, the first most recent; then what does not fit goes."""
        if not self.up or not chain:
            return
        new = [[block for block in chain if block not in here] for here in self.lists]
        for tier in (DRAM, SSD):
            self._use(tier, chain)
        for tier in (DRAM, SSD):
            self._shrink(tier, new[tier])

    def set_up(self, up: set[int], lost: set[int]) -> list[Request]:
        """Only these are up now, of which `lost` came back empty; answers whose pinned blocks are gone, once each.

        Where servers left, the oldest go, first those that nobody relies on.
        """
        pinned = {block for _, block in self.pins}
        for tier, here in enumerate(self.lists):
            for block in sorted(here):
                server = server_of(block, self.up)
                if (up and server not in lost) or (tier == SSD and server in up):
                    continue
                if tier == SSD:
                    if block in pinned:
                        self._note(SSD, block)
                    self.away.setdefault(server, {})[block] = self.used[SSD][block]
                here.remove(block)
        self.up = frozenset(up)
        self._take_back()
        for tier in (DRAM, SSD) if up else ():
            pinned = [block for _, block in self.pins]
            for share in self.shares:
                for block in list(self.lists[tier]):
                    self._evict(tier, block, share, pinned)
            for block in sorted(set(pinned)):
                if block in self.lists[tier] and self._is_over(tier, block):
                    self.lists[tier].remove(block)
        cut: list[Request] = []
        for request in {id(request): request for request, _ in self.pins}.values():
            mine = [block for pinned_by, block in self.pins if pinned_by is request]
            kept = [block in self.blocks for block in mine]
            if not all(kept):
                self._cut(request, mine[: kept.index(False)])
                cut.append(request)
        return cut

    def _take_back(self) -> None:
        """Who is there again has on SSD what is its own and nobody has stored anew."""
        here = self.lists[SSD]
        for server in self.up & self.away.keys():
            for block, used in self.away.pop(server).items():
                if server_of(block, self.up) == server and block not in here:
                    here.append(block)
                    self.used[SSD][block] = used
        here.sort(key=lambda block: self.used[SSD][block])

    def _note(self, tier: int, block: Block) -> None:
        self.num_uses += 1
        self.used[tier][block] = self.num_uses

    def _cut(self, request: Request, kept: list[Block]) -> None:
        """It relies on these only."""
        others = [pin for pin in self.pins if pin[0] is not request]
        self.pins = [pin for pin in self.pins if pin[0] is request and pin[1] not in kept]
        dropped = [block for _, block in self.pins]
        self.pins = others + [(request, block) for block in kept]
        for tier in (DRAM, SSD):
            self._use(tier, [block for block in dropped if block in self.lists[tier]])

    def _use(self, tier: int, chain: list[Block]) -> None:
        """These are here, the first most recent; what is pinned keeps its place until it is not."""
        here, pinned = self.lists[tier], [block for _, block in self.pins]
        for block in reversed(chain if self.capacity[tier] else []):
            if block not in here:
                here.append(block)
                self._note(tier, block)
            elif block not in pinned:
                here.remove(block)
                here.append(block)
                self._note(tier, block)

    def _shrink(self, tier: int, new: list[Block]) -> None:
        pinned = [block for _, block in self.pins]
        for block in reversed(new):
            for share in self.shares:
                self._evict(tier, block, share, pinned)
            if self._is_over(tier, block) and block in self.lists[tier]:
                assert block in pinned
                self.lists[tier].remove(block)

    def _is_over(self, tier: int, block: Block) -> bool:
        return any(self._excess(tier, block, share) > 0 for share in self.shares)

    def _excess(self, tier: int, block: Block, share: float | None) -> int:
        limit = self.capacity[tier] if share is None else int(share * self.capacity[tier])
        return sum(self.size.get(other, self.block_tokens) for other in self._beside(tier, block, share)) - limit

    def _beside(self, tier: int, block: Block, share: float | None) -> list[Block]:
        """What is in this tier; with a share, of the tenant of this block only."""
        return [other for other in self.lists[tier] if share is None or other[0] == block[0]]

    def _evict(self, tier: int, block: Block, share: float | None, pinned: list[Block]) -> None:
        """The least recently used that is not pinned, and again, until the limit holds around this block."""
        while self._excess(tier, block, share) > 0:
            free = [other for other in self._beside(tier, block, share) if other not in pinned]
            if not free:
                break
            self.lists[tier].remove(free[0])
            self.num_evictions += 1
