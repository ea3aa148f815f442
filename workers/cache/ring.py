"""Consistent hashing with virtual nodes: which server holds a block.

A block's key falls into one of a prime number of slots; slots and the servers' virtual nodes lie on a circle of 64-bit
hashes, and a slot belongs to the server whose node comes next. When a server joins, slots move only to it; when one
leaves, only its slots move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

VIRTUAL_NODES: Final = 128
"""Of each server; with more of them loads are closer together: their spread is about one part in the root of this."""

NUM_SLOTS: Final = 16_381
"""Prime, so that the rest of a division by it depends on all bits of a key; a few for each of thousands of nodes. The
slot of a key is `key % NUM_SLOTS`, at the cost of one division."""

_MULTIPLIER: Final = 0x9E3779B97F4A7C15
"""Near 2**64 over the golden ratio: multiples of it spread evenly over the circle (Knuth, TAOCP vol. 3, 6.4)."""


def owners(servers: Collection[int], virtual_nodes: int = VIRTUAL_NODES) -> list[int]:
    """The server of each slot; `servers` must not be empty."""
    numbers = np.repeat(np.array(sorted(servers)), virtual_nodes)
    positions = np.concatenate([_positions(server, virtual_nodes) for server in sorted(servers)])
    order = np.argsort(positions, kind="stable")
    slots = np.arange(NUM_SLOTS, dtype=np.uint64) * np.uint64(_MULTIPLIER)
    # Beyond the last node the circle begins again.
    successors = np.searchsorted(positions[order], slots) % len(order)
    return numbers[order][successors].tolist()


def _positions(server: int, virtual_nodes: int) -> NDArray[np.uint64]:
    digest = hashlib.shake_256(f"cache server {server}".encode()).digest(8 * virtual_nodes)
    return np.frombuffer(digest, "<u8").astype(np.uint64)
