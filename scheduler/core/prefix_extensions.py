"""What a cache pool has of a prompt may grow while the prompt waits: the pool is asked once more before it begins.

A prompt is looked up when it arrives, to choose an instance for it and to fetch what is cached. If it then waits longer
than a pass, its prefill instance names it one pass before its first chunk (`PrefillStepped.next_ids`), and the pool is
asked what it has beyond that. Who waits in front of all instances is asked about when an instance has been chosen. What
is new is fetched while others are computed; if it comes too late, it is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from scheduler.core.estimates.read_limits import ReadLimits
from scheduler.core.lifecycle import State
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.messages import ExtendCached, ExtendLookups, PrefixesGrown

_PREFILL_QUEUED: Final = int(State.PREFILL_QUEUED)
_FETCHING: Final = int(State.FETCHING)


class PrefixExtensions:
    """Asks pools about prompts that have an instance and wait there, and fetches what is new."""

    def __init__(self, state: SchedulerState, transfers: Transfers, limits: ReadLimits) -> None:
        self._table = state.table
        self._prompts = state.open.prompts
        self._stage = state.prefill
        self._pools = state.pools
        self._transfers = transfers
        self._limits = limits
        self._grown = state.open.grown

    def ask(self, ids: Sequence[int]) -> Outputs:
        """These wait at instances and may have more in the pools there than was found."""
        by_pool: dict[int, list[int]] = {}
        pool, at_prefill = self._stage.pool, self._table.prefill_instance
        for request_id in ids:
            if request_id in self._prompts:
                by_pool.setdefault(pool[at_prefill[request_id]], []).append(request_id)
        up = self._pools.up
        return [(self._pools.addresses[i], ExtendLookups(asked)) for i, asked in by_pool.items() if i in up]

    def on_grown(self, now_ns: int, message: PrefixesGrown) -> Outputs:
        """A pool has more of these than it had: those that wait fetch it; those that still fetch do so later."""
        states, ready = self._table.state, list[tuple[int, int, int]]()
        for grown in zip(message.ids, message.cached_tokens, message.ssd_tokens, strict=True):
            where = states[grown[0]]
            if where == _PREFILL_QUEUED:
                ready.append(grown)
            elif where == _FETCHING:
                self._grown[grown[0]] = grown[1:]
        return self._fetch(now_ns, ready)

    def on_fetched(self, now_ns: int, ids: Collection[int]) -> Outputs:
        """What was found first of these has come, or is computed."""
        if not self._grown:
            return NOTHING
        return self._fetch(now_ns, [(i, *self._grown.pop(i)) for i in ids if i in self._grown])

    def forget(self, ids: Collection[int]) -> None:
        """What was found of these is gone, or they are elsewhere."""
        for request_id in ids if self._grown else ():
            self._grown.pop(request_id, None)

    def _fetch(self, now_ns: int, grown: Sequence[tuple[int, int, int]]) -> Outputs:
        table, stage, outputs = self._table, self._stage, list[Output]()
        reads: dict[int, CacheRead] = {}
        for request_id, found, ssd_tokens in grown:
            # Even a full hit computes one token, to have something to answer with.
            cached = min(found, table.prompt_tokens[request_id] - 1)
            added = cached - table.cached_tokens[request_id]
            index = table.prefill_instance[request_id]
            if added <= 0 or not self._limits.allows(stage.addresses[index]):
                continue
            read = reads.get(index)
            if read is None:
                pool = self._pools.addresses[stage.pool[index]]
                read = reads[index] = CacheRead(pool, stage.addresses[index], ExtendCached([], []), [], [], 0)
            read.command.ids.append(request_id)
            read.command.cached_tokens.append(cached)
            read.num_tokens.append(added)
            if ssd_tokens:
                read.ssd_tokens.append(ssd_tokens)
        for read in reads.values():
            read.give_up_ns = self._limits.give_up_ns(now_ns, read.address, sum(read.num_tokens))
            outputs += self._transfers.read(read)
        return outputs
