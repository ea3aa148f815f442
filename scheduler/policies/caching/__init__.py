"""Cache policies: one file each, found by name."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.errors import ConfigError

NS_PER_S: Final = 1_000_000_000

DEFAULT_SHARE: Final = 0.8
"""Of a cache that is kept for sessions at most; the rest is for whoever comes anew. An estimate."""


def checked_share(share: float) -> None:
    """A `ConfigError` for what is no part of a whole."""
    if not 0 <= share <= 1:
        raise ConfigError(f"share={share:g} is no part of the cache; give a number from 0 to 1")
