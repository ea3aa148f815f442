"""Ends requests that have waited too long.

A request that is overdue ends where nothing is at work for it: before an instance is chosen, in the queue of a prefill
instance, while it waits for room to decode, or at the next step boundary while it decodes. Where a pass or a transfer
is at work for it, it ends as soon as that has ended.
"""

from __future__ import annotations

from collections import deque

from scheduler.core.guest import Guest
from scheduler.core.guests.admission_queue import AdmissionQueue
from scheduler.core.lifecycle import State
from scheduler.core.prefills import Prefills
from scheduler.core.recovery.losses import Losses
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.policies.flow_control import FlowControl
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    CancelRequests,
    DecodeStepped,
    Message,
    ReleaseKv,
    RequestsArrived,
    RequestsCancelled,
)


class TimeOuts(Guest):
    """`deadline_ns`: when the next request has waited too long."""

    def __init__(
        self,
        state: SchedulerState,
        prefills: Prefills,
        queue: AdmissionQueue,
        losses: Losses,
        reservations: Reservations,
        rules: FlowControl,
    ) -> None:
        self._state = state
        self._table = state.table
        self._prefills = prefills
        self._queue = queue
        self._overdue = queue.overdue
        self._losses = losses
        self._reservations = reservations
        self._timeouts_ns = [one.timeout_ns for one in rules.by_class]
        # As all of a class have the same time, who came first is due first.
        self._coming_due: list[deque[int]] = [deque() for _ in self._timeouts_ns]
        self._first_id = 0

    def before(self, now_ns: int, message: Message) -> Outputs:
        """The ids of those who arrive begin here."""
        self._first_id = self._table.num_requests
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """End those that can be ended now."""
        outputs: list[Output] = []
        if isinstance(message, RequestsArrived):
            self._note_arrivals()
        elif isinstance(message, RequestsCancelled):
            outputs += self._on_cancelled(now_ns, message)
        elif isinstance(message, DecodeStepped) and self._overdue:
            self._note_dismissed(message)
        if self._overdue:
            outputs += self._end_overdue(now_ns)
        self._set_deadline()
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Some have waited too long."""
        arrived_ns, states = self._table.arrived_ns, self._table.state
        for due, timeout_ns in zip(self._coming_due, self._timeouts_ns):
            while due and arrived_ns[due[0]] + timeout_ns <= now_ns:
                request_id = due.popleft()
                if states[request_id] != State.ENDED:
                    self._overdue[request_id] = ()
        outputs = self._end_overdue(now_ns)
        self._set_deadline()
        return outputs

    def _note_arrivals(self) -> None:
        classes = self._table.request_class
        for request_id in range(self._first_id, self._table.num_requests):
            if self._timeouts_ns[classes[request_id]]:
                self._coming_due[classes[request_id]].append(request_id)

    def _set_deadline(self) -> None:
        states, arrived_ns, deadline_ns = self._table.state, self._table.arrived_ns, NEVER_NS
        for due, timeout_ns in zip(self._coming_due, self._timeouts_ns):
            while due and states[due[0]] == State.ENDED:
                self._overdue.pop(due.popleft(), None)
            if due:
                deadline_ns = min(deadline_ns, arrived_ns[due[0]] + timeout_ns)
        self.deadline_ns = deadline_ns

    def _end_overdue(self, now_ns: int) -> Outputs:
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
                if self._queue.holds(request_id):
                    here.append(request_id)
            elif where == State.PREFILLED:
                placeless.append(request_id)
            elif where == State.PREFILL_QUEUED or where == State.DECODING:
                attempt = (where, table.preemptions[request_id], table.retries[request_id])
                if asked != attempt:
                    overdue[request_id] = attempt
                    cancelled.setdefault(self._address(request_id, where), []).append(request_id)
        outputs = list(self._queue.end(here, FinishReason.TIMED_OUT, now_ns)) if here else list[Output]()
        if placeless:
            outputs += self._release(placeless, now_ns)
        for request_id in (*here, *placeless):
            del overdue[request_id]
        return [*outputs, *((address, CancelRequests(ids)) for address, ids in cancelled.items())]

    def _address(self, request_id: int, where: int) -> str:
        state, table = self._state, self._table
        if where == State.DECODING:
            return state.decode.addresses[table.decode_instance[request_id]]
        return state.prefill.addresses[table.prefill_instance[request_id]]

    def _release(self, ids: list[int], now_ns: int) -> Outputs:
        """These wait for room to decode: their KV is where it was made."""
        at_prefill, addresses = self._table.prefill_instance, self._state.prefill.addresses
        outputs = self._reservations.release(ids)
        kept: dict[str, list[int]] = {}
        for request_id in ids:
            kept.setdefault(addresses[at_prefill[request_id]], []).append(request_id)
        self._state.end(ids, FinishReason.TIMED_OUT, now_ns)
        return [*outputs, *((address, ReleaseKv(members)) for address, members in kept.items())]

    def _on_cancelled(self, now_ns: int, message: RequestsCancelled) -> Outputs:
        """A prefill instance has dropped these."""
        outputs = self._losses.cancelled(message.ids)
        self._prefills.withdrawn(message.ids)
        for request_id in message.ids:
            del self._overdue[request_id]
        self._state.end(message.ids, FinishReason.TIMED_OUT, now_ns)
        return outputs

    def _note_dismissed(self, message: DecodeStepped) -> None:
        """Overdue ones that left a decode instance ended for that, unless they had finished before the core knew."""
        timeouts_ns, classes, arrived_ns = self._timeouts_ns, self._table.request_class, self._table.arrived_ns
        for request_id in message.finished_ids:
            if self._overdue.pop(request_id, None) is None:
                continue
            if arrived_ns[request_id] + timeouts_ns[classes[request_id]] <= message.boundary_ns:
                self._table.reason[request_id] = FinishReason.TIMED_OUT
