"""How fast new connections may come from one address: each costs the event loop that writes everybody's tokens."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any, Final

NEW_PER_S: Final = 1000
"""New connections a wall second and address, on average: some tenth of a core."""

BURST: Final = 4096
"""New connections of one address at once, as many as may be open."""

_DRAIN_S: Final = 1.0


class ConnectionRate:
    """A leaky bucket for each address; one that is empty is forgotten, as many are known as came in a second."""

    def __init__(self, per_s: float = NEW_PER_S, burst: float = BURST) -> None:
        self._per_s = per_s
        self._burst = burst
        self._levels: dict[str, float] = {}
        self._drained_s = 0.0

    def takes(self, source: str, now_s: float) -> bool:
        """Whether one more from there is let in; one that is not is not counted."""
        if now_s - self._drained_s >= _DRAIN_S:
            drained = (now_s - self._drained_s) * self._per_s
            self._levels = {one: level - drained for one, level in self._levels.items() if level > drained}
            self._drained_s = now_s
        level = self._levels.get(source, 0.0)
        if level + 1.0 > self._burst:
            return False
        self._levels[source] = level + 1.0
        return True


def source_of(peer: tuple[Any, ...] | None) -> str:
    """The IPv4 address, or the network of 64 bits that one user has of IPv6; empty for a socket without one."""
    host = str(peer[0]) if peer else ""
    if ":" not in host:
        return host
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)
