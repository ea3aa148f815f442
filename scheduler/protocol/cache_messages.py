"""What core, cache pools and fabric say of cached prefixes and of cache servers; `messages.Message` lists all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class LookupPrefixes:
    """core -> cache: which leading blocks of these prompts are cached? What is found is pinned until it is released or
    stored. One entry of each column for each request; `prefixes` and `tenants` as in `RequestsArrived`."""

    ids: Final[list[int]]
    prompt_tokens: Final[list[int]]
    prefixes: Final[list[list[int]]]
    tenants: Final[list[int]]


@dataclass(slots=True)
class PrefixesFound:
    """cache -> core: what `LookupPrefixes` asked for: leading tokens found in this pool, by request.

    Whole blocks, of which the last may be partial. `ssd_tokens` of `cached_tokens` have to come from the servers' SSD,
    the others are in DRAM.
    """

    pool: Final[str]
    ids: Final[list[int]]
    cached_tokens: Final[list[int]]
    ssd_tokens: Final[list[int]]


@dataclass(slots=True)
class ExtendLookups:
    """core -> cache: what more of these prompts is cached now than their look-ups found? What is found is pinned like
    the rest. `PrefixesGrown` tells of those that have more, and nothing is said if none has."""

    ids: Final[list[int]]


@dataclass(slots=True)
class PrefixesGrown:
    """cache -> core: more of these prompts was found than their look-ups had found before.

    `cached_tokens`: all leading tokens found so far, by request. `ssd_tokens` of what is new have to come from SSD.
    """

    pool: Final[str]
    ids: Final[list[int]]
    cached_tokens: Final[list[int]]
    ssd_tokens: Final[list[int]]


@dataclass(slots=True)
class ExtendCached:
    """core -> prefill: more of these prompts is at hand than they were sent with: their first `cached_tokens`.

    It counts for those that have not begun; the others compute what they have begun to compute.
    """

    ids: Final[list[int]]
    cached_tokens: Final[list[int]]


@dataclass(slots=True)
class PrefixesLost:
    """cache -> core: blocks that these open look-ups had found are gone with a cache server.

    `cached_tokens`: how many leading tokens are left, by request.
    """

    pool: Final[str]
    ids: Final[list[int]]
    cached_tokens: Final[list[int]]


@dataclass(slots=True)
class StorePrefixes:
    """core -> cache: the passes that computed these prompts have ended: their blocks are now visible to look-ups, and
    their pins gone."""

    ids: Final[list[int]]


@dataclass(slots=True)
class StoreAnswers:
    """core -> cache, prefill: decode has made these answers: the blocks of prompt and answer together are now visible
    to look-ups. One entry of each column for each request; `chains` are ids of whole blocks of prompt and answer, as in
    `RequestsArrived.prefixes`, and `kv_tokens` the tokens in them."""

    ids: Final[list[int]]
    chains: Final[list[list[int]]]
    tenants: Final[list[int]]
    kv_tokens: Final[list[int]]


@dataclass(slots=True)
class ReleasePrefixes:
    """core -> cache: these requests will store nothing, as they ended early: their pins are gone."""

    ids: Final[list[int]]


@dataclass(slots=True)
class CacheServersChanged:
    """core -> cache: the servers of the pool that are up now, by number.

    `lost` took their blocks along (they may be up again, empty); others that are no longer up hand over what they hold.
    """

    up: Final[list[int]]
    lost: Final[list[int]]


@dataclass(slots=True)
class PoolServersChanged:
    """core -> fabric: the servers of a pool that are up now, by number; the links of the others carry nothing of the
    pool's."""

    pool: Final[str]
    up: Final[list[int]]


@dataclass(slots=True)
class DrainCacheServers:
    """operator -> core: these cache servers (`cache/0` and so on) are to leave and hand over their blocks.

    `WorkersJoined` undoes it.
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class CacheReported:
    """cache -> core: a pool's account since it began; asked for by `ReportUsage`, or said at the end of the run.

    Tokens held and the capacity of each tier, by the granularity of allocation; then tokens of prompts looked up and
    found, by tier, whether prefill used them or not; of prompts stored, and of those of their blocks that were new;
    blocks evicted, lost with a server and handed over between servers. `evicted_age_ns`: how long blocks had not been
    used when they left DRAM, summed up.
    """

    pool: Final[str]
    num_servers: Final[int]
    dram_capacity_tokens: Final[int]
    dram_tokens: Final[int]
    ssd_capacity_tokens: Final[int]
    ssd_tokens: Final[int]
    asked_tokens: Final[int]
    dram_found_tokens: Final[int]
    ssd_found_tokens: Final[int]
    offered_tokens: Final[int]
    stored_tokens: Final[int]
    dram_evicted_blocks: Final[int]
    ssd_evicted_blocks: Final[int]
    evicted_age_ns: Final[int]
    lost_blocks: Final[int]
    moved_blocks: Final[int]


@dataclass(slots=True)
class SessionRequests:
    """core -> cache, prefill: these requests belong to these sessions, one each; only where the policy of the cache
    reads sessions."""

    ids: Final[list[int]]
    sessions: Final[list[int]]


@dataclass(slots=True)
class SessionsIdle:
    """core -> cache, prefill: none of the requests of these sessions is open any more; they may send others."""

    sessions: Final[list[int]]


@dataclass(slots=True)
class SessionsGone:
    """core -> cache, prefill: nothing more of these sessions will come here."""

    sessions: Final[list[int]]


@dataclass(slots=True)
class FetchSessions:
    """cache -> core: what is only on SSD of these sessions is to be brought to DRAM, so many tokens of each."""

    pool: Final[str]
    sessions: Final[list[int]]
    num_tokens: Final[list[int]]


@dataclass(slots=True)
class SessionsFetched:
    """core -> cache: what `FetchSessions` asked for of these sessions is there, or will not come."""

    sessions: Final[list[int]]
    arrived: Final[bool]


@dataclass(slots=True)
class CachePolicyReported:
    """cache, prefill -> core: what the policy of a cache has done since it began; with `CacheReported`, and not for
    least recently used.

    Blocks kept for a session, and those of them whose time ran out before it came back; tokens that were brought from
    SSD ahead of a session, and those of them that a look-up then found in DRAM. `failures` of code of a user's own, and
    the line on the first.
    """

    address: Final[str]
    kept_blocks: Final[int]
    expired_blocks: Final[int]
    prefetched_tokens: Final[int]
    prefetch_used_tokens: Final[int]
    failures: Final[int]
    first_failure: Final[str]
