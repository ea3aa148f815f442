"""Every request's state and time stamps, as columns by dense request id."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from scheduler.core.lifecycle import SUCCESSORS, Event, State
from scheduler.protocol.errors import LifecycleError
from scheduler.protocol.finish import FinishReason

NOT_YET: Final = -1
"""A time stamp or an instance index that a request does not have (yet)."""

CHUNK_ROWS: Final = 8192
"""Rows by which the columns grow."""

_END: Final = Event.END
"""Members of an enumeration are slow to reach."""


class RequestTable:
    """The first `num_requests` rows of each column are in use; they are read without a copy when the run has ended.

    Time stamps are emulated nanoseconds, `NOT_YET` until they happen. `ended_ids` are ids in the order in which they
    ended: who wants to know of ends remembers how far it has read. The table owns INV-1 (exactly one end) and INV-2
    (states change only by the table).
    """

    def __init__(self) -> None:
        self.num_requests = 0
        self.num_open = 0
        self.ended_ids = array("i")
        self.state = bytearray()
        self.reason = bytearray()
        # Index of its class, 0 for none.
        self.request_class = bytearray()
        self.preemptions = array("H")
        # How often a request was requeued because a worker was lost.
        self.retries = array("H")
        # What a client says its request belongs to, `NO_SESSION` for nothing.
        self.session = array("i")
        self.prefill_instance = array("h")
        self.decode_instance = array("h")
        # Where room was kept last.
        self.decode_die = array("h")
        self.prompt_tokens = array("i")
        self.cached_tokens = array("i")
        self.output_tokens = array("i")
        self.arrived_ns = array("q")
        self.prefill_started_ns = array("q")
        self.first_token_ns = array("q")
        self.decode_started_ns = array("q")
        self.last_token_ns = array("q")
        self.ended_ns = array("q")
        # Tokens that a sequence which always ran on the decode instance had produced, as far as reported, at its start.
        self.grown_at_start = array("q")

    def _grow(self) -> None:
        """One more chunk of rows: columns grow seldom, so that an arrival costs no more than its own fields."""
        for codes in (self.state, self.reason, self.request_class):
            codes.extend(bytes(CHUNK_ROWS))
        for column in (
            self.preemptions,
            self.retries,
            self.prompt_tokens,
            self.cached_tokens,
            self.output_tokens,
            self.arrived_ns,
            self.grown_at_start,
        ):
            column.extend(array(column.typecode, [0]) * CHUNK_ROWS)
        for column in (
            self.session,
            self.prefill_instance,
            self.decode_instance,
            self.decode_die,
            self.prefill_started_ns,
            self.first_token_ns,
            self.decode_started_ns,
            self.last_token_ns,
            self.ended_ns,
        ):
            column.extend(array(column.typecode, [NOT_YET]) * CHUNK_ROWS)

    def add(self, arrived_ns: int, prompt_tokens: list[int]) -> range:
        """New requests in `ARRIVED`; returns their ids."""
        first = self.num_requests
        end = first + len(prompt_tokens)
        while end > len(self.state):
            self._grow()
        tokens_column, arrived_column = self.prompt_tokens, self.arrived_ns
        for request_id, tokens in enumerate(prompt_tokens, first):
            tokens_column[request_id] = tokens
            arrived_column[request_id] = arrived_ns
        self.num_requests = end
        self.num_open += end - first
        return range(first, end)

    def move(self, event: Event, ids: Sequence[int]) -> None:
        """Apply one event to many requests; an illegal one is a `LifecycleError` and leaves the request as it was."""
        state, successors, request_id = self.state, SUCCESSORS[event], NOT_YET
        try:
            for request_id in ids:
                state[request_id] = successors[state[request_id]]
        except ValueError:  # a byte cannot be ILLEGAL
            raise LifecycleError(request_id, State(state[request_id]).name, event.name) from None

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> None:
        """End requests for one reason."""
        self.move(_END, ids)
        reasons, ended_ns = self.reason, self.ended_ns
        for request_id in ids:
            reasons[request_id] = reason
            ended_ns[request_id] = now_ns
        self.num_open -= len(ids)
        self.ended_ids.extend(ids)
