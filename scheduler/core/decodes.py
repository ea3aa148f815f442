"""Requests that decode: what their instances report of them."""

from __future__ import annotations

from typing import Final

from scheduler.core.lifecycle import Event
from scheduler.core.recovery.losses import Losses
from scheduler.core.routing.decision import Decision
from scheduler.core.state import SchedulerState
from scheduler.policies.view import StageKind
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import DecodeStepped

# Members of an enumeration are slow to reach.
_DECODE_STARTED: Final = Event.DECODE_STARTED
_STAYED: Final = Event.STAYED
_STOP: Final = FinishReason.STOP

_STAYS: Final = "stays where its prompt was computed"


class Decodes:
    """Makes of the reports of decode instances an account."""

    def __init__(self, state: SchedulerState, losses: Losses) -> None:
        self._state = state
        self._table = state.table
        self._stage = state.decode
        self._losses = losses

    def stay(self, instance: str, ids: list[int], now_ns: int) -> None:
        """An aggregated instance has computed these, and decodes them from now on."""
        table, stage, index = self._table, self._stage, self._stage.index[instance]
        prompt_tokens, output_tokens, at_decode = table.prompt_tokens, table.output_tokens, table.decode_instance
        table.move(_STAYED, ids)
        for log in self._state.decision_logs:
            for request_id in ids:
                log.chose(StageKind.DECODE, request_id, Decision(index, _STAYS))
            log.started(StageKind.DECODE, now_ns, index, ids, None)
        stage.outstanding_requests[index] += len(ids)
        stage.outstanding_tokens[index] += sum([prompt_tokens[i] + output_tokens[i] for i in ids])
        tentative = self._state.open.tentative
        for request_id in ids:
            at_decode[request_id] = index
            if tentative is not None:
                tentative.take(request_id)

    def on_stepped(self, message: DecodeStepped) -> list[int]:
        """A run of steps has ended; returns those who were preempted and are requeued."""
        index, kv_tokens = self._stage.index[message.instance], message.kv_tokens
        losses, reported_kv_tokens = self._losses, self._losses.reported_kv_tokens
        if message.tokens_per_sequence:
            losses.grown_tokens[index] += message.tokens_per_sequence
            losses.grown_ns[index] = message.boundary_ns
        losses.running_tokens[index] = message.running_tokens
        change_tokens = kv_tokens - reported_kv_tokens[index]
        if message.started_ids:
            change_tokens -= self._start(index, message)
        self._stage.outstanding_tokens[index] += change_tokens
        reported_kv_tokens[index] = kv_tokens
        if message.finished_ids:
            self._finish(index, message)
        if message.preempted_ids:
            self._preempt(index, message)
            return losses.requeue(message.preempted_ids, message.boundary_ns)
        return []

    def _start(self, index: int, message: DecodeStepped) -> int:
        """These have joined; returns what they were counted for, which is now part of what the instance reports."""
        table, boundary_ns, grown = self._table, message.boundary_ns, self._losses.grown_tokens[index]
        table.move(_DECODE_STARTED, message.started_ids)
        started_ns, grown_at_start = table.decode_started_ns, table.grown_at_start
        prompt_tokens, output_tokens = table.prompt_tokens, table.output_tokens
        tokens = 0
        for request_id in message.started_ids:
            started_ns[request_id] = boundary_ns
            grown_at_start[request_id] = grown
            tokens += prompt_tokens[request_id] + output_tokens[request_id]
        return tokens

    def _finish(self, index: int, message: DecodeStepped) -> None:
        table, boundary_ns = self._table, message.boundary_ns
        self._note_tokens(message.finished_ids, message.finished_tokens, boundary_ns)
        self._stage.outstanding_requests[index] -= len(message.finished_ids)
        self._state.end(message.finished_ids, _STOP, boundary_ns)
        for request_id in message.length_limited_ids:
            table.reason[request_id] = FinishReason.LENGTH

    def _preempt(self, index: int, message: DecodeStepped) -> None:
        """Their KV is gone; the tokens produced so far are part of what is to be computed again."""
        table = self._table
        table.move(Event.PREEMPTED, message.preempted_ids)
        self._note_tokens(message.preempted_ids, message.preempted_tokens, message.boundary_ns)
        for request_id in message.preempted_ids:
            table.preemptions[request_id] += 1
        self._stage.outstanding_requests[index] -= len(message.preempted_ids)

    def _note_tokens(self, ids: list[int], num_tokens: list[int], boundary_ns: int) -> None:
        """Who leaves a decode instance has produced so many tokens, the last of them now if any came since joining."""
        produced, last_ns = self._table.output_tokens, self._table.last_token_ns
        for request_id, tokens in zip(ids, num_tokens):
            if tokens > produced[request_id]:
                produced[request_id] = tokens
                last_ns[request_id] = boundary_ns
