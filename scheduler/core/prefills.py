"""Requests on their way to prefill and through it: look up, choose an instance, fetch what is cached, compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.core.config import CacheMode
from scheduler.core.estimates.read_limits import ReadLimits
from scheduler.core.lifecycle import Event
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.router import Router
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import (
    Message,
    PrefillStepped,
    PrefixesFound,
    ReleasePrefixes,
    StartPrefill,
    StorePrefixes,
)

Said = list[tuple[str, Message]]


class Prefills:
    """Knows what prefill instances are told and makes of what they report an account."""

    def __init__(self, state: SchedulerState, transfers: Transfers, router: Router) -> None:
        self._state = state
        self._table = state.table
        self._open = state.open
        self._stage = state.prefill
        self._pools = state.pools
        self._transfers = transfers
        self._router = router
        self._uses_pool = state.uses_pool
        self._has_pools = len(state.pools.addresses) > 1
        self._has_own_caches = state.config.cache_mode is CacheMode.LOCAL
        self.read_limits = ReadLimits(state.prefill, transfers)

    def begin(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """These have arrived, or begin again: ask the pool what it has of them, or send them on."""
        if not ids:
            return NOTHING
        prompts = self._open.prompts
        if not (self._uses_pool and prompts):
            return self.route(now_ns, ids)
        known = [i for i in ids if i in prompts]
        if len(known) == len(ids):
            return tuple(self._pools.ask(known))
        outputs = self.route(now_ns, [i for i in ids if i not in prompts])
        return (*outputs, *self._pools.ask(known)) if known else outputs

    def on_prefixes_found(self, now_ns: int, message: PrefixesFound) -> Outputs:
        """A pool has answered."""
        return self.route(now_ns, self._pools.answered(message))

    def route(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Pick an instance for each request; fetch what is cached, start the others at once."""
        if not self._stage.eligible:
            self._open.unrouted.update(ids)
            return NOTHING
        if len(ids) == 1:
            index, cached = self._place(now_ns, ids[0])
            said = self._say(now_ns, index, self._command(ids[0], cached))
        else:
            said = self._route_many(now_ns, ids)
        return (*self._release_others(ids), *said) if self._has_pools else tuple(said)

    def _route_many(self, now_ns: int, ids: Sequence[int]) -> Said:
        """One command per instance, and one more (under the index's complement) for what must be fetched first."""
        table, payloads = self._table, self._open.payloads
        commands: dict[int, StartPrefill] = {}
        for request_id in ids:
            index, cached = self._place(now_ns, request_id)
            key = ~index if cached else index
            command = commands.get(key)
            if command is None:
                commands[key] = self._command(request_id, cached)
            else:
                command.ids.append(request_id)
                command.prompt_tokens.append(table.prompt_tokens[request_id])
                command.cached_tokens.append(cached)
                command.resumed_tokens.append(table.output_tokens[request_id])
                command.payloads.append(payloads[request_id])
        said: Said = []
        for key, command in commands.items():
            said += self._say(now_ns, ~key if key < 0 else key, command)
        return said

    def _place(self, now_ns: int, request_id: int) -> tuple[int, int]:
        """Choose an instance for a request; answers its index, and what is cached of the prompt."""
        table, stage, cached = self._table, self._stage, self._table.cached_tokens[request_id]
        tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
        index = self._router.choose(now_ns, request_id, tokens - cached)
        if self._has_pools:
            cached = self._pools.choose(request_id, stage.pool[index])
        stage.outstanding_requests[index] += 1
        stage.outstanding_tokens[index] += tokens - cached
        table.prefill_instance[request_id] = index
        return index, cached

    def _command(self, request_id: int, cached: int) -> StartPrefill:
        """To the instance that was chosen last."""
        table, payload, reason = self._table, self._open.payloads[request_id], self._router.reason
        prompt, resumed = table.prompt_tokens[request_id], table.output_tokens[request_id]
        return StartPrefill([request_id], [prompt], [cached], [resumed], [payload], [], [], reason)

    def _release_others(self, ids: Sequence[int]) -> Said:
        pool, at_prefill = self._stage.pool, self._table.prefill_instance
        return self._pools.release_others([(i, pool[at_prefill[i]]) for i in ids])

    def route_waiting(self, now_ns: int) -> Outputs:
        """Those whom no instance could take."""
        if not (self._open.unrouted and self._stage.eligible):
            return NOTHING
        unrouted = sorted(self._open.unrouted)
        self._open.unrouted.clear()
        return self.route(now_ns, unrouted)

    def _say(self, now_ns: int, index: int, command: StartPrefill) -> Said:
        """Fetch what is cached, if anything is; else they start at once."""
        if command.cached_tokens[0]:
            return self._fetch(now_ns, index, command)
        if self._has_own_caches:
            self._open.add_prefixes(command)
        self._table.move(Event.SEND_PREFILL, command.ids)
        return [(self._stage.addresses[index], command)]

    def _fetch(self, now_ns: int, index: int, command: StartPrefill) -> Said:
        """Move what is cached to the instance; the command follows when it is there."""
        pool, address = self._pools.addresses[self._stage.pool[index]], self._stage.addresses[index]
        ssd_tokens, limits = self._open.take_ssd_tokens(command.ids), self.read_limits
        read = CacheRead(pool, address, command, ssd_tokens, limits.give_up_ns(now_ns, address, command))
        if not limits.allows(address):
            return [self._compute_all(read)]
        self._table.move(Event.FETCH, command.ids)
        return self._transfers.read(read)

    def on_fetched(self, read: CacheRead) -> Outputs:
        """What was cached is there."""
        self.read_limits.ended(read)
        self._table.move(Event.SEND_PREFILL, read.command.ids)
        return ((read.address, read.command),)

    def on_fetch_failed(self, read: CacheRead) -> Outputs:
        """No way leads from the pool to the instance."""
        return (self._compute_all(read),)

    def on_fetch_overdue(self, read: CacheRead) -> Outputs:
        """It has taken longer than computing would."""
        self.read_limits.given_up(read)
        return (self._compute_all(read),)

    def _compute_all(self, read: CacheRead) -> tuple[str, Message]:
        """The instance computes what the read was to bring."""
        command, table = read.command, self._table
        self._stage.outstanding_tokens[self._stage.index[read.address]] += sum(command.cached_tokens)
        for request_id in command.ids:
            table.cached_tokens[request_id] = 0
        table.move(Event.SEND_PREFILL, command.ids)
        # What was to be moved was said with the same list, and stays as it was said.
        return read.address, replace(command, cached_tokens=[0] * len(command.ids))

    def on_started(self, message: PrefillStepped) -> None:
        """Their first chunks are in the pass that begins now."""
        started_ns, boundary_ns = self._table.prefill_started_ns, message.boundary_ns
        self._table.move(Event.PREFILL_STARTED, message.started_ids)
        for request_id in message.started_ids:
            if started_ns[request_id] == NOT_YET:
                started_ns[request_id] = boundary_ns
        if message.started_cached_tokens:
            self._note_hits(message)

    def _note_hits(self, message: PrefillStepped) -> None:
        """Of an instance with a cache of its own, which finds its hits when a prompt starts."""
        table, index = self._table, self._stage.index[message.instance]
        for request_id, cached in zip(message.started_ids, message.started_cached_tokens, strict=True):
            self._stage.outstanding_tokens[index] -= cached - table.cached_tokens[request_id]
            table.cached_tokens[request_id] = cached

    def on_done(self, message: PrefillStepped) -> Said:
        """Their first token is out: account, and store the blocks."""
        table, boundary_ns, index = self._table, message.boundary_ns, self._stage.index[message.instance]
        first_ns, last_ns, output = table.first_token_ns, table.last_token_ns, table.output_tokens
        prompt_tokens, cached_tokens = table.prompt_tokens, table.cached_tokens
        stored: list[int] = []
        recomputed: list[int] = []
        tokens = written = 0
        prompts = self._open.prompts
        for request_id in message.prefilled_ids:
            computed = prompt_tokens[request_id] - cached_tokens[request_id]
            tokens += computed + output[request_id]
            if first_ns[request_id] == NOT_YET:
                first_ns[request_id] = boundary_ns
                if request_id in prompts:
                    stored.append(request_id)
                    written += computed
            elif request_id in prompts:
                recomputed.append(request_id)
            last_ns[request_id] = boundary_ns
            output[request_id] += 1
        self._stage.remove(index, len(message.prefilled_ids), tokens)
        return self._store(index, stored, recomputed, written) if self._uses_pool else []

    def _store(self, index: int, stored: list[int], recomputed: list[int], num_tokens: int) -> Said:
        said: Said = []
        pool = self._pools.addresses[self._stage.pool[index]]
        if recomputed:
            said.append((pool, ReleasePrefixes(recomputed)))
        if stored:
            said.append((pool, StorePrefixes(stored)))
            said += self._transfers.write(self._stage.addresses[index], pool, num_tokens)
        return said
