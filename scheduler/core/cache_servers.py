"""The core's view of the cache pool's ring: which servers are up, never what they hold."""

from __future__ import annotations

from collections.abc import Collection

from scheduler.core.config import CACHE_ADDRESS, CACHE_SERVER_PREFIX
from scheduler.protocol.messages import CacheServersChanged

Said = list[tuple[str, CacheServersChanged]]


class CacheServers:
    """Numbers of the servers that are up; each change of them is a new version of the ring, said to the pool."""

    def __init__(self, num_servers: int) -> None:
        self.ring_version = 0
        self._numbers = {f"{CACHE_SERVER_PREFIX}{number}": number for number in range(num_servers)}
        self._up = set(range(num_servers))

    def lose(self, addresses: Collection[str]) -> Said:
        """These are gone with what they held."""
        return self._change(self._up.difference(self._named(addresses)), self._named(addresses))

    def drain(self, addresses: Collection[str]) -> Said:
        """These leave, and hand over what they hold."""
        return self._change(self._up.difference(self._named(addresses)), [])

    def join(self, addresses: Collection[str]) -> Said:
        """These are back, empty; a pool that is back itself has all of its servers up, and is told if it has not."""
        if CACHE_ADDRESS in addresses:
            self._up.update(self._named(addresses))
            missing = set(self._numbers.values()) - self._up
            return [self._say([])] if missing else []
        return self._change(self._up.union(self._named(addresses)), [])

    def _named(self, addresses: Collection[str]) -> list[int]:
        return sorted(self._numbers[address] for address in addresses if address in self._numbers)

    def _change(self, up: set[int], lost: list[int]) -> Said:
        if up == self._up:
            return []
        self._up = up
        return [self._say(lost)]

    def _say(self, lost: list[int]) -> tuple[str, CacheServersChanged]:
        self.ring_version += 1
        return CACHE_ADDRESS, CacheServersChanged(self.ring_version, sorted(self._up), lost)
