"""Requests that may not all be served, or not in the order in which they came.

A request is admitted once what is cached of it is known and it is its turn, just before an instance is chosen. With an
order, or a bound on the backlog, requests wait in front of all instances; those that do are among the unrouted ones.
Those that may wait for cheap hours are deferred before they are looked up. One that is requeued was admitted before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scheduler.core.estimates.admission_estimates import AdmissionEstimates
from scheduler.core.guest import Guest
from scheduler.core.guests.deferred import DeferredQueue
from scheduler.core.guests.waiting_queue import WaitingQueue
from scheduler.core.prefills import EarlyEnd, Prefills
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.policies.admission import Admission, Always
from scheduler.policies.failures import PolicyFailures
from scheduler.policies.flow_control import FlowControl
from scheduler.policies.ordering import FairQueue
from scheduler.policies.waiting import WaitingRequest
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PrefillStepped,
    PrefixesLost,
    RequestsArrived,
    RequestsCancelled,
    TransferFailed,
    WorkersLost,
)

_NO_POOL = -1

_TURNS = (PrefillStepped, RequestsCancelled, TransferFailed, WorkersLost, PrefixesLost)
"""Messages after which an instance may have less to do."""


class AdmissionQueue(Guest):
    """The `Queue` of `Prefills` under flow control."""

    def __init__(self, state: SchedulerState, prefills: Prefills, routing: Routing, rules: FlowControl) -> None:
        self.early_ends: dict[int, EarlyEnd] = {}
        self._state = state
        self._table = state.table
        self._open = state.open
        self._pools = state.pools
        self._stage = state.prefill
        self._prefills = prefills
        # By request, for those that wait or run and are not of tenant 0.
        self._tenants: dict[int, int] = {}
        self._rules_by_class = rules.by_class
        self._admission: Admission = rules.make_admission(rules.admission)
        self._admits_all = isinstance(self._admission, Always)
        order = rules.make_order(rules.order)
        no_failures = PolicyFailures()
        self.failures: Final[Mapping[str, PolicyFailures]] = {
            "admission": getattr(self._admission, "failures", no_failures),
            "order": getattr(order, "failures", no_failures),
        }
        self._fair = order if isinstance(order, FairQueue) else None
        self._waiting = WaitingQueue(state.prefill, order, rules.backlog_tokens) if rules.backlog_tokens else None
        self._estimates = AdmissionEstimates(state, routing, rules.reads)
        hold_ns = [one.hold_ns for one in rules.by_class]
        self._deferred: DeferredQueue | None = None
        if rules.holds:
            self._deferred = DeferredQueue(rules.cheap_hours, hold_ns, state.table, state.open.held)
        else:
            self.hears = (*_TURNS, RequestsArrived, DecodeStepped) if self._fair is not None else _TURNS

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Note whose requests arrive, and charge tenants for what has left decode."""
        if self._fair is not None:
            if isinstance(message, RequestsArrived):
                first = self._table.num_requests
                self._tenants.update((first + at, tenant) for at, tenant in enumerate(message.tenants) if tenant)
            elif isinstance(message, DecodeStepped):
                self._charge(self._fair, message)
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Dispatch those whose turn has come."""
        outputs = self._dispatch_ready(now_ns) if type(message) in _TURNS else NOTHING
        self._set_deadline()
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Look up those who were deferred and whose time has come."""
        ids = [] if self._deferred is None else self._deferred.due(now_ns)
        if not self._open.keep_prompts:  # the cache was lost while they waited
            for request_id in ids:
                self._open.prompts.pop(request_id, None)
        outputs = [*self._prefills.look_up(now_ns, ids), *self._dispatch_ready(now_ns)]
        self._set_deadline()
        return outputs

    def _set_deadline(self) -> None:
        if self._deferred is not None:
            self.deadline_ns = self._deferred.release_ns

    def _charge(self, order: FairQueue, message: DecodeStepped) -> None:
        """What they have produced is charged to tenants when they leave; the table has what they came with."""
        tenants, produced = self._tenants, self._table.output_tokens
        for ids, tokens in (
            (message.finished_ids, message.finished_tokens),
            (message.preempted_ids, message.preempted_tokens),
        ):
            for request_id, total in zip(ids, tokens, strict=True):
                order.charge(tenants.get(request_id, 0), max(0, total - produced[request_id]))
        for request_id in message.finished_ids:
            tenants.pop(request_id, None)

    def holds(self, request_id: int) -> bool:
        """Whether it waits for nobody but us: it is deferred, or no instance was chosen yet."""
        return request_id in self._open.unrouted or request_id in self._open.held

    def defer(self, now_ns: int, ids: Sequence[int]) -> Sequence[int]:
        """Defer those that may wait for cheap hours; returns the others."""
        if self._deferred is None or not ids:
            return ids
        table = self._table
        requeued = [i for i in ids if table.preemptions[i] or table.retries[i]]
        fresh = [i for i in ids if not (table.preemptions[i] or table.retries[i])] if requeued else ids
        return requeued + self._deferred.keep(now_ns, fresh)

    def push(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """What is cached of these is known: dispatch those that may come in, in their order."""
        outputs: list[Output] = []
        if self.early_ends and not self.early_ends.keys().isdisjoint(ids):
            for request_id in [i for i in ids if i in self.early_ends]:
                outputs += self.end([request_id], self.early_ends[request_id].reason, now_ns)
            ids = [i for i in ids if i not in self.early_ends]
        if self._waiting is None:
            return [*outputs, *self._admit(now_ns, ids)]
        self._open.unrouted.update(ids)
        self._waiting.push([self._waiting_request(i) for i in ids])
        return [*outputs, *self._dispatch_ready(now_ns, ids)]

    def retry(self, now_ns: int) -> Outputs:
        """Instances may be eligible again."""
        return self._prefills.dispatch_unrouted(now_ns) if self._waiting is None else self._dispatch_ready(now_ns)

    def _dispatch_ready(self, now_ns: int, fresh: Sequence[int] = ()) -> Outputs:
        """All whose turn it is; asked again whenever an instance has less to do. Those of `fresh` were looked up just
        now."""
        waiting = self._waiting
        if waiting is None:
            return NOTHING
        outputs: list[Output] = []
        dispatched: list[int] = []
        while (request := waiting.pop_ready()) is not None:
            self._open.unrouted.discard(request.request_id)
            outputs += self._admit(now_ns, [request.request_id])
            dispatched.append(request.request_id)
        just_now = frozenset(fresh)
        waited = [i for i in dispatched if i not in just_now]
        return [*outputs, *self._prefills.look_up_again(waited)] if waited else outputs

    def _admit(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        if self._admits_all or not self._stage.eligible:
            return self._prefills.dispatch(now_ns, ids)
        outputs: list[Output] = []
        for request_id in ids:
            # One by one: what one brings is part of what the next may expect.
            if self._is_admitted(now_ns, request_id):
                outputs += self._prefills.dispatch(now_ns, [request_id])
            else:
                outputs += self.end([request_id], FinishReason.ADMISSION, now_ns)
        return outputs

    def _is_admitted(self, now_ns: int, request_id: int) -> bool:
        table = self._table
        # Who was cut off from what it fetched is routed again without a retry, but an instance was chosen for it.
        has_begun = table.prefill_instance[request_id] != NOT_YET
        if has_begun or table.preemptions[request_id] or table.retries[request_id]:
            return True
        request = self._waiting_request(request_id)
        return self._admission.admits(request, self._estimates.view(now_ns, request))

    def _waiting_request(self, request_id: int) -> WaitingRequest:
        table = self._table
        rules = self._rules_by_class[table.request_class[request_id]]
        tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id] - table.cached_tokens[request_id]
        tenant = self._tenants.get(request_id, 0)
        arrived_ns, limits = table.arrived_ns[request_id], (rules.ttft_limit_ns, rules.tpot_limit_ns)
        return WaitingRequest(request_id, arrived_ns, tokens, rules.priority, tenant, *limits)

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> Outputs:
        """End requests that no instance was chosen for, of which all pools have told what they have."""
        unrouted = self._open.unrouted
        for request_id in ids:
            if request_id in unrouted:
                unrouted.discard(request_id)
                if self._waiting is not None:
                    self._waiting.remove(request_id)
        held = self._open.held
        outputs = self._release_pins([i for i in ids if i not in held] if held else ids)
        held.difference_update(ids)
        self._state.end(ids, reason, now_ns)
        return outputs

    def _release_pins(self, ids: Iterable[int]) -> Outputs:
        if not self._state.uses_pool:
            return NOTHING
        if len(self._pools.addresses) > 1:
            return self._pools.release_others((i, _NO_POOL) for i in ids)
        return self._pools.release((i, 0) for i in ids if i in self._open.prompts)
