"""Requests on their way to prefill where not all may go there, or not in the order of coming."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scheduler.core.guests.deferred import DeferredQueue
from scheduler.core.estimates.admission_estimates import AdmissionEstimates
from scheduler.core.guests.waiting_queue import WaitingQueue
from scheduler.core.prefills import Prefills, Said
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import Transfers
from scheduler.policies.admission import Admission, Always
from scheduler.policies.flow_control import FlowControl, make_admission, make_order
from scheduler.policies.waiting import WaitingRequest
from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.finish import FinishReason

_NO_POOL = -1


class GuardedPrefills(Prefills):
    """Admits a request once what is cached of it is known and it is its turn, just before an instance is chosen.

    With an order, or a bound on the backlog, requests wait in front of all instances; those that do are among the
    unrouted ones. Those that may wait for cheap hours are held before they are looked up. A request that begins again
    has been admitted before. `overdue` are ids of those that are to end.
    """

    def __init__(self, state: SchedulerState, transfers: Transfers, routing: Routing, rules: FlowControl) -> None:
        super().__init__(state, transfers, routing.prefill)
        self.tenants: dict[int, int] = {}
        """By request, for those that wait or run and are not of tenant 0."""
        self.overdue: dict[int, tuple[int, ...]] = {}
        self._rules_by_class = rules.by_class
        self._admission: Admission = make_admission(rules.admission)
        self._admits_all = isinstance(self._admission, Always)
        self.order = make_order(rules.order)
        self._room = WaitingQueue(state.prefill, self.order, rules.backlog_tokens) if rules.backlog_tokens else None
        self._estimates = AdmissionEstimates(state, routing, rules.reads)
        hold_ns = [one.hold_ns for one in rules.by_class]
        self._holds = DeferredQueue(rules.cheap_hours, hold_ns, state.table, state.open.held) if rules.holds else None

    @property
    def release_ns(self) -> int:
        """When the next that is held for cheap hours may go on."""
        return NEVER_NS if self._holds is None else self._holds.release_ns

    def is_here(self, request_id: int) -> bool:
        """Whether it waits for nobody but us: it is held, or no instance was chosen yet."""
        return request_id in self._open.unrouted or request_id in self._open.held

    def begin(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Hold those that may wait; look up the others."""
        if self._holds is None or not ids:
            return super().begin(now_ns, ids)
        table = self._table
        again = [i for i in ids if table.preemptions[i] or table.retries[i]]
        fresh = [i for i in ids if not (table.preemptions[i] or table.retries[i])] if again else ids
        return super().begin(now_ns, again + self._holds.keep(now_ns, fresh))

    def release_held(self, now_ns: int) -> Outputs:
        """Look up those whose wait is over."""
        ids = [] if self._holds is None else self._holds.due(now_ns)
        if not self._open.keep_prompts:  # the cache was lost while they waited
            for request_id in ids:
                self._open.prompts.pop(request_id, None)
        return super().begin(now_ns, ids)

    def route(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """What is cached of these is known: send those that may come in, in their order."""
        said: Said = []
        if self.overdue and not self.overdue.keys().isdisjoint(ids):
            said += self.end([i for i in ids if i in self.overdue], FinishReason.TIMED_OUT, now_ns)
            ids = [i for i in ids if i not in self.overdue]
        if self._room is None:
            return (*said, *self._let_in(now_ns, ids))
        self._open.unrouted.update(ids)
        self._room.come([self._waiting_request(i) for i in ids])
        return (*said, *self.let_through(now_ns))

    def route_waiting(self, now_ns: int) -> Outputs:
        """Those whom no instance could take."""
        return super().route_waiting(now_ns) if self._room is None else self.let_through(now_ns)

    def let_through(self, now_ns: int) -> Outputs:
        """All whose turn it is; asked again whenever an instance has less to do."""
        room, said = self._room, Said()
        while room is not None and (request := room.pop_ready()) is not None:
            self._open.unrouted.discard(request.request_id)
            said += self._let_in(now_ns, [request.request_id])
        return tuple(said)

    def _let_in(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        if self._admits_all or not self._stage.eligible:
            return super().route(now_ns, ids)
        said: Said = []
        for request_id in ids:
            # One by one: what one brings is part of what the next may expect.
            if self._is_admitted(now_ns, request_id):
                said += super().route(now_ns, [request_id])
            else:
                said += self.end([request_id], FinishReason.ADMISSION, now_ns)
        return tuple(said)

    def _is_admitted(self, now_ns: int, request_id: int) -> bool:
        table = self._table
        # Who was cut off from what it fetched begins again without a retry, but an instance was chosen for it.
        has_begun = table.prefill_instance[request_id] != NOT_YET
        if has_begun or table.preemptions[request_id] or table.retries[request_id]:
            return True
        request = self._waiting_request(request_id)
        view = self._estimates.view(now_ns, request)
        return self._admission.admits(request, view)

    def _waiting_request(self, request_id: int) -> WaitingRequest:
        table = self._table
        rules = self._rules_by_class[table.request_class[request_id]]
        tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id] - table.cached_tokens[request_id]
        tenant = self.tenants.get(request_id, 0)
        arrived_ns, limits = table.arrived_ns[request_id], (rules.ttft_limit_ns, rules.tpot_limit_ns)
        return WaitingRequest(request_id, arrived_ns, tokens, rules.priority, tenant, *limits)

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> Said:
        """End requests that no instance was chosen for, of which all pools have told what they have."""
        unrouted = self._open.unrouted
        for request_id in ids:
            if request_id in unrouted:
                unrouted.discard(request_id)
                if self._room is not None:
                    self._room.leave(request_id)
        held = self._open.held
        said = self._release_pins([i for i in ids if i not in held] if held else ids)
        held.difference_update(ids)
        self._state.end(ids, reason, now_ns)
        return said

    def withdrawn(self, request_id: int) -> None:
        """The instance that was chosen has dropped it."""
        self._router.withdrawn(self._table.prefill_instance[request_id], request_id)

    def _release_pins(self, ids: Iterable[int]) -> Said:
        if not self._state.uses_pool:
            return []
        if len(self._pools.addresses) > 1:
            return self._pools.release_others((i, _NO_POOL) for i in ids)
        return self._pools.release((i, 0) for i in ids if i in self._open.prompts)
