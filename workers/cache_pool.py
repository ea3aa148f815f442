"""The cache pool, first form: one prefix cache that all prefill instances share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    LookupPrefixes,
    Message,
    PrefixesFound,
    ReleasePrefixes,
    RunEnded,
    StorePrefixes,
)
from workers.prefix_cache import PrefixCache


class CachePool:
    """A `Component` around one `PrefixCache`. It answers at once; moving the bytes is the fabric's part."""

    priority = Priority.CACHE
    deadline_ns = NEVER_NS

    def __init__(
        self, capacity_blocks: int, block_tokens: int, reports_to: str = "core", address: str = "cache"
    ) -> None:
        self.address = address
        self.cache = PrefixCache(capacity_blocks, block_tokens)
        self._reports_to = reports_to
        self._handlers: dict[type, Callable[[Any], Outputs]] = {
            LookupPrefixes: self._on_lookup,
            StorePrefixes: self._on_store,
            ReleasePrefixes: self._on_release,
            RunEnded: _ignore,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        return self._handlers[type(message)](message)

    def wake(self, now_ns: int) -> Outputs:
        """The pool keeps no timers."""
        return NOTHING

    def _on_lookup(self, message: LookupPrefixes) -> Outputs:
        look_up, block_tokens = self.cache.look_up, self.cache.block_tokens
        cached_tokens = [
            min(look_up(request_id, prefix, namespace) * block_tokens, prompt_tokens)
            for request_id, prefix, namespace, prompt_tokens in zip(
                message.ids, message.prefixes, message.namespaces, message.prompt_tokens, strict=True
            )
        ]
        return ((self._reports_to, PrefixesFound(self.address, message.ids, cached_tokens)),)

    def _on_store(self, message: StorePrefixes) -> Outputs:
        for request_id in message.ids:
            self.cache.store(request_id)
        return NOTHING

    def _on_release(self, message: ReleasePrefixes) -> Outputs:
        for request_id in message.ids:
            self.cache.release(request_id)
        return NOTHING


def _ignore(_message: Message) -> Outputs:
    return NOTHING
