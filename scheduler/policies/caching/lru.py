"""Least recently used: the default, for which nobody is asked."""

from __future__ import annotations

from scheduler.policies.registry import cache_policy
from scheduler.protocol.cache_policy import CachePolicy


@cache_policy(
    "lru",
    formula="least recently used first, of a chain the deepest block first",
    source="CloudMatrix-Infer, arXiv 2506.12708 v3, context caching",
)
class LeastRecentlyUsed(CachePolicy):
    """What the base class does."""
