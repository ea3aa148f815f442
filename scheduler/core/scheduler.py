"""The scheduler: takes reports and arrivals, returns commands. The methods below stand in the order of a request's
life.

    arrived -> prefixes found -> [cached prefix fetched] -> prefill started -> KV room reserved -> prefill done
            -> KV transferred -> decode started -> finished

Each hands over to the part of the core that knows this piece of the way: `Prefills`, `Reservations`, `KvTransfers`,
`Decodes`. They share one `SchedulerState`. What goes wrong on the way is in `recovery`, what a request is at any time
in `lifecycle`; whoever listens from beside is a `Guest`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from scheduler.core.config import SchedulerConfig
from scheduler.core.decodes import Decodes
from scheduler.core.guest import Guest
from scheduler.core.guests.attached import guests_of, scaler_by_hand
from scheduler.core.guests.weight_changes import WeightChanges
from scheduler.core.heard import Handler, joined, with_guests
from scheduler.core.kv_transfers import KvTransfers
from scheduler.core.lifecycle import Event
from scheduler.core.open_requests import RequestFacts
from scheduler.core.prefills import Prefills
from scheduler.core.recovery.losses import Losses
from scheduler.core.recovery.recovery import Recovery
from scheduler.core.reservations import Reservations
from scheduler.core.routing.stages import Routing
from scheduler.core.state import new_scheduler_state
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.policies.failures import PolicyFailures, failure_lines
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, FlowControl
from scheduler.policies.view import RoutingPolicy
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    AS_HEARD,
    ArrivalsEnded,
    CachePolicyReported,
    CacheReported,
    ChangeModel,
    DecodeStepped,
    DrainInstances,
    FetchSessions,
    FleetScaled,
    InstanceProfiled,
    KvReserved,
    Message,
    ParkedSet,
    PowerBudgetSet,
    PrefillStepped,
    PrefixesFound,
    PrefixesGrown,
    RequestsArrived,
    RequestsCancelled,
    RequestsWithdrawn,
    ReservationsCancelled,
    RunEnded,
    ScaleInstances,
    SessionsClosed,
    TransferDone,
    UsageReported,
)

if TYPE_CHECKING:
    from scheduler.core.guests.told_ends import ToldEnds


_NOBODY = frozenset[int]()
_PREFILL_DONE: Final = Event.PREFILL_DONE
"""Members of an enumeration are slow to reach."""


class Scheduler(TimingFlags):
    """The control plane's only state machine (a `Component`).

    It sees what a real one sees: prompts, hits, reports. Outputs are commands to workers. `table` is the account of all
    requests, `state` what its parts share. `replicas`: policies of prefill and decode of further routers, which take
    requests in turn, each by its own view (`Router`). A message that is illegal where a request is raises
    `LifecycleError`.
    """

    address = CORE_ADDRESS
    priority = Priority.CORE
    backdates_replies = True

    def __init__(
        self,
        config: SchedulerConfig,
        prefill_policy: RoutingPolicy,
        decode_policy: RoutingPolicy,
        flow_control: FlowControl = PLAIN_FLOW_CONTROL,
        replicas: Sequence[tuple[RoutingPolicy, RoutingPolicy]] = (),
    ) -> None:
        self.deadline_ns = NEVER_NS
        state = self.state = new_scheduler_state(config)
        self.table = state.table
        self._max_prompt_tokens = min(state.prefill.max_sequence_tokens, state.decode.max_sequence_tokens) - 1
        self._has_arrivals = True
        stages = (state.prefill, prefill_policy), (state.decode, decode_policy)
        facts = RequestFacts(state.table, state.open)
        self.routing = Routing(*stages, facts, config, flow_control.reads, replicas)
        state.pools.candidates = self.routing.candidates
        self._transfers = Transfers(config.cache_plane, has_cache_ssd=config.has_cache_ssd)
        self._reservations = Reservations(state, self.routing.placing_decode)
        self._prefills = Prefills(state, self._transfers, self.routing.placing)
        self._kv_transfers = KvTransfers(state, self._reservations, self._transfers)
        self._losses = Losses(state, self._transfers, self._reservations)
        self._down = self._losses.down
        self._decodes = Decodes(state, self._losses)
        self._aggregated = state.aggregated
        self._recovery = Recovery(
            state, self._transfers, self._reservations, self._prefills, self._kv_transfers, self._losses
        )
        self._weight_changes: WeightChanges | None = None
        self._has_scaler = config.scaling is not None
        self._guests: list[Guest] = []
        self._timed: list[Guest] = []
        self._only_timed: Guest | None = None
        self._hearing_ends: list[Guest] = []
        self._num_ends_told = 0
        self._ends: ToldEnds | None = None
        self._own_handlers = self._handlers_without_guests()
        self._handlers = dict(self._own_handlers)
        parts = self._transfers, self._prefills, self._losses, self._reservations, self._recovery
        for guest in guests_of(state, self.routing, *parts, flow_control):
            self.add_guest(guest)

    def _handlers_without_guests(self) -> dict[type, Handler]:
        """Of each message, before any guest listens."""
        return {
            RequestsArrived: self._on_arrived,
            ArrivalsEnded: self._on_arrivals_ended,
            PrefixesFound: self._prefills.on_prefixes_found,
            PrefixesGrown: self._prefills.on_prefixes_grown,
            PrefillStepped: self._on_prefill_stepped,
            KvReserved: self._on_kv_reserved,
            ReservationsCancelled: self._on_reservations_cancelled,
            TransferDone: self._on_transfer_done,
            DecodeStepped: self._on_decode_stepped,
            RunEnded: self._on_run_ended,
            **self._recovery.handlers,
            RequestsWithdrawn: self._on_withdrawn,
            ChangeModel: self._on_change_model,
            ParkedSet: self._on_parked_set,
            ScaleInstances: self._on_scaling_commanded,
            DrainInstances: self._on_scaling_commanded,
            **dict.fromkeys(
                (
                    UsageReported,
                    PowerBudgetSet,
                    CacheReported,
                    InstanceProfiled,
                    RequestsCancelled,
                    SessionsClosed,
                    FetchSessions,
                    CachePolicyReported,
                    FleetScaled,
                ),
                _for_guests_only,
            ),
        }

    def add_guest(self, guest: Guest) -> None:
        """From now on this guest listens, after those who were here before it."""
        self._guests.append(guest)
        if type(guest).wake is not Guest.wake:
            self._timed.append(guest)
            self._only_timed = guest if len(self._timed) == 1 else None
        if not (guest.hears_last_ends_only and self._has_arrivals):
            self._tell_ends_to(guest)
        for kind, handler in self._own_handlers.items():
            hearing = [one for one in self._guests if one.hears is None or kind in one.hears]
            self._handlers[kind] = with_guests(handler, hearing)

    def _tell_ends_to(self, guest: Guest) -> None:
        if type(guest).ended is not Guest.ended:
            if not self._hearing_ends:
                self._num_ends_told = len(self.table.ended_ids)
            self._hearing_ends.append(guest)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one report or arrival; returns commands."""
        outputs = self._handlers[type(message)](now_ns, message)
        if self._hearing_ends and len(self.table.ended_ids) != self._num_ends_told:
            outputs = self._tell_ends(now_ns, outputs)
        if self._timed:
            if self._only_timed is None:
                self._find_deadline()
            else:
                self.deadline_ns = self._only_timed.deadline_ns
        if self._down:
            if not self._has_arrivals:
                return self._reachable(outputs)
            # Where instances may come and go some are down all the time, and hardly anything is sent to any.
            for address, _ in outputs:
                if address in self._down:
                    return self._reachable(outputs)
        return outputs

    def _find_deadline(self) -> None:
        deadline_ns = NEVER_NS
        for guest in self._timed:
            if guest.deadline_ns < deadline_ns:
                deadline_ns = guest.deadline_ns
        self.deadline_ns = deadline_ns

    def wake(self, now_ns: int) -> Outputs:
        """Guests act whose time has come."""
        outputs: Outputs = NOTHING
        for guest in self._timed:
            if guest.deadline_ns <= now_ns:
                outputs = joined(outputs, guest.wake(now_ns), guest)
        if self._hearing_ends and len(self.table.ended_ids) != self._num_ends_told:
            outputs = self._tell_ends(now_ns, outputs)
        self._find_deadline()
        return self._reachable(outputs) if self._down and (outputs or not self._has_arrivals) else outputs

    def _tell_ends(self, now_ns: int, outputs: Outputs) -> Outputs:
        ended_ids = self.table.ended_ids
        ids = ended_ids[self._num_ends_told :]
        self._num_ends_told = len(ended_ids)
        for guest in self._hearing_ends:
            if more := guest.ended(now_ns, ids):
                outputs = joined(outputs, more, guest)
        return outputs

    def _reachable(self, outputs: Outputs) -> Outputs:
        return self._recovery.reachable(outputs, may_work=self._has_arrivals or self.table.num_open > 0)

    @property
    def policy_failures(self) -> dict[str, PolicyFailures]:
        """By what a policy is asked for: prefill, decode, admission, order, and cache where it has one."""
        queue = self._prefills.queue
        none = {"admission": PolicyFailures(), "order": PolicyFailures()}
        of_guests = {asked_for: one for guest in self._guests for asked_for, one in guest.policy_failures.items()}
        return {**self.routing.failures, **(none if queue is None else queue.failures), **of_guests}

    def instance_phases(self) -> dict[str, str]:
        """Where each instance is, in a word, by address: serving or lost, and where instances come and go also absent,
        booked, starting, draining and stopping."""
        stages = self.state.prefill, self.state.decode
        phases = {address: "serving" for stage in stages for address in stage.addresses}
        for guest in self._guests:
            phases |= guest.instance_phases()
        return {address: "lost" if at == "serving" and address in self._down else at for address, at in phases.items()}

    def wanted_instances(self) -> dict[str, int]:
        """How many instances of each role there shall be, where an autoscaler or an operator has decided that."""
        return {role: count for guest in self._guests for role, count in guest.wanted_instances().items()}

    def warnings(self) -> list[str]:
        """Lines for a person: of policies that failed, of reads given up, of classes that nobody listed, of workers
        that were lost."""
        classes = self.state.classes
        of_classes = classes.warnings() if classes is not None else ()
        limits, loads = self._prefills.read_limits, self._recovery.loads
        of_policies = failure_lines(self.policy_failures)
        of_guests = [line for guest in self._guests for line in guest.notices()]
        return [*of_policies, *limits.warnings(), *of_classes, *loads.warnings(), *of_guests]

    def _on_arrived(self, now_ns: int, message: RequestsArrived) -> Outputs:
        table, config, classes = self.table, self.state.config, self.state.classes
        ids = table.add(now_ns if message.arrived_ns == AS_HEARD else message.arrived_ns, message.prompt_tokens)
        self.state.open.add(ids, message)
        if message.sessions:
            table.session[ids.start : ids.stop] = array("i", message.sessions)
        if message.reply_to:
            self._note_source(ids, message)
        if classes is not None:
            table.request_class[ids.start : ids.stop] = bytes(classes.indices(message.classes, message.tenants))
        if max(message.prompt_tokens) > self._max_prompt_tokens or table.num_open > config.max_open_requests:
            return self._prefills.begin(now_ns, self._reject(now_ns, ids))
        return self._prefills.begin(now_ns, ids)

    def _note_source(self, ids: range, message: RequestsArrived) -> None:
        if self._ends is None:
            from scheduler.core.guests.told_ends import ToldEnds  # few sources wait for what they have asked

            self._ends = ToldEnds(self.table)
            self.add_guest(self._ends)
        self._ends.expect(ids, message)

    def _on_withdrawn(self, now_ns: int, message: RequestsWithdrawn) -> Outputs:
        if self._ends is None:  # nobody has asked for anything
            return NOTHING
        from scheduler.core.guests.early_ends import EarlyEnds  # few sources go before they are answered

        early_ends = next((guest for guest in self._guests if isinstance(guest, EarlyEnds)), None)
        if early_ends is None:
            early_ends = EarlyEnds(self.state, self._prefills, self._losses, self._reservations)
            self.add_guest(early_ends)
        return early_ends.ask(now_ns, self._ends.ids(message.reply_to, message.keys), FinishReason.CANCELLED)

    def _reject(self, now_ns: int, ids: range) -> list[int]:
        """Turn away what can never fit, then what exceeds the bound on open requests; returns the rest."""
        table, limit, end = self.table, self._max_prompt_tokens, self.state.end
        prompt_tokens = table.prompt_tokens
        end([i for i in ids if prompt_tokens[i] > limit], FinishReason.TOO_LONG, now_ns)
        fitting = [i for i in ids if prompt_tokens[i] <= limit]
        excess = max(0, table.num_open - self.state.config.max_open_requests)
        end(fitting[len(fitting) - excess :], FinishReason.OVERLOAD, now_ns)
        return fitting[: len(fitting) - excess]

    def _on_arrivals_ended(self, now_ns: int, message: ArrivalsEnded) -> Outputs:
        self._has_arrivals = False
        for guest in self._guests:
            if guest.hears_last_ends_only and guest not in self._hearing_ends:
                self._tell_ends_to(guest)
        return NOTHING

    def _on_prefill_stepped(self, now_ns: int, message: PrefillStepped) -> Outputs:
        self._prefills.read_limits.learn(message)
        if message.started_ids:
            self._prefills.on_started(message)
        outputs = self._on_prefill_done(message) if message.prefilled_ids else NOTHING
        if message.last_chunk_ids and message.instance not in self._aggregated:
            # KV room is asked for while the last chunk is computed, so that layers can flow as they are made.
            outputs = [*outputs, *self._reservations.ask(now_ns, message.last_chunk_ids)]
        return [*outputs, *self._prefills.look_up_again(message.next_ids)] if message.next_ids else outputs

    def _on_prefill_done(self, message: PrefillStepped) -> Outputs:
        outputs: list[Output] = [*self._prefills.on_done(message)]
        going_on, finished = message.prefilled_ids, _NOBODY
        if message.finished_ids:
            # Outputs of one token end here.
            outputs += self._reservations.release(message.finished_ids)
            self.state.end(message.finished_ids, FinishReason.STOP, message.boundary_ns)
            finished = frozenset(message.finished_ids)
            going_on = [i for i in going_on if i not in finished]
        if message.instance in self._aggregated:
            self._decodes.stay(message.instance, going_on, message.boundary_ns)
            return outputs
        self.table.move(_PREFILL_DONE, going_on)
        outputs += self._kv_transfers.on_made(message.instance, finished)
        return outputs

    def _on_kv_reserved(self, now_ns: int, message: KvReserved) -> Outputs:
        return self._kv_transfers.on_reserved(message)

    def _on_reservations_cancelled(self, now_ns: int, message: ReservationsCancelled) -> Outputs:
        self._reservations.confirm(message)
        return NOTHING

    def _on_transfer_done(self, now_ns: int, message: TransferDone) -> Outputs:
        flow = self._transfers.finish(message.transfer_id)
        if flow is None:  # a write to the cache, for which nobody waits, or weights
            return self._recovery.loads.on_done(now_ns, message.transfer_id) if self._down else NOTHING
        if isinstance(flow, CacheRead):
            return self._prefills.on_fetched(now_ns, flow, message)
        return self._kv_transfers.on_done(now_ns, flow, message)

    def _on_decode_stepped(self, now_ns: int, message: DecodeStepped) -> Outputs:
        requeued = self._decodes.on_stepped(message)
        return self._prefills.begin(now_ns, requeued) if requeued else NOTHING

    def _on_change_model(self, now_ns: int, message: ChangeModel) -> Outputs:
        if self._weight_changes is None:
            self._weight_changes = WeightChanges(self.state, self._losses, self._recovery.loads)
            self.add_guest(self._weight_changes)
        return self._weight_changes.on_commanded(message)

    def _on_scaling_commanded(self, now_ns: int, message: ScaleInstances | DrainInstances) -> Outputs:
        if self._has_scaler:
            return NOTHING  # it hears this by itself
        scaler = scaler_by_hand(self.state, self._losses, self._recovery, self._guests)
        self.add_guest(scaler)
        self._has_scaler = True
        return scaler.after(now_ns, message)

    def _on_parked_set(self, now_ns: int, message: ParkedSet) -> Outputs:
        return self._recovery.retry_waiting(now_ns)

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        if message.interrupted:
            self.state.end(sorted(self.state.open.payloads), FinishReason.INTERRUPTED, now_ns)
        return NOTHING


def _for_guests_only(_now_ns: int, _message: Message) -> Outputs:
    """For messages that only guests have a use for."""
    return NOTHING
