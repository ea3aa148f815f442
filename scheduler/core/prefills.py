"""Requests on their way to prefill and through it: look up, choose an instance, fetch what is cached, compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from msgspec.structs import replace

from scheduler.core.config import CacheMode
from scheduler.core.estimates.read_limits import ReadLimits
from scheduler.core.lifecycle import Event
from scheduler.core.prefix_extensions import PrefixExtensions
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.stages import Placing
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.policies.failures import PolicyFailures
from scheduler.policies.view import StageKind
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    ExtendCached,
    PrefillStepped,
    PrefixesFound,
    PrefixesGrown,
    ReleasePrefixes,
    StartPrefill,
    StorePrefixes,
    TransferDone,
)

# Members of an enumeration are slow to reach.
_PREFILL: Final = StageKind.PREFILL
_FETCH: Final = Event.FETCH
_SEND_PREFILL: Final = Event.SEND_PREFILL
_PREFILL_STARTED: Final = Event.PREFILL_STARTED


@dataclass(slots=True)
class EarlyEnd:
    """Why and since when a request is to end before it is done; `asked`: the attempt in which an instance was told."""

    reason: FinishReason
    since_ns: int
    asked: tuple[int, ...] = ()


class Queue(Protocol):
    """Where requests may have to wait before an instance is chosen for them.

    Those of `early_ends`, by id, are to end, and do when it is asked for them.
    """

    early_ends: dict[int, EarlyEnd]

    @property
    def failures(self) -> Mapping[str, PolicyFailures]:
        """Of who admits and who orders."""
        ...

    def defer(self, now_ns: int, ids: Sequence[int]) -> Sequence[int]:
        """These have arrived, or are requeued; returns those that are to be looked up now."""
        ...

    def push(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """What is cached of these is known: `Prefills.dispatch` those whose turn it is."""
        ...

    def retry(self, now_ns: int) -> Outputs:
        """Instances may be eligible again: `Prefills.dispatch` those whose turn it is."""
        ...

    def holds(self, request_id: int) -> bool:
        """Whether it waits for nobody else."""
        ...

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> Outputs:
        """End some of those that it holds."""
        ...


class Prefills:
    """Knows what prefill instances are told and makes of what they report an account.

    `queue` is where requests wait for their turn; without one, all are dispatched as they come.
    """

    def __init__(self, state: SchedulerState, transfers: Transfers, router: Placing) -> None:
        self.queue: Queue | None = None
        self.read_limits = ReadLimits(state.prefill, transfers)
        self._state = state
        self._table = state.table
        self._open = state.open
        self._stage = state.prefill
        self._pools = state.pools
        self._transfers = transfers
        self._extensions = PrefixExtensions(state, transfers, self.read_limits)
        self._router = router
        self._uses_pool = state.uses_pool
        self._has_pools = len(state.pools.addresses) > 1
        self._has_own_caches = state.config.cache_mode is CacheMode.LOCAL

    def begin(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """These have arrived, or are requeued: ask the pool what it has of them, or send them on."""
        return self.look_up(now_ns, ids if self.queue is None else self.queue.defer(now_ns, ids))

    def look_up(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Ask the pool what it has of these, or send them on."""
        if not ids:
            return NOTHING
        prompts = self._open.prompts
        if not (self._uses_pool and prompts):
            return self.route(now_ns, ids)
        known = [i for i in ids if i in prompts]
        if len(known) == len(ids):
            return self._pools.ask(known)
        outputs = self.route(now_ns, [i for i in ids if i not in prompts])
        return [*outputs, *self._pools.ask(known)] if known else outputs

    def on_prefixes_found(self, now_ns: int, message: PrefixesFound) -> Outputs:
        """A pool has answered."""
        return self.route(now_ns, self._pools.answered(message))

    def route(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """What is cached of these is known: they may have an instance."""
        return self.dispatch(now_ns, ids) if self.queue is None else self.queue.push(now_ns, ids)

    def route_waiting(self, now_ns: int) -> Outputs:
        """Instances may be eligible again."""
        return self.dispatch_unrouted(now_ns) if self.queue is None else self.queue.retry(now_ns)

    def dispatch_unrouted(self, now_ns: int) -> Outputs:
        """Those whom no instance could take."""
        if not (self._open.unrouted and self._stage.eligible):
            return NOTHING
        unrouted = sorted(self._open.unrouted)
        self._open.unrouted.clear()
        return self.route(now_ns, unrouted)

    def dispatch(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Choose an instance for each request; fetch what is cached, start the others at once."""
        if not self._stage.eligible:
            self._open.unrouted.update(ids)
            return NOTHING
        if len(ids) == 1:
            index, cached = self._place(now_ns, ids[0])
            outputs = self._send(now_ns, index, self._command(ids[0], cached))
        else:
            outputs = self._dispatch_many(now_ns, ids)
        return [*self._release_others(ids), *outputs] if self._has_pools else outputs

    def _dispatch_many(self, now_ns: int, ids: Sequence[int]) -> Outputs:
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
        outputs: list[Output] = []
        for key, command in commands.items():
            outputs += self._send(now_ns, ~key if key < 0 else key, command)
        return outputs

    def _place(self, now_ns: int, request_id: int) -> tuple[int, int]:
        """Choose an instance for a request; returns its index, and the tokens that are cached of the prompt."""
        table, stage, cached = self._table, self._stage, self._table.cached_tokens[request_id]
        tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
        decision = self._router.choose(now_ns, request_id, tokens - cached)
        for log in self._state.decision_logs:
            log.chose(_PREFILL, request_id, decision)
        index = decision.instance
        if self._has_pools:
            cached = self._pools.choose(request_id, stage.pool[index])
        stage.outstanding_requests[index] += 1
        stage.outstanding_tokens[index] += tokens - cached
        table.prefill_instance[request_id] = index
        return index, cached

    def _command(self, request_id: int, cached: int) -> StartPrefill:
        table, payload = self._table, self._open.payloads[request_id]
        prompt, resumed = table.prompt_tokens[request_id], table.output_tokens[request_id]
        return StartPrefill([request_id], [prompt], [cached], [resumed], [payload], [], [])

    def _release_others(self, ids: Sequence[int]) -> Outputs:
        pool, at_prefill = self._stage.pool, self._table.prefill_instance
        return self._pools.release_others([(i, pool[at_prefill[i]]) for i in ids])

    def _send(self, now_ns: int, index: int, command: StartPrefill) -> Outputs:
        """Fetch what is cached, if anything is; else they start at once."""
        if command.cached_tokens[0]:
            return self._fetch(now_ns, index, command)
        if self._has_own_caches:
            self._open.add_prefixes(command)
        return self._start(now_ns, self._stage.addresses[index], command)

    def _start(self, now_ns: int, address: str, command: StartPrefill, flow: TransferDone | None = None) -> Outputs:
        """The one place where prefill instances are told to begin."""
        self._table.move(_SEND_PREFILL, command.ids)
        for log in self._state.decision_logs:
            log.started(_PREFILL, now_ns, self._stage.index[address], command.ids, flow)
        return [(address, command)]

    def _fetch(self, now_ns: int, index: int, command: StartPrefill) -> Outputs:
        """Move what is cached to the instance; the command follows when it is there."""
        pool, address = self._pools.addresses[self._stage.pool[index]], self._stage.addresses[index]
        ssd_tokens, limits = self._open.take_ssd_tokens(command.ids), self.read_limits
        give_up_ns = limits.give_up_ns(now_ns, address, sum(command.cached_tokens))
        if not limits.allows(address):
            return self._compute_all(now_ns, address, command)
        read = CacheRead(pool, address, command, command.cached_tokens, ssd_tokens, give_up_ns)
        self._table.move(_FETCH, command.ids)
        self._extensions.forget(command.ids)
        return self._transfers.read(read)

    def look_up_again(self, ids: Sequence[int]) -> Outputs:
        """These wait at their instances, and have waited since they were looked up."""
        return self._extensions.ask(ids) if self._uses_pool and self._open.prompts else NOTHING

    def on_prefixes_grown(self, now_ns: int, message: PrefixesGrown) -> Outputs:
        """A pool has more of these than was found."""
        return self._extensions.on_grown(now_ns, message)

    def on_fetched(self, now_ns: int, read: CacheRead, flow: TransferDone) -> Outputs:
        """What was cached is there."""
        self.read_limits.ended(read)
        command = read.command
        if isinstance(command, ExtendCached):
            return [(read.address, command)]
        started = self._start(now_ns, read.address, command, flow)
        return [*started, *self._extensions.on_fetched(now_ns, command.ids)]

    def on_fetch_failed(self, now_ns: int, read: CacheRead) -> Outputs:
        """No way leads from the pool to the instance."""
        if isinstance(read.command, ExtendCached):
            return NOTHING
        return self._compute_all(now_ns, read.address, read.command)

    def on_fetch_overdue(self, now_ns: int, read: CacheRead) -> Outputs:
        """It has taken longer than computing would."""
        self.read_limits.given_up(read)
        return self.on_fetch_failed(now_ns, read)

    def _compute_all(self, now_ns: int, address: str, command: StartPrefill) -> Outputs:
        """The instance computes what a read was to bring."""
        table = self._table
        self._extensions.forget(command.ids)
        self._stage.outstanding_tokens[self._stage.index[address]] += sum(command.cached_tokens)
        for request_id in command.ids:
            table.cached_tokens[request_id] = 0
        # The read was said with the same list of cached tokens, and stays as it was said.
        return self._start(now_ns, address, replace(command, cached_tokens=[0] * len(command.ids)))

    def on_started(self, message: PrefillStepped) -> None:
        """Their first chunks are in the pass that begins now."""
        started_ns, boundary_ns = self._table.prefill_started_ns, message.boundary_ns
        self._table.move(_PREFILL_STARTED, message.started_ids)
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

    def on_done(self, message: PrefillStepped) -> Outputs:
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
        return self._store(index, stored, recomputed, written) if self._uses_pool else NOTHING

    def _store(self, index: int, stored: list[int], recomputed: list[int], num_tokens: int) -> Outputs:
        outputs: list[Output] = []
        pool = self._pools.addresses[self._stage.pool[index]]
        if recomputed:
            outputs.append((pool, ReleasePrefixes(recomputed)))
        if stored:
            outputs.append((pool, StorePrefixes(stored)))
            outputs += self._transfers.write(self._stage.addresses[index], pool, num_tokens)
        return outputs

    def withdrawn(self, ids: Sequence[int]) -> None:
        """Instances have dropped these before they began."""
        for request_id in ids:
            self._router.withdrawn(self._table.prefill_instance[request_id], request_id)
