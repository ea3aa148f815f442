"""The scheduler: takes reports, answers commands. Follow a request from `_on_arrived` downwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from scheduler.core.cache_servers import CacheServers
from scheduler.core.config import CACHE_ADDRESS, CORE_ADDRESS, CacheMode, SchedulerConfig
from scheduler.core.fleet import Stage
from scheduler.core.ledger import NOT_YET, Ledger
from scheduler.core.lifecycle import Event, State
from scheduler.core.losses import Losses
from scheduler.core.open_requests import OpenRequests
from scheduler.core.reservations import Reservations
from scheduler.core.transfers import CacheRead, HandOver, Transfers
from scheduler.policies.view import RoutingPolicy
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    ArrivalsEnded,
    CacheReported,
    DecodeStepped,
    DrainCacheServers,
    KvReserved,
    Message,
    PrefillStepped,
    PrefixesFound,
    PrefixesLost,
    ReleaseKv,
    ReleasePrefixes,
    RequestsArrived,
    ReservationsCancelled,
    RunEnded,
    StartDecode,
    StartPrefill,
    StorePrefixes,
    TransferDone,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)

# Members of an enumeration are slow to reach in loops over requests.
_HANDING_OVER: Final = int(State.HANDING_OVER)


class Scheduler:
    """The control plane's only state machine (a `Component`).

    It sees what a real one sees: prompts, hits, reports. Outputs are commands to workers; `ledger` is the account.
    """

    address = CORE_ADDRESS
    priority = Priority.CORE
    deadline_ns = NEVER_NS

    def __init__(self, config: SchedulerConfig, prefill_policy: RoutingPolicy, decode_policy: RoutingPolicy) -> None:
        self.ledger = Ledger()
        self._config = config
        self._prefill = Stage(config.prefill)
        self._decode = Stage(config.decode)
        self._prefill_policy = prefill_policy
        self._max_prompt_tokens = min(self._prefill.max_sequence_tokens, self._decode.max_sequence_tokens) - 1
        self._uses_pool = config.cache_mode is CacheMode.POOL
        self._open = OpenRequests(keep_prompts=config.cache_mode is not CacheMode.NONE)
        self._transfers = Transfers(config.cache_plane, has_cache_ssd=config.has_cache_ssd)
        self._cache_servers = CacheServers(config.num_cache_servers)
        self._reservations = Reservations(self.ledger, self._decode, decode_policy)
        self._losses = Losses(
            self.ledger,
            self._prefill,
            self._decode,
            self._open,
            self._transfers,
            self._reservations,
            uses_pool=self._uses_pool,
        )
        self._down = self._losses.down
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            RequestsArrived: self._on_arrived,
            PrefixesFound: self._on_prefixes_found,
            PrefixesLost: lambda now_ns, message: self._route_prefill(now_ns, self._losses.cut_reads(message)),
            PrefillStepped: self._on_prefill_stepped,
            KvReserved: self._on_kv_reserved,
            ReservationsCancelled: self._on_reservations_cancelled,
            TransferDone: self._on_transfer_done,
            DecodeStepped: self._on_decode_stepped,
            WorkersLost: self._on_workers_lost,
            WorkersJoined: self._on_workers_joined,
            DrainCacheServers: lambda _, message: tuple(self._cache_servers.drain(message.addresses)),
            RunEnded: self._on_run_ended,
            ArrivalsEnded: _ignore,
            UsageReported: _ignore,
            CacheReported: _ignore,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one report or arrival; answer commands."""
        outputs = self._handlers[type(message)](now_ns, message)
        if self._down:
            # What matters of this is said again when they join.
            return tuple(said for said in outputs if said[0] not in self._down)
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """The core keeps no timers yet."""
        return NOTHING

    def _on_arrived(self, now_ns: int, message: RequestsArrived) -> Outputs:
        ledger, config = self.ledger, self._config
        ids = ledger.add(now_ns, message.prompt_tokens)
        self._open.add(ids, message)
        if max(message.prompt_tokens) > self._max_prompt_tokens or ledger.num_open > config.max_open_requests:
            return self._look_up_or_route(now_ns, self._reject(now_ns, ids))
        return self._look_up_or_route(now_ns, ids)

    def _reject(self, now_ns: int, ids: range) -> list[int]:
        """Turn away what can never fit, then what exceeds the bound on open requests; answers the rest."""
        ledger, limit = self.ledger, self._max_prompt_tokens
        prompt_tokens = ledger.prompt_tokens
        self._end([i for i in ids if prompt_tokens[i] > limit], FinishReason.TOO_LONG, now_ns)
        fitting = [i for i in ids if prompt_tokens[i] <= limit]
        excess = max(0, ledger.num_open - self._config.max_open_requests)
        self._end(fitting[len(fitting) - excess :], FinishReason.OVERLOAD, now_ns)
        return fitting[: len(fitting) - excess]

    def _end(self, ids: list[int], reason: FinishReason, now_ns: int) -> None:
        """The one end of these requests; nothing of them is kept but their ledger row."""
        self.ledger.end(ids, reason, now_ns)
        self._open.drop(ids)

    def _look_up_or_route(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        if not ids:
            return NOTHING
        prompts = self._open.prompts
        if not (self._uses_pool and prompts):
            return self._route_prefill(now_ns, ids)
        known = [i for i in ids if i in prompts]
        unknown = [i for i in ids if i not in prompts]
        outputs = self._route_prefill(now_ns, unknown)
        if not known:
            return outputs
        return (*outputs, (CACHE_ADDRESS, self._open.look_up(known, self.ledger.prompt_tokens)))

    def _on_prefixes_found(self, now_ns: int, message: PrefixesFound) -> Outputs:
        ledger = self.ledger
        for request_id, found in zip(message.ids, message.cached_tokens, strict=True):
            # Even a full hit computes one token, to have something to answer with.
            ledger.cached_tokens[request_id] = min(found, ledger.prompt_tokens[request_id] - 1)
        if any(message.ssd_tokens) or self._open.ssd_tokens:
            self._open.ssd_tokens.update(zip(message.ids, message.ssd_tokens, strict=True))
        return self._route_prefill(now_ns, message.ids)

    def _route_prefill(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Pick an instance for each request; fetch what is cached, start the others at once."""
        ledger, stage = self.ledger, self._prefill
        if not stage.up:
            self._open.unrouted.update(ids)
            return NOTHING
        choose = stage.chooser(self._prefill_policy)
        num_requests, num_tokens, payloads = stage.outstanding_requests, stage.outstanding_tokens, self._open.payloads
        # One command per instance, and one more (under the index's complement) for what must be fetched first.
        commands: dict[int, StartPrefill] = {}
        for request_id in ids:
            prompt, cached = ledger.prompt_tokens[request_id], ledger.cached_tokens[request_id]
            resumed, payload = ledger.output_tokens[request_id], payloads[request_id]
            tokens = prompt + resumed - cached
            index = choose(stage, tokens)
            num_requests[index] += 1
            num_tokens[index] += tokens
            ledger.prefill_instance[request_id] = index
            key = ~index if cached else index
            command = commands.get(key)
            if command is None:
                reason = self._prefill_policy.reason
                commands[key] = StartPrefill([request_id], [prompt], [cached], [resumed], [payload], [], [], reason)
            else:
                command.ids.append(request_id)
                command.prompt_tokens.append(prompt)
                command.cached_tokens.append(cached)
                command.resumed_tokens.append(resumed)
                command.payloads.append(payload)
        return tuple(
            said
            for key, command in commands.items()
            for said in (self._fetch(now_ns, ~key, command) if key < 0 else self._send_prefill(key, command))
        )

    def _send_prefill(self, index: int, command: StartPrefill) -> Outputs:
        if self._config.cache_mode is CacheMode.LOCAL:
            self._open.add_prefixes(command)
        self.ledger.move(Event.SEND_PREFILL, command.ids)
        return ((self._prefill.addresses[index], command),)

    def _fetch(self, now_ns: int, index: int, command: StartPrefill) -> Sequence[tuple[str, Message]]:
        """Move what is cached to the instance; the command follows when it is there."""
        self.ledger.move(Event.FETCH, command.ids)
        read = CacheRead(self._prefill.addresses[index], command, self._open.take_ssd_tokens(command.ids))
        return self._transfers.read(read, now_ns)

    def _on_prefill_stepped(self, now_ns: int, message: PrefillStepped) -> Outputs:
        index = self._prefill.index[message.instance]
        if message.started_ids:
            self._note_prefill_started(index, message)
        outputs: list[tuple[str, Message]] = []
        if message.done_ids:
            outputs += self._finish_prefill(now_ns, index, message)
        if message.closing_ids:
            outputs += self._reservations.ask(message.closing_ids)
        return tuple(outputs)

    def _note_prefill_started(self, index: int, message: PrefillStepped) -> None:
        ledger = self.ledger
        ledger.move(Event.PREFILL_STARTED, message.started_ids)
        started_ns = ledger.prefill_started_ns
        for request_id in message.started_ids:
            if started_ns[request_id] == NOT_YET:
                started_ns[request_id] = message.boundary_ns
        # Filled only by instances with a cache of their own, which find their hits when a prompt starts.
        for request_id, cached in zip(message.started_ids, message.started_cached_tokens, strict=False):
            self._prefill.outstanding_tokens[index] -= cached - ledger.cached_tokens[request_id]
            ledger.cached_tokens[request_id] = cached

    def _finish_prefill(self, now_ns: int, index: int, message: PrefillStepped) -> list[tuple[str, Message]]:
        """Their first token is out: account, store the blocks, and hand over those for which room is kept."""
        ledger, boundary_ns = self.ledger, message.boundary_ns
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
        self._prefill.remove(index, len(message.done_ids), tokens)
        outputs: list[tuple[str, Message]] = []
        if self._uses_pool:
            outputs += self._store_prefixes(index, now_ns, stored, recomputed, written)
        if message.stopped_ids:
            # Outputs of one token end here.
            outputs += self._reservations.release(message.stopped_ids)
            self._end(message.stopped_ids, FinishReason.STOP, boundary_ns)
        going_on = message.done_ids
        if message.stopped_ids:
            stopped = frozenset(message.stopped_ids)
            going_on = [i for i in going_on if i not in stopped]
        ledger.move(Event.PREFILL_DONE, going_on)
        state = ledger.state
        reserved = [i for i in going_on if state[i] == _HANDING_OVER]
        return outputs + self._hand_over(now_ns, reserved)

    def _store_prefixes(
        self, index: int, now_ns: int, stored: list[int], recomputed: list[int], num_tokens: int
    ) -> list[tuple[str, Message]]:
        outputs: list[tuple[str, Message]] = []
        if recomputed:
            outputs.append((CACHE_ADDRESS, ReleasePrefixes(recomputed)))
        if stored:
            outputs.append((CACHE_ADDRESS, StorePrefixes(stored)))
            outputs += self._transfers.write(self._prefill.addresses[index], num_tokens, now_ns)
        return outputs

    def _on_kv_reserved(self, now_ns: int, message: KvReserved) -> Outputs:
        return tuple(self._hand_over(now_ns, self._reservations.grant(message)))

    def _on_reservations_cancelled(self, now_ns: int, message: ReservationsCancelled) -> Outputs:
        self._reservations.confirm(message)
        return NOTHING

    def _hand_over(self, now_ns: int, ids: list[int]) -> list[tuple[str, Message]]:
        """Move KV over the RDMA plane, one flow per pair of instances."""
        ledger, reserved_ns = self.ledger, self._reservations.reserved_ns
        groups: dict[tuple[int, int], list[int]] = {}
        for request_id in ids:
            pair = (ledger.prefill_instance[request_id], ledger.decode_instance[request_id])
            groups.setdefault(pair, []).append(request_id)
        outputs: list[tuple[str, Message]] = []
        for (prefill, decode), members in groups.items():
            open_ns = max(reserved_ns.pop(i, now_ns) for i in members)
            tokens = [ledger.prompt_tokens[i] + ledger.output_tokens[i] - 1 for i in members]
            flow = HandOver(members, self._prefill.addresses[prefill], self._decode.addresses[decode], tokens)
            outputs.append(self._transfers.hand_over(flow, open_ns))
        return outputs

    def _on_transfer_done(self, now_ns: int, message: TransferDone) -> Outputs:
        transfer = self._transfers.finish(message.transfer_id)
        if transfer is None:  # a write to the cache: nobody waits for it
            return NOTHING
        if isinstance(transfer, CacheRead):
            self.ledger.move(Event.SEND_PREFILL, transfer.command.ids)
            return ((transfer.address, transfer.command),)
        ids, ledger = transfer.ids, self.ledger
        ledger.move(Event.HANDED_OVER, ids)
        payloads = [self._open.payloads[i] for i in ids]
        command = StartDecode(ids, [ledger.output_tokens[i] for i in ids], payloads)
        return ((transfer.source, ReleaseKv(ids)), (transfer.destination, command))

    def _on_decode_stepped(self, now_ns: int, message: DecodeStepped) -> Outputs:
        index, ledger, boundary_ns = self._decode.index[message.instance], self.ledger, message.boundary_ns
        losses = self._losses
        if message.tokens_per_sequence:
            losses.grown_tokens[index] += message.tokens_per_sequence
            losses.grown_ns[index] = boundary_ns
        if message.started_ids:
            ledger.move(Event.DECODE_STARTED, message.started_ids)
            tokens = 0
            grown, grown_at_start = losses.grown_tokens[index], ledger.grown_at_start
            for request_id in message.started_ids:
                ledger.decode_started_ns[request_id] = boundary_ns
                grown_at_start[request_id] = grown
                tokens += ledger.prompt_tokens[request_id] + ledger.output_tokens[request_id]
            self._decode.outstanding_tokens[index] -= tokens
        self._decode.outstanding_tokens[index] += message.kv_tokens - losses.reported_kv_tokens[index]
        losses.reported_kv_tokens[index] = message.kv_tokens
        if message.finished_ids:
            self._finish_decode(index, message)
        if message.preempted_ids:
            return self._recompute(now_ns, index, message)
        return NOTHING

    def _finish_decode(self, index: int, message: DecodeStepped) -> None:
        ledger, boundary_ns = self.ledger, message.boundary_ns
        self._note_tokens(message.finished_ids, message.finished_tokens, boundary_ns)
        self._decode.outstanding_requests[index] -= len(message.finished_ids)
        self._end(message.finished_ids, FinishReason.STOP, boundary_ns)
        for request_id in message.lengths_reached:
            ledger.reason[request_id] = FinishReason.LENGTH

    def _note_tokens(self, ids: list[int], num_tokens: list[int], boundary_ns: int) -> None:
        """Who leaves a decode instance has produced so many tokens, the last of them now if any came since joining."""
        produced, last_ns = self.ledger.output_tokens, self.ledger.last_token_ns
        for request_id, tokens in zip(ids, num_tokens, strict=True):
            if tokens > produced[request_id]:
                produced[request_id] = tokens
                last_ns[request_id] = boundary_ns

    def _recompute(self, now_ns: int, index: int, message: DecodeStepped) -> Outputs:
        """Their KV is gone: begin again, with the tokens produced so far as part of what to compute."""
        ledger = self.ledger
        ledger.move(Event.PREEMPTED, message.preempted_ids)
        self._note_tokens(message.preempted_ids, message.preempted_tokens, message.boundary_ns)
        for request_id in message.preempted_ids:
            ledger.preemptions[request_id] += 1
        self._decode.outstanding_requests[index] -= len(message.preempted_ids)
        return self._look_up_or_route(now_ns, self._begin_again(message.preempted_ids, message.boundary_ns))

    def _begin_again(self, ids: list[int], now_ns: int) -> list[int]:
        """These have nothing but the tokens that they have produced; answers those who may go on, the others end."""
        ledger, config = self.ledger, self._config
        limit, prompt_tokens, produced = self._prefill.max_sequence_tokens, ledger.prompt_tokens, ledger.output_tokens
        again: list[int] = []
        for request_id in ids:
            ledger.cached_tokens[request_id] = 0
            if prompt_tokens[request_id] + produced[request_id] > limit:
                # No prefill instance could compute it again: it ends with what it has.
                self._end([request_id], FinishReason.LENGTH, now_ns)
            elif (
                ledger.preemptions[request_id] > config.max_preemptions
                or ledger.retries[request_id] > config.max_retries
            ):
                self._end([request_id], FinishReason.RETRIES_EXHAUSTED, now_ns)
            else:
                ledger.decode_instance[request_id] = NOT_YET
                again.append(request_id)
        return again

    def _on_workers_lost(self, now_ns: int, message: WorkersLost) -> Outputs:
        taken = self._losses.lose(message.addresses)
        again = self._begin_again(taken.again, now_ns)
        outputs = self._look_up_or_route(now_ns, sorted(again + taken.unanswered))
        said = (*taken.said, *self._cache_servers.lose(message.addresses))
        return (*said, *outputs, *self._reservations.ask(taken.unplaced))

    def _on_workers_joined(self, now_ns: int, message: WorkersJoined) -> Outputs:
        outputs = [*self._cache_servers.join(message.addresses), *self._losses.join(now_ns, message.addresses)]
        if self._open.unrouted and self._prefill.up:
            unrouted = sorted(self._open.unrouted)
            self._open.unrouted.clear()
            outputs += self._route_prefill(now_ns, unrouted)
        return (*outputs, *self._reservations.ask_for_waiting())

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        if message.interrupted:
            self._end(sorted(self._open.payloads), FinishReason.INTERRUPTED, now_ns)
        return NOTHING


def _ignore(_now_ns: int, _message: Message) -> Outputs:
    """For messages that the runtime or the metrics read and the core has no use for."""
    return NOTHING
