"""What the control plane is told before it starts, and the addresses everybody knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from scheduler.core.fleet import InstanceInfo
from scheduler.protocol.messages import Plane

CORE_ADDRESS: Final = "core"
CACHE_ADDRESS: Final = "cache"
CACHE_SERVER_PREFIX: Final = "cache-"
"""Server number 3 of the pool is `cache-3` where workers are named; it is reached through the pool's address."""
FABRIC_ADDRESS: Final = "fabric"


class CacheMode(Enum):
    """Where prefix KV is kept: in one pool for all, in one cache per prefill instance, or nowhere."""

    POOL = "pool"
    LOCAL = "local"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """What the control plane is told before it starts.

    `max_open_requests` bounds every queue behind the core (INV-12): an arrival beyond it is rejected as `overload`.
    `max_preemptions` bounds how often a request is computed again for lack of room before it fails as
    `retries_exhausted`, `max_retries` how often it begins again because a worker was lost. `has_cache_ssd`: the pool's
    servers have SSD behind their DRAM, reached over VPC, and write everything through to it.
    """

    prefill: list[InstanceInfo]
    decode: list[InstanceInfo]
    cache_mode: CacheMode = CacheMode.NONE
    cache_plane: Plane = Plane.UB
    max_open_requests: int = 1_000_000
    max_preemptions: int = 1000
    max_retries: int = 3
    num_cache_servers: int = 1
    has_cache_ssd: bool = False
