"""The scheduler: takes reports, answers commands. Follow a request from `_on_arrived` downwards.

Its parts share `SchedulerState`: `Prefills`, `KvTransfers` and `Decodes` in the order in which a request meets them,
`Reservations` and `Transfers` between them, `Losses` and `BrokenParts` for what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from scheduler.core.broken_parts import BrokenParts
from scheduler.core.cache_servers import CacheServers
from scheduler.core.config import CORE_ADDRESS, FABRIC_ADDRESS, SchedulerConfig
from scheduler.core.decodes import Decodes
from scheduler.core.guests.weight_changes import WeightChanges
from scheduler.core.guests.weight_loads import ModelWeights, WeightLoads
from scheduler.core.kv_transfers import KvTransfers
from scheduler.core.lifecycle import Event
from scheduler.core.losses import Losses
from scheduler.core.open_requests import RequestFacts
from scheduler.core.prefills import Prefills
from scheduler.core.request_table import NOT_YET
from scheduler.core.reservations import Reservations
from scheduler.core.routing import Routing
from scheduler.core.state import new_scheduler_state
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, FlowControl
from scheduler.policies.view import RoutingPolicy
from scheduler.protocol.component import NEVER_NS, NOTHING, TIMER_DUE, Outputs, Priority, TimerDue
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    ArrivalsEnded,
    CacheReported,
    ChangeModel,
    DecodeStepped,
    DrainCacheServers,
    FailParts,
    InstanceProfiled,
    KvReserved,
    Message,
    ParkedSet,
    PartsChanged,
    PowerBudgetSet,
    PrefillStepped,
    PrefixesFound,
    PrefixesLost,
    ReleaseKv,
    RepairParts,
    RequestsArrived,
    ReservationsCancelled,
    RunEnded,
    TransferDone,
    TransferFailed,
    TransferOverdue,
    UsageReported,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

# Only a run under a power cap, one that parks, or one with rules of entry needs what does it.
if TYPE_CHECKING:
    from scheduler.core.guests.admission_queue import GuardedPrefills
    from scheduler.core.guests.parking import Parking
    from scheduler.core.guests.power_budgets import PowerBudgets
    from scheduler.core.guests.time_outs import Guard


_NOBODY: Final = frozenset[int]()


class Scheduler:
    """The control plane's only state machine (a `Component`).

    It sees what a real one sees: prompts, hits, reports. Outputs are commands to workers; `table` is the account.
    `handlers` answer each kind of message; who logs what is decided puts its own around them.
    """

    address = CORE_ADDRESS
    priority = Priority.CORE
    answers_late = True

    def __init__(
        self,
        config: SchedulerConfig,
        prefill_policy: RoutingPolicy,
        decode_policy: RoutingPolicy,
        entry: FlowControl = PLAIN_FLOW_CONTROL,
    ) -> None:
        books = self._books = new_scheduler_state(config)
        self.table = books.table
        self._config = config
        self._max_prompt_tokens = min(books.prefill.max_sequence_tokens, books.decode.max_sequence_tokens) - 1
        self._transfers = Transfers(config.cache_plane, has_cache_ssd=config.has_cache_ssd)
        self._cache_servers = CacheServers(config.pools, config.num_cache_servers)
        stages = (books.prefill, prefill_policy), (books.decode, decode_policy)
        self.routing = Routing(*stages, RequestFacts(books.table, books.open), config, entry.reads)
        self._reservations = Reservations(self.table, books.decode, self.routing.decode)
        guarded: GuardedPrefills | None = None
        if not entry.is_plain:
            from scheduler.core.guests.admission_queue import GuardedPrefills

            guarded = GuardedPrefills(books, self._transfers, self.routing, entry)
        self._prefills = guarded or Prefills(books, self._transfers, self.routing.prefill)
        self._read_limits = self._prefills.read_limits
        self._kv_transfers = KvTransfers(books, self._reservations, self._transfers)
        self._losses = Losses(books, self._transfers, self._reservations)
        self._decodes = Decodes(books, self._losses)
        self._broken = BrokenParts(books)
        self._down = self._losses.down
        self._loads = WeightLoads(config.weights or ModelWeights(0), self._transfers.next_id)
        self._changes = WeightChanges(books, self._losses, self._loads)
        self._has_arrivals = True
        self._power: PowerBudgets | None = None
        if config.power is not None:
            from scheduler.core.guests.power_budgets import PowerBudgets

            self._power = PowerBudgets(config.power, books.prefill, books.decode)
        self._parking: Parking | None = None
        if config.parking is not None:
            from scheduler.core.guests.parking import Parking

            self._parking = Parking(config.parking, (books.prefill, books.decode), books.table)
        self._guard: Guard | None = None
        if guarded is not None:
            from scheduler.core.guests.time_outs import Guard

            self._guard = Guard(books, guarded, self._losses, self._reservations, entry)
        self._has_timers = any(timer is not None for timer in (self._power, self._parking, self._guard))
        self.deadline_ns = NEVER_NS
        handlers = self._plain_handlers()
        if self._guard is not None:
            handlers = self._guard.around(handlers)
        self.handlers: dict[type, Callable[[int, Any], Outputs]] = self.routing.overhearing(handlers)
        self.handlers[TimerDue] = self._on_timer_due

    def _plain_handlers(self) -> dict[type, Callable[[int, Any], Outputs]]:
        """Of each message, before anybody else listens."""
        return {
            RequestsArrived: self._on_arrived,
            PrefixesFound: self._on_prefixes_found,
            PrefixesLost: self._on_prefixes_lost,
            PrefillStepped: self._on_prefill_stepped,
            KvReserved: self._on_kv_reserved,
            ReservationsCancelled: self._on_reservations_cancelled,
            TransferDone: self._on_transfer_done,
            DecodeStepped: self._on_decode_stepped,
            TransferFailed: self._on_transfer_failed,
            TransferOverdue: self._on_transfer_overdue,
            FailParts: self._on_parts_told,
            RepairParts: self._on_parts_told,
            PartsChanged: self._on_parts_changed,
            WorkersLost: self._on_workers_lost,
            WorkersStarted: self._on_workers_started,
            WorkersJoined: self._on_workers_joined,
            ChangeModel: self._on_change_model,
            DrainCacheServers: self._on_drain_cache_servers,
            RunEnded: self._on_run_ended,
            ArrivalsEnded: self._on_arrivals_ended,
            UsageReported: _ignore,
            PowerBudgetSet: _ignore,
            CacheReported: _ignore,
            ParkedSet: self._on_parked_set,
            InstanceProfiled: _ignore,
        }

    def notes(self) -> list[str]:
        """Lines for a person: of policies that failed, of reads given up, of classes that nobody listed, of workers
        that were lost."""
        classes = self._books.classes
        said = [*self.routing.notes(), *self._read_limits.notes(), *(classes.notes() if classes is not None else ())]
        return [*said, *self._loads.notes()]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one report or arrival; answer commands."""
        outputs = self.handlers[type(message)](now_ns, message)
        if self._has_timers:
            outputs = self._heard(now_ns, message, outputs)
            self.deadline_ns = self._next_ns()
        return self._without_down(outputs) if self._down else outputs

    def _heard(self, now_ns: int, message: Message, outputs: Outputs) -> Outputs:
        """What those add who govern power or parking, or change models."""
        if self._power is not None:
            # Before the work, so that it is done with them.
            outputs = (*self._power.heard(now_ns, message), *outputs)
        if self._parking is not None:
            outputs = (*outputs, *self._parking.heard(now_ns, message))
        return (*outputs, *self._changes.look()) if self._changes.is_busy else outputs

    def wake(self, now_ns: int) -> Outputs:
        """Some requests have waited too long, or long enough, or budgets of power or parking are weighed anew."""
        outputs = self.handlers[TimerDue](now_ns, TIMER_DUE)
        self.deadline_ns = self._next_ns()
        return self._without_down(outputs) if self._down else outputs

    def _without_down(self, outputs: Outputs) -> Outputs:
        """What is said to those who are down and matters is said again when they join."""
        if not (self._has_arrivals or self.table.num_open):
            outputs = (*outputs, *self._loads.give_up())
        return tuple(said for said in outputs if said[0] not in self._down)

    def _on_timer_due(self, now_ns: int, _timer: TimerDue) -> Outputs:
        outputs = NOTHING
        if self._power is not None and self._power.deadline_ns <= now_ns:
            outputs = (*outputs, *self._power.wake())
        if self._parking is not None and self._parking.deadline_ns <= now_ns:
            outputs = (*outputs, *self._parking.wake(now_ns))
        if self._guard is not None and self._guard.deadline_ns <= now_ns:
            outputs = (*outputs, *self._guard.wake(now_ns))
        return outputs

    def _next_ns(self) -> int:
        next_ns = NEVER_NS
        for timer in (self._power, self._parking, self._guard):
            if timer is not None and timer.deadline_ns < next_ns:
                next_ns = timer.deadline_ns
        return next_ns

    def _on_arrived(self, now_ns: int, message: RequestsArrived) -> Outputs:
        table, config = self.table, self._config
        ids = table.add(now_ns, message.prompt_tokens)
        self._books.open.add(ids, message)
        if self._books.classes is not None:
            classes = self._books.classes.indices(message.classes, message.tenants)
            table.request_class[ids.start : ids.stop] = bytes(classes)
        if max(message.prompt_tokens) > self._max_prompt_tokens or table.num_open > config.max_open_requests:
            return self._prefills.begin(now_ns, self._reject(now_ns, ids))
        return self._prefills.begin(now_ns, ids)

    def _reject(self, now_ns: int, ids: range) -> list[int]:
        """Turn away what can never fit, then what exceeds the bound on open requests; answers the rest."""
        table, limit, end = self.table, self._max_prompt_tokens, self._books.end
        prompt_tokens = table.prompt_tokens
        end([i for i in ids if prompt_tokens[i] > limit], FinishReason.TOO_LONG, now_ns)
        fitting = [i for i in ids if prompt_tokens[i] <= limit]
        excess = max(0, table.num_open - self._config.max_open_requests)
        end(fitting[len(fitting) - excess :], FinishReason.OVERLOAD, now_ns)
        return fitting[: len(fitting) - excess]

    def _on_arrivals_ended(self, now_ns: int, message: ArrivalsEnded) -> Outputs:
        self._has_arrivals = False
        return NOTHING

    def _on_prefixes_found(self, now_ns: int, message: PrefixesFound) -> Outputs:
        return self._prefills.on_prefixes_found(now_ns, message)

    def _on_prefixes_lost(self, now_ns: int, message: PrefixesLost) -> Outputs:
        said, cut = self._losses.cut_reads(message)
        return (*said, *self._prefills.route(now_ns, cut))

    def _on_drain_cache_servers(self, now_ns: int, message: DrainCacheServers) -> Outputs:
        self._loads.drain(message.addresses)
        return tuple(self._cache_servers.drain(message.addresses))

    def _on_prefill_stepped(self, now_ns: int, message: PrefillStepped) -> Outputs:
        self._read_limits.learn(message)
        if message.started_ids:
            self._prefills.on_started(message)
        said = self._on_prefill_done(message) if message.prefilled_ids else []
        if message.last_chunk_ids:
            said += self._reservations.ask(now_ns, message.last_chunk_ids)
        return tuple(said)

    def _on_prefill_done(self, message: PrefillStepped) -> list[tuple[str, Message]]:
        said = self._prefills.on_done(message)
        going_on, stopped = message.prefilled_ids, _NOBODY
        if message.finished_ids:
            # Outputs of one token end here.
            said += self._reservations.release(message.finished_ids)
            self._books.end(message.finished_ids, FinishReason.STOP, message.boundary_ns)
            stopped = frozenset(message.finished_ids)
            going_on = [i for i in going_on if i not in stopped]
        self.table.move(Event.PREFILL_DONE, going_on)
        said += self._kv_transfers.on_made(message.instance, stopped)
        return said

    def _on_kv_reserved(self, now_ns: int, message: KvReserved) -> Outputs:
        return tuple(self._kv_transfers.on_reserved(message))

    def _on_reservations_cancelled(self, now_ns: int, message: ReservationsCancelled) -> Outputs:
        self._reservations.confirm(message)
        return NOTHING

    def _on_transfer_done(self, now_ns: int, message: TransferDone) -> Outputs:
        flow = self._transfers.finish(message.transfer_id)
        if flow is None:  # a write to the cache, for which nobody waits, or a model
            return tuple(self._loads.on_done(now_ns, message.transfer_id)) if self._down else NOTHING
        return self._prefills.on_fetched(flow) if isinstance(flow, CacheRead) else self._kv_transfers.on_done(flow)

    def _on_decode_stepped(self, now_ns: int, message: DecodeStepped) -> Outputs:
        preempted = self._decodes.on_stepped(message)
        return self._prefills.begin(now_ns, self._begin_again(preempted, message.boundary_ns)) if preempted else NOTHING

    def _begin_again(self, ids: list[int], now_ns: int) -> list[int]:
        """These have nothing but the tokens that they have produced; answers those who may go on, the others end."""
        table, config, end = self.table, self._config, self._books.end
        limit, prompt_tokens = self._books.prefill.max_sequence_tokens, table.prompt_tokens
        again: list[int] = []
        for request_id in ids:
            table.cached_tokens[request_id] = 0
            if prompt_tokens[request_id] + table.output_tokens[request_id] > limit:
                # No prefill instance could compute it again: it ends with what it has.
                end([request_id], FinishReason.LENGTH, now_ns)
            elif (
                table.preemptions[request_id] > config.max_preemptions or table.retries[request_id] > config.max_retries
            ):
                end([request_id], FinishReason.RETRIES_EXHAUSTED, now_ns)
            else:
                table.decode_instance[request_id] = NOT_YET
                again.append(request_id)
        return again

    def _on_transfer_failed(self, now_ns: int, message: TransferFailed) -> Outputs:
        flow = self._transfers.fail(message.transfer_id)
        if flow is None:  # a write to the cache, or nobody waits for it any more, or a model
            return tuple(self._loads.on_failed(message.transfer_id))
        if isinstance(flow, CacheRead):
            return self._prefills.on_fetch_failed(flow)
        said, lost = self._kv_transfers.on_failed(now_ns, flow)
        if not lost:
            return tuple(said)
        said += [*self._losses.withdraw(lost), (flow.source, ReleaseKv(lost))]
        return (*said, *self._prefills.begin(now_ns, self._begin_again(lost, now_ns)))

    def _on_transfer_overdue(self, now_ns: int, message: TransferOverdue) -> Outputs:
        read = self._transfers.fail(message.transfer_id)
        return self._prefills.on_fetch_overdue(read) if isinstance(read, CacheRead) else NOTHING

    def _on_parts_told(self, now_ns: int, message: FailParts | RepairParts) -> Outputs:
        return tuple(self._broken.on_told(message))

    def _on_parts_changed(self, now_ns: int, message: PartsChanged) -> Outputs:
        said = [*self._broken.on_changed(message), *self._loads.try_again()]
        return (*said, *self._prefills.route_waiting(now_ns), *self._reservations.ask_for_waiting(now_ns))

    def _on_workers_lost(self, now_ns: int, message: WorkersLost) -> Outputs:
        self._changes.lose(message.addresses)
        taken = self._losses.lose(message.addresses)
        again = self._begin_again(taken.again, now_ns)
        outputs = (*self._prefills.begin(now_ns, again), *self._prefills.route(now_ns, taken.unanswered))
        said = (*taken.said, *self._cache_servers.lose(message.addresses))
        said += tuple(self._loads.lose(now_ns, message.addresses))
        return (*said, *outputs, *self._reservations.ask(now_ns, taken.unplaced))

    def _on_workers_started(self, now_ns: int, message: WorkersStarted) -> Outputs:
        return tuple(self._loads.start(now_ns, message.addresses))

    def _on_workers_joined(self, now_ns: int, message: WorkersJoined) -> Outputs:
        back = self._losses.join(message.addresses)
        said = [*self._cache_servers.join(message.addresses), *self._broken.on_joined(back)]
        if FABRIC_ADDRESS in back:
            said += [*self._transfers.start_again(), *self._loads.say_again()]
        said += self._loads.join(message.addresses)
        self._changes.join(message.addresses)
        return (*said, *self._prefills.route_waiting(now_ns), *self._reservations.ask_for_waiting(now_ns))

    def _on_change_model(self, now_ns: int, message: ChangeModel) -> Outputs:
        self._changes.on_told(message)
        # From now on it is looked after each message whether an instance is done.
        self._has_timers = True
        return NOTHING

    def _on_parked_set(self, now_ns: int, message: ParkedSet) -> Outputs:
        assert self._parking is not None, "nobody else has anybody park"
        self._parking.on_set(message)
        return (*self._prefills.route_waiting(now_ns), *self._reservations.ask_for_waiting(now_ns))

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        if message.interrupted:
            self._books.end(sorted(self._books.open.payloads), FinishReason.INTERRUPTED, now_ns)
        return NOTHING


def _ignore(_now_ns: int, _message: Message) -> Outputs:
    """For messages that the runtime or the metrics read and the core has no use for."""
    return NOTHING
