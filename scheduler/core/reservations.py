"""Room for KV at decode instances: asked for, kept, given back or lost, until the KV has moved."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from scheduler.core.lifecycle import BEFORE_FIRST_TOKEN, PREFILL_STARTED, RESERVED, Event, State
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.stages import Placing
from scheduler.core.state import SchedulerState
from scheduler.policies.view import StageKind
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import (
    CancelReservations,
    KvReserved,
    ReleaseKv,
    ReservationsCancelled,
    ReserveKv,
)

# Members of an enumeration are slow to reach.
_PREFILLING: Final = int(State.PREFILLING)
_PREFILLED: Final = int(State.PREFILLED)
_RESERVED: Final = Event.RESERVED


class Reservations:
    """Who asked where, in the table's column `decode_instance`, and who cannot ask yet.

    `NOT_YET` in that column: in this attempt the request has not asked. A request that is requeued may ask
    the same instance a second time while the answer to the first is on its way, so a withdrawal is confirmed, and what
    the instance grants before that is ignored.
    """

    def __init__(self, state: SchedulerState, router: Placing) -> None:
        self._state = state
        self._table = state.table
        self._stage = state.decode
        self._router = router
        self._waiting: set[int] = set()
        # Confirmations on their way, by (instance, request).
        self._cancelling: dict[tuple[int, int], int] = {}

    def ask(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Ask for room while the last pass runs, so that layers can flow as they are made; or wait for an instance."""
        table, stage = self._table, self._stage
        if not stage.eligible:
            self._waiting.update(ids)
            return []
        states, prompt_tokens, produced = table.state, table.prompt_tokens, table.output_tokens
        choose, at_decode, capacity_tokens = self._router.choose, table.decode_instance, stage.capacity_tokens
        num_requests, num_tokens = stage.outstanding_requests, stage.outstanding_tokens
        logs = self._state.decision_logs
        questions: dict[int, ReserveKv] = {}
        for request_id in ids:
            # The token that the pass under way makes is not counted yet.
            tokens = prompt_tokens[request_id] + produced[request_id] + (states[request_id] == _PREFILLING)
            decision = choose(now_ns, request_id, tokens)
            if tokens > capacity_tokens[decision.instance]:  # a policy need not know sizes
                decision = Decision(stage.roomiest, decision.reason)
            for log in logs:
                log.chose(StageKind.DECODE, request_id, decision)
            index = decision.instance
            num_requests[index] += 1
            num_tokens[index] += tokens
            at_decode[request_id] = index
            question = questions.get(index)
            if question is None:
                questions[index] = ReserveKv([request_id], [tokens])
            else:
                question.ids.append(request_id)
                question.kv_tokens.append(tokens)
        addresses = stage.addresses
        return [(addresses[index], question) for index, question in questions.items()]

    def ask_for_waiting(self, now_ns: int) -> Outputs:
        """Instances joined: those who could not ask now can."""
        ids = sorted(self._waiting)
        self._waiting.clear()
        return self.ask(now_ns, ids)

    def grant(self, message: KvReserved) -> tuple[list[int], list[int]]:
        """Room is kept; returns those whose KV is there, and those whose last pass still makes it."""
        states = self._table.state
        granted = self._not_cancelled(message) if self._cancelling else message.ids
        # Room that was kept for a request which ended meanwhile has been given back already.
        making = [i for i in granted if states[i] == _PREFILLING]
        made = [i for i in granted if states[i] == _PREFILLED] if len(making) < len(granted) else []
        ids = making + made if made else making
        self._table.move(_RESERVED, ids)
        dies, decode_die = dict(zip(message.ids, message.dies)), self._table.decode_die
        for request_id in ids:
            decode_die[request_id] = dies[request_id]
        return made, making

    def _not_cancelled(self, message: KvReserved) -> list[int]:
        index = self._stage.index[message.instance]
        return [i for i in message.ids if (index, i) not in self._cancelling]

    def release(self, ids: list[int]) -> Outputs:
        """These need no room any more: their output ended with the first token."""
        releases: dict[int, list[int]] = {}
        for index, request_id in self._drop(ids, num_coming=0):
            releases.setdefault(index, []).append(request_id)
        return [(self._stage.addresses[index], ReleaseKv(members)) for index, members in releases.items()]

    def cancel(self, ids: list[int]) -> Outputs:
        """These are requeued and may ask again."""
        cancels: dict[int, list[int]] = {}
        for index, request_id in self._drop(ids, num_coming=1):
            cancels.setdefault(index, []).append(request_id)
            self._cancelling[index, request_id] = self._cancelling.get((index, request_id), 0) + 1
        return [(self._stage.addresses[index], CancelReservations(members)) for index, members in cancels.items()]

    def _drop(self, ids: list[int], num_coming: int) -> list[tuple[int, int]]:
        """Forget what these asked for; answers (instance, request) of those whose instance must be told.

        `num_coming`: tokens not yet counted of those whose pass has not ended.
        """
        table, stage, states = self._table, self._stage, self._table.state
        told: list[tuple[int, int]] = []
        for request_id in ids:
            index = table.decode_instance[request_id]
            self._waiting.discard(request_id)
            if index == NOT_YET or index not in stage.up:
                continue
            tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
            if states[request_id] in BEFORE_FIRST_TOKEN:
                tokens += num_coming
            stage.remove(index, 1, tokens)
            told.append((index, request_id))
        return told

    def move(self, now_ns: int, ids: list[int]) -> Outputs:
        """The fabric does not reach where room is kept for these: give it back and ask again."""
        outputs = self.cancel(ids)
        self._table.move(Event.RESERVATION_LOST, ids)
        for request_id in ids:
            self._table.decode_instance[request_id] = NOT_YET
        return [*outputs, *self.ask(now_ns, ids)]

    def confirm(self, message: ReservationsCancelled) -> None:
        """An instance keeps nothing any more of what was withdrawn."""
        index = self._stage.index[message.instance]
        for request_id in message.ids:
            key = (index, request_id)
            left = self._cancelling.pop(key) - 1
            if left:
                self._cancelling[key] = left

    def lose(self, open_ids: list[int], lost: Collection[int]) -> list[int]:
        """Instances are gone: returns who had asked there, whose KV is still where it was made, to ask elsewhere."""
        table, states = self._table, self._table.state
        self._cancelling = {key: count for key, count in self._cancelling.items() if key[0] not in lost}
        ids = [i for i in open_ids if states[i] in PREFILL_STARTED and table.decode_instance[i] in lost]
        table.move(Event.RESERVATION_LOST, [i for i in ids if states[i] in RESERVED])
        for request_id in ids:
            table.decode_instance[request_id] = NOT_YET
        return ids
