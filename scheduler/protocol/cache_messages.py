"""What core, cache pools and fabric say of cached prefixes and of cache servers; `messages.Message` lists all."""

from __future__ import annotations

from msgspec import Struct


class LookupPrefixes(Struct, frozen=True, gc=False):
    """core -> cache: which leading blocks of these prompts are cached? What is found is pinned until it is released or
    stored. One entry of each column for each request; `prefixes` and `tenants` as in `RequestsArrived`."""

    ids: list[int]
    prompt_tokens: list[int]
    prefixes: list[list[int]]
    tenants: list[int]


class PrefixesFound(Struct, frozen=True, gc=False):
    """cache -> core: what `LookupPrefixes` asked for: leading tokens found in this pool, by request.

    Whole blocks, of which the last may be partial. `ssd_tokens` of `cached_tokens` have to come from the servers' SSD,
    the others are in DRAM.
    """

    pool: str
    ids: list[int]
    cached_tokens: list[int]
    ssd_tokens: list[int]


class ExtendLookups(Struct, frozen=True, gc=False):
    """core -> cache: what more of these prompts is cached now than their look-ups found? What is found is pinned like
    the rest. `PrefixesGrown` tells of those that have more, and nothing is said if none has."""

    ids: list[int]


class PrefixesGrown(Struct, frozen=True, gc=False):
    """cache -> core: more of these prompts was found than their look-ups had found before.

    `cached_tokens`: all leading tokens found so far, by request. `ssd_tokens` of what is new have to come from SSD.
    """

    pool: str
    ids: list[int]
    cached_tokens: list[int]
    ssd_tokens: list[int]


class ExtendCached(Struct, frozen=True, gc=False):
    """core -> prefill: more of these prompts is at hand than they were sent with: their first `cached_tokens`.

    It counts for those that have not begun; the others compute what they have begun to compute.
    """

    ids: list[int]
    cached_tokens: list[int]


class PrefixesLost(Struct, frozen=True, gc=False):
    """cache -> core: blocks that these open look-ups had found are gone with a cache server.

    `cached_tokens`: how many leading tokens are left, by request.
    """

    pool: str
    ids: list[int]
    cached_tokens: list[int]


class StorePrefixes(Struct, frozen=True, gc=False):
    """core -> cache: the passes that computed these prompts have ended: their blocks are now visible to look-ups, and
    their pins gone."""

    ids: list[int]


class StoreAnswers(Struct, frozen=True, gc=False):
    """core -> cache, prefill: decode has made these answers: the blocks of prompt and answer together are now visible
    to look-ups. One entry of each column for each request; `chains` are ids of whole blocks of prompt and answer, as in
    `RequestsArrived.prefixes`, and `kv_tokens` the tokens in them."""

    ids: list[int]
    chains: list[list[int]]
    tenants: list[int]
    kv_tokens: list[int]


class ReleasePrefixes(Struct, frozen=True, gc=False):
    """core -> cache: these requests will store nothing, as they ended early: their pins are gone."""

    ids: list[int]


class CacheServersChanged(Struct, frozen=True, gc=False):
    """core -> cache: the servers of the pool that are up now, by number.

    `lost` took their blocks along (they may be up again, empty); others that are no longer up hand over what they hold.
    """

    up: list[int]
    lost: list[int]


class PoolServersChanged(Struct, frozen=True, gc=False):
    """core -> fabric: the servers of a pool that are up now, by number; the links of the others carry nothing of the
    pool's."""

    pool: str
    up: list[int]


class DrainCacheServers(Struct, frozen=True, gc=False):
    """operator -> core: these cache servers (`cache/0` and so on) are to leave and hand over their blocks.

    `WorkersJoined` undoes it.
    """

    addresses: list[str]


class CacheReported(Struct, frozen=True, gc=False):
    """cache -> core: a pool's account since it began; asked for by `ReportUsage`, or said at the end of the run.

    Tokens held and the capacity of each tier, by the granularity of allocation; then tokens of prompts looked up and
    found, by tier, whether prefill used them or not; of prompts stored, and of those of their blocks that were new;
    blocks evicted, lost with a server and handed over between servers. `evicted_age_ns`: how long blocks had not been
    used when they left DRAM, summed up.
    """

    pool: str
    num_servers: int
    dram_capacity_tokens: int
    dram_tokens: int
    ssd_capacity_tokens: int
    ssd_tokens: int
    asked_tokens: int
    dram_found_tokens: int
    ssd_found_tokens: int
    offered_tokens: int
    stored_tokens: int
    dram_evicted_blocks: int
    ssd_evicted_blocks: int
    evicted_age_ns: int
    lost_blocks: int
    moved_blocks: int


class SessionRequests(Struct, frozen=True, gc=False):
    """core -> cache, prefill: these requests belong to these sessions, one each; only where the policy of the cache
    reads sessions."""

    ids: list[int]
    sessions: list[int]


class SessionsIdle(Struct, frozen=True, gc=False):
    """core -> cache, prefill: none of the requests of these sessions is open any more; they may send others."""

    sessions: list[int]


class SessionsGone(Struct, frozen=True, gc=False):
    """core -> cache, prefill: nothing more of these sessions will come here."""

    sessions: list[int]


class FetchSessions(Struct, frozen=True, gc=False):
    """cache -> core: what is only on SSD of these sessions is to be brought to DRAM, so many tokens of each."""

    pool: str
    sessions: list[int]
    num_tokens: list[int]


class SessionsFetched(Struct, frozen=True, gc=False):
    """core -> cache: what `FetchSessions` asked for of these sessions is there, or will not come."""

    sessions: list[int]
    arrived: bool


class CachePolicyReported(Struct, frozen=True, gc=False):
    """cache, prefill -> core: what the policy of a cache has done since it began; with `CacheReported`, and not for
    least recently used.

    Blocks kept for a session, and those of them whose time ran out before it came back; tokens that were brought from
    SSD ahead of a session, and those of them that a look-up then found in DRAM. `failures` of code of a user's own, and
    the line on the first.
    """

    address: str
    kept_blocks: int
    expired_blocks: int
    prefetched_tokens: int
    prefetch_used_tokens: int
    failures: int
    first_failure: str
