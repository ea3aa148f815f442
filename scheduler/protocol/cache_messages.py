"""What core and cache pools say to each other about prompts and servers; `messages` says who says what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class LookupPrefixes:
    """Which leading blocks of these prompts are cached? The blocks found are pinned until released or stored."""

    ids: Final[list[int]]
    prompt_tokens: Final[list[int]]
    prefixes: Final[list[list[int]]]
    tenants: Final[list[int]]


@dataclass(slots=True)
class PrefixesFound:
    """Answer to `LookupPrefixes`: leading tokens found in this pool: whole blocks, of which the last may be partial.

    `ssd_tokens` of them had to come from the servers' SSD, the others were in DRAM.
    """

    pool: Final[str]
    ids: Final[list[int]]
    cached_tokens: Final[list[int]]
    ssd_tokens: Final[list[int]]


@dataclass(slots=True)
class PrefixesLost:
    """Blocks that these open look-ups had found are gone with a cache server; so many leading tokens are left."""

    pool: Final[str]
    ids: Final[list[int]]
    cached_tokens: Final[list[int]]


@dataclass(slots=True)
class CacheServersChanged:
    """The cache servers that are up now, by number, as `ring_version` of the core's view.

    `lost` took their blocks along (they may be up again, empty); others that are no longer up hand over what they hold.
    """

    ring_version: Final[int]
    up: Final[list[int]]
    lost: Final[list[int]]


@dataclass(slots=True)
class PoolServersChanged:
    """The cache servers of a pool that are up now, by number: the lines of the others carry nothing of the pool's."""

    pool: Final[str]
    up: Final[list[int]]


@dataclass(slots=True)
class DrainCacheServers:
    """These cache servers (`cache/0` and so on) are to leave and hand over their blocks; `WorkersJoined` undoes it."""

    addresses: Final[list[str]]


@dataclass(slots=True)
class CacheReported:
    """A pool's account since it began; asked for by `ReportUsage`, or at the end of the run.

    Tokens held and the capacity of each tier, by the granularity of allocation; then tokens of prompts looked up and
    found, by tier, of prompts stored, and of those of their blocks that were new; blocks evicted, lost with a server
    and handed over between servers. `evicted_age_ns`: how long blocks had not been used when they left DRAM, summed up.
    """

    pool: Final[str]
    ring_version: Final[int]
    num_servers: Final[int]
    block_tokens: Final[int]
    dram_capacity_tokens: Final[int]
    dram_tokens: Final[int]
    ssd_capacity_tokens: Final[int]
    ssd_tokens: Final[int]
    lookup_tokens: Final[int]
    dram_hit_tokens: Final[int]
    ssd_hit_tokens: Final[int]
    offered_tokens: Final[int]
    stored_tokens: Final[int]
    dram_evicted_blocks: Final[int]
    ssd_evicted_blocks: Final[int]
    evicted_age_ns: Final[int]
    lost_blocks: Final[int]
    moved_blocks: Final[int]


@dataclass(slots=True)
class StorePrefixes:
    """The passes that made these prompts' KV have ended: their blocks are now visible to look-ups, their pins gone."""

    ids: Final[list[int]]


@dataclass(slots=True)
class ReleasePrefixes:
    """These requests will store nothing (they ended early): their pins are gone."""

    ids: Final[list[int]]
