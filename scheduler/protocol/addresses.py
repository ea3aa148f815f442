"""How components are called: one name for each, the same in messages, in journals and on a live cluster."""

from __future__ import annotations

from typing import Final

CORE_ADDRESS: Final = "core"
FABRIC_ADDRESS: Final = "fabric"
CACHE_ADDRESS: Final = "cache"
"""The cache pool of a single supernode."""
OPERATOR_ADDRESS: Final = "losses"
"""Who tells of changes of models and hears when an instance may start anew."""
PROVISIONER_ADDRESS: Final = "provisioner"
"""Who starts and ends processes of instances."""


def prefill_address(index: int) -> str:
    """A prefill instance, numbered from 0 over all supernodes."""
    return f"prefill-{index}"


def decode_address(index: int) -> str:
    """A decode instance, numbered from 0 over all supernodes."""
    return f"decode-{index}"


def aggregated_address(index: int) -> str:
    """An aggregated instance, numbered from 0 over all supernodes."""
    return f"aggregated-{index}"


def pool_addresses(num_supernodes: int) -> tuple[str, ...]:
    """The cache pool of each supernode."""
    if num_supernodes == 1:
        return (CACHE_ADDRESS,)
    return tuple(f"{CACHE_ADDRESS}-{index}" for index in range(num_supernodes))


def cache_server_address(pool: str, number: int) -> str:
    """A server of a pool, where workers are named; it is reached through the pool's own address."""
    return f"{pool}/{number}"


def cache_ssd_address(pool: str) -> str:
    """The block storage behind the servers of a pool, where the ends of transfers are named."""
    return f"{pool}/ssd"
