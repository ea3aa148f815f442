"""Requests on their way to prefill and through it: look up, choose an instance, fetch what is cached, compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.core.books import Books
from scheduler.core.config import CacheMode
from scheduler.core.ledger import NOT_YET
from scheduler.core.lifecycle import Event
from scheduler.core.read_limits import ReadLimits
from scheduler.core.router import Router
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

    def __init__(self, books: Books, transfers: Transfers, router: Router) -> None:
        self._books = books
        self._ledger = books.ledger
        self._open = books.open
        self._stage = books.prefill
        self._pools = books.pools
        self._transfers = transfers
        self._router = router
        self.read_limits = ReadLimits(books.prefill, transfers)

    def begin(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """These have arrived, or begin again: ask the pool what it has of them, or send them on."""
        if not ids:
            return NOTHING
        prompts = self._open.prompts
        if not (self._books.uses_pool and prompts):
            return self.route(now_ns, ids)
        known = [i for i in ids if i in prompts]
        unknown = [i for i in ids if i not in prompts]
        outputs = self.route(now_ns, unknown)
        if not known:
            return outputs
        return (*outputs, *self._pools.ask(known))

    def on_prefixes_found(self, now_ns: int, message: PrefixesFound) -> Outputs:
        """A pool has answered."""
        return self.route(now_ns, self._pools.answered(message))

    def route(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Pick an instance for each request; fetch what is cached, start the others at once."""
        ledger, stage = self._ledger, self._stage
        if not stage.eligible:
            self._open.unrouted.update(ids)
            return NOTHING
        router, has_pools = self._router, len(self._pools.addresses) > 1
        choose = router.choose
        num_requests, num_tokens, payloads = stage.outstanding_requests, stage.outstanding_tokens, self._open.payloads
        # One command per instance, and one more (under the index's complement) for what must be fetched first.
        commands: dict[int, StartPrefill] = {}
        chosen: list[tuple[int, int]] = []
        for request_id in ids:
            prompt, cached = ledger.prompt_tokens[request_id], ledger.cached_tokens[request_id]
            resumed, payload = ledger.output_tokens[request_id], payloads[request_id]
            tokens = prompt + resumed - cached
            index = choose(now_ns, request_id, tokens)
            if has_pools:
                chosen.append((request_id, stage.pool[index]))
                cached = self._pools.choose(request_id, stage.pool[index])
                tokens = prompt + resumed - cached
            num_requests[index] += 1
            num_tokens[index] += tokens
            ledger.prefill_instance[request_id] = index
            key = ~index if cached else index
            command = commands.get(key)
            if command is None:
                reason = router.reason
                commands[key] = StartPrefill([request_id], [prompt], [cached], [resumed], [payload], [], [], reason)
            else:
                command.ids.append(request_id)
                command.prompt_tokens.append(prompt)
                command.cached_tokens.append(cached)
                command.resumed_tokens.append(resumed)
                command.payloads.append(payload)
        said: Said = []
        for key, command in commands.items():
            if key < 0:
                said += self._fetch(now_ns, ~key, command)
            else:
                said.append(self._send(key, command))
        return (*self._pools.release_others(chosen), *said) if chosen else tuple(said)

    def route_waiting(self, now_ns: int) -> Outputs:
        """Those whom no instance could take."""
        if not (self._open.unrouted and self._stage.eligible):
            return NOTHING
        unrouted = sorted(self._open.unrouted)
        self._open.unrouted.clear()
        return self.route(now_ns, unrouted)

    def _send(self, index: int, command: StartPrefill) -> tuple[str, Message]:
        if self._books.config.cache_mode is CacheMode.LOCAL:
            self._open.add_prefixes(command)
        self._ledger.move(Event.SEND_PREFILL, command.ids)
        return self._stage.addresses[index], command

    def _fetch(self, now_ns: int, index: int, command: StartPrefill) -> Said:
        """Move what is cached to the instance; the command follows when it is there."""
        pool, address = self._pools.addresses[self._stage.pool[index]], self._stage.addresses[index]
        ssd_tokens, limits = self._open.take_ssd_tokens(command.ids), self.read_limits
        read = CacheRead(pool, address, command, ssd_tokens, limits.give_up_ns(now_ns, address, command))
        if not limits.allows(address):
            return [self._compute_all(read)]
        self._ledger.move(Event.FETCH, command.ids)
        return self._transfers.read(read)

    def on_fetched(self, read: CacheRead) -> Outputs:
        """What was cached is there."""
        self.read_limits.ended(read)
        self._ledger.move(Event.SEND_PREFILL, read.command.ids)
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
        command, ledger = read.command, self._ledger
        self._stage.outstanding_tokens[self._stage.index[read.address]] += sum(command.cached_tokens)
        for request_id in command.ids:
            ledger.cached_tokens[request_id] = 0
        ledger.move(Event.SEND_PREFILL, command.ids)
        # What was to be moved was said with the same list, and stays as it was said.
        return read.address, replace(command, cached_tokens=[0] * len(command.ids))

    def on_started(self, message: PrefillStepped) -> None:
        """Their first chunks are in the pass that begins now."""
        ledger, index = self._ledger, self._stage.index[message.instance]
        ledger.move(Event.PREFILL_STARTED, message.started_ids)
        started_ns = ledger.prefill_started_ns
        for request_id in message.started_ids:
            if started_ns[request_id] == NOT_YET:
                started_ns[request_id] = message.boundary_ns
        # Filled only by instances with a cache of their own, which find their hits when a prompt starts.
        for request_id, cached in zip(message.started_ids, message.started_cached_tokens, strict=False):
            self._stage.outstanding_tokens[index] -= cached - ledger.cached_tokens[request_id]
            ledger.cached_tokens[request_id] = cached

    def on_done(self, message: PrefillStepped) -> Said:
        """Their first token is out: account, and store the blocks."""
        ledger, boundary_ns, index = self._ledger, message.boundary_ns, self._stage.index[message.instance]
        first_ns, last_ns, output = ledger.first_token_ns, ledger.last_token_ns, ledger.output_tokens
        stored: list[int] = []
        recomputed: list[int] = []
        tokens = written = 0
        prompts = self._open.prompts
        for request_id in message.done_ids:
            computed = ledger.prompt_tokens[request_id] - ledger.cached_tokens[request_id]
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
        self._stage.remove(index, len(message.done_ids), tokens)
        return self._store(index, stored, recomputed, written) if self._books.uses_pool else []

    def _store(self, index: int, stored: list[int], recomputed: list[int], num_tokens: int) -> Said:
        said: Said = []
        pool = self._pools.addresses[self._stage.pool[index]]
        if recomputed:
            said.append((pool, ReleasePrefixes(recomputed)))
        if stored:
            said.append((pool, StorePrefixes(stored)))
            said += self._transfers.write(self._stage.addresses[index], pool, num_tokens)
        return said
