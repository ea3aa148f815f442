"""What watches over requests that come in by rules: whose turn it is, who is served how much, who has waited too long.

A request that is overdue ends where nothing is at work for it: before an instance is chosen, in the queue of a prefill
instance, while it waits for room to decode, or at the next step boundary while it decodes. Where a pass or a transfer
is at work for it, it ends as soon as that has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from scheduler.core.guests.admission_queue import GuardedPrefills
from scheduler.core.lifecycle import State
from scheduler.core.recovery.losses import Losses
from scheduler.core.prefills import Said
from scheduler.core.request_table import RequestTable
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.policies.flow_control import FlowControl
from scheduler.policies.ordering import FairQueue
from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    CancelRequests,
    DecodeStepped,
    PrefillStepped,
    PrefixesLost,
    ReleaseKv,
    RequestsArrived,
    RequestsCancelled,
    TransferFailed,
    WorkersLost,
)

Handler = Callable[[int, Any], Outputs]

_TURNS: Final = (PrefillStepped, RequestsCancelled, TransferFailed, WorkersLost, PrefixesLost)
"""Messages after which an instance may have less to do."""


class Guard:
    """`deadline_ns`: when the next request has waited too long."""

    def __init__(
        self,
        state: SchedulerState,
        prefills: GuardedPrefills,
        losses: Losses,
        reservations: Reservations,
        rules: FlowControl,
    ) -> None:
        self.deadline_ns = NEVER_NS
        self._state = state
        self._table: RequestTable = state.table
        self._prefills = prefills
        self._overdue = prefills.overdue
        self._losses = losses
        self._reservations = reservations
        self._timeouts_ns = [one.timeout_ns for one in rules.by_class]
        self._has_timeouts = any(self._timeouts_ns)
        self._watches_time = self._has_timeouts or rules.holds
        self._fair = prefills.order if isinstance(prefills.order, FairQueue) else None
        # As all of a class have the same time, who came first is due first.
        self._coming_due: list[deque[int]] = [deque() for _ in self._timeouts_ns]

    def around(self, handlers: Mapping[type, Handler]) -> dict[type, Handler]:
        """The same handlers, with what is to be done before and after."""
        guarded = {kind: self._watched(handler, kind) for kind, handler in handlers.items()}
        guarded[RequestsCancelled] = self._watched(self._on_cancelled, RequestsCancelled)
        return guarded

    def _watched(self, handler: Handler, kind: type) -> Handler:
        def handle(now_ns: int, message: Any) -> Outputs:
            first = self._table.num_requests
            if kind is RequestsArrived and self._fair is not None:
                self._note_tenants(message, first)
            elif kind is DecodeStepped and self._fair is not None:
                self._charge(self._fair, message)
            outputs = handler(now_ns, message)
            if kind is RequestsArrived and self._has_timeouts:
                self._note_arrivals(first)
            if kind is DecodeStepped and self._overdue:
                self._note_dismissed(message)
            if self._overdue:
                outputs = (*outputs, *self._end_overdue(now_ns))
            if kind in _TURNS:
                outputs = (*outputs, *self._prefills.let_through(now_ns))
            if self._watches_time:
                self._set_deadline()
            return outputs

        return handle

    def _note_tenants(self, message: RequestsArrived, first: int) -> None:
        tenants = self._prefills.tenants
        tenants.update((first + at, tenant) for at, tenant in enumerate(message.tenants) if tenant)

    def _note_arrivals(self, first: int) -> None:
        classes = self._table.request_class
        for request_id in range(first, self._table.num_requests):
            if self._timeouts_ns[classes[request_id]]:
                self._coming_due[classes[request_id]].append(request_id)

    def _charge(self, order: FairQueue, message: DecodeStepped) -> None:
        """What they have produced is charged to tenants when they leave; the table has what they came with."""
        tenants, produced = self._prefills.tenants, self._table.output_tokens
        for ids, tokens in (
            (message.finished_ids, message.finished_tokens),
            (message.preempted_ids, message.preempted_tokens),
        ):
            for request_id, total in zip(ids, tokens, strict=True):
                order.charge(tenants.get(request_id, 0), max(0, total - produced[request_id]))
        for request_id in message.finished_ids:
            tenants.pop(request_id, None)

    def _set_deadline(self) -> None:
        states, arrived_ns, deadline_ns = self._table.state, self._table.arrived_ns, self._prefills.release_ns
        for due, timeout_ns in zip(self._coming_due, self._timeouts_ns):
            while due and states[due[0]] == State.ENDED:
                self._overdue.pop(due.popleft(), None)
            if due:
                deadline_ns = min(deadline_ns, arrived_ns[due[0]] + timeout_ns)
        self.deadline_ns = deadline_ns

    def wake(self, now_ns: int) -> Outputs:
        """Some have waited too long, or long enough for cheap hours."""
        arrived_ns, states = self._table.arrived_ns, self._table.state
        for due, timeout_ns in zip(self._coming_due, self._timeouts_ns):
            while due and arrived_ns[due[0]] + timeout_ns <= now_ns:
                request_id = due.popleft()
                if states[request_id] != State.ENDED:
                    self._overdue[request_id] = ()
        said = self._end_overdue(now_ns)
        said += self._prefills.release_held(now_ns)
        said += self._prefills.let_through(now_ns)
        self._set_deadline()
        return tuple(said)

    def _end_overdue(self, now_ns: int) -> Said:
        """End those that can end where they are, and have instances end others."""
        table, overdue = self._table, self._overdue
        here: list[int] = []
        placeless: list[int] = []
        cancelled: dict[str, list[int]] = {}
        for request_id, asked in list(overdue.items()):
            where = table.state[request_id]
            if where == State.ENDED:
                del overdue[request_id]
            elif where == State.ARRIVED:
                if self._prefills.is_here(request_id):
                    here.append(request_id)
            elif where == State.PREFILLED:
                placeless.append(request_id)
            elif where == State.PREFILL_QUEUED or where == State.DECODING:
                attempt = (where, table.preemptions[request_id], table.retries[request_id])
                if asked != attempt:
                    overdue[request_id] = attempt
                    cancelled.setdefault(self._address(request_id, where), []).append(request_id)
        said = self._prefills.end(here, FinishReason.TIMED_OUT, now_ns) if here else []
        if placeless:
            said += self._release(placeless, now_ns)
        for request_id in (*here, *placeless):
            del overdue[request_id]
        return [*said, *((address, CancelRequests(ids)) for address, ids in cancelled.items())]

    def _address(self, request_id: int, where: int) -> str:
        state, table = self._state, self._table
        if where == State.DECODING:
            return state.decode.addresses[table.decode_instance[request_id]]
        return state.prefill.addresses[table.prefill_instance[request_id]]

    def _release(self, ids: list[int], now_ns: int) -> Said:
        """These wait for room to decode: their KV is where it was made."""
        at_prefill, addresses = self._table.prefill_instance, self._state.prefill.addresses
        said = self._reservations.release(ids)
        held: dict[str, list[int]] = {}
        for request_id in ids:
            held.setdefault(addresses[at_prefill[request_id]], []).append(request_id)
        self._state.end(ids, FinishReason.TIMED_OUT, now_ns)
        return [*said, *((address, ReleaseKv(members)) for address, members in held.items())]

    def _on_cancelled(self, now_ns: int, message: RequestsCancelled) -> Outputs:
        """A prefill instance has dropped these."""
        said = self._losses.cancelled(message.ids)
        for request_id in message.ids:
            self._prefills.withdrawn(request_id)
            del self._overdue[request_id]
        self._state.end(message.ids, FinishReason.TIMED_OUT, now_ns)
        return tuple(said)

    def _note_dismissed(self, message: DecodeStepped) -> None:
        """Overdue ones that left a decode instance ended for that, unless they had finished before the core knew."""
        timeouts_ns, classes, arrived_ns = self._timeouts_ns, self._table.request_class, self._table.arrived_ns
        for request_id in message.finished_ids:
            if self._overdue.pop(request_id, None) is None:
                continue
            if arrived_ns[request_id] + timeouts_ns[classes[request_id]] <= message.boundary_ns:
                self._table.reason[request_id] = FinishReason.TIMED_OUT
