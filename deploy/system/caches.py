"""Stores of prefix KV with the policy that settings name: least recently used asks nobody."""

from __future__ import annotations

from deploy.settings.models import Cache
from deploy.settings.own_policy import PolicyChoice
from deploy.settings.settings import Settings
from scheduler.core.config import CacheMode
from scheduler.protocol.addresses import pool_addresses
from scheduler.protocol.errors import ConfigError
from workers.cache.pool import CachePool
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore


def make_pool(sizes: StoreSizes, policy: PolicyChoice, address: str) -> CachePool:
    """The pool of a supernode."""
    if policy.is_lru:
        return CachePool(sizes, address=address)
    from workers.cache.session_pool import SessionPool

    return SessionPool(sizes, policy.make_caching(), address=address)


def make_own_cache(sizes: StoreSizes, policy: PolicyChoice) -> BlockStore:
    """That of one prefill instance."""
    if policy.is_lru:
        return BlockStore(sizes)
    from workers.cache.session_store import SessionStore

    return SessionStore(sizes, policy.make_caching())


def pools_of(settings: Settings) -> tuple[str, ...]:
    """Addresses of the cache pools, one for each supernode. A `ConfigError` for a supernode whose prompts have none."""
    plan = settings.hardware.plan
    if settings.cache.mode is not CacheMode.POOL:
        return ()
    if any((one.prefill_npus or one.aggregated_npus) and not one.num_cache_servers for one in plan.supernodes):
        raise ConfigError(f"plan {plan.text!r} has no cache servers for --cache pool; add 48c or use --cache none")
    return pool_addresses(len(plan.supernodes))


def reads_sessions(cache: Cache) -> bool:
    """Whether caches are to be told of sessions. A `ConfigError` for a policy that would have nothing to do."""
    if cache.policy.is_lru:
        return False
    name, policy = cache.policy.name, cache.policy.make_caching()
    if cache.mode is CacheMode.NONE:
        raise ConfigError(f"cache_policy is {name}, and cache is none: say --cache pool or local, or leave it out")
    if policy.needs_ssd and not cache.has_ssd:
        raise ConfigError(
            f"cache_policy is {name}, and there is no SSD to fetch from: give cache_ssd_bytes_per_server, with a pool"
        )
    return policy.reads_sessions
