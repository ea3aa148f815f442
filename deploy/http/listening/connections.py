"""Connections that ask for nothing are closed, and their number is bounded: who only holds them open gets nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, Final, Protocol

from scheduler.runtime.clock import monotonic_s

IDLE_S: Final = 30.0
"""Wall seconds that a connection may be open without a whole head of a request."""

MAX_CONNECTIONS: Final = 4096
"""Of these those go first that have been silent for longest."""

SWEEP_S: Final = 1.0
"""Wall seconds between two looks."""


class Connections(Protocol):
    """aiohttp's server, as far as it is looked at."""

    @property
    def connections(self) -> list[Any]:
        """Each open one; its `transport` is None when it is gone."""
        ...


class Watch:
    """`active` are connections on which a request is being answered; what is silent is closed by `sweep`."""

    def __init__(self, idle_s: float = IDLE_S, most: int = MAX_CONNECTIONS) -> None:
        self.active: Final[set[Hashable]] = set()
        self._silent_since_s: dict[Any, float] = {}
        self._idle_s = idle_s
        self._most = most

    def sweep(self, server: Connections, now_s: float) -> None:
        """Close those that have been silent for too long, and the longest silent if there are too many."""
        connections = server.connections
        known = self._silent_since_s
        # In the order of their first silence, as a dictionary keeps it.
        silent = {one: since for one, since in known.items() if one in connections and one not in self.active}
        silent |= {one: now_s for one in connections if one not in silent and one not in self.active}
        num_excess = len(connections) - self._most
        for one, since_s in list(silent.items()):
            if num_excess > 0 or now_s - since_s >= self._idle_s:
                num_excess -= 1
                del silent[one]
                if one.transport is not None:
                    one.transport.abort()
        self._silent_since_s = silent

    async def run(self, server: Connections) -> None:
        """Look now and then, until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(server, monotonic_s())
