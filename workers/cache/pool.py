"""The cache pool as a component: one `BlockStore` that all prefill instances share, spread over cache servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from scheduler.protocol.addresses import CACHE_ADDRESS, CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import (
    CacheReported,
    CacheServersChanged,
    ExtendLookups,
    LookupPrefixes,
    Message,
    PrefixesFound,
    PrefixesGrown,
    PrefixesLost,
    ReleasePrefixes,
    ReportUsage,
    RunEnded,
    StoreAnswers,
    StorePrefixes,
)
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore


class CachePool(TimingFlags):
    """A `Component` that replies at once; moving the bytes is the fabric's part. It hosts all cache servers; which of
    them are up it hears from the core."""

    priority = Priority.CACHE

    def __init__(
        self,
        sizes: StoreSizes,
        reports_to: str = CORE_ADDRESS,
        address: str = CACHE_ADDRESS,
        store: BlockStore | None = None,
    ) -> None:
        self.address = address
        self.deadline_ns = NEVER_NS
        self.store = BlockStore(sizes) if store is None else store
        self._reports_to = reports_to
        self._num_servers = sizes.num_servers
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            LookupPrefixes: self._on_lookup,
            ExtendLookups: self._on_extend,
            StorePrefixes: self._on_store,
            StoreAnswers: self._on_store_answers,
            ReleasePrefixes: self._on_release,
            CacheServersChanged: self._on_servers_changed,
            ReportUsage: self._on_report,
            RunEnded: self._on_report,
            **self.store.handlers,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command of the core; a look-up, a loss of pinned blocks and an account are replied to."""
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """The pool keeps no timers."""
        return NOTHING

    def _on_lookup(self, now_ns: int, message: LookupPrefixes) -> Outputs:
        look_up = self.store.look_up
        cached: list[int] = []
        from_ssd: list[int] = []
        for request_id, prefix, tenant, num_tokens in zip(
            message.ids, message.prefixes, message.tenants, message.prompt_tokens, strict=True
        ):
            tokens, ssd_tokens = look_up(request_id, prefix, tenant, num_tokens, now_ns)
            cached.append(tokens)
            from_ssd.append(ssd_tokens)
        return [(self._reports_to, PrefixesFound(self.address, message.ids, cached, from_ssd))]

    def _on_extend(self, now_ns: int, message: ExtendLookups) -> Outputs:
        grown = PrefixesGrown(self.address, [], [], [])
        for request_id in message.ids:
            before, tokens, ssd_tokens = self.store.extend(request_id, now_ns)
            if tokens > before:
                grown.ids.append(request_id)
                grown.cached_tokens.append(tokens)
                grown.ssd_tokens.append(ssd_tokens)
        return [(self._reports_to, grown)] if grown.ids else NOTHING

    def _on_store(self, now_ns: int, message: StorePrefixes) -> Outputs:
        for request_id in message.ids:
            self.store.store(request_id, now_ns)
        return NOTHING

    def _on_store_answers(self, now_ns: int, message: StoreAnswers) -> Outputs:
        self.store.insert_all(message, now_ns)
        return NOTHING

    def _on_release(self, now_ns: int, message: ReleasePrefixes) -> Outputs:
        for request_id in message.ids:
            self.store.release(request_id, now_ns)
        return NOTHING

    def _on_servers_changed(self, now_ns: int, message: CacheServersChanged) -> Outputs:
        self._num_servers = len(message.up)
        left = self.store.set_up(message.up, message.lost, now_ns)
        if not left:
            return NOTHING
        return [(self._reports_to, PrefixesLost(self.address, list(left), list(left.values())))]

    def _on_report(self, now_ns: int, message: ReportUsage | RunEnded) -> Outputs:
        sizes, servers = self.store.sizes, self._num_servers
        dram_tokens, ssd_tokens = self.store.held_tokens()
        report = CacheReported(
            self.address,
            servers,
            sizes.dram_tokens * servers,
            dram_tokens,
            sizes.ssd_tokens * servers,
            ssd_tokens,
            *astuple(self.store.account),
        )
        return [(self._reports_to, report)]
