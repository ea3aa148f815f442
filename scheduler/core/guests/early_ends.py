"""Ends requests that nobody waits for any more: those that have waited too long, and those whose clients are gone.

Such a request ends where nothing is at work for it: before an instance is chosen, in the queue of a prefill instance,
while it waits for room to decode, or at the next step boundary while it decodes. Where a pass or a transfer is at work
for it, it ends as soon as that has ended. Without a queue in front of all instances one that arrived goes on to the
instance that is chosen for it, which takes no time unless none is up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scheduler.core.guest import Guest
from scheduler.core.lifecycle import State
from scheduler.core.prefills import EarlyEnd, Prefills
from scheduler.core.recovery.losses import Losses
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import CancelRequests, DecodeStepped, Message, ReleaseKv, RequestsCancelled


class EarlyEnds(Guest):
    """`coming` are the requests that are to end, by id; who else knows when adds to them by `ask`."""

    def __init__(self, state: SchedulerState, prefills: Prefills, losses: Losses, reservations: Reservations) -> None:
        queue = prefills.queue
        self.coming: Final[dict[int, EarlyEnd]] = {} if queue is None else queue.early_ends
        self._state = state
        self._table = state.table
        self._prefills = prefills
        self._queue: Final = queue
        self._losses = losses
        self._reservations = reservations

    def ask(self, now_ns: int, ids: Iterable[int], reason: FinishReason) -> Outputs:
        """These are to end, and those that can do so now."""
        states = self._table.state
        for request_id in ids:
            if states[request_id] != State.ENDED:
                self.coming.setdefault(request_id, EarlyEnd(reason, now_ns))
        return self._end_where_they_are(now_ns) if self.coming else NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """End those that can be ended now."""
        if not self.coming:
            return NOTHING
        outputs: Outputs = NOTHING
        if isinstance(message, RequestsCancelled):
            outputs = self._on_cancelled(now_ns, message)
        elif isinstance(message, DecodeStepped):
            self._note_dismissed(message)
        return [*outputs, *self._end_where_they_are(now_ns)]

    def _end_where_they_are(self, now_ns: int) -> Outputs:
        """End those that can end where they are, and have instances end others."""
        table, coming, queue = self._table, self.coming, self._queue
        held: list[int] = []
        placeless: list[int] = []
        cancelled: dict[str, list[int]] = {}
        for request_id, end in list(coming.items()):
            where = table.state[request_id]
            if where == State.ENDED:
                del coming[request_id]
            elif where == State.ARRIVED:
                if queue is not None and queue.holds(request_id):
                    held.append(request_id)
            elif where == State.PREFILLED:
                placeless.append(request_id)
            elif where == State.PREFILL_QUEUED or where == State.DECODING:
                attempt = (where, table.preemptions[request_id], table.retries[request_id])
                if end.asked != attempt:
                    end.asked = attempt
                    cancelled.setdefault(self._address(request_id, where), []).append(request_id)
        outputs: list[Output] = []
        for reason, ids in self._taken(held):
            assert queue is not None
            outputs += queue.end(ids, reason, now_ns)
        for reason, ids in self._taken(placeless):
            outputs += self._release(ids, reason, now_ns)
        return [*outputs, *((address, CancelRequests(ids)) for address, ids in cancelled.items())]

    def _taken(self, ids: Iterable[int]) -> Iterable[tuple[FinishReason, list[int]]]:
        """By reason; they are no longer among those that are to end."""
        by_reason: dict[FinishReason, list[int]] = {}
        for request_id in ids:
            by_reason.setdefault(self.coming.pop(request_id).reason, []).append(request_id)
        return by_reason.items()

    def _address(self, request_id: int, where: int) -> str:
        state, table = self._state, self._table
        if where == State.DECODING:
            return state.decode.addresses[table.decode_instance[request_id]]
        return state.prefill.addresses[table.prefill_instance[request_id]]

    def _release(self, ids: list[int], reason: FinishReason, now_ns: int) -> Outputs:
        """These wait for room to decode: their KV is where it was made."""
        at_prefill, addresses = self._table.prefill_instance, self._state.prefill.addresses
        outputs = self._reservations.release(ids)
        kept: dict[str, list[int]] = {}
        for request_id in ids:
            kept.setdefault(addresses[at_prefill[request_id]], []).append(request_id)
        self._state.end(ids, reason, now_ns)
        return [*outputs, *((address, ReleaseKv(members)) for address, members in kept.items())]

    def _on_cancelled(self, now_ns: int, message: RequestsCancelled) -> Outputs:
        """A prefill instance has dropped these."""
        outputs = self._losses.cancelled(message.ids)
        self._prefills.withdrawn(message.ids)
        for reason, ids in self._taken(message.ids):
            self._state.end(ids, reason, now_ns)
        return outputs

    def _note_dismissed(self, message: DecodeStepped) -> None:
        """Those that left a decode instance ended for that, unless they had finished before the core knew."""
        for request_id in message.finished_ids:
            end = self.coming.pop(request_id, None)
            if end is not None and end.since_ns <= message.boundary_ns:
                self._table.reason[request_id] = end.reason
