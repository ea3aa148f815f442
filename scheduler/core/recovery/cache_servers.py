"""The core's view of the rings of the cache pools: which servers are up, never what they hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scheduler.protocol.addresses import FABRIC_ADDRESS, cache_server_address
from scheduler.protocol.component import Output, Outputs
from scheduler.protocol.messages import CacheServersChanged, Message, PoolServersChanged


class _Ring:
    """Numbers of the servers of one pool that are up."""

    def __init__(self, pool: str, num_servers: int) -> None:
        self.pool = pool
        self.up = set(range(num_servers))
        self._numbers = {cache_server_address(pool, number): number for number in range(num_servers)}

    def named(self, addresses: Collection[str]) -> list[int]:
        return sorted(self._numbers[address] for address in addresses if address in self._numbers)

    def change(self, up: set[int], lost: list[int]) -> Outputs:
        if up == self.up:
            return []
        self.up = up
        return [self._say(lost), self.lines()]

    def begin_anew(self, back: list[int]) -> Outputs:
        """The pool itself is back, with all of its servers up; it is told if they are not."""
        was_up = set(self.up)
        self.up.update(back)
        outputs: list[Output] = [] if was_up == self.up else [self.lines()]
        return outputs if self.is_whole else [self._say([]), *outputs]

    def lines(self) -> tuple[str, Message]:
        """What the fabric is to know: a server's lines leave with it."""
        return FABRIC_ADDRESS, PoolServersChanged(self.pool, sorted(self.up))

    @property
    def is_whole(self) -> bool:
        """Whether all servers are up."""
        return len(self.up) == len(self._numbers)

    def _say(self, lost: list[int]) -> tuple[str, Message]:
        return self.pool, CacheServersChanged(sorted(self.up), lost)


class CacheServers:
    """Says to each pool which of its servers are up; `pools` and `num_servers` by index of the pool."""

    def __init__(self, pools: Sequence[str], num_servers: Sequence[int]) -> None:
        self._rings = [_Ring(pool, servers) for pool, servers in zip(pools, num_servers, strict=True)]

    def lose(self, addresses: Collection[str]) -> Outputs:
        """These are gone with what they held."""
        outputs: list[Output] = []
        for ring in self._rings:
            lost = ring.named(addresses)
            outputs += ring.change(ring.up.difference(lost), lost)
        return outputs

    def drain(self, addresses: Collection[str]) -> Outputs:
        """These leave, and hand over what they hold."""
        outputs: list[Output] = []
        for ring in self._rings:
            outputs += ring.change(ring.up.difference(ring.named(addresses)), [])
        return outputs

    def join(self, addresses: Collection[str]) -> Outputs:
        """These are back, with what is on their SSD; a fabric that is back knows of nobody who is not up."""
        outputs: list[Output] = []
        for ring in self._rings:
            back = ring.named(addresses)
            outputs += ring.begin_anew(back) if ring.pool in addresses else ring.change(ring.up.union(back), [])
            if FABRIC_ADDRESS in addresses and not ring.is_whole:
                outputs.append(ring.lines())
        return outputs
