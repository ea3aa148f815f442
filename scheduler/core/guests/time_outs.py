"""Has requests end that have waited too long."""

from __future__ import annotations

from collections import deque

from scheduler.core.guest import Guest
from scheduler.core.guests.early_ends import EarlyEnds
from scheduler.core.lifecycle import State
from scheduler.core.request_table import RequestTable
from scheduler.policies.flow_control import FlowControl
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import Message, RequestsArrived


class TimeOuts(Guest):
    """`deadline_ns`: when the next request has waited too long."""

    def __init__(self, table: RequestTable, early_ends: EarlyEnds, rules: FlowControl) -> None:
        self._table = table
        self._early_ends = early_ends
        self._timeouts_ns = [one.timeout_ns for one in rules.by_class]
        # As all of a class have the same time, who came first is due first.
        self._coming_due: list[deque[int]] = [deque() for _ in self._timeouts_ns]
        self._first_id = 0

    def before(self, now_ns: int, message: Message) -> Outputs:
        """The ids of those who arrive begin here."""
        self._first_id = self._table.num_requests
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Note who arrives, and forget who has ended."""
        if isinstance(message, RequestsArrived):
            self._note_arrivals()
        self._set_deadline()
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Some have waited too long."""
        arrived_ns, overdue = self._table.arrived_ns, list[int]()
        for due, timeout_ns in zip(self._coming_due, self._timeouts_ns):
            while due and arrived_ns[due[0]] + timeout_ns <= now_ns:
                overdue.append(due.popleft())
        outputs = self._early_ends.ask(now_ns, overdue, FinishReason.TIMED_OUT)
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
                due.popleft()
            if due:
                deadline_ns = min(deadline_ns, arrived_ns[due[0]] + timeout_ns)
        self.deadline_ns = deadline_ns
