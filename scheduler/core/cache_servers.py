"""The core's view of the rings of the cache pools: which servers are up, never what they hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scheduler.core.config import cache_server_address
from scheduler.protocol.messages import CacheServersChanged

Said = list[tuple[str, CacheServersChanged]]


class _Ring:
    """Numbers of the servers of one pool that are up; each change of them is a new version of its ring."""

    def __init__(self, pool: str, num_servers: int) -> None:
        self.pool = pool
        self.version = 0
        self.up = set(range(num_servers))
        self._numbers = {cache_server_address(pool, number): number for number in range(num_servers)}

    def named(self, addresses: Collection[str]) -> list[int]:
        return sorted(self._numbers[address] for address in addresses if address in self._numbers)

    def change(self, up: set[int], lost: list[int]) -> Said:
        if up == self.up:
            return []
        self.up = up
        return [self._say(lost)]

    def begin_anew(self, back: list[int]) -> Said:
        """The pool itself is back, with all of its servers up; it is told if they are not."""
        self.up.update(back)
        return [self._say([])] if len(self.up) < len(self._numbers) else []

    def _say(self, lost: list[int]) -> tuple[str, CacheServersChanged]:
        self.version += 1
        return self.pool, CacheServersChanged(self.version, sorted(self.up), lost)


class CacheServers:
    """Says to each pool which of its servers are up; `pools` and `num_servers` by index of the pool."""

    def __init__(self, pools: Sequence[str], num_servers: Sequence[int]) -> None:
        self._rings = [_Ring(pool, servers) for pool, servers in zip(pools, num_servers, strict=True)]

    def lose(self, addresses: Collection[str]) -> Said:
        """These are gone with what they held."""
        said: Said = []
        for ring in self._rings:
            lost = ring.named(addresses)
            said += ring.change(ring.up.difference(lost), lost)
        return said

    def drain(self, addresses: Collection[str]) -> Said:
        """These leave, and hand over what they hold."""
        said: Said = []
        for ring in self._rings:
            said += ring.change(ring.up.difference(ring.named(addresses)), [])
        return said

    def join(self, addresses: Collection[str]) -> Said:
        """These are back, empty."""
        said: Said = []
        for ring in self._rings:
            back = ring.named(addresses)
            said += ring.begin_anew(back) if ring.pool in addresses else ring.change(ring.up.union(back), [])
        return said
